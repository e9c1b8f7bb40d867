//! Switchovers there and back under load, each with a fault at a random step: the engine dies, a connection breaks with the
//! answer, a server is killed, another controller is called. The calls behind it settle it. Both servers are looked at all
//! the time: never two of them take writes; and every acknowledged write is on the production.
//!
//! A few rounds by default. `BLUEGREEN_FAULT_ROUNDS=1000 cargo test --release --test switchover_faults` runs as many;
//! `BLUEGREEN_FAULT_SEED` repeats one.

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bluegreen::create::{CreateConfig, create};
use bluegreen::deployment::{Deployment, Status};
use bluegreen::pipeline::{Replication, ReplicationConfig, roll_back, switch_over};
use bluegreen::sandbox::{Kind, Server};
use bluegreen::switchover::{Hook, NoRouting, Outcome, Report, SwitchoverConfig};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::Pair;
use support::proxy::{self, Proxy};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Before and behind each of the fourteen that a switchover has, and a retry.
const STEPS: u32 = 30;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Side {
    Blue,
    Green,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The engine dies, so long after the step's beginning or end.
    Crash(Duration),
    /// So many packets still pass to a server, then its connections break; a while later there are new ones.
    Cut(Side, u32, Duration),
    /// A server is killed, so long after the step's beginning or end, and comes back.
    Kill(Side, Duration),
    /// Another controller is called, too.
    Rival,
}

impl Fault {
    /// Servers that do not keep `read_only` over a restart are not killed: the fence would be open.
    fn random(random: &mut StdRng, kills: bool) -> Fault {
        // At once, or in the middle of what comes next.
        let later = Duration::from_millis(random.random_range(0..2) * random.random_range(0..30));
        let side = if random.random_bool(0.5) { Side::Blue } else { Side::Green };
        match random.random_range(0..if kills { 8 } else { 6 }) {
            0 | 1 => Fault::Crash(later),
            2..=4 => Fault::Cut(side, random.random_range(0..6), Duration::from_millis(random.random_range(1..600))),
            5 => Fault::Rival,
            _ => Fault::Kill(side, later),
        }
    }
}

/// The servers, and what stands between them and the engine.
struct Stage {
    pair: Pair,
    blue: Proxy,
    green: Proxy,
}

/// What clients and the look at both servers have to say.
#[derive(Default)]
struct Witness {
    acknowledged: Mutex<HashSet<u64>>,
    next: AtomicU64,
    looks: AtomicU64,
    both: AtomicU64,
    stop: AtomicBool,
}

impl Witness {
    /// A client that writes to whichever server takes it.
    async fn write(self: Arc<Self>, urls: [String; 2]) {
        let mut at = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let Ok(mut session) = Conn::from_url(&urls[at % 2]).await else {
                tokio::time::sleep(Duration::from_millis(10)).await;
                at += 1;
                continue;
            };
            while !self.stop.load(Ordering::Relaxed) {
                let id = self.next.fetch_add(1, Ordering::Relaxed);
                if session.query_drop(format!("INSERT INTO shop.ack VALUES ({id})")).await.is_err() {
                    break;
                }
                self.acknowledged.lock().unwrap().insert(id);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            at += 1;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Whether both take writes: one of them before and after the other was seen to.
    async fn look(self: Arc<Self>, urls: [String; 2]) {
        async fn is_writable(session: &mut Conn) -> mysql_async::Result<bool> {
            Ok(session.query_first::<u8, _>("SELECT @@global.read_only").await? == Some(0))
        }
        while !self.stop.load(Ordering::Relaxed) {
            let (Ok(mut one), Ok(mut other)) = (Conn::from_url(&urls[0]).await, Conn::from_url(&urls[1]).await) else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            let looks = async {
                while !self.stop.load(Ordering::Relaxed) {
                    let are =
                        is_writable(&mut one).await? && is_writable(&mut other).await? && is_writable(&mut one).await?;
                    self.both.fetch_add(u64::from(are), Ordering::Relaxed);
                    self.looks.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                Ok::<(), mysql_async::Error>(())
            };
            // A server that is killed is no error here.
            let _ = looks.await;
        }
    }
}

impl Stage {
    async fn start(kind: Kind) -> Stage {
        let start = || Server::builder(kind).gtid(true).durable(true).start();
        let (blue, green) = tokio::join!(start(), start());
        let pair = Pair::of(blue.unwrap(), green.unwrap());
        for server in [&pair.blue, &pair.green] {
            server.sql("CREATE USER app@'%' IDENTIFIED BY 'app'").await.unwrap();
            server.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO app@'%'").await.unwrap();
        }
        pair.blue.sql("CREATE DATABASE shop").await.unwrap();
        pair.blue.sql("CREATE TABLE shop.ack (id BIGINT NOT NULL PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
        pair.blue.sql("CREATE TABLE shop.seen (id BIGINT NOT NULL PRIMARY KEY) ENGINE = InnoDB").await.unwrap();
        let trigger =
            "CREATE TRIGGER shop.after_ack AFTER INSERT ON shop.ack FOR EACH ROW INSERT INTO shop.seen VALUES (NEW.id)";
        pair.blue.sql(trigger).await.unwrap();
        let (blue, green) = (Proxy::start(pair.blue.port()).await, Proxy::start(pair.green.port()).await);
        let config = CreateConfig::new("mydb1", blue.url().parse().unwrap(), green.url().parse().unwrap()).unwrap();
        Box::pin(create(&config, |_| {})).await.unwrap();
        Stage { pair, blue, green }
    }

    fn config(&self) -> SwitchoverConfig {
        SwitchoverConfig::new(self.blue.url().parse().unwrap(), self.green.url().parse().unwrap())
    }

    fn server(&mut self, side: Side) -> &mut Server {
        match side {
            Side::Blue => &mut self.pair.blue,
            Side::Green => &mut self.pair.green,
        }
    }

    async fn production(&self) -> Option<Side> {
        let blue = is_writable(&self.pair.blue).await;
        let green = is_writable(&self.pair.green).await;
        assert!(!(blue && green), "both take writes");
        if blue { Some(Side::Blue) } else { green.then_some(Side::Green) }
    }

    /// The call that leads on from what the records say; `None` where it is settled.
    async fn under_way(&self) -> Option<Side> {
        for (server, target) in [(&self.pair.green, Side::Green), (&self.pair.blue, Side::Blue)] {
            let record = Deployment::of(&server.url().parse().unwrap()).await.unwrap();
            if record.is_some_and(|record| record.status == Status::SwitchoverInProgress) {
                return Some(target);
            }
        }
        None
    }

    /// One call with a fault in it: what became of it is no matter.
    async fn faulty(&mut self, target: Side, at: u32, fault: Fault) -> String {
        let (ask, mut asked) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
        let steps = Arc::new(Mutex::new((0, String::new())));
        let seen = steps.clone();
        let hook = Hook::new(move |step, is_done| {
            let mut steps = seen.lock().unwrap();
            steps.0 += 1;
            let is_here = steps.0 == at;
            if is_here {
                steps.1 = format!("{} {step}", if is_done { "behind" } else { "before" });
            }
            let ask = ask.clone();
            async move {
                if is_here {
                    let (done, is_done) = oneshot::channel();
                    ask.send(done).unwrap();
                    let _ = is_done.await;
                }
            }
        });
        let (mut config, rival) = (self.config(), self.config());
        config.hook = hook;
        let mut call = Box::pin(call(target, &config));
        let reached = tokio::select! {
            ended = &mut call => Err(ended),
            done = asked.recv() => Ok(done.unwrap()),
        };
        let go_on = match reached {
            Ok(go_on) => go_on,
            // Without a fault it goes through, whatever the rounds before left.
            Err(ended) => {
                let report = ended.unwrap();
                assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
                return "no such step".into();
            }
        };
        match fault {
            Fault::Crash(later) => {
                let _ = go_on.send(());
                let _ = tokio::time::timeout(later, call).await;
            }
            Fault::Cut(side, packets, while_) => {
                let proxy = if side == Side::Blue { &self.blue } else { &self.green };
                proxy.set(proxy::Fault::RejectAfter(packets));
                let _ = go_on.send(());
                let heal = async {
                    tokio::time::sleep(while_).await;
                    proxy.set(proxy::Fault::None);
                };
                let _ = tokio::join!(heal, call);
            }
            Fault::Kill(side, later) => {
                let server = self.server(side);
                if later.is_zero() {
                    server.kill().await.unwrap();
                }
                let _ = go_on.send(());
                let restart = async {
                    tokio::time::sleep(later).await;
                    server.kill().await?;
                    server.start().await
                };
                let (restarted, _) = tokio::join!(restart, call);
                restarted.unwrap();
            }
            Fault::Rival => {
                let _ = go_on.send(());
                let _ = tokio::join!(call, self::call(target, &rival));
            }
        }
        let steps = steps.lock().unwrap();
        steps.1.clone()
    }

    /// Calls until nothing is under way any more.
    async fn settle(&self) -> Side {
        for _ in 0..10 {
            let Some(target) = self.under_way().await else {
                return self.production().await.expect("it is settled, and nobody takes writes");
            };
            if let Err(error) = call(target, &self.config()).await {
                eprintln!("  {error}");
            }
        }
        panic!("stuck");
    }

    async fn assert_has(&self, production: Side, acknowledged: &HashSet<u64>) {
        let server = if production == Side::Blue { &self.pair.blue } else { &self.pair.green };
        let present = support::load::present(server).await;
        let lost: Vec<_> = acknowledged.difference(&present).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
}

async fn is_writable(server: &Server) -> bool {
    server.sql("SELECT @@global.read_only").await.unwrap() == "0"
}

async fn call(target: Side, config: &SwitchoverConfig) -> bluegreen::Result<Report> {
    match target {
        Side::Green => Box::pin(switch_over(config, &NoRouting::new())).await,
        Side::Blue => Box::pin(roll_back(config, &NoRouting::new())).await,
    }
}

async fn rounds(kind: Kind, default: u32) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let rounds = number("BLUEGREEN_FAULT_ROUNDS").unwrap_or(default.into());
    let seed = number("BLUEGREEN_FAULT_SEED").unwrap_or_else(rand::random);
    eprintln!("{rounds} rounds, BLUEGREEN_FAULT_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut stage = Stage::start(kind).await;
    let witness = Arc::new(Witness::default());
    let urls = |user: Option<(&str, &str)>| {
        [&stage.pair.blue, &stage.pair.green].map(|server| match user {
            Some((user, password)) => server.url_as(user, password),
            None => server.url(),
        })
    };
    let mut witnesses = JoinSet::new();
    for _ in 0..3 {
        witnesses.spawn(witness.clone().write(urls(Some(("app", "app")))));
    }
    witnesses.spawn(witness.clone().look(urls(None)));
    let mut switches = 0;
    for round in 0..rounds {
        let from = stage.production().await.expect("nobody takes writes");
        let target = if from == Side::Blue { Side::Green } else { Side::Blue };
        let (at, fault) = (random.random_range(1..=STEPS), Fault::random(&mut random, !kind.is_mariadb()));
        let step = stage.faulty(target, at, fault).await;
        eprint!("round {round}: to {target:?}, {fault:?} {step}: ");
        let production = stage.settle().await;
        eprintln!("{production:?} is production");
        switches += u32::from(production == target);
        let acknowledged = witness.acknowledged.lock().unwrap().clone();
        stage.assert_has(production, &acknowledged).await;
        assert_eq!(witness.both.load(Ordering::Relaxed), 0, "both took writes");
    }
    witness.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = witnesses.join_next().await {
        ended.unwrap();
    }
    let production = stage.production().await.unwrap();
    let (acknowledged, looks) = (witness.acknowledged.lock().unwrap().clone(), witness.looks.load(Ordering::Relaxed));
    stage.assert_has(production, &acknowledged).await;
    assert!(acknowledged.len() > 100 && looks > 100);
    let (from, to) = match production {
        Side::Blue => (&stage.blue, &stage.green),
        Side::Green => (&stage.green, &stage.blue),
    };
    let config = ReplicationConfig::new(from.url().parse().unwrap(), to.url().parse().unwrap());
    let replication = Box::pin(Replication::start(config)).await.unwrap();
    let head = support::head(if production == Side::Blue { &stage.pair.blue } else { &stage.pair.green }).await;
    tokio::time::timeout(Duration::from_secs(120), replication.reached(&head)).await.expect("level").unwrap();
    replication.stop().await.unwrap();
    stage.pair.assert_same().await;
    eprintln!("{switches} of {rounds} went on; {} writes acknowledged, {looks} looks", acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_97() {
    rounds(Kind::MySql97, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_1011() {
    rounds(Kind::MariaDb1011, 8).await;
}
