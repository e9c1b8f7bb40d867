//! Sequences (MariaDB): made in the server's own words, and put where blue's stands.
//!
//! A sequence is a table of one row, which says what it is and where it stands; an INSERT puts another in its place
//! (MariaDB manual, "Sequence Overview"). No transaction takes the row back and no snapshot keeps it, so what is read may be
//! newer than the snapshot. Blue's log has the row whenever it changes: replication puts it through all that came between.

use crate::error::{Error, ErrorKind, Result};
use crate::model::TableName;
use crate::net::{NOT_SYSTEM, Session, identifier, qualified};

const COLUMNS: [&str; 8] = [
    "next_not_cached_value",
    "minimum_value",
    "maximum_value",
    "start_value",
    "increment",
    "cache_size",
    "cycle_option",
    "cycle_count",
];

/// What a sequence is, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) name: TableName,
    /// `SHOW CREATE SEQUENCE`.
    sql: String,
    /// The values of [`COLUMNS`].
    state: Vec<String>,
}

impl Sequence {
    /// Whether the other is the same one, wherever it stands.
    pub(crate) fn is_defined_as(&self, other: &Sequence) -> bool {
        (&self.name, &self.sql) == (&other.name, &other.sql)
    }

    /// What it is.
    pub(crate) fn definition(&self) -> &str {
        &self.sql
    }

    /// Makes it.
    ///
    /// # Errors
    /// Green's refusal, by name.
    pub(crate) async fn build(&self, green: &mut Session) -> Result<()> {
        // The text names no schema.
        green.run(&format!("USE {}", identifier(&self.name.schema))).await?;
        self.run(green, &self.sql).await?;
        self.put(green).await
    }

    /// Puts green's, which is there, where this one stands.
    ///
    /// # Errors
    /// Green's refusal, by name.
    pub(crate) async fn put(&self, green: &mut Session) -> Result<()> {
        let values = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            qualified(&self.name),
            COLUMNS.join(", "),
            self.state.join(", ")
        );
        self.run(green, &values).await
    }

    async fn run(&self, green: &mut Session, sql: &str) -> Result<()> {
        let run = green.run(sql).await;
        run.map(drop).map_err(|error| error.at(|place| place.table = Some(self.name.to_string())))
    }
}

/// Reads all of them, by name. A server of the other flavour has none.
///
/// # Errors
/// `Privilege` where the account may not see one.
pub(crate) async fn sequences(session: &mut Session) -> Result<Vec<Sequence>> {
    let names = session
        .rows(&format!(
            "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
             WHERE LOWER(TABLE_SCHEMA) {NOT_SYSTEM} AND TABLE_TYPE = 'SEQUENCE' ORDER BY TABLE_SCHEMA, TABLE_NAME"
        ))
        .await?;
    let mut sequences = Vec::new();
    for row in names {
        let name = TableName::new(row.text(0), row.text(1));
        sequences
            .push(read(session, &name).await.map_err(|error| error.at(|place| place.table = Some(name.to_string())))?);
    }
    Ok(sequences)
}

async fn read(session: &mut Session, name: &TableName) -> Result<Sequence> {
    let shown = session.first(&format!("SHOW CREATE SEQUENCE {}", qualified(name))).await?;
    let state = session.first(&format!("SELECT {} FROM {}", COLUMNS.join(", "), qualified(name))).await?;
    let (Some(shown), Some(state)) = (shown, state) else { return Err(Error::internal("a sequence is empty")) };
    let sql = shown.bytes(1).and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    Ok(Sequence {
        name: name.clone(),
        sql: sql.ok_or_else(|| Error::new(ErrorKind::Unsupported, "the sequence's definition is not text in UTF-8"))?,
        state: (0..COLUMNS.len()).map(|index| state.text(index)).collect(),
    })
}

/// Checks that green has all of them as they were read.
///
/// # Errors
/// `Divergence`, with the sequence's name.
pub(crate) async fn compare_sequences(green: &mut Session, wanted: &[Sequence]) -> Result<()> {
    let made = sequences(green).await?;
    match wanted.iter().find(|sequence| !made.contains(sequence)) {
        None => Ok(()),
        Some(other) => Err(Error::new(ErrorKind::Divergence, "green made something else of blue's sequence")
            .at(|place| place.table = Some(other.name.to_string()))),
    }
}
