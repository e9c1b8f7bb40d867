//! Statements logged as text, and the session they ran in.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::cursor::Cursor;
use crate::error::{Error, Result};
use crate::model::Coordinates;

/// A statement logged as text: DDL, an account change, or DML in statement format.
#[derive(Clone)]
#[non_exhaustive]
pub struct Statement {
    /// The session's default schema; empty: none.
    pub schema: String,
    /// The text, in the session's `character_set_client`.
    pub sql: Bytes,
    /// The start of its event.
    pub start: Coordinates,
    /// The end of its event.
    pub end: Coordinates,
    /// When it began, in seconds since 1970.
    pub seconds: u32,
    /// The connection that ran it.
    pub thread: u32,
    /// The error that it ended with on the source; 0: none.
    pub error_code: u16,
    event: Bytes,
    status: Range<usize>,
}

/// The session's settings that a statement was logged with; `None`: the log does not say. Sources: MySQL source,
/// `libs/mysql/binlog/event/statement_events.h`, `Query_event_status_vars`; MariaDB source, `sql/log_event.h`, from 128
/// on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionContext {
    /// Options: bit 14 `sql_auto_is_null`, 19 no autocommit, 26 no foreign key checks, 27 no unique checks; MariaDB has
    /// more.
    pub options: Option<u32>,
    /// `sql_mode` as the server numbers its modes.
    pub sql_mode: Option<u64>,
    /// `auto_increment_increment` and `auto_increment_offset`.
    pub auto_increment: Option<(u16, u16)>,
    /// Collation numbers of `character_set_client`, `collation_connection` and `collation_server`.
    pub collations: Option<(u16, u16, u16)>,
    /// `time_zone`.
    pub time_zone: Option<String>,
    /// The number of `lc_time_names`.
    pub lc_time_names: Option<u16>,
    /// The collation of the default schema.
    pub schema_collation: Option<u16>,
    /// User and host of the definer where the statement has `CURRENT_USER`.
    pub invoker: Option<(String, String)>,
    /// Microseconds of the second when it began.
    pub micros: Option<u32>,
    /// `explicit_defaults_for_timestamp`.
    pub explicit_defaults_for_timestamp: Option<bool>,
    /// `default_collation_for_utf8mb4`.
    pub default_collation_for_utf8mb4: Option<u16>,
    /// `sql_require_primary_key`.
    pub sql_require_primary_key: Option<bool>,
    /// `default_table_encryption`.
    pub default_table_encryption: Option<bool>,
    /// MariaDB's `character_set_collations`: pairs of collations.
    pub character_set_collations: Vec<(u16, u16)>,
    /// Whether all settings were understood: a newer server's ends the list, as it has no length.
    pub is_complete: bool,
}

/// Numbers of the settings in a QUERY event.
mod code {
    pub(super) const OPTIONS: u8 = 0;
    pub(super) const SQL_MODE: u8 = 1;
    pub(super) const CATALOG_ZERO_ENDED: u8 = 2;
    pub(super) const AUTO_INCREMENT: u8 = 3;
    pub(super) const COLLATIONS: u8 = 4;
    pub(super) const TIME_ZONE: u8 = 5;
    pub(super) const CATALOG: u8 = 6;
    pub(super) const LC_TIME_NAMES: u8 = 7;
    pub(super) const SCHEMA_COLLATION: u8 = 8;
    pub(super) const TABLE_MAP_FOR_UPDATE: u8 = 9;
    pub(super) const MASTER_DATA_WRITTEN: u8 = 10;
    pub(super) const INVOKER: u8 = 11;
    pub(super) const UPDATED_SCHEMAS: u8 = 12;
    pub(super) const MICROSECONDS: u8 = 13;
    pub(super) const EXPLICIT_DEFAULTS_FOR_TIMESTAMP: u8 = 16;
    pub(super) const DDL_XID: u8 = 17;
    pub(super) const DEFAULT_COLLATION_FOR_UTF8MB4: u8 = 18;
    pub(super) const SQL_REQUIRE_PRIMARY_KEY: u8 = 19;
    pub(super) const DEFAULT_TABLE_ENCRYPTION: u8 = 20;
    pub(super) const MARIADB_MICROSECONDS: u8 = 128;
    pub(super) const MARIADB_XID: u8 = 129;
    pub(super) const MARIADB_GTID_FLAGS: u8 = 130;
    pub(super) const MARIADB_CHARACTER_SET_COLLATIONS: u8 = 131;
}

/// In [`code::UPDATED_SCHEMAS`]: too many to name.
const TOO_MANY_SCHEMAS: u8 = 254;
/// In [`code::MARIADB_GTID_FLAGS`]: the number of the ALTER that is ended follows.
const ENDS_ALTER: u8 = 0x4 | 0x8;

impl Statement {
    /// A statement by its parts, without settings.
    pub fn new(schema: impl Into<String>, sql: Bytes, start: Coordinates, end: Coordinates) -> Statement {
        let (event, status) = (Bytes::new(), 0..0);
        Statement { schema: schema.into(), sql, start, end, seconds: 0, thread: 0, error_code: 0, event, status }
    }

    pub(super) fn with_status(mut self, event: Bytes, status: Range<usize>) -> Statement {
        (self.event, self.status) = (event, status);
        self
    }

    /// The session it ran in.
    ///
    /// # Errors
    /// `Corrupt`: the settings are cut.
    pub fn context(&self) -> Result<SessionContext> {
        let status = self.event.get(self.status.clone()).unwrap_or_default();
        SessionContext::read(&mut Cursor::numbered(status, self.status.start)).map_err(|error| {
            error.at(|place| (place.coordinates, place.event) = (Some(self.start.clone()), Some("QUERY".into())))
        })
    }
}

impl fmt::Debug for Statement {
    /// Without the text, which may hold values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement({} bytes at {})", self.sql.len(), self.end)
    }
}

impl SessionContext {
    fn read(cursor: &mut Cursor<'_>) -> Result<SessionContext> {
        let mut context = SessionContext { is_complete: true, ..SessionContext::default() };
        while !cursor.is_empty() {
            match cursor.u8()? {
                code::OPTIONS => context.options = Some(cursor.u32()?),
                code::SQL_MODE => context.sql_mode = Some(cursor.u64()?),
                code::CATALOG_ZERO_ENDED => {
                    text(cursor)?;
                    cursor.u8()?;
                }
                code::AUTO_INCREMENT => context.auto_increment = Some((cursor.u16()?, cursor.u16()?)),
                code::COLLATIONS => context.collations = Some((cursor.u16()?, cursor.u16()?, cursor.u16()?)),
                code::TIME_ZONE => context.time_zone = Some(text(cursor)?),
                code::CATALOG => drop(text(cursor)?),
                code::LC_TIME_NAMES => context.lc_time_names = Some(cursor.u16()?),
                code::SCHEMA_COLLATION => context.schema_collation = Some(cursor.u16()?),
                code::TABLE_MAP_FOR_UPDATE | code::DDL_XID | code::MARIADB_XID => drop(cursor.u64()?),
                code::MASTER_DATA_WRITTEN => drop(cursor.u32()?),
                code::INVOKER => context.invoker = Some((text(cursor)?, text(cursor)?)),
                code::UPDATED_SCHEMAS => skip_schemas(cursor)?,
                code::MICROSECONDS | code::MARIADB_MICROSECONDS => {
                    context.micros = u32::try_from(cursor.uint_le(3)?).ok();
                }
                code::EXPLICIT_DEFAULTS_FOR_TIMESTAMP => {
                    context.explicit_defaults_for_timestamp = Some(cursor.u8()? != 0);
                }
                code::DEFAULT_COLLATION_FOR_UTF8MB4 => context.default_collation_for_utf8mb4 = Some(cursor.u16()?),
                code::SQL_REQUIRE_PRIMARY_KEY => context.sql_require_primary_key = Some(cursor.u8()? != 0),
                code::DEFAULT_TABLE_ENCRYPTION => context.default_table_encryption = Some(cursor.u8()? != 0),
                code::MARIADB_GTID_FLAGS => {
                    if cursor.u8()? & ENDS_ALTER != 0 {
                        cursor.u64()?;
                    }
                }
                code::MARIADB_CHARACTER_SET_COLLATIONS => {
                    for _ in 0..cursor.u8()? {
                        context.character_set_collations.push((cursor.u16()?, cursor.u16()?));
                    }
                }
                _ => {
                    context.is_complete = false;
                    cursor.rest();
                }
            }
        }
        Ok(context)
    }
}

/// A length of one byte and so many bytes.
fn text(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let length = usize::from(cursor.u8()?);
    cursor.identifier(length).map(str::to_owned)
}

/// Names that each end with a zero byte.
fn skip_schemas(cursor: &mut Cursor<'_>) -> Result<()> {
    match cursor.u8()? {
        TOO_MANY_SCHEMAS => {}
        count => {
            for _ in 0..count {
                while cursor.u8()? != 0 {}
            }
        }
    }
    Ok(())
}
