//! How do I keep one server in step with another from my own program?
//!
//! ```text
//! cargo run --release --example replicate -- mysql://root@127.0.0.1:3306 mysql://root@127.0.0.1:3307 [POSITION]
//! ```
//!
//! Applies blue's changes to green from the checkpoint on green, or from `POSITION` where green has none yet, and
//! prints a line a second until Ctrl-C.

use std::time::Duration;

use bluegreen::pipeline::{Replication, ReplicationConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(blue), Some(green)) = (arguments.next(), arguments.next()) else {
        return Err("usage: replicate BLUE_URL GREEN_URL [beginning|current|gtid:SET|file:NAME:OFFSET]".into());
    };
    let from = arguments.next().map(|text| text.parse()).transpose()?;
    let mut replication = Replication::start(ReplicationConfig::new(blue.parse()?, green.parse()?).from(from)).await?;
    let progress = replication.progress();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            ended = replication.finished() => return Ok(ended?),
            _ = tokio::signal::ctrl_c() => break,
            _ = tick.tick() => {
                let progress = progress.borrow().clone();
                println!("{}: {} transactions, {} row changes", progress.state.name(), progress.transactions, progress.row_changes);
            }
        }
    }
    // At a commit boundary: the next start goes on exactly there.
    replication.stop().await?;
    Ok(())
}
