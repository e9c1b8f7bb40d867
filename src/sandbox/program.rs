//! A server's programs on this machine, and how to run them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use super::{Kind, SandboxError, SandboxErrorKind};

/// A server that is on this machine: fetched, or the machine's own.
#[derive(Debug, Clone)]
pub struct Installation {
    kind: Kind,
    server: PathBuf,
    folder: PathBuf,
    programs: Vec<PathBuf>,
    libraries: Libraries,
    share: Option<PathBuf>,
    plugins: Option<PathBuf>,
}

/// What programs that are not installed are run with.
#[derive(Debug, Clone, Default)]
pub(super) struct Libraries {
    folders: Vec<PathBuf>,
    /// The dynamic loader of a folder that has a C library of its own, which only that loader fits.
    loader: Option<PathBuf>,
}

impl Libraries {
    /// Those of a Debian release's unpacked packages.
    pub(super) fn of_packages(folder: &Path) -> Result<Self, SandboxError> {
        // Older releases keep libraries outside of `usr`. The loader's links in `lib64` are absolute, so they lead to the
        // machine's own loader: take the file beside the C library.
        let folders = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|name| folder.join(name)).into_iter();
        let folders: Vec<PathBuf> = folders.filter(|folder| folder.is_dir()).collect();
        let loader = folders.iter().map(|folder| folder.join("ld-linux-x86-64.so.2")).find(|loader| loader.is_file());
        let loader = Some(loader.ok_or_else(|| incomplete(folder, "its C library"))?);
        Ok(Self { folders, loader })
    }

    /// A command that runs a program with them.
    pub(super) fn run(&self, program: &Path) -> Command {
        let folders = self.folders.iter().map(|folder| folder.as_os_str()).collect::<Vec<_>>().join(":".as_ref());
        match &self.loader {
            Some(loader) => {
                let mut command = Command::new(loader);
                command.arg("--library-path").arg(folders).arg(program);
                // The machine's own libraries would not fit the folder's loader.
                command.env_remove("LD_LIBRARY_PATH").env_remove("LD_PRELOAD");
                command
            }
            None => {
                let mut command = Command::new(program);
                if !folders.is_empty() {
                    command.env("LD_LIBRARY_PATH", folders);
                }
                command
            }
        }
    }
}

impl Installation {
    /// The packages' folder of a Debian release.
    pub(super) fn of_packages(kind: Kind, folder: &Path) -> Result<Self, SandboxError> {
        let server = folder.join("usr/sbin").join(if kind.is_mariadb() { "mariadbd" } else { "mysqld" });
        let libraries = Libraries::of_packages(folder)?;
        let base = folder.join("usr");
        Self {
            kind,
            programs: vec![base.join("sbin"), base.join("bin")],
            libraries,
            share: share_of(&base),
            plugins: plugins_of(&base),
            folder: base,
            server,
        }
        .checked()
    }

    /// The folder of the npm package, which has all files side by side.
    pub(super) fn of_single_folder(kind: Kind, folder: &Path) -> Result<Self, SandboxError> {
        Self {
            kind,
            server: folder.join("mysqld"),
            programs: vec![folder.to_owned()],
            libraries: Libraries { folders: vec![folder.to_owned()], loader: None },
            share: share_of(folder),
            plugins: None,
            folder: folder.to_owned(),
        }
        .checked()
    }

    /// The machine's own server, named by an environment variable.
    pub(super) fn of_machine(kind: Kind, server: &Path, variable: &str) -> Result<Self, SandboxError> {
        let server = server.canonicalize().map_err(|error| {
            SandboxError::unavailable(format!("{variable} names no server: {}", server.display())).caused_by(error)
        })?;
        let programs = server.parent().unwrap_or(Path::new("/")).to_owned();
        let folder = programs.parent().unwrap_or(Path::new("/")).to_owned();
        Self {
            kind,
            programs: vec![programs, folder.join("bin"), folder.join("sbin")],
            libraries: Libraries::default(),
            share: share_of(&folder),
            plugins: plugins_of(&folder),
            server,
            folder,
        }
        .checked()
    }

    fn checked(self) -> Result<Self, SandboxError> {
        if self.server.is_file() { Ok(self) } else { Err(incomplete(&self.folder, &self.server.display().to_string())) }
    }

    /// Which server this is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The server's base directory, as in `--basedir`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command that runs one of the server's own programs, such as `mysqlbinlog` or `mariadb-binlog`, without arguments
    /// so far. A program that has a `mysql…` and a `mariadb-…` name is found by either.
    ///
    /// # Errors
    /// [`SandboxErrorKind::NoProgram`] where the package has none of that name.
    pub fn program(&self, name: &str) -> Result<Command, SandboxError> {
        let other = match name.strip_prefix("mariadb-") {
            Some(rest) => format!("mysql{rest}"),
            None if name == "mariadb" => "mysql".to_owned(),
            None if name == "mysql" => "mariadb".to_owned(),
            None => format!("mariadb-{}", name.strip_prefix("mysql").unwrap_or(name)),
        };
        let names = [name, other.as_str()];
        let mut files = names.iter().flat_map(|name| self.programs.iter().map(move |folder| folder.join(name)));
        match files.find(|file| file.is_file()) {
            Some(file) => Ok(self.libraries.run(&file)),
            None => {
                let message = format!("the package of {} has no program {name}", self.kind.label());
                Err(SandboxError::new(SandboxErrorKind::NoProgram, message))
            }
        }
    }

    /// A command that runs the server with the options that say where its files are, and none of the machine's settings.
    pub(super) fn server(&self, data: &Path) -> Command {
        let mut command = self.libraries.run(&self.server);
        // Settings of the machine's own server, its sockets and its name must not reach this one.
        command.env_remove("MYSQL_HOME").env_remove("MYSQL_TCP_PORT").env_remove("MYSQL_UNIX_PORT");
        command.env_remove("NOTIFY_SOCKET");
        // The folder that a package allows files in by default exists only where the package is installed.
        // With --no-defaults, MySQL would not read what SET PERSIST keeps, either.
        command.args(["--defaults-file=/dev/null", "--secure-file-priv="]);
        command.arg(option("--basedir", &self.folder)).arg(option("--datadir", data));
        if let Some(share) = &self.share {
            command.arg(option("--lc-messages-dir", share));
            command.arg(option("--character-sets-dir", &share.join("charsets")));
        }
        if let Some(plugins) = &self.plugins {
            command.arg(option("--plugin-dir", plugins));
        }
        if is_root() {
            command.arg("--user=root");
        }
        command
    }

    /// A file of the SQL that creates the system tables. MariaDB 11 names them `mariadb_…`.
    pub(super) fn script(&self, name: &str) -> Option<PathBuf> {
        let share = self.share.as_ref()?;
        let renamed = format!("mariadb_{}", name.strip_prefix("mysql_").unwrap_or(name));
        [share.join(name), share.join(renamed)].into_iter().find(|file| file.is_file())
    }

    /// What tells this server's program from another one's: a data directory fits the program that made it.
    pub(super) fn identity(&self) -> (PathBuf, u64, u128) {
        let metadata = fs::metadata(&self.server).ok();
        let length = metadata.as_ref().map_or(0, fs::Metadata::len);
        let modified =
            metadata.and_then(|file| file.modified().ok()).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        (self.server.clone(), length, modified.map_or(0, |time| time.as_nanos()))
    }
}

pub(super) fn option(name: &str, value: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push("=");
    option.push(value);
    option
}

fn share_of(base: &Path) -> Option<PathBuf> {
    let places = ["share/mysql", "share/mariadb", "share"].map(|place| base.join(place));
    places.into_iter().find(|share| share.join("charsets").is_dir())
}

fn plugins_of(base: &Path) -> Option<PathBuf> {
    let places = ["lib/mysql/plugin", "lib64/mysql/plugin", "lib/plugin", "lib64/mariadb/plugin", "lib/mariadb/plugin"];
    places.into_iter().map(|place| base.join(place)).find(|plugins| plugins.is_dir())
}

fn incomplete(folder: &Path, missing: &str) -> SandboxError {
    SandboxError::unavailable(format!("{} lacks {missing}; remove the folder to fetch it again", folder.display()))
}

/// Whether this process is root's; a server run by root has to be told so.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
