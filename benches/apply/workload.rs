//! What is written on blue.

use bluegreen::sandbox::Server;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

use crate::Size;
use crate::data::{BLOB, BULK, FAMILY, INDEXED, JSON, MANY, SYSBENCH, Tables, WIDE, WORDS};
use crate::servers::connect;

const CLIENTS: u32 = 8;

pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) tables: &'static Tables,
    transactions: Transactions,
}

enum Transactions {
    /// As sysbench's `oltp_write_only` makes them: two updates, and a delete and an insert of the same row. One in so many
    /// of the usual number.
    Mixed(Rows, u32),
    /// One update of one row.
    Single(Rows),
    /// A single large one.
    Bulk(fn(&Tables, u32, u32) -> String),
}

/// Which rows are changed.
#[derive(Clone, Copy)]
enum Rows {
    /// Sysbench's default: three of four from 1 % of the rows, the others around the middle.
    Special,
    Uniform,
    /// The n-th likeliest row is n times less likely than the first.
    Zipf,
}

use Rows::{Special, Uniform, Zipf};
use Transactions::{Bulk, Mixed, Single};

pub(crate) static ALL: [Workload; 14] = [
    Workload { name: "special", tables: &SYSBENCH, transactions: Mixed(Special, 1) },
    Workload { name: "uniform", tables: &SYSBENCH, transactions: Mixed(Uniform, 1) },
    Workload { name: "zipf", tables: &SYSBENCH, transactions: Mixed(Zipf, 1) },
    Workload { name: "single", tables: &SYSBENCH, transactions: Single(Uniform) },
    Workload { name: "wide", tables: &WIDE, transactions: Mixed(Uniform, 2) },
    Workload { name: "json", tables: &JSON, transactions: Mixed(Uniform, 2) },
    Workload { name: "blob", tables: &BLOB, transactions: Mixed(Uniform, 8) },
    Workload { name: "indexed", tables: &INDEXED, transactions: Mixed(Uniform, 1) },
    Workload { name: "many", tables: &MANY, transactions: Mixed(Uniform, 1) },
    Workload { name: "family", tables: &FAMILY, transactions: Mixed(Uniform, 1) },
    Workload { name: "words", tables: &WORDS, transactions: Mixed(Uniform, 1) },
    Workload { name: "load", tables: &BULK, transactions: Bulk(load) },
    Workload { name: "update", tables: &BULK, transactions: Bulk(update) },
    Workload { name: "delete", tables: &BULK, transactions: Bulk(delete) },
];

/// What `delay` and `latency` are measured with.
pub(crate) fn sysbench() -> &'static Workload {
    &ALL[0]
}

/// Twice as many rows as the table began with, in statements of 1,000.
fn load(tables: &Tables, rows: u32, backlog: u32) -> String {
    let first = 1 + rows + 2 * rows * backlog;
    let ids: Vec<u32> = (first..first + 2 * rows).collect();
    let mut random = StdRng::seed_from_u64(backlog.into());
    let inserts = ids.chunks(1_000).map(|ids| tables.insert(1, ids, &mut random));
    format!("BEGIN; {}; COMMIT", inserts.collect::<Vec<_>>().join("; "))
}

/// Half as many rows as the table began with.
fn update(tables: &Tables, rows: u32, _: u32) -> String {
    format!("UPDATE {} SET k = k + 1, c = REVERSE(c) ORDER BY id LIMIT {}", tables.name(1), rows / 2)
}

fn delete(tables: &Tables, rows: u32, _: u32) -> String {
    format!("DELETE FROM {} ORDER BY id LIMIT {}", tables.name(1), rows / 2)
}

impl Workload {
    /// Writes a backlog; each of another number than those before.
    pub(crate) async fn write(&'static self, blue: &Server, number: u32, size: Size) {
        let count = match self.transactions {
            Mixed(_, divisor) => size.transactions / divisor,
            Single(_) => size.transactions * 2,
            Bulk(statement) => {
                let mut conn = connect(blue).await;
                let script = statement(self.tables, self.tables.row_count(size), number);
                for statement in script.split("; ") {
                    conn.query_drop(statement).await.unwrap();
                }
                return conn.disconnect().await.unwrap();
            }
        };
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let mut conn = connect(blue).await;
            clients.spawn(async move {
                let mut random = StdRng::seed_from_u64(u64::from(number) << 32 | u64::from(client));
                for _ in 0..count / CLIENTS {
                    let script = self.transaction(&mut random, size);
                    // A deadlock undid all of it.
                    while conn.query_drop(&script).await.is_err() {
                        conn.query_drop("ROLLBACK").await.unwrap();
                    }
                }
                conn.disconnect().await.unwrap();
            });
        }
        clients.join_all().await;
    }

    /// The statements of a transaction.
    pub(crate) fn transaction(&self, random: &mut StdRng, size: Size) -> String {
        let (Mixed(rows, _) | Single(rows)) = self.transactions else { panic!("a workload of one transaction") };
        let tables = self.tables;
        let count = tables.row_count(size);
        let mut place = || (random.random_range(1..=tables.count(size)), rows.pick(random, count));
        let [(one, first), (two, second), (three, third)] = [place(), place(), place()];
        let mut update = |table, row, assignments: fn(&mut StdRng) -> String| {
            format!("UPDATE {} SET {} WHERE id = {}", tables.name(table), assignments(random), tables.id(row))
        };
        let [small, large] = tables.updates;
        let small = update(one, first, small);
        if matches!(self.transactions, Single(_)) {
            return small;
        }
        let large = update(two, second, large);
        let delete = format!("DELETE FROM {} WHERE id = {}", tables.name(three), tables.id(third));
        format!("BEGIN; {small}; {large}; {delete}; {}; COMMIT", tables.insert(three, &[third], random))
    }

    /// Checks that a green has the rows that blue has.
    pub(crate) async fn assert_same(&self, blue: &Server, green: &Server, size: Size) {
        let tables: Vec<String> = (1..=self.tables.count(size)).map(|table| self.tables.name(table)).collect();
        let checksum = format!("CHECKSUM TABLE {}", tables.join(", "));
        let (blue, green) = (blue.sql(&checksum).await.unwrap(), green.sql(&checksum).await.unwrap());
        assert_eq!(green, blue, "green differs from blue");
    }
}

impl Rows {
    fn pick(self, random: &mut StdRng, rows: u32) -> u32 {
        let hot = (rows / 100).max(1);
        match self {
            Uniform => 1 + random.random_range(0..rows),
            Special if random.random_bool(0.75) => 1 + (rows - hot) / 2 + random.random_range(0..hot),
            Special => 1 + (0..12).map(|_| random.random_range(0..rows)).sum::<u32>() / 12,
            Zipf => f64::from(rows).powf(random.random()) as u32,
        }
    }
}
