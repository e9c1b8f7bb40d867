use std::collections::HashMap;
use std::sync::Arc;

use bluegreen::Result;
use bluegreen::decode::{Begin, RowBuffer, RowsChange, TableMap};
use bluegreen::model::ChangeKind;
use bluegreen::render::{self, Form, Renderer, json};

use super::log::Report;
use super::out::Out;
use super::statement::{Said, Sql};

/// Tables that are kept prepared; a log may have any number.
const MAX_TABLES: usize = 1_024;

/// A line of JSON a row change and a statement.
pub(super) struct JsonLines {
    out: Out,
    buffer: RowBuffer,
    values: Renderer,
    /// By the map's address, which stays its own while the map is kept.
    tables: HashMap<*const TableMap, Table>,
    /// A line's part in front of the images, the same for all rows of an event.
    head: Vec<u8>,
}

/// What all lines of a table have.
struct Table {
    _map: Arc<TableMap>,
    /// `,"schema":…,"table":…`
    name: Vec<u8>,
    /// The value of `columns`.
    columns: Vec<u8>,
    forms: Vec<Form>,
}

impl Table {
    fn new(map: &Arc<TableMap>) -> Table {
        let (mut name, mut columns) = (Vec::new(), Vec::new());
        name.extend(b",\"schema\":");
        json(&mut name, &map.name.schema);
        name.extend(b",\"table\":");
        json(&mut name, &map.name.table);
        let names: Option<Vec<_>> = map.columns.iter().map(|column| column.name.as_deref()).collect();
        json(&mut columns, &names);
        let forms = map.columns.iter().map(Form::of).collect();
        Table { _map: Arc::clone(map), name, columns, forms }
    }
}

impl JsonLines {
    pub(super) fn new() -> JsonLines {
        JsonLines {
            out: Out::new(),
            buffer: RowBuffer::new(),
            values: Renderer::default(),
            tables: HashMap::new(),
            head: Vec::new(),
        }
    }
}

impl Report for JsonLines {
    fn rows(&mut self, begin: &Begin, change: &RowsChange) -> Result<()> {
        let JsonLines { out, buffer, values, tables, head } = self;
        let key = Arc::as_ptr(&change.table);
        if tables.len() >= MAX_TABLES && !tables.contains_key(&key) {
            tables.clear();
        }
        let table = tables.entry(key).or_insert_with(|| Table::new(&change.table));
        write_head(head, begin, change, table);
        let mut rows = change.rows(buffer);
        while let Some(row) = rows.next()? {
            let line = &mut out.bytes;
            line.extend_from_slice(head);
            values.image(line, &table.forms, row.before)?;
            line.extend_from_slice(b",\"after\":");
            values.image(line, &table.forms, row.after)?;
            line.push(b'}');
            out.end_line()?;
        }
        Ok(())
    }

    fn statement(&mut self, begin: &Begin, said: &Said<'_>) -> Result<()> {
        let line = &mut self.out.bytes;
        line.extend(b"{\"statement\":");
        match &said.sql {
            Sql::Text(text) => json(line, text),
            Sql::Bytes(bytes) => render::bytes(line, bytes),
        }
        line.extend(b",\"schema\":");
        json(line, &said.schema);
        write_place(line, &said.end.file, said.end.offset, begin);
        if let Some(start) = said.transaction_start {
            line.extend(b",\"transaction_start\":");
            json(line, &start);
        }
        line.push(b'}');
        self.out.end_line()
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}

fn write_head(head: &mut Vec<u8>, begin: &Begin, change: &RowsChange, table: &Table) {
    head.clear();
    head.extend(b"{\"change\":\"");
    head.extend(match change.kind {
        ChangeKind::Insert => b"insert",
        ChangeKind::Update => b"update",
        ChangeKind::Delete => b"delete",
    });
    head.push(b'"');
    head.extend(&table.name);
    write_place(head, &change.start.file, change.end, begin);
    head.extend(b",\"time\":\"");
    let micros = begin.committed_at_micros.unwrap_or(u64::from(change.seconds) * 1_000_000);
    render::moment(head, micros);
    head.extend(b"\",\"columns\":");
    head.extend(&table.columns);
    head.extend(b",\"before\":");
}

/// `,"file":…,"offset":…,"gtid":…`
fn write_place(out: &mut Vec<u8>, file: &str, offset: u64, begin: &Begin) {
    out.extend(b",\"file\":");
    json(out, file);
    out.extend(b",\"offset\":");
    json(out, &offset);
    out.extend(b",\"gtid\":");
    match &begin.gtid {
        // A tag is a word, everything else digits.
        Some(gtid) => json(out, &gtid.to_string()),
        None => out.extend(b"null"),
    }
}
