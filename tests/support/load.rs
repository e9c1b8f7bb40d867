//! Live traffic of several connections over several tables: transactions of many statements, rollbacks, savepoints,
//! changed keys, swapped unique values, cascades, tables without a key.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bluegreen::sandbox::Server;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

/// The tables that the load writes.
pub async fn schema(server: &Server) {
    for statement in [
        "CREATE DATABASE shop DEFAULT CHARACTER SET utf8mb4",
        "CREATE DATABASE `od.d ``s` DEFAULT CHARACTER SET latin1",
        "CREATE TABLE shop.account (
           id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL, balance DECIMAL(20,4) NOT NULL,
           ratio DOUBLE NULL, part FLOAT NULL, tiny TINYINT UNSIGNED NULL, medium MEDIUMINT NULL,
           seen TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
           born DATETIME(3) NULL, kind ENUM('a','b','c') NULL, marks SET('x','y','z') NULL, bits BIT(9) NULL,
           raw VARBINARY(30) NULL, pad BINARY(6) NULL, note TEXT NULL) ENGINE = InnoDB",
        "CREATE TABLE shop.line (
           account BIGINT UNSIGNED NOT NULL, n INT NOT NULL, price DECIMAL(9,2) NULL, PRIMARY KEY (account, n),
           FOREIGN KEY (account) REFERENCES shop.account (id) ON DELETE CASCADE ON UPDATE CASCADE) ENGINE = InnoDB",
        "CREATE TABLE shop.seat (id INT NOT NULL PRIMARY KEY, owner VARCHAR(20) NULL, UNIQUE (owner)) ENGINE = InnoDB",
        "CREATE TABLE `od.d ``s`.`no key` (a INT NULL, b VARCHAR(20) NULL, c TIME(2) NULL) ENGINE = InnoDB",
        "CREATE TABLE `od.d ``s`.`select` (`key` CHAR(5) CHARACTER SET latin1 NOT NULL PRIMARY KEY, v YEAR NULL) ENGINE = InnoDB",
    ] {
        server.sql(statement).await.unwrap();
    }
    let seats: Vec<String> = (0..200).map(|id| format!("({id}, 'owner{id}')")).collect();
    server.sql(&format!("INSERT INTO shop.seat VALUES {}", seats.join(","))).await.unwrap();
    let accounts: Vec<String> = (1..=500).map(|id| format!("({id}, 'Ж{id}', {id}.5)")).collect();
    server.sql(&format!("INSERT INTO shop.account (id, name, balance) VALUES {}", accounts.join(","))).await.unwrap();
}

/// Writes ever new ids until told to stop; answers those that were acknowledged.
pub async fn acknowledge(url: String, stopped: tokio::sync::watch::Receiver<bool>) -> Vec<u64> {
    let mut acknowledged = Vec::new();
    let mut next = 1;
    while !*stopped.borrow() {
        let Ok(mut session) = mysql_async::Conn::from_url(&url).await else { continue };
        while !*stopped.borrow() {
            next += 1;
            match session.query_drop(format!("INSERT INTO shop.ack VALUES ({next})")).await {
                Ok(()) => {
                    acknowledged.push(next);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(mysql_async::Error::Server(_)) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(_) => break,
            }
        }
    }
    acknowledged
}

/// Running traffic.
pub struct Load {
    stop: Arc<AtomicBool>,
    committed: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts `clients` connections; each pauses for `pause` between transactions.
    pub fn start(url: String, clients: u64, seed: u64, pause: Duration) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let committed = Arc::new(AtomicU64::new(0));
        let mut set = JoinSet::new();
        for client in 0..clients {
            set.spawn(run(
                url.clone(),
                StdRng::seed_from_u64(seed * 1000 + client),
                pause,
                stop.clone(),
                committed.clone(),
            ));
        }
        Load { stop, committed, clients: set }
    }

    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Waits until `count` further transactions were committed.
    pub async fn commit_more(&self, count: u64) {
        let target = self.committed() + count;
        while self.committed() < target {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends the traffic; answers how many transactions were committed.
    pub async fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        self.committed()
    }
}

async fn run(url: String, mut random: StdRng, pause: Duration, stop: Arc<AtomicBool>, committed: Arc<AtomicU64>) {
    while !stop.load(Ordering::Relaxed) {
        // The server may be down for a while; a test that restarts it wants the load to come back.
        let Ok(mut session) = mysql_async::Conn::from_url(&url).await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        while !stop.load(Ordering::Relaxed) {
            match transaction(&mut session, &mut random).await {
                Ok(()) => {
                    committed.fetch_add(1, Ordering::Relaxed);
                }
                // A deadlock or a duplicate: the next one will do.
                Err(mysql_async::Error::Server(_)) => {
                    if session.query_drop("ROLLBACK").await.is_err() {
                        break;
                    }
                }
                Err(_) => break,
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// The rows of `shop.ack` that a server has.
pub async fn present(server: &Server) -> HashSet<u64> {
    let present = server.sql("SELECT id FROM shop.ack").await.unwrap();
    present.lines().map(|id| id.parse().unwrap()).collect()
}

async fn transaction(session: &mut mysql_async::Conn, random: &mut StdRng) -> mysql_async::Result<()> {
    let statements = random.random_range(1..8);
    if statements > 1 {
        session.query_drop("BEGIN").await?;
    }
    for n in 0..statements {
        if statements > 3 && n == 1 {
            session.query_drop("SAVEPOINT half").await?;
        }
        session.query_drop(statement(random)).await?;
        if statements > 3 && n == 3 && random.random_bool(0.3) {
            session.query_drop("ROLLBACK TO half").await?;
        }
    }
    if statements > 1 {
        let end = if random.random_bool(0.1) { "ROLLBACK" } else { "COMMIT" };
        session.query_drop(end).await?;
    }
    Ok(())
}

fn statement(random: &mut StdRng) -> String {
    let id = random.random_range(1..700u32);
    let other = random.random_range(1..700u32);
    let n = random.random_range(0..6);
    match random.random_range(0..14) {
        0..=2 => format!(
            "INSERT INTO shop.account (name, balance, ratio, part, tiny, medium, born, kind, marks, bits, raw, pad, note) \
             VALUES ('né{id}''😀', -{id}.{other:04}, {id}e{n}, -0.{other}, {}, -{id}, '20{:02}-02-28 12:00:{:02}.5', {}, {}, {other} % 512, \
             x'00ff{n}0', x'0100', {})",
            id % 256,
            id % 100,
            other % 60,
            n % 4,
            n + 1,
            if n == 0 { "NULL".to_owned() } else { format!("REPEAT('ü', {id})") },
        ).replace(", 0, ", ", NULL, "),
        3 | 4 => format!("UPDATE shop.account SET balance = balance + {n}.25, note = CONCAT(IFNULL(note, ''), 'x') WHERE id = {id}"),
        5 => format!("UPDATE shop.account SET tiny = {} , born = NOW(3) WHERE id BETWEEN {id} AND {}", other % 256, id + n),
        6 => format!("DELETE FROM shop.account WHERE id = {id}"),
        7 | 8 => format!("INSERT INTO shop.line VALUES ({id}, {n}, {other}.5) ON DUPLICATE KEY UPDATE price = price + 1"),
        9 => format!("UPDATE shop.account SET id = id + 10000 WHERE id = {id}"),
        // A chain of unique values through NULL: 1 → NULL, then 2 gets 1's.
        10 => format!("UPDATE shop.seat SET owner = IF(id = {}, NULL, CONCAT('owner', {other} % 400)) WHERE id IN ({}, {})", id % 200, id % 200, other % 200),
        11 => format!("INSERT INTO `od.d ``s`.`no key` VALUES ({n}, IF({n} % 2, 'same', 'SAME'), '-0{n}:00:0{n}.5')"),
        12 => format!("DELETE FROM `od.d ``s`.`no key` WHERE a = {n} LIMIT 1"),
        _ => format!("REPLACE INTO `od.d ``s`.`select` VALUES ('k{}', 1980 + {n})", id % 50),
    }
}
