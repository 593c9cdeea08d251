//! Opening directories, to read them or to work in them.

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Result;
use rustix::path::Arg;
use std::os::fd::{AsFd, OwnedFd};

/// Opens the directory at `path`, whose last part is no link.
///
/// # Errors
/// Those of open(2).
pub fn open(path: impl Arg) -> Result<OwnedFd> {
    open_at(CWD, path)
}

/// Opens the directory `name` in `parent`.
///
/// # Errors
/// Those of openat(2).
pub fn open_at(parent: impl AsFd, name: impl Arg) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}
