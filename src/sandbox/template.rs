//! Data directories as they are right after a server's first start, made once and copied for every new server.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::directory::ServerDirectory;
use super::process::{POLL, Process, Signal};
use super::program::option;
use super::{Installation, Kind, SandboxError, SandboxErrorKind, cache, copy, session};

/// Part of a template's name: raised when what templates hold changes.
const REVISION: u32 = 2;
/// Options that a data directory is made with and that a server cannot change later.
const CREATION_OPTIONS: [&str; 3] = ["lower-case-table-names", "innodb-page-size", "innodb-data-file-path"];

/// How long a server may take to start or to stop.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Fills `data`, which must not exist, with a fresh data directory that suits the server and its options.
///
/// `directory` is not removed before the last file is written, also where nobody waits for that any more.
pub(super) async fn create_data(
    installation: &Installation,
    options: &[String],
    data: &Path,
    directory: Arc<ServerDirectory>,
) -> Result<(), SandboxError> {
    let options: Vec<String> = options.iter().filter(|option| is_creation_option(option)).cloned().collect();
    let template = ensure(installation, &options).await?;
    let draft = cache::Draft::new(data)?;
    let copy = draft.path().join("data");
    let (draft, _directory) = copy_folder(template, copy.clone(), (draft, directory)).await?;
    draft.finish(&copy)
}

/// Copies a data directory. A copy that nobody waits for any more goes on to its end, so `owner` is what must not be
/// dropped before.
async fn copy_folder<O: Send + 'static>(from: PathBuf, to: PathBuf, owner: O) -> Result<O, SandboxError> {
    let doing = format!("create the data directory {}", to.display());
    let copying = tokio::task::spawn_blocking(move || copy::copy_folder(&from, &to).map(|()| owner));
    let copied = copying.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    copied.map_err(|error| SandboxError::io(doing, error))
}

fn is_creation_option(option: &str) -> bool {
    let name = option.trim_start_matches('-').split('=').next().unwrap_or_default().replace('_', "-");
    CREATION_OPTIONS.contains(&name.as_str())
}

async fn ensure(installation: &Installation, options: &[String]) -> Result<PathBuf, SandboxError> {
    let mut hasher = DefaultHasher::new();
    (REVISION, installation.identity(), options).hash(&mut hasher);
    let name = format!("{}-{:016x}", installation.kind(), hasher.finish());
    let place = cache::subfolder("templates")?.join(&name);
    if place.is_dir() {
        return Ok(place);
    }
    let _lock = cache::lock(format!("template-{name}")).await?;
    if !place.is_dir() {
        let draft = cache::Draft::new(&place)?;
        let (data, sparse) = (draft.path().join("data"), draft.path().join("sparse"));
        Box::pin(create(installation, options, &data)).await?;
        // The server wrote out its logs; a copy leaves their zeros out, and so does every copy of the copy.
        let draft = copy_folder(data, sparse.clone(), draft).await?;
        draft.finish(&sparse)?;
    }
    Ok(place)
}

async fn create(installation: &Installation, options: &[String], data: &Path) -> Result<(), SandboxError> {
    let directory = ServerDirectory::create().map_err(|error| SandboxError::io("create a temporary folder", error))?;
    let log = directory.path().join("error.log");
    if installation.kind() == Kind::MySql97 {
        let mut command = installation.server(data);
        command.args(["--initialize-insecure", "--disable-log-bin"]).args(options);
        let process = Process::start(command, &log).await?;
        match process.wait(PATIENCE).await {
            Some(status) if status.success() => {}
            _ => return Err(failed(installation.kind(), "create a data directory", &log)),
        }
    } else {
        bootstrap(installation, options, data, directory.path(), &log).await?;
    }
    settle(installation, options, data, directory.path(), &log).await?;
    // Each copy has to become a server of its own.
    for name in ["auto.cnf", "binlog.index", "binlog.000001"] {
        let _ = fs::remove_file(data.join(name));
    }
    Ok(())
}

/// Creates the system tables from the package's SQL files, for servers that cannot do so themselves.
async fn bootstrap(
    installation: &Installation,
    options: &[String],
    data: &Path,
    folder: &Path,
    log: &Path,
) -> Result<(), SandboxError> {
    // The help texts (`fill_help_tables.sql`) are left out: half of the time, and no use here.
    const SCRIPTS: [(&str, bool); 5] = [
        ("mysql_system_tables.sql", true),
        ("mysql_performance_tables.sql", false),
        ("mysql_system_tables_data.sql", true),
        ("maria_add_gis_sp_bootstrap.sql", false),
        ("mysql_sys_schema.sql", false),
    ];
    let script = folder.join("bootstrap.sql");
    let write = || -> io::Result<()> {
        fs::create_dir(data)?;
        fs::create_dir(data.join("mysql"))?;
        let mut file = File::create(&script)?;
        writeln!(file, "use mysql;")?;
        if installation.kind().is_mariadb() {
            // A root without a password, rather than one that only the system's root may be.
            writeln!(file, "set @auth_root_socket=NULL;")?;
        }
        for (name, needed) in SCRIPTS {
            match installation.script(name) {
                Some(path) => io::copy(&mut File::open(path)?, &mut file).map(|_| ())?,
                None if needed => {
                    return Err(io::Error::new(io::ErrorKind::NotFound, format!("no {name}")));
                }
                None => {}
            }
        }
        Ok(())
    };
    write().map_err(|error| {
        let doing =
            format!("collect the SQL files that create system tables below {}", installation.folder().display());
        SandboxError::io(doing, error)
    })?;
    let mut command = installation.server(data);
    command.arg("--bootstrap").arg("--skip-log-bin").arg(option("--tmpdir", folder)).args(options);
    if installation.kind().is_mariadb() {
        command.args(["--enforce-storage-engine=", "--max-allowed-packet=8M", "--net-buffer-length=16K"]);
    }
    let status = run_with_input(command, &script, log).await?;
    if status { Ok(()) } else { Err(failed(installation.kind(), "create a data directory", log)) }
}

async fn run_with_input(mut command: Command, input: &Path, log: &Path) -> Result<bool, SandboxError> {
    let doing = |error| SandboxError::io("run the server's bootstrap", error);
    let output = File::options().create(true).append(true).open(log).map_err(doing)?;
    command.stdin(Stdio::from(File::open(input).map_err(doing)?));
    command.stdout(output.try_clone().map_err(doing)?).stderr(output);
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().map_err(doing)?;
    match tokio::time::timeout(PATIENCE, child.wait()).await {
        Ok(status) => Ok(status.map_err(doing)?.success()),
        Err(_) => Ok(false),
    }
}

/// Runs the server once: its first start makes keys and files that need not be made again, and accounts are set up.
async fn settle(
    installation: &Installation,
    options: &[String],
    data: &Path,
    folder: &Path,
    log: &Path,
) -> Result<(), SandboxError> {
    let socket = folder.join("s.sock");
    let mut command = installation.server(data);
    command.args(["--skip-networking", "--skip-log-bin", "--skip-name-resolve", "--server-id=1"]);
    command.args(["--character-set-server=utf8mb4", "--innodb-buffer-pool-size=64M"]);
    command.arg(option("--socket", &socket)).arg(option("--tmpdir", folder));
    command.arg(option("--pid-file", &folder.join("pid")));
    if installation.kind() == Kind::MySql97 {
        command.arg("--mysqlx=OFF");
    }
    command.args(options);
    let process = Process::start(command, log).await?;
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = session::query(&socket, "select 1").await {
        if process.ended().is_some() || Instant::now() >= deadline {
            return Err(failed(installation.kind(), "start for the first time", log).caused_by(error));
        }
        sleep(POLL).await;
    }
    let strangers = "select concat(quote(user), '@', quote(host)) from mysql.user \
                     where user = '' or (user = 'root' and host <> 'localhost')";
    for stranger in session::query(&socket, strangers).await?.lines() {
        session::query(&socket, &format!("drop user {stranger}")).await?;
    }
    for statement in [
        "create user root@'127.0.0.1'",
        "grant all privileges on *.* to root@'127.0.0.1' with grant option",
        "drop database if exists test",
        "delete from mysql.db where db like 'test%'",
        "flush privileges",
    ] {
        session::query(&socket, statement).await?;
    }
    process.signal(Signal::Terminate)?;
    match process.wait(PATIENCE).await {
        Some(_) => Ok(()),
        None => Err(failed(installation.kind(), "stop after its first start", log)),
    }
}

/// An error with what the server's own log says about it.
pub(super) fn failed(kind: Kind, doing: &str, log: &Path) -> SandboxError {
    let text = fs::read(log).unwrap_or_default();
    let said = last_errors(&String::from_utf8_lossy(&text)).unwrap_or_else(|| "it said nothing".to_owned());
    SandboxError::new(SandboxErrorKind::Start, format!("{} did not {doing}: {said}", kind.label()))
}

/// The last lines of an error log that are errors, else its last line, in one line.
fn last_errors(log: &str) -> Option<String> {
    let lines = || log.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let mut errors: Vec<&str> =
        lines().filter(|line| line.contains("[ERROR]") || line.contains("ERROR:")).take(3).collect();
    errors.reverse();
    if errors.is_empty() { lines().next().map(str::to_owned) } else { Some(errors.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_data_depends_on_are_told_apart() {
        assert!(is_creation_option("--lower_case_table_names=1"));
        assert!(is_creation_option("--innodb-page-size=8K"));
        assert!(!is_creation_option("--innodb-buffer-pool-size=8K"));
        assert!(!is_creation_option("--lower-case"));
    }

    #[test]
    fn errors_of_a_log_are_its_last_error_lines() {
        assert_eq!(last_errors(""), None);
        assert_eq!(last_errors("one\nld.so: no library\n\n").as_deref(), Some("ld.so: no library"));
        let log = "[Note] a\n[ERROR] 1\n[ERROR] 2\n[ERROR] 3\n[ERROR] 4\n[Note] b\n";
        assert_eq!(last_errors(log).as_deref(), Some("[ERROR] 2; [ERROR] 3; [ERROR] 4"));
    }
}
