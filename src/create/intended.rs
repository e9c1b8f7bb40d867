//! The variables that green is to have a value of its own for, as they were declared.

use std::collections::BTreeMap;

use crate::checks::{Check, Verdict, named};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Flavor, ServerVersion};
use crate::net::{Session, text_literal};

/// Variables by name, with their values as the server prints them.
pub(super) type Variables = BTreeMap<String, String>;

/// What a deployment stands on, or sets by itself.
const NOT_FREE: [&str; 7] = [
    "binlog_format",
    "binlog_row_image",
    "log_bin",
    "lower_case_table_names",
    "read_only",
    "server_id",
    "super_read_only",
];

/// # Errors
/// `Config` for a name that is none, or of which a deployment decides itself.
pub(super) fn must_be_free(variables: &Variables) -> Result<()> {
    let is_name =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    for name in variables.keys() {
        if !is_name(name) {
            return Err(Error::new(ErrorKind::Config, format!("`{name}` names no variable"))
                .with_advice("write the variable's name in small letters, digits and _"));
        }
        if NOT_FREE.contains(&name.as_str()) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("{name} cannot be declared: the deployment needs its own"),
            )
            .with_advice("leave it out"));
        }
    }
    Ok(())
}

/// What green will get.
pub(super) fn check(variables: &Variables, green: ServerVersion) -> Check {
    const NAME: &str = "intended_settings";
    match (told(variables), keeps(green)) {
        (told, _) if told.is_empty() => Check::new(NAME, Verdict::Pass, "no setting of green's own is declared"),
        (told, true) => Check::new(NAME, Verdict::Pass, format!("green gets {}", named(&told))),
        (told, false) => Check::new(NAME, Verdict::Warn, format!("green gets {} until it is restarted", named(&told)))
            .with_advice("put them into green's option file too"),
    }
}

/// Gives green its values, for good where it can keep them (`SET PERSIST`).
///
/// # Errors
/// `Setting`, by name, for what green does not take.
pub(super) async fn set(green: &mut Session, variables: &Variables, version: ServerVersion) -> Result<()> {
    let scope = if keeps(version) { "PERSIST" } else { "GLOBAL" };
    for (name, value) in variables {
        let set = format!("SET {scope} {name} = {}", literal(value));
        green.run(&set).await.map_err(|error| match error.code() {
            None => error,
            Some(code) => Error::new(ErrorKind::Setting, format!("green does not take {name} = {value}"))
                .with_code(code)
                .with_advice("declare another value, or set it in green's option file and leave it out here")
                .at(|place| place.server = Some(green.address().to_owned())),
        })?;
    }
    Ok(())
}

fn keeps(green: ServerVersion) -> bool {
    green.is_at_least(Flavor::MySql, (8, 0, 0))
}

fn told(variables: &Variables) -> Vec<String> {
    variables.iter().map(|(name, value)| format!("{name} = {value}")).collect()
}

/// Variables of numbers take no text.
fn literal(value: &str) -> String {
    let is_number = value.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit())
        && value.trim_start_matches('-').chars().all(|c| c.is_ascii_digit() || c == '.');
    if is_number { value.to_owned() } else { text_literal(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_numbers_and_all_else_is_text() {
        assert_eq!(literal("500"), "500");
        assert_eq!(literal("-0.5"), "-0.5");
        assert_eq!(literal("ON"), "_utf8mb4 x'4f4e'");
        assert_eq!(literal("1; DROP"), "_utf8mb4 x'313b2044524f50'");
        assert_eq!(literal(""), "_utf8mb4 x''");
    }

    #[test]
    fn what_a_deployment_needs_cannot_be_declared() {
        let of = |name: &str| must_be_free(&Variables::from([(name.to_owned(), "1".to_owned())]));
        assert!(of("max_connections").is_ok());
        for name in ["read_only", "server_id", "", "a b", "x=1, y"] {
            assert_eq!(of(name).unwrap_err().kind(), ErrorKind::Config);
        }
    }
}
