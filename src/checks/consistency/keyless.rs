//! Tables whose rows only all columns together name: compared as multisets of row hashes.

use std::collections::HashMap;
use std::time::Duration;

use super::pair::{Pair, Side};
use super::range::Rows;
use super::reads::{Digest, RowHash, counts, digest};
use super::settle::{Judgement, Rounds, Sides, Witness};
use crate::error::Result;
use crate::net::Server;

/// A row that one side has more often than the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Surplus {
    pub(super) hash: RowHash,
    pub(super) blue: u64,
    pub(super) green: u64,
}

/// What became of a keyless table whose digests differed.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) surplus: Vec<Surplus>,
    pub(super) restless: u64,
}

/// Goes through rounds over the whole table until each row is settled or confirmed.
pub(super) async fn settle(server: &Server, sides: &mut Sides, pair: &Pair, limit: Duration) -> Result<Settled> {
    let mut settled = Settled::default();
    let mut rounds = Rounds::new();
    // `None` before the first round: every row is open.
    let mut open: Option<HashMap<RowHash, Witness<u64>>> = None;
    while open.as_ref().is_none_or(|open| !open.is_empty()) && rounds.next().await {
        let before = counts(&mut sides.blue, pair, Side::Blue).await?;
        rounds.catch_up(server, sides, limit).await?;
        let green = counts(&mut sides.green, pair, Side::Green).await?;
        let after = counts(&mut sides.blue, pair, Side::Blue).await?;
        let of = |counts: &HashMap<RowHash, u64>, hash: &RowHash| counts.get(hash).copied().unwrap_or(0);
        let now = open.take().unwrap_or_else(|| {
            let all = before.keys().chain(green.keys()).chain(after.keys());
            all.map(|hash| (*hash, Witness::default())).collect()
        });
        let mut next = HashMap::new();
        for (hash, mut witness) in now {
            let (blue, theirs) = (of(&before, &hash), of(&green, &hash));
            match witness.judge(blue, theirs, of(&after, &hash), rounds.confirming) {
                Judgement::Settled => {}
                Judgement::Undecided => {
                    next.insert(hash, witness);
                }
                Judgement::Confirmed => settled.surplus.push(Surplus { hash, blue, green: theirs }),
            }
        }
        open = Some(next);
    }
    settled.restless = open.map_or(0, |open| open.len() as u64);
    Ok(settled)
}

/// Whether a table that is too large to be read row by row is equal after all, once green has caught up.
pub(super) async fn settles_by_digest(
    server: &Server,
    sides: &mut Sides,
    pair: &Pair,
    limit: Duration,
) -> Result<bool> {
    let mut rounds = Rounds::new();
    let mut witness: Witness<Digest> = Witness::default();
    while rounds.next().await {
        let before = digest(&mut sides.blue, pair, Side::Blue, &Rows::ALL).await?;
        rounds.catch_up(server, sides, limit).await?;
        let green = digest(&mut sides.green, pair, Side::Green, &Rows::ALL).await?;
        let after = digest(&mut sides.blue, pair, Side::Blue, &Rows::ALL).await?;
        match witness.judge(before, green, after, rounds.confirming) {
            Judgement::Settled => return Ok(true),
            Judgement::Confirmed => return Ok(false),
            Judgement::Undecided => {}
        }
    }
    Ok(false)
}
