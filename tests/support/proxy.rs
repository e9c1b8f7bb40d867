//! A proxy in front of a server that does what networks do: it refuses, cuts, holds and slows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A command packet whose whole text is COMMIT.
const COMMIT: &[u8] = b"\x07\x00\x00\x00\x03COMMIT";

/// The packet of a client that ends its connection.
const QUIT: &[u8] = b"\x01\x00\x00\x00\x01";

/// What the proxy does to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Connections are closed, the new ones at once.
    Reject,
    /// The connection breaks before the next COMMIT reaches the server; then there is no fault any more.
    CutBeforeCommit,
    /// The server answers the next COMMIT, and the connection breaks before the answer comes back; then there is no fault
    /// any more.
    CutAfterCommit,
    /// Nothing passes.
    Hold,
    /// So many more of the clients' packets pass, good-byes not counted; then everything is rejected.
    RejectAfter(u32),
    /// So many more of the clients' packets pass, good-byes not counted; then nothing does.
    HoldAfter(u32),
    /// Everything passes so much later.
    Slow(Duration),
}

/// The proxy, until it is dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    server_port: u16,
    fault: watch::Sender<Fault>,
    cuts: watch::Sender<u64>,
}

impl Proxy {
    pub async fn start(server_port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (fault, cuts) = (watch::Sender::new(Fault::None), watch::Sender::new(0));
        let shared = Arc::new(Shared { server_port, fault, cuts });
        let proxied = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = proxied.clone();
                tokio::spawn(async move { shared.pass(client).await });
            }
        });
        Proxy { port, shared, task }
    }

    pub fn url(&self) -> String {
        format!("mysql://root@127.0.0.1:{}", self.port)
    }

    pub fn set(&self, fault: Fault) {
        self.shared.fault.send_replace(fault);
    }

    pub fn fault(&self) -> Fault {
        *self.shared.fault.subscribe().borrow()
    }

    /// Cuts a connection at a COMMIT, and waits until it did.
    pub async fn cut(&self, fault: Fault) {
        let mut cuts = self.shared.cuts.subscribe();
        let before = *cuts.borrow();
        self.set(fault);
        let cut = cuts.wait_for(|cuts| *cuts > before);
        tokio::time::timeout(Duration::from_secs(60), cut).await.expect("nothing is committed").unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn pass(&self, client: TcpStream) {
        let mut fault = self.fault.subscribe();
        let rejected = fault.wait_for(|fault| *fault == Fault::Reject);
        let passed = async {
            let server = TcpStream::connect(("127.0.0.1", self.server_port)).await.ok()?;
            client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).ok()?;
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let is_last = AtomicBool::new(false);
            // Whichever ends first ends both.
            tokio::select! {
                () = self.to_server(from_client, to_server, &is_last) => {}
                () = self.to_client(from_server, to_client, &is_last) => {}
            }
            Some(())
        };
        tokio::select! {
            biased;
            _ = rejected => {}
            _ = passed => {}
        }
    }

    async fn to_server(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_last: &AtomicBool) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if &bytes[..count] != QUIT && self.spend() == Fault::Reject {
                return;
            }
            self.wait().await;
            let is_commit = bytes[..count].ends_with(COMMIT);
            if is_commit && self.take(Fault::CutBeforeCommit) {
                return self.cuts.send_modify(|cuts| *cuts += 1);
            }
            is_last.store(is_commit && self.take(Fault::CutAfterCommit), Ordering::SeqCst);
            if to.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    }

    async fn to_client(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_last: &AtomicBool) {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            self.wait().await;
            if is_last.load(Ordering::SeqCst) {
                return self.cuts.send_modify(|cuts| *cuts += 1);
            }
            if to.write_all(&bytes[..count]).await.is_err() {
                return;
            }
        }
    }

    /// Counts a packet; the fault from then on.
    fn spend(&self) -> Fault {
        self.fault.send_if_modified(|fault| {
            let next = match *fault {
                Fault::RejectAfter(0) => Fault::Reject,
                Fault::RejectAfter(left) => Fault::RejectAfter(left - 1),
                Fault::HoldAfter(0) => Fault::Hold,
                Fault::HoldAfter(left) => Fault::HoldAfter(left - 1),
                same => same,
            };
            std::mem::replace(fault, next) != next
        });
        *self.fault.borrow()
    }

    async fn wait(&self) {
        let mut fault = self.fault.subscribe();
        // The sender is our own.
        let _ = fault.wait_for(|fault| *fault != Fault::Hold).await;
        let delay = if let Fault::Slow(delay) = *fault.borrow() { delay } else { return };
        tokio::time::sleep(delay).await;
    }

    /// Whether this is the fault, which then is for this connection alone.
    fn take(&self, wanted: Fault) -> bool {
        self.fault.send_if_modified(|fault| {
            let is_wanted = *fault == wanted;
            if is_wanted {
                *fault = Fault::None;
            }
            is_wanted
        })
    }
}
