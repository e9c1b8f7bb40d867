//! The control socket: one request a connection, a line of JSON each way.
//!
//! `{"verb":"status"}` or `{"verb":"switchover","timeout":300,"max_write_block":5,"dry_run":false}` is answered with
//! `{"exit":0,"document":{…}}`, or with `{"error":{…}}` of the shape that `--json` prints.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bluegreen::{Error, ErrorKind, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::output::{self, Answer};

/// Longest request; an answer is longer where a report is.
const REQUEST_BYTES: u64 = 1 << 16;
/// The longest verb is a switchover with the largest timeout, and its undo.
const ANSWER_LIMIT: Duration = Duration::from_secs(3600 + 120);

/// What the running process answered.
pub(crate) struct Answered {
    pub(crate) answer: Answer,
    pub(crate) document: Value,
}

/// Asks the process behind `socket`; `None` where none runs there.
///
/// # Errors
/// The error that the process answered with, or that it did not answer: the verb may have been carried out then.
pub(crate) async fn ask(socket: &Path, request: &Value) -> Result<Option<Answered>> {
    let Ok(stream) = UnixStream::connect(socket).await else { return Ok(None) };
    let lost = |why: String| {
        Error::new(
            ErrorKind::Disconnected,
            format!("the running process does not answer on {}: {why}", socket.display()),
        )
        .with_advice("look at `status` before anything else: it may have carried the verb out")
    };
    let exchange = async {
        let mut stream = BufReader::new(stream);
        stream.write_all(format!("{request}\n").as_bytes()).await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        Ok::<_, std::io::Error>(line)
    };
    let line = match tokio::time::timeout(ANSWER_LIMIT, exchange).await {
        Ok(line) => line.map_err(|error| lost(error.to_string()))?,
        Err(_) => return Err(lost("no answer in time".to_owned())),
    };
    let mut answer: Value = serde_json::from_str(&line).map_err(|_| lost("its answer is cut off".to_owned()))?;
    if let Some(error) = answer.get("error") {
        return Err(as_error(error));
    }
    let document = answer["document"].take();
    let exit = answer["exit"].as_u64().ok_or_else(|| lost("its answer has no exit status".to_owned()))?;
    Ok(Some(Answered { answer: Answer::of_status(exit), document }))
}

/// The other process's error. Its kind decides the exit status, and only one of them matters for that.
fn as_error(error: &Value) -> Error {
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    let kind = if text("kind") == ErrorKind::Config.name() { ErrorKind::Config } else { ErrorKind::State };
    let place = match &error["place"]["server"] {
        Value::String(server) => format!(" ({server})"),
        _ => String::new(),
    };
    Error::new(kind, format!("{}{place}", text("message"))).with_advice(text("advice"))
}

/// The listening end.
pub(crate) struct Control {
    requests: mpsc::Receiver<Request>,
    listening: JoinHandle<()>,
    path: PathBuf,
}

/// A request, and the connection that waits for its answer.
pub(crate) struct Request {
    pub(crate) request: Value,
    stream: BufReader<UnixStream>,
}

impl Control {
    /// Listens; the socket of a process that is gone is replaced.
    pub(crate) async fn listen(path: &Path) -> Result<Control> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Io, format!("the control socket {} cannot be made: {error}", path.display()))
                .with_advice("check `socket` in [control]")
        };
        if UnixStream::connect(path).await.is_ok() {
            return Err(Error::new(ErrorKind::State, format!("another process answers on {} already", path.display()))
                .with_advice("stop that one first, or give this one another `socket` in [control]"));
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        // Whoever may write here may switch production over.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let (sender, requests) = mpsc::channel(16);
        Ok(Control { requests, listening: tokio::spawn(accept(listener, sender)), path: path.to_owned() })
    }

    /// The next request. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Request {
        match self.requests.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        }
    }
}

/// Reads requests; what is none is answered here.
async fn accept(listener: UnixListener, requests: mpsc::Sender<Request>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        let read = async { (&mut stream).take(REQUEST_BYTES).read_line(&mut line).await };
        // A client that says nothing must not keep the others waiting.
        if !matches!(tokio::time::timeout(Duration::from_secs(2), read).await, Ok(Ok(1..))) {
            continue;
        }
        match serde_json::from_str(&line) {
            Ok(request) => {
                if requests.send(Request { request, stream }).await.is_err() {
                    return;
                }
            }
            Err(_) => {
                let error = Error::new(ErrorKind::Config, "the request is no JSON document on one line");
                Request { request: Value::Null, stream }.answer(Err(error)).await;
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.listening.abort();
        // Nobody finds a socket that does not answer.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Request {
    /// Answers and closes the connection.
    pub(crate) async fn answer(mut self, answer: Result<(Answer, Value)>) {
        let answer = match answer {
            Ok((answer, document)) => json!({ "exit": answer.status(), "document": document }),
            Err(error) => json!({ "error": output::as_json(&error) }),
        };
        let write = async {
            self.stream.write_all(format!("{answer}\n").as_bytes()).await?;
            self.stream.shutdown().await
        };
        if !matches!(tokio::time::timeout(Duration::from_secs(2), write).await, Ok(Ok(()))) {
            tracing::warn!("nobody waited for an answer on the control socket");
        }
    }
}
