//! The head of the chain in a file outside the database, which nobody who changes the database can change with it: one line
//! for each head, appended. The last line is the head that the chain must still have.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use audit::{Digest, Head, Height};
use jiff::Timestamp;

/// The last line is no longer than this.
const LINE_MAX: u64 = 4096;

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum HeadFileError {
    /// It cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Its last line is no head.
    #[error("{0}: the last line is no head of a chain")]
    NoHead(String),
}

/// An append-only file of heads: `2026-11-22T07:00:00Z 7 <64 hexadecimal digits>`.
#[derive(Debug, Clone)]
pub struct HeadFile {
    path: PathBuf,
}

impl HeadFile {
    /// Where it is if the configuration says nothing: where services keep their state.
    pub const DEFAULT_PATH: &str = "/var/lib/countersign/head";

    /// At this path; nothing is touched yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that it can be appended to and read; makes it if there is none. Its folder must be there.
    pub fn prepare(&self) -> Result<(), HeadFileError> {
        OpenOptions::new().create(true).append(true).open(&self.path).map_err(|error| self.io(error))?;
        self.last().map(drop)
    }

    /// The head in the last line; `None` if there is no file or nothing in it.
    pub fn last(&self) -> Result<Option<Head>, HeadFileError> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(error)),
        };
        let length = file.metadata().map_err(|error| self.io(error))?.len();
        let from = SeekFrom::Start(length.saturating_sub(LINE_MAX));
        file.seek(from).map_err(|error| self.io(error))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end).map_err(|error| self.io(error))?;
        let text = String::from_utf8_lossy(&end);
        let Some(line) = text.lines().rev().find(|line| !line.trim().is_empty()) else { return Ok(None) };
        parse(line).map(Some).ok_or_else(|| HeadFileError::NoHead(self.path.display().to_string()))
    }

    /// Appends a head, safely on the disk when this returns; nothing if it is the last one.
    pub fn append(&self, at: Timestamp, head: Head) -> Result<(), HeadFileError> {
        if self.last().ok().flatten() == Some(head) {
            return Ok(());
        }
        let mut file =
            OpenOptions::new().create(true).append(true).open(&self.path).map_err(|error| self.io(error))?;
        let line = format!("{at:.0} {} {}\n", head.height, head.digest);
        file.write_all(line.as_bytes()).and_then(|()| file.sync_data()).map_err(|error| self.io(error))
    }

    fn io(&self, source: std::io::Error) -> HeadFileError {
        HeadFileError::Io { path: self.path.display().to_string(), source }
    }
}

fn parse(line: &str) -> Option<Head> {
    let mut words = line.split_whitespace();
    let (_, height, digest) = (words.next()?, words.next()?, words.next()?);
    Some(Head { height: Height(height.parse().ok()?), digest: Digest::parse(digest)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(height: i64) -> Head {
        Head { height: Height(height), digest: Digest([7; 32]) }
    }

    #[test]
    fn the_last_line_is_the_head_and_nothing_is_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let file = HeadFile::new(folder.path().join("head"));
        assert_eq!(file.last().unwrap(), None);
        for height in [1, 2, 2] {
            file.append(Timestamp::UNIX_EPOCH, head(height)).unwrap();
        }
        assert_eq!(file.last().unwrap(), Some(head(2)));
        let text = std::fs::read_to_string(file.path()).unwrap();
        let digest = "07".repeat(32);
        assert_eq!(text, format!("1970-01-01T00:00:00Z 1 {digest}\n1970-01-01T00:00:00Z 2 {digest}\n"));
    }

    #[test]
    fn it_can_be_used_where_there_is_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = HeadFile::new(folder.path().join("head"));
        file.prepare().unwrap();
        assert_eq!(file.last().unwrap(), None);
        let nowhere = HeadFile::new(folder.path().join("nowhere/head"));
        assert!(nowhere.prepare().unwrap_err().to_string().contains("nowhere/head"));
        std::fs::write(file.path(), "hello\n").unwrap();
        assert!(matches!(file.prepare(), Err(HeadFileError::NoHead(_))));
    }

    #[test]
    fn a_file_of_something_else_is_no_head() {
        let folder = tempfile::tempdir().unwrap();
        let file = HeadFile::new(folder.path().join("head"));
        std::fs::write(file.path(), "hello\n").unwrap();
        assert!(matches!(file.last(), Err(HeadFileError::NoHead(_))));
    }
}
