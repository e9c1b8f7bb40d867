use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::{Effect, Ledger, Routing};
use crate::endpoint::Upstream;
use crate::error::{Error, ErrorKind, Result};

/// What of a command's words goes into a message.
const MOST_WORDS: usize = 200;
/// What holds passwords, and is not the command's.
const SECRETS: [&str; 2] = ["BLUEGREEN_BLUE", "BLUEGREEN_GREEN"];

/// A program that leads applications to production: for DNS, addresses that move, other proxies, clouds.
///
/// It is run once for each action, with one JSON document on its standard input:
/// `{"action":"hold|release|switch","from":{"role":"blue","address":"host:port"},"to":{"role":"green","address":…}}`.
/// `hold`: new connections to `from` should wait, where that can be done; `release`: they go to `from` again; `switch`:
/// connections to `from` end, new ones go to `to`. Exit status 0 says that it is done. Each action may come again, and must
/// then do what is left to do. `hold` is part of the time in which nobody can write: it should be quick, or do nothing.
///
/// No password is handed over.
#[derive(Debug)]
pub struct RouteCommand {
    program: PathBuf,
    arguments: Vec<String>,
    limit: Duration,
    from: Side,
    to: Side,
    ledger: Ledger,
}

/// One of the two servers.
#[derive(Debug)]
struct Side {
    role: &'static str,
    address: Upstream,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Hold,
    Release,
    Switch,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Action::Hold => "hold",
            Action::Release => "release",
            Action::Switch => "switch",
        }
    }
}

impl RouteCommand {
    /// A program with its arguments.
    pub fn new(program: impl Into<PathBuf>, arguments: Vec<String>, blue: Upstream, green: Upstream) -> RouteCommand {
        RouteCommand {
            program: program.into(),
            arguments,
            limit: Duration::from_secs(30),
            from: Side { role: "blue", address: blue },
            to: Side { role: "green", address: green },
            ledger: Ledger::default(),
        }
    }

    /// Bounds each action: the program is killed then, and the action failed. Default 30 s.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> RouteCommand {
        self.limit = limit;
        self
    }

    /// The same for a switchover the other way round, where green is production.
    #[must_use]
    pub fn reversed(mut self) -> RouteCommand {
        std::mem::swap(&mut self.from, &mut self.to);
        self
    }

    async fn run(&self, action: Action) -> Result<()> {
        let done = tokio::time::timeout(self.limit, self.talk(action)).await;
        let done = done.unwrap_or_else(|_| Err(format!("it did not end within {} s", self.limit.as_secs_f64())));
        let intended = match action {
            Action::Hold => "new connections wait".into(),
            Action::Release => format!("connections go to {}", self.from.role),
            Action::Switch => format!("connections go to {}", self.to.role),
        };
        let target = format!("{}: {}", self.program.display(), action.name());
        let observed = done.as_ref().map_or_else(|words| Some(format!("failed: {words}")), |words| Some(words.clone()));
        self.ledger.note(Effect { target, before: None, intended, observed });
        done.map(drop).map_err(|words| {
            let message = format!("{} failed at `{}`: {words}", self.program.display(), action.name());
            Error::new(ErrorKind::State, message)
                .with_advice("run it by hand with the same document on its standard input")
        })
    }

    /// What the program said last.
    async fn talk(&self, action: Action) -> std::result::Result<String, String> {
        let side = |side: &Side| json!({ "role": side.role, "address": side.address.to_string() });
        let plan = json!({ "action": action.name(), "from": side(&self.from), "to": side(&self.to) });
        let mut child = self.command().spawn().map_err(|error| format!("it cannot be started: {error}"))?;
        if let Some(mut input) = child.stdin.take() {
            // A program that does not care for it may have ended.
            let _ = input.write_all(format!("{plan}\n").as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(last_line(&output.stdout)),
            false => Err(format!("{}: {}", output.status, last_line(&output.stderr))),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in SECRETS {
            command.env_remove(name);
        }
        command.kill_on_drop(true);
        command
    }
}

impl Routing for RouteCommand {
    async fn hold(&self) -> Result<()> {
        self.run(Action::Hold).await
    }

    async fn release(&self) {
        if let Err(error) = self.run(Action::Release).await {
            tracing::warn!(%error, "the applications' way to production");
        }
    }

    async fn switch(&self) -> Result<()> {
        self.run(Action::Switch).await
    }

    fn effects(&self) -> Vec<Effect> {
        self.ledger.take()
    }
}

fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().chars().take(MOST_WORDS).collect()
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> RouteCommand {
        let side = |name: &str| Upstream::Tcp(format!("{name}.example:3306"));
        RouteCommand::new("/bin/sh", vec!["-c".into(), script.into()], side("b"), side("g"))
    }

    #[tokio::test]
    async fn the_plan_is_on_its_standard_input() {
        let routing = shell("cat; echo; echo moved").reversed();
        routing.switch().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("plan");
        shell(&format!("cat > '{}'", file.display())).hold().await.unwrap();
        let plan: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(plan["action"], "hold");
        assert_eq!(plan["from"], json!({ "role": "blue", "address": "b.example:3306" }));
        assert_eq!(plan["to"]["role"], "green");
        let effects = routing.effects();
        assert_eq!(effects[0].observed.as_deref(), Some("moved"));
        assert_eq!(effects[0].intended, "connections go to blue");
        assert!(routing.effects().is_empty());
    }

    #[tokio::test]
    async fn failures_say_why() {
        let error = shell("echo no such zone >&2; exit 3").switch().await.unwrap_err().to_string();
        assert!(error.contains("no such zone") && error.contains("switch"), "{error}");
        let error = shell("exec sleep 60").with_limit(Duration::from_millis(50)).hold().await.unwrap_err().to_string();
        assert!(error.contains("did not end"), "{error}");
        let side = || Upstream::Tcp("b:1".into());
        assert!(RouteCommand::new("/nowhere/x", Vec::new(), side(), side()).hold().await.is_err());
        shell("exit 0").hold().await.unwrap();
    }

    #[test]
    fn no_password_is_handed_over() {
        let command = shell("exit 0").command();
        for name in SECRETS {
            assert!(command.as_std().get_envs().any(|(other, value)| other == name && value.is_none()), "{name}");
        }
    }
}
