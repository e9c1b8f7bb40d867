//! INTVAR, RAND and USER_VAR: values that a logged statement needs (MySQL source,
//! `libs/mysql/binlog/event/statement_events.h`).

use super::event::Event;
use super::kind;

/// Which value an INTVAR sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IntVar {
    /// What `LAST_INSERT_ID()` gives.
    LastInsertId = 1,
    /// The next AUTO_INCREMENT value.
    InsertId = 2,
}

/// The value of a user variable.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum UserValue {
    /// NULL.
    Null,
    /// Text in the character set of this collation's number.
    Text(Vec<u8>, u32),
    /// A floating number.
    Real(f64),
    /// A number with a sign.
    Int(i64),
    /// A number without a sign.
    UInt(u64),
}

/// `my_charset_bin`, the collation of all that is no text.
const BINARY: u32 = 63;

impl Event {
    /// INTVAR.
    pub fn intvar(variable: IntVar, value: u64) -> Event {
        let mut body = vec![variable as u8];
        body.extend(value.to_le_bytes());
        Event::raw(kind::INTVAR, 0, body)
    }

    /// RAND: the two seeds of `RAND()`.
    pub fn rand(first: u64, second: u64) -> Event {
        Event::raw(kind::RAND, 0, [first.to_le_bytes(), second.to_le_bytes()].concat())
    }

    /// USER_VAR (MySQL source, `sql/log_event.cc`, `User_var_log_event::write`).
    pub fn user_var(name: &str, value: &UserValue) -> Event {
        let mut body = Vec::from((name.len() as u32).to_le_bytes());
        body.extend(name.as_bytes());
        // The type's number, the collation, the value's bytes, and for integers whether there is a sign.
        let (type_code, collation, bytes, sign) = match value {
            UserValue::Null => {
                body.push(1);
                return Event::raw(kind::USER_VAR, 0, body);
            }
            UserValue::Text(text, collation) => (0, *collation, text.clone(), None),
            UserValue::Real(number) => (1, BINARY, number.to_le_bytes().to_vec(), None),
            UserValue::Int(number) => (2, BINARY, number.to_le_bytes().to_vec(), Some(0)),
            UserValue::UInt(number) => (2, BINARY, number.to_le_bytes().to_vec(), Some(1)),
        };
        body.extend([0, type_code]);
        body.extend(collation.to_le_bytes());
        body.extend((bytes.len() as u32).to_le_bytes());
        body.extend(bytes);
        body.extend(sign);
        Event::raw(kind::USER_VAR, 0, body)
    }
}
