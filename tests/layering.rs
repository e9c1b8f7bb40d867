//! The modules import each other in one direction only.
//!
//! [`MODULES`] is the whole rule. The test reads `src/` as text, so it also sees code behind features and in unit tests.

use std::fs;
use std::path::{Path, PathBuf};

/// A module of the crate and what it may name.
struct Module {
    name: &'static str,
    /// Other modules, or one part of them.
    may_import: &'static [&'static str],
    /// The outer crates and parts of `std` that only some modules may name.
    may_name: &'static [&'static str],
}

/// What not every module may name: sockets, files, clocks, the runtime, the driver and its wire constants.
const RESTRICTED: &[&str] = &[
    "mysql_async",
    "mysql_common",
    "tokio",
    "tokio_rustls",
    "std::net",
    "std::fs",
    "std::time::Instant",
    "SystemTime",
];

const PURE: &[&str] = &[];
const RUNTIME: &[&str] = &["tokio", "std::net", "std::fs", "std::time::Instant", "SystemTime"];

/// Every module, lowest first. Nothing imports `pipeline`, and `sandbox` stands alone.
const MODULES: &[Module] = &[
    Module { name: "model", may_import: &[], may_name: PURE },
    Module { name: "entropy", may_import: &[], may_name: PURE },
    Module { name: "error", may_import: &["model"], may_name: PURE },
    Module { name: "running", may_import: &["error"], may_name: RUNTIME },
    // Pure: a stage that computes sees neither sockets nor clocks. Plan knows column types and collations by the wire's
    // numbers.
    Module { name: "decode", may_import: &["model", "error"], may_name: PURE },
    Module { name: "plan", may_import: &["model", "error", "decode"], may_name: &["mysql_common"] },
    Module { name: "render", may_import: &["model", "error", "decode"], may_name: PURE },
    // The other side of decode's round trips: shares nothing with it.
    Module { name: "testkit", may_import: &["model", "error"], may_name: PURE },
    // The only code that opens a connection, and the only one that knows the driver.
    Module {
        name: "net",
        may_import: &["model", "error"],
        may_name: &[
            "mysql_async",
            "mysql_common",
            "tokio",
            "tokio_rustls",
            "std::net",
            "std::fs",
            "std::time::Instant",
            "SystemTime",
        ],
    },
    // Bytes in: knows no rows. The dump request is written with the wire crate's packets.
    Module {
        name: "source",
        may_import: &["model", "error", "entropy", "net"],
        may_name: &["mysql_common", "tokio", "std::fs", "std::time::Instant"],
    },
    Module { name: "apply", may_import: &["model", "error", "entropy", "net", "decode", "plan"], may_name: RUNTIME },
    // Reads the logs of both servers for what has changed since it was compared.
    Module {
        name: "checks",
        may_import: &["model", "error", "entropy", "net", "source", "decode", "apply::checkpoint", "deployment"],
        may_name: RUNTIME,
    },
    Module {
        name: "watch",
        may_import: &[
            "model",
            "error",
            "entropy",
            "running",
            "net",
            "source",
            "decode",
            "plan",
            "render",
            "apply",
            "checks",
            "deployment",
        ],
        may_name: RUNTIME,
    },
    Module { name: "deployment", may_import: &["model", "error", "entropy", "net"], may_name: RUNTIME },
    // Views, routines, events and triggers, which `create` makes and a switchover wakes.
    Module { name: "objects", may_import: &["model", "error", "net", "plan"], may_name: PURE },
    // Builds only where the preflight lets it: one table of settings for all.
    Module {
        name: "create",
        may_import: &["model", "error", "net", "objects", "apply::checkpoint", "checks", "deployment"],
        may_name: RUNTIME,
    },
    // Reads and writes rows as `create` does.
    Module {
        name: "repair",
        may_import: &["model", "error", "net", "apply::checkpoint", "checks", "create::literal", "create::variables"],
        may_name: RUNTIME,
    },
    // Connections of applications, byte by byte: knows nothing of MySQL.
    Module { name: "endpoint", may_import: &[], may_name: RUNTIME },
    Module {
        name: "switchover",
        may_import: &[
            "model",
            "error",
            "entropy",
            "net",
            "objects",
            "apply::checkpoint",
            "checks",
            "deployment",
            "endpoint",
        ],
        may_name: RUNTIME,
    },
    Module {
        name: "pipeline",
        may_import: &[
            "model",
            "error",
            "entropy",
            "running",
            "net",
            "objects",
            "source",
            "decode",
            "plan",
            "apply",
            "watch",
            "checks",
            "create",
            "deployment",
            "endpoint",
            "switchover",
            // Its unit tests only: logs to run through the stages.
            "testkit",
        ],
        may_name: RUNTIME,
    },
    Module {
        name: "sandbox",
        may_import: &[],
        may_name: &["mysql_async", "tokio", "std::net", "std::fs", "std::time::Instant", "SystemTime"],
    },
];

/// Names that `lib.rs` gives a second time, and the module they are from.
const RE_EXPORTS: &[(&str, &str)] = &[("Error", "error"), ("ErrorKind", "error"), ("Result", "error")];

/// Crates whose types are in no public signature.
const PRIVATE_CRATES: &[&str] = &["mysql_async", "mysql_common"];

#[test]
fn imports_go_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 50, "expected the crate's sources, found {} files", files.len());
    let mut violations = Vec::new();
    let mut seen = Vec::new();
    for file in files {
        let path = file.strip_prefix(&src).unwrap();
        // The root lists the modules; the binary is a user of the library like any other.
        if path == Path::new("lib.rs") || path.starts_with("bin") {
            continue;
        }
        seen.push(module_name(path));
        violations.extend(check(path, &fs::read_to_string(&file).unwrap()));
    }
    for module in MODULES {
        if !seen.iter().any(|name| name == module.name) {
            violations.push(format!("`{}` is in this test's table and not in src", module.name));
        }
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

fn module_name(path: &Path) -> String {
    path.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// What a source file names that it may not. `path` is relative to `src`.
fn check(path: &Path, text: &str) -> Vec<String> {
    let name = module_name(path);
    let Some(module) = MODULES.iter().find(|module| module.name == name) else {
        return vec![format!(
            "src/{}: module `{name}` is new: add it to the table in tests/layering.rs, with what it may import",
            path.display()
        )];
    };
    let is_module_root = path.components().count() == 1 || path.ends_with("mod.rs");
    let depth = path.components().count() - usize::from(path.components().count() > 1 && is_module_root);
    let tokens = tokens(text);
    let mut violations: Vec<String> = paths(&tokens)
        .iter()
        .filter_map(|found| violation(module, depth, found))
        .chain(tokens.iter().filter_map(|token| forbidden_word(module, &token.text)))
        .chain(public_driver_types(&tokens))
        .map(|what| format!("src/{}: {what}", path.display()))
        .collect();
    violations.dedup();
    violations
}

fn violation(module: &Module, depth: usize, found: &Found) -> Option<String> {
    let path = found.segments.join("::");
    let supers = found.segments.iter().take_while(|segment| *segment == "super").count();
    if supers >= depth + found.inline_modules {
        return Some(format!("`{path}` leaves the module: write `crate::…`"));
    }
    if found.segments[0] != "crate" {
        let hit = RESTRICTED.iter().find(|name| name.contains("::") && is_part(&path, name))?;
        return (!module.may_name.contains(hit)).then(|| format!("`{}` may not name `{path}`", module.name));
    }
    let inner = &found.segments[1..];
    let first = inner[0].as_str();
    let target = RE_EXPORTS.iter().find(|(name, _)| *name == first).map_or(first, |(_, module)| module);
    if !MODULES.iter().any(|known| known.name == target) {
        return Some(format!("`{path}` is of no module in the table in tests/layering.rs"));
    }
    let path_inside = std::iter::once(target).chain(inner[1..].iter().map(String::as_str)).collect::<Vec<_>>();
    let is_allowed =
        target == module.name || module.may_import.iter().any(|allowed| is_part(&path_inside.join("::"), allowed));
    (!is_allowed).then(|| format!("`{}` may not import `{path}`", module.name))
}

/// Whether `path` is `whole` or something inside of it.
fn is_part(path: &str, whole: &str) -> bool {
    path.strip_prefix(whole).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn forbidden_word(module: &Module, word: &str) -> Option<String> {
    (RESTRICTED.contains(&word) && !module.may_name.contains(&word))
        .then(|| format!("`{}` may not name `{word}`", module.name))
}

/// Public items whose signature has a type of the driver.
fn public_driver_types(tokens: &[Token]) -> Vec<String> {
    let mut foreign: Vec<String> = PRIVATE_CRATES.iter().map(|name| (*name).to_owned()).collect();
    for found in paths(tokens) {
        if PRIVATE_CRATES.contains(&found.segments[0].as_str()) {
            foreign.extend(
                found.name.or(found.segments.last().cloned()).filter(|name| name.starts_with(char::is_uppercase)),
            );
        }
    }
    let mut violations = Vec::new();
    for (index, _) in tokens.iter().enumerate().filter(|(_, token)| token.text == "pub") {
        if tokens.get(index + 1).is_some_and(|next| next.text == "(") {
            continue;
        }
        let mut nesting = 0_i32;
        for (at, token) in tokens.iter().enumerate().skip(index + 1) {
            match token.text.as_str() {
                "(" | "[" | "<" => nesting += 1,
                ")" | "]" => nesting -= 1,
                // Not the arrow's.
                ">" if tokens[at - 1].text != "-" => nesting -= 1,
                "{" | "}" | ";" | "=" => break,
                "," if nesting == 0 => break,
                name if foreign.iter().any(|foreign| foreign == name) => {
                    violations.push(format!("`{name}` is the driver's and stands in a public signature"));
                }
                _ => {}
            }
            if nesting < 0 {
                break;
            }
        }
    }
    violations
}

/// A word or a sign of the source, outside of comments and literals.
#[derive(Debug, Clone)]
struct Token {
    text: String,
    /// How many `mod … { }` of the file are around it.
    inline_modules: usize,
}

/// A path that the source names; groups of a `use` are taken apart.
#[derive(Debug, Clone)]
struct Found {
    segments: Vec<String>,
    /// The name that `as` gives.
    name: Option<String>,
    inline_modules: usize,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' | 'b' | 'c' if literal(rest).is_some() => literal(rest).unwrap(),
            '\'' => character(rest),
            ':' if rest.starts_with("::") => {
                words.push("::".to_owned());
                2
            }
            _ if first.is_alphanumeric() || first == '_' => {
                let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                words.push(rest[..length].to_owned());
                length
            }
            _ => {
                if !first.is_whitespace() {
                    words.push(first.to_string());
                }
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    with_inline_modules(words)
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of a string that starts with a quote.
fn string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a literal with a prefix (`b"…"`, `r#"…"#`, `b'…'`); `None` if it is a word.
fn literal(text: &str) -> Option<usize> {
    let prefix = text.find(|c| !matches!(c, 'r' | 'b' | 'c')).filter(|length| *length <= 2)?;
    let (is_raw, body) = (text[..prefix].contains('r'), &text[prefix..]);
    if is_raw {
        let hashes = body.find(|c| c != '#')?;
        if !body[hashes..].starts_with('"') {
            return None;
        }
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = prefix + hashes + 1;
        return Some(text[inside..].find(&end).map_or(text.len(), |at| inside + at + end.len()));
    }
    match body.chars().next()? {
        '"' => Some(prefix + string(body)),
        '\'' => Some(prefix + character(body)),
        _ => None,
    }
}

/// The length of a character literal, or 1 for the quote of a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            text[escaped + 1..].find('\'').map_or(text.len(), |at| escaped + 1 + at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

fn with_inline_modules(words: Vec<String>) -> Vec<Token> {
    let (mut depth, mut modules) = (0_usize, Vec::new());
    let mut tokens: Vec<Token> = Vec::with_capacity(words.len());
    for text in words {
        match text.as_str() {
            "{" => {
                depth += 1;
                if tokens.len() >= 2 && tokens[tokens.len() - 2].text == "mod" {
                    modules.push(depth);
                }
            }
            "}" => {
                modules.retain(|module| *module != depth);
                depth = depth.saturating_sub(1);
            }
            _ => {}
        }
        tokens.push(Token { text, inline_modules: modules.len() });
    }
    tokens
}

fn is_word(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn paths(tokens: &[Token]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_word(&tokens[at]) && tokens.get(at + 1).is_some_and(|next| next.text == "::") {
            let start = Found { segments: Vec::new(), name: None, inline_modules: tokens[at].inline_modules };
            at = tree(tokens, at, start, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads a path or a `use` tree from `at`, below `above`; answers where it ends.
fn tree(tokens: &[Token], mut at: usize, above: Found, found: &mut Vec<Found>) -> usize {
    let mut path = above;
    loop {
        match tokens.get(at) {
            Some(token) if token.text == "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = match tokens[at].text.as_str() {
                        "," => at + 1,
                        _ => tree(tokens, at, path.clone(), found).max(at + 1),
                    };
                }
                return at + 1;
            }
            Some(token) if is_word(token) || token.text == "*" => {
                if token.text != "self" {
                    path.segments.push(token.text.clone());
                }
                at += 1;
            }
            _ => break,
        }
        match tokens.get(at) {
            Some(token) if token.text == "::" => at += 1,
            Some(token) if token.text == "as" => {
                path.name = tokens.get(at + 1).map(|token| token.text.clone());
                at += 2;
                break;
            }
            _ => break,
        }
    }
    if path.segments.len() > 1 {
        found.push(path);
    }
    at
}

/// The checker itself: what it must see, and what it must not take for an import.
mod checker {
    use super::*;

    fn violations(path: &str, text: &str) -> Vec<String> {
        check(Path::new(path), text)
    }

    #[test]
    fn an_import_against_the_direction_is_seen_in_every_spelling() {
        for text in [
            "use crate::net::Session;",
            "use crate::{model::Frame, net::{Session, ServerUrl}};",
            "fn f() { let url = crate::net::ServerUrl::default(); }",
            "use crate::model::Frame;\n#[cfg(test)] mod tests { use crate::net::Session; }",
            "use super::super::net::Session;",
            "use crate::*;",
            "use tokio::sync::mpsc;",
            "use std::{fmt, net::TcpStream};",
            "fn f() -> std::time::Instant { todo!() }",
            "use std::time::SystemTime;",
        ] {
            assert!(!violations("decode/row.rs", text).is_empty(), "{text}");
        }
        assert_eq!(violations("model/frame.rs", "use crate::error::Error;").len(), 1);
        assert_eq!(violations("net/session.rs", "use crate::decode::Decoder;").len(), 1);
        assert_eq!(violations("checks/mod.rs", "use crate::switchover::Phase;").len(), 1);
        assert_eq!(violations("checks/mod.rs", "use crate::apply::Applier;").len(), 1);
        assert_eq!(violations("switchover/driver.rs", "use crate::decode::Decoder;").len(), 1);
        assert_eq!(violations("watch/mod.rs", "use crate::pipeline::Replication;").len(), 1);
        assert_eq!(violations("source/dump.rs", "use mysql_async::Conn;").len(), 1);
        assert_eq!(violations("entropy.rs", "use super::error::Error;").len(), 1);
    }

    #[test]
    fn what_is_allowed_passes() {
        let text = r##"
            //! Like `crate::net::Session`.
            use super::row;
            use crate::error::{Error as Fault, Result};
            use crate::{ErrorKind, model::{self, Value}};
            use crate::decode::cursor::Cursor; /* crate::net /* crate::plan */ crate::apply */
            pub(in crate::decode) fn f<'a>(text: &'a str) -> char { let _ = "crate::net::X \" crate::net"; '"' }
            const RAW: &str = r#"use crate::net::Session; ""#;
            const QUOTES: [u8; 2] = [b'"', b'\''];
            mod tests { use super::super::row::Image; mod inner { use super::super::f; } }
        "##;
        assert_eq!(violations("decode/value/text.rs", text), Vec::<String>::new());
        assert_eq!(violations("checks/lag.rs", "use crate::apply::checkpoint::{self, Stream};"), Vec::<String>::new());
        assert_eq!(violations("error.rs", "mod tests { use super::Error; }"), Vec::<String>::new());
    }

    #[test]
    fn a_new_module_must_be_put_into_the_table() {
        for path in ["status.rs", "status/mod.rs"] {
            let found = violations(path, "");
            assert!(found[0].contains("add it to the table in tests/layering.rs"), "{found:?}");
        }
        let found = violations("apply/green.rs", "use crate::status::Status;");
        assert!(found[0].contains("no module in the table"), "{found:?}");
    }

    #[test]
    fn the_drivers_types_are_in_no_public_signature() {
        for text in [
            "use mysql_async::Conn; pub fn open() -> Result<Conn> { todo!() }",
            "use mysql_async::Conn as Driver; pub struct Session { pub name: Vec<String>, pub conn: Driver }",
            "pub use mysql_common::Value;",
            "pub struct Session(pub mysql_async::Conn);",
        ] {
            assert!(!violations("net/session.rs", text).is_empty(), "{text}");
        }
        for text in [
            "use mysql_async::Conn; pub(crate) fn open() -> Result<Conn> { todo!() }",
            "use mysql_async::Conn; pub struct Session { pub name: Vec<String>, conn: Conn }",
            "use mysql_async::Conn; pub fn open(name: &str) -> Result<Session> { Conn::new(name) }",
        ] {
            assert_eq!(violations("net/session.rs", text), Vec::<String>::new(), "{text}");
        }
    }
}
