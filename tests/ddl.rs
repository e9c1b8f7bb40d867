//! Statements of blue on green. The servers are the oracle: at the end every object's SHOW CREATE, every account's grants
//! and every row are the same on both.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bluegreen::ErrorKind;
use bluegreen::decode::{Change, Statement, Transaction};
use bluegreen::model::Coordinates;
use bluegreen::plan::{Object, Rules, Way};
use bluegreen::sandbox::{Kind, Server};
use mysql_async::prelude::Queryable;
use rand::{Rng, SeedableRng};
use support::Pair;

/// What both families run; each in a session of its own, with `app` as its default schema.
const SHARED: &[&str] = &[
    "CREATE TABLE a (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20)) ENGINE = InnoDB",
    "INSERT INTO a (v) VALUES ('x'), ('y'), ('ő')",
    "ALTER TABLE a ADD COLUMN n INT NOT NULL DEFAULT 7, ADD KEY (v)",
    "INSERT INTO a (v, n) VALUES ('z', 1)",
    "/* hidden */ ALTER TABLE a MODIFY v VARCHAR(60) CHARACTER SET latin2",
    "UPDATE a SET n = n + 1",
    "CREATE TABLE b LIKE a",
    "INSERT INTO b SELECT * FROM a",
    "RENAME TABLE a TO t, b TO a, t TO b",
    "DELETE FROM a WHERE id = 1",
    "CREATE TABLE c (x INT PRIMARY KEY, y DATETIME(3)) COMMENT = 'c; -- it''s'",
    "INSERT INTO c VALUES (1, '2024-01-01 01:02:03.456')",
    "TRUNCATE TABLE c",
    "INSERT INTO c VALUES (2, NULL)",
    "ALTER TABLE c RENAME TO d",
    "INSERT INTO d VALUES (3, NULL)",
    "CREATE INDEX by_y ON d (y)",
    "DROP INDEX by_y ON d",
    "CREATE UNIQUE INDEX `once ``only` ON d (y)",
    "CREATE TABLE p (id INT PRIMARY KEY, r INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20))",
    "INSERT INTO p VALUES (1, 1), (11, 2)",
    "ALTER TABLE p ADD PARTITION (PARTITION p2 VALUES LESS THAN (30))",
    "INSERT INTO p VALUES (21, 3)",
    "ALTER TABLE p TRUNCATE PARTITION p1",
    "INSERT INTO p VALUES (12, 4)",
    "CREATE TABLE px (id INT PRIMARY KEY, r INT)",
    "INSERT INTO px VALUES (2, 9)",
    "ALTER TABLE p EXCHANGE PARTITION p0 WITH TABLE px",
    "UPDATE px SET r = 100 WHERE id = 1",
    "ALTER TABLE p DROP PARTITION p2",
    "CREATE TABLE made AS SELECT id, v, 1.5 AS f FROM a",
    "INSERT INTO made VALUES (99, 'made', 2)",
    "CREATE OR REPLACE VIEW seen AS SELECT id, v FROM a WHERE id > 1",
    "ALTER VIEW seen AS SELECT id FROM a",
    "CREATE VIEW other AS SELECT x FROM d",
    "DROP VIEW other",
    "CREATE PROCEDURE pr(IN z INT) BEGIN DECLARE q INT; SET q = z; SELECT q; END",
    "CREATE FUNCTION fu(z INT) RETURNS INT DETERMINISTIC NO SQL RETURN z + 1",
    "ALTER PROCEDURE pr COMMENT 'c' SQL SECURITY INVOKER",
    "CREATE PROCEDURE gone() SELECT 1",
    "DROP PROCEDURE gone",
    "CREATE EVENT ev ON SCHEDULE EVERY 1 SECOND DO UPDATE d SET y = NOW(3)",
    "CREATE EVENT ev2 ON SCHEDULE EVERY 1 DAY DISABLE COMMENT 'DO it' DO SELECT 1",
    "ALTER EVENT ev2 RENAME TO ev3",
    "ALTER EVENT ev ON SCHEDULE EVERY 2 DAY ENABLE",
    "CREATE EVENT ev4 ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    "DROP EVENT ev4",
    "CREATE DATABASE IF NOT EXISTS second DEFAULT CHARACTER SET latin1",
    "CREATE TABLE second.t (id INT PRIMARY KEY, w TEXT)",
    "INSERT INTO second.t VALUES (1, 'é')",
    "ALTER DATABASE second DEFAULT CHARACTER SET utf8mb4",
    "CREATE TABLE second.u (id INT PRIMARY KEY, w TEXT)",
    "CREATE DATABASE third",
    "CREATE TABLE third.t (id INT)",
    "INSERT INTO third.t VALUES (5)",
    "DROP DATABASE third",
    "CREATE USER 'u'@'10.%' IDENTIFIED BY 's3cret'",
    "GRANT SELECT, INSERT ON app.* TO 'u'@'10.%'",
    "GRANT UPDATE (v) ON app.a TO 'u'@'10.%'",
    "REVOKE INSERT ON app.* FROM 'u'@'10.%'",
    "CREATE ROLE ro",
    "GRANT SELECT ON second.* TO ro",
    "GRANT ro TO 'u'@'10.%'",
    "CREATE USER gone@localhost",
    "RENAME USER gone@localhost TO came@localhost",
    "DROP USER came@localhost",
    "CREATE TEMPORARY TABLE tmp (x INT); INSERT INTO tmp VALUES (1); DROP TEMPORARY TABLE tmp",
    "CREATE TEMPORARY TABLE a (x INT); ALTER TABLE a ADD y INT; DROP TABLE a",
    "ANALYZE TABLE a",
    "OPTIMIZE TABLE d",
    "FLUSH TABLES",
    "SET sql_mode = 'ANSI_QUOTES'; CREATE TABLE \"q\"\"q\" (\"select\" INT PRIMARY KEY DEFAULT 3)",
    "INSERT INTO `q\"q` VALUES (4)",
    "SET sql_mode = 'NO_BACKSLASH_ESCAPES'; CREATE TABLE bs (c VARCHAR(9) DEFAULT '\\' COMMENT '\\') ENGINE = InnoDB",
    "SET NAMES latin1; CREATE TABLE l1 (c VARCHAR(9) DEFAULT '\u{e9}') DEFAULT CHARSET utf8mb4",
    "INSERT INTO l1 VALUES ()",
    "SET time_zone = '+05:00'; CREATE TABLE tz (id INT PRIMARY KEY, c TIMESTAMP NOT NULL DEFAULT '2020-01-01 00:00:00')",
    "INSERT INTO tz (id) VALUES (1)",
    "SET foreign_key_checks = 0; CREATE TABLE child (id INT PRIMARY KEY, par INT, FOREIGN KEY (par) REFERENCES par (id))",
    "CREATE TABLE par (id INT PRIMARY KEY)",
    "INSERT INTO par VALUES (1); INSERT INTO child VALUES (1, 1)",
    "SET foreign_key_checks = 0; DROP TABLE par; CREATE TABLE par (id INT PRIMARY KEY, z INT)",
    "INSERT INTO par VALUES (1, 2)",
    "ALTER TABLE child DROP FOREIGN KEY child_ibfk_1",
    "DROP TABLE IF EXISTS nowhere",
    "CREATE TABLE d1 (x INT PRIMARY KEY); CREATE TABLE d2 (x INT PRIMARY KEY); INSERT INTO d1 VALUES (1)",
    "DROP TABLE d1, d2",
    "CREATE TABLE d1 (y VARCHAR(3) PRIMARY KEY)",
    "INSERT INTO d1 VALUES ('new')",
    "ALTER TABLE d1 ENGINE = InnoDB",
    "ALTER TABLE d1 CONVERT TO CHARACTER SET utf8mb4",
    "ALTER TABLE d1 AUTO_INCREMENT = 100",
    "CREATE TABLE g (id INT PRIMARY KEY, h INT GENERATED ALWAYS AS (id * 2) STORED)",
    "INSERT INTO g (id) VALUES (4)",
    "BEGIN; INSERT INTO g (id) VALUES (5); DROP TEMPORARY TABLE IF EXISTS nothing; INSERT INTO g (id) VALUES (6); COMMIT",
];

const MYSQL: &[&str] = &[
    "SET PASSWORD FOR 'u'@'10.%' = 'other'",
    "SET sql_generate_invisible_primary_key = 1; CREATE TABLE gipk (x INT)",
    "SET default_collation_for_utf8mb4 = utf8mb4_general_ci; CREATE TABLE oldcoll (x VARCHAR(3)) CHARSET utf8mb4",
    "SET sql_mode = '', explicit_defaults_for_timestamp = 0; CREATE TABLE ts (id INT PRIMARY KEY, t TIMESTAMP, u TIMESTAMP)",
    "ALTER USER 'u'@'10.%' PASSWORD EXPIRE INTERVAL 10 DAY",
    "SET DEFAULT ROLE ro TO 'u'@'10.%'",
    "ALTER TABLE d1 ALTER COLUMN y SET DEFAULT (UUID())",
    "ALTER TABLE a RENAME COLUMN v TO w",
    "INSERT INTO a (w, n) VALUES ('col', 3)",
    "CREATE TABLE vi (id INT PRIMARY KEY, s INT INVISIBLE DEFAULT 5)",
    "INSERT INTO vi (id) VALUES (1)",
];

const MARIADB: &[&str] = &[
    "SET PASSWORD FOR 'u'@'10.%' = PASSWORD('other')",
    "CREATE OR REPLACE TABLE d1 (z INT PRIMARY KEY)",
    "INSERT INTO d1 VALUES (8)",
    "SET STATEMENT max_statement_time = 10 FOR CREATE TABLE st (id INT PRIMARY KEY)",
    "INSERT INTO st VALUES (1)",
    "SET STATEMENT lock_wait_timeout = 10, max_statement_time = 5 FOR ALTER TABLE st ADD y INT",
    "CREATE SEQUENCE sq START WITH 10 INCREMENT BY 5",
    "ALTER SEQUENCE sq MAXVALUE 1000",
    "SELECT NEXTVAL(sq)",
    "INSERT INTO st VALUES (NEXTVAL(sq), 1)",
    "SELECT SETVAL(sq, 505)",
    "CREATE SEQUENCE sq2",
    "DROP SEQUENCE sq2",
    "ALTER TABLE st ADD COLUMN IF NOT EXISTS y INT",
    "SET check_constraint_checks = 0; ALTER TABLE st ADD CONSTRAINT ch CHECK (id > 100)",
    "CREATE OR REPLACE PROCEDURE pr() SELECT 5",
    "CREATE OR REPLACE USER u2@localhost IDENTIFIED BY 'p'",
    "SET DEFAULT ROLE ro FOR 'u'@'10.%'",
    "CREATE TABLE sv (x INT) WITH SYSTEM VERSIONING",
    "DROP TABLE sv",
    "SET sql_mode = 'ORACLE'; CREATE OR REPLACE PROCEDURE orap AS BEGIN NULL; END;",
    "CREATE TABLE u (id UUID PRIMARY KEY)",
    "SET sql_mode = '', explicit_defaults_for_timestamp = 0; CREATE TABLE ts (id INT PRIMARY KEY, t TIMESTAMP, u TIMESTAMP)",
    "SET explicit_defaults_for_timestamp = 1; CREATE TABLE ts1 (id INT PRIMARY KEY, t TIMESTAMP, u TIMESTAMP)",
    "CREATE TABLE ig (id INT PRIMARY KEY, s INT INVISIBLE DEFAULT 5)",
    "INSERT INTO ig (id) VALUES (1)",
];

/// What MySQL 5.6 runs too.
const OLD: &[&str] = &[
    "CREATE TABLE a (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(20), ts TIMESTAMP, tt TIMESTAMP) ENGINE = InnoDB",
    "INSERT INTO a (v, tt) VALUES ('x', '2020-01-01'), ('ж', '2020-01-02')",
    "ALTER TABLE a ADD COLUMN n INT NOT NULL DEFAULT 7, ADD KEY (v)",
    "CREATE TABLE u4 (v VARCHAR(20)) DEFAULT CHARSET utf8mb4",
    "INSERT INTO u4 VALUES ('ss'), ('ß')",
    "SET sql_mode = 'NO_KEY_OPTIONS,NO_AUTO_CREATE_USER,ANSI'; CREATE TABLE \"b\" (id INT PRIMARY KEY)",
    "INSERT INTO b VALUES (1)",
    "RENAME TABLE b TO c",
    "TRUNCATE c",
    "INSERT INTO c VALUES (2)",
    "CREATE VIEW w AS SELECT id FROM c",
    "CREATE TEMPORARY TABLE tmp (x INT); INSERT INTO tmp VALUES (1); DROP TABLE tmp",
    "CREATE TEMPORARY TABLE tmp (x INT)",
    "DROP TABLE IF EXISTS nowhere",
    "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    "CREATE PROCEDURE pr() BEGIN SELECT 1; END",
    "ALTER TABLE a DROP COLUMN n, ENGINE = InnoDB",
    "UPDATE a SET v = 'end' WHERE id = 1",
];

async fn prepared(blue: Kind, green: Kind) -> Pair {
    let pair = Pair::start(blue, green).await;
    pair.blue.sql("CREATE DATABASE app DEFAULT CHARACTER SET utf8mb4").await.unwrap();
    pair.blue.sql("CREATE TABLE app.first (id INT PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
    pair.create().await;
    // What green's own defaults are must not matter.
    pair.green.sql("SET GLOBAL sql_mode = 'ANSI_QUOTES', GLOBAL default_storage_engine = MyISAM, GLOBAL lc_time_names = 'de_DE'").await.unwrap();
    pair
}

async fn run(pair: &Pair, script: impl Iterator<Item = &&'static str>, pause: Duration) {
    for sql in script {
        let names = if sql.contains("SET NAMES") { "" } else { "SET NAMES utf8mb4; " };
        if let Err(error) = pair.blue.sql(&format!("{names}USE app; {sql}")).await {
            panic!("{sql}: {error:?}");
        }
        tokio::time::sleep(pause).await;
    }
}

/// Each object's definition and each account's privileges, as the server prints them.
async fn catalog(server: &Server) -> BTreeMap<String, String> {
    const OWN: &str = "NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema', 'bluegreen')";
    let objects = server
        .sql(&format!(
            "SELECT 'DATABASE', SCHEMA_NAME, '' FROM information_schema.SCHEMATA WHERE SCHEMA_NAME {OWN} UNION ALL \
             SELECT 'TABLE', TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA {OWN} UNION ALL \
             SELECT ROUTINE_TYPE, ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA {OWN} \
             UNION ALL SELECT 'EVENT', EVENT_SCHEMA, EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA {OWN}"
        ))
        .await
        .unwrap();
    let mut catalog = BTreeMap::new();
    for line in objects.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let name = match parts[2] {
            "" => format!("`{}`", parts[1]),
            name => format!("`{}`.`{name}`", parts[1]),
        };
        let mut text = server
            .sql(&format!(
                "SET NAMES utf8mb4; SET time_zone = '+00:00', sql_mode = ''; SHOW CREATE {} {name}",
                parts[0]
            ))
            .await
            .unwrap();
        for status in [" DISABLE ON SLAVE", " DISABLE ON REPLICA", " DISABLE", " ENABLE"] {
            text = text.replace(status, "");
        }
        let text: Vec<&str> = text.split(' ').filter(|word| !word.starts_with("AUTO_INCREMENT=")).collect();
        catalog.insert(format!("{} {name}", parts[0]), text.join(" "));
    }
    let accounts =
        "SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.user WHERE User NOT LIKE 'm%.%' AND User <> 'root'";
    for account in server.sql(accounts).await.unwrap().lines() {
        let is_role = account.starts_with("'ro'") || account.starts_with("'PUBLIC'");
        let name = if is_role && server.kind().is_mariadb() { account.split('@').next().unwrap() } else { account };
        let mut text = server.sql(&format!("SET sql_mode = ''; SHOW GRANTS FOR {name}")).await.unwrap();
        if !is_role && server.kind() != Kind::MySql56 {
            text += &server.sql(&format!("SET sql_mode = ''; SHOW CREATE USER {name}")).await.unwrap();
        }
        catalog.insert(format!("account {account}"), text);
    }
    catalog
}

async fn assert_equal(pair: &Pair) {
    let (blue, green) = (catalog(&pair.blue).await, catalog(&pair.green).await);
    for (name, text) in &blue {
        assert_eq!(Some(text), green.get(name), "{name}");
    }
    assert_eq!(blue.keys().collect::<Vec<_>>(), green.keys().collect::<Vec<_>>());
    pair.assert_same().await;
    let running = "SELECT COUNT(*) FROM information_schema.EVENTS WHERE STATUS = 'ENABLED'";
    assert_eq!(pair.green.sql(running).await.unwrap(), "0");
}

/// What the engine ran on green is not taken for somebody else's.
async fn assert_nothing_foreign(pair: &Pair) {
    assert_eq!(bluegreen::watch::scan(&pair.green_url(), true).await.unwrap().total(), 0);
}

async fn follows(blue: Kind, green: Kind, own: &'static [&'static str]) {
    let pair = prepared(blue, green).await;
    let replication = pair.replicate().await;
    run(&pair, SHARED.iter().chain(own), Duration::ZERO).await;
    pair.level(&replication).await;
    assert_eq!(replication.progress().borrow().conflicts, 0);
    replication.stop().await.unwrap();
    assert_equal(&pair).await;
    assert_nothing_foreign(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97_to_97() {
    follows(Kind::MySql97, Kind::MySql97, MYSQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_1011_to_1011() {
    follows(Kind::MariaDb1011, Kind::MariaDb1011, MARIADB).await;
}

/// Between versions the texts of SHOW CREATE differ, the columns do not.
async fn follows_to_newer(blue: Kind, green: Kind, script: impl Iterator<Item = &&'static str>) {
    let pair = prepared(blue, green).await;
    let replication = pair.replicate().await;
    run(&pair, script, Duration::ZERO).await;
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    pair.assert_same().await;
    let columns = "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, IS_NULLABLE, COLLATION_NAME FROM information_schema.COLUMNS \
                   WHERE TABLE_SCHEMA = 'app' ORDER BY TABLE_NAME, ORDINAL_POSITION";
    assert_eq!(pair.blue.sql(columns).await.unwrap(), pair.green.sql(columns).await.unwrap());
    assert_nothing_foreign(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_56_to_97() {
    follows_to_newer(Kind::MySql56, Kind::MySql97, OLD.iter()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_105_to_118() {
    let own = MARIADB.iter().filter(|sql| {
        !sql.contains(" UUID ") && !sql.contains("explicit_defaults") && !sql.contains("check_constraint")
    });
    follows_to_newer(Kind::MariaDb105, Kind::MariaDb118, SHARED.iter().chain(own)).await;
}

/// The engine is killed at random while the script runs, and while green is busy with it.
async fn survives_kill_9(blue: Kind, green: Kind, own: &'static [&'static str]) {
    let pair = prepared(blue, green).await;
    let mut random = rand::rngs::StdRng::seed_from_u64(4);
    let script = run(&pair, SHARED.iter().chain(own), Duration::from_millis(60));
    tokio::pin!(script);
    let (mut kills, mut is_running) = (0, true);
    while is_running || kills < 40 {
        let mut engine = pair.engine(&[]);
        let wait = tokio::time::sleep(Duration::from_millis(random.random_range(50..500)));
        tokio::pin!(wait);
        loop {
            tokio::select! {
                () = &mut script, if is_running => is_running = false,
                () = &mut wait => break,
            }
        }
        if engine.try_wait().unwrap().is_some() {
            let output = engine.wait_with_output().unwrap();
            panic!("the engine ended by itself: {}", String::from_utf8_lossy(&output.stderr));
        }
        engine.kill().unwrap();
        engine.wait().unwrap();
        kills += 1;
    }
    let output = pair.engine(&["--until-caught-up"]).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_equal(&pair).await;
    assert_nothing_foreign(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_killed_on_mysql() {
    survives_kill_9(Kind::MySql97, Kind::MySql97, MYSQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_killed_on_mariadb() {
    survives_kill_9(Kind::MariaDb1011, Kind::MariaDb1011, MARIADB).await;
}

/// Green is killed while it runs a statement; whether it had carried it out or not, it comes out the same.
async fn survives_greens_death(blue: Kind, green: Kind) {
    let mut pair = prepared(blue, green).await;
    pair.blue.sql("CREATE TABLE app.big (id INT AUTO_INCREMENT PRIMARY KEY, v CHAR(200))").await.unwrap();
    pair.blue.sql("INSERT INTO app.big (v) VALUES ('a'), ('b'), ('c'), ('d')").await.unwrap();
    for _ in 0..13 {
        pair.blue.sql("INSERT INTO app.big (v) SELECT v FROM app.big").await.unwrap();
    }
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    let mut random = rand::rngs::StdRng::seed_from_u64(5);
    for round in 0..6 {
        let alter =
            format!("ALTER TABLE app.big ADD COLUMN c{round} INT NOT NULL DEFAULT {round}, ADD KEY (v, c{round})");
        pair.blue.sql(&alter).await.unwrap();
        pair.blue.sql("RENAME TABLE app.big TO app.t, app.t TO app.big").await.unwrap();
        tokio::time::sleep(Duration::from_millis(random.random_range(0..700))).await;
        pair.green.kill().await.unwrap();
        pair.green.start().await.unwrap();
    }
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    assert_equal(&pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn green_killed_on_mysql() {
    survives_greens_death(Kind::MySql97, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn green_killed_on_mariadb() {
    survives_greens_death(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

/// A statement's objects are those whose definitions the server itself changes. (By their names alone a killed engine's
/// successor finds out whether it was carried out.)
async fn names_what_the_server_changes(kind: Kind, own: &[&'static str]) {
    let server = Server::builder(kind).start().await.unwrap();
    server.sql("CREATE DATABASE app DEFAULT CHARACTER SET utf8mb4").await.unwrap();
    let version: String = server.sql("SELECT VERSION()").await.unwrap();
    let rules = Rules::new(version.parse().unwrap());
    let (mut before, mut compared) = (catalog(&server).await, 0);
    for sql in SHARED.iter().chain(own) {
        server.sql(&format!("USE app; {sql}")).await.unwrap();
        let after = catalog(&server).await;
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let changed: BTreeSet<String> =
            keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).map(|key| plain(key)).collect();
        // What the session's settings do to a text is not looked at here.
        let is_single = (!sql.contains("; ") || sql.contains("PROCEDURE")) && !sql.starts_with("SET sql_mode");
        let is_change = ["INSERT", "UPDATE", "DELETE", "SELECT", "BEGIN"].iter().any(|verb| sql.starts_with(verb));
        // A definer is in the log, and not in these texts.
        let has_definer = [" EVENT ", "CREATE PROC", "CREATE OR REPLACE PROC", "CREATE FUNC"];
        if is_single && !is_change && !has_definer.iter().any(|text| sql.contains(text)) {
            let at = Coordinates::new("bin.000001", 4);
            let mut transaction = Transaction::new(at.clone(), at.clone());
            // As the log in row format has it.
            let sql = if sql.starts_with("CREATE TABLE made") { "CREATE TABLE made (x INT)" } else { sql };
            transaction.changes.push(Change::Statement(Statement::new("app", sql.as_bytes().into(), at.clone(), at)));
            let ddl = rules.statement(&transaction).unwrap_or_else(|error| panic!("{sql}: {error}"));
            let named: BTreeSet<String> = ddl.iter().flat_map(|ddl| &ddl.objects).map(name).collect();
            let is_named = |key: &String| {
                let holds =
                    |name: &String| key.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
                named.iter().any(holds)
            };
            assert!(changed.iter().all(is_named), "{sql}: the server changed {changed:?}, named are {named:?}");
            compared += usize::from(!changed.is_empty());
        }
        before = after;
    }
    assert!(compared > 40, "too few statements changed anything: {compared}");
}

/// A key of the catalogue without what kind of object it is.
fn plain(key: &str) -> String {
    match key.split_once(' ') {
        Some(("account", _)) | None => "accounts".into(),
        Some((_, name)) => name.into(),
    }
}

fn name(object: &Object) -> String {
    match object {
        Object::Relation(name) | Object::Routine(_, name) | Object::Event(name) | Object::Trigger(name) => {
            format!("`{}`.`{}`", name.schema, name.table)
        }
        Object::Schema(name) => format!("`{name}`"),
        _ => "accounts".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_changes_what_is_named() {
    names_what_the_server_changes(Kind::MySql97, MYSQL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_changes_what_is_named() {
    names_what_the_server_changes(Kind::MariaDb1011, MARIADB).await;
}

/// The places at which an engine can have been killed, and one that only a crash of green leaves behind.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_engine_left_is_settled() {
    let pair = prepared(Kind::MariaDb1011, Kind::MariaDb1011).await;
    // Announced and not carried out.
    pair.blue.sql("CREATE TABLE app.x (id INT PRIMARY KEY)").await.unwrap();
    begin(&pair, r#"[""]"#).await;
    go_on(&pair).await;
    // Carried out: a second time it would fail.
    pair.blue.sql("CREATE TABLE app.y (id INT PRIMARY KEY)").await.unwrap();
    pair.green.sql("CREATE TABLE app.y (id INT PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
    begin(&pair, r#"[""]"#).await;
    pair.blue.sql("INSERT INTO app.y VALUES (1)").await.unwrap();
    go_on(&pair).await;
    // Half of it: it stops, and stops again.
    pair.blue.sql("DROP TABLE app.x, app.y").await.unwrap();
    pair.green.sql("DROP TABLE app.x").await.unwrap();
    begin(&pair, r#"["x", "y"]"#).await;
    pair.blue.sql("INSERT INTO app.first VALUES (7)").await.unwrap();
    let mut place = None;
    for _ in 0..2 {
        let error = pair.replicate().await.finished().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State, "{error}");
        assert!(error.advice().unwrap().contains("=skip"), "{error}");
        place = error.place().unwrap().coordinates.clone();
    }
    pair.green.sql("DROP TABLE app.y").await.unwrap();
    let mut config = pair.config();
    config.ways.insert(place.unwrap(), Way::Skip);
    let replication = bluegreen::pipeline::Replication::start(config).await.unwrap();
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    assert_equal(&pair).await;
}

/// Leaves what an engine leaves that is killed after it announced blue's last statement.
async fn begin(pair: &Pair, before: &str) {
    let name = pair.blue.sql("SELECT @@gtid_binlog_pos").await.unwrap();
    let record =
        format!("REPLACE INTO bluegreen.statement VALUES ('forward', '{name}', 0, '{before}', UTC_TIMESTAMP(6))");
    pair.green.sql(&record).await.unwrap();
}

async fn go_on(pair: &Pair) {
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    assert_equal(pair).await;
}

/// A second engine waits until the statement that the first one began has ended on green.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_of_a_killed_engine_is_waited_for() {
    let pair = prepared(Kind::MySql97, Kind::MySql97).await;
    let url = pair.green.url();
    // Holds the table, and with it the statement, for as long as it sleeps.
    let holder = tokio::spawn(async move {
        let mut session = mysql_async::Conn::from_url(url).await.unwrap();
        session.query_drop("BEGIN; SELECT COUNT(*) FROM app.first; SELECT SLEEP(6); COMMIT").await.unwrap();
    });
    let sleeping = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'";
    await_one(&pair.green, sleeping).await;
    let mut first = pair.engine(&[]);
    pair.blue.sql("ALTER TABLE app.first ADD COLUMN c INT").await.unwrap();
    let waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table metadata%'";
    await_one(&pair.green, waiting).await;
    first.kill().unwrap();
    first.wait().unwrap();
    pair.blue.sql("INSERT INTO app.first VALUES (1, 2)").await.unwrap();
    let output = pair.engine(&["--until-caught-up"]).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    holder.await.unwrap();
    assert_equal(&pair).await;
    assert_nothing_foreign(&pair).await;
}

async fn await_one(server: &Server, query: &str) {
    let found = async {
        while server.sql(query).await.unwrap() != "1" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("it does not come");
}

/// What is not run stops with its place, and goes on as the operator decides.
#[tokio::test(flavor = "multi_thread")]
async fn the_operator_decides_about_what_stopped() {
    let pair = prepared(Kind::MariaDb1011, Kind::MariaDb1011).await;
    let mut replication = pair.replicate().await;
    pair.blue.sql("INSERT INTO app.first VALUES (1)").await.unwrap();
    // It would drop a table of the server's own.
    pair.blue.sql("DROP TABLE IF EXISTS app.none, mysql.none").await.unwrap();
    pair.blue.sql("INSERT INTO app.first VALUES (2)").await.unwrap();
    let error = replication.finished().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.advice().unwrap().contains("--statement-at"), "{error}");
    let place: Coordinates = error.place().unwrap().coordinates.clone().unwrap();
    assert_eq!(pair.green.sql("SELECT id FROM app.first").await.unwrap(), "1");

    let mut config = pair.config();
    config.ways.insert(place.clone(), Way::Skip);
    let replication = bluegreen::pipeline::Replication::start(config).await.unwrap();
    pair.level(&replication).await;
    // Green has no trigger while it is green, so there is nothing to drop.
    let trigger = "CREATE TRIGGER app.tr BEFORE INSERT ON app.first FOR EACH ROW SET NEW.id = NEW.id + 10";
    pair.blue.sql(trigger).await.unwrap();
    pair.blue.sql("INSERT INTO app.first VALUES (4)").await.unwrap();
    pair.level(&replication).await;
    assert_eq!(pair.green.sql("SELECT MAX(id) FROM app.first").await.unwrap(), "14");
    pair.blue.sql("DROP TRIGGER app.tr").await.unwrap();
    pair.blue.sql("SET SESSION binlog_format = 'STATEMENT'; INSERT INTO app.first VALUES (3)").await.unwrap();
    let mut replication = replication;
    let error = replication.finished().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Setting);
    assert!(error.advice().unwrap().contains("binlog_format=ROW"), "{error}");

    let place = error.place().unwrap().coordinates.clone().unwrap();
    let at = format!("{}:{}=apply", place.file, place.offset);
    let output = pair.engine(&["--until-caught-up", "--statement-at", &at]).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_equal(&pair).await;
}
