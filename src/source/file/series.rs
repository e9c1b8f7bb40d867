use std::iter::FusedIterator;
use std::path::{Path, PathBuf};

use super::fault::located;
use super::format::artificial_rotate;
use super::one::file_name;
use super::{End, FileSource};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Coordinates, Frame, ServerVersion};

/// The frames of several files of one server's log, in the order of the files' numbers.
///
/// Where a file ends without a ROTATE to the next one, because the server was stopped or crashed, the series adds one as
/// a server does in a dump (`LOG_EVENT_ARTIFICIAL_F`, with a checksum where the file has them). So the frames alone say
/// which file they are from.
#[derive(Debug)]
pub struct FileSeries {
    current: FileSource,
    rest: std::vec::IntoIter<PathBuf>,
    ends: Vec<(String, End)>,
    is_done: bool,
}

impl FileSeries {
    /// Opens files, given in any order; one alone may have any name.
    ///
    /// # Errors
    /// `Config`: no file is given, or the names are not those of one series without a gap. Else as
    /// [`FileSource::open`], for the first file; for later ones when the iteration comes to them.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<FileSeries> {
        let mut rest = ordered(paths.into_iter().map(|path| path.as_ref().to_owned()).collect())?.into_iter();
        let first = rest.next().ok_or_else(|| Error::new(ErrorKind::Config, "expected a log file, found none"))?;
        Ok(FileSeries { current: FileSource::open(first)?, rest, ends: Vec::new(), is_done: false })
    }

    /// Where the next event starts. Between two files that is the end of the one before.
    pub fn coordinates(&self) -> &Coordinates {
        self.current.coordinates()
    }

    /// How the files ended that have been read to their end, in order, with their names. What is
    /// [`End::Unfinished`] was never committed: servers drop it when they start again.
    pub fn ends(&self) -> &[(String, End)] {
        &self.ends
    }

    /// The server that wrote the file that is read now, as [`FileSource::server`].
    pub fn server(&self) -> Option<ServerVersion> {
        self.current.server()
    }

    /// Whether the file that is read now was not closed, as [`FileSource::is_in_use`].
    pub fn is_in_use(&self) -> bool {
        self.current.is_in_use()
    }

    fn read(&mut self) -> Option<Result<Frame>> {
        loop {
            match self.current.next() {
                Some(frame) => return Some(frame),
                None => match self.advance().transpose()? {
                    Ok(Some(rotate)) => return Some(Ok(rotate)),
                    Ok(None) => {}
                    Err(error) => return Some(Err(error)),
                },
            }
        }
    }

    /// Goes to the next file, if there is one; gives the ROTATE that is missing, if it is.
    fn advance(&mut self) -> Result<Option<Option<Frame>>> {
        let end = self.current.end().cloned().unwrap_or(End::Open);
        let at = self.current.coordinates().clone();
        self.ends.push((at.file.to_string(), end.clone()));
        let Some(path) = self.rest.next() else {
            return Ok(None);
        };
        let name = file_name(&path);
        let rotate = match end {
            End::Clean { next: Some(next) } if next == name => None,
            End::Clean { next: Some(next) } => {
                let message = format!("the log goes on in {next}, the next file given is {name}");
                return Err(
                    located(ErrorKind::Config, message, &at).with_advice("give files of one log, none left out")
                );
            }
            _ => Some(Frame::new(artificial_rotate(&name, self.current.has_checksums).into())),
        };
        self.current = FileSource::open(path)?;
        Ok(Some(rotate))
    }
}

impl Iterator for FileSeries {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Result<Frame>> {
        if self.is_done {
            return None;
        }
        let next = self.read();
        self.is_done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl FusedIterator for FileSeries {}

/// Files by number, which servers count up by one: `bin.999999` is followed by `bin.1000000`.
fn ordered(paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    if paths.len() < 2 {
        return Ok(paths);
    }
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        let name = file_name(&path);
        let parts = name.rsplit_once('.').and_then(|(base, number)| Some((base.to_owned(), number.parse().ok()?)));
        let Some((base, number)) = parts else {
            let message = format!("expected the number of a log file at the end of its name, found {name}");
            return Err(Error::new(ErrorKind::Config, message).with_advice("give the log files alone, not their index"));
        };
        files.push((base, number, path));
    }
    files.sort_by(|(base, number, _): &(String, u64, _), (other_base, other_number, _)| {
        (base, number).cmp(&(other_base, other_number))
    });
    for pair in files.windows(2) {
        let [(base, number, path), (next_base, next_number, next_path)] = pair else { continue };
        if base != next_base || number.checked_add(1) != Some(*next_number) {
            let (name, next) = (file_name(path), file_name(next_path));
            let message = format!("expected the file that follows {name}, found {next}");
            return Err(Error::new(ErrorKind::Config, message).with_advice("give files of one log, none left out"));
        }
    }
    Ok(files.into_iter().map(|(_, _, path)| path).collect())
}
