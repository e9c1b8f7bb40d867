use mysql_common::constants::ColumnType;

use super::{TargetColumn, TargetTable};
use crate::decode::charset::Charset;
use crate::decode::{Image, Row, TableMap, ValueRef, WireColumn};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Column, ColumnKind, Table, modern_charset};

/// Checks that the log's table and green's are the same, column by column.
///
/// # Errors
/// `Unsupported`, naming the first column that differs.
pub(super) fn check(wire: &TableMap, target: &TargetTable) -> Result<()> {
    if wire.columns.len() != target.columns.len() {
        let message = format!(
            "green's table has {} columns, the log's has {}: a schema changed on one side is not mapped yet",
            target.columns.len(),
            wire.columns.len()
        );
        return Err(different(message));
    }
    for (from, to) in wire.columns.iter().zip(&target.columns) {
        if let Some(problem) = difference(from, to) {
            return Err(different(problem).at(|place| place.column = Some(to.name.clone())));
        }
    }
    Ok(())
}

/// Checks that a table is defined alike on both servers, as far as their values go. The log alone does not say it all:
/// not a time's digits, an ENUM's members or, on older servers, an integer's sign and a column's name.
///
/// # Errors
/// `Unsupported`, naming the first column that differs.
pub fn compare(blue: &Table, green: &Table) -> Result<()> {
    let at_table = |error: Error| error.at(|place| place.table = Some(green.name.to_string()));
    if blue.columns.len() != green.columns.len() {
        let message = format!("blue's table has {} columns, green's has {}", blue.columns.len(), green.columns.len());
        return Err(at_table(different(message)));
    }
    for (from, to) in blue.columns.iter().zip(&green.columns) {
        let message = if !from.name.eq_ignore_ascii_case(&to.name) {
            format!("blue's column is named {}", from.name)
        } else if plain_type(from) != plain_type(to) {
            format!("blue's column is {}, green's {}", from.full_type, to.full_type)
        } else if from.charset.as_deref().map(modern_charset) != to.charset.as_deref().map(modern_charset) {
            let charset = |column: &Column| column.charset.clone().unwrap_or_else(|| "no character set".into());
            format!("blue's column is in {}, green's in {}", charset(from), charset(to))
        } else if from.is_generated != to.is_generated {
            "the column is generated on one side only".into()
        } else {
            continue;
        };
        return Err(at_table(different(message).at(|place| place.column = Some(to.name.clone()))));
    }
    Ok(())
}

/// A type without what newer servers no longer print and what changes no value: an integer's or a year's display width.
fn plain_type(column: &Column) -> String {
    let text = column.full_type.to_ascii_lowercase();
    match column.kind {
        ColumnKind::Integer(bytes) => format!("integer({bytes}){}", if column.is_unsigned { " unsigned" } else { "" }),
        ColumnKind::Year => "year".into(),
        // An ENUM's members and a SET's are told by case.
        ColumnKind::Enum | ColumnKind::Set => column.full_type.clone(),
        ColumnKind::Geometry => text.replace("geometrycollection", "geomcollection"),
        _ => text,
    }
}

fn different(message: String) -> Error {
    Error::new(ErrorKind::Unsupported, message)
        .with_advice("make the table the same on both sides, or build green anew with `create`")
}

fn difference(from: &WireColumn, to: &TargetColumn) -> Option<String> {
    if from.name.as_ref().is_some_and(|name| !name.eq_ignore_ascii_case(&to.name)) {
        return Some("green's column has another name than the log's".into());
    }
    if to.kind == ColumnKind::Other {
        return Some(format!("columns of type {} are not replicated yet", to.full_type));
    }
    if !fits(from.type_code, to.kind) {
        return Some(format!("green's column is {}, the log's has type number {}", to.full_type, from.type_code));
    }
    if matches!(to.kind, ColumnKind::Integer(_)) && from.is_unsigned.is_some_and(|unsigned| unsigned != to.is_unsigned)
    {
        return Some(format!("green's column is {}, the log's has the other sign", to.full_type));
    }
    let (wire_charset, charset) = (from.charset.map(Charset::name), to.charset.as_deref());
    match (wire_charset, charset) {
        (Some(wire), Some(green)) if to.kind == ColumnKind::Text && wire != modern_charset(green) => {
            Some(format!("green's column is in {green}, the log's in {wire}"))
        }
        _ => None,
    }
}

/// Whether values of a wire type can only come from a column of this kind.
fn fits(type_code: u8, kind: ColumnKind) -> bool {
    let Ok(wire) = ColumnType::try_from(type_code) else { return false };
    use ColumnType as Wire;
    match kind {
        ColumnKind::Integer(1) => wire == Wire::MYSQL_TYPE_TINY,
        ColumnKind::Integer(2) => wire == Wire::MYSQL_TYPE_SHORT,
        ColumnKind::Integer(3) => wire == Wire::MYSQL_TYPE_INT24,
        ColumnKind::Integer(4) => wire == Wire::MYSQL_TYPE_LONG,
        ColumnKind::Integer(_) => wire == Wire::MYSQL_TYPE_LONGLONG,
        ColumnKind::Decimal => wire == Wire::MYSQL_TYPE_NEWDECIMAL,
        ColumnKind::Float => wire == Wire::MYSQL_TYPE_FLOAT,
        ColumnKind::Double => wire == Wire::MYSQL_TYPE_DOUBLE,
        ColumnKind::Bit => wire == Wire::MYSQL_TYPE_BIT,
        ColumnKind::Text | ColumnKind::FixedBinary | ColumnKind::Binary => matches!(
            wire,
            Wire::MYSQL_TYPE_STRING
                | Wire::MYSQL_TYPE_VARCHAR
                | Wire::MYSQL_TYPE_VAR_STRING
                | Wire::MYSQL_TYPE_TINY_BLOB
                | Wire::MYSQL_TYPE_MEDIUM_BLOB
                | Wire::MYSQL_TYPE_LONG_BLOB
                | Wire::MYSQL_TYPE_BLOB
        ),
        ColumnKind::Enum => wire == Wire::MYSQL_TYPE_ENUM,
        ColumnKind::Set => wire == Wire::MYSQL_TYPE_SET,
        ColumnKind::Year => wire == Wire::MYSQL_TYPE_YEAR,
        ColumnKind::Date => matches!(wire, Wire::MYSQL_TYPE_DATE | Wire::MYSQL_TYPE_NEWDATE),
        ColumnKind::Time => matches!(wire, Wire::MYSQL_TYPE_TIME | Wire::MYSQL_TYPE_TIME2),
        ColumnKind::DateTime => matches!(wire, Wire::MYSQL_TYPE_DATETIME | Wire::MYSQL_TYPE_DATETIME2),
        ColumnKind::Timestamp => matches!(wire, Wire::MYSQL_TYPE_TIMESTAMP | Wire::MYSQL_TYPE_TIMESTAMP2),
        ColumnKind::Json => wire == Wire::MYSQL_TYPE_JSON,
        ColumnKind::Geometry => wire == Wire::MYSQL_TYPE_GEOMETRY,
        ColumnKind::Vector => wire == Wire::MYSQL_TYPE_VECTOR,
        ColumnKind::Other => false,
    }
}

/// Checks that a row's images say which row of green it is.
///
/// # Errors
/// `Setting` where they do not.
pub(super) fn check_images(row: &Row<'_>, target: &TargetTable) -> Result<()> {
    if [&row.before, &row.after].into_iter().flatten().any(|image| image.len() != target.columns.len()) {
        return Err(Error::internal("an image with another number of columns than its table"));
    }
    let Some(before) = &row.before else { return Ok(()) };
    let lacking = match &target.row_key {
        Some(key) => before.lacks(|index| !key.contains(&index)),
        None => lacking(before, target),
    };
    match lacking {
        None => Ok(()),
        Some(index) => Err(Error::new(ErrorKind::Setting, "the row image lacks a column that is needed to find the row")
            .with_advice(
                "set binlog_row_image=FULL on blue, for all sessions, and build green anew with `create`; or give the table \
                 a primary key",
            )
            .at(|place| place.column = target.columns.get(index).map(|column| column.name.clone()))),
    }
}

/// The first column that can be written and of which the image has no whole value.
pub(super) fn lacking(image: &Image<'_>, target: &TargetTable) -> Option<usize> {
    image.lacks(|index| target.columns.get(index).is_some_and(|column| column.is_generated))
}

/// The value with the sign that green's column has, where the log does not say it.
pub fn with_sign<'a>(value: ValueRef<'a>, column: &TargetColumn) -> ValueRef<'a> {
    match (value, column.kind) {
        (ValueRef::Int(number), ColumnKind::Integer(bytes)) if column.is_unsigned => {
            let mask = if bytes >= 8 { u64::MAX } else { (1 << (8 * u32::from(bytes))) - 1 };
            ValueRef::UInt(number.cast_unsigned() & mask)
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Flavor;

    fn check_text(flavor: Flavor, collation: u16, charset: &str) -> Result<()> {
        let column = Column {
            charset: Some(charset.into()),
            is_nullable: false,
            length: Some(10),
            ..Column::sample("a", ColumnKind::Text, "varchar(10)")
        };
        let table = Table::sample("t", vec![column]);
        let name = table.name.clone();
        let mut wire = WireColumn::new(ColumnType::MYSQL_TYPE_VARCHAR as u8, 40, false);
        wire.collation = Some(collation);
        check(&TableMap::new(flavor, name, vec![wire], None), &TargetTable::new(table, flavor, false))
    }

    #[test]
    fn text_is_told_by_the_character_set_of_the_logs_collation() {
        for (flavor, collation, charset) in [
            (Flavor::MySql, 33, "utf8"),
            (Flavor::MySql, 33, "utf8mb3"),
            (Flavor::MySql, 255, "utf8mb4"),
            (Flavor::MariaDb, 2304, "utf8mb4"),
            (Flavor::MariaDb, 1032, "latin1"),
            // Not known: nothing to compare.
            (Flavor::MySql, 2304, "latin1"),
        ] {
            assert!(check_text(flavor, collation, charset).is_ok(), "{collation} {charset}");
        }
        for (flavor, collation, charset) in
            [(Flavor::MySql, 33, "utf8mb4"), (Flavor::MariaDb, 2304, "utf8mb3"), (Flavor::MariaDb, 1032, "latin2")]
        {
            let error = check_text(flavor, collation, charset).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{collation} {charset}");
        }
    }
}
