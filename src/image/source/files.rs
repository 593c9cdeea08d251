//! The files of a source, by name: in a directory or in an archive.

use super::archive::Archive;
use crate::error::{Context, Error, Result};
use crate::image::blob::Blob;
use crate::image::document::invalid;
use crate::image::layer::Limits;
use rustix::fs::{FileType, MemfdFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// Where files come from.
#[derive(Debug)]
pub enum Files {
    /// A directory of the user's.
    Directory(OwnedFd),
    /// A tar archive.
    Archive(Archive),
}

impl Files {
    /// Opens a directory, or an archive.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn open(path: &Path, limits: Limits) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let place = rustix::fs::open(path, flags, Mode::empty()).context(|| "opening it")?;
        let stat = rustix::fs::fstat(&place).context(|| "looking at it")?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(Self::Directory(place)),
            FileType::RegularFile => Archive::open(reopen(&place)?, limits).map(Self::Archive),
            _ => Err(invalid("it is neither a directory nor a regular file")),
        }
    }

    /// Whether there is a file of this name.
    ///
    /// # Errors
    /// Those of looking.
    pub fn has(&self, name: &str) -> Result<bool> {
        self.get(name).map(|blob| blob.is_some())
    }

    /// The file of this name, where there is one.
    ///
    /// # Errors
    /// Where it is no regular file: a fifo would hold us up, and a device never end.
    pub fn get(&self, name: &str) -> Result<Option<Blob>> {
        match self {
            Self::Archive(archive) => archive.get(name),
            Self::Directory(directory) => {
                let doing = || format!("opening {name}");
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                // What is verified by its digest may be anywhere: build systems link blobs.
                let resolve = if name.starts_with("blobs/") {
                    ResolveFlags::NO_MAGICLINKS
                } else {
                    ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS
                };
                let place =
                    match rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve) {
                        Ok(place) => place,
                        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                        Err(error) => return Err(Error::system(doing(), error)),
                    };
                let stat = rustix::fs::fstat(&place).context(doing)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(invalid(format!("{name} is no regular file")));
                }
                Blob::whole(reopen(&place)?).context(doing).map(Some)
            }
        }
    }

    /// The text of a small file.
    ///
    /// # Errors
    /// Where it is not there, or longer than `limit`.
    pub fn text(&self, name: &str, limit: u64) -> Result<Vec<u8>> {
        let blob = self.get(name)?;
        let blob = blob.ok_or_else(|| invalid(format!("{name} is missing")))?;
        read(&blob, limit).context(|| name.to_owned())
    }
}

/// All of a blob that is to be small.
///
/// # Errors
/// Where it is longer than `limit`, before a byte of it is read (CVE-2023-25153).
pub fn read(blob: &Blob, limit: u64) -> Result<Vec<u8>> {
    if blob.len() > limit {
        return Err(invalid(format!(
            "{} bytes are more than the {limit} that a JSON document may have",
            blob.len()
        ))
        .hint("raise it with --max-json"));
    }
    let mut text = Vec::new();
    blob.reader()
        .read_to_end(&mut text)
        .context(|| "reading it")?;
    Ok(text)
}

/// A blob that is in no file.
///
/// # Errors
/// Those of memfd_create(2) and write(2).
pub fn in_memory(bytes: &[u8]) -> Result<Blob> {
    let doing = || "keeping a blob in memory";
    let file = rustix::fs::memfd_create(c"blob", MemfdFlags::CLOEXEC).context(doing)?;
    let mut file = File::from(file);
    file.write_all(bytes).context(doing)?;
    Blob::whole(file).context(doing)
}

/// Opens for reading what is known to be a regular file.
fn reopen(place: &OwnedFd) -> Result<File> {
    File::open(format!("/proc/self/fd/{}", place.as_raw_fd())).context(|| "opening it")
}
