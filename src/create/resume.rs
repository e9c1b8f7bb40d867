//! How far a copy is, kept on green, and how a later `create` goes on from there.
//!
//! # Invariants
//! 1. A chunk is noted in the transaction that holds the last of its rows. Rows of chunks that are not noted may be there,
//!    too: they are deleted first.
//! 2. All noted chunks hold what blue's snapshots had, each at [`Earlier::position`] or later, and the log from that position
//!    on names every row that has changed since. A new `create` takes a new snapshot, reads the log up to there, and reads
//!    those rows anew: then every noted chunk is as the new snapshot has it, and only then the position moves.
//! 3. What the log does not tell exactly makes the whole table be copied anew.
//! 4. Definitions, objects and accounts are those of the first snapshot, else nothing is resumed.

use std::collections::{BTreeMap, HashMap};

use super::copy::Part as CopiedPart;
use super::schema::{Definitions, changed};
use super::writer::{Writer, same};
use crate::checks::{Due, KeyText, Part, Range};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Position, TableName};
use crate::net::{Row, Session, qualified, text_literal};

/// Values read at once.
const BATCH_BYTES: usize = 512 << 10;

/// What an earlier `create` left.
#[derive(Debug)]
pub(super) struct Earlier {
    /// See invariant 2.
    pub(super) position: Position,
    definitions: BTreeMap<String, u64>,
    chunks: HashMap<TableName, Vec<Chunk>>,
}

/// A piece of a table that is on green.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Counts in the order of the keys.
    pub(super) number: u64,
    pub(super) range: Range,
    pub(super) rows: u64,
}

/// What of a table is not on green.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rest {
    /// Between chunks, with the number that each has as a chunk.
    pub(super) gaps: Vec<(u64, Range)>,
    /// After the last chunk, from this key or from the beginning; `None`: the last chunk is there.
    pub(super) tail: Option<Option<KeyText>>,
    /// The number of the tail's first chunk.
    pub(super) next: u64,
    /// Rows that are there.
    pub(super) rows: u64,
}

impl Rest {
    /// All of a table.
    pub(super) fn everything() -> Rest {
        Rest { gaps: Vec::new(), tail: Some(None), next: 0, rows: 0 }
    }

    /// What is not in `chunks`.
    fn without(mut chunks: Vec<Chunk>) -> Rest {
        chunks.sort_by_key(|chunk| chunk.number);
        let mut rest = Rest::everything();
        for Chunk { number, range, rows } in chunks {
            let above = rest.tail.take().flatten();
            if above != range.above {
                rest.gaps.push((rest.next, Range { above, up_to: range.above.clone() }));
            }
            rest.tail = range.up_to.is_some().then_some(range.up_to);
            rest.next = number + 1;
            rest.rows += rows;
        }
        rest
    }

    fn ranges(&self) -> Vec<Range> {
        let tail = self.tail.iter().map(|above| Range { above: above.clone(), up_to: None });
        self.gaps.iter().map(|(_, gap)| gap.clone()).chain(tail).collect()
    }
}

/// Makes the tables of this, and forgets what they hold.
pub(super) async fn install(green: &mut Session) -> Result<()> {
    green
        .run(
            "CREATE TABLE IF NOT EXISTS bluegreen.copy (
               id TINYINT NOT NULL PRIMARY KEY,
               position LONGTEXT NOT NULL,
               definitions LONGTEXT NOT NULL
             ) ENGINE = InnoDB",
        )
        .await?;
    green
        .run(
            "CREATE TABLE IF NOT EXISTS bluegreen.copied_chunk (
               table_schema VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
               table_name VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
               number BIGINT UNSIGNED NOT NULL,
               above LONGTEXT CHARACTER SET ascii NULL,
               up_to LONGTEXT CHARACTER SET ascii NULL,
               row_count BIGINT UNSIGNED NOT NULL,
               PRIMARY KEY (table_schema, table_name, number)
             ) ENGINE = InnoDB",
        )
        .await?;
    forget(green).await
}

/// There is nothing to resume any more.
pub(super) async fn forget(green: &mut Session) -> Result<()> {
    green.run("DELETE FROM bluegreen.copy").await?;
    green.run("DELETE FROM bluegreen.copied_chunk").await.map(drop)
}

/// Notes that all is made but the rows, which are to be copied from snapshots at `position`.
pub(super) async fn begin(green: &mut Session, position: &Position, definitions: &Definitions) -> Result<()> {
    let definitions = json(&definitions.fingerprints())?;
    let position = json(position)?;
    let values = format!("1, {}, {}", text_literal(&position), text_literal(&definitions));
    green.run(&format!("INSERT INTO bluegreen.copy (id, position, definitions) VALUES ({values})")).await.map(drop)
}

/// Notes that every noted chunk is as it was at `position`.
pub(super) async fn advance(green: &mut Session, position: &Position) -> Result<()> {
    green.run(&format!("UPDATE bluegreen.copy SET position = {}", text_literal(&json(position)?))).await.map(drop)
}

/// The statement that notes a chunk.
pub(super) fn note(table: &TableName, chunk: &Chunk) -> String {
    let text = |key: &Option<KeyText>| match key {
        // Digits and the characters of dates: no comma.
        Some(key) => text_literal(&String::from_utf8_lossy(&key.join(&b','))),
        None => "NULL".to_owned(),
    };
    format!(
        "INSERT INTO bluegreen.copied_chunk (table_schema, table_name, number, above, up_to, row_count) \
         VALUES ({}, {}, {}, {}, {}, {})",
        text_literal(&table.schema),
        text_literal(&table.table),
        chunk.number,
        text(&chunk.range.above),
        text(&chunk.range.up_to),
        chunk.rows
    )
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal("a position cannot be written").with_source(error))
}

/// What an earlier `create` left; `None`: nothing that can be resumed.
///
/// # Errors
/// `State` where it cannot be read.
pub(super) async fn read(green: &mut Session) -> Result<Option<Earlier>> {
    let noted = match green.first("SELECT position, definitions FROM bluegreen.copy").await {
        // Unknown schema, unknown table.
        Err(error) if matches!(error.code(), Some(1049 | 1146)) => return Ok(None),
        noted => noted?,
    };
    let Some(noted) = noted else { return Ok(None) };
    let unreadable = || {
        Error::new(ErrorKind::State, "what an earlier `create` noted on green cannot be read")
            .with_advice("create without --resume: it begins anew")
    };
    let position = serde_json::from_str(&noted.text(0)).map_err(|_| unreadable())?;
    let definitions = serde_json::from_str(&noted.text(1)).map_err(|_| unreadable())?;
    let mut chunks: HashMap<TableName, Vec<Chunk>> = HashMap::new();
    // Locked: the last commit of the one before may still be under way, and its note would come behind this reading.
    let sql = "SELECT table_schema, table_name, number, above, up_to, row_count FROM bluegreen.copied_chunk \
               FOR UPDATE";
    for row in green.rows(sql).await? {
        let key = |index| row.bytes(index).map(|text| text.split(|byte| *byte == b',').map(<[u8]>::to_vec).collect());
        let chunk = Chunk {
            number: row.number(2).ok_or_else(unreadable)?,
            range: Range { above: key(3), up_to: key(4) },
            rows: row.number(5).ok_or_else(unreadable)?,
        };
        chunks.entry(TableName::new(row.text(0), row.text(1))).or_default().push(chunk);
    }
    Ok(Some(Earlier { position, definitions, chunks }))
}

impl Earlier {
    /// Invariant 4.
    ///
    /// # Errors
    /// `State`, with the name of what changed.
    pub(super) fn must_be_of(&self, definitions: &Definitions) -> Result<()> {
        let now = definitions.fingerprints();
        let differs = |name: &&String| now.get(*name) != self.definitions.get(*name);
        match now.keys().chain(self.definitions.keys()).find(differs) {
            Some(name) => Err(changed(name).with_advice("create without --resume: it begins anew")),
            None => Ok(()),
        }
    }

    /// Makes what is noted of a table as the reader's snapshot has it, with nothing beside it, and tells what is left to
    /// copy. `due`: what the log says has changed.
    ///
    /// # Errors
    /// Those of the statements.
    pub(super) async fn refresh(
        &mut self,
        part: &CopiedPart,
        due: &mut Due,
        (blue, green): (&mut Session, &mut Session),
        max_allowed_packet: u64,
    ) -> Result<Rest> {
        let name = &part.definition.table.name;
        let table = qualified(name);
        let mut rest = Rest::without(self.chunks.remove(name).unwrap_or_default());
        let keys = match due.take(name) {
            None => Vec::new(),
            Some(Part::Keys(keys)) => keys.into_iter().collect(),
            Some(Part::Whole) => {
                rest = Rest::everything();
                Vec::new()
            }
        };
        let is_partial = !rest.ranges().is_empty();
        if rest == Rest::everything() || (is_partial && !part.walk.can_cut()) {
            rest = Rest::everything();
            clear(green, name).await?;
        } else {
            for range in rest.ranges() {
                let Some(condition) = part.walk.on_green(&range) else { continue };
                green.run(&format!("DELETE FROM {table} WHERE {condition}")).await?;
                green.run("COMMIT").await?;
            }
        }
        if rest != Rest::everything() {
            anew(part, &keys, &rest.ranges(), (blue, green), max_allowed_packet).await?;
        }
        // Counters that moved since, or went with the rows.
        if let Some(counter) = part.definition.counter() {
            green.run(&format!("ALTER TABLE {table} AUTO_INCREMENT = {counter}")).await?;
        }
        Ok(rest)
    }
}

/// Takes a table's chunks back, then its rows.
async fn clear(green: &mut Session, name: &TableName) -> Result<()> {
    let (schema, table) = (text_literal(&name.schema), text_literal(&name.table));
    let chunks = format!("bluegreen.copied_chunk WHERE table_schema = {schema} AND table_name = {table}");
    green.run(&format!("DELETE FROM {chunks}")).await?;
    green.run("COMMIT").await?;
    let table = qualified(name);
    if green.first(&format!("SELECT 1 FROM {table} LIMIT 1")).await?.is_some() {
        green.run(&format!("TRUNCATE TABLE {table}")).await?;
    }
    green.run("COMMIT").await.map(drop)
}

/// Replaces the rows of these keys by blue's, but for those in ranges that are copied later. All are deleted before one is
/// written: a value of a unique key may have gone from one to another.
async fn anew(
    part: &CopiedPart,
    keys: &[KeyText],
    but: &[Range],
    (blue, green): (&mut Session, &mut Session),
    max_allowed_packet: u64,
) -> Result<()> {
    let statements = part.walk.of_keys(keys, but);
    let table = qualified(&part.definition.table.name);
    for (_, condition) in &statements {
        green.run(&format!("DELETE FROM {table} WHERE {condition}")).await?;
        green.run("COMMIT").await?;
    }
    let mut writer = Writer::new(green, &part.plan, max_allowed_packet);
    for (on_blue, _) in &statements {
        let (batches, arriving) = tokio::sync::mpsc::channel::<Vec<Row>>(2);
        let (select, blue) = (format!("{}{on_blue}", part.plan.select), &mut *blue);
        let read = async move { blue.stream_to(&select, BATCH_BYTES, &batches).await };
        let (read, written) = tokio::join!(read, writer.write_all(arriving, |_, _| {}));
        same(read, written)?;
    }
    writer.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<KeyText> {
        Some(vec![text.as_bytes().to_vec()])
    }

    fn chunk(number: u64, above: Option<KeyText>, up_to: Option<KeyText>) -> Chunk {
        Chunk { number, range: Range { above, up_to }, rows: 1 }
    }

    #[test]
    fn the_rest_is_what_lies_between_chunks_and_behind_them() {
        assert_eq!(Rest::without(Vec::new()), Rest::everything());
        let rest = Rest::without(vec![chunk(4, key("e"), key("f")), chunk(1, key("b"), key("c"))]);
        let gap = |number, above, up_to| (number, Range { above, up_to });
        assert_eq!(rest.gaps, [gap(0, None, key("b")), gap(2, key("c"), key("e"))]);
        assert_eq!((rest.tail, rest.next, rest.rows), (Some(key("f")), 5, 2));
        let rest = Rest::without(vec![chunk(0, None, key("a")), chunk(1, key("a"), None)]);
        assert_eq!((rest.gaps.len(), rest.tail), (0, None));
        assert_eq!(Rest::without(vec![chunk(0, None, None)]).ranges(), []);
    }

    #[test]
    fn a_note_says_the_range() {
        let range = Range { above: Some(vec![b"1".to_vec(), b"4A".to_vec()]), up_to: None };
        let sql = note(&TableName::new("s", "t"), &Chunk { number: 7, range, rows: 3 });
        let key = text_literal("1,4A");
        assert!(sql.contains(&format!(", 7, {key}, NULL, 3)")), "{sql}");
    }
}
