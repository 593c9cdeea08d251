//! A JSON file with its name: reading it into a type, and saying what is wrong where.

use super::check::Findings;
use super::keys;
use super::locate::{Node, Position};
use super::path::Path;
use super::strict::Strict;
use crate::error::{Code, Context, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path as FilePath, PathBuf};

/// How long a writer may be silent who hands us a file through a pipe.
const SILENCE: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// What serde says of an array in an object's place: it stands behind all of the array.
const NO_OBJECT: &str = "invalid type: sequence";

/// What a config says that cannot be, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub path: Path,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Fault {
    /// Something wrong at `path`.
    pub fn new(path: Path, message: impl Into<String>) -> Self {
        Self {
            path,
            message: message.into(),
            hint: None,
        }
    }

    /// The same, with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// A fault and the byte to point at for it.
#[derive(Debug)]
pub(super) struct Placed {
    pub offset: usize,
    pub fault: Fault,
    /// The text can be read on behind it: it is JSON, but not what it should be.
    pub is_data: bool,
}

/// A key that the type does not know.
pub(super) struct UnknownKey {
    pub path: Path,
    pub offset: usize,
    /// The key it was most likely meant to be.
    meant: Option<&'static str>,
}

impl UnknownKey {
    /// What is said of it.
    pub fn message(&self) -> String {
        match self.meant {
            Some(meant) => format!("unknown key, did you mean {meant:?}?"),
            None => "unknown key".to_owned(),
        }
    }
}

/// A JSON text and the name it has in messages.
pub struct Document {
    name: PathBuf,
    text: Vec<u8>,
}

impl Document {
    /// A text that was read already.
    pub fn new(name: impl Into<PathBuf>, text: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            text,
        }
    }

    /// Reads a bundle's file, which must be a regular one: a fifo in its place would hold
    /// us up, and a device never end.
    pub fn regular(path: &FilePath) -> Result<Self> {
        let file = open_to_read(path).map_err(|errno| match errno {
            // runc's words.
            Errno::NOENT => {
                let message = format!("JSON specification file {} not found", path.display());
                Error::new(Code::InvalidConfig, message)
            }
            errno => Error::system(format!("opening {}", path.display()), errno),
        })?;
        let doing = || format!("reading {}", path.display());
        if FileType::from_raw_mode(fstat(&file).context(doing)?.st_mode) != FileType::RegularFile {
            let message = format!("{} is not a regular file", path.display());
            return Err(Error::new(Code::InvalidConfig, message));
        }
        Ok(Self::new(path, read_to_end(file.as_fd()).context(doing)?))
    }

    /// Reads any file a user names: `--process <(echo ...)` is a pipe.
    pub fn any(path: &FilePath) -> Result<Self> {
        let file = open_to_read(path).context(|| format!("opening {}", path.display()))?;
        Self::from_fd(path, file.as_fd())
    }

    /// Reads an open file, such as standard input, to its end.
    pub fn from_fd(name: &FilePath, fd: BorrowedFd<'_>) -> Result<Self> {
        let text = read_to_end(fd).context(|| format!("reading {}", name.display()))?;
        Ok(Self::new(name, text))
    }

    /// Its name in messages.
    pub fn name(&self) -> &FilePath {
        &self.name
    }

    /// The text itself.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Reads the text into a type. Keys that it does not know are warned of.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let (value, saw_unknown) = self
            .read()
            .map_err(|placed| self.error_at(placed.offset, &placed.fault))?;
        if saw_unknown {
            for key in self.unknown_keys::<T>() {
                log::warn!("{}", self.unknown_key(&key));
            }
        }
        Ok(value)
    }

    /// The value, and whether there are keys that its type does not know.
    pub(super) fn read<T: DeserializeOwned>(&self) -> std::result::Result<(T, bool), Placed> {
        let placed = |offset, path, message: &str| Placed {
            offset,
            fault: Fault::new(path, message),
            is_data: false,
        };
        let text = std::str::from_utf8(&self.text)
            .map_err(|error| placed(error.valid_up_to(), Path::default(), "not UTF-8"))?;
        let saw_unknown = Cell::new(false);
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = T::deserialize(Strict::new(&mut reader, &saw_unknown))
            .and_then(|value| reader.end().map(|()| value))
            .map_err(|error| self.unreadable::<T>(&error))?;
        match self.find_nul(text) {
            Some((path, offset)) => Err(placed(offset, path, "contains a NUL byte")),
            None => Ok((value, saw_unknown.get())),
        }
    }

    /// The kernel takes strings to their first NUL: what is behind it would be cut off.
    fn find_nul(&self, text: &str) -> Option<(Path, usize)> {
        let is_nul = |(at, _): (usize, _)| text[at..].starts_with("\\u0000");
        if !text.match_indices('\\').any(is_nul) {
            return None;
        }
        // Or it was an escaped backslash before "u0000".
        Node::read(&self.text).string_with(text, '\0')
    }

    /// Warns of what is odd, and of all that is wrong gives what comes first in the text.
    pub fn judge(&self, findings: Findings) -> Result<()> {
        if findings.warnings.is_empty() && findings.faults.is_empty() {
            return Ok(());
        }
        let tree = Node::read(&self.text);
        for warning in &findings.warnings {
            let offset = tree.value_of(&warning.path);
            log::warn!("{}", self.line(offset, &warning.path, &warning.message));
        }
        let place = |fault: &&Fault| tree.value_of(&fault.path);
        match findings.faults.iter().min_by_key(place) {
            Some(fault) => Err(self.error_at(place(&fault), fault)),
            None => Ok(()),
        }
    }

    /// The error for a fault, with file, line and column.
    pub fn error(&self, fault: &Fault) -> Error {
        self.error_at(Node::read(&self.text).value_of(&fault.path), fault)
    }

    fn error_at(&self, offset: usize, fault: &Fault) -> Error {
        let line = self.line(offset, &fault.path, &fault.message);
        let error = Error::new(Code::InvalidConfig, line);
        match &fault.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// The keys that a `T` does not know.
    pub(super) fn unknown_keys<T: DeserializeOwned>(&self) -> Vec<UnknownKey> {
        let mut found = Vec::new();
        Node::read(&self.text).each_object(|path, members| {
            let known = keys::known::<T>(path);
            // What has no keys of its own, such as annotations, may have any.
            let is_unknown = |key: &str| !known.is_empty() && !known.contains(&key);
            for (key, offset) in members.iter().filter(|(key, _)| is_unknown(key)) {
                found.push(UnknownKey {
                    path: path.then(key),
                    offset: *offset,
                    meant: keys::nearest(key, known),
                });
            }
        });
        found
    }

    fn unknown_key(&self, key: &UnknownKey) -> String {
        self.line(key.offset, &key.path, &key.message())
    }

    /// serde_json says where it stopped reading; what is wrong is the value before.
    fn unreadable<T: DeserializeOwned>(&self, error: &serde_json::Error) -> Placed {
        let message = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = message.strip_suffix(&place).unwrap_or(&message);
        let stopped = self.offset(error.line(), error.column());
        if !error.is_data() {
            return Placed {
                offset: stopped.saturating_sub(1),
                fault: Fault::new(Path::default(), message),
                is_data: false,
            };
        }
        let lacks_field = message.contains("missing field");
        let whole = lacks_field || message.starts_with(NO_OBJECT);
        let (path, offset) = Node::read(&self.text).around(stopped, whole);
        // What is missed may be there under a wrong name.
        let is_it = |key: &UnknownKey| {
            let name = key.meant.map(|meant| format!("`{meant}`"));
            name.is_some_and(|name| message.contains(&name)) && key.path.is_in(&path)
        };
        let meant = match lacks_field {
            true => self.unknown_keys::<T>().into_iter().find(is_it),
            false => None,
        };
        let fault = Fault::new(path, message);
        Placed {
            offset,
            fault: match meant {
                Some(key) => fault.hint(format!("{} is an unknown key", key.path)),
                None => fault,
            },
            is_data: true,
        }
    }

    /// The byte that serde_json calls line and column: it counts lines from 1 and the
    /// bytes it has read of the line.
    fn offset(&self, line: usize, column: usize) -> usize {
        let lines = self.text.split_inclusive(|&byte| byte == b'\n');
        lines
            .take(line.saturating_sub(1))
            .map(<[u8]>::len)
            .sum::<usize>()
            + column
    }

    fn line(&self, offset: usize, path: &Path, message: &str) -> String {
        let Position { line, column } = Position::of(&self.text, offset);
        let name = self.name.display();
        // serde quotes some values as they are, and they may have a newline.
        let message = message.replace('\n', "\\n");
        if path.0.is_empty() {
            format!("{name}:{line}:{column}: {message}")
        } else {
            format!("{name}:{line}:{column}: {path}: {message}")
        }
    }
}

fn open_to_read(path: &FilePath) -> rustix::io::Result<rustix::fd::OwnedFd> {
    // Not to wait, on a fifo, for somebody to write to it.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    open(path, flags, Mode::empty())
}

/// Reads to the end of a file or pipe, whose other end must not be silent for long.
fn read_to_end(fd: BorrowedFd<'_>) -> rustix::io::Result<Vec<u8>> {
    let stat = fstat(fd)?;
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    // A byte more than its size tells the end of a file without another look at the size.
    let mut text = Vec::with_capacity(usize::try_from(stat.st_size).unwrap_or(0) + 1);
    loop {
        if !is_regular {
            wait_for_data(fd)?;
        }
        match rustix::io::read(fd, rustix::buffer::spare_capacity(&mut text)) {
            Ok(0) => return Ok(text),
            Ok(_) => text.reserve(4096),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn wait_for_data(fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    loop {
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&SILENCE)) {
            Ok(0) => return Err(Errno::TIMEDOUT),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
