use crate::error::{Error, Result};
use crate::model::{Flavor, ServerVersion};
use crate::net::Session;

/// The strictest mode that still takes what any server may hold: dates with zero or impossible parts, and 0 in an
/// AUTO_INCREMENT column.
pub(crate) const STRICT: &str = "STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO";
/// The same, but an ENUM may take its error value 0.
pub(crate) const LENIENT: &str = "ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO";

/// For sessions on blue: nothing may cut a result, and every column is visible.
pub(super) async fn for_reading(blue: &mut Session) -> Result<()> {
    blue.run(
        "SET SESSION sql_quote_show_create = 1, sql_select_limit = 18446744073709551615, sql_big_selects = 1, \
         sql_safe_updates = 0",
    )
    .await?;
    where_known(
        blue,
        &[
            // MySQL 8.0.30 and newer: generated primary keys are hidden by some settings, but they are in the log.
            "show_gipk_in_create_table_and_information_schema = 1",
            "show_create_table_verbosity = 0",
            // MySQL, then MariaDB: a long SELECT must not be ended.
            "max_execution_time = 0",
            "max_statement_time = 0",
        ],
    )
    .await
}

/// For sessions that find rows by key: in other modes a date with impossible parts is no date, and is found by none.
pub(super) async fn for_finding(session: &mut Session) -> Result<()> {
    session.run("SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'").await.map(drop)
}

/// For the session that makes the tables on green.
pub(super) async fn for_building(green: &mut Session, from: &ServerVersion, to: &ServerVersion) -> Result<()> {
    // NO_DIR_IN_CREATE: a folder of blue's host is none of green's.
    green
        .run(&format!(
            "SET SESSION foreign_key_checks = 0, lock_wait_timeout = 60, sql_mode = '{STRICT},NO_DIR_IN_CREATE'"
        ))
        .await?;
    if to.is_at_least(Flavor::MySql, (8, 0, 11)) && !from.is_at_least(Flavor::MySql, (8, 0, 1)) {
        // Old servers leave their default collation out of SHOW CREATE TABLE; new ones have another default.
        green.run("SET SESSION default_collation_for_utf8mb4 = utf8mb4_general_ci").await?;
    }
    where_known(
        green,
        &[
            "explicit_defaults_for_timestamp = 1",
            "restrict_fk_on_non_standard_key = 0",
            "sql_generate_invisible_primary_key = 0",
            "sql_require_primary_key = 0",
            "show_gipk_in_create_table_and_information_schema = 1",
            // MariaDB: another default collation for a character set.
            "character_set_collations = ''",
        ],
    )
    .await
}

/// For the sessions that write rows on green.
pub(super) async fn for_writing(green: &mut Session, flavor: Flavor) -> Result<()> {
    green
        .run(&format!(
            "SET SESSION sql_mode = '{STRICT}', foreign_key_checks = 0, autocommit = 0, lock_wait_timeout = 60"
        ))
        .await?;
    match flavor {
        // The rows come from a table with the same keys.
        Flavor::MySql => green.run("SET SESSION unique_checks = 0").await.map(drop),
        // With both checks off MariaDB loads in bulk, and finds what is wrong at the commit only: not wanted. Rows that
        // are older than their CHECK are.
        Flavor::MariaDb => where_known(green, &["check_constraint_checks = 0"]).await,
    }
}

/// For a session that replaces rows on green: it checks what is unique.
pub(super) async fn for_replacing(green: &mut Session) -> Result<()> {
    let statement =
        format!("SET SESSION sql_mode = '{STRICT}', foreign_key_checks = 0, autocommit = 0, lock_wait_timeout = 60");
    green.run(&statement).await?;
    where_known(green, &["check_constraint_checks = 0"]).await
}

/// For a session that makes keys of rows: memory to sort them in (MySQL 8.0.27 and newer).
pub(super) async fn for_sorting(green: &mut Session) -> Result<()> {
    where_known(green, &["innodb_ddl_buffer_size = 33554432"]).await
}

/// Sets what the server has; leaves out what its version does not know or fixes at its start.
async fn where_known(session: &mut Session, assignments: &[&str]) -> Result<()> {
    for assignment in assignments {
        match session.run(&format!("SET SESSION {assignment}")).await {
            Err(error) if !is_unknown(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Unknown variable; read-only variable.
fn is_unknown(error: &Error) -> bool {
    matches!(error.code(), Some(1193 | 1238))
}
