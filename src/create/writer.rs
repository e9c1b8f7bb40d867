//! Writes rows of one table to green, in statements of many rows.
//!
//! Measured with 400,000 rows of sysbench's table, 2 cores, as green's CPU time a row (MySQL 9.7; MariaDB 10.11), once with
//! the primary key alone: strings as hexadecimal 15.7 µs; 7.8 µs, strings in quotes 13.1 µs; 11.7 µs, `LOAD DATA LOCAL`
//! 10.4 µs; 9.0 µs. `LOAD DATA LOCAL` is off on MySQL 8.0 and newer unless somebody turns `local_infile` on, takes every
//! error for a warning, and helps one of the two: statements stay.

use tokio::sync::mpsc::Receiver;

use super::literal::Plan;
use super::variables::{LENIENT, STRICT};
use crate::error::{Error, ErrorKind, Result};
use crate::net::{Row, Session};

/// Length from which a statement gets no more rows.
const STATEMENT_BYTES: usize = 1 << 20;
/// Length of statements after which they are committed: many enough that the commit does not count, few enough that
/// green's log and undo stay small.
const COMMIT_BYTES: usize = 16 << 20;
/// Rows of one lenient statement: the server counts at most 65,535 warnings.
const LENIENT_ROWS: usize = 500;

/// Writes rows of one table to green.
pub(super) struct Writer<'a> {
    green: &'a mut Session,
    plan: &'a Plan,
    max_allowed_packet: u64,
    /// Bytes of statements since the last commit.
    uncommitted: usize,
}

impl<'a> Writer<'a> {
    pub(super) fn new(green: &'a mut Session, plan: &'a Plan, max_allowed_packet: u64) -> Writer<'a> {
        Writer { green, plan, max_allowed_packet, uncommitted: 0 }
    }

    /// Writes what arrives, and hands on the rows and bytes of each batch; returns how many rows green says it stored.
    ///
    /// # Errors
    /// Green's; whoever sends then finds that nobody receives.
    pub(super) async fn write_all(
        &mut self,
        mut arriving: Receiver<Vec<Row>>,
        each: impl Fn(u64, u64) + Send,
    ) -> Result<u64> {
        let mut written = 0;
        while let Some(batch) = arriving.recv().await {
            let bytes = batch.iter().flat_map(|row| row.columns()).flatten().map(|value| value.len() as u64).sum();
            let rows = self.write(&batch).await?;
            written += rows;
            each(rows, bytes);
        }
        Ok(written)
    }

    /// Returns how many rows green says it stored.
    async fn write(&mut self, rows: &[Row]) -> Result<u64> {
        let limit = STATEMENT_BYTES.min(usize::try_from(self.max_allowed_packet / 2).unwrap_or(STATEMENT_BYTES));
        let (lenient, strict): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|row| self.plan.enum_errors(row.columns()) > 0);
        let mut written = 0;
        let mut sql = String::new();
        for (index, row) in strict.iter().enumerate() {
            self.append(&mut sql, row)?;
            if sql.len() >= limit || index + 1 == strict.len() {
                written += self.insert(&sql, 0).await?;
                sql.clear();
            }
        }
        if !lenient.is_empty() {
            self.green.run(&format!("SET SESSION sql_mode = '{LENIENT}'")).await?;
            for chunk in lenient.chunks(LENIENT_ROWS) {
                written += self.write_lenient(chunk, limit).await?;
            }
            self.green.run(&format!("SET SESSION sql_mode = '{STRICT}'")).await?;
        }
        Ok(written)
    }

    /// Rows with the error value of an ENUM: green must raise exactly one warning for each of those values.
    async fn write_lenient(&mut self, rows: &[&Row], limit: usize) -> Result<u64> {
        let (mut written, mut errors, mut sql) = (0, 0, String::new());
        for (index, row) in rows.iter().enumerate() {
            errors += self.plan.enum_errors(row.columns());
            self.append(&mut sql, row)?;
            if sql.len() >= limit || index + 1 == rows.len() || errors > usize::from(u16::MAX) / 2 {
                written += self.insert(&sql, errors).await?;
                (errors, sql) = (0, String::new());
            }
        }
        Ok(written)
    }

    fn append(&self, sql: &mut String, row: &Row) -> Result<()> {
        sql.push_str(if sql.is_empty() { &self.plan.insert } else { "," });
        let before = sql.len();
        self.plan.push_row(sql, row.columns())?;
        // A statement is cut at half of the limit or 1 MiB: it is too long only where its last row is.
        if sql.len() as u64 >= self.max_allowed_packet {
            let message = format!(
                "a row takes {} bytes as a statement, but green's max_allowed_packet is {}",
                sql.len() - before,
                self.max_allowed_packet
            );
            return Err(Error::new(ErrorKind::Limit, message)
                .with_advice("raise max_allowed_packet on green (at most 1 GiB) and create again"));
        }
        Ok(())
    }

    async fn insert(&mut self, sql: &str, warnings: usize) -> Result<u64> {
        let done = self.green.run(sql).await?;
        if usize::from(done.warnings) != warnings {
            // The warning's text may quote the value.
            let codes = self.green.rows("SHOW WARNINGS").await?;
            let code = codes.first().map(|row| row.text(1)).unwrap_or_default();
            return Err(Error::new(
                ErrorKind::Divergence,
                format!("green would store a value differently: warning {code}"),
            )
            .with_advice("a definition on green differs from blue's; use a green that takes the same values"));
        }
        self.uncommitted += sql.len();
        if self.uncommitted >= COMMIT_BYTES {
            self.commit().await?;
        }
        Ok(done.affected)
    }

    pub(super) async fn commit(&mut self) -> Result<()> {
        self.uncommitted = 0;
        self.green.run("COMMIT").await.map(drop)
    }
}

/// That all rows that were read are stored. Where the writing failed, the reading only noticed that nobody takes its rows.
pub(super) fn same(read: Result<u64>, written: Result<u64>) -> Result<u64> {
    let (written, read) = (written?, read?);
    if read != written {
        return Err(Error::internal(format!("{read} rows were read, but {written} written")));
    }
    Ok(written)
}
