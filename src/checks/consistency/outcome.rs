//! What all steps of a pass add up to.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::compare::Findings;
use super::difference::Difference;
use super::due::Due;
use super::plan::Step;
use super::{LISTED, Positions, Scope, Unverified, Verification, VerifyProgress};
use crate::model::TableName;

/// The sum of all steps.
pub(super) struct Outcome {
    pub(super) progress: VerifyProgress,
    /// Chunks of a table: planned in all, once that is known, and compared.
    chunks: HashMap<TableName, (Option<u64>, u64)>,
    listed: HashMap<TableName, usize>,
    differences: Vec<Difference>,
    more: u64,
    unverified: Vec<Unverified>,
    /// What the next pass has to compare, whatever changes.
    pub(super) due: Due,
}

impl Outcome {
    /// `pairs`: how many tables both sides have.
    pub(super) fn new(one_sided: Vec<Difference>, rows_estimate: u64, pairs: u64, due: Due) -> Outcome {
        let whole_tables = one_sided.iter().filter(|difference| difference.columns.is_empty()).count() as u64;
        let progress = VerifyProgress {
            tables_total: pairs + whole_tables,
            tables_done: whole_tables,
            rows_estimate,
            rows_done: 0,
        };
        Outcome {
            progress,
            chunks: HashMap::new(),
            listed: HashMap::new(),
            differences: one_sided,
            more: 0,
            unverified: Vec::new(),
            due,
        }
    }

    pub(super) fn take(&mut self, step: Step) {
        let table = match step {
            Step::Cut { table, chunks, reason } => {
                self.chunks.entry(table.clone()).or_default().0 = Some(chunks);
                if reason.is_some() {
                    self.due.add_whole(&table);
                }
                self.not_verified(&table, reason);
                table
            }
            Step::Compared { table, findings } => {
                self.chunks.entry(table.clone()).or_default().1 += 1;
                self.add(&table, findings);
                table
            }
        };
        if self.chunks.get(&table).is_some_and(|(planned, done)| *planned == Some(*done)) {
            self.progress.tables_done += 1;
        }
    }

    fn add(&mut self, table: &TableName, findings: Findings) {
        self.progress.rows_done += findings.rows;
        self.not_verified(table, findings.unverified);
        let listed = self.listed.entry(table.clone()).or_default();
        for difference in findings.differences {
            if *listed < LISTED {
                *listed += 1;
                self.differences.push(difference);
            } else {
                self.more += 1;
            }
        }
        self.more += findings.more;
        for key in findings.open {
            self.due.add_key(table, key);
        }
        if findings.is_open {
            self.due.add_whole(table);
        }
    }

    fn not_verified(&mut self, table: &TableName, reason: Option<String>) {
        let Some(reason) = reason else { return };
        let unverified = Unverified { table: table.clone(), reason };
        if !self.unverified.contains(&unverified) {
            self.unverified.push(unverified);
        }
    }

    /// The verification, and what remains due.
    pub(super) fn end(
        mut self,
        scope: Scope,
        took: Duration,
        as_of: Instant,
        positions: Option<Positions>,
    ) -> (Verification, Due) {
        self.differences.sort_by(|a, b| a.table.cmp(&b.table));
        self.unverified.sort_by(|a, b| a.table.cmp(&b.table));
        let verification = Verification {
            equal: self.differences.is_empty() && self.unverified.is_empty(),
            scope,
            tables: self.progress.tables_total,
            rows: self.progress.rows_done,
            seconds: took.as_secs_f64(),
            differences: self.differences,
            more: self.more,
            unverified: self.unverified,
            positions,
            as_of,
        };
        (verification, self.due)
    }
}
