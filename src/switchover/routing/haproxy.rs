use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::{Effect, Ledger, Routing};
use crate::checks::{Check, Verdict};
use crate::error::{Error, ErrorKind, Result};

/// What one command may take.
const LIMIT: Duration = Duration::from_secs(5);
/// How often new connections are tried to be let through.
const TRIES: u32 = 3;
/// Bytes of an answer: some thousand servers.
const MOST_BYTES: u64 = 16 << 20;
/// What to do where it leads elsewhere.
const CORRECT: &str = "`set server … state ready` for the server that is production, or correct [endpoint]";
/// The most sessions that the held server gets. 0 would mean as many as there are.
const HELD: &str = "1";

/// An HAProxy that leads applications to one of two servers of a backend, by its Runtime API (HAProxy's management guide,
/// "Unix Socket commands"). One of the servers is ready, the other in maintenance.
///
/// New connections are held by a limit of one session on the server that is production: they wait in the backend's
/// queue, as long as its `timeout queue` lets them, and go to the other server once that is ready and this one in
/// maintenance. (Not by the frontend's limit: HAProxy 2.6 dies when that is raised while connections wait.) Where no
/// session is open at all, one gets through and finds a server that refuses writes, until it is ended at the switch.
///
/// HAProxy keeps what is changed this way until it is restarted: its configuration must follow.
///
/// Tested with HAProxy 2.6.
#[derive(Debug)]
pub struct HaProxy {
    socket: HaProxySocket,
    backend: String,
    blue: String,
    green: String,
    /// The servers' limit of sessions in HAProxy's configuration; 0: none.
    maxconn: u32,
    ledger: Ledger,
}

/// Where HAProxy's Runtime API listens (`stats socket … level admin`).
#[derive(Debug, Clone, PartialEq, Eq)]
enum HaProxySocket {
    Unix(PathBuf),
    Tcp(String),
}

/// What HAProxy says of a server.
struct ServerState {
    limit: String,
    status: String,
}

impl FromStr for HaProxySocket {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> std::result::Result<HaProxySocket, Self::Err> {
        let is_port = |(_, port): (&str, &str)| port.parse::<u16>().is_ok();
        Ok(match text.rsplit_once(':').is_some_and(is_port) {
            true => HaProxySocket::Tcp(text.to_owned()),
            false => HaProxySocket::Unix(text.into()),
        })
    }
}

impl HaProxy {
    /// `socket`: the path of the Runtime API's Unix socket, or its `host:port`; `blue` and `green`: the names of the two
    /// servers in `backend`.
    ///
    /// # Errors
    /// `Config` where a name cannot be one of HAProxy's.
    pub fn new(socket: &str, backend: &str, blue: &str, green: &str) -> Result<HaProxy> {
        for name in [backend, blue, green] {
            let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
            if !is_name {
                return Err(Error::new(ErrorKind::Config, format!("`{name}` is no name of HAProxy's"))
                    .with_advice("give the names of a backend and of two of its servers"));
            }
        }
        if blue == green {
            return Err(Error::new(ErrorKind::Config, "HAProxy's servers for blue and green have the same name"));
        }
        let Ok(socket) = socket.parse();
        let [backend, blue, green] = [backend, blue, green].map(str::to_owned);
        Ok(HaProxy { socket, backend, blue, green, maxconn: 0, ledger: Ledger::default() })
    }

    /// What `maxconn` of both servers is in HAProxy's configuration: a limit that is lifted is set to that. Default 0, none.
    #[must_use]
    pub fn with_maxconn(mut self, maxconn: u32) -> HaProxy {
        self.maxconn = maxconn;
        self
    }

    /// The same for a switchover the other way round, where green is production.
    #[must_use]
    pub fn reversed(mut self) -> HaProxy {
        std::mem::swap(&mut self.blue, &mut self.green);
        self
    }

    fn of(&self, server: &str) -> String {
        format!("{}/{server}", self.backend)
    }

    fn elsewhere(&self) -> String {
        format!("HAProxy does not lead to {}: it is in maintenance", self.of(&self.blue))
    }

    async fn state(&self, server: &str) -> Result<ServerState> {
        let rows = self.ask("show stat").await?;
        let named = statistics(&rows).into_iter().find(|row| {
            row.get("pxname").copied() == Some(&*self.backend) && row.get("svname").copied() == Some(server)
        });
        let row = named.ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("HAProxy has no server {}", self.of(server)))
                .with_advice("name the backend and its two servers in [endpoint]")
        })?;
        let field = |name: &str| row.get(name).copied().unwrap_or_default().to_owned();
        Ok(ServerState { limit: limit_of(&field("slim")), status: field("status") })
    }

    /// Runs a command that answers nothing where it is done.
    async fn tell(&self, command: &str) -> Result<()> {
        let answer = self.ask(command).await?;
        match answer.trim() {
            "" => Ok(()),
            // It says what it does not know, or which level it wants.
            refusal => Err(Error::new(
                ErrorKind::State,
                format!("HAProxy refused `{command}`: {}", refusal.lines().next().unwrap_or_default()),
            )
            .with_advice("its stats socket must be of level admin")),
        }
    }

    async fn ask(&self, command: &str) -> Result<String> {
        let talk = async {
            match &self.socket {
                HaProxySocket::Tcp(address) => converse(TcpStream::connect(address).await?, command).await,
                #[cfg(unix)]
                HaProxySocket::Unix(path) => converse(UnixStream::connect(path).await?, command).await,
                #[cfg(not(unix))]
                HaProxySocket::Unix(_) => Err(std::io::ErrorKind::Unsupported.into()),
            }
        };
        let answer =
            tokio::time::timeout(LIMIT, talk).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        answer.map_err(|error| {
            Error::new(ErrorKind::Unreachable, format!("HAProxy does not answer: {error}"))
                .with_advice("check `socket` in [endpoint]: HAProxy's `stats socket … level admin`")
        })
    }

    /// Limits a server's sessions, and reads the limit back.
    async fn limit(&self, server: &str, limit: &str) -> Result<()> {
        let before = self.state(server).await?.limit;
        self.tell(&format!("set maxconn server {} {limit}", self.of(server))).await?;
        let observed = self.state(server).await?.limit;
        let is_done = observed == limit;
        self.ledger.note(Effect {
            target: format!("HAProxy: maxconn of {}", self.of(server)),
            before: Some(before),
            intended: limit.into(),
            observed: Some(observed),
        });
        if is_done { Ok(()) } else { Err(Error::new(ErrorKind::State, "HAProxy did not take the limit of sessions")) }
    }

    async fn lift(&self, server: &str) -> Result<()> {
        // Somebody else's limit is theirs.
        if self.state(server).await?.limit != HELD {
            return Ok(());
        }
        self.limit(server, &self.maxconn.to_string()).await
    }

    async fn put(&self, server: &str, state: &str) -> Result<ServerState> {
        let before = self.state(server).await?;
        self.tell(&format!("set server {} state {state}", self.of(server))).await?;
        let observed = self.state(server).await?;
        self.ledger.note(Effect {
            target: format!("HAProxy: state of {}", self.of(server)),
            before: Some(before.status),
            intended: state.into(),
            observed: Some(observed.status.clone()),
        });
        Ok(observed)
    }
}

impl ServerState {
    /// Whether new sessions are given to it, as far as its administration goes.
    fn is_in_maintenance(&self) -> bool {
        self.status.starts_with("MAINT")
    }
}

impl Routing for HaProxy {
    async fn hold(&self) -> Result<()> {
        if self.state(&self.blue).await?.is_in_maintenance() {
            return Err(Error::new(ErrorKind::State, self.elsewhere()).with_advice(CORRECT));
        }
        self.limit(&self.blue, HELD).await
    }

    async fn release(&self) {
        for _ in 0..TRIES {
            match self.lift(&self.blue).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "HAProxy holds new connections still"),
            }
        }
        self.ledger.note(Effect {
            target: format!("HAProxy: maxconn of {}", self.of(&self.blue)),
            before: None,
            intended: self.maxconn.to_string(),
            observed: None,
        });
    }

    async fn switch(&self) -> Result<()> {
        // What waits goes to the one as soon as the other is in maintenance. Each step is done whatever became of the one
        // before: green is production already.
        let green = self.put(&self.green, "ready").await;
        let blue = self.put(&self.blue, "maint").await;
        let ended = self.tell(&format!("shutdown sessions server {}", self.of(&self.blue))).await;
        let lifted = [self.lift(&self.green).await, self.lift(&self.blue).await];
        if green?.is_in_maintenance() || !blue?.is_in_maintenance() {
            return Err(Error::new(ErrorKind::State, "HAProxy did not take the new states of its servers")
                .with_advice("set green's server ready and blue's to maintenance by hand"));
        }
        ended?;
        lifted.into_iter().collect()
    }

    async fn check(&self) -> Option<Check> {
        const NAME: &str = "routing_ready";
        let look = async { Ok((self.state(&self.blue).await?, self.state(&self.green).await?)) };
        let check = match look.await {
            Err(error) => Check::unknown(NAME, &error),
            Ok((blue, _)) if blue.is_in_maintenance() => {
                Check::new(NAME, Verdict::Fail, self.elsewhere()).with_advice(CORRECT)
            }
            Ok((blue, _)) if blue.limit == HELD && self.maxconn.to_string() != HELD => {
                let evidence =
                    format!("HAProxy lets one session to {} only: a hold was left behind", self.of(&self.blue));
                Check::new(NAME, Verdict::Warn, evidence).with_advice(format!(
                    "`set maxconn server {} {}`",
                    self.of(&self.blue),
                    self.maxconn
                ))
            }
            Ok((blue, green)) => Check::new(
                NAME,
                Verdict::Pass,
                format!("HAProxy answers: {} {}, {} {}", self.blue, blue.status, self.green, green.status),
            ),
        };
        Some(check)
    }

    fn effects(&self) -> Vec<Effect> {
        self.ledger.take()
    }
}

/// One command, to the end of its answer.
async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, command: &str) -> std::io::Result<String> {
    stream.write_all(format!("{command}\n").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The rows of `show stat`: comma-separated, with the columns' names in the first line (management guide, "Statistics and
/// monitoring"). None of the columns read here can hold a comma.
fn statistics(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let names: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
    lines.map(|line| names.iter().copied().zip(line.split(',')).collect()).collect()
}

/// A server without a limit has an empty one.
fn limit_of(text: &str) -> String {
    if text.is_empty() { "0".into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_read_by_name() {
        let rows = statistics("# pxname,svname,slim,status,\ndb,blue,,UP,\ndb,green,7,MAINT,\n\n");
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[1]["svname"], rows[1]["slim"], rows[1]["status"]), ("green", "7", "MAINT"));
        assert_eq!(limit_of(rows[0]["slim"]), "0");
        assert!(statistics("").is_empty());
    }

    #[test]
    fn names_hold_no_commands() {
        for (backend, blue, green) in [("db;x", "a", "b"), ("db", "a b", "c"), ("db", "", "c"), ("db", "a", "a")] {
            assert_eq!(HaProxy::new("/s", backend, blue, green).unwrap_err().kind(), ErrorKind::Config);
        }
        assert_eq!("127.0.0.1:99".parse(), Ok(HaProxySocket::Tcp("127.0.0.1:99".into())));
        assert_eq!("/run/a:b.sock".parse(), Ok(HaProxySocket::Unix("/run/a:b.sock".into())));
    }
}
