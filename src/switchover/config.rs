use std::time::Duration;

use super::hook::Hook;
use crate::checks::Check;
use crate::error::{Error, ErrorKind, Result};
use crate::net::ServerUrl;

/// What to switch, and the bounds in time.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SwitchoverConfig {
    /// Production.
    pub blue: ServerUrl,
    /// What shall become it.
    pub green: ServerUrl,
    /// Bound on the whole. Default 300 s, 30 s to 3600 s.
    pub timeout: Duration,
    /// Bound on the time in which nobody can write. Default 5 s, at least 1 s.
    pub max_write_block: Duration,
    /// Whether schemas, accounts and settings are compared before anything is blocked. Default: they are.
    pub compares_definitions: bool,
    /// Whether connections on blue that hold the switch up (transactions older than 5 s, schema changes) are ended, where
    /// nothing else stands in its way. Their transactions are rolled back. Default: they are not.
    pub kills_blockers: bool,
    /// Guardrails beside the switchover's own, measured by whoever calls it.
    pub checked: Vec<Check>,
    /// Whether blue shall follow green behind the switch, so that a rollback keeps every write, where that is possible.
    /// Default: it shall.
    pub has_way_back: bool,
    /// For tests of faults: not part of the interface.
    #[doc(hidden)]
    pub hook: Hook,
}

impl SwitchoverConfig {
    /// The default bounds.
    pub fn new(blue: ServerUrl, green: ServerUrl) -> SwitchoverConfig {
        SwitchoverConfig {
            blue,
            green,
            timeout: Duration::from_secs(300),
            max_write_block: Duration::from_secs(5),
            compares_definitions: true,
            kills_blockers: false,
            checked: Vec::new(),
            has_way_back: true,
            hook: Hook::default(),
        }
    }

    /// The same with blue and green in each other's place.
    #[must_use]
    pub fn reversed(mut self) -> SwitchoverConfig {
        std::mem::swap(&mut self.blue, &mut self.green);
        self
    }

    /// Adds guardrails that the caller measured: a proof of equality for example.
    #[must_use]
    pub fn checked(mut self, checked: Vec<Check>) -> SwitchoverConfig {
        self.checked = checked;
        self
    }

    /// Ends connections on blue that hold the switch up: see [`kills_blockers`](Self::kills_blockers).
    #[must_use]
    pub fn killing_blockers(mut self, kills: bool) -> SwitchoverConfig {
        self.kills_blockers = kills;
        self
    }

    /// Sets the bounds.
    ///
    /// # Errors
    /// `Config` where one is out of range.
    pub fn bounds(mut self, timeout: Duration, max_write_block: Duration) -> Result<SwitchoverConfig> {
        let wrong =
            |message| Err(Error::new(ErrorKind::Config, message).with_advice("correct --timeout or --max-write-block"));
        if !(30..=3600).contains(&timeout.as_secs()) {
            return wrong("the switchover's timeout is not between 30 and 3600 s");
        }
        if max_write_block.as_secs() < 1 || max_write_block >= timeout {
            return wrong("the bound on the write block is not between 1 s and the switchover's timeout");
        }
        (self.timeout, self.max_write_block) = (timeout, max_write_block);
        Ok(self)
    }
}
