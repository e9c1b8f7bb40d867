use std::io::Write;

use bluegreen::Result;
use bluegreen::decode::{Begin, Image, RowBuffer, RowsChange, TableMap};
use bluegreen::model::ChangeKind;
use bluegreen::render::{Form, Renderer};

use super::log::Report;
use super::out::Out;
use super::statement::{Said, Sql};

/// A longer value is cut: JSON has all of it.
const MAX_SHOWN: usize = 60;

/// A readable line a row change and a statement.
pub(super) struct Lines {
    out: Out,
    buffer: RowBuffer,
    values: Renderer,
}

impl Lines {
    pub(super) fn new() -> Lines {
        Lines { out: Out::new(), buffer: RowBuffer::new(), values: Renderer::default() }
    }
}

impl Report for Lines {
    fn rows(&mut self, begin: &Begin, change: &RowsChange) -> Result<()> {
        let map = &*change.table;
        let forms: Vec<_> = map.columns.iter().map(Form::of).collect();
        let kind = match change.kind {
            ChangeKind::Insert => "INSERT",
            ChangeKind::Update => "UPDATE",
            ChangeKind::Delete => "DELETE",
        };
        let mut head = Vec::new();
        place(&mut head, &change.start.file, change.end, begin);
        head.extend(format!("{kind} {}", printable(&map.name.to_string())).as_bytes());
        let mut rows = change.rows(&mut self.buffer);
        while let Some(row) = rows.next()? {
            let line = &mut self.out.bytes;
            line.extend_from_slice(&head);
            match (row.before, row.after) {
                (Some(before), Some(after)) => update(line, &mut self.values, map, &forms, before, after)?,
                (before, after) => {
                    for image in before.iter().chain(&after) {
                        all_of(line, &mut self.values, map, &forms, image)?;
                    }
                }
            }
            self.out.end_line()?;
        }
        Ok(())
    }

    fn statement(&mut self, begin: &Begin, said: &Said<'_>) -> Result<()> {
        let line = &mut self.out.bytes;
        place(line, &said.end.file, said.end.offset, begin);
        if let Some(schema) = said.schema {
            line.extend(format!("({}) ", printable(schema)).as_bytes());
        }
        let text = match &said.sql {
            Sql::Text(text) => printable(text),
            Sql::Bytes(bytes) => printable(&String::from_utf8_lossy(bytes)),
        };
        line.extend(text.as_bytes());
        self.out.end_line()
    }

    fn flush(&mut self) -> Result<()> {
        self.out.flush()
    }
}

/// Where it is: the file, the event's end, the GTID.
fn place(line: &mut Vec<u8>, file: &str, offset: u64, begin: &Begin) {
    let gtid = begin.gtid.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    // Memory takes everything.
    let _ = write!(line, "{file}:{offset} {gtid} ");
}

/// All values that the image carries.
fn all_of(line: &mut Vec<u8>, values: &mut Renderer, map: &TableMap, forms: &[Form], image: &Image<'_>) -> Result<()> {
    for index in 0..image.len() {
        if let Some(text) = whole(values, forms, image, index)? {
            named(line, map, index);
            shown(line, &text);
        }
    }
    Ok(())
}

/// The key's values as they were, and what changed. Without a key in the log all values stand for it.
fn update(
    line: &mut Vec<u8>,
    values: &mut Renderer,
    map: &TableMap,
    forms: &[Form],
    before: Image<'_>,
    after: Image<'_>,
) -> Result<()> {
    let is_key = |index| map.primary_key.as_ref().is_none_or(|key| key.contains(&index));
    for index in 0..before.len() {
        let (was, is) = (whole(values, forms, &before, index)?, whole(values, forms, &after, index)?);
        let is_changed = is.is_some() && was != is;
        if !is_changed && (was.is_none() || !is_key(index)) {
            continue;
        }
        named(line, map, index);
        let arrow = if was.is_some() && is_changed { "→" } else { "" };
        was.iter().for_each(|text| shown(line, text));
        line.extend(arrow.as_bytes());
        is.iter().filter(|_| is_changed).for_each(|text| shown(line, text));
    }
    Ok(())
}

/// A column's name, or its number where the log has no names.
fn named(line: &mut Vec<u8>, map: &TableMap, index: usize) {
    // Memory takes everything.
    let _ = match map.columns.get(index).and_then(|column| column.name.as_deref()) {
        Some(name) => write!(line, " {}=", printable(name)),
        None => write!(line, " @{}=", index + 1),
    };
}

/// The value as JSON has it, without control characters therefore; `None` where the image does not carry it.
fn whole(values: &mut Renderer, forms: &[Form], image: &Image<'_>, index: usize) -> Result<Option<String>> {
    let Some((value, form)) = image.get(index)?.zip(forms.get(index)) else { return Ok(None) };
    let mut text = Vec::new();
    values.value(&mut text, *form, Some(value)).map_err(|error| image.locate(error, index))?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

/// The value, cut where it is long.
fn shown(line: &mut Vec<u8>, text: &str) {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => line.extend([&text[..end], "…"].concat().as_bytes()),
        None => line.extend(text.as_bytes()),
    }
}

/// On one line, and nothing that a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
