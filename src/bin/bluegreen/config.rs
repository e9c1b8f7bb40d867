//! `bluegreen.toml`, joined with the command line and the environment, which come first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bluegreen::apply::Policy;
use bluegreen::model::TableName;
use bluegreen::net::ServerUrl;
use bluegreen::{Error, ErrorKind, Result};
use serde::Deserialize;

use crate::arguments::{self, ConflictPolicy, Servers};
use crate::{not_yet, output};

/// Everything that describes a deployment, checked.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    blue: Option<ServerUrl>,
    green: Option<ServerUrl>,
    /// Where `run` answers the other verbs.
    pub(crate) control: Option<PathBuf>,
    /// How applications are led to production; `None`: they find it by themselves.
    pub(crate) endpoint: Option<EndpointKind>,
    /// Where `run` and `replicate` serve their metrics.
    pub(crate) metrics: Option<SocketAddr>,
    /// What becomes of blue's change of a row that somebody else wrote on green.
    pub(crate) conflicts: Policy,
    /// Tables that are green's own; `None`: as they are.
    pub(crate) keep_green: Option<BTreeSet<TableName>>,
    /// Variables that green has a value of its own for.
    pub(crate) green_variables: BTreeMap<String, String>,
    /// Whether `run` compares rows all the time.
    pub(crate) verifies: bool,
    /// How many lanes `run` and `replicate` write to green with.
    pub(crate) lanes: Option<usize>,
}

/// What leads applications to production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EndpointKind {
    Builtin(BuiltinEndpoint),
    HaProxy(HaProxyEndpoint),
    Command(CommandEndpoint),
}

/// The addresses of the built-in endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuiltinEndpoint {
    /// Always the production.
    pub(crate) listen: String,
    /// The other server.
    pub(crate) old: Option<String>,
}

/// An HAProxy that leads to one of two servers of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HaProxyEndpoint {
    /// Its Runtime API: a path, or `host:port`.
    pub(crate) socket: String,
    pub(crate) backend: String,
    /// The servers' names.
    #[serde(default = "blue_name")]
    pub(crate) blue: String,
    #[serde(default = "green_name")]
    pub(crate) green: String,
    /// The servers' own limit of sessions; 0: none.
    #[serde(default)]
    pub(crate) maxconn: u32,
}

/// A program that is run for each action.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandEndpoint {
    /// The program and its arguments.
    pub(crate) command: Vec<String>,
    /// Seconds that an action may take.
    #[serde(default = "command_seconds")]
    pub(crate) timeout: u64,
}

fn blue_name() -> String {
    "blue".into()
}

fn green_name() -> String {
    "green".into()
}

fn command_seconds() -> u64 {
    30
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Document {
    name: Option<String>,
    blue: Blue,
    green: Green,
    tables: toml::Table,
    control: Control,
    metrics: Option<Metrics>,
    replication: Replication,
    endpoint: Option<toml::Table>,
    conflicts: Conflicts,
    verify: Verify,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Verify {
    continuous: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Conflicts {
    policy: Option<ConflictPolicy>,
    keep_green: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Blue {
    url: Option<String>,
    replicas: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Green {
    url: Option<String>,
    replicas: Vec<String>,
    variables: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Control {
    socket: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Replication {
    lanes: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metrics {
    listen: SocketAddr,
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message.into())
}

impl Settings {
    /// Reads the file, if one is given, and puts the command line's servers over its own.
    pub(crate) fn read(file: Option<&Path>, servers: &Servers) -> Result<Settings> {
        let mut settings = match file {
            None => Settings::default(),
            Some(file) => {
                let name = file.display();
                let text = std::fs::read_to_string(file)
                    .map_err(|error| wrong(format!("{name} cannot be read: {error}")).with_advice("check --config"))?;
                let mut settings = Settings::parse(&text, &name.to_string())?;
                // Verbs that are started elsewhere find the same socket.
                let folder = file.parent().unwrap_or(Path::new(""));
                settings.control = settings.control.map(|socket| folder.join(socket));
                settings
            }
        };
        let given = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(str::parse).transpose();
        settings.blue = given(&servers.blue)?.or(settings.blue);
        settings.green = given(&servers.green)?.or(settings.green);
        Ok(settings)
    }

    fn parse(text: &str, name: &str) -> Result<Settings> {
        let document: Document = toml::from_str(text).map_err(|error| {
            // The parser's whole report shows the line itself, which may hold a password.
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let message = output::without_urls(error.message()).replace('\n', " ");
            wrong(format!("{name}, line {line}: {message}")).with_advice("correct the config file")
        })?;
        let lacks = |is_there: bool, what: &str| match is_there {
            true => Err(not_yet(&format!("{name}: {what}"))),
            false => Ok(()),
        };
        lacks(!document.blue.replicas.is_empty(), "`blue.replicas`")?;
        lacks(!document.green.replicas.is_empty(), "`green.replicas`")?;
        lacks(!document.tables.is_empty(), "`[tables]`")?;
        let url = |text: Option<String>, key: &str| match text.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => text.parse::<ServerUrl>().map(Some).map_err(|error| {
                wrong(format!("{name}: `{key}`: {}", error.message()))
                    .with_advice(error.advice().unwrap_or("").to_owned())
            }),
        };
        let endpoint = document.endpoint.map(|endpoint| Settings::endpoint(endpoint, name)).transpose()?.flatten();
        Ok(Settings {
            name: document.name,
            blue: url(document.blue.url, "blue.url")?,
            green: url(document.green.url, "green.url")?,
            control: document.control.socket,
            endpoint,
            metrics: document.metrics.map(|metrics| metrics.listen),
            conflicts: document.conflicts.policy.map(Policy::from).unwrap_or_default(),
            keep_green: document.conflicts.keep_green.map(|tables| Settings::tables(&tables, name)).transpose()?,
            green_variables: Settings::variables(document.green.variables, name)?,
            verifies: document.verify.continuous.unwrap_or(true),
            lanes: document.replication.lanes,
        })
    }

    /// Values as a server prints them.
    fn variables(variables: BTreeMap<String, toml::Value>, file: &str) -> Result<BTreeMap<String, String>> {
        let text = |(name, value): (String, toml::Value)| match value {
            toml::Value::String(text) => Ok((name, text)),
            toml::Value::Integer(number) => Ok((name, number.to_string())),
            toml::Value::Float(number) => Ok((name, number.to_string())),
            toml::Value::Boolean(is_on) => Ok((name, if is_on { "ON" } else { "OFF" }.to_owned())),
            _ => Err(wrong(format!("{file}: `green.variables.{name}` is neither text, a number, nor true or false"))),
        };
        variables.into_iter().map(text).collect()
    }

    fn tables(names: &[String], file: &str) -> Result<BTreeSet<TableName>> {
        let table = |text: &String| {
            arguments::table(text).map_err(|why| wrong(format!("{file}: `{text}` names no table")).with_advice(why))
        };
        names.iter().map(table).collect()
    }

    fn endpoint(mut table: toml::Table, file: &str) -> Result<Option<EndpointKind>> {
        const KINDS: &str = "kind is builtin, haproxy, command or none";
        fn of_kind<T: serde::de::DeserializeOwned>(table: toml::Table, file: &str, advice: &str) -> Result<T> {
            T::deserialize(table).map_err(|error: toml::de::Error| {
                // It may quote a value.
                let message = output::without_urls(error.message()).replace('\n', " ");
                wrong(format!("{file}: `[endpoint]`: {message}")).with_advice(advice.to_owned())
            })
        }
        let kind = match table.remove("kind") {
            Some(toml::Value::String(kind)) => kind,
            _ => return Err(wrong(format!("{file}: `[endpoint]` does not say of which kind it is")).with_advice(KINDS)),
        };
        let endpoint = match kind.as_str() {
            "builtin" => EndpointKind::Builtin(of_kind(
                table,
                file,
                "write listen = \"127.0.0.1:3300\" and, for the other server, old = \"127.0.0.1:3301\"",
            )?),
            "haproxy" => EndpointKind::HaProxy(of_kind(
                table,
                file,
                "write socket and backend, and, where they are not called so, the servers' names blue and green; maxconn",
            )?),
            "command" => {
                let endpoint: CommandEndpoint = of_kind(
                    table,
                    file,
                    "write command = [\"PROGRAM\", \"ARGUMENT\"] and, if need be, timeout = SECONDS",
                )?;
                if endpoint.command.is_empty() || endpoint.timeout == 0 {
                    return Err(wrong(format!("{file}: `[endpoint]` has an empty command or no time for it"))
                        .with_advice("write command = [\"PROGRAM\", \"ARGUMENT\"]"));
                }
                EndpointKind::Command(endpoint)
            }
            "none" => match table.keys().next() {
                None => return Ok(None),
                Some(key) => {
                    return Err(wrong(format!("{file}: `[endpoint]` of kind `none` has a key `{key}`"))
                        .with_advice("leave it out"));
                }
            },
            _ => return Err(wrong(format!("{file}: there is no endpoint of that kind")).with_advice(KINDS)),
        };
        Ok(Some(endpoint))
    }

    /// Production's URL.
    pub(crate) fn blue(&self) -> Result<ServerUrl> {
        self.blue.clone().ok_or_else(|| {
            wrong("no URL of blue is given").with_advice("give --blue, BLUEGREEN_BLUE or `url` in [blue] of --config")
        })
    }

    /// The replacement's URL.
    pub(crate) fn green(&self) -> Result<ServerUrl> {
        self.green.clone().ok_or_else(|| {
            wrong("no URL of green is given")
                .with_advice("give --green, BLUEGREEN_GREEN or `url` in [green] of --config")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = Settings::parse(text, "b.toml").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        let line = error.to_string();
        assert!(!line.contains('\n') && !line.contains("s3cret"), "{line}");
        line
    }

    #[test]
    fn the_whole_file_of_this_version_is_read() {
        let settings = Settings::parse(
            r#"
            name = "mydb1"
            [blue]
            url = "mysql://u:p@blue:3306"
            replicas = []
            [green]
            url = "mysql://u:p@green:3306"
            [tables]
            [verify]
            continuous = true
            [conflicts]
            policy = "stop"
            keep_green = ["shop.scratch"]
            [control]
            socket = "bluegreen.sock"
            [replication]
            lanes = 4
            [endpoint]
            kind = "builtin"
            listen = "127.0.0.1:3300"
            old = "127.0.0.1:3301"
            "#,
            "b.toml",
        )
        .unwrap();
        assert_eq!(settings.name.as_deref(), Some("mydb1"));
        assert_eq!(settings.blue().unwrap().address(), "blue:3306");
        assert_eq!(settings.lanes, Some(4));
        let builtin = BuiltinEndpoint { listen: "127.0.0.1:3300".into(), old: Some("127.0.0.1:3301".into()) };
        assert_eq!(settings.endpoint, Some(EndpointKind::Builtin(builtin)));
    }

    #[test]
    fn what_is_not_known_is_refused_by_name_and_line() {
        let line = refused("name = \"x\"\n[blue]\nurll = \"mysql://u:s3cret@h\"\n");
        assert!(line.contains("line 3") && line.contains("urll"), "{line}");
        assert!(refused("blue = \"mysql://u:s3cret@h\"").contains("line 1"));
        assert!(refused("[endpoint]\nkind = \"builtin\"\nlisten = \"a:1\"\nport = 3").contains("port"));
        refused("[endpoint]\nkind = \"magic\"");
        refused("[metrics]\nlisten = \"nowhere\"");
        refused("[endpoint]\nkind = \"builtin\"");
        refused("[blue]\nurl = \"mysql://u:s3cret@h/schema\"");
        refused("name = ");
    }

    #[test]
    fn endpoints_of_every_kind() {
        let of = |text: &str| Settings::parse(&format!("[endpoint]\n{text}"), "x").unwrap().endpoint;
        assert_eq!(of("kind = \"none\""), None);
        let haproxy = of("kind = \"haproxy\"\nsocket = \"/run/h.sock\"\nbackend = \"db\"\ngreen = \"g1\"");
        let Some(EndpointKind::HaProxy(haproxy)) = haproxy else { panic!("{haproxy:?}") };
        assert_eq!((haproxy.blue.as_str(), haproxy.green.as_str(), haproxy.maxconn), ("blue", "g1", 0));
        let command = of("kind = \"command\"\ncommand = [\"./switch\", \"-v\"]\ntimeout = 5");
        let Some(EndpointKind::Command(command)) = command else { panic!("{command:?}") };
        assert_eq!((command.command.len(), command.timeout), (2, 5));
        for text in [
            "kind = \"none\"\nlisten = \"x:1\"",
            "listen = \"x:1\"",
            "kind = \"haproxy\"\nsocket = \"s\"",
            "kind = \"command\"\ncommand = []",
            "kind = \"command\"\ncommand = [\"x\"]\ntimeout = 0",
            "kind = \"command\"\ncommand = [\"x\"]\nlisten = \"x:1\"",
        ] {
            refused(&format!("[endpoint]\n{text}"));
        }
    }

    #[test]
    fn greens_variables_are_read_as_a_server_prints_them() {
        let text = "[green.variables]\nmax_connections = 500\nlocal_infile = true\nsql_mode = \"\"";
        let variables = Settings::parse(text, "x").unwrap().green_variables;
        let of = |name: &str| variables.get(name).map(String::as_str);
        assert_eq!([of("max_connections"), of("local_infile"), of("sql_mode")], [Some("500"), Some("ON"), Some("")]);
        assert!(refused("[green.variables]\na = [1]").contains("green.variables.a"));
    }

    #[test]
    fn what_this_version_lacks_is_refused_by_name() {
        for (text, what) in [
            ("[blue]\nreplicas = [\"mysql://u:s3cret@h\"]", "blue.replicas"),
            ("[green]\nreplicas = [\"mysql://u:s3cret@h\"]", "green.replicas"),
            ("[tables]\ninclude = [\"a.b\"]", "[tables]"),
        ] {
            let line = refused(text);
            assert!(line.contains(what) && line.contains("not in this version yet"), "{line}");
        }
    }

    #[test]
    fn the_command_line_comes_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("b.toml");
        std::fs::write(&file, "[blue]\nurl = \"mysql://u@file\"\n[control]\nsocket = \"c.sock\"").unwrap();
        let servers = Servers { blue: Some("mysql://u@line".into()), green: Some(String::new()) };
        let settings = Settings::read(Some(&file), &servers).unwrap();
        assert_eq!(settings.blue().unwrap().host(), "line");
        assert_eq!(settings.green().unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(settings.control, Some(folder.path().join("c.sock")));
        let settings = Settings::read(Some(&file), &Servers::default()).unwrap();
        assert_eq!(settings.blue().unwrap().host(), "file");
    }
}
