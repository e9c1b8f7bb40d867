//! What the reader sees. Plain text on standard output; nothing with `--json`, whose one document comes at the end.

use std::time::Instant;

use crate::progress;

pub(super) struct Narrator {
    is_silent: bool,
    since: Instant,
    step: u32,
}

impl Narrator {
    pub(super) fn new(json: bool) -> Narrator {
        Narrator { is_silent: json, since: Instant::now(), step: 0 }
    }

    /// A new chapter, with what it is for.
    pub(super) fn step(&mut self, verb: &str, purpose: &str) {
        self.step += 1;
        self.print(format!("\n[{:>5.1} s] {}. {verb}: {purpose}", self.since.elapsed().as_secs_f64(), self.step));
    }

    /// A line within it.
    pub(super) fn say(&self, text: impl AsRef<str>) {
        self.print(format!("          {}", text.as_ref()));
    }

    /// What the verb itself prints.
    pub(super) fn show(&self, print: impl FnOnce()) {
        if !self.is_silent {
            print();
        }
    }

    fn print(&self, text: String) {
        if !self.is_silent {
            progress::line(text);
        }
    }
}
