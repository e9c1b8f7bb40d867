use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// `domain-server-sequence` (MariaDB manual, "Global Transaction ID").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the three parts are the format")]
pub struct MariaDbGtid {
    /// Replication domain: each is a stream of its own.
    pub domain: u32,
    /// Server id of the server that first ran the transaction.
    pub server: u32,
    /// Ever-growing within the domain.
    pub sequence: u64,
}

impl fmt::Display for MariaDbGtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

impl FromStr for MariaDbGtid {
    type Err = String;

    fn from_str(text: &str) -> Result<MariaDbGtid, String> {
        let mut parts = text.trim().split('-');
        let mut next = || parts.next().ok_or(());
        let parsed = (|| {
            let gtid = MariaDbGtid {
                domain: next()?.parse().map_err(drop)?,
                server: next()?.parse().map_err(drop)?,
                sequence: next()?.parse().map_err(drop)?,
            };
            next().err().map(|()| gtid).ok_or(())
        })();
        parsed.map_err(|()| format!("`{text}` is not a MariaDB GTID (domain-server-sequence)"))
    }
}

/// The last GTID of each domain. Not a set: it says "up to here" for each domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MariaDbGtidList {
    last: BTreeMap<u32, MariaDbGtid>,
}

impl MariaDbGtidList {
    /// Makes `gtid` its domain's last.
    pub fn insert(&mut self, gtid: MariaDbGtid) {
        self.last.insert(gtid.domain, gtid);
    }

    /// The domains' last GTIDs, by domain.
    pub fn iter(&self) -> impl Iterator<Item = &MariaDbGtid> {
        self.last.values()
    }

    /// Whether nothing was executed.
    pub fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// Whether each domain of `other` is here, with at least its sequence number.
    pub fn covers(&self, other: &MariaDbGtidList) -> bool {
        other.iter().all(|theirs| self.last.get(&theirs.domain).is_some_and(|mine| mine.sequence >= theirs.sequence))
    }

    /// Sum over the domains of how far this is ahead of `other`.
    pub fn count_beyond(&self, other: &MariaDbGtidList) -> u64 {
        self.iter().fold(0, |sum, mine| {
            let theirs = other.last.get(&mine.domain).map_or(0, |gtid| gtid.sequence);
            sum.saturating_add(mine.sequence.saturating_sub(theirs))
        })
    }
}

impl fmt::Display for MariaDbGtidList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, gtid) in self.iter().enumerate() {
            write!(f, "{}{gtid}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for MariaDbGtidList {
    type Err = String;

    fn from_str(text: &str) -> Result<MariaDbGtidList, String> {
        let mut list = MariaDbGtidList::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let gtid: MariaDbGtid = part.parse()?;
            if list.last.contains_key(&gtid.domain) {
                return Err(format!("domain {} is named twice in a MariaDB GTID list", gtid.domain));
            }
            list.insert(gtid);
        }
        Ok(list)
    }
}

impl serde::Serialize for MariaDbGtidList {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for MariaDbGtidList {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_the_last_of_each_domain() {
        let mut list: MariaDbGtidList = "1-7-3, 0-1-5".parse().unwrap();
        assert_eq!(list.to_string(), "0-1-5,1-7-3");
        let before = list.clone();
        list.insert("0-2-9".parse().unwrap());
        assert!(list.covers(&before) && !before.covers(&list));
        assert_eq!(list.count_beyond(&before), 4);
        for wrong in ["0-1", "0-1-5,0-2-6", "0-1-5-6", "a-b-c", "-1-2"] {
            assert!(wrong.parse::<MariaDbGtidList>().is_err(), "{wrong}");
        }
    }
}
