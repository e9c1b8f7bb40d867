//! Any text is a GTID set or an error; a set reads back from what it prints, and covers itself.
#![no_main]

use bluegreen::model::{GtidSet, MariaDbGtidList};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(set) = text.parse::<GtidSet>() {
        let printed = set.to_string();
        assert_eq!(printed.parse::<GtidSet>().as_ref(), Ok(&set), "{printed}");
        assert!(set.covers(&set));
        assert_eq!(set.count_beyond(&set), 0);
    }
    if let Ok(list) = text.parse::<MariaDbGtidList>() {
        let printed = list.to_string();
        assert_eq!(printed.parse::<MariaDbGtidList>().as_ref(), Ok(&list), "{printed}");
        assert!(list.covers(&list));
    }
});
