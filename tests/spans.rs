//! Each long work is a span, named and with its servers' addresses, and nothing in any span is a value or a secret.

mod support;

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bluegreen::create::{CreateConfig, create};
use bluegreen::pipeline::{Replication, ReplicationConfig, dry_run};
use bluegreen::sandbox::Kind;
use bluegreen::switchover::SwitchoverConfig;
use bluegreen::watch::Watch;
use support::Pair;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const PASSWORD: &str = "plugh-4711";
const VALUE: &str = "xyzzy-0815";

/// Keeps the fields of each span of this crate by its name, and all text of events.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<(BTreeMap<&'static str, String>, String)>>);

struct Shown<'s>(&'s mut String);

impl Visit for Shown<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("bluegreen")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let kept = &mut self.0.lock().unwrap().0;
        span.record(&mut Shown(kept.entry(span.metadata().name()).or_default()));
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Shown(&mut self.0.lock().unwrap().1));
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn each_work_is_a_span_without_secrets() {
    let kept = Kept::default();
    tracing::subscriber::set_global_default(kept.clone()).unwrap();
    let pair = Pair::start(Kind::MariaDb1011, Kind::MariaDb1011).await;
    let account = format!(
        "CREATE USER 'engine'@'%' IDENTIFIED BY '{PASSWORD}'; GRANT ALL PRIVILEGES ON *.* TO 'engine'@'%' WITH GRANT OPTION"
    );
    pair.green.sql(&account).await.unwrap();
    pair.blue.sql(&account).await.unwrap();
    pair.blue
        .sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE = InnoDB")
        .await
        .unwrap();
    let url = |port: u16| format!("mysql://engine:{PASSWORD}@127.0.0.1:{port}").parse().unwrap();
    let (blue, green): (bluegreen::net::ServerUrl, bluegreen::net::ServerUrl) =
        (url(pair.blue.port()), url(pair.green.port()));
    let config = CreateConfig::new("mydb1", blue.clone(), green.clone()).unwrap();
    Box::pin(create(&config, |_| {})).await.unwrap();
    let replication = Box::pin(Replication::start(ReplicationConfig::new(blue.clone(), green.clone()))).await.unwrap();
    let watch = Watch::start(green.clone()).await.unwrap();
    pair.green.sql(&format!("INSERT INTO shop.t VALUES (1, '{VALUE}')")).await.unwrap();
    let mut progress = watch.progress();
    let found = progress.wait_for(|progress| progress.found == 1);
    drop(tokio::time::timeout(Duration::from_secs(20), found).await.expect("not found").unwrap());
    pair.blue.sql(&format!("INSERT INTO shop.t VALUES (1, '{VALUE}'), (2, '{VALUE}')")).await.unwrap();
    pair.level(&replication).await;
    Box::pin(dry_run(&SwitchoverConfig::new(blue, green))).await.unwrap();
    watch.stop().await.unwrap();
    replication.stop().await.unwrap();

    let (spans, events) = &*kept.0.lock().unwrap();
    for name in ["create", "replication", "receive", "decode", "plan", "apply", "watch", "switchover"] {
        assert!(spans.contains_key(name), "{name}: {spans:?}");
    }
    let address = format!("127.0.0.1:{}", pair.green.port());
    for name in ["create", "replication", "watch", "switchover"] {
        assert!(spans[name].contains(&address), "{name}: {spans:?}");
    }
    assert!(!events.is_empty());
    for text in spans.values().chain([events]) {
        assert!(!text.contains(PASSWORD) && !text.contains(VALUE), "{text}");
    }
}
