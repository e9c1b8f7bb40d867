//! The application: clients that write without a pause over the endpoint and note every answer.
//!
//! Every write carries a number that no other write has, and leaves a row with it in `shop.ledger`, in the same
//! transaction. A write whose answer was lost is not tried again under its number, so in the end each number must be
//! there once where the client got an OK, and at most once where it got none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::schema;

/// Clients, each with one connection.
pub(super) const CLIENTS: u64 = 6;
/// Between two writes of a client: some 30 a second, so that a gap of 100 ms shows.
const PAUSE: Duration = Duration::from_millis(25);
/// Between two tries to connect.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
/// A server that says nothing is given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// What one client saw.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The numbers of the writes that got an OK.
    pub(super) acknowledged: Vec<u64>,
    /// The numbers of those whose COMMIT was sent and got none.
    pub(super) unanswered: Vec<u64>,
    /// Errors, by what they were.
    pub(super) errors: BTreeMap<String, u64>,
    /// The times between two OKs that are longer than the pace alone explains: when each ended, and how long it was.
    pub(super) gaps: Vec<(Instant, Duration)>,
}

/// The running clients. Dropping it ends them.
pub(super) struct Traffic {
    stop: watch::Sender<bool>,
    clients: Vec<JoinHandle<Record>>,
    acknowledged: Arc<AtomicU64>,
}

impl Traffic {
    /// Starts the clients against `address`.
    pub(super) fn start(address: SocketAddr) -> Traffic {
        let (stop, stopped) = watch::channel(false);
        let acknowledged = Arc::new(AtomicU64::new(0));
        let clients = (0..CLIENTS)
            .map(|number| {
                let client = Client {
                    number,
                    address,
                    next: 0,
                    orders: Vec::new(),
                    record: Record::default(),
                    acknowledged: acknowledged.clone(),
                };
                tokio::spawn(client.work(stopped.clone()))
            })
            .collect();
        Traffic { stop, clients, acknowledged }
    }

    /// Writes that got an OK so far.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Lets every client end its last write, and collects what they saw.
    pub(super) async fn finish(mut self) -> Vec<Record> {
        self.stop.send_replace(true);
        let mut records = Vec::new();
        for client in std::mem::take(&mut self.clients) {
            // A client that panicked is missed by the proof: its writes are there and nobody made them.
            records.extend(client.await);
        }
        records
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        for client in &self.clients {
            client.abort();
        }
    }
}

struct Client {
    number: u64,
    address: SocketAddr,
    /// Of its next write.
    next: u64,
    /// Its own orders that it may still pay or cancel.
    orders: Vec<u64>,
    record: Record,
    acknowledged: Arc<AtomicU64>,
}

impl Client {
    async fn work(mut self, stopped: watch::Receiver<bool>) -> Record {
        let mut connection = None;
        let mut last: Option<Instant> = None;
        while !*stopped.borrow() {
            let Some(mut open) = connection.take() else {
                match connect(self.address).await {
                    Ok(open) => connection = Some(open),
                    Err(error) => {
                        self.failed(&error);
                        tokio::time::sleep(RETRY_PAUSE).await;
                    }
                }
                continue;
            };
            let number = self.number * 1_000_000_000 + self.next;
            self.next += 1;
            let mut is_committing = false;
            let write = Box::pin(self.write(&mut open, number, &mut is_committing));
            let written = match tokio::time::timeout(ANSWER_LIMIT, write).await {
                Ok(written) => written,
                Err(_) => Err(mysql_async::Error::Other("no answer".into())),
            };
            match written {
                Ok(()) => {
                    let now = Instant::now();
                    self.record.acknowledged.push(number);
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                    let gap = last.map_or(Duration::ZERO, |last| now.duration_since(last));
                    if gap > PAUSE {
                        self.record.gaps.push((now, gap));
                    }
                    last = Some(now);
                    connection = Some(open);
                    tokio::time::sleep(PAUSE).await;
                }
                // As applications do: the connection is given up and made anew.
                Err(error) => {
                    if is_committing {
                        self.record.unanswered.push(number);
                    }
                    self.failed(&error);
                }
            }
        }
        if let Some(open) = connection {
            // The server notices by itself, too.
            let _ = tokio::time::timeout(Duration::from_secs(1), open.disconnect()).await;
        }
        self.record
    }

    fn failed(&mut self, error: &mysql_async::Error) {
        let what = match error {
            mysql_async::Error::Server(refusal) if matches!(refusal.code, 1290 | 1836) => {
                format!("server error {}: the server is read-only", refusal.code)
            }
            mysql_async::Error::Server(refusal) => format!("server error {}", refusal.code),
            mysql_async::Error::Other(_) => "no answer in time".to_owned(),
            _ => "the connection was closed".to_owned(),
        };
        *self.record.errors.entry(what).or_default() += 1;
    }

    /// One transaction over several tables. Clients never touch each other's rows, so that what an error says is about
    /// the deployment and not about the application.
    async fn write(&mut self, open: &mut Conn, number: u64, is_committing: &mut bool) -> mysql_async::Result<()> {
        let share = schema::CUSTOMERS / CLIENTS;
        let customer = 1 + self.number + CLIENTS * (self.next * 7 % share);
        open.query_drop("BEGIN").await?;
        let mut placed = None;
        let kind = match self.next % 8 {
            0..=2 => {
                open.query_drop(format!(
                    "INSERT INTO shop.orders (customer_id, placed_at) VALUES ({customer}, UTC_TIMESTAMP(6))"
                ))
                .await?;
                let order = open.last_insert_id().unwrap_or_default();
                let sku = self.next % 300 + 1;
                open.query_drop(format!(
                    "INSERT INTO shop.order_items VALUES ({order}, 1, 'SKU-{sku:05}', 1), ({order}, 2, 'SKU-00007', 3)"
                ))
                .await?;
                placed = Some(order);
                "order"
            }
            3 => {
                let order = 1 + self.number + CLIENTS * (self.next % (schema::ORDERS / CLIENTS));
                open.query_drop(format!("UPDATE shop.orders SET status = 'shipped' WHERE id = {order}")).await?;
                open.query_drop(format!("UPDATE shop.customers SET balance = balance - 1.25 WHERE id = {customer}"))
                    .await?;
                "ship"
            }
            4 => {
                open.query_drop(format!(
                    "INSERT INTO shop.carts (customer_id, content) VALUES ({customer}, 'tea') \
                     ON DUPLICATE KEY UPDATE content = CONCAT('tea, ', changes), changes = changes + 1"
                ))
                .await?;
                "cart"
            }
            5 => {
                open.query_drop(format!(
                    "UPDATE shop.customers SET email = 'c{customer}-{number}@example.com', \
                     changed_at = UTC_TIMESTAMP(3) WHERE id = {customer}"
                ))
                .await?;
                "move"
            }
            _ => match self.orders.last().copied() {
                Some(order) => {
                    open.query_drop(format!("DELETE FROM shop.order_items WHERE order_id = {order}")).await?;
                    open.query_drop(format!("DELETE FROM shop.orders WHERE id = {order}")).await?;
                    self.orders.pop();
                    "cancel"
                }
                None => "note",
            },
        };
        open.query_drop(format!("INSERT INTO shop.ledger (operation, kind) VALUES ({number}, '{kind}')")).await?;
        *is_committing = true;
        open.query_drop("COMMIT").await?;
        self.orders.extend(placed);
        // A few are kept for cancelling; the others stay.
        self.orders.truncate(8);
        Ok(())
    }
}

/// A session of the application.
pub(super) async fn connect(address: SocketAddr) -> mysql_async::Result<Conn> {
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some(schema::ACCOUNT))
        .pass(Some(schema::PASSWORD))
        .prefer_socket(false)
        .stmt_cache_size(0)
        // Given, so that connecting asks the server for nothing.
        .max_allowed_packet(Some(16 << 20))
        .wait_timeout(Some(28_800));
    let connect = async {
        let mut open = Conn::new(options).await?;
        // Gap locks would let clients wait for each other's neighbours.
        open.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await?;
        Ok(open)
    };
    match tokio::time::timeout(ANSWER_LIMIT, Box::pin(connect)).await {
        Ok(open) => open,
        Err(_) => Err(mysql_async::Error::Other("no answer".into())),
    }
}
