//! How a column's values travel: as which expression they are read from blue, as which literal they are written to
//! green.
//!
//! # Invariants
//! 1. Reading and writing give the same stored value, bit by bit (FLOAT and -0 included); MySQL's JSON excepted.
//! 2. A literal is made of checked characters or of hexadecimal digits: no `sql_mode` and no character set of a
//!    connection can read it differently.

use crate::error::{Error, Result};
use crate::model::{Column, ColumnKind, Table};
use crate::net::{identifier, qualified};

/// What a value looks like in SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Digits as they are.
    Number,
    /// Like a number, but 0 is an error value that only a lenient session can write.
    EnumIndex,
    /// In quotes: decimals, floats and temporal values. In quotes -0 keeps its sign and YEAR its century.
    Quoted,
    /// Bytes in the column's own character set. A literal without an introducer is binary, and storing binary in a text
    /// column copies the bytes and checks that they are text; an introducer would do the same, but some names of
    /// character sets raise a warning on new servers.
    Hex,
    /// JSON takes text only.
    Json,
}

/// How a table is read and written.
#[derive(Debug)]
pub(crate) struct Plan {
    forms: Vec<Form>,
    /// `SELECT … FROM …`.
    pub(crate) select: String,
    /// `INSERT INTO … (…) VALUES `.
    pub(crate) insert: String,
}

impl Plan {
    /// Leaves generated columns out; names all others, so that invisible ones are carried.
    pub(crate) fn new(table: &Table) -> Result<Plan> {
        let columns = || table.columns.iter().filter(|column| !column.is_generated);
        let forms = columns().map(|column| form(column.kind)).collect::<Result<_>>()?;
        let expressions = columns().map(expression).collect::<Vec<_>>().join(", ");
        let names = columns().map(|column| identifier(&column.name)).collect::<Vec<_>>().join(", ");
        let table = qualified(&table.name);
        Ok(Plan {
            forms,
            select: format!("SELECT {expressions} FROM {table}"),
            insert: format!("INSERT INTO {table} ({names}) VALUES "),
        })
    }

    /// How many ENUM values of the row are the error value 0.
    pub(crate) fn enum_errors(&self, row: &[Option<Vec<u8>>]) -> usize {
        let is_error = |(form, value): &(&Form, &Option<Vec<u8>>)| {
            **form == Form::EnumIndex && value.as_deref() == Some(b"0".as_slice())
        };
        self.forms.iter().zip(row).filter(is_error).count()
    }

    /// Appends `(…)`.
    pub(crate) fn push_row(&self, sql: &mut String, row: &[Option<Vec<u8>>]) -> Result<()> {
        if row.len() != self.forms.len() {
            return Err(Error::internal(format!("{} columns were asked for, {} came", self.forms.len(), row.len())));
        }
        let mut separator = '(';
        for (form, value) in self.forms.iter().zip(row) {
            sql.push(separator);
            separator = ',';
            match value {
                None => sql.push_str("NULL"),
                Some(bytes) => push_literal(sql, *form, bytes)?,
            }
        }
        sql.push(')');
        Ok(())
    }
}

/// The kind as the form it is written in.
fn form(kind: ColumnKind) -> Result<Form> {
    Ok(match kind {
        ColumnKind::Integer(_) | ColumnKind::Bit | ColumnKind::Set => Form::Number,
        ColumnKind::Enum => Form::EnumIndex,
        ColumnKind::Decimal
        | ColumnKind::Float
        | ColumnKind::Double
        | ColumnKind::Year
        | ColumnKind::Date
        | ColumnKind::Time
        | ColumnKind::DateTime
        | ColumnKind::Timestamp => Form::Quoted,
        ColumnKind::Text | ColumnKind::FixedBinary | ColumnKind::Binary | ColumnKind::Geometry | ColumnKind::Vector => {
            Form::Hex
        }
        ColumnKind::Json => Form::Json,
        ColumnKind::Other => return Err(Error::internal("a column of an unknown type was not refused")),
    })
}

fn expression(column: &Column) -> String {
    let name = identifier(&column.name);
    match column.kind {
        // As it is, a FLOAT is printed with 6 digits, and a FLOAT or DOUBLE with a scale with that many. As a product it is
        // a DOUBLE, printed with the fewest digits that read back the same. (A sum would lose the sign of -0.)
        ColumnKind::Float | ColumnKind::Double => format!("{name} * 1e0"),
        // `+ 0` would make a DOUBLE of a SET, with 53 bits.
        ColumnKind::Bit | ColumnKind::Enum | ColumnKind::Set => format!("CAST({name} AS UNSIGNED)"),
        _ => name,
    }
}

fn push_literal(sql: &mut String, form: Form, bytes: &[u8]) -> Result<()> {
    match form {
        Form::Number | Form::EnumIndex => push_checked(sql, bytes, |byte| byte.is_ascii_digit() || byte == b'-'),
        Form::Quoted => {
            sql.push('\'');
            push_checked(sql, bytes, |byte| byte.is_ascii_digit() || b"+-.:eE ".contains(&byte))?;
            sql.push('\'');
            Ok(())
        }
        Form::Hex => {
            push_hex(sql, bytes);
            Ok(())
        }
        Form::Json => {
            sql.push_str("_utf8mb4 ");
            push_hex(sql, bytes);
            Ok(())
        }
    }
}

fn push_checked(sql: &mut String, bytes: &[u8], is_fine: impl Fn(u8) -> bool) -> Result<()> {
    if bytes.is_empty() || !bytes.iter().all(|byte| is_fine(*byte)) {
        return Err(Error::internal("a number or a time has characters that no server prints"));
    }
    sql.extend(bytes.iter().map(|byte| char::from(*byte)));
    Ok(())
}

fn push_hex(sql: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    sql.reserve(bytes.len() * 2 + 3);
    sql.push_str("x'");
    for byte in bytes {
        sql.push(char::from(DIGITS[usize::from(byte >> 4)]));
        sql.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    sql.push('\'');
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::create) fn column(name: &str, kind: ColumnKind, full_type: &str) -> Column {
        Column::sample(name, kind, full_type)
    }

    pub(in crate::create) fn table(columns: Vec<Column>) -> Table {
        Table::sample("t", columns)
    }

    #[test]
    fn columns_are_named_and_generated_ones_left_out() {
        let mut generated = column("g", ColumnKind::Integer(4), "int");
        generated.is_generated = true;
        let columns = vec![
            column("a`b", ColumnKind::Float, "float"),
            generated,
            column("s", ColumnKind::Set, "set('x')"),
            column("t", ColumnKind::Text, "text"),
        ];
        let plan = Plan::new(&table(columns)).unwrap();
        assert_eq!(plan.select, "SELECT `a``b` * 1e0, CAST(`s` AS UNSIGNED), `t` FROM `s`.`t`");
        assert_eq!(plan.insert, "INSERT INTO `s`.`t` (`a``b`, `s`, `t`) VALUES ");
        let mut sql = String::new();
        plan.push_row(&mut sql, &[Some(b"-0".to_vec()), Some(b"3".to_vec()), Some(b"a'\xff".to_vec())]).unwrap();
        plan.push_row(&mut sql, &[None, None, Some(Vec::new())]).unwrap();
        assert_eq!(sql, "('-0',3,x'6127ff')(NULL,NULL,x'')");
        assert!(plan.push_row(&mut sql, &[None]).is_err());
    }

    /// Invariant 2 of the module.
    #[test]
    fn literals_hold_checked_characters_only() {
        for (form, bytes) in
            [(Form::Number, "1 or 1"), (Form::Quoted, "1','2"), (Form::Quoted, "nan"), (Form::Number, "")]
        {
            assert!(push_literal(&mut String::new(), form, bytes.as_bytes()).is_err(), "{bytes}");
        }
        let mut sql = String::new();
        push_literal(&mut sql, Form::Json, b"{}").unwrap();
        assert_eq!(sql, "_utf8mb4 x'7b7d'");
    }

    #[test]
    fn error_values_of_enums_are_counted() {
        let columns = ["a", "b", "c"].map(|name| column(name, ColumnKind::Enum, "enum('x')"));
        let plan = Plan::new(&table(columns.to_vec())).unwrap();
        assert_eq!(plan.enum_errors(&[Some(b"0".to_vec()), Some(b"1".to_vec()), None]), 1);
    }
}
