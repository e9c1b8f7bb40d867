//! Where a running server keeps its data, socket and log.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The longest path of a Unix socket is 107 bytes; the socket's own name and a counter are part of it.
const LONGEST: usize = 80;
const PREFIX: &str = "bluegreen-";
/// Locked by the process that owns the directory, for as long as it lives.
const OWNER: &str = "owner";

/// A directory of its own for one server, removed with all it holds when dropped.
#[derive(Debug)]
pub(super) struct ServerDirectory {
    path: PathBuf,
    kept: AtomicBool,
    _owner: File,
}

impl ServerDirectory {
    /// Creates the directory below the system's folder for temporary files.
    pub(super) fn create() -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        static SWEEP: Once = Once::new();
        let folder = Some(env::temp_dir()).filter(|folder| folder.is_absolute() && folder.as_os_str().len() < LONGEST);
        let folder = folder.unwrap_or_else(|| PathBuf::from("/tmp"));
        SWEEP.call_once(|| remove_abandoned(&folder));
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{PREFIX}{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let owner = File::create(path.join(OWNER))?;
                    owner.lock()?;
                    fs::create_dir(path.join("tmp"))?;
                    return Ok(Self { path, kept: AtomicBool::new(false), _owner: owner });
                }
                // Left behind by a killed process that had this one's number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory where it is, for good.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
        // A directory without an owner's file is nobody's to sweep.
        let _ = fs::remove_file(self.path.join(OWNER));
    }
}

impl Drop for ServerDirectory {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes directories whose process was killed before it could remove them: the process is gone and so is its lock.
fn remove_abandoned(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|name| name.split_once('-'));
        let Some((process, _)) = process.filter(|(process, _)| process.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            continue;
        };
        if Path::new("/proc").join(process).exists() {
            continue;
        }
        if let Ok(owner) = File::open(entry.path().join(OWNER))
            && owner.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_removed_on_drop_unless_kept() {
        let directory = ServerDirectory::create().unwrap();
        let path = directory.path().to_owned();
        assert!(path.is_dir());
        drop(directory);
        assert!(!path.exists());

        let directory = ServerDirectory::create().unwrap();
        let path = directory.path().to_owned();
        directory.keep();
        drop(directory);
        assert!(path.is_dir());
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn only_directories_of_gone_processes_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, owner: bool| {
            let path = folder.path().join(name);
            fs::create_dir(&path).unwrap();
            if owner {
                File::create(path.join(OWNER)).unwrap();
            }
            path
        };
        let gone = make("bluegreen-4294967295-0", true);
        let kept = make("bluegreen-4294967295-1", false);
        let alive = make(&format!("bluegreen-{}-0", std::process::id()), true);
        let other = make("bluegreen-x-0", true);
        remove_abandoned(folder.path());
        assert!(!gone.exists());
        assert!(kept.exists() && alive.exists() && other.exists());
    }
}
