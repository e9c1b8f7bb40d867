//! PREVIOUS_GTIDS and GTID_LIST: what the files before this one hold (MySQL source, `sql/rpl_gtid_set.cc`,
//! `Gtid_set::encode`; MariaDB source, `sql/log_event.h`, `Gtid_list_log_event`).

use super::gtid::variable_uint;
use crate::decode::cursor::Cursor;
use crate::decode::fault::unsupported;
use crate::error::Result;
use crate::model::{GtidPosition, GtidSet, MariaDbGtid, MariaDbGtidList};

const UNTAGGED: u64 = 0;
const TAGGED: u64 = 1;

/// The body of a PREVIOUS_GTIDS event, which is also how servers send sets elsewhere.
pub(in crate::decode) fn read(cursor: &mut Cursor<'_>) -> Result<GtidPosition> {
    let here = cursor.clone();
    let head = cursor.u64()?;
    let (format, count) = match head >> 56 {
        UNTAGGED => (UNTAGGED, head & 0x00ff_ffff_ffff_ffff),
        // The format stands in the lowest byte again.
        TAGGED => (TAGGED, (head >> 8) & 0xffff_ffff_ffff),
        other => return Err(here.mark(unsupported(format!("GTID sets of format {other} are not known")))),
    };
    let mut set = GtidSet::default();
    for _ in 0..count {
        let uuid = cursor.array()?;
        let tag = match format {
            TAGGED => {
                let length = variable_uint(cursor)?;
                let length = cursor.length(length)?;
                cursor.identifier(length)?
            }
            _ => "",
        };
        for _ in 0..cursor.u64()? {
            let here = cursor.clone();
            let (first, end) = (cursor.u64()?, cursor.u64()?);
            set.insert_interval(uuid, tag, first, end.saturating_sub(1))
                .map_err(|reason| here.corrupt(format!("expected a set of GTIDs, but {reason}")))?;
        }
    }
    if !cursor.is_empty() {
        return Err(cursor.corrupt(format!("expected the end of a set of GTIDs, found {} bytes", cursor.remaining())));
    }
    Ok(GtidPosition::MySql(set))
}

/// The body of a GTID_LIST event. The highest bits of the count are flags.
pub(in crate::decode) fn read_list(cursor: &mut Cursor<'_>) -> Result<GtidPosition> {
    let mut list = MariaDbGtidList::default();
    for _ in 0..cursor.u32()? & 0x0fff_ffff {
        let (domain, server, sequence) = (cursor.u32()?, cursor.u32()?, cursor.u64()?);
        list.insert(MariaDbGtid { domain, server, sequence });
    }
    Ok(GtidPosition::MariaDb(list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_with_and_without_tags() {
        let mut plain = 1_u64.to_le_bytes().to_vec();
        plain.extend([7; 16]);
        plain.extend([2_u64, 1, 4, 6, 7].into_iter().flat_map(u64::to_le_bytes));
        let uuid = "07070707-0707-0707-0707-070707070707";
        let text = |bytes: &[u8]| match read(&mut Cursor::new(bytes)) {
            Ok(GtidPosition::MySql(set)) => set.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text(&plain), format!("{uuid}:1-3:6"));
        let mut tagged = (1_u64 << 56 | 1 << 8 | 1).to_le_bytes().to_vec();
        tagged.extend([7; 16]);
        tagged.extend([2 << 1, b'a', b'b']);
        tagged.extend([1_u64, 5, 6].into_iter().flat_map(u64::to_le_bytes));
        assert_eq!(text(&tagged), format!("{uuid}:ab:5"));
        for cut in 0..tagged.len() {
            assert!(read(&mut Cursor::new(&tagged[..cut])).is_err(), "{cut}");
        }
        assert!(read(&mut Cursor::new(&(u64::MAX >> 8).to_le_bytes())).is_err());
    }
}
