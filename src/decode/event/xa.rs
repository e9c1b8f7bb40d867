//! Two-phase transactions: XA_PREPARE, and the ids by which a later transaction ends a prepared one (MySQL source,
//! `libs/mysql/binlog/event/control_events.h`, `XA_prepare_event`; `sql/xa.h`, `XID`).

use std::fmt;

use crate::decode::cursor::Cursor;
use crate::error::Result;

/// The two parts of an id have at most so many bytes together.
const MAX_LENGTH: usize = 128;

/// The id of a two-phase transaction.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Xid {
    /// The id's format, 1 unless the application says another one.
    pub format: u32,
    /// The global part.
    pub global: Vec<u8>,
    /// The branch.
    pub branch: Vec<u8>,
}

impl Xid {
    /// The part of the event behind `one_phase`, and of MariaDB's GTID event with lengths of one byte.
    pub(in crate::decode) fn read(cursor: &mut Cursor<'_>, has_short_lengths: bool) -> Result<Xid> {
        let here = cursor.clone();
        let format = cursor.u32()?;
        let (global, branch) = match has_short_lengths {
            true => (usize::from(cursor.u8()?), usize::from(cursor.u8()?)),
            false => (cursor.u32()?.try_into().unwrap_or(usize::MAX), cursor.u32()?.try_into().unwrap_or(usize::MAX)),
        };
        if global.saturating_add(branch) > MAX_LENGTH {
            return Err(here.corrupt(format!("expected an XA id of at most {MAX_LENGTH} bytes, found a longer one")));
        }
        Ok(Xid { format, global: cursor.take(global)?.to_vec(), branch: cursor.take(branch)?.to_vec() })
    }

    /// The text that servers log: `X'6162',X'',1`.
    pub(in crate::decode) fn parse(text: &[u8]) -> Option<Xid> {
        let text = std::str::from_utf8(text).ok()?;
        let mut parts = text.split(',').map(str::trim);
        let global = hex(parts.next()?)?;
        let branch = parts.next().map_or(Some(Vec::new()), hex)?;
        let format = parts.next().map_or(Some(1), |part| part.parse().ok())?;
        let is_id = parts.next().is_none() && global.len().saturating_add(branch.len()) <= MAX_LENGTH;
        is_id.then_some(Xid { format, global, branch })
    }
}

/// The bytes of `X'…'`.
fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(['X', 'x'])?.strip_prefix('\'')?.strip_suffix('\'')?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |pair: &[u8; 2]| {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        u8::try_from(high?.checked_mul(16)?.checked_add(low?)?).ok()
    };
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

impl fmt::Debug for Xid {
    /// As servers log it: an id is the application's and no row's value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            f.write_str("X'")?;
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_str("',")
        };
        part(f, &self.global)?;
        part(f, &self.branch)?;
        write!(f, "{}", self.format)
    }
}

/// XA_PREPARE: the end of a two-phase transaction's changes.
pub(in crate::decode) struct XaPrepare {
    /// The transaction is committed at once.
    pub(in crate::decode) is_one_phase: bool,
    pub(in crate::decode) xid: Xid,
}

impl XaPrepare {
    pub(in crate::decode) fn read(cursor: &mut Cursor<'_>) -> Result<XaPrepare> {
        let is_one_phase = cursor.u8()? != 0;
        Ok(XaPrepare { is_one_phase, xid: Xid::read(cursor, false)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_from_both_forms() {
        let mut event = vec![0];
        event.extend([7_u32, 2, 1].into_iter().flat_map(u32::to_le_bytes));
        event.extend(b"abc");
        let read = XaPrepare::read(&mut Cursor::new(&event)).unwrap();
        assert!(!read.is_one_phase);
        assert_eq!(read.xid, Xid::parse(b"X'6162',X'63',7").unwrap());
        assert_eq!(format!("{:?}", read.xid), "X'6162',X'63',7");
        assert_eq!(Xid::parse(b"X'61'").unwrap(), Xid { format: 1, global: b"a".to_vec(), branch: Vec::new() });
        for wrong in ["", "X'6'", "X'6g'", "'a'", "X'61',X'',1,2", "X'61',X'',x"] {
            assert!(Xid::parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
        event[5..9].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(XaPrepare::read(&mut Cursor::new(&event)).is_err());
    }
}
