//! `bluegreen replicate`, as its users run it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::process;
use crate::report::Run;

/// What a run to the end of blue's log took.
pub(crate) struct Engine {
    pub(crate) run: Run,
    /// Of the engine's own process.
    pub(crate) cpu: Duration,
    pub(crate) peak_kib: u64,
    pub(crate) row_changes: u64,
}

/// The address of the server at a port.
pub(crate) fn url(port: u16) -> String {
    format!("mysql://root@127.0.0.1:{port}")
}

/// Replicates from the checkpoint on green, or else from the GTIDs `start`, until all is there that blue had when the
/// engine started, over so many lanes; with or without stopping at rows that are not as blue had them.
pub(crate) async fn catch_up(
    blue: &str,
    green: &str,
    start: &str,
    (lanes, stops): (usize, bool),
    green_pid: u32,
) -> Engine {
    let (green_cpu, cpu, began) = (process::cpu(green_pid), process::cpu_of_children(), Instant::now());
    let lanes = lanes.to_string();
    let mut command = command(blue, green, start);
    let conflicts = if stops { "stop" } else { "blue-wins" };
    let arguments = ["--until-caught-up", "--lanes", &lanes, "--conflicts", conflicts];
    let mut child = command.args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut peak_kib = 0;
    while child.try_wait().unwrap().is_none() {
        // The last look before its end counts.
        peak_kib = process::peak_kib(child.id()).unwrap_or(peak_kib);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the engine failed");
    let text = String::from_utf8(output.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["conflicts"], &last["reconnects"]), (&0.into(), &0.into()));
    Engine {
        run: Run { took, green_cpu: process::cpu(green_pid) - green_cpu },
        cpu: process::cpu_of_children() - cpu,
        peak_kib,
        row_changes: last["row_changes"].as_u64().unwrap(),
    }
}

/// Replicates until the process is killed.
pub(crate) fn run(blue: &str, green: &str, start: &str) -> Child {
    command(blue, green, start).stdout(Stdio::null()).spawn().unwrap()
}

fn command(blue: &str, green: &str, start: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bluegreen"));
    command.args(["replicate", "--json", "--blue", blue, "--green", green, "--from", &format!("gtid:{start}")]);
    command
}
