//! What a statement is and which objects it makes, changes or drops.

use super::token::{Kind, Reading, Token, tokens};
use crate::model::TableName;

/// An object that a statement makes, changes or drops.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Object {
    /// A table, view or sequence: they share their names.
    Relation(TableName),
    /// A stored program: `PROCEDURE`, `FUNCTION`, `PACKAGE`, `PACKAGE BODY`; or a `LIBRARY`.
    Routine(&'static str, TableName),
    /// A scheduled event.
    Event(TableName),
    /// A trigger.
    Trigger(TableName),
    /// A schema.
    Schema(String),
    /// Accounts, roles and what they may do, all of them.
    Accounts,
}

impl Object {
    /// Whether it is the server's or this library's own. Rows of such tables are not replicated either.
    fn is_system(&self) -> bool {
        match self {
            Object::Relation(name) | Object::Routine(_, name) | Object::Event(name) | Object::Trigger(name) => {
                name.is_system()
            }
            Object::Schema(name) => TableName::new(name.as_str(), "").is_system(),
            Object::Accounts => false,
        }
    }
}

/// What is to be done with a statement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It leaves nothing behind that green could lack.
    Nothing,
    /// It changes rows and was logged as text.
    Data,
    /// It makes a trigger, whose effects are in blue's rows: a switchover makes blue's triggers on green.
    Trigger,
    /// It runs on green.
    Run(Run),
    /// It does not, for this reason.
    Stop(&'static str),
}

/// A statement for green.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Run {
    pub(super) objects: Vec<Object>,
    /// It drops them, and nothing else.
    pub(super) drops: bool,
    /// Its one object must be there, or there is nothing to do.
    pub(super) only_if_there: bool,
    /// It names several accounts.
    pub(super) is_list: bool,
    /// Texts to put in the place of these bytes, in order.
    pub(super) edits: Vec<(std::ops::Range<usize>, String)>,
}

const UNKNOWN: Class = Class::Stop("the statement is none that this version knows");
const INVOKER: Class = Class::Stop("the statement speaks of the account that runs it, which is another one on green");

/// Classifies a statement of the account `invoker`, where that matters to it. `disable` is how green is told that an event
/// shall not run.
pub(super) fn classify(
    sql: &[u8],
    schema: &str,
    reading: Reading,
    invoker: Option<&(String, String)>,
    disable: &'static str,
) -> Class {
    let Some(tokens) = tokens(sql, reading) else { return Class::Stop("the statement's text cannot be read") };
    let mut head = Head { sql, tokens: &tokens, at: 0, reading, schema, disable };
    let mut class = head.statement().unwrap_or(UNKNOWN);
    let Class::Run(run) = &mut class else { return class };
    if invoker.is_some() && head.names_invoker() {
        return INVOKER;
    }
    if let Some(place) = head.missing_definer(run) {
        let Some(definer) = invoker.and_then(definer) else { return INVOKER };
        run.edits.insert(0, (place..place, definer));
    }
    match run.objects.iter().filter(|object| object.is_system()).count() {
        0 => class,
        count if count == run.objects.len() => Class::Nothing,
        _ => Class::Stop("the statement mixes the server's own objects with others"),
    }
}

/// The clause that names the account, in letters that every character set has.
fn definer((user, host): &(String, String)) -> Option<String> {
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    (user.is_ascii() && host.is_ascii()).then(|| format!(" DEFINER={}@{} ", quoted(user), quoted(host)))
}

/// The tokens, read from the first on.
struct Head<'a> {
    sql: &'a [u8],
    tokens: &'a [Token],
    at: usize,
    reading: Reading,
    schema: &'a str,
    disable: &'static str,
}

fn run(objects: Vec<Object>) -> Class {
    Class::Run(Run { objects, ..Run::default() })
}

fn drops(objects: Vec<Object>) -> Class {
    Class::Run(Run { objects, drops: true, ..Run::default() })
}

impl Head<'_> {
    fn peek(&self) -> Option<Token> {
        self.tokens.get(self.at).copied()
    }

    fn is_word(&self, at: usize, word: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(self.sql, word))
    }

    /// Passes these words, if all of them come next.
    fn pass(&mut self, words: &str) -> bool {
        let count = words.split(' ').count();
        let found = words.split(' ').enumerate().all(|(index, word)| self.is_word(self.at + index, word));
        self.at += if found { count } else { 0 };
        found
    }

    /// Passes the first of these words that comes next.
    fn pass_any(&mut self, words: &[&'static str]) -> Option<&'static str> {
        words.iter().copied().find(|words| self.pass(words))
    }

    fn sign(&mut self, sign: u8) -> bool {
        let found = self.peek().is_some_and(|token| token.kind == Kind::Sign(sign));
        self.at += usize::from(found);
        found
    }

    fn is_end(&mut self) -> bool {
        while self.sign(b';') {}
        self.at >= self.tokens.len()
    }

    /// At the end, or nothing that could be told: then the statement is not known.
    fn at_end(&mut self, class: Class) -> Option<Class> {
        self.is_end().then_some(class)
    }

    fn single_name(&mut self) -> Option<String> {
        let name = self.peek()?.name(self.sql, self.reading.charset)?;
        self.at += 1;
        Some(name)
    }

    /// `name` or `schema.name`.
    fn name(&mut self) -> Option<TableName> {
        let first = self.single_name()?;
        match self.sign(b'.') {
            true => Some(TableName::new(first, self.single_name()?)),
            false if self.schema.is_empty() => None,
            false => Some(TableName::new(self.schema, first)),
        }
    }

    fn names(&mut self) -> Option<Vec<TableName>> {
        let mut names = vec![self.name()?];
        while self.sign(b',') {
            names.push(self.name()?);
        }
        Some(names)
    }

    /// `WAIT n`, `NOWAIT` (MariaDB).
    fn wait(&mut self) {
        if self.pass("WAIT") {
            self.at += 1;
        } else {
            self.pass("NOWAIT");
        }
    }

    /// The words behind here that stand in no parentheses.
    fn outer(&self) -> impl Iterator<Item = (usize, Token)> {
        let mut depth = 0usize;
        self.tokens.iter().copied().enumerate().skip(self.at).filter(move |(_, token)| {
            match token.kind {
                Kind::Sign(b'(') => depth += 1,
                Kind::Sign(b')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        })
    }

    /// The first of these words behind here that stands in no parentheses.
    fn find(&self, word: &str) -> Option<usize> {
        self.outer().find(|(_, token)| token.is(self.sql, word)).map(|(index, _)| index)
    }

    fn names_invoker(&self) -> bool {
        ["CURRENT_USER", "CURRENT_ROLE", "SESSION_USER"]
            .iter()
            .any(|word| self.tokens.iter().any(|token| token.is(self.sql, word)))
    }

    /// Where the clause belongs that names the account whose object it becomes: where there is none, it is the account
    /// that runs the statement. Blue's log has the clause for all statements but ALTER EVENT.
    fn missing_definer(&self, run: &Run) -> Option<usize> {
        let (is_create, is_alter) = (self.is_word(0, "CREATE"), self.is_word(0, "ALTER"));
        let has_definer = |object: &Object| match object {
            // A library belongs to nobody.
            Object::Routine(kind, _) => is_create && *kind != "LIBRARY",
            Object::Event(_) => is_create || is_alter,
            _ => false,
        };
        if !run.objects.iter().any(has_definer) || self.tokens.iter().any(|token| token.is(self.sql, "DEFINER")) {
            return None;
        }
        let verb = if self.is_word(1, "OR") { 2 } else { 0 };
        self.tokens.get(verb).map(|token| token.end)
    }

    fn statement(&mut self) -> Option<Class> {
        if self.pass("SET STATEMENT") {
            return self.set_statement();
        }
        let verbs = [
            "CREATE",
            "ALTER",
            "DROP",
            "RENAME",
            "TRUNCATE",
            "GRANT",
            "REVOKE",
            "SET PASSWORD",
            "SET DEFAULT ROLE",
            "ANALYZE",
            "OPTIMIZE",
            "CHECK",
            "REPAIR",
            "FLUSH",
            "INSERT",
            "UPDATE",
            "DELETE",
            "REPLACE",
            "LOAD",
            "WITH",
            "CALL",
            "DO",
            "SELECT",
        ];
        match self.pass_any(&verbs)? {
            "CREATE" => self.create(),
            "ALTER" => self.alter(),
            "DROP" => self.drop(),
            "RENAME" => self.rename(),
            "TRUNCATE" => {
                self.pass("TABLE");
                let name = self.name()?;
                self.wait();
                self.at_end(run(vec![Object::Relation(name)]))
            }
            "GRANT" | "REVOKE" | "SET PASSWORD" | "SET DEFAULT ROLE" => Some(self.accounts(false)),
            // Statistics, the order of pages, caches: nothing that a query answers.
            "ANALYZE" | "OPTIMIZE" | "CHECK" | "REPAIR" => {
                let _ = self.pass("NO_WRITE_TO_BINLOG") || self.pass("LOCAL");
                (self.pass("TABLE") || self.pass("TABLES")).then_some(Class::Nothing)
            }
            "FLUSH" => Some(Class::Nothing),
            _ => Some(Class::Data),
        }
    }

    /// MariaDB: settings for this one statement, which stays behind them.
    fn set_statement(&mut self) -> Option<Class> {
        let end = self.find("FOR")?;
        // These two change how the text behind them is read.
        let rereads = self
            .tokens
            .get(self.at..end)?
            .iter()
            .any(|token| ["sql_mode", "character_set_client"].iter().any(|word| token.is(self.sql, word)));
        self.at = end + 1;
        match rereads {
            true => Some(Class::Stop("the statement sets for itself how its text is read")),
            false => self.statement(),
        }
    }

    fn create(&mut self) -> Option<Class> {
        self.pass("OR REPLACE");
        loop {
            if self.pass("DEFINER") {
                self.sign(b'=');
                self.account()?;
            } else if self.pass("ALGORITHM") {
                self.sign(b'=');
                self.at += 1;
            } else if !(self.pass("SQL SECURITY DEFINER")
                || self.pass("SQL SECURITY INVOKER")
                || self.pass("AGGREGATE"))
            {
                break;
            }
        }
        let what = self.pass_any(&[
            "TEMPORARY TABLE",
            "TEMPORARY SEQUENCE",
            "TABLE",
            "DATABASE",
            "SCHEMA",
            "VIEW",
            "PROCEDURE",
            "FUNCTION",
            "PACKAGE BODY",
            "PACKAGE",
            "LIBRARY",
            "TRIGGER",
            "EVENT",
            "SEQUENCE",
            "INDEX",
            "UNIQUE INDEX",
            "FULLTEXT INDEX",
            "SPATIAL INDEX",
            "VECTOR INDEX",
            "USER",
            "ROLE",
        ])?;
        if matches!(what, "USER" | "ROLE") {
            return Some(self.accounts(true));
        }
        if what == "TRIGGER" {
            return Some(Class::Trigger);
        }
        self.pass("IF NOT EXISTS");
        match what {
            "TEMPORARY TABLE" | "TEMPORARY SEQUENCE" => Some(Class::Nothing),
            "TABLE" => self.create_table(),
            "DATABASE" | "SCHEMA" => Some(run(vec![Object::Schema(self.single_name()?)])),
            "VIEW" | "SEQUENCE" => Some(run(vec![Object::Relation(self.name()?)])),
            "EVENT" => self.create_event(),
            "PROCEDURE" | "FUNCTION" | "PACKAGE BODY" | "PACKAGE" | "LIBRARY" => {
                // A loadable function has no schema.
                if what == "FUNCTION" && self.find("SONAME").is_some() {
                    return None;
                }
                Some(run(vec![Object::Routine(what, self.name()?)]))
            }
            _ => {
                self.single_name()?;
                let table = self.find("ON")?;
                self.at = table + 1;
                Some(run(vec![Object::Relation(self.name()?)]))
            }
        }
    }

    fn create_table(&mut self) -> Option<Class> {
        let name = self.name()?;
        // A query that fills the table: the log in row format has the columns and the rows instead.
        let is_query = |token: &Token| token.is(self.sql, "SELECT");
        let table_query = self.outer().any(|(_, token)| token.is(self.sql, "TABLE"));
        if self.tokens.iter().skip(self.at).any(is_query) || table_query {
            return Some(Class::Data);
        }
        let mut edits = Vec::new();
        // The rows follow in the same transaction, and come here in the engine's.
        if let [.., start, transaction] = self.tokens
            && start.is(self.sql, "START")
            && transaction.is(self.sql, "TRANSACTION")
        {
            edits.push((start.start..transaction.end, String::new()));
        }
        Some(Class::Run(Run { objects: vec![Object::Relation(name)], edits, ..Run::default() }))
    }

    fn create_event(&mut self) -> Option<Class> {
        let name = self.name()?;
        self.pass("ON SCHEDULE").then_some(())?;
        let body = self.find("DO")?;
        let edits = match self.event_status(body) {
            Some((range, is_enabled)) => is_enabled.then(|| (range, self.disable.to_owned())),
            None => {
                let place = self.find("COMMENT").filter(|comment| *comment < body).unwrap_or(body);
                let at = self.tokens.get(place)?.start;
                Some((at..at, self.disable.to_owned()))
            }
        };
        let edits = edits.into_iter().collect();
        Some(Class::Run(Run { objects: vec![Object::Event(name)], edits, ..Run::default() }))
    }

    fn alter_event(&mut self) -> Option<Class> {
        let name = self.name()?;
        let body = self.find("DO").unwrap_or(self.tokens.len());
        let mut objects = vec![Object::Event(name)];
        let edits = self
            .event_status(body)
            .filter(|(_, is_enabled)| *is_enabled)
            .map(|(range, _)| (range, self.disable.to_owned()));
        if let Some(rename) = self.find("RENAME").filter(|rename| *rename < body) {
            self.at = rename + 1;
            self.pass("TO").then_some(())?;
            objects.push(Object::Event(self.name()?));
        }
        Some(Class::Run(Run { objects, edits: edits.into_iter().collect(), ..Run::default() }))
    }

    /// ENABLE or DISABLE in front of an event's body: where, and whether it lets the event run.
    fn event_status(&self, body: usize) -> Option<(std::ops::Range<usize>, bool)> {
        self.outer().take_while(|(index, _)| *index < body).find_map(|(_, token)| {
            let is_enabled = token.is(self.sql, "ENABLE");
            (is_enabled || token.is(self.sql, "DISABLE")).then_some((token.start..token.end, is_enabled))
        })
    }

    fn alter(&mut self) -> Option<Class> {
        let _ = self.pass("ONLINE") || self.pass("OFFLINE");
        self.pass("IGNORE");
        loop {
            if self.pass("DEFINER") {
                self.sign(b'=');
                self.account()?;
            } else if self.pass("ALGORITHM") {
                self.sign(b'=');
                self.at += 1;
            } else if !(self.pass("SQL SECURITY DEFINER") || self.pass("SQL SECURITY INVOKER")) {
                break;
            }
        }
        let what = self.pass_any(&[
            "TABLE",
            "DATABASE",
            "SCHEMA",
            "VIEW",
            "PROCEDURE",
            "FUNCTION",
            "PACKAGE BODY",
            "PACKAGE",
            "LIBRARY",
            "EVENT",
            "SEQUENCE",
            "USER",
            "ROLE",
        ])?;
        if what == "USER" {
            return Some(self.accounts(true));
        }
        self.pass("IF EXISTS");
        match what {
            "TABLE" => self.alter_table(),
            "DATABASE" | "SCHEMA" => self.alter_schema(),
            "VIEW" | "SEQUENCE" => Some(run(vec![Object::Relation(self.name()?)])),
            "EVENT" => self.alter_event(),
            "ROLE" => None,
            _ => Some(run(vec![Object::Routine(what, self.name()?)])),
        }
    }

    /// The schema's name may be left out: the default schema is meant.
    fn alter_schema(&mut self) -> Option<Class> {
        let is_option = |head: &Self, at| {
            ["DEFAULT", "CHARACTER", "CHARSET", "COLLATE", "COMMENT", "ENCRYPTION", "READ"]
                .iter()
                .any(|word| head.is_word(at, word))
        };
        let name = match is_option(self, self.at) && self.at + 1 < self.tokens.len() && !is_option(self, self.at + 1) {
            true if !self.schema.is_empty() => self.schema.to_owned(),
            true => return None,
            false if is_option(self, self.at) && !self.schema.is_empty() => self.schema.to_owned(),
            false => self.single_name()?,
        };
        if self.pass("UPGRADE") {
            return None;
        }
        Some(run(vec![Object::Schema(name)]))
    }

    fn alter_table(&mut self) -> Option<Class> {
        let mut objects = vec![Object::Relation(self.name()?)];
        self.wait();
        // Each change starts behind the name or a comma.
        let mut starts = vec![self.at];
        starts.extend(self.outer().filter(|(_, token)| token.kind == Kind::Sign(b',')).map(|(index, _)| index + 1));
        for start in starts {
            self.at = start;
            if self.pass("RENAME") {
                if ["COLUMN", "INDEX", "KEY"].iter().any(|word| self.is_word(self.at, word)) {
                    continue;
                }
                let _ = self.pass("TO") || self.pass("AS") || self.sign(b'=');
                objects.push(Object::Relation(self.name()?));
            } else if self.pass("EXCHANGE PARTITION") || self.pass("CONVERT PARTITION") {
                self.single_name()?;
                (self.pass("WITH TABLE") || self.pass("TO TABLE")).then_some(())?;
                objects.push(Object::Relation(self.name()?));
            } else if self.pass("CONVERT TABLE") {
                objects.push(Object::Relation(self.name()?));
            } else if (self.pass("DISCARD") || self.pass("IMPORT")) && self.find("TABLESPACE").is_some() {
                return Some(Class::Stop(
                    "the statement takes a table's file from the server's disk, or puts it there",
                ));
            }
        }
        Some(run(objects))
    }

    fn drop(&mut self) -> Option<Class> {
        let what = self.pass_any(&[
            "TEMPORARY TABLE",
            "TEMPORARY TABLES",
            "TEMPORARY SEQUENCE",
            "TABLE",
            "TABLES",
            "DATABASE",
            "SCHEMA",
            "VIEW",
            "PROCEDURE",
            "FUNCTION",
            "PACKAGE BODY",
            "PACKAGE",
            "LIBRARY",
            "TRIGGER",
            "EVENT",
            "SEQUENCE",
            "INDEX",
            "USER",
            "ROLE",
        ])?;
        if matches!(what, "USER" | "ROLE") {
            return Some(self.accounts(true));
        }
        self.pass("IF EXISTS");
        match what {
            "TEMPORARY TABLE" | "TEMPORARY TABLES" | "TEMPORARY SEQUENCE" => Some(Class::Nothing),
            "TABLE" | "TABLES" | "VIEW" | "SEQUENCE" => {
                let names = self.names()?;
                self.wait();
                let _ = self.pass("RESTRICT") || self.pass("CASCADE");
                self.at_end(drops(names.into_iter().map(Object::Relation).collect()))
            }
            "DATABASE" | "SCHEMA" => {
                let name = self.single_name()?;
                self.at_end(drops(vec![Object::Schema(name)]))
            }
            "INDEX" => {
                self.single_name()?;
                self.pass("ON").then_some(())?;
                Some(run(vec![Object::Relation(self.name()?)]))
            }
            "TRIGGER" => {
                let objects = vec![Object::Trigger(self.name()?)];
                // Triggers are not made on green, so there may be none to drop.
                self.at_end(Class::Run(Run { objects, drops: true, only_if_there: true, ..Run::default() }))
            }
            "EVENT" => {
                let name = self.name()?;
                self.at_end(drops(vec![Object::Event(name)]))
            }
            _ => {
                let name = self.name()?;
                self.at_end(drops(vec![Object::Routine(what, name)]))
            }
        }
    }

    fn rename(&mut self) -> Option<Class> {
        if self.pass("USER") {
            return Some(self.accounts(true));
        }
        (self.pass("TABLE") || self.pass("TABLES")).then_some(())?;
        self.pass("IF EXISTS");
        let mut objects = Vec::new();
        loop {
            let from = self.name()?;
            self.wait();
            self.pass("TO").then_some(())?;
            let to = self.name()?;
            for object in [Object::Relation(from), Object::Relation(to)] {
                if !objects.contains(&object) {
                    objects.push(object);
                }
            }
            if !self.sign(b',') {
                return self.at_end(run(objects));
            }
        }
    }

    /// `user`, `user@host` or `CURRENT_USER`, with or without parentheses.
    fn account(&mut self) -> Option<()> {
        let is_name = |token: &Token| matches!(token.kind, Kind::Word | Kind::Name | Kind::Text);
        self.peek().filter(is_name)?;
        self.at += 1;
        if self.sign(b'@') {
            self.peek().filter(is_name)?;
            self.at += 1;
            // A host without quotes may have dots.
            while self.sign(b'.') {
                self.at += 1;
            }
        } else if self.sign(b'(') {
            self.sign(b')').then_some(())?;
        }
        Some(())
    }

    fn accounts(&self, counts: bool) -> Class {
        let is_list = counts && self.outer().any(|(_, token)| token.kind == Kind::Sign(b','));
        Class::Run(Run { objects: vec![Object::Accounts], is_list, ..Run::default() })
    }
}
