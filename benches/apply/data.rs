//! What the tables of the workloads hold. All values come from seeded generators.

use bluegreen::sandbox::Server;
use mysql_async::prelude::Queryable;
use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::Size;
use crate::servers::connect;

/// Some tables that are alike, named `t1` and so on in a schema of their own.
pub(crate) struct Tables {
    pub(crate) schema: &'static str,
    count: u32,
    /// Of each.
    rows: u32,
    /// The columns behind `id`, and the keys.
    columns: fn() -> String,
    /// A type and a literal of `id`.
    id: (&'static str, fn(u32) -> String),
    /// A row without its `id`.
    values: fn(&mut StdRng) -> String,
    /// Assignments, for two kinds of update.
    pub(crate) updates: [fn(&mut StdRng) -> String; 2],
    /// Made before the tables.
    before: &'static [&'static str],
}

/// As sysbench makes them.
pub(crate) static SYSBENCH: Tables = Tables {
    schema: "sbtest",
    count: 4,
    rows: 100_000,
    columns: || sysbench_columns("KEY (k)"),
    id: NUMBER,
    values: sysbench_values,
    updates: SYSBENCH_UPDATES,
    before: &[],
};

pub(crate) static MANY: Tables = Tables {
    schema: "many",
    count: 300,
    rows: 100,
    columns: || sysbench_columns("KEY (k)"),
    id: NUMBER,
    values: sysbench_values,
    updates: SYSBENCH_UPDATES,
    before: &[],
};

pub(crate) static BULK: Tables = Tables {
    schema: "bulk",
    count: 1,
    rows: 200_000,
    columns: || sysbench_columns("KEY (k)"),
    id: NUMBER,
    values: sysbench_values,
    updates: SYSBENCH_UPDATES,
    before: &[],
};

/// Every row refers to one of another table.
pub(crate) static FAMILY: Tables = Tables {
    schema: "family",
    count: 4,
    rows: 25_000,
    columns: || sysbench_columns("FOREIGN KEY (k) REFERENCES family.parent (id)"),
    id: NUMBER,
    values: |random| format!("{},'{}','{}'", random.random_range(1..=100), digits(random, 10), digits(random, 5)),
    updates: [
        |random| format!("k = {}", random.random_range(1..=100)),
        |random| format!("c = '{}'", digits(random, 10)),
    ],
    before: &[
        "CREATE TABLE family.parent (id INT NOT NULL PRIMARY KEY)",
        "INSERT INTO family.parent WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i FROM n",
    ],
};

/// Keys of letters that are not of ASCII.
pub(crate) static WORDS: Tables = Tables {
    schema: "words",
    count: 4,
    rows: 25_000,
    columns: || sysbench_columns("KEY (k)"),
    id: ("VARCHAR(40) COLLATE utf8mb4_bin", |id| format!("'schlüssel-{id}'")),
    values: sysbench_values,
    updates: SYSBENCH_UPDATES,
    before: &[],
};

/// 50 columns.
pub(crate) static WIDE: Tables = Tables {
    schema: "wide",
    count: 4,
    rows: 25_000,
    columns: || {
        let all = |count, name: &str, definition: &str| {
            (1..=count).map(|number| format!("{name}{number} {definition} NOT NULL")).collect::<Vec<_>>()
        };
        [
            all(20, "i", "INT"),
            all(14, "s", "VARCHAR(40)"),
            all(8, "d", "DECIMAL(12,2)"),
            all(4, "t", "DATETIME(6)"),
            all(3, "f", "DOUBLE"),
        ]
        .concat()
        .join(", ")
    },
    id: NUMBER,
    values: |random| {
        let mut values = Vec::new();
        values.extend((0..20).map(|_| random.random_range(0..1_000_000).to_string()));
        values.extend((0..14).map(|_| format!("'{}'", digits(random, 2))));
        values.extend((0..8).map(|_| format!("{}.25", random.random_range(0..1_000_000))));
        values.extend((0..4).map(|_| time(random)));
        values.extend((0..3).map(|_| format!("{}e-3", random.random_range(0..1_000_000))));
        values.join(",")
    },
    updates: [
        |_| "i7 = i7 + 1".into(),
        |random| {
            format!("s3 = '{}', d2 = {}.5, t1 = {}", digits(random, 2), random.random_range(0..1000), time(random))
        },
    ],
    before: &[],
};

/// Documents of about 500 bytes.
pub(crate) static JSON: Tables = Tables {
    schema: "json",
    count: 4,
    rows: 25_000,
    columns: || "k INT NOT NULL, doc JSON NOT NULL".into(),
    id: NUMBER,
    values: |random| format!("{},'{}'", random.random_range(0..1000), document(random)),
    updates: [
        |random| format!("doc = JSON_SET(doc, '$.visits', {}, '$.state', 'again')", random.random_range(0..1000)),
        |random| format!("doc = '{}'", document(random)),
    ],
    before: &[],
};

/// 1 to 8 KiB of random bytes.
pub(crate) static BLOB: Tables = Tables {
    schema: "blobs",
    count: 4,
    rows: 5_000,
    columns: || "short VARBINARY(100) NOT NULL, data BLOB NOT NULL".into(),
    id: NUMBER,
    values: |random| format!("{},{}", hexadecimal(random, 50), long(random)),
    updates: [|random| format!("short = {}", hexadecimal(random, 50)), |random| format!("data = {}", long(random))],
    before: &[],
};

/// Five secondary indexes.
pub(crate) static INDEXED: Tables = Tables {
    schema: "indexed",
    count: 4,
    rows: 25_000,
    columns: || {
        "a INT NOT NULL, b INT NOT NULL, c VARCHAR(40) NOT NULL, d DATETIME NOT NULL, e BIGINT NOT NULL, \
         pad CHAR(60) NOT NULL, KEY (a), KEY (b, a), KEY (c), KEY (d), KEY (e)"
            .into()
    },
    id: NUMBER,
    values: |random| {
        let [a, b, e] = [(); 3].map(|()| random.random_range(0..1_000_000));
        format!("{a},{b},'{}',{},{e},'{}'", digits(random, 2), time(random), digits(random, 5))
    },
    updates: [
        |random| format!("a = {}, c = '{}'", random.random_range(0..1_000_000), digits(random, 2)),
        |random| format!("d = {}, e = e + 1", time(random)),
    ],
    before: &[],
};

const NUMBER: (&str, fn(u32) -> String) = ("INT", |id| id.to_string());
const SYSBENCH_UPDATES: [fn(&mut StdRng) -> String; 2] =
    [|_| "k = k + 1".into(), |random| format!("c = '{}'", digits(random, 10))];

fn sysbench_columns(keys: &str) -> String {
    format!("k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', {keys}")
}

fn sysbench_values(random: &mut StdRng) -> String {
    format!("{},'{}','{}'", random.random_range(0..100_000), digits(random, 10), digits(random, 5))
}

/// Groups of eleven digits.
fn digits(random: &mut StdRng, groups: usize) -> String {
    (0..groups).map(|_| format!("{:011}", random.random_range(0..100_000_000_000_u64))).collect::<Vec<_>>().join("-")
}

fn time(random: &mut StdRng) -> String {
    let [day, hour, second] = [28, 24, 60].map(|end| random.random_range(0..end));
    format!("'2026-03-{:02} {hour:02}:30:{second:02}'", day + 1)
}

fn hexadecimal(random: &mut StdRng, bytes: usize) -> String {
    let digits: String = (0..bytes).map(|_| format!("{:02x}", random.random::<u8>())).collect();
    format!("x'{digits}'")
}

fn long(random: &mut StdRng) -> String {
    let bytes = random.random_range(1_000..8_000);
    hexadecimal(random, bytes)
}

fn document(random: &mut StdRng) -> String {
    let number = |random: &mut StdRng| random.random_range(0..1_000_000);
    let items: Vec<String> = (0..4)
        .map(|_| {
            format!(
                r#"{{"sku": "{}", "count": {}, "price": {}.25}}"#,
                digits(random, 1),
                number(random),
                number(random)
            )
        })
        .collect();
    format!(
        r#"{{"visits": {}, "state": "new", "name": "Zoë {}", "tags": ["a", "b", "{}"], "open": true, "note": null, "items": [{}], "ratio": {}e-4, "text": "{}"}}"#,
        number(random),
        digits(random, 1),
        digits(random, 1),
        items.join(", "),
        number(random),
        digits(random, 8),
    )
}

impl Tables {
    /// A table's name.
    pub(crate) fn name(&self, number: u32) -> String {
        format!("{}.t{number}", self.schema)
    }

    /// How many there are in a run of that size.
    pub(crate) fn count(&self, size: Size) -> u32 {
        (self.count / size.divisor).clamp(self.count.min(4), self.count)
    }

    /// How many rows each has in a run of that size.
    pub(crate) fn row_count(&self, size: Size) -> u32 {
        (self.rows / size.divisor).max(10)
    }

    pub(crate) fn id(&self, number: u32) -> String {
        (self.id.1)(number)
    }

    /// A statement that inserts rows of these numbers.
    pub(crate) fn insert(&self, table: u32, rows: &[u32], random: &mut StdRng) -> String {
        let rows: Vec<String> =
            rows.iter().map(|&row| format!("({},{})", self.id(row), (self.values)(random))).collect();
        format!("INSERT INTO {} VALUES {}", self.name(table), rows.join(","))
    }

    pub(crate) async fn fill(&self, server: &Server, size: Size) {
        let (mut conn, mut random) = (connect(server).await, StdRng::seed_from_u64(0));
        conn.query_drop(format!("CREATE DATABASE {} CHARACTER SET utf8mb4", self.schema)).await.unwrap();
        conn.query_drop("SET GLOBAL sync_binlog = 0, GLOBAL innodb_flush_log_at_trx_commit = 2").await.unwrap();
        for statement in self.before {
            conn.query_drop(*statement).await.unwrap();
        }
        for table in 1..=self.count(size) {
            let (name, columns, id) = (self.name(table), (self.columns)(), self.id.0);
            conn.query_drop(format!("CREATE TABLE {name} (id {id} NOT NULL PRIMARY KEY, {columns})")).await.unwrap();
            let rows: Vec<u32> = (1..=self.row_count(size)).collect();
            for rows in rows.chunks(1_000) {
                conn.query_drop(self.insert(table, rows, &mut random)).await.unwrap();
            }
        }
        conn.query_drop("SET GLOBAL sync_binlog = 1, GLOBAL innodb_flush_log_at_trx_commit = 1").await.unwrap();
        conn.disconnect().await.unwrap();
    }
}
