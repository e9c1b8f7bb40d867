//! Is green still what blue is, but for its rows? Schemas, accounts and settings of both, compared.
//!
//! Row changes and most statements are replicated; what is changed by hand, by a setting or behind the log drifts, and
//! shows only once green is production. What is meant to differ is not drift: see [`Intended`].

mod accounts;
mod schema;
mod settings;

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, Verdict, named};
use crate::deployment;
use crate::error::Result;
use crate::model::TableName;
use crate::net::{Server, ServerUrl, Session};

/// Differences that are meant.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Intended {
    /// Settings that green has a value of its own for, by name in small letters.
    pub settings: BTreeSet<String>,
    /// Tables that are not compared, beside those that green has a record of as its own (`keep_green`).
    pub tables: BTreeSet<TableName>,
}

impl Intended {
    /// These tables, and nothing else.
    #[must_use]
    pub fn of_tables(tables: BTreeSet<TableName>) -> Intended {
        Intended { tables, ..Intended::default() }
    }
}

/// Compares the definitions on both servers: a check each of schemas, accounts and settings. Reads both catalogues, which
/// costs servers with many thousand tables seconds: once a minute is often enough.
pub async fn drift(blue: &ServerUrl, green: &ServerUrl, intended: &Intended) -> Vec<Check> {
    match open(blue, green).await {
        Ok((mut blue, mut green)) => {
            let checks = measure((&blue.0, &mut blue.1), (&green.0, &mut green.1), intended).await;
            blue.1.close().await;
            green.1.close().await;
            checks
        }
        Err(error) => [schema::NAME, accounts::NAME, settings::NAME].map(|name| Check::unknown(name, &error)).into(),
    }
}

async fn open(blue: &ServerUrl, green: &ServerUrl) -> Result<((Server, Session), (Server, Session))> {
    let (mut blue, mut green) = (Session::open(blue).await?, Session::open(green).await?);
    let (blue_server, green_server) = (Server::probe(&mut blue).await?, Server::probe(&mut green).await?);
    Ok(((blue_server, blue), (green_server, green)))
}

/// The same over sessions that are open.
pub(crate) async fn measure(
    blue: (&Server, &mut Session),
    green: (&Server, &mut Session),
    intended: &Intended,
) -> Vec<Check> {
    let schema = match deployment::kept_tables(green.1).await {
        Ok(kept) => schema::check(blue.1, green.1, &kept.union(&intended.tables).cloned().collect()).await,
        Err(error) => Check::unknown(schema::NAME, &error),
    };
    let accounts = accounts::check((blue.0, &mut *blue.1), (green.0, &mut *green.1)).await;
    let settings = settings::check(blue.1, green.1, &intended.settings).await;
    vec![schema, accounts, settings]
}

/// How the servers' settings differ that applications or operators notice, but for some.
pub(crate) async fn settings_drift(blue: &mut Session, green: &mut Session, but: &BTreeSet<String>) -> Check {
    settings::check(blue, green, but).await
}

/// Things by name, and what each is like.
type Facts = BTreeMap<String, String>;

/// How the facts of the two servers differ.
#[derive(Debug, Default, PartialEq, Eq)]
struct Differences {
    missing: Vec<String>,
    different: Vec<String>,
    extra: Vec<String>,
}

impl Differences {
    fn between(blue: &Facts, green: &Facts) -> Differences {
        let mut found = Differences::default();
        for (name, fact) in blue {
            match green.get(name) {
                None => found.missing.push(name.clone()),
                Some(other) if other != fact => found.different.push(name.clone()),
                Some(_) => {}
            }
        }
        found.extra.extend(green.keys().filter(|name| !blue.contains_key(*name)).cloned());
        found
    }

    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.different.is_empty() && self.extra.is_empty()
    }

    /// The check; `advice` where something differs.
    fn check(&self, name: &'static str, what: &str, verdict: Verdict, advice: &'static str) -> Check {
        if self.is_empty() {
            return Check::new(name, Verdict::Pass, format!("{what} are the same on both"));
        }
        let parts = [("not on green", &self.missing), ("different", &self.different), ("only on green", &self.extra)];
        let told: Vec<String> = parts
            .into_iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(how, names)| format!("{how}: {}", named(names)))
            .collect();
        Check::new(name, verdict, told.join("; ")).with_advice(advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(list: &[(&str, &str)]) -> Facts {
        list.iter().map(|(name, fact)| ((*name).to_owned(), (*fact).to_owned())).collect()
    }

    #[test]
    fn differences_are_named_and_counted() {
        let blue = facts(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let found = Differences::between(&blue, &facts(&[("a", "1"), ("b", "2"), ("d", "1")]));
        let check = found.check("x", "things", Verdict::Warn, "mend it");
        assert_eq!(check.evidence, "not on green: c; different: b; only on green: d");
        assert_eq!((check.verdict, check.advice.as_deref()), (Verdict::Warn, Some("mend it")));
        let many: Vec<String> = (0..8).map(|number| format!("t{number}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
        let check = Differences::between(&facts(&many), &Facts::new()).check("x", "things", Verdict::Fail, "");
        assert_eq!(check.evidence, "not on green: t0, t1, t2, t3, t4 and 3 more");
        assert_eq!(Differences::between(&blue, &blue).check("x", "things", Verdict::Fail, "").verdict, Verdict::Pass);
    }
}
