use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// Where a server is and as whom to connect: `mysql://USER:PASSWORD@HOST:PORT`, with `?socket=PATH` for a Unix socket
/// and `?tls=required|verify-ca|verify-identity&ca=FILE` for TLS.
///
/// `Display` and `Debug` show the address only, never user or password.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) socket: Option<PathBuf>,
    pub(super) tls: TlsMode,
    pub(super) ca: Option<PathBuf>,
}

/// How a connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TlsMode {
    /// Not at all (the default).
    #[default]
    Off,
    /// Encrypted; the server's certificate is not checked.
    Required,
    /// Encrypted; the certificate must lead to a trusted authority.
    VerifyCa,
    /// Encrypted; the certificate must lead to a trusted authority and name the host.
    VerifyIdentity,
}

impl ServerUrl {
    /// `host:port` or the socket's path: what messages name the server by.
    pub fn address(&self) -> String {
        match &self.socket {
            Some(path) => path.display().to_string(),
            None => format!("{}:{}", self.host, self.port),
        }
    }

    /// Host name or address; `localhost` where only a socket is given.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The Unix socket, if that is the way.
    pub fn socket(&self) -> Option<&std::path::Path> {
        self.socket.as_deref()
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
        .with_advice("write mysql://USER:PASSWORD@HOST:PORT, with special characters as %XX")
}

fn decoded(part: &str, name: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()];
        let hex = digits.map(|digit| digit.and_then(|digit| (digit as char).to_digit(16)));
        match hex {
            [Some(high), Some(low)] => bytes.push((high * 16 + low) as u8),
            _ => return Err(wrong(format!("the {name} in a server URL has a `%` that is not `%XX`"))),
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong(format!("the {name} in a server URL is not UTF-8")))
}

impl FromStr for ServerUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<ServerUrl> {
        // The parser's own message could hold a piece of the password: say what is wrong in our words.
        let parsed = ::url::Url::parse(text).map_err(|_| wrong("a server URL cannot be read".into()))?;
        if !matches!(parsed.scheme(), "mysql" | "mariadb") {
            return Err(wrong("a server URL does not start with mysql://".into()));
        }
        if !matches!(parsed.path(), "" | "/") {
            return Err(wrong("a server URL names a schema, but a deployment is a whole server".into()));
        }
        let host = match parsed.host() {
            Some(::url::Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        };
        let mut server = ServerUrl {
            user: decoded(parsed.username(), "user")?,
            password: decoded(parsed.password().unwrap_or_default(), "password")?,
            host,
            port: parsed.port().unwrap_or(3306),
            socket: None,
            tls: TlsMode::Off,
            ca: None,
        };
        for (key, value) in parsed.query_pairs() {
            match key.as_ref() {
                "socket" => server.socket = Some(PathBuf::from(value.as_ref())),
                "ca" => server.ca = Some(PathBuf::from(value.as_ref())),
                "tls" => {
                    server.tls = match value.as_ref() {
                        "required" => TlsMode::Required,
                        "verify-ca" => TlsMode::VerifyCa,
                        "verify-identity" => TlsMode::VerifyIdentity,
                        _ => return Err(wrong("tls in a server URL is required, verify-ca or verify-identity".into())),
                    }
                }
                _ => return Err(wrong(format!("a server URL has an option `{key}` that there is not"))),
            }
        }
        if server.host.is_empty() {
            if server.socket.is_none() {
                return Err(wrong("a server URL names no host".into()));
            }
            server.host = "localhost".into();
        }
        if server.user.is_empty() {
            return Err(wrong("a server URL names no user".into()));
        }
        if server.ca.is_some() && !matches!(server.tls, TlsMode::VerifyCa | TlsMode::VerifyIdentity) {
            return Err(wrong("a server URL has a ca file, but tls is neither verify-ca nor verify-identity".into()));
        }
        Ok(server)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Invariant 1 of the module.
    #[test]
    fn secrets_never_show() {
        let url: ServerUrl = "mysql://app:s%40cret%2F@db.example:3307?tls=verify-ca".parse().unwrap();
        assert_eq!((url.user.as_str(), url.password.as_str()), ("app", "s@cret/"));
        assert_eq!(format!("{url} {url:?}"), "db.example:3307 ServerUrl(db.example:3307)");
        for broken in ["mysql://app:s3cret@", "mysql://app:s3cret@h/db", "http://app:s3cret@h", "mysql://app:s3cret%@h"]
        {
            let error = broken.parse::<ServerUrl>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{broken}");
        }
    }

    #[test]
    fn a_socket_needs_no_host() {
        let url: ServerUrl = "mysql://root@localhost?socket=/run/s.sock".parse().unwrap();
        assert_eq!(url.address(), "/run/s.sock");
        assert!("mysql://root@h?sokket=/x".parse::<ServerUrl>().is_err());
    }
}
