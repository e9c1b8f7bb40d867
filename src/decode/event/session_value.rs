//! INTVAR, RAND and USER_VAR: values of the session that the next statement needs (MySQL source,
//! `libs/mysql/binlog/event/statement_events.h`).

use std::fmt;

use crate::decode::cursor::Cursor;
use crate::decode::event::kind;
use crate::decode::value::{DecimalBuffer, DecimalRef};
use crate::error::Result;

const LAST_INSERT_ID: u8 = 1;
const INSERT_ID: u8 = 2;
/// `DECIMAL_RESULT`.
const DECIMAL: u8 = 4;

/// A value of the session in front of a statement that was logged as text. `Debug` shows the kind only.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionValue {
    /// What `LAST_INSERT_ID()` gives.
    LastInsertId(u64),
    /// The next AUTO_INCREMENT value.
    InsertId(u64),
    /// The seeds of `RAND()`.
    Rand(u64, u64),
    /// A user variable.
    User {
        /// Its name without `@`, in the server's system character set.
        name: Vec<u8>,
        /// Its value; `None` is NULL.
        value: Option<UserValue>,
    },
}

/// A user variable's value as the log holds it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserValue {
    /// 0 string, 1 real (8 bytes), 2 integer (8 bytes), 4 decimal (precision, scale, then as a column's).
    pub result_type: u8,
    /// The collation's number.
    pub collation: u32,
    /// The value's bytes.
    pub bytes: Vec<u8>,
    /// Whether an integer has no sign.
    pub is_unsigned: bool,
}

impl SessionValue {
    pub(in crate::decode) fn read(cursor: &mut Cursor<'_>, number: u8) -> Result<SessionValue> {
        match number {
            kind::INTVAR => {
                let here = cursor.clone();
                let which = cursor.u8()?;
                let value = cursor.u64()?;
                match which {
                    LAST_INSERT_ID => Ok(SessionValue::LastInsertId(value)),
                    INSERT_ID => Ok(SessionValue::InsertId(value)),
                    other => Err(here.corrupt(format!("expected LAST_INSERT_ID or INSERT_ID, found {other}"))),
                }
            }
            kind::RAND => Ok(SessionValue::Rand(cursor.u64()?, cursor.u64()?)),
            _ => read_user(cursor),
        }
    }
}

fn read_user(cursor: &mut Cursor<'_>) -> Result<SessionValue> {
    let length = u64::from(cursor.u32()?);
    let length = cursor.length(length)?;
    let name = cursor.take(length)?.to_vec();
    if cursor.u8()? != 0 {
        return Ok(SessionValue::User { name, value: None });
    }
    let result_type = cursor.u8()?;
    let collation = cursor.u32()?;
    let length = u64::from(cursor.u32()?);
    let length = cursor.length(length)?;
    let bytes = cursor.take(length)?.to_vec();
    // Servers before 5.5.5 wrote no flags.
    let is_unsigned = !cursor.is_empty() && cursor.u8()? & 1 != 0;
    Ok(SessionValue::User { name, value: Some(UserValue { result_type, collation, bytes, is_unsigned }) })
}

impl UserValue {
    /// A decimal's text; `None` for other types, and for bytes that are none.
    pub fn decimal_text(&self) -> Option<String> {
        let [precision, scale, bytes @ ..] = self.bytes.as_slice() else { return None };
        let is_decimal = self.result_type == DECIMAL;
        let decimal = DecimalRef::checked(bytes, *precision, *scale).ok().filter(|_| is_decimal)?;
        decimal.text(&mut DecimalBuffer::default()).ok().map(str::to_owned)
    }
}

impl fmt::Debug for SessionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SessionValue::LastInsertId(_) => "LastInsertId",
            SessionValue::InsertId(_) => "InsertId",
            SessionValue::Rand(..) => "Rand",
            SessionValue::User { .. } => "User",
        })
    }
}

impl fmt::Debug for UserValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserValue(type {}, {} bytes)", self.result_type, self.bytes.len())
    }
}
