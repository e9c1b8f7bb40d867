//! A watch over green's log, in this process, and what it costs.

use std::time::{Duration, Instant};

use bluegreen::watch::{self, Watch};

use crate::process;

pub(crate) struct Watched {
    watch: Watch,
    cpu: Duration,
}

/// Begins where green's log ends.
pub(crate) async fn start(url: &str) -> Watched {
    let url = url.parse().unwrap();
    watch::install(&url).await.unwrap();
    let watch = Watch::start(url).await.unwrap();
    // What was applied before a watch was there is read first, and not measured.
    level(&watch).await;
    Watched { watch, cpu: process::cpu(std::process::id()) }
}

async fn level(watch: &Watch) {
    let (asked, mut progress) = (Instant::now(), watch.progress());
    let level = progress.wait_for(|progress| progress.level_at.is_some_and(|at| at > asked));
    drop(tokio::time::timeout(Duration::from_secs(300), level).await.expect("not level").unwrap());
}

impl Watched {
    /// Waits until it has read all, and prints what that cost.
    pub(crate) async fn end(self, row_changes: u64) {
        let behind = Instant::now();
        level(&self.watch).await;
        let cpu = process::cpu(std::process::id()) - self.cpu;
        let found = self.watch.progress().borrow().found;
        self.watch.stop().await.unwrap();
        assert_eq!(found, 0, "a change of blue was taken for another's");
        println!(
            "watch: {:.1} CPU µs a row change, level {:.2} s behind the engine",
            cpu.as_secs_f64() * 1e6 / row_changes as f64,
            behind.elapsed().as_secs_f64()
        );
    }
}
