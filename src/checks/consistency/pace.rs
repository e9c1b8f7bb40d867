//! How fast blue is read: short statements always, and seldom ones while clients write there.
//!
//! On a busy blue one statement of the comparison runs at a time, in a share of the time only. The share follows what
//! clients feel: a look at the server's counters, a statement without work of its own, is timed, and where it takes far
//! longer than the quickest did, the share is halved; else it grows back to its bound.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::error::Result;
use crate::net::Session;

/// Rows below which no chunk goes: a statement costs something of its own.
const FEWEST_ROWS: u64 = 100;
/// Between two looks at what blue has to do.
const LOOK: Duration = Duration::from_millis(250);
/// Statements of clients in a second that change something, from which on blue counts as busy.
const BUSY: f64 = 10.0;

/// Below this part of the time a comparison does not go.
const LEAST_SHARE: f64 = 0.01;
/// Behind a statement over a table that no key cuts, a rest in proportion could take hours.
const LONGEST_REST: Duration = Duration::from_secs(10);
/// A look that takes so many times longer than the quickest says that clients wait, too.
const SLOW: f64 = 2.0;
/// But not where it is a matter of less than this.
const SLACK: Duration = Duration::from_millis(1);

/// The pace of all connections together.
#[derive(Debug)]
pub(crate) struct Pace {
    /// What a statement on blue may take.
    target: Duration,
    most_rows: u64,
    rows: AtomicU64,
    gate: Mutex<Gate>,
}

/// What is known of blue's load. Whoever holds it keeps the others from starting.
#[derive(Debug)]
struct Gate {
    looked: Option<(Instant, u64)>,
    is_busy: bool,
    /// The quickest look; it fades, as servers change.
    quickest: Duration,
    /// The part of the time in which a statement runs on a busy blue, and the most of it.
    share: f64,
    most_share: f64,
}

/// The right to run a statement on blue; on a busy one nobody else has it at the same time.
pub(crate) struct Turn<'a> {
    alone: Option<MutexGuard<'a, Gate>>,
    began: Instant,
}

impl Pace {
    pub(crate) fn new(most_rows: u64, target: Duration, busy_share: f64) -> Pace {
        let most_rows = most_rows.max(1);
        let gate = Mutex::new(Gate::new(busy_share.clamp(LEAST_SHARE, 1.0)));
        Pace { target, most_rows, rows: AtomicU64::new(most_rows), gate }
    }

    /// How many rows the next chunk should have.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Waits for a turn.
    pub(crate) async fn turn(&self, blue: &mut Session) -> Result<Turn<'_>> {
        let mut gate = self.gate.lock().await;
        gate.look(blue).await?;
        let alone = gate.is_busy.then_some(gate);
        Ok(Turn { alone, began: Instant::now() })
    }

    /// Takes note of what a statement over `rows` rows took, and rests where blue is busy.
    pub(crate) async fn end(&self, turn: Turn<'_>, rows: u64, took: Duration) {
        self.adapt(rows, took);
        if let Some(gate) = turn.alone {
            let rest = took.div_f64(gate.share).saturating_sub(took).min(LONGEST_REST);
            tokio::time::sleep_until(turn.began + took + rest).await;
        }
    }

    /// Halves or doubles at most: one slow statement is no rule.
    fn adapt(&self, rows: u64, took: Duration) {
        let now = self.rows();
        let full = rows.saturating_mul(2) >= now;
        let fitting = (rows as f64 * self.target.as_secs_f64() / took.as_secs_f64().max(1e-6)) as u64;
        let next = match fitting < now {
            true => fitting.max(now / 2),
            false if full => fitting.min(now.saturating_mul(2)),
            // The last piece of a table says nothing of longer ones.
            false => now,
        };
        self.rows.store(next.clamp(FEWEST_ROWS.min(self.most_rows), self.most_rows), Ordering::Relaxed);
    }
}

impl Gate {
    fn new(most_share: f64) -> Gate {
        Gate { looked: None, is_busy: false, quickest: Duration::MAX, share: most_share, most_share }
    }

    async fn look(&mut self, blue: &mut Session) -> Result<()> {
        if self.looked.is_some_and(|(at, _)| at.elapsed() < LOOK) {
            return Ok(());
        }
        let began = Instant::now();
        // The counters of statements: every server has them, and everybody may read them.
        let counters = blue
            .rows(
                "SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_insert', 'Com_insert_select', 'Com_replace', \
                 'Com_update', 'Com_update_multi', 'Com_delete', 'Com_delete_multi')",
            )
            .await?;
        let (now, sum) = (Instant::now(), counters.iter().filter_map(|row| row.number(1)).sum::<u64>());
        if let Some((at, before)) = self.looked.replace((now, sum)) {
            self.is_busy = sum.saturating_sub(before) as f64 / (now - at).as_secs_f64() >= BUSY;
        }
        self.follow(now - began);
        Ok(())
    }

    /// Takes note of how long a look took.
    fn follow(&mut self, took: Duration) {
        self.quickest = took.min(self.quickest.saturating_add(self.quickest / 100));
        let is_slow = took > self.quickest.mul_f64(SLOW) + SLACK;
        let next = if is_slow { self.share / 2.0 } else { self.share * 1.25 };
        self.share = next.clamp(LEAST_SHARE, self.most_share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_follows_what_clients_feel() {
        let mut gate = Gate::new(0.25);
        let millis = Duration::from_millis;
        gate.follow(millis(1));
        gate.follow(millis(2));
        assert_eq!(gate.share, 0.25, "a millisecond is nothing");
        gate.follow(millis(20));
        assert_eq!(gate.share, 0.125);
        for _ in 0..10 {
            gate.follow(millis(20));
        }
        assert_eq!(gate.share, LEAST_SHARE);
        for _ in 0..30 {
            gate.follow(millis(1));
        }
        assert_eq!(gate.share, 0.25);
    }

    #[test]
    fn chunks_fit_the_time_that_a_statement_may_take() {
        let pace = Pace::new(10_000, Duration::from_millis(100), 0.5);
        pace.adapt(10_000, Duration::from_millis(150));
        assert_eq!(pace.rows(), 6_666);
        pace.adapt(6_666, Duration::from_secs(9));
        assert_eq!(pace.rows(), 3_333, "one slow statement is no rule");
        pace.adapt(10, Duration::from_micros(1));
        assert_eq!(pace.rows(), 3_333, "a short piece says nothing");
        for _ in 0..20 {
            pace.adapt(pace.rows(), Duration::from_secs(60));
        }
        assert_eq!(pace.rows(), FEWEST_ROWS);
        for _ in 0..20 {
            pace.adapt(pace.rows(), Duration::from_micros(1));
        }
        assert_eq!(pace.rows(), 10_000);
    }
}
