//! Facts about blue and green: settings, lag, blockers, drift, equality.
//!
//! # Invariants
//! 1. Unknown is no: what could not be read is [`Verdict::Unknown`] or [`Lag::Unknown`], never a pass, and
//!    [`Check::blocks`] says so.
//! 2. A check only reads. Nothing here changes a row, takes a lock or sets a variable on either server.
//! 3. Lag is never negative: green's checkpoint is read before blue's head.
//! 4. A difference is reported after blue's row was seen unchanged around a read of green that held all that blue had
//!    committed before it; a row that only is on its way is not one.
//! 5. Evidence names settings, connections, tables and counts. Row values appear in one place only: as the keys in
//!    [`Verification::differences`].
//!
//! What is done about a fact is decided elsewhere: this module knows nothing of a switchover, and repairs nothing.

mod blockers;
mod conflicts;
mod consistency;
mod drift;
mod lag;
pub mod preflight;
mod readiness;

use std::time::Instant;

use serde::ser::SerializeStruct;

pub(crate) use self::blockers::{
    are_gone, blocking_connections, no_long_transaction, no_prepared_transaction, no_running_ddl,
};
pub(crate) use self::conflicts::no_conflicts;
pub use self::consistency::{
    Difference, DifferenceKind, KeyValue, Positions, Scope, Unverified, Verification, Verifier, VerifyConfig,
    VerifyProgress, verify,
};
pub(crate) use self::consistency::{
    Due, KeyText, OpenRows, Pace, Part, Range, Walk, changed, follow, moved, wait_until_visible,
};
pub use self::drift::{Intended, drift};
pub(crate) use self::drift::{measure as measure_drift, settings_drift};
pub use self::lag::{Clocks, Lag, LagProbe, Lags, Mark};
pub(crate) use self::lag::{is_level, measure as measure_lag};
pub(crate) use self::readiness::{as_durable, no_other_replication, warm};

/// The answer to a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Works, but somebody should know.
    Warn,
    /// Not as it must be.
    Fail,
    /// Could not be found out, which counts as no.
    Unknown,
}

/// One measured fact and what it means.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Check {
    /// Stable name, for scripts.
    pub name: &'static str,
    /// The answer.
    pub verdict: Verdict,
    /// What was seen.
    pub evidence: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// When it was measured; its age is in the JSON.
    pub measured_at: Instant,
}

impl Check {
    /// A check that was made now.
    pub fn new(name: &'static str, verdict: Verdict, evidence: impl Into<String>) -> Check {
        Check { name, verdict, evidence: evidence.into(), advice: None, measured_at: Instant::now() }
    }

    /// A fact that could not be read.
    pub fn unknown(name: &'static str, error: &crate::Error) -> Check {
        let check = Check::new(name, Verdict::Unknown, format!("could not be read: {}", error.message()));
        match error.advice() {
            Some(advice) => check.with_advice(advice),
            None => check,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_advice(mut self, advice: impl Into<String>) -> Check {
        self.advice = Some(advice.into());
        self
    }

    /// Whether this stands in the way: a failure, or something that is not known (invariant 1).
    pub fn blocks(&self) -> bool {
        matches!(self.verdict, Verdict::Fail | Verdict::Unknown)
    }
}

impl serde::Serialize for Check {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut check = serializer.serialize_struct("Check", 5)?;
        check.serialize_field("name", self.name)?;
        check.serialize_field("verdict", &self.verdict)?;
        check.serialize_field("evidence", &self.evidence)?;
        check.serialize_field("advice", &self.advice)?;
        check.serialize_field("age_seconds", &self.measured_at.elapsed().as_secs_f64())?;
        check.end()
    }
}

/// At most five names, and how many more there are.
pub(crate) fn named(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_cut() {
        let names: Vec<String> = (1..=7).map(|n| format!("t{n}")).collect();
        assert_eq!(named(&names), "t1, t2, t3, t4, t5 and 2 more");
        assert_eq!(named(&names[..2]), "t1, t2");
    }

    #[test]
    fn unknown_is_no() {
        let of = |verdict| Check::new("x", verdict, "").blocks();
        assert_eq!([Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Unknown].map(of), [false, false, true, true]);
    }

    #[test]
    fn the_json_is_the_contracts() {
        let value = serde_json::to_value(Check::new("log_bin", Verdict::Warn, "on").with_advice("none")).unwrap();
        assert_eq!(value["name"], "log_bin");
        assert_eq!(value["verdict"], "warn");
        assert_eq!(value["evidence"], "on");
        assert_eq!(value["advice"], "none");
    }
}
