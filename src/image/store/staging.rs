//! Directories that are not to be mistaken for results: each is locked by the process that fills
//! it, and whoever finds one that nobody locks removes it.

use super::random_name;
use crate::directories;
use crate::error::{Context, Error, Result};
use crate::image::remove::remove_or_warn;
use rustix::fs::{FlockOperation, Mode};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A directory that is removed when this is dropped, unless it got its final name.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    /// Holds the lock.
    fd: OwnedFd,
    is_done: bool,
}

impl Staging {
    /// Makes one in `parent`, its name beginning with `prefix`.
    ///
    /// # Errors
    /// Those of mkdir(2) and flock(2).
    pub fn make(parent: &Path, prefix: &str) -> Result<Self> {
        // Between mkdir(2) and flock(2) it belongs to nobody, and another may take it away.
        for _ in 0..16 {
            let path = parent.join(format!("{prefix}{}", random_name()?));
            let doing = || format!("making {}", path.display());
            rustix::fs::mkdir(&path, Mode::RWXU).context(doing)?;
            let fd = match directories::open(&path) {
                Err(Errno::NOENT) => continue,
                other => other.context(doing)?,
            };
            let is_ours = match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => rustix::fs::fstat(&fd).context(doing)?.st_nlink > 0,
                Err(Errno::WOULDBLOCK) => false,
                Err(error) => return Err(Error::system(doing(), error)),
            };
            if is_ours {
                return Ok(Self {
                    path,
                    fd,
                    is_done: false,
                });
            }
        }
        Err(Error::system(
            format!("making a directory in {}", parent.display()),
            Errno::AGAIN,
        ))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets it stay where it is.
    pub fn keep(mut self) {
        self.is_done = true;
    }

    /// Gives it its final name, where there is at most an empty directory.
    ///
    /// # Errors
    /// Those of rename(2).
    pub fn finish(mut self, target: &Path) -> Result<()> {
        rustix::fs::rename(&self.path, target)
            .context(|| format!("moving the result to {}", target.display()))?;
        self.is_done = true;
        Ok(())
    }
}

impl AsFd for Staging {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_done {
            remove_or_warn(&self.path);
        }
    }
}

/// What the names of directories begin with that are to become `target`.
pub fn prefix(target: &Path) -> String {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}.tare-")
}

/// Removes the directories in `parent` whose name begins with `prefix` and that nobody locks.
pub fn clean(parent: &Path, prefix: &str) {
    clean_but(parent, prefix, |_| false);
}

/// [`clean`], but for those that are wanted.
pub fn clean_but(parent: &Path, prefix: &str, is_wanted: impl Fn(&Path) -> bool) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    let is_meant = |name: &OsStr| name.as_bytes().starts_with(prefix.as_bytes());
    for entry in entries
        .flatten()
        .filter(|entry| is_meant(&entry.file_name()))
    {
        let path = entry.path();
        let Ok(fd) = directories::open(&path) else {
            continue;
        };
        let lock = FlockOperation::NonBlockingLockExclusive;
        if rustix::fs::flock(&fd, lock).is_ok() && !is_wanted(&path) {
            log::debug!("removing {}, which a killed run has left", path.display());
            remove_or_warn(&path);
        }
    }
}
