//! What the demo claims, checked against what the clients noted and what the servers answer.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use serde::Serialize;

use super::traffic::{self, Record};
use crate::output::count;

/// One claim.
#[derive(Debug, Serialize)]
pub(super) struct Claim {
    pub(super) name: &'static str,
    pub(super) holds: bool,
    pub(super) evidence: String,
}

impl Claim {
    pub(super) fn new(name: &'static str, holds: bool, evidence: impl Into<String>) -> Claim {
        Claim { name, holds, evidence: evidence.into() }
    }
}

/// What all clients saw together, and what of it is on the new production.
#[derive(Debug, Serialize)]
pub(super) struct Writes {
    pub(super) acknowledged: u64,
    /// COMMIT was sent and not answered: whether they are there is left open, and both is right.
    pub(super) unanswered: u64,
    pub(super) unanswered_present: u64,
    /// Acknowledged and not there.
    pub(super) lost: u64,
    /// There more than once.
    pub(super) repeated: u64,
    /// There, though no client committed them.
    pub(super) unexplained: u64,
    /// Between two OKs of one client, from the start to the end.
    pub(super) longest_gap_ms: f64,
    /// The same, of the gaps that the switchover fell into.
    pub(super) switchover_gap_ms: f64,
    pub(super) errors: BTreeMap<String, u64>,
}

/// Compares the clients' notes with the numbers that the server at `address` holds.
/// `switching` is when the switchover began and ended.
pub(super) async fn writes(
    records: &[Record],
    switching: (Instant, Instant),
    address: SocketAddr,
) -> mysql_async::Result<Writes> {
    let mut open = traffic::connect(address).await?;
    let rows: Vec<(u64, u64)> = open.query("SELECT operation, COUNT(*) FROM shop.ledger GROUP BY operation").await?;
    open.disconnect().await?;
    let mut writes = compare(records, &rows.into_iter().collect());
    let gaps = || records.iter().flat_map(|record| record.gaps.iter().copied());
    let longest = |gaps: &mut dyn Iterator<Item = (Instant, Duration)>| {
        gaps.map(|(_, gap)| gap.as_secs_f64() * 1e3).fold(0.0, f64::max)
    };
    writes.longest_gap_ms = longest(&mut gaps());
    writes.switchover_gap_ms =
        longest(&mut gaps().filter(|(end, gap)| *end > switching.0 && *end - *gap < switching.1));
    Ok(writes)
}

fn compare(records: &[Record], present: &HashMap<u64, u64>) -> Writes {
    let acknowledged: HashSet<u64> = records.iter().flat_map(|record| record.acknowledged.iter().copied()).collect();
    let unanswered: HashSet<u64> = records.iter().flat_map(|record| record.unanswered.iter().copied()).collect();
    let mut errors = BTreeMap::new();
    for (what, times) in records.iter().flat_map(|record| &record.errors) {
        *errors.entry(what.clone()).or_default() += times;
    }
    let of = |number: usize| number as u64;
    Writes {
        acknowledged: of(acknowledged.len()),
        unanswered: of(unanswered.len()),
        unanswered_present: of(unanswered.iter().filter(|number| present.contains_key(number)).count()),
        lost: of(acknowledged.iter().filter(|number| !present.contains_key(number)).count()),
        repeated: of(present.values().filter(|times| **times > 1).count()),
        unexplained: of(present
            .keys()
            .filter(|number| !acknowledged.contains(number) && !unanswered.contains(number))
            .count()),
        longest_gap_ms: 0.0,
        switchover_gap_ms: 0.0,
        errors,
    }
}

impl Writes {
    /// No write lost, none repeated, none from nowhere.
    pub(super) fn claim(&self) -> Claim {
        let holds = self.acknowledged > 0 && self.lost + self.repeated + self.unexplained == 0;
        let evidence = format!(
            "{} writes got an OK: {} of them lost, {} there twice, {} from nowhere; of {} without an answer {} are there",
            count(self.acknowledged),
            self.lost,
            self.repeated,
            self.unexplained,
            self.unanswered,
            self.unanswered_present
        );
        Claim::new("every_acknowledged_write_once", holds, evidence)
    }
}

/// Which server answers at an address: its port and whether it takes the application's writes.
pub(super) async fn server_behind(address: SocketAddr) -> mysql_async::Result<u16> {
    let mut open = traffic::connect(address).await?;
    let port: Option<u16> = open.query_first("SELECT @@port").await?;
    open.disconnect().await?;
    Ok(port.unwrap_or_default())
}

/// The old production refuses the application's writes, because it is read-only.
pub(super) async fn refuses_writes(address: SocketAddr) -> Claim {
    const NAME: &str = "old_production_refuses_writes";
    let attempt = async {
        let mut open = traffic::connect(address).await?;
        open.query_drop("INSERT INTO shop.ledger (operation, kind) VALUES (0, 'late')").await
    };
    match attempt.await {
        Err(mysql_async::Error::Server(refusal)) if matches!(refusal.code, 1290 | 1836) => {
            Claim::new(NAME, true, format!("a write there gets server error {}", refusal.code))
        }
        Err(error) => Claim::new(NAME, false, format!("a write there fails for another reason: {error}")),
        Ok(()) => Claim::new(NAME, false, "a write there is taken"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(acknowledged: &[u64], unanswered: &[u64]) -> Record {
        Record { acknowledged: acknowledged.to_vec(), unanswered: unanswered.to_vec(), ..Record::default() }
    }

    #[test]
    fn a_write_without_an_answer_may_be_there_or_not() {
        let records = [seen(&[1, 2], &[3]), seen(&[10], &[11])];
        let writes = compare(&records, &[(1, 1), (2, 1), (3, 1), (10, 1)].into());
        assert!(writes.claim().holds, "{writes:?}");
        assert_eq!((writes.unanswered, writes.unanswered_present), (2, 1));
    }

    #[test]
    fn what_is_lost_repeated_or_from_nowhere_shows() {
        let records = [seen(&[1, 2], &[])];
        for (present, expected) in
            [(vec![(1, 1)], (1, 0, 0)), (vec![(1, 1), (2, 2)], (0, 1, 0)), (vec![(1, 1), (2, 1), (3, 1)], (0, 0, 1))]
        {
            let writes = compare(&records, &present.into_iter().collect());
            assert_eq!((writes.lost, writes.repeated, writes.unexplained), expected);
            assert!(!writes.claim().holds);
        }
        assert!(!compare(&[], &HashMap::new()).claim().holds, "nothing was written");
    }
}
