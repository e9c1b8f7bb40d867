use bluegreen::{Error, ErrorKind, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether somebody asked the process to stop.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// From now on SIGINT and SIGTERM are requests.
    pub(crate) fn listen() -> Result<Stop> {
        let listen =
            |kind| signal(kind).map_err(|error| Error::new(ErrorKind::Io, format!("signals cannot be heard: {error}")));
        let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            sender.send_replace(true);
            // Keeps the signals caught, and the channel open.
            std::future::pending::<()>().await;
        });
        Ok(Stop(receiver))
    }

    /// Waits for the request. Cancel-safe.
    pub(crate) async fn requested(&mut self) {
        if self.0.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The work's result, or an error once a stop is asked for: for work whose success means "yes", so that a stop must
    /// not look like one. The work is dropped then.
    pub(crate) async fn or<T>(mut self, work: impl Future<Output = Result<T>>, again: &'static str) -> Result<T> {
        tokio::select! {
            result = work => result,
            () = self.requested() => {
                Err(Error::new(ErrorKind::State, "stopped before it was done").with_advice(again))
            }
        }
    }
}
