//! A task that works until it is told to stop.

use std::future::Future;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// The task. Dropping this tells it to stop, without waiting.
#[derive(Debug)]
pub(crate) struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<()>>,
}

impl Running {
    /// Starts what listens for a true value, or the sender's end.
    pub(crate) fn start<Work>(work: impl FnOnce(watch::Receiver<bool>) -> Work) -> Running
    where
        Work: Future<Output = Result<()>> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        Running { stop, task: tokio::spawn(work(stopped)) }
    }

    /// Waits until it ends by itself. Cancel-safe.
    ///
    /// # Errors
    /// The error that ended it.
    pub(crate) async fn finished(&mut self) -> Result<()> {
        (&mut self.task)
            .await
            .unwrap_or_else(|error| Err(Error::internal("a running task panicked").with_source(error)))
    }

    /// Tells it to stop, and waits until it has.
    ///
    /// # Errors
    /// The error that ended it before.
    pub(crate) async fn stop(mut self) -> Result<()> {
        // One that has ended does not listen any more.
        let _ = self.stop.send(true);
        self.finished().await
    }
}
