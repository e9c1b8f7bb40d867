//! Sequences, packages, libraries, views, routines, events and triggers: made on green in the server's own words, each in the context that it was made in on
//! blue.
//!
//! # Invariants
//! 1. While blue's rows are applied, green starts no event and has no trigger: what they do on blue is in blue's rows.
//! 2. An event that a switchover starts ran on blue until then.

mod rounds;
mod sequence;

pub(crate) use self::rounds::Rounds;
pub(crate) use self::sequence::{Sequence, compare_sequences, sequences};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Flavor, ServerVersion, TableName};
use crate::net::{NOT_SYSTEM, Row, Session, account, identifier, qualified, text_literal};
use crate::plan;

/// What a view names is not there (table, function), or is a view that is not whole itself; the trigger that one is to stand
/// before (MySQL, MariaDB).
const NOT_THERE_YET: [u16; 5] = [1146, 1305, 1356, 3011, 4031];
/// A trigger of this name is there.
const TRIGGER_EXISTS: u16 = 1359;
/// A package, library, routine, view, event or trigger.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Object {
    kind: Kind,
    pub(crate) name: TableName,
    sql: String,
    sql_mode: String,
    time_zone: Option<String>,
    charset_client: String,
    collation_connection: String,
    /// That of its schema when it was made, which its parameters and variables have; a view has none.
    schema_collation: Option<String>,
}

impl Object {
    /// Its kind and name: a function and a procedure may have the same.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.kind.word().to_lowercase(), self.name)
    }

    /// Whether it was made while its schema had another collation than this one. `create` makes it with the schema's own.
    pub(crate) fn is_of_another_collation(&self, schema: &str) -> bool {
        self.schema_collation.as_ref().is_some_and(|collation| collation != schema)
    }
}

/// In the order in which they are made: a package's body comes behind it, functions use libraries, views call functions,
/// nothing needs an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    /// Of MariaDB, with `sql_mode = ORACLE`.
    Package,
    PackageBody,
    /// Of MySQL 9.2 and newer.
    Library,
    Function,
    Procedure,
    View,
    Event,
    Trigger,
}

impl Kind {
    /// Those that green has while blue's rows are applied.
    const AT_REST: [Kind; 7] =
        [Kind::Package, Kind::PackageBody, Kind::Library, Kind::Function, Kind::Procedure, Kind::View, Kind::Event];

    fn is_known_to(self, version: ServerVersion) -> bool {
        self != Kind::Library || version.is_at_least(Flavor::MySql, (9, 2, 0))
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Package => "PACKAGE",
            Kind::PackageBody => "PACKAGE BODY",
            Kind::Library => "LIBRARY",
            Kind::Function => "FUNCTION",
            Kind::Procedure => "PROCEDURE",
            Kind::View => "VIEW",
            Kind::Event => "EVENT",
            Kind::Trigger => "TRIGGER",
        }
    }

    fn list(self) -> String {
        let (schema, name, table, more) = match self {
            Kind::Package | Kind::PackageBody | Kind::Function | Kind::Procedure => {
                let of_kind = format!(" AND ROUTINE_TYPE = '{}'", self.word());
                ("ROUTINE_SCHEMA", "ROUTINE_NAME", "ROUTINES", of_kind)
            }
            Kind::Library => ("LIBRARY_SCHEMA", "LIBRARY_NAME", "LIBRARIES", String::new()),
            Kind::View => ("TABLE_SCHEMA", "TABLE_NAME", "VIEWS", String::new()),
            Kind::Event => ("EVENT_SCHEMA", "EVENT_NAME", "EVENTS", String::new()),
            Kind::Trigger => ("TRIGGER_SCHEMA", "TRIGGER_NAME", "TRIGGERS", String::new()),
        };
        // Of a table's triggers the first that fires comes first.
        let order = if self == Kind::Trigger { "ACTION_ORDER, " } else { "" };
        format!(
            "SELECT {schema}, {name} FROM information_schema.{table} WHERE LOWER({schema}) {NOT_SYSTEM}{more} \
             ORDER BY {order}{schema}, {name}"
        )
    }

    /// Where `SHOW CREATE` has the text, with the mode in front of it and the two sets behind it.
    fn text_column(self) -> usize {
        match self {
            Kind::View => 1,
            Kind::Event => 3,
            _ => 2,
        }
    }
}

/// Reads all but triggers. The session's own `sql_mode` must not change how names are printed.
pub(crate) async fn read(session: &mut Session, version: ServerVersion) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for kind in Kind::AT_REST.into_iter().filter(|kind| kind.is_known_to(version)) {
        objects.extend(read_all(session, kind).await?);
    }
    Ok(objects)
}

/// Reads the triggers.
pub(crate) async fn read_triggers(session: &mut Session) -> Result<Vec<Object>> {
    read_all(session, Kind::Trigger).await
}

async fn read_all(session: &mut Session, kind: Kind) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for row in session.rows(&kind.list()).await? {
        let name = TableName::new(row.text(0), row.text(1));
        let shown = session.first(&format!("SHOW CREATE {} {}", kind.word(), qualified(&name))).await?;
        let at_object = |error: Error| error.at(|place| place.table = Some(name.to_string()));
        objects.push(shown.and_then(|row| object(kind, &name, &row)).ok_or_else(|| at_object(hidden(kind)))?);
    }
    Ok(objects)
}

fn object(kind: Kind, name: &TableName, row: &Row) -> Option<Object> {
    let text = kind.text_column();
    if kind == Kind::Library {
        // It comes without sets: its text is Unicode, and it has no parameters.
        return Some(Object {
            kind,
            name: name.clone(),
            sql: String::from_utf8(row.bytes(text)?.to_vec()).ok()?,
            sql_mode: row.text(1),
            time_zone: None,
            charset_client: "utf8mb4".into(),
            collation_connection: "utf8mb4_general_ci".into(),
            schema_collation: None,
        });
    }
    Some(Object {
        kind,
        name: name.clone(),
        sql: String::from_utf8(row.bytes(text)?.to_vec()).ok()?,
        sql_mode: if kind == Kind::View { String::new() } else { row.text(1) },
        time_zone: (kind == Kind::Event).then(|| row.text(2)),
        charset_client: row.text(text + 1),
        collation_connection: row.text(text + 2),
        schema_collation: (kind != Kind::View).then(|| row.text(text + 3)),
    })
}

fn hidden(kind: Kind) -> Error {
    Error::new(ErrorKind::Privilege, format!("blue does not show the definition of a {}", kind.word().to_lowercase()))
        .with_advice("GRANT SHOW_ROUTINE ON *.* (MySQL 8.0.20 and newer), or SELECT ON mysql.*, to the account on blue")
}

/// Makes them on green; events so that green does not start them. The session is of no other use behind it.
///
/// # Errors
/// Green's refusal of one of them, by name.
pub(crate) async fn build(green: &mut Session, objects: &[Object], version: ServerVersion) -> Result<()> {
    let mut rounds = Rounds::new(objects);
    while let Some(object) = rounds.next_one() {
        match make(green, object, version).await {
            Ok(()) => {}
            // A view may stand on one whose name comes behind its own.
            Err(error) if error.code().is_some_and(|code| NOT_THERE_YET.contains(&code)) => rounds.again(object, error),
            Err(error) => return Err(refused(error, object)),
        }
    }
    match rounds.left().into_iter().next() {
        Some((object, error)) => Err(refused(error, object)),
        None => Ok(()),
    }
}

fn refused(error: Error, object: &Object) -> Error {
    let Some(code) = error.code() else { return error };
    let what = object.kind.word().to_lowercase();
    let message = format!("green does not take blue's {what}: {}", error.message());
    let refused = Error::new(ErrorKind::Refused, message).with_code(code).with_advice(match code {
        1418 | 1419 => "SET GLOBAL log_bin_trust_function_creators = 1 on green, as it must have been on blue",
        1227 => "GRANT SET_ANY_DEFINER (MySQL 8.2 and newer), SET USER (MariaDB) or SUPER to the account on green",
        _ => "change or drop it on blue, and make it on green by hand after the switchover",
    });
    refused.at(|place| place.table = Some(object.name.to_string()))
}

async fn make(green: &mut Session, object: &Object, version: ServerVersion) -> Result<()> {
    let sql = match object.kind {
        Kind::Event => plan::event_at_rest(&object.sql, &object.name.schema, &object.sql_mode, version)
            .ok_or_else(|| Error::new(ErrorKind::Unsupported, "its definition cannot be read"))?,
        _ => object.sql.clone(),
    };
    green.run("SET NAMES utf8mb4").await?;
    green.run(&format!("USE {}", identifier(&object.name.schema))).await?;
    let zone = object.time_zone.as_ref().map(|zone| format!(", time_zone = {}", text_literal(zone)));
    let more = format!(", sql_mode = '{}'{}", modes(&object.sql_mode, version), zone.unwrap_or_default());
    set_context(green, &sql, &object.charset_client, &object.collation_connection, &more).await?;
    match green.run(&sql).await {
        // This is done again where its answer was lost.
        Err(error) if object.kind == Kind::Trigger && error.code() == Some(TRIGGER_EXISTS) => Ok(()),
        done => done.map(drop),
    }
}

/// Takes a trigger away.
///
/// # Errors
/// What green refuses.
pub(crate) async fn drop_trigger(green: &mut Session, name: &TableName) -> Result<()> {
    green.run(&format!("DROP TRIGGER IF EXISTS {}", qualified(name))).await.map(drop)
}

/// Checks that green has no trigger. What a trigger changes on blue is in blue's log, and comes as rows: one on green does
/// it a second time.
///
/// # Errors
/// `State`, with its name.
pub(crate) async fn check_no_trigger(green: &mut Session) -> Result<()> {
    match triggers(green).await?.first() {
        None => Ok(()),
        Some(name) => {
            Err(Error::new(ErrorKind::State, format!("green has the trigger {name}, which fires for blue's rows"))
                .with_advice(
                    "drop it there, and compare the rows with `verify`: the switchover makes blue's triggers on green",
                )
                .at(|place| place.server = Some(green.address().to_owned())))
        }
    }
}

/// The names of all triggers.
pub(crate) async fn triggers(session: &mut Session) -> Result<Vec<TableName>> {
    let rows = session.rows(&Kind::Trigger.list()).await?;
    Ok(rows.iter().map(|row| TableName::new(row.text(0), row.text(1))).collect())
}

/// An event that a server starts.
pub(crate) struct Started {
    pub(crate) name: TableName,
    /// The account that it runs for.
    definer: String,
    charset_client: String,
    collation_connection: String,
}

/// The events that a server starts.
pub(crate) async fn started_events(session: &mut Session) -> Result<Vec<Started>> {
    let sql = format!(
        "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER, CHARACTER_SET_CLIENT, COLLATION_CONNECTION \
         FROM information_schema.EVENTS WHERE STATUS = 'ENABLED' AND LOWER(EVENT_SCHEMA) {NOT_SYSTEM}"
    );
    let rows = session.rows(&sql).await?;
    let started = |row: &Row| Started {
        name: TableName::new(row.text(0), row.text(1)),
        definer: row.text(2),
        charset_client: row.text(3),
        collation_connection: row.text(4),
    };
    Ok(rows.iter().map(started).collect())
}

/// Lets a server start an event that is at rest there, or puts one to rest. The session is of no other use behind it.
///
/// # Errors
/// The server's refusal.
pub(crate) async fn turn_event(server: &mut Session, event: &Started, starts: bool) -> Result<()> {
    let (user, host) = event.definer.rsplit_once('@').unwrap_or((&event.definer, "%"));
    // Without the clause it would run for this session's account; and it takes over the session's character set.
    let state = if starts { "ENABLE" } else { "DISABLE" };
    let sql = format!("ALTER DEFINER = {} EVENT {} {state}", account(user, host), qualified(&event.name));
    set_context(server, &sql, &event.charset_client, &event.collation_connection, "").await?;
    server.run(&sql).await.map(drop)
}

/// Sets the character sets that a statement was given in. Its text is in utf8mb4: where that is not the set it was written
/// in, its letters outweigh the set's name.
async fn set_context(green: &mut Session, sql: &str, client: &str, connection: &str, more: &str) -> Result<()> {
    let client = if sql.is_ascii() || client.starts_with("utf8") { client } else { "utf8mb4" };
    let context = format!("collation_connection = '{connection}', character_set_client = '{client}'{more}");
    green.run(&format!("SET SESSION {context}")).await.map(drop)
}

/// The modes that a server of this version knows.
fn modes(of_blue: &str, version: ServerVersion) -> String {
    of_blue.split(',').filter(|mode| version.knows_sql_mode(mode)).collect::<Vec<_>>().join(",")
}

/// Checks that green has all of them, and where its version does not change them in blue's words: a view is what a server
/// understood, and printed.
///
/// # Errors
/// `Divergence`, with the object's name.
pub(crate) async fn compare(
    green: &mut Session,
    objects: &[Object],
    (from, to): (ServerVersion, ServerVersion),
) -> Result<()> {
    let is_same_series = (from.major, from.minor) == (to.major, to.minor);
    let made = read(green, to).await?;
    for object in objects {
        let twin = made.iter().find(|made| made.kind == object.kind && made.name == object.name);
        // A statement's end may be in blue's text, where it came with others. An event of green says that it is at rest.
        let text = |object: &Object| object.sql.trim_end_matches([';', ' ', '\n']).to_owned();
        let is_same = twin.is_some_and(|twin| {
            let is_other = match object.kind {
                Kind::Event => true,
                Kind::View => from != to,
                _ => !is_same_series,
            };
            is_other || (text(twin), &twin.sql_mode) == (text(object), &object.sql_mode)
        });
        if !is_same {
            return Err(Error::new(
                ErrorKind::Divergence,
                format!("green made something else of blue's {}", object.kind.word().to_lowercase()),
            )
            .at(|place| place.table = Some(object.name.to_string())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_that_are_gone_are_left_out() {
        let blue = "STRICT_TRANS_TABLES,NO_AUTO_CREATE_USER,ANSI_QUOTES";
        assert_eq!(modes(blue, ServerVersion::new(Flavor::MySql, 9, 7, 0)), "STRICT_TRANS_TABLES,ANSI_QUOTES");
        assert_eq!(modes(blue, ServerVersion::new(Flavor::MariaDb, 11, 8, 0)), blue);
        assert_eq!(modes("", ServerVersion::new(Flavor::MySql, 9, 7, 0)), "");
    }
}
