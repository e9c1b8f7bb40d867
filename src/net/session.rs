use std::time::Duration;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder, SslOpts, Value};

use super::url::{ServerUrl, TlsMode};
use crate::error::{Error, ErrorKind, Result};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A connection that runs text statements. Not cancel-safe: after a future of it was dropped, drop the session too.
pub(crate) struct Session {
    conn: Conn,
    address: String,
    /// Bound on one statement's answer.
    limit: Duration,
    /// An answer did not come in time. It may come later, when it would be taken for the next statement's.
    is_given_up: bool,
}

/// One row of a result, as the text protocol has it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Row(Vec<Option<Vec<u8>>>);

/// What the server says of a statement without rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Done {
    /// Matched rows (the session asks for found rows, not changed rows).
    pub(crate) affected: u64,
    /// Warnings the server raised.
    pub(crate) warnings: u16,
}

impl Row {
    /// The bytes of column `index`; `None` for NULL and past the end.
    pub(crate) fn bytes(&self, index: usize) -> Option<&[u8]> {
        self.0.get(index)?.as_deref()
    }

    /// Column `index` as text; NULL and what is not UTF-8 become lossy text.
    pub(crate) fn text(&self, index: usize) -> String {
        String::from_utf8_lossy(self.bytes(index).unwrap_or_default()).into_owned()
    }

    /// Column `index` as a number.
    pub(crate) fn number(&self, index: usize) -> Option<u64> {
        self.text(index).parse().ok()
    }

    /// All columns.
    pub(crate) fn columns(&self) -> &[Option<Vec<u8>>] {
        &self.0
    }
}

impl Session {
    /// Connects, with the session in UTC, in utf8mb4, in autocommit, and with no `sql_mode` that changes how names and
    /// literals are read.
    ///
    /// # Errors
    /// `Unreachable`, `Authentication`, `Unavailable`; `Timeout` never: a server that does not answer in 10 s is
    /// unreachable.
    pub(crate) async fn open(url: &ServerUrl) -> Result<Session> {
        let mut opts = OptsBuilder::default()
            .ip_or_hostname(url.host.clone())
            .tcp_port(url.port)
            .user(Some(url.user.clone()))
            .pass(Some(url.password.clone()))
            .socket(url.socket.as_ref().map(|path| path.display().to_string()))
            .prefer_socket(false)
            .client_found_rows(true)
            .tcp_nodelay(true)
            .stmt_cache_size(0)
            .ssl_opts(ssl(url));
        // Asking the server for these two would cost a round trip, and the bounds here are ours.
        opts = opts.max_allowed_packet(Some(1 << 30)).wait_timeout(Some(28_800));
        let address = url.address();
        let conn = match tokio::time::timeout(CONNECT_LIMIT, Conn::new(opts)).await {
            Ok(conn) => conn.map_err(|error| translate(error, &address))?,
            Err(_) => {
                let message = format!("no answer within {} s", CONNECT_LIMIT.as_secs());
                return Err(Error::new(ErrorKind::Unreachable, message).at(|place| place.server = Some(address)));
            }
        };
        let mut session = Session { conn, address, limit: Duration::from_secs(60), is_given_up: false };
        session
            .run(
                "SET SESSION time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', autocommit = 1, \
                 net_write_timeout = 600, net_read_timeout = 600, wait_timeout = 28800, NAMES utf8mb4",
            )
            .await?;
        Ok(session)
    }

    /// The same connection with another bound on a statement's answer (default 60 s).
    pub(crate) fn with_limit(mut self, limit: Duration) -> Session {
        self.limit = limit;
        self
    }

    /// Bounds the answers to the statements from now on.
    pub(crate) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// The server's address, for messages.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The server's number of this connection.
    pub(crate) fn id(&self) -> u32 {
        self.conn.id()
    }

    async fn bounded<T>(
        limit: Duration,
        address: &str,
        is_given_up: &mut bool,
        work: impl Future<Output = mysql_async::Result<T>>,
    ) -> Result<T> {
        let lost = |message: String| {
            Err(Error::new(ErrorKind::Disconnected, message).at(|place| place.server = Some(address.to_owned())))
        };
        if *is_given_up {
            return lost("an earlier answer on this connection did not come".into());
        }
        // Whoever drops the future leaves an answer behind, too.
        *is_given_up = true;
        match tokio::time::timeout(limit, work).await {
            Ok(answer) => {
                *is_given_up = false;
                answer.map_err(|error| translate(error, address))
            }
            Err(_) => lost(format!("no answer within {} s", limit.as_secs())),
        }
    }

    /// Runs a query and collects its rows.
    ///
    /// # Errors
    /// The server's refusal, or `Disconnected`.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<Row>> {
        let rows: Vec<mysql_async::Row> =
            Session::bounded(self.limit, &self.address, &mut self.is_given_up, self.conn.query(sql)).await?;
        Ok(rows.into_iter().map(row).collect())
    }

    /// The first row, if there is one.
    pub(crate) async fn first(&mut self, sql: &str) -> Result<Option<Row>> {
        Ok(self.rows(sql).await?.into_iter().next())
    }

    /// Runs a query and hands each row on as it arrives.
    ///
    /// # Errors
    /// The server's refusal, `Disconnected`, or what `each` returns.
    pub(crate) async fn each_row(&mut self, sql: &str, mut each: impl FnMut(Row) -> Result<()> + Send) -> Result<()> {
        let (limit, address, given_up) = (self.limit, &self.address, &mut self.is_given_up);
        let mut result = Session::bounded(limit, address, given_up, self.conn.query_iter(sql)).await?;
        while let Some(next) = Session::bounded(limit, address, given_up, result.next()).await? {
            each(row(next))?;
        }
        Ok(())
    }

    /// Runs a query and sends its rows on as they arrive, in batches of at least `batch_bytes` or the rest; returns how
    /// many rows there were.
    ///
    /// # Errors
    /// The server's refusal, `Disconnected`, or `Internal` where nobody receives any more.
    pub(crate) async fn stream_to(
        &mut self,
        sql: &str,
        batch_bytes: usize,
        batches: &tokio::sync::mpsc::Sender<Vec<Row>>,
    ) -> Result<u64> {
        let (limit, address, given_up) = (self.limit, self.address.clone(), &mut self.is_given_up);
        let nobody = |_| Error::internal("nobody receives the rows of a query");
        let mut result = Session::bounded(limit, &address, given_up, self.conn.query_iter(sql)).await?;
        let (mut batch, mut bytes, mut rows) = (Vec::new(), 0, 0);
        while let Some(next) = Session::bounded(limit, &address, given_up, result.next()).await? {
            let next = row(next);
            bytes += next.0.iter().flatten().map(Vec::len).sum::<usize>();
            batch.push(next);
            rows += 1;
            if bytes >= batch_bytes {
                batches.send(std::mem::take(&mut batch)).await.map_err(nobody)?;
                bytes = 0;
            }
        }
        if !batch.is_empty() {
            batches.send(batch).await.map_err(nobody)?;
        }
        Ok(rows)
    }

    /// Runs one statement without rows.
    ///
    /// # Errors
    /// The server's refusal, or `Disconnected`.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<Done> {
        self.run_all(sql, 1)
            .await
            .map_err(|(_, error)| error)?
            .pop()
            .ok_or_else(|| Error::internal("no answer to a statement"))
    }

    /// Runs one statement whose text is in the session's `character_set_client`.
    ///
    /// # Errors
    /// The server's refusal, or `Disconnected`.
    pub(crate) async fn run_bytes(&mut self, sql: &[u8]) -> Result<()> {
        let (limit, address, given_up) = (self.limit, &self.address, &mut self.is_given_up);
        let result = Session::bounded(limit, address, given_up, self.conn.query_iter(sql.to_vec())).await?;
        Session::bounded(limit, address, given_up, result.drop_result()).await
    }

    /// Runs `count` statements, separated by `;`, in one round trip.
    ///
    /// # Errors
    /// With the index of the statement that failed; those before it took effect, none after it was run.
    pub(crate) async fn run_all(
        &mut self,
        script: &str,
        count: usize,
    ) -> std::result::Result<Vec<Done>, (usize, Error)> {
        let mut done = Vec::with_capacity(count);
        let (limit, address, given_up) = (self.limit, &self.address, &mut self.is_given_up);
        let query = self.conn.query_iter(script);
        let mut result = Session::bounded(limit, address, given_up, query).await.map_err(|error| (0, error))?;
        // The driver cannot tell a last answer without rows from none at all, so the answers are counted.
        while done.len() < count {
            done.push(Done { affected: result.affected_rows(), warnings: result.warnings() });
            let rest = Session::bounded(limit, address, given_up, async {
                // Skips rows, if any, and goes on to the next statement's answer.
                while result.next().await?.is_some() {}
                Ok(())
            });
            rest.await.map_err(|error| (done.len(), error))?;
        }
        Ok(done)
    }

    /// Ends another connection. One that has ended by itself is as good.
    ///
    /// # Errors
    /// The server's refusal, or `Disconnected`.
    pub(crate) async fn end_connection(&mut self, id: u64) -> Result<()> {
        const UNKNOWN_THREAD: u16 = 1094;
        match self.run(&format!("KILL {id}")).await {
            Err(error) if error.code() != Some(UNKNOWN_THREAD) => Err(error),
            _ => Ok(()),
        }
    }

    /// Says good-bye to the server.
    pub(crate) async fn close(self) {
        // A server that does not hear it ends the connection by itself.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.conn.disconnect()).await;
    }
}

fn row(row: mysql_async::Row) -> Row {
    Row(row
        .unwrap()
        .into_iter()
        .map(|value| match value {
            Value::NULL => None,
            Value::Bytes(bytes) => Some(bytes),
            // The text protocol has bytes only.
            other => Some(other.as_sql(true).into_bytes()),
        })
        .collect())
}

fn ssl(url: &ServerUrl) -> Option<SslOpts> {
    let roots = url.ca.iter().map(|path| path.clone().into()).collect::<Vec<_>>();
    let opts = SslOpts::default().with_disable_built_in_roots(!roots.is_empty()).with_root_certs(roots);
    match url.tls {
        TlsMode::Off => None,
        TlsMode::Required => Some(opts.with_danger_accept_invalid_certs(true).with_danger_skip_domain_validation(true)),
        TlsMode::VerifyCa => Some(opts.with_danger_skip_domain_validation(true)),
        TlsMode::VerifyIdentity => Some(opts),
    }
}

fn translate(error: mysql_async::Error, address: &str) -> Error {
    let translated = match error {
        mysql_async::Error::Server(refusal) => super::server::refusal(refusal.code, &refusal.message),
        mysql_async::Error::Io(error) => {
            let kind = match &error {
                mysql_async::IoError::Io(io)
                    if matches!(io.kind(), std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound) =>
                {
                    ErrorKind::Unreachable
                }
                _ => ErrorKind::Disconnected,
            };
            let text = error.to_string();
            if text.contains("lookup") || text.contains("resolve") {
                Error::new(ErrorKind::Unreachable, "the host name is not known").with_source(error)
            } else {
                Error::new(kind, "the connection failed or was closed").with_source(error)
            }
        }
        other => {
            Error::new(ErrorKind::Disconnected, "the connection failed or was closed").with_source(other.to_string())
        }
    };
    translated.at(|place| place.server = Some(address.to_owned()))
}
