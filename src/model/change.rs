/// What was done to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "there are no other row events")]
pub enum ChangeKind {
    /// A new row.
    Insert,
    /// A changed row.
    Update,
    /// A row gone.
    Delete,
}

/// Flags of a row event (MySQL source, `rows_event.h`, `Rows_event::flag_set`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RowsFlags {
    /// `NO_FOREIGN_KEY_CHECKS_F`: the session had `foreign_key_checks = 0`, or the change is a logged cascade.
    pub no_foreign_key_checks: bool,
    /// `RELAXED_UNIQUE_CHECKS_F`: the session had `unique_checks = 0`.
    pub relaxed_unique_checks: bool,
    /// `USE_SQL_FOREIGN_KEY_F` (MySQL 9.6 and newer): cascaded changes of children are in the log by themselves.
    pub logged_cascades: bool,
}
