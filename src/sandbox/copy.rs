//! Copying a data directory, with its unwritten parts left unwritten.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Copies the folder `from` with all its files to `to`, which must not exist.
///
/// Blocks of zeros become holes: most of a fresh data directory is preallocated log and tablespace, and writing it out
/// would be most of the time that a server takes to start.
pub(super) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_folder(&source, &copy)?;
        } else if kind.is_file() {
            copy_file(&source, &copy)?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    const BLOCK: usize = 64 * 1024;
    // Compared as a whole, which is fast in an unoptimised build too.
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    let mut source = File::open(from)?;
    let mut copy = File::create_new(to)?;
    let metadata = source.metadata()?;
    let mut buffer = vec![0; BLOCK];
    loop {
        let length = source.read(&mut buffer)?;
        let block = &buffer[..length];
        if block.is_empty() {
            break;
        } else if *block == ZEROS[..length] {
            copy.seek(SeekFrom::Current(length as i64))?;
        } else {
            copy.write_all(block)?;
        }
    }
    copy.set_len(metadata.len())?;
    copy.set_permissions(metadata.permissions())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_and_its_zeros_take_no_room() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("inner")).unwrap();
        let mut bytes = vec![0; 1_000_000];
        bytes[500_000] = 1;
        fs::write(from.join("inner/log"), &bytes).unwrap();
        fs::write(from.join("empty"), b"").unwrap();
        copy_folder(&from, &to).unwrap();
        assert!(fs::read(to.join("inner/log")).unwrap() == bytes);
        assert_eq!(fs::read(to.join("empty")).unwrap(), b"");
        assert!(fs::metadata(to.join("inner/log")).unwrap().blocks() * 512 < 200_000);
    }
}
