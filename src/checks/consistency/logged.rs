//! A row's key out of a log.

use super::expression::Form;
use super::pair::{Pair, Side};
use super::range::KeyText;
use crate::decode::{Image, ValueRef};
use crate::model::{ColumnKind, Table};

/// Where a table's key stands in the row images of a server's log, and how its text is made of the values.
#[derive(Debug)]
pub(super) struct LoggedKey {
    /// The columns of the whole table: a log that has another number speaks of another definition.
    column_count: usize,
    columns: Vec<LoggedColumn>,
}

#[derive(Debug)]
struct LoggedColumn {
    index: usize,
    form: Form,
    kind: ColumnKind,
    /// Of an integer whose sign the log does not say: so many bytes without one.
    unsigned_bytes: Option<u8>,
    /// BINARY(n), whose zero bytes at the end the log leaves out.
    fixed_length: usize,
}

impl LoggedKey {
    /// `None`: the table has no key whose values say where the row is found on the other server.
    pub(super) fn new(pair: &Pair, side: Side, table: &Table) -> Option<LoggedKey> {
        pair.key.as_ref()?.index.as_ref()?;
        let columns = pair.key_columns().map(|compared| {
            let index = table.columns.iter().position(|column| column.name == compared.name_on(side))?;
            let column = table.columns.get(index)?;
            Some(LoggedColumn {
                index,
                form: compared.form,
                kind: column.kind,
                unsigned_bytes: match column.kind {
                    ColumnKind::Integer(bytes) if column.is_unsigned => Some(bytes),
                    _ => None,
                },
                fixed_length: match column.kind {
                    ColumnKind::FixedBinary => usize::try_from(column.length?).ok()?,
                    _ => 0,
                },
            })
        });
        Some(LoggedKey { column_count: table.columns.len(), columns: columns.collect::<Option<_>>()? })
    }

    /// The key of the row that `image` shows; what it does not carry is as in the image `before` it. `None`: the images do
    /// not say it.
    pub(super) fn read(&self, image: &Image<'_>, before: Option<&Image<'_>>) -> Option<KeyText> {
        if image.len() != self.column_count {
            return None;
        }
        let value = |column: &LoggedColumn| {
            let here = image.get(column.index).ok()?;
            match here {
                Some(value) => Some(value),
                None => before?.get(column.index).ok()?,
            }
        };
        self.columns.iter().map(|column| column.text(value(column)?)).collect()
    }
}

impl LoggedColumn {
    /// The text that the column's [`Form`] has for the value.
    fn text(&self, value: ValueRef<'_>) -> Option<Vec<u8>> {
        let text = match (self.form, value) {
            (Form::Plain | Form::Integer, ValueRef::Int(number)) => match self.unsigned_bytes {
                Some(bytes) => unsigned(number, bytes).to_string(),
                None => number.to_string(),
            },
            (Form::Plain | Form::Integer, ValueRef::UInt(number)) | (Form::Number, ValueRef::Bit(number)) => {
                number.to_string()
            }
            (Form::Plain, ValueRef::Year(year)) => format!("{year:04}"),
            (Form::Plain | Form::Decimal(_), ValueRef::Decimal(decimal)) => {
                decimal.text(&mut crate::decode::DecimalBuffer::default()).ok()?.to_owned()
            }
            (
                Form::Plain | Form::DateTime | Form::Time,
                ValueRef::Date(_) | ValueRef::Time(_) | ValueRef::DateTime(_) | ValueRef::Timestamp(_),
            ) => value.to_value().ok()?.temporal_text()?,
            (Form::Hex, ValueRef::Bytes(bytes)) if self.kind != ColumnKind::Other => {
                let padding = self.fixed_length.saturating_sub(bytes.len());
                let digits = bytes.iter().map(|byte| format!("{byte:02X}"));
                digits.chain(std::iter::repeat_n("00".to_owned(), padding)).collect()
            }
            _ => return None,
        };
        Some(text.into_bytes())
    }
}

/// An integer of so many bytes that was read with a sign which it has not.
fn unsigned(number: i64, bytes: u8) -> u64 {
    let mask = if bytes >= 8 { u64::MAX } else { (1 << (8 * u32::from(bytes))) - 1 };
    number.cast_unsigned() & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(form: Form, kind: ColumnKind, value: ValueRef<'_>) -> Option<String> {
        let column = LoggedColumn { index: 0, form, kind, unsigned_bytes: None, fixed_length: 3 };
        column.text(value).map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn texts_are_those_of_the_servers() {
        assert_eq!(text(Form::Plain, ColumnKind::Integer(4), ValueRef::Int(-5)).unwrap(), "-5");
        assert_eq!(text(Form::Hex, ColumnKind::FixedBinary, ValueRef::Bytes(b"\xe9")).unwrap(), "E90000");
        assert_eq!(text(Form::Number, ColumnKind::Bit, ValueRef::Bit(9)).unwrap(), "9");
        assert_eq!(text(Form::Plain, ColumnKind::Year, ValueRef::Year(0)).unwrap(), "0000");
        assert_eq!(text(Form::Plain, ColumnKind::Integer(4), ValueRef::Null), None);
        assert_eq!(text(Form::Unicode, ColumnKind::Text, ValueRef::Bytes(b"a")), None, "in whose character set?");
    }

    #[test]
    fn a_sign_that_is_none_is_taken_back() {
        assert_eq!([unsigned(-1, 1), unsigned(-1, 3), unsigned(-1, 8)], [255, 16_777_215, u64::MAX]);
        assert_eq!(unsigned(7, 4), 7);
    }
}
