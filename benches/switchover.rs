//! How long is a write block, and what do clients see of it?
//!
//! ```text
//! cargo bench --bench switchover                   # 30 switches on MySQL and on MariaDB
//! cargo bench --bench switchover -- --rounds 100 MySQL
//! ```
//!
//! 20 clients commit 15 transactions a second each through the built-in endpoint, and connect again where they lose their
//! connection. Meanwhile green becomes production, and blue again, in turn. Each client numbers its transactions: behind
//! all rounds, what was acknowledged must be on the production, once and in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bluegreen::create::{CreateConfig, create};
use bluegreen::endpoint::{Endpoint, Upstream};
use bluegreen::net::ServerUrl;
use bluegreen::pipeline::{roll_back, switch_over};
use bluegreen::sandbox::{Kind, Server};
use bluegreen::switchover::{Endpoints, Outcome, Report, SwitchoverConfig};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use tokio::sync::watch;
use tokio::task::JoinSet;

const CLIENTS: u32 = 20;
const PERIOD: Duration = Duration::from_micros(1_000_000 / 15);
/// How long clients go on between two switches.
const REST: Duration = Duration::from_secs(1);

struct Arguments {
    kinds: Vec<Kind>,
    rounds: usize,
}

impl Arguments {
    fn read() -> Arguments {
        let given: Vec<String> = std::env::args().skip(1).collect();
        let has = |flag: &str| given.iter().any(|argument| argument == flag);
        // Without cargo's flag this is a test.
        let is_test = !has("--bench") || has("--test");
        let rounds = given
            .iter()
            .position(|argument| argument == "--rounds")
            .map(|at| given.get(at + 1).and_then(|text| text.parse().ok()).expect("a number behind the option"));
        let all = [Kind::MySql97, Kind::MariaDb1011];
        let wanted = |kind: &Kind| given.iter().any(|word| kind.label().contains(word.as_str()));
        let named: Vec<Kind> = all.into_iter().filter(wanted).collect();
        Arguments {
            kinds: if named.is_empty() { all.into() } else { named },
            rounds: rounds.unwrap_or(if is_test { 2 } else { 30 }),
        }
    }
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::read();
    for &kind in &arguments.kinds {
        Box::pin(measure(kind, arguments.rounds)).await;
    }
}

async fn start(kind: Kind) -> Server {
    let server = Server::builder(kind).gtid(true).durable(true).start().await.unwrap();
    server.sql("CREATE USER app@'%' IDENTIFIED BY 'app'").await.unwrap();
    server.sql("GRANT SELECT, INSERT, UPDATE, DELETE ON *.* TO app@'%'").await.unwrap();
    server
}

async fn measure(kind: Kind, rounds: usize) {
    let (blue, green) = tokio::join!(start(kind), start(kind));
    blue.sql("CREATE DATABASE shop").await.unwrap();
    blue.sql("CREATE TABLE shop.written (client INT, number BIGINT, PRIMARY KEY (client, number)) ENGINE = InnoDB")
        .await
        .unwrap();
    blue.sql("CREATE TABLE shop.last (client INT PRIMARY KEY, number BIGINT NOT NULL) ENGINE = InnoDB").await.unwrap();
    for client in 0..CLIENTS {
        blue.sql(&format!("INSERT INTO shop.last VALUES ({client}, 0)")).await.unwrap();
    }
    let urls: [ServerUrl; 2] = [&blue, &green].map(|server| server.url().parse().unwrap());
    let config = CreateConfig::new("mydb1", urls[0].clone(), urls[1].clone()).unwrap();
    Box::pin(create(&config, |_| {})).await.unwrap();

    let upstream = |server: &Server| Upstream::Tcp(format!("127.0.0.1:{}", server.port()));
    let production = Endpoint::bind("127.0.0.1:0", upstream(&blue)).await.unwrap();
    let address = production.local_addr();
    let mut routing = Endpoints::new(production, None, upstream(&blue), upstream(&green));
    let refused = Arc::new(AtomicU64::new(0));
    let (stop, stopped) = watch::channel(false);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        clients.spawn(commit(client, address, refused.clone(), stopped.clone()));
    }
    tokio::time::sleep(REST).await;

    let config = SwitchoverConfig::new(urls[0].clone(), urls[1].clone());
    let (mut reports, mut windows) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let began = Instant::now();
        let report = match round % 2 {
            0 => Box::pin(switch_over(&config, &routing)).await.unwrap(),
            _ => Box::pin(roll_back(&config, &routing)).await.unwrap(),
        };
        assert_eq!(report.outcome, Outcome::Completed, "{:?}", report.reason);
        routing = routing.reversed();
        tokio::time::sleep(REST).await;
        windows.push((began, Instant::now()));
        reports.push(report);
    }
    stop.send(true).unwrap();
    let mut gaps = Vec::new();
    let mut written = Vec::new();
    while let Some(client) = clients.join_next().await {
        let client = client.unwrap();
        gaps.extend(windows.iter().map(|window| longest_gap(&client.acknowledged, *window)));
        written.push(client);
    }
    let now_production = if rounds.is_multiple_of(2) { &blue } else { &green };
    let acknowledged = prove(now_production, &written).await;
    report_on(kind, &reports, gaps, acknowledged, refused.load(Ordering::Relaxed));
}

struct Client {
    id: u32,
    /// When each transaction was acknowledged, and its number.
    acknowledged: Vec<(Instant, u64)>,
}

/// One transaction a period, each with the next number; one whose outcome is not known is looked for before it is tried
/// again.
async fn commit(id: u32, address: SocketAddr, refused: Arc<AtomicU64>, stopped: watch::Receiver<bool>) -> Client {
    let mut client = Client { id, acknowledged: Vec::new() };
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut number, mut is_uncertain) = (1, false);
    while !*stopped.borrow() {
        let options = OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .user(Some("app"))
            .pass(Some("app"))
            .prefer_socket(false);
        let Ok(mut session) = Conn::new(options).await else {
            refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        while !*stopped.borrow() {
            tick.tick().await;
            let done = match is_uncertain {
                true => is_there(&mut session, id, number).await,
                false => Ok(false),
            };
            let done = match done {
                Ok(false) => transaction(&mut session, id, number).await,
                there => there,
            };
            match done {
                Ok(_) => {
                    client.acknowledged.push((Instant::now(), number));
                    (number, is_uncertain) = (number + 1, false);
                }
                // Refused: it is not there. The server that refuses is not the production any more.
                Err(mysql_async::Error::Server(_)) => {
                    let _ = session.query_drop("ROLLBACK").await;
                }
                Err(_) => {
                    is_uncertain = true;
                    break;
                }
            }
        }
    }
    client
}

async fn transaction(session: &mut Conn, id: u32, number: u64) -> mysql_async::Result<bool> {
    session.query_drop("BEGIN").await?;
    session.query_drop(format!("INSERT INTO shop.written VALUES ({id}, {number})")).await?;
    session.query_drop(format!("UPDATE shop.last SET number = {number} WHERE client = {id}")).await?;
    session.query_drop("COMMIT").await?;
    Ok(true)
}

async fn is_there(session: &mut Conn, id: u32, number: u64) -> mysql_async::Result<bool> {
    let last: Option<u64> = session.query_first(format!("SELECT number FROM shop.last WHERE client = {id}")).await?;
    Ok(last >= Some(number))
}

/// The longest time without an acknowledgement that touches the window.
fn longest_gap(acknowledged: &[(Instant, u64)], (from, to): (Instant, Instant)) -> Duration {
    let pairs = acknowledged.iter().zip(acknowledged.iter().skip(1));
    let touching = pairs.filter(|((before, _), (after, _))| *after >= from && *before <= to);
    touching.map(|((before, _), (after, _))| *after - *before).max().unwrap_or_default()
}

/// What was acknowledged is there, once and in order.
async fn prove(production: &Server, clients: &[Client]) -> usize {
    let mut acknowledged = 0;
    for client in clients {
        let id = client.id;
        let select = format!("SELECT number FROM shop.written WHERE client = {id} ORDER BY number");
        let present = production.sql(&select).await.unwrap();
        let present: Vec<u64> = present.lines().map(|number| number.parse().unwrap()).collect();
        let last: u64 = client.acknowledged.last().map_or(0, |(_, number)| *number);
        // One more may have been committed whose answer did not come.
        let whole: Vec<u64> = (1..=present.len() as u64).collect();
        assert!(present == whole && (last..=last + 1).contains(&(present.len() as u64)), "client {id} lost a write");
        let newest = production.sql(&format!("SELECT number FROM shop.last WHERE client = {id}")).await.unwrap();
        assert_eq!(newest, present.len().to_string(), "client {id}: an older write came behind a newer one");
        acknowledged += client.acknowledged.len();
    }
    acknowledged
}

fn report_on(kind: Kind, reports: &[Report], gaps: Vec<Duration>, acknowledged: usize, refused: u64) {
    let blocks: Vec<f64> = reports.iter().map(|report| report.write_block_ms.unwrap()).collect();
    println!("{}, {} switches, there and back in turn", kind.label(), reports.len());
    println!("  write block                  {}", of(blocks));
    for index in 0..reports[0].steps.len() {
        let name = serde_json::to_value(reports[0].steps[index].step).unwrap();
        let times = reports.iter().map(|report| report.steps[index].ms).collect();
        println!("    {:<26} {}", name.as_str().unwrap(), of(times));
    }
    println!("  longest gap a client saw     {}", of(gaps.iter().map(|gap| gap.as_secs_f64() * 1e3).collect()));
    println!("  new connections refused      {refused}");
    println!("  transactions acknowledged    {acknowledged}, none lost, repeated or out of order");
}

/// Median, 95th percentile and maximum.
fn of(mut milliseconds: Vec<f64>) -> String {
    milliseconds.sort_by(f64::total_cmp);
    let at = |share: f64| milliseconds[((milliseconds.len() - 1) as f64 * share).round() as usize];
    format!("median {:.0}, p95 {:.0}, max {:.0} ms", at(0.5), at(0.95), at(1.0))
}
