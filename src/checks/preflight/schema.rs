//! What blue's schema holds that this version does not carry, that a green of a newer version sees otherwise, or of which
//! somebody should know.

use std::collections::BTreeSet;

use crate::checks::{Check, Verdict, named};
use crate::error::Result;
use crate::model::{Column, ColumnKind, Flavor, Table, modern_charset};
use crate::net::{NOT_SYSTEM, NOT_SYSTEM_USER, Row, Server, Session, tables, tells_zero_signs};

/// Blue's tables, and what it has beside them.
pub(crate) struct Schema {
    pub(crate) tables: Vec<Table>,
    /// System-versioned tables and so on, which `create` does not carry: what and which.
    pub(crate) objects: Vec<String>,
}

impl Schema {
    /// What the account may not see is not among it, which is why `create` requires the privileges to see it.
    pub(crate) async fn read(blue: &mut Session) -> Result<Schema> {
        Ok(Schema { tables: tables(blue).await?, objects: objects(blue).await? })
    }
}

async fn objects(blue: &mut Session) -> Result<Vec<String>> {
    let query = format!(
        "SELECT TABLE_TYPE, TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
         WHERE LOWER(TABLE_SCHEMA) {NOT_SYSTEM} AND TABLE_TYPE NOT IN ('BASE TABLE', 'VIEW', 'SEQUENCE') \
         UNION ALL \
         SELECT ROUTINE_TYPE, ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES \
         WHERE LOWER(ROUTINE_SCHEMA) {NOT_SYSTEM} \
         AND ROUTINE_TYPE NOT IN ('FUNCTION', 'PROCEDURE', 'PACKAGE', 'PACKAGE BODY')"
    );
    let named = |row: &Row| {
        let what = match row.text(0).as_str() {
            "SYSTEM VERSIONED" => "system-versioned table".into(),
            other => other.to_ascii_lowercase(),
        };
        format!("{what} {}.{}", row.text(1), row.text(2))
    };
    Ok(blue.rows(&query).await?.iter().map(named).collect())
}

/// What this version does not carry to green.
struct NotCarried {
    name: &'static str,
    what: &'static str,
    which: fn(&Schema) -> Vec<String>,
    remedy: &'static str,
}

const NOT_CARRIED: [NotCarried; 4] = [
    NotCarried {
        name: "objects",
        what: "objects that this version does not carry",
        which: |schema| schema.objects.clone(),
        remedy: "drop them on blue, or build green by other means",
    },
    NotCarried {
        name: "engines",
        what: "tables that no snapshot holds, and whose changes no transaction takes back",
        which: |schema| {
            let others = schema.tables.iter().filter(|table| !table.engine.eq_ignore_ascii_case("InnoDB"));
            others.map(|table| format!("{} ({})", table.name, table.engine)).collect()
        },
        remedy: "ALTER TABLE … ENGINE = InnoDB",
    },
    NotCarried {
        name: "column_types",
        what: "columns of types that this version does not carry",
        which: |schema| {
            let columns =
                schema.tables.iter().flat_map(|table| table.columns.iter().map(move |column| (table, column)));
            columns
                // A YEAR of two digits is not told with its century.
                .filter(|(_, column)| column.kind == ColumnKind::Other || column.full_type.starts_with("year(2)"))
                .map(|(table, column)| format!("{}.{} ({})", table.name, column.name, column.full_type))
                .collect()
        },
        remedy: "change the columns' types on blue",
    },
    NotCarried {
        name: "tables_without_own_columns",
        what: "tables whose columns are all generated",
        which: |schema| schema.tables_that(|table| table.columns.iter().all(|column| column.is_generated)),
        remedy: "drop them on blue",
    },
];

impl Schema {
    fn tables_that(&self, is: fn(&Table) -> bool) -> Vec<String> {
        self.tables.iter().filter(|table| is(table)).map(|table| table.name.to_string()).collect()
    }
}

/// A check of each kind of things that green cannot have.
pub(crate) fn carried(schema: &Schema) -> Vec<Check> {
    let check = |kind: &NotCarried| match (kind.which)(schema).as_slice() {
        [] => Check::new(kind.name, Verdict::Pass, format!("blue has no {}", kind.what)),
        which => Check::new(kind.name, Verdict::Fail, format!("blue has {}: {}", kind.what, named(which)))
            .with_advice(kind.remedy),
    };
    NOT_CARRIED.iter().map(check).collect()
}

/// What there is on blue of a kind of which somebody should know.
struct Notable {
    name: &'static str,
    what: &'static str,
    why: &'static str,
    remedy: &'static str,
}

const WITHOUT_KEY: Notable = Notable {
    name: "tables_without_key",
    what: "tables without a primary key, or a unique one over NOT NULL columns",
    why: "a row is told by all its columns, so that each change reads the table and a foreign write there stops the stream",
    remedy: "give them a primary key",
};

const GENERATED: Notable = Notable {
    name: "generated_columns",
    what: "tables with generated columns, and green is of another version",
    why: "each server computes them by itself, and functions change from version to version",
    remedy: "`verify` compares them too",
};

const CASCADES: Notable = Notable {
    name: "cascades",
    what: "foreign keys that change the rows which refer",
    why: "before MySQL 9.6, and on MariaDB, blue's log does not tell these changes: green makes them itself, by its own rows",
    remedy: "`verify` compares the tables of both ends",
};

const PARTITIONS: Notable = Notable {
    name: "partitions",
    what: "tables with partitions",
    why: "a statement that drops, exchanges or converts a partition changes rows that the log does not name",
    remedy: "leave partitions as they are until the switchover, or look at what the stream says of such a statement",
};

const DEFINERS: Notable = Notable {
    name: "definers",
    what: "definers of objects that are no accounts",
    why: "such an object fails whenever it is used",
    remedy: "make the accounts on green, or give the objects another definer",
};

const ACCOUNTS: Notable = Notable {
    name: "accounts",
    what: "accounts whose passwords no plugin of green's checks",
    why: "who uses them cannot log in after the switchover",
    remedy: "make them on green, or give them another password on blue",
};

const TIME_ZONES: Notable = Notable {
    name: "time_zone_names",
    what: "names of time zones that green does not know",
    why: "sessions and events that set one, and CONVERT_TZ, fail or answer NULL",
    remedy: "load them on green (mysql_tzinfo_to_sql, mariadb-tzinfo-to-sql)",
};

const ZERO_SIGNS: Notable = Notable {
    name: "zero_signs",
    what: "tables with FLOAT or DOUBLE columns, and green stores -0.0 as 0.0",
    why: "the two are equal to both servers, but blue prints them differently",
    remedy: "nothing is to be done, `verify` takes them for the same",
};

impl Notable {
    fn check(&self, found: Result<Vec<String>>) -> Check {
        match found {
            Err(error) => Check::unknown(self.name, &error),
            Ok(found) if found.is_empty() => Check::new(self.name, Verdict::Pass, format!("blue has no {}", self.what)),
            Ok(found) => {
                let evidence = format!("blue has {}: {}", self.what, named(&found));
                Check::new(self.name, Verdict::Warn, evidence).with_advice(format!("{}: {}", self.remedy, self.why))
            }
        }
    }
}

/// What somebody should know of, and what a green of this version sees otherwise.
pub(super) async fn notable(
    schema: &Schema,
    (blue_server, blue): (&Server, &mut Session),
    (green_server, green): (&Server, &mut Session),
) -> Vec<Check> {
    let series = |server: &Server| (server.version.major, server.version.minor);
    let is_same_series = series(blue_server) == series(green_server);
    let computes = schema.tables_that(|table| table.columns.iter().any(|column| column.is_generated));
    let (on_blue, mut on_green) = (accounts(blue).await, accounts(green).await);
    let unchecked = unchecked_accounts((blue_server, &mut *blue), &mut *green, &on_green).await;
    // `create` carries them.
    if let (Ok(on_blue), Ok(unchecked), Ok(on_green)) = (on_blue, &unchecked, &mut on_green) {
        on_green.extend(on_blue.into_iter().filter(|account| !unchecked.contains(account)));
    }
    vec![
        WITHOUT_KEY.check(Ok(schema.tables_that(|table| table.row_key().is_none()))),
        GENERATED.check(Ok(if is_same_series { Vec::new() } else { computes })),
        CASCADES.check(cascades(blue).await),
        PARTITIONS.check(partitions(blue).await),
        ACCOUNTS.check(unchecked),
        DEFINERS.check(missing(definers(blue).await, &on_green)),
        ZERO_SIGNS.check(zero_signs(schema, blue, green).await),
        TIME_ZONES.check(missing(time_zones(blue).await, &time_zones(green).await)),
        collations(blue, green_server, green).await,
        free_disk(blue, green).await,
    ]
}

fn first_columns(rows: &[Row]) -> Vec<String> {
    rows.iter().filter(|row| row.bytes(0).is_some()).map(|row| row.text(0)).collect()
}

async fn cascades(blue: &mut Session) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT CONCAT(CONSTRAINT_SCHEMA, '.', TABLE_NAME, ' (', CONSTRAINT_NAME, ')') \
         FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE LOWER(CONSTRAINT_SCHEMA) {NOT_SYSTEM} AND \
         (DELETE_RULE IN ('CASCADE', 'SET NULL') OR UPDATE_RULE IN ('CASCADE', 'SET NULL')) ORDER BY 1"
    );
    Ok(first_columns(&blue.rows(&sql).await?))
}

async fn partitions(blue: &mut Session) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT DISTINCT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.PARTITIONS \
         WHERE LOWER(TABLE_SCHEMA) {NOT_SYSTEM} AND PARTITION_NAME IS NOT NULL ORDER BY 1"
    );
    Ok(first_columns(&blue.rows(&sql).await?))
}

/// Accounts as `user@host`, without the servers' own. A role of MariaDB has no host.
async fn accounts(session: &mut Session) -> Result<BTreeSet<String>> {
    let sql = format!("SELECT CONCAT(User, '@', Host) FROM mysql.user WHERE User {NOT_SYSTEM_USER}");
    Ok(first_columns(&session.rows(&sql).await?).into_iter().collect())
}

/// Those that green does not have, and whose plugin it does not have.
async fn unchecked_accounts(
    (server, blue): (&Server, &mut Session),
    green: &mut Session,
    on_green: &Result<BTreeSet<String>>,
) -> Result<Vec<String>> {
    let plugins = "SELECT PLUGIN_NAME FROM information_schema.PLUGINS \
                   WHERE PLUGIN_TYPE = 'AUTHENTICATION' AND PLUGIN_STATUS = 'ACTIVE'";
    let plugins = first_columns(&green.rows(plugins).await?);
    // One without a password is made anew where its plugin is not shown with it.
    let without = match server.version.shows_accounts() {
        true => "plugin = ''",
        false => {
            "plugin IN ('', 'mysql_native_password') AND Password = '' AND COALESCE(authentication_string, '') = ''"
        }
    };
    let accounts = format!(
        "SELECT CONCAT(User, '@', Host), IF(plugin = '', 'mysql_native_password', plugin) FROM mysql.user \
         WHERE User {NOT_SYSTEM_USER} AND NOT ({without}) ORDER BY 1"
    );
    let rows = blue.rows(&accounts).await?;
    let has_plugin = |row: &&Row| plugins.iter().any(|plugin| plugin.eq_ignore_ascii_case(&row.text(1)));
    let is_there = |name: &String| on_green.as_ref().is_ok_and(|accounts| accounts.contains(name));
    let names = rows.iter().filter(|row| !has_plugin(row)).map(|row| row.text(0));
    Ok(names.filter(|name| !is_there(name)).collect())
}

async fn zero_signs(schema: &Schema, blue: &mut Session, green: &mut Session) -> Result<Vec<String>> {
    if !tells_zero_signs(blue).await? || tells_zero_signs(green).await? {
        return Ok(Vec::new());
    }
    let is_real = |column: &Column| matches!(column.kind, ColumnKind::Float | ColumnKind::Double);
    let tables = schema.tables.iter().filter(|table| table.columns.iter().any(is_real));
    Ok(tables.map(|table| table.name.to_string()).collect())
}

async fn time_zones(session: &mut Session) -> Result<BTreeSet<String>> {
    Ok(first_columns(&session.rows("SELECT Name FROM mysql.time_zone_name").await?).into_iter().collect())
}

async fn definers(blue: &mut Session) -> Result<BTreeSet<String>> {
    let mut definers = BTreeSet::new();
    for (view, schema) in [
        ("VIEWS", "TABLE_SCHEMA"),
        ("TRIGGERS", "TRIGGER_SCHEMA"),
        ("ROUTINES", "ROUTINE_SCHEMA"),
        ("EVENTS", "EVENT_SCHEMA"),
    ] {
        let sql = format!("SELECT DISTINCT DEFINER FROM information_schema.{view} WHERE LOWER({schema}) {NOT_SYSTEM}");
        definers.extend(first_columns(&blue.rows(&sql).await?));
    }
    Ok(definers)
}

fn missing(of_blue: Result<BTreeSet<String>>, of_green: &Result<BTreeSet<String>>) -> Result<Vec<String>> {
    let of_green = of_green.as_ref().map_err(|error| crate::Error::new(error.kind(), error.message().to_owned()))?;
    Ok(of_blue?.difference(of_green).cloned().collect())
}

/// A collation that green does not know is an error when the table is made there.
async fn collations(blue: &mut Session, green_server: &Server, green: &mut Session) -> Check {
    const NAME: &str = "collations";
    let read = async {
        let used = format!(
            "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE LOWER(SCHEMA_NAME) {NOT_SYSTEM} \
             UNION SELECT TABLE_COLLATION FROM information_schema.TABLES WHERE LOWER(TABLE_SCHEMA) {NOT_SYSTEM} \
             UNION SELECT COLLATION_NAME FROM information_schema.COLUMNS WHERE LOWER(TABLE_SCHEMA) {NOT_SYSTEM}"
        );
        let used = first_columns(&blue.rows(&used).await?);
        let mut known = first_columns(&green.rows("SELECT COLLATION_NAME FROM information_schema.COLLATIONS").await?);
        if green_server.version.is_at_least(Flavor::MariaDb, (10, 10, 1)) {
            // With a name of its own for each character set.
            let full = "SELECT FULL_COLLATION_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY";
            known.extend(first_columns(&green.rows(full).await?));
        }
        let known: BTreeSet<_> = known.iter().map(|name| modern_charset(name)).collect();
        Ok(used.into_iter().filter(|name| !known.contains(&modern_charset(name))).collect::<Vec<String>>())
    };
    match read.await {
        Err(error) => Check::unknown(NAME, &error),
        Ok(unknown) if unknown.is_empty() => Check::new(NAME, Verdict::Pass, "green knows all of blue's collations"),
        Ok(unknown) => {
            let evidence = format!("blue uses collations that green does not know: {}", named(&unknown));
            Check::new(NAME, Verdict::Fail, evidence).with_advice("convert the columns and tables on blue first")
        }
    }
}

/// Only MariaDB tells its free disk, with the plugin DISKS; elsewhere it is told how much there will be.
async fn free_disk(blue: &mut Session, green: &mut Session) -> Check {
    const NAME: &str = "free_disk";
    const MIB: u64 = 1 << 20;
    let size = format!(
        "SELECT COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0) FROM information_schema.TABLES \
         WHERE LOWER(TABLE_SCHEMA) {NOT_SYSTEM}"
    );
    let needed = match blue.first(&size).await {
        Err(error) => return Check::unknown(NAME, &error),
        Ok(row) => row.and_then(|row| row.text(0).split('.').next()?.parse::<u64>().ok()).unwrap_or(0),
    };
    // Of the mounts that the data lies under the one with the longest path.
    let free = "SELECT Available DIV 1024 FROM information_schema.DISKS WHERE @@global.datadir LIKE CONCAT(Path, '%') \
                ORDER BY LENGTH(Path) DESC LIMIT 1";
    let free = match green.first(free).await {
        Err(error) if error.code().is_none() => return Check::unknown(NAME, &error),
        answer => answer.ok().flatten().and_then(|row| row.number(0)),
    };
    let needed = needed / MIB + 1;
    let advice = "green needs this, and as much again for its log while it is built";
    match free {
        Some(free) if free >= needed.saturating_mul(2) => {
            Check::new(NAME, Verdict::Pass, format!("blue's tables take {needed} MiB, green has {free} MiB free"))
        }
        Some(free) => {
            Check::new(NAME, Verdict::Warn, format!("blue's tables take {needed} MiB, green has {free} MiB free"))
                .with_advice(advice)
        }
        None => Check::new(
            NAME,
            Verdict::Warn,
            format!("blue's tables take {needed} MiB; green does not tell how much disk it has free"),
        )
        .with_advice(format!("look at green's disk: {advice}")),
    }
}
