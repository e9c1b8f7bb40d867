//! What `/proc` says of a process.

use std::fs;
use std::time::Duration;

use bluegreen::sandbox::Server;

/// The server's process, as its own file says.
pub(crate) fn of_server(server: &Server) -> u32 {
    let file = server.socket().with_file_name("pid");
    fs::read_to_string(file).unwrap().trim().parse().unwrap()
}

/// CPU time that a process took so far, in user mode and in the system.
pub(crate) fn cpu(process: u32) -> Duration {
    ticks(&process.to_string(), [11, 12])
}

/// The same of this one's children that have ended.
pub(crate) fn cpu_of_children() -> Duration {
    ticks("self", [13, 14])
}

fn ticks(process: &str, fields: [usize; 2]) -> Duration {
    const TICKS_PER_SECOND: u32 = 100;
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The program's name, in parentheses, may hold anything.
    let all: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u32 = fields.map(|field| all[field].parse::<u32>().unwrap()).iter().sum();
    Duration::from_secs(1) * ticks / TICKS_PER_SECOND
}

/// The most memory that a process had so far, in KiB; `None`: it has ended.
pub(crate) fn peak_kib(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches(" kB").parse().ok()
}
