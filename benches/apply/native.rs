//! The servers' own replication.

use std::time::Instant;

use bluegreen::sandbox::Server;
use mysql_async::prelude::Queryable;

use crate::process;
use crate::report::Run;
use crate::servers::connect;

/// Replicates from the blue at `port` until everything up to the GTIDs `target` is there.
pub(crate) async fn catch_up(green: &Server, port: u16, target: &str) -> Run {
    let pid = process::of_server(green);
    set_source(green, port).await;
    let (cpu, began) = (process::cpu(pid), Instant::now());
    start(green).await;
    wait_for(green, target).await;
    let run = Run { took: began.elapsed(), green_cpu: process::cpu(pid) - cpu };
    stop(green).await;
    run
}

pub(crate) async fn set_source(green: &Server, port: u16) {
    let source = match green.kind().is_mariadb() {
        true => format!(
            "MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={port}, MASTER_USER='root', MASTER_USE_GTID=slave_pos"
        ),
        false => format!(
            "REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT={port}, SOURCE_USER='root', \
             SOURCE_AUTO_POSITION=1, GET_SOURCE_PUBLIC_KEY=1"
        ),
    };
    green.sql(&format!("CHANGE {source}")).await.unwrap();
}

pub(crate) async fn start(green: &Server) {
    green.sql(if green.kind().is_mariadb() { "START SLAVE" } else { "START REPLICA" }).await.unwrap();
}

pub(crate) async fn stop(green: &Server) {
    green.sql(if green.kind().is_mariadb() { "STOP SLAVE" } else { "STOP REPLICA" }).await.unwrap();
}

async fn wait_for(green: &Server, target: &str) {
    let wait = match green.kind().is_mariadb() {
        true => format!("SELECT MASTER_GTID_WAIT('{target}', 900) = 0"),
        false => format!("SELECT WAIT_FOR_EXECUTED_GTID_SET('{target}', 900) = 0"),
    };
    let is_reached: Option<bool> = connect(green).await.query_first(wait).await.unwrap();
    assert_eq!(is_reached, Some(true), "the server's own replication does not catch up");
}
