//! `bluegreen.toml`, joined with the command line and the environment, which come first.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bluegreen::net::ServerUrl;
use bluegreen::{Error, ErrorKind, Result};
use serde::Deserialize;

use crate::arguments::Servers;
use crate::{not_yet, output};

/// Everything that describes a deployment, checked.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    blue: Option<ServerUrl>,
    green: Option<ServerUrl>,
    /// Where `run` answers the other verbs.
    pub(crate) control: Option<PathBuf>,
    pub(crate) endpoint: Option<BuiltinEndpoint>,
    /// Where `run` and `replicate` serve their metrics.
    pub(crate) metrics: Option<SocketAddr>,
}

/// The addresses of the built-in endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuiltinEndpoint {
    /// Always the production.
    pub(crate) listen: String,
    /// The other server.
    pub(crate) old: Option<String>,
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
    endpoint: Option<Endpoint>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metrics {
    listen: SocketAddr,
}

#[derive(Deserialize)]
struct Endpoint {
    kind: EndpointKind,
    listen: Option<String>,
    old: Option<String>,
    /// What the kinds of later versions have; the file is refused by their names.
    #[serde(flatten)]
    rest: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum EndpointKind {
    Builtin,
    Haproxy,
    Command,
    None,
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
        lacks(!document.green.variables.is_empty(), "`green.variables`")?;
        lacks(!document.tables.is_empty(), "`[tables]`")?;
        let url = |text: Option<String>, key: &str| match text.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => text.parse::<ServerUrl>().map(Some).map_err(|error| {
                wrong(format!("{name}: `{key}`: {}", error.message()))
                    .with_advice(error.advice().unwrap_or("").to_owned())
            }),
        };
        let endpoint = match document.endpoint {
            None => None,
            Some(endpoint) => Settings::endpoint(endpoint, name)?,
        };
        Ok(Settings {
            name: document.name,
            blue: url(document.blue.url, "blue.url")?,
            green: url(document.green.url, "green.url")?,
            control: document.control.socket,
            endpoint,
            metrics: document.metrics.map(|metrics| metrics.listen),
        })
    }

    fn endpoint(endpoint: Endpoint, name: &str) -> Result<Option<BuiltinEndpoint>> {
        match endpoint.kind {
            EndpointKind::Haproxy => return Err(not_yet(&format!("{name}: the endpoint of kind `haproxy`"))),
            EndpointKind::Command => return Err(not_yet(&format!("{name}: the endpoint of kind `command`"))),
            EndpointKind::Builtin | EndpointKind::None => {}
        }
        if let Some(key) = endpoint.rest.keys().next() {
            return Err(wrong(format!("{name}: `[endpoint]` has a key `{key}` that there is not"))
                .with_advice("the keys are kind, listen and old"));
        }
        if endpoint.kind == EndpointKind::None {
            return Ok(None);
        }
        let listen = endpoint.listen.ok_or_else(|| {
            wrong(format!("{name}: the built-in endpoint has no address"))
                .with_advice("write listen = \"127.0.0.1:3300\" in [endpoint]")
        })?;
        Ok(Some(BuiltinEndpoint { listen, old: endpoint.old }))
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
            [control]
            socket = "bluegreen.sock"
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
        assert_eq!(settings.endpoint.unwrap().old.as_deref(), Some("127.0.0.1:3301"));
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
    fn what_this_version_lacks_is_refused_by_name() {
        for (text, what) in [
            ("[blue]\nreplicas = [\"mysql://u:s3cret@h\"]", "blue.replicas"),
            ("[green]\nreplicas = [\"mysql://u:s3cret@h\"]", "green.replicas"),
            ("[green]\nvariables = { max_connections = 500 }", "green.variables"),
            ("[tables]\ninclude = [\"a.b\"]", "[tables]"),
            ("[endpoint]\nkind = \"haproxy\"\nsocket = \"x\"", "haproxy"),
            ("[endpoint]\nkind = \"command\"\ncommand = [\"x\"]", "command"),
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
