//! What a release of a server writes at the head of its logs: its version, and the length of each event's fixed part
//! (MySQL source, `control_events.cpp`, `Format_description_event`; MariaDB source, `sql/log_event.cc`,
//! `Format_description_log_event`). The lists of 5.6, 9.7, 10.5, 10.11 and 11.8 are equal to those of real logs.

use crate::model::Flavor;

/// The server whose log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Release {
    /// MySQL 5.5: no GTIDs, no checksums.
    MySql55,
    /// MySQL 5.6.
    MySql56,
    /// MySQL 5.7.
    MySql57,
    /// MySQL 8.0, at its end.
    MySql80,
    /// MySQL 8.4.
    MySql84,
    /// MySQL 9.7.
    MySql97,
    /// MariaDB 10.5.
    MariaDb105,
    /// MariaDB 10.11.
    MariaDb1011,
    /// MariaDB 11.8.
    MariaDb118,
    /// MariaDB 12.3.
    MariaDb123,
}

impl Release {
    /// Every release, MySQL first, oldest first.
    pub const ALL: [Release; 10] = [
        Release::MySql55,
        Release::MySql56,
        Release::MySql57,
        Release::MySql80,
        Release::MySql84,
        Release::MySql97,
        Release::MariaDb105,
        Release::MariaDb1011,
        Release::MariaDb118,
        Release::MariaDb123,
    ];

    /// The version as the head of a log names it.
    pub const fn version(self) -> &'static str {
        match self {
            Release::MySql55 => "5.5.62-log",
            Release::MySql56 => "5.6.24-log",
            Release::MySql57 => "5.7.44-log",
            Release::MySql80 => "8.0.43",
            Release::MySql84 => "8.4.6",
            Release::MySql97 => "9.7.4-2",
            Release::MariaDb105 => "10.5.23-MariaDB-0+deb11u1-log",
            Release::MariaDb1011 => "10.11.18-MariaDB-0+deb12u1-log",
            Release::MariaDb118 => "11.8.6-MariaDB-0+deb13u1 from Debian-log",
            Release::MariaDb123 => "12.3.2-MariaDB-log",
        }
    }

    /// The family.
    pub const fn flavor(self) -> Flavor {
        match self {
            Release::MySql55
            | Release::MySql56
            | Release::MySql57
            | Release::MySql80
            | Release::MySql84
            | Release::MySql97 => Flavor::MySql,
            Release::MariaDb105 | Release::MariaDb1011 | Release::MariaDb118 | Release::MariaDb123 => Flavor::MariaDb,
        }
    }

    /// Whether its heads of logs end with the checksum's algorithm: MySQL since 5.6.1, MariaDB since 5.3.
    pub const fn knows_checksums(self) -> bool {
        !matches!(self, Release::MySql55)
    }

    /// The lengths of the events' fixed parts, by number from 1. What is not named is 0.
    pub fn post_header_lengths(self) -> Vec<u8> {
        let count = match self {
            Release::MySql55 => 27,
            Release::MySql56 => 35,
            Release::MySql57 => 38,
            Release::MySql80 => 41,
            Release::MySql84 | Release::MySql97 => 42,
            Release::MariaDb105 | Release::MariaDb1011 | Release::MariaDb118 => 171,
            Release::MariaDb123 => 172,
        };
        let mut lengths = vec![0; count];
        let mut put = |first: usize, values: &[u8]| {
            for (index, value) in values.iter().enumerate().take_while(|(index, _)| first + index <= count) {
                lengths[first + index - 1] = *value;
            }
        };
        let has_gone = |gone: Release| self.flavor() == Flavor::MySql && self as u8 >= gone as u8;
        put(2, &[13, 0, 8]);
        put(9, &[4, 0, 4]);
        // Itself: version, text, time, header length, and these lengths.
        put(15, &[(2 + 50 + 4 + 1 + count) as u8, 0, 4, 26, 8]);
        put(26, &[2]);
        put(30, &[10, 10, 10]);
        if !has_gone(Release::MySql80) {
            // START, LOAD, CREATE_FILE, EXEC_LOAD and NEW_LOAD of old servers.
            for (number, length) in [(1, 56), (6, 18), (8, 4), (10, 4), (12, 18)] {
                put(number, &[length]);
            }
        }
        if !has_gone(Release::MySql84) {
            put(23, &[8, 8, 8]);
        }
        match self {
            Release::MySql55 => {}
            Release::MySql56 => put(33, &[25, 25]),
            Release::MySql57 | Release::MySql80 | Release::MySql84 | Release::MySql97 => {
                put(33, &[42, 42, 0, 18, 52, 0, 10, 40]);
            }
            Release::MariaDb105 | Release::MariaDb1011 | Release::MariaDb118 | Release::MariaDb123 => {
                if self != Release::MariaDb105 {
                    put(39, &[10, 10, 10]);
                }
                put(161, &[4, 19, 4, 0, 13, 8, 8, 8, 10, 10, 10]);
                put(172, &[9]);
            }
        }
        lengths
    }
}
