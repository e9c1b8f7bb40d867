//! Ranges of keys, as predicates in the server's own order with literals of the column's own type.

use std::fmt;

use super::expression::Form;
use super::pair::{Compared, Pair, Side};
use crate::model::ColumnKind;
use crate::net::identifier;

/// A row's key: the texts of the key's columns, in the key's order.
pub(crate) type KeyText = Vec<Vec<u8>>;

/// The rows after `above` up to and with `up_to`. An open end takes all there is, so that rows before blue's first and
/// after blue's last are compared too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) above: Option<KeyText>,
    pub(crate) up_to: Option<KeyText>,
}

impl Range {
    /// ` WHERE …`, or nothing for the whole table.
    pub(super) fn clause(&self, pair: &Pair, side: Side) -> String {
        self.predicate(pair, side).map_or_else(String::new, |predicate| format!(" WHERE {predicate}"))
    }

    /// `None`: the whole table.
    pub(super) fn predicate(&self, pair: &Pair, side: Side) -> Option<String> {
        let lower = self.above.as_ref().map(|key| bound(pair, side, key, ">", ">"));
        let upper = self.up_to.as_ref().map(|key| bound(pair, side, key, "<", "<="));
        let parts: Vec<String> = lower.into_iter().chain(upper).collect();
        (!parts.is_empty()).then(|| parts.join(" AND "))
    }
}

/// Which rows of a table are compared at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rows {
    /// Those between two keys.
    Range(Range),
    /// Those of these keys, if there are any.
    Keys(Keys),
}

/// Keys that are shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys(pub(super) Vec<KeyText>);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl Rows {
    /// All rows of a table.
    pub(super) const ALL: Rows = Rows::Range(Range { above: None, up_to: None });

    /// ` WHERE …`, or nothing for the whole table.
    pub(super) fn clause(&self, pair: &Pair, side: Side) -> String {
        match self {
            Rows::Range(range) => range.clause(pair, side),
            Rows::Keys(Keys(keys)) => format!(" WHERE {}", any_of(pair, side, keys)),
        }
    }
}

/// `a IN (1,2)` or `(a = 1 AND b = 2) OR …`: forms that all versions answer from an index; lists of row constructors are
/// not.
pub(super) fn any_of(pair: &Pair, side: Side, keys: &[KeyText]) -> String {
    let mut columns = pair.key_columns();
    if let (Some(column), None) = (columns.next(), columns.next()) {
        let literals: Vec<String> = keys.iter().flatten().map(|text| literal(column, side, text)).collect();
        return format!("{} IN ({})", identifier(column.name_on(side)), literals.join(","));
    }
    let alternatives: Vec<String> = keys.iter().map(|key| format!("({})", equals(pair, side, key))).collect();
    alternatives.join(" OR ")
}

/// `(a > 1 OR (a = 1 AND b > 2))`: the one form of a comparison of several columns that all versions answer from an
/// index; row constructors are not.
fn bound(pair: &Pair, side: Side, key: &KeyText, inner: &str, last: &str) -> String {
    let columns: Vec<(&Compared, &Vec<u8>)> = pair.key_columns().zip(key).collect();
    let mut alternatives = Vec::with_capacity(columns.len());
    for depth in 0..columns.len() {
        let operator = if depth + 1 == columns.len() { last } else { inner };
        let terms: Vec<String> = columns
            .iter()
            .take(depth + 1)
            .enumerate()
            .map(|(at, (column, text))| comparison(column, side, if at == depth { operator } else { "=" }, text))
            .collect();
        alternatives.push(format!("({})", terms.join(" AND ")));
    }
    format!("({})", alternatives.join(" OR "))
}

/// The predicate of exactly this key, as the server compares.
pub(super) fn equals(pair: &Pair, side: Side, key: &KeyText) -> String {
    let terms: Vec<String> =
        pair.key_columns().zip(key).map(|(column, text)| comparison(column, side, "=", text)).collect();
    terms.join(" AND ")
}

fn comparison(column: &Compared, side: Side, operator: &str, text: &[u8]) -> String {
    format!("{} {operator} {}", identifier(column.name_on(side)), literal(column, side, text))
}

/// A literal of the column's type from the text of its [`Form`]. The texts are digits, hexadecimal digits and the
/// characters of dates, so nothing needs escaping.
fn literal(column: &Compared, side: Side, text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match (column.form, column.kind) {
        (Form::Hex, ColumnKind::Text) => match column.charset.of(side) {
            Some(charset) => format!("_{charset} x'{text}'"),
            None => format!("x'{text}'"),
        },
        (Form::Hex, _) => format!("x'{text}'"),
        (Form::Unicode | Form::Other, _) => format!("_utf8mb4 x'{text}'"),
        (Form::DateTime | Form::Time, _)
        | (_, ColumnKind::Year | ColumnKind::Date | ColumnKind::Time | ColumnKind::DateTime | ColumnKind::Timestamp) => {
            format!("'{text}'")
        }
        _ => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::consistency::pair::{Both, Key};
    use crate::model::TableName;

    fn column(name: &str, kind: ColumnKind, form: Form, charset: Option<&str>) -> Compared {
        Compared {
            name: name.into(),
            green_name: name.to_uppercase(),
            kind,
            is_unsigned: false,
            form,
            charset: Both { blue: charset.map(Into::into), green: charset.map(|name| format!("{name}mb3")) },
            is_nullable: Both { blue: false, green: false },
        }
    }

    fn pair() -> Pair {
        Pair {
            name: TableName::new("s", "t"),
            columns: vec![
                column("a", ColumnKind::Integer(4), Form::Plain, None),
                column("b", ColumnKind::Text, Form::Hex, Some("utf8")),
                column("c", ColumnKind::DateTime, Form::Plain, None),
            ],
            key: Some(Key { columns: vec![1, 0], index: None }),
            missing: Vec::new(),
        }
    }

    #[test]
    fn bounds_follow_the_keys_order_and_types() {
        let range = Range {
            above: Some(vec![b"41".to_vec(), b"-5".to_vec()]),
            up_to: Some(vec![b"42".to_vec(), b"7".to_vec()]),
        };
        assert_eq!(
            range.clause(&pair(), Side::Blue),
            " WHERE ((`b` > _utf8 x'41') OR (`b` = _utf8 x'41' AND `a` > -5)) \
             AND ((`b` < _utf8 x'42') OR (`b` = _utf8 x'42' AND `a` <= 7))"
        );
        assert_eq!(Range::default().clause(&pair(), Side::Blue), "");
    }

    #[test]
    fn each_side_is_asked_in_its_own_words() {
        let key = vec![Vec::new(), b"1".to_vec()];
        assert_eq!(equals(&pair(), Side::Green, &key), "`B` = _utf8mb3 x'' AND `A` = 1");
    }

    #[test]
    fn keys_are_asked_for_in_forms_that_use_an_index() {
        let keys = |keys: &[KeyText]| Rows::Keys(Keys(keys.to_vec()));
        let (one, two) = (vec![b"41".to_vec(), b"1".to_vec()], vec![b"42".to_vec(), b"2".to_vec()]);
        assert_eq!(
            keys(&[one, two]).clause(&pair(), Side::Blue),
            " WHERE (`b` = _utf8 x'41' AND `a` = 1) OR (`b` = _utf8 x'42' AND `a` = 2)"
        );
        let mut single = pair();
        single.key = Some(Key { columns: vec![0], index: None });
        let clause = keys(&[vec![b"1".to_vec()], vec![b"2".to_vec()]]).clause(&single, Side::Green);
        assert_eq!(clause, " WHERE `A` IN (1,2)");
    }

    #[test]
    fn temporals_are_quoted() {
        let mut pair = pair();
        pair.key = Some(Key { columns: vec![2], index: None });
        assert_eq!(equals(&pair, Side::Blue, &vec![b"2024-01-02 03:04:05".to_vec()]), "`c` = '2024-01-02 03:04:05'");
    }
}
