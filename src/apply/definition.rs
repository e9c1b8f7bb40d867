//! What an object is on green now, as a text that is another one after a statement changed it.
//!
//! The server's own `SHOW CREATE`, and for tables the numbers under which InnoDB keeps them: two tables that exchanged
//! their names or a partition are told apart by these where their definitions are the same.

use crate::error::Result;
use crate::model::{Flavor, ServerVersion, TableName};
use crate::net::{Session, identifier, qualified, text_literal};
use crate::plan::Object;

/// The definitions of all objects, in order; empty: it is not there.
///
/// # Errors
/// `Privilege`, `Disconnected`, and what else green refuses.
pub(super) async fn read(session: &mut Session, green: ServerVersion, objects: &[Object]) -> Result<Vec<String>> {
    let mut definitions = Vec::with_capacity(objects.len());
    for object in objects {
        definitions.push(match object {
            Object::Relation(name) => relation(session, green, name).await?,
            Object::Routine(kind, name) => show(session, kind, &qualified(name)).await?,
            Object::Event(name) => show(session, "EVENT", &qualified(name)).await?,
            Object::Trigger(name) => show(session, "TRIGGER", &qualified(name)).await?,
            Object::Schema(name) => show(session, "DATABASE", &identifier(name)).await?,
            _ => accounts(session).await?,
        });
    }
    Ok(definitions)
}

async fn show(session: &mut Session, kind: &str, name: &str) -> Result<String> {
    /// Unknown schema, table, routine, trigger, event; a routine's schema that is not there; a sequence.
    const NOT_THERE: [u16; 7] = [1049, 1146, 1305, 1360, 1539, 1051, 4091];
    /// A view that refers to something that is not there.
    const INVALID_VIEW: u16 = 1356;
    match session.first(&format!("SHOW CREATE {kind} {name}")).await {
        Ok(None) => Ok(String::new()),
        Ok(Some(row)) => Ok((0..row.columns().len()).map(|index| row.text(index)).collect::<Vec<_>>().join("\n")),
        Err(error) if error.code().is_some_and(|code| NOT_THERE.contains(&code)) => Ok(String::new()),
        Err(error) if error.code() == Some(INVALID_VIEW) => Ok("a view that is not valid".to_owned()),
        Err(error) => Err(error),
    }
}

async fn relation(session: &mut Session, green: ServerVersion, name: &TableName) -> Result<String> {
    let definition = without_next_number(&show(session, "TABLE", &qualified(name)).await?);
    if definition.is_empty() {
        return Ok(definition);
    }
    let catalog = match green.is_at_least(Flavor::MySql, (8, 0, 0)) {
        true => "INNODB_TABLES",
        false => "INNODB_SYS_TABLES",
    };
    let file = format!("{}/{}", file_pattern(&name.schema), file_pattern(&name.table));
    let query = format!(
        "SELECT NAME, TABLE_ID FROM information_schema.{catalog} WHERE NAME LIKE {} OR NAME LIKE {} ORDER BY TABLE_ID",
        text_literal(&file),
        text_literal(&format!("{file}#%"))
    );
    let rows = session.rows(&query).await.map_err(|error| match error.code() {
        Some(1227) => error.with_advice("grant the engine's account on green PROCESS"),
        _ => error,
    })?;
    let numbers: Vec<String> = rows.iter().map(|row| format!("{} {}", row.text(0), row.text(1))).collect();
    Ok(format!("{definition}\n{}", numbers.join("\n")))
}

/// The next AUTO_INCREMENT is rows' doing.
fn without_next_number(definition: &str) -> String {
    const OPTION: &str = " AUTO_INCREMENT=";
    match definition.rfind(OPTION) {
        None => definition.to_owned(),
        Some(at) => {
            let (before, rest) = definition.split_at(at);
            let rest = rest.get(OPTION.len()..).unwrap_or_default();
            format!("{before}{}", rest.trim_start_matches(|digit: char| digit.is_ascii_digit()))
        }
    }
}

/// A LIKE pattern for a name as InnoDB writes it: ASCII's signs by their numbers, other characters as anything.
fn file_pattern(name: &str) -> String {
    let mut pattern = String::new();
    for character in name.chars() {
        match character {
            '_' => pattern.push_str("\\_"),
            _ if character.is_ascii_alphanumeric() => pattern.push(character),
            _ if character.is_ascii() => pattern.push_str(&format!("@{:04x}", u32::from(character))),
            _ => pattern.push('%'),
        }
    }
    pattern
}

/// Checksums of the tables that hold accounts and what they may do: never the contents, which are secrets.
async fn accounts(session: &mut Session) -> Result<String> {
    let tables = session
        .rows(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'mysql' AND TABLE_TYPE = 'BASE TABLE' \
             AND TABLE_NAME IN ('user', 'global_priv', 'db', 'tables_priv', 'columns_priv', 'procs_priv', 'proxies_priv', \
             'role_edges', 'default_roles', 'roles_mapping', 'global_grants') ORDER BY TABLE_NAME",
        )
        .await?;
    let names: Vec<String> = tables.iter().map(|row| format!("mysql.{}", identifier(&row.text(0)))).collect();
    let sums = session.rows(&format!("CHECKSUM TABLE {} EXTENDED", names.join(", "))).await?;
    Ok(sums.iter().map(|row| format!("{} {}", row.text(0), row.text(1))).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_without_what_rows_change() {
        let with = "CREATE TABLE `a` (\n) ENGINE=InnoDB AUTO_INCREMENT=42 DEFAULT CHARSET=latin1";
        assert_eq!(without_next_number(with), "CREATE TABLE `a` (\n) ENGINE=InnoDB DEFAULT CHARSET=latin1");
        assert_eq!(without_next_number("CREATE VIEW"), "CREATE VIEW");
    }

    #[test]
    fn names_are_written_as_innodb_does() {
        assert_eq!(file_pattern("a_b-c é"), "a\\_b@002dc@0020%");
    }
}
