//! Reading tar: ustar, pax, GNU and what came before them, from a stream.
//!
//! Our own, because what an entry's name and size are must be decided here and nowhere else:
//! two readers of one archive that decide differently are how files are smuggled past a
//! scanner (CVE-2025-62518, CVE-2026-33055). What is ambiguous is refused, what is merely old is
//! read. It knows nothing of files on disk.
//!
//! Formats: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Interchange Format"; the GNU tar
//! manual, "Basic Tar Format" and "Storing Sparse Files".

mod fields;
mod header;
mod pax;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;

pub use reader::Reader;

use std::borrow::Cow;
use std::{fmt, io};

/// The largest extended header or long name that is read. PAX records of an honest entry are a
/// few hundred bytes; Go's reader has the same bound.
const MAX_EXTENSION: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    #[default]
    File,
    /// Another name of the file that `link` names.
    HardLink,
    /// A symbolic link to `link`.
    Symlink,
    /// A directory.
    Directory,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// A named pipe.
    Fifo,
    /// A socket, which means nothing without the process behind it.
    Socket,
}

impl Kind {
    fn has_data(self) -> bool {
        self == Self::File
    }
}

/// A device's numbers, in Linux's range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// At most 12 bits.
    pub major: u32,
    /// At most 20 bits.
    pub minor: u32,
}

/// A point in time; before 1970 the seconds are negative and the nanoseconds count forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Since 1970.
    pub seconds: i64,
    /// Below 1,000,000,000.
    pub nanoseconds: u32,
}

/// A stretch of a sparse file that has data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where in the file it begins.
    pub offset: u64,
    /// How long it is; may be 0.
    pub len: u64,
}

/// One entry of an archive. Its buffers are used again for the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its name as archived: not empty, without NUL; otherwise any bytes.
    pub path: Vec<u8>,
    /// What a link points to: as `path`, and empty for all else.
    pub link: Vec<u8>,
    /// The lower twelve bits of the mode.
    pub mode: u32,
    /// The owner's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// When it was last changed.
    pub mtime: Time,
    /// How long the file is.
    pub size: u64,
    /// Where a sparse file has data: in order, not overlapping, inside of `size`, and together as
    /// long as what [`Reader::data`] gives.
    pub sparse: Option<Vec<Segment>>,
    /// Extended attributes, each name once.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Access control lists, as text.
    pub acls: Acls,
}

/// What an archive says of a file's access control lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acls {
    /// The file's own.
    pub access: Option<Vec<u8>>,
    /// What is made in the directory gets this.
    pub default: Option<Vec<u8>>,
}

impl Entry {
    fn clear(&mut self) {
        self.path.clear();
        self.link.clear();
        self.xattrs.clear();
        self.sparse = None;
        self.acls = Acls::default();
    }
}

/// Why an archive cannot be read on.
#[derive(Debug)]
pub enum Fault {
    /// The bytes cannot be had.
    Read(io::Error),
    /// They are not tar: the rule that is broken.
    Rule(Cow<'static, str>),
}

impl Fault {
    fn rule(rule: impl Into<Cow<'static, str>>) -> Self {
        Self::Rule(rule.into())
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Rule(rule) => f.write_str(rule),
        }
    }
}
