//! Blue's session, set on green for one statement.
//!
//! Source: what the servers' own log tools print in front of a statement (MySQL source, `libs/mysql/binlog/event/
//! statement_events.h` and `sql/log_event.cc`; MariaDB source, `sql/log_event_client.cc`).

use crate::decode::charset::Charset;
use crate::error::Result;
use crate::model::{Flavor, ServerVersion};
use crate::net::{Session, identifier, text_literal};
use crate::plan::{Ddl, Object};

/// Bits of the options. MariaDB's 15 and 24 were seen in the logs of 10.11 with the setting off and on.
mod option {
    pub(super) const AUTO_IS_NULL: u32 = 1 << 14;
    pub(super) const NO_CHECK_CONSTRAINT_CHECKS: u32 = 1 << 15;
    pub(super) const EXPLICIT_DEFAULTS_FOR_TIMESTAMP: u32 = 1 << 24;
    pub(super) const NO_FOREIGN_KEY_CHECKS: u32 = 1 << 26;
    pub(super) const RELAXED_UNIQUE_CHECKS: u32 = 1 << 27;
}

/// The modes of `sql_mode` that MySQL 8.0 removed: they change what SHOW prints, or how GRANT makes accounts, which 8.0
/// does no more, or name groups of others that the number has too.
const REMOVED_MODES: u64 = 0x1003_ff00;
/// `utf8mb4_general_ci`, what utf8mb4 meant before MySQL 8.0.
const UTF8MB4_GENERAL_CI: u16 = 45;

/// What decides about statements on blue and is in no log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Defaults {
    storage_engine: Option<String>,
    /// `None`: the log says it.
    explicit_defaults_for_timestamp: Option<bool>,
}

impl Defaults {
    /// Reads them from blue, for sessions that did not change them.
    pub(crate) async fn read(blue: &mut Session, version: ServerVersion) -> Result<Defaults> {
        let rows = blue
            .rows(
                "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('default_storage_engine', \
                 'explicit_defaults_for_timestamp')",
            )
            .await?;
        let get = |name: &str| rows.iter().find(|row| row.text(0).eq_ignore_ascii_case(name)).map(|row| row.text(1));
        let explicit = get("explicit_defaults_for_timestamp").map(|value| value == "ON");
        Ok(Defaults {
            storage_engine: get("default_storage_engine"),
            explicit_defaults_for_timestamp: match has_session_timestamp_defaults(blue, version).await? {
                true => None,
                false => explicit,
            },
        })
    }
}

/// Whether `explicit_defaults_for_timestamp` is a session's. Only then does the log say how it was set.
async fn has_session_timestamp_defaults(session: &mut Session, version: ServerVersion) -> Result<bool> {
    if version.flavor == Flavor::MySql {
        return Ok(version.is_at_least(Flavor::MySql, (8, 0, 0)));
    }
    let scope = "SELECT VARIABLE_SCOPE FROM information_schema.SYSTEM_VARIABLES \
                 WHERE VARIABLE_NAME = 'EXPLICIT_DEFAULTS_FOR_TIMESTAMP'";
    Ok(session.first(scope).await?.is_some_and(|row| row.text(0).starts_with("SESSION")))
}

/// Makes a session of green blue's for this statement.
///
/// # Errors
/// Green's refusal of a setting.
pub(super) async fn set(session: &mut Session, ddl: &Ddl, green: ServerVersion, defaults: &Defaults) -> Result<()> {
    let mut settings = settings(ddl, green, defaults);
    if has_session_timestamp_defaults(session, green).await?
        && let Some(is_on) = explicit_defaults_for_timestamp(ddl, green, defaults)
    {
        settings.push(format!("explicit_defaults_for_timestamp = {}", u8::from(is_on)));
    }
    if let Some(pairs) = character_set_collations(session, ddl, green).await? {
        settings.push(format!("character_set_collations = {pairs}"));
    }
    // A schema that the statement itself makes, changes or drops need not be there.
    let is_schema = ddl.objects.iter().any(|object| matches!(object, Object::Schema(_)));
    if !ddl.schema.is_empty() && !is_schema {
        session.run(&format!("USE {}", identifier(&ddl.schema))).await?;
    }
    session.run(&format!("SET SESSION {}", settings.join(", SESSION "))).await?;
    Ok(())
}

fn settings(ddl: &Ddl, green: ServerVersion, defaults: &Defaults) -> Vec<String> {
    let context = &ddl.context;
    let is_new = |minor_or_later| green.is_at_least(Flavor::MySql, minor_or_later);
    let mut settings = vec![
        format!("timestamp = {}.{:06}", ddl.seconds, context.micros.unwrap_or(0)),
        "lock_wait_timeout = 50".to_owned(),
    ];
    let mut set = |name: &str, value: String| settings.push(format!("{name} = {value}"));
    if let Some(options) = context.options {
        set("sql_auto_is_null", u8::from(options & option::AUTO_IS_NULL != 0).to_string());
        set("foreign_key_checks", u8::from(options & option::NO_FOREIGN_KEY_CHECKS == 0).to_string());
        set("unique_checks", u8::from(options & option::RELAXED_UNIQUE_CHECKS == 0).to_string());
        if green.flavor == Flavor::MariaDb {
            set("check_constraint_checks", u8::from(options & option::NO_CHECK_CONSTRAINT_CHECKS == 0).to_string());
        }
    }
    if let Some(mode) = context.sql_mode {
        let mode = if is_new((8, 0, 0)) { mode & !REMOVED_MODES } else { mode };
        set("sql_mode", mode.to_string());
    }
    let (increment, offset) = context.auto_increment.unwrap_or((1, 1));
    set("auto_increment_increment", increment.to_string());
    set("auto_increment_offset", offset.to_string());
    if let Some((client, connection, server)) = context.collations {
        set("character_set_client", charset_of(client, green.flavor));
        set("collation_connection", connection.to_string());
        set("collation_server", server.to_string());
    }
    if let Some(zone) = &context.time_zone {
        set("time_zone", text_literal(zone));
    }
    set("lc_time_names", context.lc_time_names.unwrap_or(0).to_string());
    if let Some(engine) = &defaults.storage_engine {
        set("default_storage_engine", text_literal(engine));
    }
    if is_new((8, 0, 11)) {
        let collation = context.default_collation_for_utf8mb4.unwrap_or(UTF8MB4_GENERAL_CI);
        set("default_collation_for_utf8mb4", collation.to_string());
    }
    if is_new((8, 0, 13)) {
        set("sql_require_primary_key", u8::from(context.sql_require_primary_key == Some(true)).to_string());
    }
    if is_new((8, 0, 16)) {
        set("default_table_encryption", u8::from(context.default_table_encryption == Some(true)).to_string());
    }
    // What blue made by itself is in its text; what it allowed is allowed.
    if is_new((8, 0, 30)) {
        set("sql_generate_invisible_primary_key", "0".to_owned());
    }
    if is_new((8, 4, 0)) {
        set("restrict_fk_on_non_standard_key", "0".to_owned());
    }
    settings
}

/// The character set of a collation as a setting takes it. Numbers of MariaDB's uca1400 collations (from 2048 on) name no
/// character set, unlike all others.
fn charset_of(collation: u16, flavor: Flavor) -> String {
    match Charset::of_collation(flavor, collation) {
        Some(charset) if flavor == Flavor::MariaDb && collation >= 2048 => charset.name().to_owned(),
        _ => collation.to_string(),
    }
}

fn explicit_defaults_for_timestamp(ddl: &Ddl, green: ServerVersion, defaults: &Defaults) -> Option<bool> {
    let logged = match green.flavor {
        Flavor::MySql => ddl.context.explicit_defaults_for_timestamp,
        Flavor::MariaDb => ddl.context.options.map(|options| options & option::EXPLICIT_DEFAULTS_FOR_TIMESTAMP != 0),
    };
    defaults.explicit_defaults_for_timestamp.or(logged)
}

/// MariaDB's default collations by character set; `None`: green has no such setting.
async fn character_set_collations(session: &mut Session, ddl: &Ddl, green: ServerVersion) -> Result<Option<String>> {
    if !green.is_at_least(Flavor::MariaDb, (11, 2, 1)) {
        return Ok(None);
    }
    let mut pairs = Vec::new();
    for (charset, collation) in &ddl.context.character_set_collations {
        let name = |column: &str, id: u16| {
            format!(
                "(SELECT MIN({column}) FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID = {id})"
            )
        };
        let query =
            format!("SELECT {}, {}", name("CHARACTER_SET_NAME", *charset), name("FULL_COLLATION_NAME", *collation));
        if let Some(row) = session.first(&query).await? {
            pairs.push(format!("{}={}", row.text(0), row.text(1)));
        }
    }
    Ok(Some(text_literal(&pairs.join(","))))
}
