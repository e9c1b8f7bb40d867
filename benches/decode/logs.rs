//! The logs that are decoded: a real server's files.

use std::fs;

use bluegreen::sandbox::{Kind, Server};
use tokio::runtime::Runtime;

/// A server and the logs that it wrote.
pub(crate) struct Logs {
    pub(crate) server: Server,
    runtime: Runtime,
}

/// One log file.
pub(crate) struct Log {
    pub(crate) path: std::path::PathBuf,
    pub(crate) bytes: Vec<u8>,
}

/// How much is written.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    /// Transactions of `oltp_write_only`.
    pub(crate) transactions: u32,
    /// Statements that insert into the wide table, and rows of each.
    pub(crate) inserts: u32,
    pub(crate) rows: u32,
    /// What a log must have, in bytes before compression.
    pub(crate) least_bytes: usize,
}

/// More than 100 MB each.
pub(crate) const FULL: Size = Size { transactions: 62_000, inserts: 110, rows: 4_000, least_bytes: 100_000_000 };
pub(crate) const TINY: Size = Size { transactions: 50, inserts: 2, rows: 50, least_bytes: 10_000 };

const TABLES: u32 = 4;
const ROWS: u32 = 10_000;

/// Twenty columns of most kinds; one of ten values of those that may be NULL is.
const ORDERS: &str = "CREATE TABLE shop.orders (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, customer INT NOT NULL, quantity SMALLINT UNSIGNED,
    rating TINYINT, price DECIMAL(12,2) NOT NULL, tax DECIMAL(6,4), weight DOUBLE, ratio FLOAT, code CHAR(12) NOT NULL,
    title VARCHAR(100) NOT NULL, city VARCHAR(40), note TEXT, attributes JSON, digest BINARY(16),
    placed DATETIME(6) NOT NULL, changed TIMESTAMP NOT NULL, due DATE, state ENUM('new','paid','sent','done'),
    labels SET('gift','fragile','express','return'), flags BIT(8))";

impl Logs {
    pub(crate) fn new(size: Size) -> Logs {
        let runtime = Runtime::new().unwrap();
        let builder = Server::builder(Kind::MySql97).option("--max-binlog-size=1G");
        let server = runtime.block_on(builder.option("--innodb-buffer-pool-size=512M").start()).unwrap();
        let logs = Logs { server, runtime };
        logs.sql("CREATE SCHEMA shop");
        logs.sql("CREATE SCHEMA sbtest");
        logs.sql("CREATE TABLE shop.numbers (n INT NOT NULL PRIMARY KEY)");
        logs.sql(
            "SET cte_max_recursion_depth = 100000; INSERT INTO shop.numbers \
             WITH RECURSIVE n AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM n WHERE n < 10000) SELECT n FROM n",
        );
        logs.sql(ORDERS);
        logs.sql(&oltp_procedure());
        for table in 1..=TABLES {
            logs.sql(&format!(
                "CREATE TABLE sbtest.sbtest{table} (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, \
                 k INT NOT NULL DEFAULT 0, c CHAR(120) NOT NULL DEFAULT '', pad CHAR(60) NOT NULL DEFAULT '', KEY (k))"
            ));
            logs.sql(&format!(
                "INSERT INTO sbtest.sbtest{table} SELECT n, 1 + FLOOR(RAND() * {ROWS}), {}, {} FROM shop.numbers",
                groups(10),
                groups(5)
            ));
        }
        assert!(size.rows <= 10_000);
        logs
    }

    /// Transactions as sysbench's `oltp_write_only` makes them: an update of the indexed column, one of a text, and a
    /// delete and an insert of one row.
    pub(crate) fn oltp(&self, size: Size, is_compressed: bool) -> Log {
        self.written(size, is_compressed, || drop(self.sql(&format!("CALL shop.oltp({})", size.transactions))))
    }

    /// Inserts of many rows into a table of 20 columns.
    pub(crate) fn wide(&self, size: Size, is_compressed: bool) -> Log {
        self.written(size, is_compressed, || (0..size.inserts).for_each(|_| drop(self.sql(&insert(size.rows)))))
    }

    fn written(&self, size: Size, is_compressed: bool, write: impl FnOnce()) -> Log {
        self.sql(&format!("SET GLOBAL binlog_transaction_compression = {is_compressed}; FLUSH BINARY LOGS"));
        let status = self.sql("SHOW BINARY LOG STATUS");
        write();
        self.sql("FLUSH BINARY LOGS");
        let path = self.server.data_dir().join(status.split('\t').next().unwrap());
        let bytes = fs::read(&path).unwrap();
        assert!(is_compressed || bytes.len() >= size.least_bytes, "the log has {} bytes only", bytes.len());
        Log { path, bytes }
    }

    fn sql(&self, statement: &str) -> String {
        self.runtime.block_on(self.server.sql(statement)).unwrap()
    }
}

/// Groups of eleven digits, as sysbench's texts are.
fn groups(count: usize) -> String {
    let group = "LPAD(FLOOR(RAND() * 100000000000), 11, '0')";
    format!("CONCAT_WS('-', {})", vec![group; count].join(", "))
}

fn oltp_procedure() -> String {
    let (c, pad) = (groups(10), groups(5));
    let mut cases = String::new();
    for table in 1..=TABLES {
        cases += &format!(
            "WHEN {table} THEN UPDATE sbtest.sbtest{table} SET k = k + 1 WHERE id = one; \
             UPDATE sbtest.sbtest{table} SET c = {c} WHERE id = two; DELETE FROM sbtest.sbtest{table} WHERE id = three; \
             INSERT INTO sbtest.sbtest{table} (id, k, c, pad) VALUES (three, one, {c}, {pad}); "
        );
    }
    format!(
        "CREATE PROCEDURE shop.oltp(count INT) BEGIN DECLARE one, two, three INT; WHILE count > 0 DO \
         SET one = 1 + FLOOR(RAND() * {ROWS}), two = 1 + FLOOR(RAND() * {ROWS}), three = 1 + FLOOR(RAND() * {ROWS}); \
         START TRANSACTION; CASE 1 + count % {TABLES} {cases} END CASE; COMMIT; SET count = count - 1; END WHILE; END"
    )
}

fn insert(rows: u32) -> String {
    let or_null = |value: &str| format!("IF(RAND() < 0.1, NULL, {value})");
    let text = |words: u32| {
        format!("REPEAT(ELT(1 + FLOOR(RAND() * 3), 'paper ', 'pencil ', 'ink '), FLOOR(RAND() * {words}))")
    };
    let columns = [
        "1 + FLOOR(RAND() * 1000000)".to_owned(),
        or_null("FLOOR(RAND() * 60000)"),
        or_null("FLOOR(RAND() * 200) - 100"),
        "ROUND(RAND() * 100000 - 1000, 2)".to_owned(),
        or_null("ROUND(RAND() * 10, 4)"),
        or_null("RAND() * 1000"),
        or_null("RAND()"),
        "HEX(FLOOR(RAND() * 1000000000))".to_owned(),
        format!("CONCAT('order ', {})", text(12)),
        or_null("ELT(1 + FLOOR(RAND() * 4), 'Lisbon', 'Oslo', 'Berlin', 'San Francisco')"),
        or_null(&text(30)),
        or_null("JSON_OBJECT('colour', ELT(1 + FLOOR(RAND() * 2), 'red', 'blue'), 'size', FLOOR(RAND() * 50))"),
        or_null("RANDOM_BYTES(16)"),
        "NOW(6) - INTERVAL FLOOR(RAND() * 100000000) SECOND".to_owned(),
        "NOW() - INTERVAL FLOOR(RAND() * 100000000) SECOND".to_owned(),
        or_null("CURDATE() + INTERVAL FLOOR(RAND() * 1000) DAY"),
        or_null("1 + FLOOR(RAND() * 4)"),
        or_null("FLOOR(RAND() * 16)"),
        or_null("FLOOR(RAND() * 256)"),
    ];
    format!(
        "INSERT INTO shop.orders (customer, quantity, rating, price, tax, weight, ratio, code, title, city, note, \
         attributes, digest, placed, changed, due, state, labels, flags) SELECT {} FROM shop.numbers LIMIT {rows}",
        columns.join(", ")
    )
}
