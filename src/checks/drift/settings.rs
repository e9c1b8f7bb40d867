use std::collections::BTreeSet;

use super::{Differences, Facts};
use crate::checks::{Check, Verdict};
use crate::error::Result;
use crate::net::Session;

pub(super) const NAME: &str = "settings_drift";

/// A setting that applications or operators notice when it differs.
struct Setting {
    name: &'static str,
    why: &'static str,
}

const fn setting(name: &'static str, why: &'static str) -> Setting {
    Setting { name, why }
}

/// What a server does otherwise with another value. Settings that one of the two does not have are not compared.
const SETTINGS: &[Setting] = &[
    setting("sql_mode", "what is stored, and what is refused"),
    setting("time_zone", "TIMESTAMP and NOW() of sessions that set none"),
    setting("character_set_server", "new schemas"),
    setting("collation_server", "new schemas"),
    setting("default_storage_engine", "new tables"),
    setting("explicit_defaults_for_timestamp", "new tables with TIMESTAMP"),
    setting("innodb_strict_mode", "new tables"),
    setting("innodb_default_row_format", "new tables"),
    setting("innodb_file_per_table", "new tables"),
    setting("lower_case_table_names", "names"),
    setting("transaction_isolation", "what transactions see"),
    setting("tx_isolation", "what transactions see"),
    setting("autocommit", "when statements commit"),
    setting("auto_increment_increment", "new ids"),
    setting("auto_increment_offset", "new ids"),
    setting("innodb_autoinc_lock_mode", "new ids"),
    setting("max_connections", "how many can connect"),
    setting("max_user_connections", "how many can connect"),
    setting("max_allowed_packet", "how long a row may be"),
    setting("group_concat_max_len", "results"),
    setting("div_precision_increment", "results"),
    setting("wait_timeout", "when idle connections end"),
    setting("interactive_timeout", "when idle connections end"),
    setting("innodb_lock_wait_timeout", "how long locks are waited for"),
    setting("lock_wait_timeout", "how long definitions are waited for"),
    setting("max_execution_time", "when queries end"),
    setting("max_statement_time", "when queries end"),
    setting("innodb_buffer_pool_size", "speed"),
    setting("innodb_flush_log_at_trx_commit", "what a crash loses"),
    setting("sync_binlog", "what a crash loses"),
    setting("local_infile", "LOAD DATA LOCAL"),
    setting("sql_require_primary_key", "new tables"),
    setting("require_secure_transport", "who can connect"),
    setting("skip_name_resolve", "which account a client is"),
    setting("default_authentication_plugin", "new accounts"),
    setting("authentication_policy", "new accounts"),
    setting("log_bin_trust_function_creators", "who may create functions"),
    setting("binlog_expire_logs_seconds", "how far back a stream may start"),
    setting("expire_logs_days", "how far back a stream may start"),
    setting("block_encryption_mode", "AES_ENCRYPT"),
    setting("default_week_format", "WEEK()"),
    setting("ft_min_word_len", "full-text search"),
    setting("innodb_ft_min_token_size", "full-text search"),
];

pub(super) async fn check(blue: &mut Session, green: &mut Session, intended: &BTreeSet<String>) -> Check {
    let read = async {
        let (mut blue, mut green) = tokio::try_join!(facts(blue), facts(green))?;
        let (on_blue, on_green) = (blue.clone(), green.clone());
        blue.retain(|name, _| on_green.contains_key(name) && !intended.contains(name));
        green.retain(|name, _| on_blue.contains_key(name) && !intended.contains(name));
        let mut found = Differences::between(&blue, &green);
        for name in &mut found.different {
            let why = SETTINGS.iter().find(|setting| setting.name == *name).map_or("", |setting| setting.why);
            *name = format!("{name} ({why}: {} on blue, {} on green)", shown(&blue[name]), shown(&green[name]));
        }
        Ok(found)
    };
    match read.await {
        Ok(found) => found.check(NAME, "settings", Verdict::Warn, "set green's as blue's, or declare them as meant"),
        Err(error) => Check::unknown(NAME, &error),
    }
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "empty" } else { value }
}

async fn facts(session: &mut Session) -> Result<Facts> {
    let names: Vec<String> = SETTINGS.iter().map(|setting| format!("'{}'", setting.name)).collect();
    let rows = session.rows(&format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({})", names.join(", "))).await?;
    Ok(rows.iter().map(|row| (row.text(0).to_lowercase(), row.text(1))).collect())
}
