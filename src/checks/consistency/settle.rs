//! Telling rows that differ from rows that only are on their way.
//!
//! A round reads blue's row, waits until green holds all that blue had committed then, reads green's row, and reads
//! blue's again. A row of green that equals either of blue's is settled. A difference is confirmed after several
//! rounds in a row in which neither side changed: one round could be fooled by a value that changes and changes back,
//! and by a log that is ahead of what blue's readers see.

use std::time::Duration;

use super::VerifyConfig;
use super::follow::{Followed, catch_up};
use super::pair::{Pair, Side};
use super::range::KeyText;
use super::reads::{Image, images};
use crate::error::Result;
use crate::net::{Server, ServerUrl, Session};

/// Rounds after which a row that keeps changing is given up on.
const ROUNDS: u32 = 12;
/// Still rounds that confirm a difference.
const CONFIRMING: u32 = 3;
/// The same without a checkpoint, where only time tells: the pauses between them add up to 3.6 s.
const CONFIRMING_BLIND: u32 = 5;
/// Keys that go through a round together.
const BATCH: usize = 500;

/// What rounds have shown of one key.
#[derive(Debug, Clone, Default)]
pub(super) struct Witness<T> {
    still: u32,
    last: Option<(T, T)>,
}

/// What is known after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Green has a value that blue had.
    Settled,
    /// Another round is needed.
    Undecided,
    /// The two differ, and neither moves.
    Confirmed,
}

impl<T: PartialEq> Witness<T> {
    /// One round: blue before, green, blue after.
    pub(super) fn judge(&mut self, before: T, green: T, after: T, confirming: u32) -> Judgement {
        if green == before || green == after {
            return Judgement::Settled;
        }
        if before != after {
            *self = Witness { still: 0, last: None };
            return Judgement::Undecided;
        }
        let now = Some((before, green));
        self.still = if self.last == now { self.still + 1 } else { 1 };
        self.last = now;
        if self.still >= confirming { Judgement::Confirmed } else { Judgement::Undecided }
    }
}

/// The bound on rounds, with the pauses between them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounds {
    round: u32,
    pub(super) confirming: u32,
    is_blind: bool,
}

impl Rounds {
    pub(super) fn new() -> Rounds {
        Rounds { round: 0, confirming: CONFIRMING, is_blind: false }
    }

    /// Whether another round may follow; pauses before it.
    pub(super) async fn next(&mut self) -> bool {
        if self.round > 0 {
            let base = if self.is_blind { 300 } else { 40 };
            tokio::time::sleep(Duration::from_millis(base * u64::from(self.round.min(3)))).await;
        }
        self.round += 1;
        self.round <= ROUNDS
    }

    /// Waits for green; without a checkpoint only more rounds and longer pauses can tell.
    pub(super) async fn catch_up(&mut self, server: &Server, sides: &mut Sides, limit: Duration) -> Result<()> {
        if catch_up(server, &mut sides.blue, &mut sides.green, limit).await? == Followed::NoCheckpoint {
            self.is_blind = true;
            self.confirming = CONFIRMING_BLIND;
        }
        Ok(())
    }
}

/// A session on each server.
pub(super) struct Sides {
    pub(super) blue: Session,
    pub(super) green: Session,
}

impl Sides {
    pub(super) async fn open(config: &VerifyConfig) -> Result<Sides> {
        let (blue, green) = tokio::try_join!(open(&config.blue), open(&config.green))?;
        Ok(Sides { blue, green })
    }

    pub(super) fn of(&mut self, side: Side) -> &mut Session {
        match side {
            Side::Blue => &mut self.blue,
            Side::Green => &mut self.green,
        }
    }

    /// Bounds every statement's answer from now on.
    pub(super) fn set_limit(&mut self, limit: Duration) {
        self.blue.set_limit(limit);
        self.green.set_limit(limit);
    }

    pub(super) async fn close(self) {
        self.blue.close().await;
        self.green.close().await;
    }
}

/// A session that reads all that a server may hold: in other modes a date with impossible parts is no date, and is found
/// by none.
pub(super) async fn open(url: &ServerUrl) -> Result<Session> {
    let mut session = Session::open(url).await?;
    session.run("SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'").await?;
    Ok(session)
}

/// A row that differs, as both servers have it.
pub(super) struct Confirmed {
    pub(super) key: KeyText,
    pub(super) blue: Image,
    pub(super) green: Image,
}

/// What became of the keys whose rows differed at first sight.
#[derive(Default)]
pub(super) struct Settled {
    pub(super) confirmed: Vec<Confirmed>,
    /// The keys of rows that changed in every round.
    pub(super) restless: Vec<KeyText>,
}

/// Goes through rounds until each key is settled, confirmed, or given up on.
pub(super) async fn settle(
    server: &Server,
    sides: &mut Sides,
    pair: &Pair,
    keys: Vec<KeyText>,
    limit: Duration,
) -> Result<Settled> {
    let mut settled = Settled::default();
    for batch in keys.chunks(BATCH) {
        settle_batch(server, sides, pair, batch.to_vec(), limit, &mut settled).await?;
    }
    Ok(settled)
}

async fn settle_batch(
    server: &Server,
    sides: &mut Sides,
    pair: &Pair,
    mut keys: Vec<KeyText>,
    limit: Duration,
    settled: &mut Settled,
) -> Result<()> {
    let mut witnesses: Vec<Witness<Image>> = vec![Witness::default(); keys.len()];
    let mut rounds = Rounds::new();
    while !keys.is_empty() && rounds.next().await {
        let before = images(&mut sides.blue, pair, Side::Blue, &keys).await?;
        rounds.catch_up(server, sides, limit).await?;
        let green = images(&mut sides.green, pair, Side::Green, &keys).await?;
        let after = images(&mut sides.blue, pair, Side::Blue, &keys).await?;
        let (mut open_keys, mut open_witnesses) = (Vec::new(), Vec::new());
        let seen = before.into_iter().zip(green).zip(after);
        for ((key, mut witness), ((before, green), after)) in keys.into_iter().zip(witnesses).zip(seen) {
            match witness.judge(before, green, after, rounds.confirming) {
                Judgement::Settled => {}
                Judgement::Undecided => {
                    open_keys.push(key);
                    open_witnesses.push(witness);
                }
                Judgement::Confirmed => {
                    let (blue, green) = witness.last.unwrap_or_default();
                    settled.confirmed.push(Confirmed { key, blue, green });
                }
            }
        }
        (keys, witnesses) = (open_keys, open_witnesses);
    }
    settled.restless.extend(keys);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_difference_needs_still_rounds() {
        let mut witness = Witness::default();
        assert_eq!(witness.judge(1, 2, 1, 3), Judgement::Undecided);
        assert_eq!(witness.judge(1, 2, 1, 3), Judgement::Undecided);
        assert_eq!(witness.judge(1, 3, 1, 3), Judgement::Undecided, "green moved: start again");
        assert_eq!(witness.judge(1, 3, 1, 3), Judgement::Undecided);
        assert_eq!(witness.judge(1, 3, 1, 3), Judgement::Confirmed);
    }

    #[test]
    fn a_row_that_follows_is_settled() {
        let mut witness = Witness::default();
        assert_eq!(witness.judge(1, 0, 2, 3), Judgement::Undecided, "blue moved");
        assert_eq!(witness.judge(2, 2, 3, 3), Judgement::Settled, "blue's before");
        assert_eq!(witness.judge(2, 3, 3, 3), Judgement::Settled, "blue's after");
    }

    proptest! {
        /// Green that always shows what blue showed at some moment of the round is never called different, unless a
        /// value comes back unseen in every one of the confirming rounds.
        #[test]
        fn a_faithful_green_is_never_confirmed(steps in proptest::collection::vec((0u32..3, 0usize..3), 1..12)) {
            let (mut witness, mut value, mut ended) = (Witness::default(), 0, false);
            for (grow, at) in steps {
                // Values only grow, so none comes back.
                let history = [value, value + grow / 2, value + grow];
                value = history[2];
                if ended { continue; }
                match witness.judge(history[0], history[at], history[2], CONFIRMING) {
                    Judgement::Confirmed => prop_assert!(false, "confirmed a row that follows"),
                    Judgement::Settled => ended = true,
                    Judgement::Undecided => {}
                }
            }
        }
    }
}
