//! Progress on standard error, and only where that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// All bars of the process, so that a log line can go above them. Draws nothing where standard error is no terminal.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Whether there is somebody who looks.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// A bar over something that has an end.
pub(crate) fn bar(what: &'static str, total: u64) -> ProgressBar {
    let bar = BARS.add(ProgressBar::new(total)).with_prefix(what);
    styled(bar, "{prefix:>10} [{bar:32}] {percent:>3}%  {msg}")
}

/// A line with something that turns, for what has no end.
pub(crate) fn spinner(what: &'static str) -> ProgressBar {
    let bar = styled(BARS.add(ProgressBar::new_spinner()).with_prefix(what), "{prefix:>10} {spinner} {msg}");
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    // The templates are ours and valid; the default would do too.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.with_style(style.progress_chars("=> "))
}

/// Where log lines go: standard error, above whatever bar is drawn there.
pub(crate) fn above_the_bars() -> impl Write {
    AboveTheBars
}

struct AboveTheBars;

impl Write for AboveTheBars {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        BARS.suspend(|| io::stderr().write_all(buffer))?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Prints a line on standard output without tearing a bar apart.
pub(crate) fn line(text: impl std::fmt::Display) {
    BARS.suspend(|| crate::output::line(text));
}
