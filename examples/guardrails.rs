//! Could I switch over now, and what stands in the way?
//!
//! ```text
//! cargo run --release --example guardrails -- mysql://root@127.0.0.1:3306 mysql://root@127.0.0.1:3307
//! ```
//!
//! Blue and green of a deployment that `create` built. Nothing is written on either; the exit status is 1 where a
//! guardrail says no.

use std::error::Error;
use std::process::ExitCode;

use bluegreen::checks::{Lag, LagProbe};
use bluegreen::net::ServerUrl;
use bluegreen::pipeline::dry_run;
use bluegreen::switchover::SwitchoverConfig;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(blue), Some(green)) = (arguments.next(), arguments.next()) else {
        return Err("usage: guardrails BLUE_URL GREEN_URL".into());
    };
    let (blue, green): (ServerUrl, ServerUrl) = (blue.parse()?, green.parse()?);

    match LagProbe::new(blue.clone(), green.clone()).measure().await {
        Lag::Unknown { unknown, .. } => println!("lag: unknown, {unknown}"),
        lag => {
            let figure = |figure: Option<u64>| figure.map_or("unknown".to_owned(), |figure| figure.to_string());
            let seconds = lag.seconds().map_or("unknown".to_owned(), |seconds| format!("{seconds:.1}"));
            let (transactions, bytes) = (figure(lag.transactions()), figure(lag.bytes()));
            println!("lag: {seconds} s, {transactions} transactions, {bytes} bytes");
        }
    }

    let report = dry_run(&SwitchoverConfig::new(blue, green)).await?;
    for check in &report.guardrails {
        println!("{:>7} {}: {}", format!("{:?}", check.verdict).to_lowercase(), check.name, check.evidence);
        if let Some(advice) = &check.advice {
            println!("{:>7} {advice}", "");
        }
    }
    let is_blocked = report.guardrails.iter().any(|check| check.blocks());
    Ok(if is_blocked { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
