//! An outage in the middle of a check leaves it unknown: never a pass, and never without an end.
//!
//! A proxy lets so many packets pass to one of the servers and then none, for each number until the check no longer notices:
//! so the outage comes in front of each statement of the check in turn. Others take the servers themselves away.

mod support;

use std::time::{Duration, Instant};

use bluegreen::ErrorKind;
use bluegreen::checks::{Check, Intended, Lag, LagProbe, Verdict, VerifyConfig, drift, verify};
use bluegreen::create::{self, CreateConfig};
use bluegreen::net::ServerUrl;
use bluegreen::pipeline;
use bluegreen::sandbox::Kind;
use bluegreen::switchover::SwitchoverConfig;
use bluegreen::watch::{self, Watch};
use support::Pair;
use support::load;
use support::proxy::{Fault, Proxy};

/// All that is asked about two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Lag,
    Drift,
    Conflicts,
    Preflight,
    Guardrails,
    Verify,
}

impl Asked {
    const ALL: [Asked; 6] =
        [Asked::Lag, Asked::Drift, Asked::Conflicts, Asked::Preflight, Asked::Guardrails, Asked::Verify];

    /// Why it is not known; `None`: all of it was found out.
    async fn unknown(self, blue: &ServerUrl, green: &ServerUrl) -> Option<String> {
        let (blue, green) = (blue.clone(), green.clone());
        let of = |checks: Vec<Check>| {
            assert!(!checks.is_empty());
            let unknown = checks.into_iter().find(|check| check.verdict == Verdict::Unknown);
            unknown.map(|check| format!("{}: {}", check.name, check.evidence))
        };
        match self {
            Asked::Lag => match LagProbe::new(blue, green).measure().await {
                Lag::Unknown { unknown, .. } => Some(unknown),
                known => {
                    assert!(known.is_zero(), "{known:?}");
                    None
                }
            },
            Asked::Drift => of(drift(&blue, &green, &Intended::default()).await),
            Asked::Conflicts => of(vec![Box::pin(watch::check(&green, false)).await]),
            Asked::Preflight => of(Box::pin(create::dry_run(&CreateConfig::new("mydb1", blue, green).unwrap())).await),
            Asked::Guardrails => match Box::pin(pipeline::dry_run(&SwitchoverConfig::new(blue, green))).await {
                Err(error) => Some(error.to_string()),
                Ok(report) => {
                    let unknown = of(report.guardrails);
                    let passes = report.reason.as_ref().is_some_and(|reason| reason.starts_with("dry run"));
                    assert!(unknown.is_none() || !passes, "{unknown:?} {:?}", report.reason);
                    unknown
                }
            },
            Asked::Verify => match Box::pin(verify(&VerifyConfig::new(blue, green), |_| {})).await {
                Err(error) => Some(error.to_string()),
                Ok(found) if found.equal => None,
                Ok(found) => {
                    assert!(found.differences.is_empty(), "an outage is no difference: {found:?}");
                    Some(format!("{:?}", found.unverified))
                }
            },
        }
    }

    fn reads_blue(self) -> bool {
        self != Asked::Conflicts
    }
}

/// Green level with blue, and nothing that any check has something against.
async fn level_pair(kind: Kind) -> Pair {
    let pair = Pair::start(kind, kind).await;
    load::schema(&pair.blue).await;
    pair.create().await;
    let replication = pair.replicate().await;
    pair.blue.sql("UPDATE shop.seat SET owner = 'x' WHERE id = 1").await.unwrap();
    pair.level(&replication).await;
    replication.stop().await.unwrap();
    pair
}

async fn before_each_statement(kind: Kind) {
    let pair = level_pair(kind).await;
    let (to_blue, to_green) = (Proxy::start(pair.blue.port()).await, Proxy::start(pair.green.port()).await);
    let (blue, green): (ServerUrl, ServerUrl) = (to_blue.url().parse().unwrap(), to_green.url().parse().unwrap());
    for asked in Asked::ALL {
        assert_eq!(asked.unknown(&blue, &green).await, None, "{asked:?}");
        for (role, proxy) in [("blue", &to_blue), ("green", &to_green)] {
            if role == "blue" && !asked.reads_blue() {
                continue;
            }
            let (mut packets, mut tries) = (0, 0);
            loop {
                proxy.set(Fault::RejectAfter(packets));
                let unknown = asked.unknown(&blue, &green).await;
                if proxy.fault() != Fault::Reject {
                    // It was over before.
                    assert_eq!(unknown, None, "{asked:?}");
                    break;
                }
                assert!(unknown.is_some(), "{asked:?} is known without the answer to packet {packets} to {role}");
                // Each of the first ones, and many of those behind.
                (packets, tries) = (packets + 1 + packets / 8, tries + 1);
            }
            proxy.set(Fault::None);
            assert!(tries > 3, "{asked:?} sends nothing to {role}");
        }
        assert_eq!(asked.unknown(&blue, &green).await, None, "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_each_statement_on_mysql() {
    before_each_statement(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_each_statement_on_mariadb() {
    before_each_statement(Kind::MariaDb1011).await;
}

/// A server that holds an answer back for ever, and one that is stopped as a process, end each check in bounded time.
async fn silence(kind: Kind) {
    const BOUND: Duration = Duration::from_secs(240);
    let pair = level_pair(kind).await;
    let (blue, green) = (pair.blue_url(), pair.green_url());
    let began = Instant::now();
    let held = async |asked: Asked, is_blue: bool| {
        let proxy = Proxy::start(if is_blue { pair.blue.port() } else { pair.green.port() }).await;
        let held: ServerUrl = proxy.url().parse().unwrap();
        // In its middle: behind connecting, and before the last answer.
        proxy.set(Fault::HoldAfter(5));
        let unknown = match is_blue {
            true => asked.unknown(&held, &green).await,
            false => asked.unknown(&blue, &held).await,
        };
        assert!(unknown.is_some(), "{asked:?} is known while a server is silent");
    };
    let [lag, drift, conflicts, preflight, guardrails, verify] = Asked::ALL;
    let all = async {
        tokio::join!(
            held(lag, true),
            held(drift, true),
            held(preflight, true),
            held(guardrails, true),
            held(verify, true),
            held(drift, false),
            held(conflicts, false),
            held(preflight, false),
            held(guardrails, false),
            held(verify, false),
        )
    };
    Box::pin(tokio::time::timeout(BOUND, all)).await.expect("a check waits for ever");
    pair.blue.pause().unwrap();
    let all = async {
        tokio::join!(
            lag.unknown(&blue, &green),
            drift.unknown(&blue, &green),
            preflight.unknown(&blue, &green),
            guardrails.unknown(&blue, &green),
            verify.unknown(&blue, &green),
        )
    };
    let stopped = Box::pin(tokio::time::timeout(BOUND, all)).await.expect("a check waits for ever");
    pair.blue.resume().unwrap();
    let (lag, drift, preflight, guardrails, verify) = stopped;
    for unknown in [lag, drift, preflight, guardrails, verify] {
        assert!(unknown.is_some(), "known of a process that is stopped");
    }
    assert!(began.elapsed() < BOUND * 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_on_mysql() {
    silence(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_on_mariadb() {
    silence(Kind::MariaDb1011).await;
}

/// A server that is killed while it is asked again and again.
async fn killed(kind: Kind) {
    let mut pair = level_pair(kind).await;
    let (blue, green) = (pair.blue_url(), pair.green_url());
    for is_blue in [true, false] {
        let asking = Asked::ALL.into_iter().filter(|asked| !is_blue || asked.reads_blue()).map(|asked| {
            let (blue, green) = (blue.clone(), green.clone());
            tokio::spawn(async move {
                // Until it meets the outage, which it then tells, whatever it was in the middle of.
                while asked.unknown(&blue, &green).await.is_none() {}
                asked.unknown(&blue, &green).await
            })
        });
        let asking: Vec<_> = asking.collect();
        let server = if is_blue { &mut pair.blue } else { &mut pair.green };
        let busy = server.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST").await.unwrap();
        assert!(!busy.is_empty());
        server.kill().await.unwrap();
        for asked in asking {
            let unknown = tokio::time::timeout(Duration::from_secs(120), asked).await.expect("no end").unwrap();
            assert!(unknown.is_some(), "known of a server that is dead");
        }
        server.start().await.unwrap();
    }
    for asked in Asked::ALL {
        assert_eq!(asked.unknown(&blue, &green).await, None, "{asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_mysql() {
    killed(Kind::MySql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_on_mariadb() {
    killed(Kind::MariaDb1011).await;
}

/// Without the engine green stays behind: that is a lag, and rows that differ are neither equal nor different until green
/// has caught up. A watch that is interrupted says so, and is level again only behind a new look.
#[tokio::test(flavor = "multi_thread")]
async fn of_the_engine() {
    let mut pair = level_pair(Kind::MariaDb1011).await;
    let watch = Watch::start(pair.green_url()).await.unwrap();
    pair.blue.sql("UPDATE shop.seat SET owner = CONCAT('later ', id)").await.unwrap();
    let mut config = VerifyConfig::new(pair.blue_url(), pair.green_url());
    config.settle_limit = Duration::from_secs(2);
    let error = Box::pin(verify(&config, |_| {})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State, "{error}");
    let lag = LagProbe::new(pair.blue_url(), pair.green_url()).measure().await;
    assert!(!lag.is_zero() && lag.bytes() > Some(0), "{lag:?}");

    let mut progress = watch.progress();
    pair.green.kill().await.unwrap();
    let interrupted = progress.wait_for(|progress| progress.interrupted.is_some());
    drop(tokio::time::timeout(Duration::from_secs(60), interrupted).await.expect("nobody notices").unwrap());
    let killed = Instant::now();
    assert!(progress.borrow().level_at.is_none_or(|at| at < killed));
    pair.green.start().await.unwrap();
    let level =
        progress.wait_for(|progress| progress.interrupted.is_none() && progress.level_at.is_some_and(|at| at > killed));
    drop(tokio::time::timeout(Duration::from_secs(60), level).await.expect("it does not go on").unwrap());
    watch.stop().await.unwrap();
}
