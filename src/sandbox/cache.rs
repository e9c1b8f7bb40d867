//! The folder that outlives a process: fetched servers, data directory templates, reserved ports.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::SandboxError;

/// The cache's folder, created if need be. Its layout is `servers/`, `templates/`, `ports/` and `locks/`.
pub(super) fn folder() -> Result<PathBuf, SandboxError> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = set("BLUEGREEN_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("bluegreen")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/bluegreen")))
        .ok_or_else(|| SandboxError::unavailable("no folder to keep servers in: set BLUEGREEN_CACHE"))?;
    let made = fs::create_dir_all(&folder).and_then(|()| folder.canonicalize());
    made.map_err(|error| SandboxError::io(format_args!("create the cache folder {}", folder.display()), error))
}

/// A folder of the cache, created if need be.
pub(super) fn subfolder(name: &str) -> Result<PathBuf, SandboxError> {
    let folder = folder()?.join(name);
    fs::create_dir_all(&folder)
        .map_err(|error| SandboxError::io(format_args!("create the cache folder {}", folder.display()), error))?;
    Ok(folder)
}

/// Takes the lock of that name, which excludes other tasks and other processes alike; dropping the file gives it back.
///
/// Cancel safe: a lock taken for nobody is given back at once.
pub(super) async fn lock(name: String) -> Result<File, SandboxError> {
    let path = subfolder("locks")?.join(name);
    let locking = tokio::task::spawn_blocking({
        let path = path.clone();
        move || {
            let file = File::create(path)?;
            file.lock()?;
            io::Result::Ok(file)
        }
    });
    let locked = locking.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    locked.map_err(|error| SandboxError::io(format_args!("lock {}", path.display()), error))
}

/// A folder that is being filled. It takes its place only when it is complete, and is removed when it never is.
#[derive(Debug)]
pub(super) struct Draft {
    path: PathBuf,
    place: PathBuf,
}

impl Draft {
    /// An empty folder beside `place`. The caller holds the lock of `place`, so drafts of it that are still there belong
    /// to processes that were killed; they are removed.
    pub(super) fn new(place: &Path) -> Result<Self, SandboxError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let parent = place.parent().unwrap_or(Path::new("/"));
        let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let create = || -> io::Result<PathBuf> {
            for entry in fs::read_dir(parent)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(&format!("{name}.draft-")) {
                    fs::remove_dir_all(entry.path())?;
                }
            }
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("{name}.draft-{}-{number}", std::process::id()));
            fs::create_dir(&path)?;
            Ok(path)
        };
        let path = create()
            .map_err(|error| SandboxError::io(format_args!("create a folder in {}", parent.display()), error))?;
        Ok(Self { path, place: place.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves `folder`, which is the draft or a folder of it, to the draft's place in one step.
    pub(super) fn finish(self, folder: &Path) -> Result<(), SandboxError> {
        fs::rename(folder, &self.place).map_err(|error| {
            SandboxError::io(format_args!("move a complete folder to {}", self.place.display()), error)
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `finish` of the whole draft there is nothing here any more; of a part of it, the rest is.
        let _ = fs::remove_dir_all(&self.path);
    }
}
