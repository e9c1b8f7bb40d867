//! The endpoint between real sockets. Numbers name the invariants of `bluegreen::endpoint`.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use bluegreen::endpoint::{Endpoint, Options, Stats, Upstream};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Everything that should happen happens within this.
const SOON: Duration = Duration::from_secs(20);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {SOON:?}"),
    }
}

/// Waits until the endpoint's counts are as asked for.
async fn until(endpoint: &Endpoint, condition: impl Fn(&Stats) -> bool) -> Stats {
    let reached = tokio::time::timeout(SOON, async {
        loop {
            let stats = endpoint.stats();
            if condition(&stats) {
                return stats;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    match reached.await {
        Ok(stats) => stats,
        Err(_) => panic!("not within {SOON:?}: {:?}", endpoint.stats()),
    }
}

/// A server that greets with its name (one byte) and then echoes; it ends its stream after the client's.
struct Server {
    name: u8,
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(name: u8) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut clients = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                clients.spawn(greet_and_echo(client, name));
                while clients.try_join_next().is_some() {}
            }
        });
        Server { name, address, _tasks: tasks }
    }

    fn upstream(&self) -> Upstream {
        self.address.into()
    }
}

async fn greet_and_echo(client: impl AsyncRead + AsyncWrite, name: u8) {
    let (mut reader, mut writer) = tokio::io::split(client);
    if writer.write_all(&[name]).await.is_ok() && tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
        // Resets are the client's business.
        let _ = writer.shutdown().await;
    }
}

struct Client(TcpStream);

impl Client {
    async fn connect(endpoint: &Endpoint) -> Client {
        Client(soon("connect", TcpStream::connect(endpoint.local_addr())).await.unwrap())
    }

    async fn greeting(&mut self) -> io::Result<u8> {
        soon("greeting", self.0.read_u8()).await
    }

    async fn ask(&mut self, question: u64) -> io::Result<u64> {
        self.0.write_u64(question).await?;
        soon("answer", self.0.read_u64()).await
    }

    /// Whether the endpoint has closed this connection, without an answer to what is sent now.
    async fn is_ended(&mut self) -> bool {
        // Writing may still succeed.
        let _ = self.0.write_u64(0).await;
        let mut rest = [0; 64];
        !matches!(soon("end", self.0.read(&mut rest)).await, Ok(1..))
    }
}

/// A listener that does not accept and whose backlog is full: connecting to it takes until the connector gives up.
#[cfg(target_os = "linux")]
async fn stuck() -> (SocketAddr, impl Sized) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        fillers.push(filler.unwrap());
    }
    (address, (listener, fillers))
}

#[tokio::test]
async fn bytes_pass_unchanged_both_ways() {
    // 5
    let blue = Server::start(b'b').await;
    let endpoint = Endpoint::bind("127.0.0.1:0", blue.upstream()).await.unwrap();
    let mut client = Client::connect(&endpoint).await;
    assert_eq!(client.greeting().await.unwrap(), b'b');

    let mut payload = vec![0; 8 << 20];
    StdRng::seed_from_u64(1).fill(&mut payload[..]);
    let (mut reader, mut writer) = client.0.into_split();
    let sent = payload.clone();
    let sending = tokio::spawn(async move {
        writer.write_all(&sent).await?;
        // The end of our stream; the echo goes on.
        writer.shutdown().await
    });
    let mut received = Vec::with_capacity(payload.len());
    soon("echo", reader.read_to_end(&mut received)).await.unwrap();
    sending.await.unwrap().unwrap();
    assert!(received == payload, "{} bytes sent, {} other ones received", payload.len(), received.len());

    let stats = until(&endpoint, |stats| stats.finished == 1).await;
    assert_eq!(stats.upstream_bytes, payload.len() as u64);
    assert_eq!(stats.client_bytes, payload.len() as u64 + 1);
    assert_eq!((stats.accepted, stats.established, stats.waiting), (1, 0, 0));
}

#[tokio::test]
async fn a_server_that_ends_its_stream_can_still_be_written_to() {
    // 5
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::bind("127.0.0.1:0", listener.local_addr().unwrap().into()).await.unwrap();
    let mut client = Client::connect(&endpoint).await;
    let (mut server, _) = soon("accept", listener.accept()).await.unwrap();
    server.write_all(b"bye").await.unwrap();
    server.shutdown().await.unwrap();
    let mut received = Vec::new();
    soon("end", client.0.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received, b"bye");
    client.0.write_all(b"still here").await.unwrap();
    drop(client);
    received.clear();
    soon("end", server.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received, b"still here");
}

#[cfg(unix)]
#[tokio::test]
async fn an_upstream_may_be_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mysqld.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let server = tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        greet_and_echo(client, b'u').await;
    });
    let endpoint = Endpoint::bind("127.0.0.1:0", Upstream::Unix(path)).await.unwrap();
    let mut client = Client::connect(&endpoint).await;
    assert_eq!(client.greeting().await.unwrap(), b'u');
    assert_eq!(client.ask(7).await.unwrap(), 7);
    assert_eq!(endpoint.disconnect_all().await.dropped, 1);
    assert!(client.is_ended().await);
    server.await.unwrap();
}

#[tokio::test]
async fn held_connections_are_released_to_the_same_upstream() {
    // 3
    let blue = Server::start(b'b').await;
    let endpoint = Endpoint::bind("127.0.0.1:0", blue.upstream()).await.unwrap();
    let mut before = Client::connect(&endpoint).await;
    assert_eq!(before.greeting().await.unwrap(), b'b');

    endpoint.hold();
    endpoint.hold();
    assert!(endpoint.is_held());
    let mut held = [Client::connect(&endpoint).await, Client::connect(&endpoint).await];
    // One of them speaks first.
    held[0].0.write_u64(11).await.unwrap();
    let stats = until(&endpoint, |stats| stats.held == 2).await;
    assert_eq!((stats.established, stats.waiting), (1, 2));
    assert_eq!(before.ask(1).await.unwrap(), 1);

    endpoint.release();
    endpoint.release();
    assert!(!endpoint.is_held());
    for client in &mut held {
        assert_eq!(client.greeting().await.unwrap(), b'b');
    }
    assert_eq!(soon("echo", held[0].0.read_u64()).await.unwrap(), 11);
    assert_eq!(before.ask(2).await.unwrap(), 2);
    assert_eq!(until(&endpoint, |stats| stats.established == 3).await.waiting, 0);
}

#[tokio::test]
async fn pointing_elsewhere_takes_the_held_and_drops_the_established() {
    // 1, 2
    let (blue, green) = (Server::start(b'b').await, Server::start(b'g').await);
    let endpoint = Endpoint::bind("127.0.0.1:0", blue.upstream()).await.unwrap();
    let mut old = [Client::connect(&endpoint).await, Client::connect(&endpoint).await];
    for client in &mut old {
        assert_eq!(client.greeting().await.unwrap(), b'b');
    }
    endpoint.hold();
    let mut held = Client::connect(&endpoint).await;
    until(&endpoint, |stats| stats.held == 1).await;

    let switched = soon("switch", endpoint.point_to(green.upstream())).await;
    assert_eq!((switched.dropped, switched.held, switched.lingering), (2, 1, 0));
    assert_eq!(endpoint.upstream(), green.upstream());
    assert!(!endpoint.is_held());
    for client in &mut old {
        assert!(client.is_ended().await);
    }
    assert_eq!(held.greeting().await.unwrap(), b'g');
    assert_eq!(held.ask(3).await.unwrap(), 3);
    assert_eq!(Client::connect(&endpoint).await.greeting().await.unwrap(), b'g');
    assert_eq!(endpoint.stats().dropped, 2);
}

#[tokio::test]
async fn the_old_server_has_lost_the_connection_when_pointing_elsewhere_returns() {
    // 1: what the endpoint has taken from the client and not sent yet does not arrive
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let green = Server::start(b'g').await;
    let endpoint = Endpoint::bind("127.0.0.1:0", listener.local_addr().unwrap().into()).await.unwrap();
    let mut client = Client::connect(&endpoint).await;
    let (mut server, _) = soon("accept", listener.accept()).await.unwrap();
    // Fill every buffer on the way.
    let block = vec![1; 1 << 20];
    let mut sent = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(200), client.0.write(&block)).await {
        sent += written.unwrap();
    }
    assert_eq!(soon("switch", endpoint.point_to(green.upstream())).await.lingering, 0);
    let mut received = Vec::new();
    let end = soon("end", server.read_to_end(&mut received)).await;
    assert_eq!(end.map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionReset));
    assert!(received.len() < sent, "{} of {sent} bytes arrived", received.len());
    assert!(client.is_ended().await);
}

#[tokio::test]
async fn a_held_crowd_is_let_through_whole() {
    // 2: more than connect at a time
    let (blue, green) = (Server::start(b'b').await, Server::start(b'g').await);
    let endpoint = Endpoint::bind("127.0.0.1:0", blue.upstream()).await.unwrap();
    endpoint.hold();
    let mut crowd = Vec::new();
    for _ in 0..150 {
        crowd.push(Client::connect(&endpoint).await);
    }
    until(&endpoint, |stats| stats.held == 150).await;
    assert_eq!(soon("switch", endpoint.point_to(green.upstream())).await.held, 150);
    for client in &mut crowd {
        assert_eq!(client.greeting().await.unwrap(), b'g');
    }
    assert_eq!(until(&endpoint, |stats| stats.established == 150).await.failed, 0);
}

#[tokio::test]
async fn disconnecting_keeps_upstream_and_hold() {
    // 1
    let blue = Server::start(b'b').await;
    let endpoint = Endpoint::bind("127.0.0.1:0", blue.upstream()).await.unwrap();
    let mut old = Client::connect(&endpoint).await;
    old.greeting().await.unwrap();
    endpoint.hold();
    let mut held = Client::connect(&endpoint).await;
    until(&endpoint, |stats| stats.held == 1).await;
    let switched = soon("disconnect", endpoint.disconnect_all()).await;
    // Not only told to end: ended, before anything else in this test could run.
    let stats = endpoint.stats();
    assert_eq!((stats.established, stats.dropped), (0, 1));
    assert_eq!((switched.dropped, switched.held, switched.lingering), (1, 1, 0));
    assert!(old.is_ended().await);
    assert!(endpoint.is_held());
    until(&endpoint, |stats| stats.held == 1).await;
    endpoint.release();
    assert_eq!(held.greeting().await.unwrap(), b'b');
}

#[tokio::test]
async fn holding_is_bounded_in_time() {
    // 4
    let blue = Server::start(b'b').await;
    let options = Options::default().hold_limit(Duration::from_millis(50));
    let endpoint = Endpoint::bind_with("127.0.0.1:0", blue.upstream(), options).await.unwrap();
    endpoint.hold();
    let mut client = Client::connect(&endpoint).await;
    assert!(client.greeting().await.is_err());
    let stats = until(&endpoint, |stats| stats.waiting == 0).await;
    assert_eq!((stats.expired, stats.held, stats.left), (1, 0, 0));
}

#[tokio::test]
async fn waiting_is_bounded_in_number() {
    // 4
    let blue = Server::start(b'b').await;
    let options = Options::default().max_waiting(2);
    let endpoint = Endpoint::bind_with("127.0.0.1:0", blue.upstream(), options).await.unwrap();
    endpoint.hold();
    let mut held = [Client::connect(&endpoint).await, Client::connect(&endpoint).await];
    until(&endpoint, |stats| stats.held == 2).await;
    assert!(Client::connect(&endpoint).await.greeting().await.is_err());
    assert_eq!(until(&endpoint, |stats| stats.refused == 1).await.held, 2);
    endpoint.release();
    for client in &mut held {
        assert_eq!(client.greeting().await.unwrap(), b'b');
    }
    assert_eq!(Client::connect(&endpoint).await.greeting().await.unwrap(), b'b');
}

#[tokio::test]
async fn a_held_client_that_leaves_gives_its_place_back() {
    // 4
    let blue = Server::start(b'b').await;
    let endpoint = Endpoint::bind("127.0.0.1:0", blue.upstream()).await.unwrap();
    endpoint.hold();
    let silent = Client::connect(&endpoint).await;
    let mut speaking = Client::connect(&endpoint).await;
    speaking.0.write_u64(1).await.unwrap();
    until(&endpoint, |stats| stats.held == 2).await;
    drop(silent);
    until(&endpoint, |stats| stats.left == 1).await;
    drop(speaking);
    let stats = until(&endpoint, |stats| stats.left == 2).await;
    assert_eq!(until(&endpoint, |stats| stats.waiting == 0).await.expired, 0);
    assert_eq!(stats.failed, 0);
}

#[tokio::test]
async fn a_client_is_closed_when_the_upstream_refuses() {
    // 6
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = Endpoint::bind("127.0.0.1:0", address.into()).await.unwrap();
    assert!(Client::connect(&endpoint).await.greeting().await.is_err());
    until(&endpoint, |stats| stats.failed == 1).await;
    let green = Server::start(b'g').await;
    assert_eq!(endpoint.point_to(green.upstream()).await.dropped, 0);
    assert_eq!(Client::connect(&endpoint).await.greeting().await.unwrap(), b'g');
}

#[tokio::test]
async fn an_endpoint_does_not_lead_to_itself() {
    let blue = Server::start(b'b').await;
    let endpoint = Endpoint::bind("127.0.0.1:0", blue.upstream()).await.unwrap();
    assert_eq!(endpoint.point_to(endpoint.local_addr().into()).await.lingering, 0);
    assert!(Client::connect(&endpoint).await.greeting().await.is_err());
    assert_eq!(endpoint.stats().accepted, 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn connecting_is_bounded_in_time() {
    // 4
    let (address, _stuck) = stuck().await;
    let options = Options::default().connect_timeout(Duration::from_millis(50));
    let endpoint = Endpoint::bind_with("127.0.0.1:0", address.into(), options).await.unwrap();
    assert!(Client::connect(&endpoint).await.greeting().await.is_err());
    assert_eq!(until(&endpoint, |stats| stats.failed == 1).await.waiting, 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_that_is_connecting_follows_every_change() {
    // 2, 3
    let (address, _stuck) = stuck().await;
    let green = Server::start(b'g').await;
    let options = Options::default().connect_timeout(SOON * 2).hold_limit(SOON * 2);
    let endpoint = Endpoint::bind_with("127.0.0.1:0", address.into(), options).await.unwrap();
    let mut client = Client::connect(&endpoint).await;
    until(&endpoint, |stats| stats.waiting == 1).await;
    endpoint.hold();
    until(&endpoint, |stats| stats.held == 1).await;
    endpoint.release();
    until(&endpoint, |stats| stats.held == 0).await;
    let switched = soon("switch", endpoint.point_to(green.upstream())).await;
    assert_eq!((switched.dropped, switched.held, switched.lingering), (0, 1, 0));
    assert_eq!(client.greeting().await.unwrap(), b'g');
}

#[tokio::test]
async fn closing_ends_everything_and_frees_the_address() {
    // 7
    let blue = Server::start(b'b').await;
    let endpoint = Endpoint::bind("127.0.0.1:0", blue.upstream()).await.unwrap();
    let address = endpoint.local_addr();
    let mut established = Client::connect(&endpoint).await;
    established.greeting().await.unwrap();
    endpoint.hold();
    let mut held = Client::connect(&endpoint).await;
    until(&endpoint, |stats| stats.held == 1).await;
    soon("close", endpoint.close()).await;
    assert!(established.is_ended().await);
    assert!(held.is_ended().await);

    let endpoint = Endpoint::bind(address, blue.upstream()).await.unwrap();
    let mut client = Client::connect(&endpoint).await;
    client.greeting().await.unwrap();
    drop(endpoint);
    assert!(client.is_ended().await);
}

#[tokio::test]
async fn an_address_in_use_is_an_error() {
    let blue = Server::start(b'b').await;
    let error = Endpoint::bind(blue.address, blue.upstream()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

/// How many switches have begun and how many have returned. Switch `n` points to server `n % 2`.
#[derive(Default)]
struct Switches {
    begun: AtomicU64,
    returned: AtomicU64,
}

/// Connects and asks until `limit` switches have returned. Returns how many answers it had.
async fn keep_asking(address: SocketAddr, switches: Arc<Switches>, names: [u8; 2], limit: u64, seed: u64) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut answers = 0;
    while switches.returned.load(SeqCst) < limit {
        let returned_before = switches.returned.load(SeqCst);
        let Ok(stream) = soon("connect", TcpStream::connect(address)).await else {
            continue;
        };
        let mut client = Client(stream);
        let Ok(name) = client.greeting().await else {
            continue;
        };
        // The connection was established by a switch from `returned_before` to this one.
        let begun = switches.begun.load(SeqCst);
        if returned_before == begun {
            assert_eq!(name, names[(begun % 2) as usize], "connected after switch {begun} returned");
        }
        for _ in 0..random.random_range(1..20) {
            let returned = switches.returned.load(SeqCst);
            match client.ask(returned).await {
                Ok(answer) => {
                    assert_eq!(answer, returned);
                    assert!(returned <= begun, "asked after switch {returned}, answered by the server of {begun}");
                    answers += 1;
                }
                Err(_) => break,
            }
            if random.random_bool(0.2) {
                tokio::task::yield_now().await;
            }
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_connection_survives_a_switch_whatever_it_was_doing() {
    // 1, 2, 3
    const SWITCHES: u64 = 200;
    let servers = [Server::start(b'b').await, Server::start(b'g').await];
    let names = [servers[0].name, servers[1].name];
    let endpoint = Endpoint::bind("127.0.0.1:0", servers[0].upstream()).await.unwrap();
    let switches = Arc::new(Switches::default());
    let mut clients = JoinSet::new();
    for seed in 0..12 {
        clients.spawn(keep_asking(endpoint.local_addr(), Arc::clone(&switches), names, SWITCHES, seed));
    }

    let mut random = StdRng::seed_from_u64(99);
    let mut dropped = 0;
    for switch in 1..=SWITCHES {
        let mut old = Client::connect(&endpoint).await;
        assert_eq!(old.greeting().await.unwrap(), names[((switch - 1) % 2) as usize]);
        if random.random_bool(0.3) {
            endpoint.hold();
            endpoint.release();
        }
        // Let the clients get somewhere: not the same place each time.
        let accepted = endpoint.stats().accepted + random.random_range(0..8);
        until(&endpoint, |stats| stats.accepted >= accepted).await;
        let mut held = None;
        if random.random_bool(0.5) {
            endpoint.hold();
            let waiting = Client::connect(&endpoint).await;
            until(&endpoint, |stats| stats.held >= 1).await;
            held = Some(waiting);
        }

        let server = &servers[(switch % 2) as usize];
        switches.begun.store(switch, SeqCst);
        let switched = soon("switch", endpoint.point_to(server.upstream())).await;
        switches.returned.store(switch, SeqCst);
        assert_eq!(switched.lingering, 0);
        assert!(switched.dropped >= 1);
        dropped += switched.dropped;

        assert!(old.is_ended().await, "a connection from before switch {switch} was answered");
        assert_eq!(Client::connect(&endpoint).await.greeting().await.unwrap(), server.name);
        if let Some(mut held) = held {
            assert_eq!(held.greeting().await.unwrap(), server.name);
        }
    }

    let mut answers = 0;
    while let Some(client) = clients.join_next().await {
        answers += client.unwrap();
    }
    assert!(answers > SWITCHES, "only {answers} answers");
    assert!(dropped > SWITCHES, "only {dropped} connections dropped");
    let stats = until(&endpoint, |stats| stats.established == 0 && stats.waiting == 0).await;
    assert_eq!(stats.accepted, stats.finished + stats.dropped + stats.left + stats.failed, "{stats:?}");
    soon("close", endpoint.close()).await;
}
