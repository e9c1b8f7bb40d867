use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Flavor, Gtid, GtidPosition};

/// A log file and a byte offset in it.
///
/// Comparable only within one server's log: file names are compared by base name and number, so `bin.999999` is before
/// `bin.1000000`, and names with different bases are not ordered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Coordinates {
    /// The log file's name as the server lists it, without a folder. Shared: a clone copies no text.
    pub file: Arc<str>,
    /// Bytes from the start of the file.
    pub offset: u64,
}

impl Coordinates {
    /// Coordinates by their parts.
    pub fn new(file: impl Into<Arc<str>>, offset: u64) -> Coordinates {
        Coordinates { file: file.into(), offset }
    }

    /// The file name's base and its number.
    fn parts(&self) -> (&str, Option<u64>) {
        match self.file.rsplit_once('.') {
            Some((base, number)) => (base, number.parse().ok()),
            None => (&self.file, None),
        }
    }
}

impl PartialOrd for Coordinates {
    fn partial_cmp(&self, other: &Coordinates) -> Option<Ordering> {
        if self.file == other.file {
            return Some(self.offset.cmp(&other.offset));
        }
        match (self.parts(), other.parts()) {
            ((base, Some(number)), (other_base, Some(other_number))) if base == other_base => {
                Some(number.cmp(&other_number))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Coordinates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.offset)
    }
}

/// A point to resume from, always just after a commit: the coordinates, and the GTIDs that lie before it where the
/// stream knows them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Position {
    /// Where the next event group starts.
    pub coordinates: Coordinates,
    /// What was executed up to here. `None`: the stream was started by file and offset, so only coordinates count.
    pub gtid: Option<GtidPosition>,
}

impl Position {
    /// A position by its parts.
    pub fn new(coordinates: Coordinates, gtid: Option<GtidPosition>) -> Position {
        Position { coordinates, gtid }
    }

    /// Moves behind what ends at `end` and has these GTIDs. `false`: one of them is of the other flavour, and the position
    /// stays where it was but for the GTIDs before that one.
    #[must_use]
    pub fn pass<'g>(&mut self, gtids: impl IntoIterator<Item = &'g Gtid>, end: Coordinates) -> bool {
        if let Some(executed) = &mut self.gtid
            && !gtids.into_iter().all(|gtid| executed.insert(gtid))
        {
            return false;
        }
        self.coordinates = end;
        true
    }

    /// Whether everything before `other` is before `self` too. By GTID where both know theirs, else by coordinates;
    /// `None` where the two cannot be compared.
    pub fn covers(&self, other: &Position) -> Option<bool> {
        match (&self.gtid, &other.gtid) {
            (Some(mine), Some(theirs)) => mine.covers(theirs),
            _ => Some(self.coordinates.partial_cmp(&other.coordinates)?.is_ge()),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.gtid {
            Some(gtid) => write!(f, "{} (gtid {gtid})", self.coordinates),
            None => self.coordinates.fmt(f),
        }
    }
}

/// Where a stream is asked to start: the command line's `beginning`, `current`, `gtid:SET`, `file:NAME:OFFSET`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartPosition {
    /// The oldest log that the server still has.
    Beginning,
    /// The end of the log at the time of asking.
    Current,
    /// After these GTIDs, in the text of whichever flavour the server is.
    Gtid(String),
    /// At these coordinates.
    File(Coordinates),
}

impl StartPosition {
    /// The GTID text read as `flavor` writes it.
    ///
    /// # Errors
    /// The reason, where the text is not a GTID set (MySQL) or list (MariaDB).
    pub fn parse_gtid(text: &str, flavor: Flavor) -> Result<GtidPosition, String> {
        GtidPosition::parse(flavor, text)
    }
}

impl FromStr for StartPosition {
    type Err = String;

    fn from_str(text: &str) -> Result<StartPosition, String> {
        let wrong = || format!("`{text}` is no position; write beginning, current, gtid:SET or file:NAME:OFFSET");
        match text.split_once(':') {
            None if text == "beginning" => Ok(StartPosition::Beginning),
            None if text == "current" => Ok(StartPosition::Current),
            Some(("gtid", set)) => Ok(StartPosition::Gtid(set.to_owned())),
            Some(("file", rest)) => {
                let (file, offset) = rest.rsplit_once(':').ok_or_else(wrong)?;
                let offset = offset.parse().map_err(|_| wrong())?;
                if file.is_empty() || offset < 4 {
                    return Err(wrong());
                }
                Ok(StartPosition::File(Coordinates::new(file, offset)))
            }
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_by_number() {
        let at = Coordinates::new;
        assert!(at("bin.999999", 9) < at("bin.1000000", 4));
        assert!(at("bin.000002", 5) > at("bin.000002", 4));
        assert_eq!(at("a.000001", 4).partial_cmp(&at("b.000001", 4)), None);
    }

    #[test]
    fn start_positions_are_read() {
        assert_eq!(
            "file:mysql-bin.000002:157".parse(),
            Ok(StartPosition::File(Coordinates::new("mysql-bin.000002", 157)))
        );
        assert_eq!("gtid:0-1-5".parse(), Ok(StartPosition::Gtid("0-1-5".into())));
        for wrong in ["", "now", "file:x", "file:x:3", "file::4", "file:x:y"] {
            assert!(wrong.parse::<StartPosition>().is_err(), "{wrong}");
        }
    }
}
