use super::statement::{Dialect, Renderer, Statement};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Group;

/// Bytes of statements sent in one round trip.
const SCRIPT_BYTES: usize = 4 << 20;

/// A group with the statements that apply it.
pub(crate) struct Prepared {
    pub(crate) group: Group,
    pub(super) scripts: Vec<Script>,
}

/// Statements for one round trip, and how many rows each must affect.
#[derive(Clone, Default)]
pub(super) struct Script {
    pub(super) sql: String,
    pub(super) expected: Vec<Option<u64>>,
    /// Whether its last statement is of row events: nothing may come behind.
    pub(super) has_row_events: bool,
}

impl Prepared {
    /// Writes a group's statements for a green of this dialect.
    ///
    /// # Errors
    /// A row that cannot be read or written; `Limit` where green takes no statement as long as a row needs.
    pub(crate) fn new(group: Group, dialect: Dialect) -> Result<Prepared> {
        let mut scripts = vec![Script::default()];
        for statement in Renderer::new(&group, dialect).statements()? {
            dialect.check_size(&statement)?;
            let is_full = |script: &Script| {
                script.has_row_events || script.sql.len() + statement.sql.len() > dialect.script_bytes()
            };
            if scripts.last().is_some_and(is_full) {
                scripts.push(Script::default());
            }
            if let Some(script) = scripts.last_mut() {
                script.push(&statement);
            }
        }
        Ok(Prepared { group, scripts })
    }
}

impl Script {
    pub(super) fn push(&mut self, statement: &Statement) {
        if !self.sql.is_empty() {
            self.sql.push(';');
        }
        self.sql.push_str(&statement.sql);
        self.expected.push(statement.expected);
        self.has_row_events |= statement.is_row_events();
    }

    /// These statements, then those.
    pub(super) fn before(mut self, other: &Script) -> Script {
        if !other.sql.is_empty() {
            self.sql.push(';');
            self.sql.push_str(&other.sql);
        }
        self.expected.extend(&other.expected);
        self.has_row_events |= other.has_row_events;
        self
    }
}

impl Dialect {
    /// Checks that green takes a statement.
    pub(super) fn check_size(&self, statement: &Statement) -> Result<()> {
        // A packet's header and the command's code, generously.
        if statement.sql.len() as u64 + 64 > self.max_statement_bytes {
            let message = format!(
                "a row needs a statement of {} bytes, green takes {}",
                statement.sql.len(),
                self.max_statement_bytes
            );
            return Err(Error::new(ErrorKind::Limit, message).with_advice("raise max_allowed_packet on green"));
        }
        Ok(())
    }

    /// A script is one packet. The checkpoint's statements come in front of the first.
    pub(super) fn script_bytes(&self) -> usize {
        SCRIPT_BYTES.min(usize::try_from(self.max_statement_bytes / 2).unwrap_or(SCRIPT_BYTES))
    }
}
