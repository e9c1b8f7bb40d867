//! What `create` carries beside tables: views, routines, events, accounts, roles and privileges. The servers' own SHOW is
//! the oracle.

mod support;

use std::time::Duration;

use bluegreen::ErrorKind;
use bluegreen::create::{CreateConfig, create};
use bluegreen::pipeline::switch_over;
use bluegreen::sandbox::{Kind, Server};
use bluegreen::switchover::{NoRouting, Outcome, SwitchoverConfig};
use support::Pair;

const SCHEMA: &str = "CREATE DATABASE shop; \
    CREATE TABLE shop.t (id INT PRIMARY KEY, name VARCHAR(20)) ENGINE = InnoDB CHARACTER SET utf8mb4; \
    INSERT INTO shop.t VALUES (1, 'Ж'), (2, NULL); \
    CREATE FUNCTION shop.twice (n INT) RETURNS INT DETERMINISTIC RETURN 2 * n; \
    CREATE PROCEDURE shop.`od``d` (OUT n INT) COMMENT 'é' SELECT COUNT(*) INTO n FROM shop.t; \
    CREATE VIEW shop.z AS SELECT id, shop.twice(id) AS double_id, name FROM shop.t; \
    CREATE VIEW shop.a AS SELECT id, double_id FROM shop.z WHERE name <> 'é;'; \
    SET sql_mode = 'ANSI_QUOTES';CREATE PROCEDURE shop.ansi () SELECT \"id\" FROM shop.\"t\"; \
    CREATE EVENT shop.ticks ON SCHEDULE EVERY 1 SECOND COMMENT 'DO ENABLE' DO DELETE FROM shop.t WHERE id = 99; \
    CREATE EVENT shop.sleeps ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1";

const ACCOUNTS: &str = "CREATE ROLE reader; GRANT SELECT ON shop.a TO reader; GRANT EXECUTE ON PROCEDURE shop.ansi TO reader; \
    CREATE USER 'a''pp'@'%' IDENTIFIED BY 'se''cret'; GRANT INSERT, UPDATE (name) ON shop.t TO 'a''pp'@'%' WITH GRANT OPTION; \
    GRANT reader TO 'a''pp'@'%'; CREATE USER owner@localhost";

/// What a server says of all of it.
async fn shown(server: &Server) -> Vec<String> {
    let mut shown = Vec::new();
    for (what, names) in [("FUNCTION", vec!["twice"]), ("PROCEDURE", vec!["`od``d`", "ansi"]), ("VIEW", vec!["a", "z"])]
    {
        for name in names {
            shown.push(server.sql(&format!("SHOW CREATE {what} shop.{name}")).await.unwrap());
        }
    }
    shown
}

async fn accounts_shown(server: &Server) -> Vec<String> {
    let mut shown = Vec::new();
    for name in ["'a''pp'@'%'", "owner@localhost"] {
        shown.push(server.sql(&format!("SHOW CREATE USER {name}")).await.unwrap());
    }
    for name in ["'a''pp'@'%'", "owner@localhost", "reader"] {
        let grants = server.sql(&format!("SHOW GRANTS FOR {name}")).await.unwrap();
        let mut grants: Vec<&str> = grants.lines().collect();
        grants.sort_unstable();
        shown.extend(grants.into_iter().map(str::to_owned));
    }
    shown
}

async fn carried(blue: Kind, green: Kind) {
    let pair = Pair::start(blue, green).await;
    pair.blue.sql("SET GLOBAL log_bin_trust_function_creators = 1").await.unwrap();
    pair.green.sql("SET GLOBAL log_bin_trust_function_creators = 1; SET GLOBAL event_scheduler = ON").await.unwrap();
    for statement in SCHEMA.split("; ") {
        pair.blue.sql(statement).await.unwrap();
    }
    let has_roles = blue != Kind::MySql56;
    if has_roles {
        pair.blue.sql(ACCOUNTS).await.unwrap();
        let default = if blue.is_mariadb() { "reader FOR" } else { "reader TO" };
        pair.blue.sql(&format!("SET DEFAULT ROLE {default} 'a''pp'@'%'")).await.unwrap();
    }
    pair.create().await;
    if blue == green {
        assert_eq!(shown(&pair.green).await, shown(&pair.blue).await);
    }
    assert_eq!(pair.green.sql("SELECT double_id FROM shop.a").await.unwrap(), "2");
    assert_eq!(pair.green.sql("CALL shop.`od``d`(@n); SELECT @n").await.unwrap(), "2");
    assert_eq!(pair.green.sql("CALL shop.ansi()").await.unwrap().lines().count(), 2);
    let states = "SELECT EVENT_NAME, STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'shop' ORDER BY 1";
    let states = pair.green.sql(states).await.unwrap();
    assert!(states.starts_with("sleeps\tDISABLED"), "{states}");
    assert!(
        states.contains("ticks\tSLAVESIDE_DISABLED") || states.contains("ticks\tREPLICA_SIDE_DISABLED"),
        "{states}"
    );
    if has_roles {
        assert_eq!(accounts_shown(&pair.green).await, accounts_shown(&pair.blue).await);
        // With the old password, and the role switched on.
        let url = pair.green.url_as("a'pp", "se'cret");
        let mut app = mysql_async::Conn::from_url(url).await.unwrap();
        let id: Option<i32> =
            mysql_async::prelude::Queryable::query_first(&mut app, "SELECT id FROM shop.a").await.unwrap();
        assert_eq!(id, Some(1));
    }
    pair.assert_same().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn carried_on_mysql() {
    carried(Kind::MySql97, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn carried_on_mariadb() {
    carried(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn carried_from_mysql_56_to_97() {
    carried(Kind::MySql56, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn carried_from_mariadb_105_to_118() {
    carried(Kind::MariaDb105, Kind::MariaDb118).await;
}

/// Sequences stand on green where they stand on blue, and go on from there: drawn from by name and by a column's default,
/// set, used up, turned over.
async fn sequences(blue: Kind, green: Kind) {
    let pair = Pair::start(blue, green).await;
    for statement in [
        "CREATE DATABASE a",
        "CREATE DATABASE shop",
        "CREATE SEQUENCE shop.`or``der` START WITH 5 INCREMENT BY 3 CACHE 4",
        "CREATE SEQUENCE shop.every NOCACHE COMMENT 'it''s'",
        "CREATE SEQUENCE shop.down INCREMENT BY -2",
        "CREATE SEQUENCE shop.used_up MAXVALUE 2 NOCACHE",
        "CREATE SEQUENCE shop.turns MAXVALUE 3 CYCLE NOCACHE",
        "CREATE TABLE a.t (id BIGINT PRIMARY KEY DEFAULT NEXTVAL(shop.every), n INT) ENGINE = InnoDB",
        "INSERT INTO a.t (n) VALUES (1), (2), (3)",
        "SELECT NEXTVAL(shop.`or``der`), NEXTVAL(shop.down), NEXTVAL(shop.used_up), NEXTVAL(shop.turns)",
        "SELECT NEXTVAL(shop.used_up), NEXTVAL(shop.turns), NEXTVAL(shop.turns), NEXTVAL(shop.turns)",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    pair.create().await;
    // Sequences too are tables to this.
    pair.assert_same().await;
    let names = ["`or``der`", "every", "down", "used_up", "turns"];
    for name in names {
        let show = format!("SHOW CREATE SEQUENCE shop.{name}");
        assert_eq!(pair.green.sql(&show).await.unwrap(), pair.blue.sql(&show).await.unwrap());
    }
    // Many values in one group, before there is a stream.
    for statement in [
        "INSERT INTO a.t (n) SELECT seq FROM a.seq_1_to_500",
        "SELECT SETVAL(shop.`or``der`, 1000)",
        "START TRANSACTION; SELECT NEXTVAL(shop.every); INSERT INTO a.t (n) VALUES (9); ROLLBACK",
        "SELECT NEXTVAL(shop.turns)",
        "ALTER SEQUENCE shop.down RESTART -77",
        "CREATE SEQUENCE shop.late START WITH 7 NOCACHE",
        "SELECT NEXTVAL(shop.late)",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    let replication = pair.replicate().await;
    pair.blue.sql("INSERT INTO a.t (n) SELECT seq FROM a.seq_1_to_50").await.unwrap();
    pair.blue.sql("DROP SEQUENCE shop.used_up; SELECT NEXTVAL(shop.down)").await.unwrap();
    pair.level(&replication).await;
    pair.assert_same().await;
    let config = SwitchoverConfig::new(pair.blue_url(), pair.green_url());
    let report = Box::pin(switch_over(&config, &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    let _ = replication.stop().await;
    // No value is given twice.
    let before = pair.green.sql("SELECT MAX(id) FROM a.t").await.unwrap().parse::<u64>().unwrap();
    pair.green.sql("INSERT INTO a.t (n) VALUES (0)").await.unwrap();
    assert_eq!(pair.green.sql("SELECT MAX(id) FROM a.t").await.unwrap(), (before + 1).to_string());
    assert_eq!(pair.green.sql("SELECT NEXTVAL(shop.late), NEXTVAL(shop.turns)").await.unwrap(), "8\t3");
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_go_on_where_blues_stand() {
    sequences(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sequences_from_mariadb_105_to_118() {
    sequences(Kind::MariaDb105, Kind::MariaDb118).await;
}

/// No id is given twice: counters stand where blue's stand, also where the rows that moved them are gone.
async fn counters(blue: Kind, green: Kind) {
    let pair = Pair::start(blue, green).await;
    for statement in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.ahead (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE = InnoDB AUTO_INCREMENT = 300",
        "CREATE TABLE shop.emptied (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE = InnoDB",
        "CREATE TABLE shop.followed (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE = InnoDB",
        "CREATE TABLE shop.in_one (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE = InnoDB",
        "CREATE TABLE shop.bound (id INT AUTO_INCREMENT PRIMARY KEY, place GEOMETRY NOT NULL, day DATE NOT NULL) ENGINE = InnoDB",
        "CREATE TABLE shop.altered (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE = InnoDB",
        "INSERT INTO shop.ahead VALUES (1); INSERT INTO shop.emptied VALUES (40); DELETE FROM shop.emptied",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    pair.create().await;
    for statement in [
        "INSERT INTO shop.followed VALUES (50); DELETE FROM shop.followed",
        "BEGIN; INSERT INTO shop.in_one VALUES (60); DELETE FROM shop.in_one; COMMIT",
        "BEGIN; INSERT INTO shop.bound VALUES (80, ST_GeomFromText('POINT(1 1)'), '2026-01-01'); DELETE FROM shop.bound; COMMIT",
        "ALTER TABLE shop.altered AUTO_INCREMENT = 70",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    let config = SwitchoverConfig::new(pair.blue_url(), pair.green_url());
    let report = Box::pin(switch_over(&config, &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    let _ = replication.stop().await;
    for (table, next) in [("ahead", "300"), ("emptied", "41"), ("followed", "51"), ("in_one", "61"), ("altered", "70")]
    {
        let insert = format!("INSERT INTO shop.{table} VALUES (); SELECT LAST_INSERT_ID()");
        assert_eq!(pair.green.sql(&insert).await.unwrap(), next, "{table}");
    }
    // No row but a whole one says its number here.
    let insert =
        "INSERT INTO shop.bound VALUES (NULL, ST_GeomFromText('POINT(1 1)'), '2026-01-01'); SELECT LAST_INSERT_ID()";
    assert_eq!(pair.green.sql(insert).await.unwrap(), "81");
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_on_mysql() {
    counters(Kind::MySql97, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_on_mysql_56_to_97() {
    counters(Kind::MySql56, Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_on_mariadb() {
    counters(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_on_mariadb_105_to_118() {
    counters(Kind::MariaDb105, Kind::MariaDb118).await;
}

/// Packages and their bodies, with what uses them; and one that blue makes while green follows.
async fn packages(blue: Kind, green: Kind) {
    let pair = Pair::start(blue, green).await;
    pair.blue.sql("SET GLOBAL log_bin_trust_function_creators = 1").await.unwrap();
    pair.green.sql("SET GLOBAL log_bin_trust_function_creators = 1").await.unwrap();
    let package = |name: &str, plus: u8| {
        format!(
            "USE shop; SET sql_mode = ORACLE; CREATE PACKAGE {name} AS FUNCTION f(x INT) RETURN INT; END; \
             CREATE PACKAGE BODY {name} AS hidden INT := {plus}; \
             FUNCTION f(x INT) RETURN INT AS BEGIN RETURN x + hidden; END; END"
        )
    };
    pair.blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
    pair.blue.sql(&package("sums", 5)).await.unwrap();
    pair.blue.sql("CREATE VIEW shop.a AS SELECT shop.sums.f(1) AS six").await.unwrap();
    pair.create().await;
    assert_eq!(pair.green.sql("SELECT six, shop.sums.f(2) FROM shop.a").await.unwrap(), "6\t7");
    let replication = pair.replicate().await;
    pair.blue.sql(&package("later", 7)).await.unwrap();
    pair.blue.sql("INSERT INTO shop.t VALUES (1)").await.unwrap();
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    assert_eq!(pair.green.sql("SELECT shop.later.f(1)").await.unwrap(), "8");
    for name in ["sums", "later"] {
        for what in ["PACKAGE", "PACKAGE BODY"] {
            let show = format!("SHOW CREATE {what} shop.{name}");
            let [on_blue, on_green] = [pair.blue.sql(&show).await.unwrap(), pair.green.sql(&show).await.unwrap()];
            // The last columns are the session's character sets, which versions name differently.
            let definition = |shown: &str| shown.split('\t').take(3).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(definition(&on_green), definition(&on_blue));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_are_carried() {
    packages(Kind::MariaDb1011, Kind::MariaDb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_from_mariadb_105_to_118() {
    packages(Kind::MariaDb105, Kind::MariaDb118).await;
}

/// Libraries, whose code MySQL Community keeps though it runs none.
#[tokio::test(flavor = "multi_thread")]
async fn libraries_are_carried() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    for server in [&pair.blue, &pair.green] {
        server.sql("SET GLOBAL log_bin_trust_function_creators = 1").await.unwrap();
    }
    for statement in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT PRIMARY KEY)",
        "CREATE LIBRARY shop.sums COMMENT 'é' LANGUAGE JAVASCRIPT AS 'export function f(n) {return n + \\'é\\' }'",
        "CREATE FUNCTION shop.six (n INT) RETURNS INT LANGUAGE JAVASCRIPT USING (shop.sums) AS 'return sums.f(n)'",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    pair.create().await;
    let replication = pair.replicate().await;
    for statement in [
        "CREATE LIBRARY shop.later LANGUAGE JAVASCRIPT AS 'export let x = 1'",
        "ALTER LIBRARY shop.later COMMENT 'x'",
        "CREATE LIBRARY shop.gone LANGUAGE JAVASCRIPT AS 'export let y = 1'",
        "DROP LIBRARY shop.gone",
        "INSERT INTO shop.t VALUES (1)",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    for show in [
        "SHOW CREATE LIBRARY shop.sums",
        "SHOW CREATE LIBRARY shop.later",
        "SHOW CREATE FUNCTION shop.six",
        "SELECT COUNT(*) FROM information_schema.LIBRARIES",
    ] {
        assert_eq!(pair.green.sql(show).await.unwrap(), pair.blue.sql(show).await.unwrap());
    }
}

/// What green refuses is named, and nothing of it is in the way of the next try: neither accounts nor objects.
#[tokio::test(flavor = "multi_thread")]
async fn what_green_refuses_is_named() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    let schema = "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); CREATE VIEW shop.v AS SELECT id FROM shop.t; \
        CREATE USER app IDENTIFIED BY 'x'; GRANT SELECT ON shop.v TO app";
    pair.blue.sql(schema).await.unwrap();
    // A view that lost its table.
    pair.blue
        .sql(
            "CREATE TABLE shop.gone (id INT PRIMARY KEY); CREATE VIEW shop.broken AS SELECT id FROM shop.gone; \
        DROP TABLE shop.gone",
        )
        .await
        .unwrap();
    let config = CreateConfig::new("mydb1", pair.blue_url(), pair.green_url()).unwrap();
    let refusal = Box::pin(create(&config, |_| {})).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Refused, "{refusal}");
    assert!(refusal.to_string().contains("shop.broken") && refusal.to_string().contains("view"), "{refusal}");
    pair.blue.sql("DROP VIEW shop.broken").await.unwrap();
    let created = Box::pin(create(&config, |_| {})).await.unwrap();
    assert!(!created.warnings.iter().any(|warning| warning.contains("accounts")), "{:?}", created.warnings);
    let grants = "SHOW GRANTS FOR app";
    assert_eq!(pair.green.sql(grants).await.unwrap(), pair.blue.sql(grants).await.unwrap());
}

/// An account that green does not take is named, and is whose it becomes; the anonymous one is an account, too.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_green_does_not_take_are_named() {
    let pair = Pair::start(Kind::MariaDb1011, Kind::MariaDb1011).await;
    for statement in [
        "INSTALL SONAME 'auth_ed25519'",
        "CREATE USER app IDENTIFIED VIA ed25519 USING PASSWORD('secret')",
        "CREATE USER ''@'10.%' IDENTIFIED BY 'none'",
        "CREATE DATABASE shop",
        "CREATE TABLE shop.gone (id INT PRIMARY KEY)",
        "CREATE VIEW shop.broken AS SELECT id FROM shop.gone",
        "DROP TABLE shop.gone",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    let config = CreateConfig::new("mydb1", pair.blue_url(), pair.green_url()).unwrap();
    Box::pin(create(&config, |_| {})).await.unwrap_err();
    pair.blue.sql("DROP VIEW shop.broken").await.unwrap();
    // By hand, with another password: nobody else may take it away.
    pair.green.sql("CREATE USER app IDENTIFIED BY 'mine'").await.unwrap();
    Box::pin(create(&config, |_| {})).await.unwrap();
    mysql_async::Conn::from_url(pair.green.url_as("app", "mine")).await.unwrap();
    assert!(pair.green.sql("SHOW CREATE USER ''@'10.%'").await.unwrap().contains("10.%"));

    let other = Pair::of(pair.blue, Server::builder(Kind::MariaDb1011).start().await.unwrap());
    let config = CreateConfig::new("mydb2", other.blue_url(), other.green_url()).unwrap();
    let created = Box::pin(create(&config, |_| {})).await.unwrap();
    let warning = created.warnings.iter().find(|warning| warning.contains("does not take")).unwrap();
    assert!(warning.contains("'app'@'%' (error ") && !warning.contains("ed25519"), "{warning}");
}

/// MySQL 5.6 says of an account what it may do, and not how it is made.
async fn accounts_of_mysql_56(green: Kind) -> (Pair, Vec<String>, Vec<bluegreen::checks::Check>) {
    let pair = Pair::start(Kind::MySql56, green).await;
    for statement in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT PRIMARY KEY, n INT)",
        "INSERT INTO shop.t VALUES (1, 1)",
        "CREATE USER hashed IDENTIFIED BY 'secretword'",
        "GRANT SELECT ON shop.* TO hashed",
        "CREATE USER long_hashed IDENTIFIED WITH sha256_password",
        "SET old_passwords = 2; SET PASSWORD FOR long_hashed = PASSWORD('secretword'); SET old_passwords = 0",
        "CREATE USER none@'%'",
        "GRANT SELECT (id), UPDATE (n) ON shop.t TO none@'%' WITH GRANT OPTION",
        "CREATE USER 'o''q'@'10.%'",
        "GRANT RELOAD, PROCESS ON *.* TO 'o''q'@'10.%' REQUIRE SUBJECT '/CN=a\\'b' AND ISSUER '/CN=x' \
         WITH GRANT OPTION MAX_QUERIES_PER_HOUR 5 MAX_USER_CONNECTIONS 3",
        "CREATE USER safe@localhost; GRANT USAGE ON *.* TO safe@localhost REQUIRE SSL WITH MAX_UPDATES_PER_HOUR 7",
        "CREATE USER expired; ALTER USER expired PASSWORD EXPIRE",
        "GRANT PROXY ON hashed TO none@'%'",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    if green == Kind::MySql56 {
        // Who may let an account stand for others.
        let proxies =
            "INSERT INTO mysql.proxies_priv SET Host = '127.0.0.1', User = 'root', With_grant = 1; FLUSH PRIVILEGES";
        pair.green.sql(proxies).await.unwrap();
    }
    let config = CreateConfig::new("mydb1", pair.blue_url(), pair.green_url()).unwrap();
    let checks = Box::pin(bluegreen::create::dry_run(&config)).await;
    let created = Box::pin(create(&config, |_| {})).await.unwrap();
    let mut app = mysql_async::Conn::from_url(pair.green.url_as("none", "")).await.unwrap();
    let id: Option<i32> =
        mysql_async::prelude::Queryable::query_first(&mut app, "SELECT id FROM shop.t").await.unwrap();
    assert_eq!(id, Some(1));
    (pair, created.warnings, checks)
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_mysql_56_on_97() {
    let (pair, warnings, checks) = accounts_of_mysql_56(Kind::MySql97).await;
    // MySQL 9 has no plugin for these hashes.
    let check = checks.iter().find(|check| check.name == "accounts").unwrap();
    assert!(check.evidence.ends_with(": hashed@%"), "{check:?}");
    let warning = warnings.iter().find(|warning| warning.contains("does not take")).unwrap();
    assert!(warning.contains(": 'hashed'@'%' (error ") && !warning.contains("and"), "{warning}");
    // Whose proxy it was.
    let warning = warnings.iter().find(|warning| warning.contains("does not grant")).unwrap();
    assert!(warning.contains(": 'none'@'%' (error ") && !warning.contains("q'@"), "{warning}");
    let user = "SELECT plugin, authentication_string FROM mysql.user WHERE User = 'long_hashed'";
    assert_eq!(pair.green.sql(user).await.unwrap(), pair.blue.sql(user).await.unwrap());
    let rows = "SELECT User, Host, ssl_type, ssl_cipher, x509_issuer, x509_subject, max_questions, max_updates, \
        max_connections, max_user_connections, password_expired, Reload_priv, Process_priv, Super_priv, Grant_priv \
        FROM mysql.user WHERE User IN ('long_hashed', 'none', 'o''q', 'safe', 'expired') ORDER BY User";
    assert_eq!(pair.green.sql(rows).await.unwrap(), pair.blue.sql(rows).await.unwrap());
    assert_eq!(
        pair.green.sql("SHOW GRANTS FOR none@'%'").await.unwrap(),
        "GRANT USAGE ON *.* TO `none`@`%`\n\
         GRANT SELECT (`id`), UPDATE (`n`) ON `shop`.`t` TO `none`@`%` WITH GRANT OPTION"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_mysql_56_on_56() {
    let (pair, warnings, checks) = accounts_of_mysql_56(Kind::MySql56).await;
    assert!(checks.iter().any(|check| check.name == "accounts" && check.advice.is_none()));
    assert!(!warnings.iter().any(|warning| warning.contains("accounts")), "{warnings:?}");
    mysql_async::Conn::from_url(pair.green.url_as("hashed", "secretword")).await.unwrap();
    mysql_async::Conn::from_url(pair.green.url_as("hashed", "")).await.unwrap_err();
    for name in ["hashed", "long_hashed", "none@'%'", "'o''q'@'10.%'", "safe@localhost", "expired"] {
        let show = format!("SHOW GRANTS FOR {name}");
        let [on_blue, on_green] = [pair.blue.sql(&show).await.unwrap(), pair.green.sql(&show).await.unwrap()];
        let sorted = |shown: &str| shown.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(sorted(&on_green), sorted(&on_blue));
    }
    let rows =
        "SELECT User, plugin, password_expired FROM mysql.user WHERE User IN ('long_hashed', 'expired') ORDER BY 1";
    assert_eq!(pair.green.sql(rows).await.unwrap(), pair.blue.sql(rows).await.unwrap());
}

/// A trigger's effect comes from blue while blue is production, and from green's own trigger from then on; so do events.
async fn triggers_and_events_wake_at_the_switchover(kind: Kind) {
    let pair = Pair::start(kind, kind).await;
    pair.blue.sql("SET GLOBAL log_bin_trust_function_creators = 1; SET GLOBAL event_scheduler = OFF").await.unwrap();
    pair.green.sql("SET GLOBAL log_bin_trust_function_creators = 1; SET GLOBAL event_scheduler = ON").await.unwrap();
    for statement in [
        "CREATE DATABASE shop",
        "CREATE USER owner@localhost",
        "GRANT ALL ON shop.* TO owner@localhost",
        "CREATE TABLE shop.t (id INT PRIMARY KEY, n INT) ENGINE = InnoDB",
        "CREATE TABLE shop.log (id INT AUTO_INCREMENT PRIMARY KEY, what VARCHAR(20)) ENGINE = InnoDB",
        "CREATE TABLE shop.ticked (id INT AUTO_INCREMENT PRIMARY KEY) ENGINE = InnoDB",
        "CREATE TRIGGER shop.later BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.n = NEW.n * 10",
        "CREATE TRIGGER shop.sooner BEFORE INSERT ON shop.t FOR EACH ROW PRECEDES later SET NEW.n = NEW.n + 1",
        "CREATE DEFINER = owner@localhost EVENT shop.ticks ON SCHEDULE EVERY 1 SECOND DO INSERT INTO shop.ticked VALUES ()",
        "CREATE EVENT shop.sleeps ON SCHEDULE EVERY 1 SECOND DISABLE DO INSERT INTO shop.log (what) VALUES ('woke')",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    pair.create().await;
    let replication = pair.replicate().await;
    pair.blue.sql("INSERT INTO shop.t VALUES (1, 1)").await.unwrap();
    let logs = "CREATE TRIGGER shop.logs AFTER INSERT ON shop.t FOR EACH ROW INSERT INTO shop.log (what) VALUES ('é')";
    pair.blue.sql(logs).await.unwrap();
    pair.blue.sql("INSERT INTO shop.t VALUES (2, 2)").await.unwrap();
    pair.level(&replication).await;
    pair.assert_same().await;
    assert_eq!(pair.green.sql("SELECT COUNT(*) FROM shop.ticked").await.unwrap(), "0");
    let config = SwitchoverConfig::new(pair.blue_url(), pair.green_url());
    let report = Box::pin(switch_over(&config, &NoRouting::default())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    assert!(!report.notes.iter().any(|note| note.contains("trigger") || note.contains("event")), "{:?}", report.notes);
    // The old stream finds its deployment gone.
    let _ = replication.stop().await;
    pair.green.sql("INSERT INTO shop.t VALUES (3, 3)").await.unwrap();
    let rows = pair.green.sql("SELECT n FROM shop.t ORDER BY id").await.unwrap();
    assert_eq!(rows.lines().collect::<Vec<_>>(), ["20", "30", "40"]);
    assert_eq!(pair.green.sql("SELECT COUNT(*), MIN(what), MAX(what) FROM shop.log").await.unwrap(), "2\té\té");
    let ticked = async {
        while pair.green.sql("SELECT COUNT(*) FROM shop.ticked").await.unwrap() == "0" {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ticked).await.expect("the event does not run");
    let events =
        "SELECT EVENT_NAME, DEFINER, STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'shop' ORDER BY 1";
    let events = pair.green.sql(events).await.unwrap();
    assert_eq!(events, "sleeps\troot@localhost\tDISABLED\nticks\towner@localhost\tENABLED");
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_and_events_wake_at_the_switchover_on_mysql() {
    triggers_and_events_wake_at_the_switchover(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn triggers_and_events_wake_at_the_switchover_on_mariadb() {
    triggers_and_events_wake_at_the_switchover(Kind::MariaDb1011).await;
}

/// A trigger on green would do a second time what it did on blue.
#[tokio::test(flavor = "multi_thread")]
async fn a_green_with_triggers_is_refused() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    pair.blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY)").await.unwrap();
    pair.create().await;
    let trigger = "CREATE TRIGGER shop.mine BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.id = 1";
    pair.green.sql(trigger).await.unwrap();
    let mut replication = pair.replicate().await;
    let error = replication.finished().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State, "{error}");
    assert!(error.to_string().contains("shop.mine"), "{error}");
}

/// Where green refuses a trigger, or somebody holds its table, the switchover is undone: green is without triggers again,
/// the stream goes on, and the next switchover makes them.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_green_refuses_undoes_the_switchover() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    for statement in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT PRIMARY KEY, n INT)",
        "CREATE TABLE shop.u (id INT PRIMARY KEY, n INT)",
        "CREATE TRIGGER shop.a BEFORE INSERT ON shop.t FOR EACH ROW SET NEW.n = NEW.n + 1",
        "CREATE TRIGGER shop.b BEFORE INSERT ON shop.u FOR EACH ROW SET NEW.n = NEW.n + 1",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    pair.create().await;
    let triggers =
        "SELECT GROUP_CONCAT(TRIGGER_NAME ORDER BY 1) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'shop'";
    // A report reads a table on green, and its transaction stays open.
    let mut report = mysql_async::Conn::from_url(pair.green.url()).await.unwrap();
    let read = "START TRANSACTION WITH CONSISTENT SNAPSHOT; SELECT COUNT(*) FROM shop.u";
    mysql_async::prelude::Queryable::query_drop(&mut report, read).await.unwrap();
    let config = SwitchoverConfig::new(pair.blue_url(), pair.green_url());
    let undone = Box::pin(switch_over(&config, &NoRouting::new())).await.unwrap();
    assert_eq!(undone.outcome, Outcome::Unchanged, "{:?}", undone.reason);
    assert!(undone.reason.as_ref().unwrap().contains("shop.b"), "{:?}", undone.reason);
    assert_eq!(pair.green.sql(triggers).await.unwrap(), "NULL");
    pair.blue.sql("INSERT INTO shop.t VALUES (1, 1)").await.unwrap();
    let replication = pair.replicate().await;
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    pair.assert_same().await;
    drop(report);
    let report = Box::pin(switch_over(&config, &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
    assert_eq!(pair.green.sql(triggers).await.unwrap(), "a,b");
}

/// A trigger that somebody makes on green fires for blue's rows: it is a foreign write, and no switchover passes over it.
#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_of_somebody_else_is_a_foreign_write() {
    let pair = Pair::start(Kind::MariaDb1011, Kind::MariaDb1011).await;
    pair.blue.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, n INT)").await.unwrap();
    pair.create().await;
    pair.green.sql("CREATE TRIGGER shop.x BEFORE UPDATE ON shop.t FOR EACH ROW SET NEW.n = 0").await.unwrap();
    assert_eq!(bluegreen::watch::scan(&pair.green_url(), true).await.unwrap().open(), 1);
    let config = SwitchoverConfig::new(pair.blue_url(), pair.green_url());
    let report = Box::pin(switch_over(&config, &NoRouting::new())).await.unwrap();
    assert_eq!(report.outcome, Outcome::Unchanged);
    assert_eq!(pair.green.sql("SHOW TRIGGERS FROM shop").await.unwrap().lines().count(), 1);
}

/// Parameters have the character set that the schema had when the routine was made: green cannot know, and it is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_routine_older_than_its_schemas_collation_is_named() {
    let pair = Pair::start(Kind::MySql97, Kind::MySql97).await;
    for statement in [
        "CREATE DATABASE shop CHARACTER SET latin1",
        "CREATE PROCEDURE shop.p (x VARCHAR(9)) SELECT x",
        "ALTER DATABASE shop CHARACTER SET utf8mb4",
        "CREATE PROCEDURE shop.q (x VARCHAR(9)) SELECT x",
    ] {
        pair.blue.sql(statement).await.unwrap();
    }
    let config = CreateConfig::new("mydb1", pair.blue_url(), pair.green_url()).unwrap();
    let created = Box::pin(create(&config, |_| {})).await.unwrap();
    let warning = created.warnings.iter().find(|warning| warning.contains("another collation")).unwrap();
    assert!(warning.contains("shop.p") && !warning.contains("shop.q"), "{warning}");
}
