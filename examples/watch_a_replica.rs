//! Beside two servers that their own replication keeps in sync: lag, foreign writes and equality, and nothing applied.
//!
//! ```text
//! cargo run --example watch_a_replica -- mysql://root@127.0.0.1:3306 mysql://root@127.0.0.1:3307
//! ```
//!
//! The replica needs GTIDs and a binary log in row format; the journal of foreign writes is kept there, in the schema
//! `bluegreen`.

use std::error::Error;
use std::process::ExitCode;

use bluegreen::checks::{LagProbe, VerifyConfig, verify};
use bluegreen::net::ServerUrl;
use bluegreen::watch;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(source), Some(replica)) = (arguments.next(), arguments.next()) else {
        return Err("usage: watch_a_replica SOURCE_URL REPLICA_URL".into());
    };
    let (source, replica): (ServerUrl, ServerUrl) = (source.parse()?, replica.parse()?);

    let lag = LagProbe::new(source.clone(), replica.clone()).measure().await;
    match lag.transactions() {
        Some(transactions) => println!("lag: {transactions} transactions"),
        None => println!("lag: unknown"),
    }

    // The first call begins the journal; what was written before it is not in the journal, but not equal either.
    watch::install(&replica).await?;
    let written = watch::scan(&replica, true).await?;
    println!("foreign writes: {} open of {}", written.open(), written.total());
    for write in watch::journal(&replica).await?.iter().filter(|write| write.is_open()) {
        let table = write.table.as_deref().or(write.statement.as_deref()).unwrap_or("?");
        println!("  {} {} {table} at {}", write.id, write.kind, write.at);
    }

    let verified = verify(&VerifyConfig::new(source, replica), |_| {}).await?;
    println!("{} rows of {} tables compared, {} differ", verified.rows, verified.tables, verified.differences.len());
    Ok(if verified.equal && written.open() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
