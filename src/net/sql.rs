/// An identifier in backticks.
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `` `schema`.`table` ``.
pub(crate) fn qualified(name: &crate::model::TableName) -> String {
    format!("{}.{}", identifier(&name.schema), identifier(&name.table))
}

/// A UTF-8 string as a literal that no `sql_mode` reads differently: hexadecimal, so nothing needs escaping.
pub(crate) fn text_literal(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() * 2 + 11);
    literal.push_str("_utf8mb4 x'");
    for byte in text.bytes() {
        literal.push_str(&format!("{byte:02x}"));
    }
    literal.push('\'');
    literal
}

/// `'user'@'host'`, or `'role'` where there is no host, for a session that has backslash escapes: account names take no
/// literal with a character set.
pub(crate) fn account(user: &str, host: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    match host {
        "" => quoted(user),
        _ => format!("{}@{}", quoted(user), quoted(host)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_text_are_quoted() {
        assert_eq!(identifier("a`b"), "`a``b`");
        assert_eq!(text_literal("'é"), "_utf8mb4 x'27c3a9'");
        assert_eq!(account("a'b", "%"), r"'a\'b'@'%'");
        assert_eq!(account(r"role\", ""), r"'role\\'");
    }
}
