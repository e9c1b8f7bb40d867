//! Statements to a server over its socket, as root.

use std::path::Path;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, Row, Value};

use super::{SandboxError, SandboxErrorKind};

/// Runs statements in a session of their own and returns the rows as text.
pub(super) async fn query(socket: &Path, statement: &str) -> Result<String, SandboxError> {
    let result = Box::pin(run(socket, statement)).await;
    result.map_err(|error| match error {
        mysql_async::Error::Server(error) => {
            let message = format!("the server refused a statement with error {} ({})", error.code, error.state);
            SandboxError::new(SandboxErrorKind::Statement, message).with_code(error.code).caused_by(error)
        }
        error => {
            let message = format!("the session over {} broke", socket.display());
            SandboxError::new(SandboxErrorKind::Connection, message).caused_by(error)
        }
    })
}

async fn run(socket: &Path, statement: &str) -> Result<String, mysql_async::Error> {
    let options = OptsBuilder::default()
        .socket(Some(socket.to_string_lossy()))
        .user(Some("root"))
        // Given, so that connecting asks the server for nothing.
        .max_allowed_packet(Some(64 << 20))
        .wait_timeout(Some(28_800));
    let mut session = Conn::new(options).await?;
    let mut text = String::new();
    let mut result = session.query_iter(statement).await?;
    loop {
        for row in result.collect::<Row>().await? {
            if !text.is_empty() {
                text.push('\n');
            }
            write_row(row.unwrap_raw(), &mut text);
        }
        if result.is_empty() {
            break;
        }
    }
    drop(result);
    session.disconnect().await?;
    Ok(text)
}

/// Writes a row as the client programs do in batch mode: fields between tabs, and `NULL`.
fn write_row(row: Vec<Option<Value>>, text: &mut String) {
    for (number, value) in row.into_iter().enumerate() {
        if number > 0 {
            text.push('\t');
        }
        match value {
            Some(Value::Bytes(bytes)) => {
                for character in String::from_utf8_lossy(&bytes).chars() {
                    match character {
                        '\0' => text.push_str("\\0"),
                        '\t' => text.push_str("\\t"),
                        '\n' => text.push_str("\\n"),
                        '\\' => text.push_str("\\\\"),
                        other => text.push(other),
                    }
                }
            }
            None | Some(Value::NULL) => text.push_str("NULL"),
            // Text queries yield bytes and NULL only.
            Some(other) => text.push_str(&other.as_sql(true)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_as_the_client_programs_do() {
        let bytes = |text: &str| Some(Value::Bytes(text.into()));
        let mut text = String::new();
        write_row(vec![bytes("a\tb\n"), Some(Value::NULL), bytes(""), bytes("\\")], &mut text);
        assert_eq!(text, "a\\tb\\n\tNULL\t\t\\\\");
    }
}
