//! The server that an endpoint leads to, and connecting to it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpStream, lookup_host};

/// A server's address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Upstream {
    /// `host:port`; an IPv6 address in brackets. A name is resolved for each connection anew, and its addresses are
    /// tried in turn.
    Tcp(String),
    /// The path of a Unix socket. On other systems connecting fails.
    Unix(PathBuf),
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Upstream {
        Upstream::Tcp(address.to_string())
    }
}

/// `host:port`, or `unix:` and the path.
impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Upstream::Tcp(address) => f.write_str(address),
            Upstream::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A connection to an upstream.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    /// Lets closing discard what has not been sent yet, and tell the server so.
    pub(super) fn discard_on_close(&self) {
        if let Stream::Tcp(stream) = self {
            // Deprecated for times above zero, which block the thread; the name for zero alone came later than our
            // oldest tokio.
            #[allow(deprecated)]
            let set = stream.set_linger(Some(std::time::Duration::ZERO));
            // Fails on a socket that is already reset, where nothing is left to discard.
            drop(set);
        }
    }
}

/// Connects to `upstream`. `listen` is the address of the endpoint itself, which is refused: it would lead to itself
/// forever.
pub(super) async fn connect(upstream: &Upstream, listen: SocketAddr) -> io::Result<Stream> {
    match upstream {
        Upstream::Tcp(address) => {
            let addresses: Vec<SocketAddr> = lookup_host(address.as_str()).await?.collect();
            if addresses.iter().any(|address| leads_to(*address, listen)) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "the upstream is the endpoint itself"));
            }
            let stream = TcpStream::connect(&addresses[..]).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        #[cfg(unix)]
        Upstream::Unix(path) => Ok(Stream::Unix(connect_unix(path).await?)),
        #[cfg(not(unix))]
        Upstream::Unix(_) => Err(io::Error::new(io::ErrorKind::Unsupported, "no unix sockets on this system")),
    }
}

/// A Unix socket whose backlog is full refuses at once where TCP would wait: try again, within the caller's time.
#[cfg(unix)]
async fn connect_unix(path: &std::path::Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            done => return done,
        }
    }
}

fn leads_to(address: SocketAddr, listen: SocketAddr) -> bool {
    let all = listen.ip().is_unspecified() && (address.ip().is_loopback() || address.ip().is_unspecified());
    address.port() == listen.port() && (all || address.ip() == listen.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_it_is_written() {
        assert_eq!(Upstream::Tcp("db.example:3306".into()).to_string(), "db.example:3306");
        assert_eq!(Upstream::Unix("/run/mysqld.sock".into()).to_string(), "unix:/run/mysqld.sock");
        assert_eq!(Upstream::from(SocketAddr::from(([127, 0, 0, 1], 3306))), Upstream::Tcp("127.0.0.1:3306".into()));
    }

    #[test]
    fn an_endpoint_recognises_itself() -> Result<(), std::net::AddrParseError> {
        for (address, listen, expected) in [
            ("127.0.0.1:3300", "127.0.0.1:3300", true),
            ("127.0.0.1:3300", "0.0.0.0:3300", true),
            ("127.0.0.1:3306", "127.0.0.1:3300", false),
            ("10.0.0.7:3300", "127.0.0.1:3300", false),
            ("10.0.0.7:3300", "0.0.0.0:3300", false),
            ("[::1]:3300", "[::]:3300", true),
        ] {
            assert_eq!(leads_to(address.parse()?, listen.parse()?), expected, "{address} behind {listen}");
        }
        Ok(())
    }
}
