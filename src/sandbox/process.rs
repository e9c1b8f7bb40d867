//! A server's process: started so that it dies with this one, ended on every path.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::SandboxError;

/// How long to sleep between two looks at something that gives no notice.
pub(super) const POLL: Duration = Duration::from_millis(10);

/// A running process; dropping it kills it and waits until it is gone.
#[derive(Debug)]
pub(super) struct Process {
    // Locked for the moment of one call, so that looking at the process needs no `&mut`. The process cannot be reaped
    // while the lock is held, so its number cannot mean another process.
    child: Mutex<Child>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Signal {
    Terminate,
    Kill,
    Stop,
    Continue,
}

impl Process {
    /// Starts `command` with both outputs appended to `log`.
    ///
    /// Cancel safe: a process that nobody waits for any more is killed.
    pub(super) async fn start(command: Command, log: &Path) -> Result<Self, SandboxError> {
        let program = command.get_program().to_owned();
        let failed = |error| SandboxError::io(format_args!("start {}", Path::new(&program).display()), error);
        let output = OpenOptions::new().create(true).append(true).open(log).map_err(failed)?;
        let mut command = bound_to_this_process(command);
        command.stdin(Stdio::null()).stdout(output.try_clone().map_err(failed)?).stderr(output);
        // In a process group of its own an interrupt from the terminal reaches this process only, which then ends its
        // servers in order.
        command.process_group(0);
        let (reply, started) = oneshot::channel();
        let gone = |_| io::Error::other("the thread that starts servers is gone");
        STARTER
            .send((command, reply))
            .map_err(|_| failed(io::Error::other("the thread that starts servers is gone")))?;
        started.await.map_err(gone).flatten().map_err(failed)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the process ended, if it did.
    pub(super) fn ended(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    /// Sends a signal to the process, if it still runs.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), SandboxError> {
        let mut child = self.child();
        if let Ok(Some(_)) = child.try_wait() {
            return Ok(());
        }
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Kill => {
                return child.kill().map_err(|error| SandboxError::io("kill a server", error));
            }
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        // The shell's own `kill`: a program of that name is not on every system.
        let sent = Command::new("/bin/sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &child.id().to_string()])
            .stdin(Stdio::null())
            .output()
            .and_then(|output| {
                let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                if output.status.success() { Ok(()) } else { Err(io::Error::other(text)) }
            });
        sent.map_err(|error| SandboxError::io(format_args!("send SIG{name} to a server"), error))
    }

    /// Waits until the process has ended, at most `limit`; `None` means that it still runs.
    pub(super) async fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        if child.kill().is_ok() {
            let _ = child.wait();
        }
    }
}

type Request = (Command, oneshot::Sender<io::Result<Process>>);

/// The one thread that starts servers.
///
/// The kernel's "kill me when my parent dies" means the parent's *thread*, so a server must not be started from a thread
/// that ends before this process does, such as a test's or a runtime's.
static STARTER: LazyLock<mpsc::Sender<Request>> = LazyLock::new(|| {
    let (sender, requests) = mpsc::channel::<Request>();
    // Without the thread the channel is closed, which `Process::start` reports.
    let _ = std::thread::Builder::new().name("sandbox-starter".to_owned()).spawn(move || {
        for (mut command, reply) in requests {
            let started = command.spawn().map(|child| Process { child: Mutex::new(child) });
            // A reply that nobody takes drops the process, which kills it.
            let _ = reply.send(started);
        }
    });
    sender
});

/// The same command, run by `setpriv` so that the kernel kills it when this process dies, where that program can do so.
fn bound_to_this_process(command: Command) -> Command {
    static SETPRIV: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let program = find_program("setpriv")?;
        let output = Command::new(&program).args(["--pdeathsig", "KILL", "/bin/sh", "-c", ":"]).output().ok()?;
        output.status.success().then_some(program)
    });
    let Some(setpriv) = SETPRIV.as_ref() else {
        return command;
    };
    let mut bound = Command::new(setpriv);
    bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bound.current_dir(folder);
    }
    bound
}

/// A program of this machine by its name: in `PATH`, else in the folders of the system's own programs, which an ordinary
/// user's `PATH` may lack.
pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|program| fs::metadata(program).is_ok_and(|file| file.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_is_stopped_and_killed_and_its_output_is_logged() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo \"$WORD\"; exec sleep 600"]).env("WORD", "started");
        let process = Process::start(command, &log).await.unwrap();
        while fs::read_to_string(&log).unwrap() != "started\n" {
            sleep(POLL).await;
        }
        assert!(process.ended().is_none());
        process.signal(Signal::Stop).unwrap();
        // Both signals pending at once, the kernel acts on the one of the lower number first.
        while !is_stopped(&process) {
            sleep(POLL).await;
        }
        process.signal(Signal::Terminate).unwrap();
        assert!(process.wait(Duration::from_millis(50)).await.is_none(), "a stopped process acts on no signal");
        process.signal(Signal::Continue).unwrap();
        assert!(process.wait(Duration::from_secs(10)).await.is_some());
        process.signal(Signal::Terminate).unwrap();
    }

    /// Whether the kernel has stopped the process: its state, behind the name in parentheses (proc(5), `stat`).
    fn is_stopped(process: &Process) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.child().id())).unwrap();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }
}
