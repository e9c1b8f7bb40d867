use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The part of a MySQL GTID before the number: a UUID, and from 8.3 on an optional tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Origin {
    uuid: [u8; 16],
    tag: String,
}

impl Origin {
    fn new(uuid: [u8; 16], tag: &str) -> Result<Origin, String> {
        let is_word = |c: char| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit();
        let tag = tag.to_ascii_lowercase();
        if tag.len() > 32 || !tag.chars().all(is_word) || tag.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("`{tag}` is not a GTID tag"));
        }
        Ok(Origin { uuid, tag })
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
    if digits.len() != 32 {
        return None;
    }
    let mut uuid = [0; 16];
    for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(uuid)
}

fn fmt_uuid(uuid: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, byte) in uuid.iter().enumerate() {
        let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
        write!(f, "{dash}{byte:02x}")?;
    }
    Ok(())
}

/// `uuid[:tag]:number` (MySQL manual, "GTID Format and Storage").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MySqlGtid {
    origin: Origin,
    number: u64,
}

impl MySqlGtid {
    /// A GTID by its parts; an empty `tag` is none.
    ///
    /// # Errors
    /// The reason, where the tag or the number is not one.
    pub fn new(uuid: [u8; 16], tag: &str, number: u64) -> Result<MySqlGtid, String> {
        if number == 0 || number >= i64::MAX as u64 {
            return Err(format!("{number} is not a GTID number"));
        }
        Ok(MySqlGtid { origin: Origin::new(uuid, tag)?, number })
    }

    /// The server that first ran the transaction.
    pub fn uuid(&self) -> [u8; 16] {
        self.origin.uuid
    }

    /// Ever-growing within UUID and tag, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl fmt::Display for MySqlGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_uuid(&self.origin.uuid, f)?;
        if !self.origin.tag.is_empty() {
            write!(f, ":{}", self.origin.tag)?;
        }
        write!(f, ":{}", self.number)
    }
}

/// A set of MySQL GTIDs, as intervals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GtidSet {
    /// Per origin: disjoint, not touching, ascending `[first, last]`.
    intervals: BTreeMap<Origin, Vec<(u64, u64)>>,
}

impl GtidSet {
    /// Adds one GTID.
    pub fn insert(&mut self, gtid: &MySqlGtid) {
        self.add(gtid.origin.clone(), gtid.number, gtid.number);
    }

    /// Adds the numbers `first..=last` of a UUID; an empty `tag` is none.
    ///
    /// # Errors
    /// The reason, where tag or interval is not one.
    pub fn insert_interval(&mut self, uuid: [u8; 16], tag: &str, first: u64, last: u64) -> Result<(), String> {
        if first == 0 || first > last || last >= i64::MAX as u64 {
            return Err(format!("{first}-{last} is not a GTID interval"));
        }
        self.add(Origin::new(uuid, tag)?, first, last);
        Ok(())
    }

    fn add(&mut self, origin: Origin, first: u64, last: u64) {
        let list = self.intervals.entry(origin).or_default();
        // The intervals that overlap or touch [first, last] are start..end.
        let start = list.partition_point(|&(_, end)| end < first.saturating_sub(1));
        let end = list.partition_point(|&(begin, _)| begin <= last.saturating_add(1));
        let merged = list
            .get(start..end)
            .unwrap_or_default()
            .iter()
            .fold((first, last), |(low, high), &(a, b)| (low.min(a), high.max(b)));
        list.splice(start..end, [merged]);
    }

    /// Whether there is no GTID in it.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// How many GTIDs it holds.
    pub fn count(&self) -> u64 {
        self.intervals.values().flatten().fold(0, |sum, (first, last)| sum.saturating_add(last - first + 1))
    }

    /// Whether `gtid` is in it.
    pub fn contains(&self, gtid: &MySqlGtid) -> bool {
        self.has(&gtid.origin, gtid.number, gtid.number)
    }

    fn has(&self, origin: &Origin, first: u64, last: u64) -> bool {
        self.intervals.get(origin).is_some_and(|list| {
            let at = list.partition_point(|&(_, end)| end < first);
            list.get(at).is_some_and(|&(begin, end)| begin <= first && last <= end)
        })
    }

    /// Whether all of `other` is in `self`.
    pub fn covers(&self, other: &GtidSet) -> bool {
        other.intervals.iter().all(|(origin, list)| list.iter().all(|&(first, last)| self.has(origin, first, last)))
    }

    /// How many GTIDs of `self` are not in `other`.
    pub fn count_beyond(&self, other: &GtidSet) -> u64 {
        let common = self.intervals.iter().fold(0u64, |sum, (origin, mine)| {
            let theirs = other.intervals.get(origin).map(Vec::as_slice).unwrap_or_default();
            sum.saturating_add(common_count(mine, theirs))
        });
        self.count().saturating_sub(common)
    }

    /// Origins and intervals in order, for the dump request: UUID, tag (empty: none), `[first, last]` each.
    pub fn iter(&self) -> impl Iterator<Item = ([u8; 16], &str, &[(u64, u64)])> {
        self.intervals.iter().map(|(origin, list)| (origin.uuid, origin.tag.as_str(), list.as_slice()))
    }
}

/// How many numbers lie in both of two ascending interval lists.
fn common_count(mut a: &[(u64, u64)], mut b: &[(u64, u64)]) -> u64 {
    let mut count = 0;
    while let ([(a_first, a_last), a_rest @ ..], [(b_first, b_last), b_rest @ ..]) = (a, b) {
        let (low, high) = (*a_first.max(b_first), *a_last.min(b_last));
        count += (high + 1).saturating_sub(low);
        if a_last < b_last { a = a_rest } else { b = b_rest }
    }
    count
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last_uuid = None;
        for (origin, list) in &self.intervals {
            if last_uuid != Some(origin.uuid) {
                if last_uuid.is_some() {
                    f.write_str(",")?;
                }
                fmt_uuid(&origin.uuid, f)?;
                last_uuid = Some(origin.uuid);
            }
            if !origin.tag.is_empty() {
                write!(f, ":{}", origin.tag)?;
            }
            for (first, last) in list {
                write!(f, ":{first}")?;
                if first != last {
                    write!(f, "-{last}")?;
                }
            }
        }
        Ok(())
    }
}

impl FromStr for GtidSet {
    type Err = String;

    /// Reads `uuid[:tag]:1-5:7[:tag2:1-3],…`, white space and line ends between parts allowed.
    fn from_str(text: &str) -> Result<GtidSet, String> {
        let mut set = GtidSet::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut fields = part.split(':').map(str::trim);
            let uuid =
                fields.next().and_then(parse_uuid).ok_or_else(|| format!("`{part}` does not start with a UUID"))?;
            let mut tag = "";
            for field in fields {
                let is_interval = field.starts_with(|c: char| c.is_ascii_digit());
                if !is_interval {
                    tag = field;
                    continue;
                }
                let (first, last) = field.split_once('-').unwrap_or((field, field));
                match (first.trim().parse(), last.trim().parse()) {
                    (Ok(first), Ok(last)) => set.insert_interval(uuid, tag, first, last)?,
                    _ => return Err(format!("`{field}` is not a GTID interval")),
                }
            }
        }
        Ok(set)
    }
}

impl serde::Serialize for GtidSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for GtidSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const UUID: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn set(text: &str) -> GtidSet {
        text.replace('U', UUID).parse().unwrap()
    }

    #[test]
    fn text_is_read_and_written() {
        assert_eq!(set("U:1-3:5:4").to_string(), format!("{UUID}:1-5"));
        assert_eq!(set("U:7:tag_a:1-2:9").to_string(), format!("{UUID}:7:tag_a:1-2:9"));
        assert_eq!(set(" U:1 ,\n U:2").count(), 2);
        for wrong in ["x:1", "U:0", "U:5-2", "U:1x", "U:b@d:1"] {
            assert!(wrong.replace('U', UUID).parse::<GtidSet>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_tag_is_another_origin() {
        assert!(!set("U:1-9").covers(&set("U:t:1")));
        assert_eq!(set("U:1-9:t:1-3").count_beyond(&set("U:3-4")), 10);
    }

    fn model() -> impl Strategy<Value = BTreeSet<u64>> {
        proptest::collection::btree_set(1u64..40, 0..30)
    }

    fn of(numbers: &BTreeSet<u64>) -> GtidSet {
        let mut set = GtidSet::default();
        for number in numbers {
            set.insert(&MySqlGtid::new(parse_uuid(UUID).unwrap(), "", *number).unwrap());
        }
        set
    }

    proptest! {
        /// The interval set behaves as a plain set of numbers does.
        #[test]
        fn equals_a_plain_set(a in model(), b in model()) {
            let (x, y) = (of(&a), of(&b));
            prop_assert_eq!(x.count(), a.len() as u64);
            prop_assert_eq!(x.covers(&y), b.is_subset(&a));
            prop_assert_eq!(x.count_beyond(&y), a.difference(&b).count() as u64);
            prop_assert_eq!(x.to_string().parse::<GtidSet>().unwrap(), x);
        }
    }
}
