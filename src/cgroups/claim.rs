//! Claiming a cgroup for as long as a container is being made in it: of two creates that name
//! the same one at the same moment, each would see nobody in it.

use super::files::{self, Made};
use crate::error::{Code, Context, Error, Result};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A cgroup that nobody else makes a container in until this is dropped. By then the
/// container's process is in it, for others to see.
#[derive(Debug, Default)]
#[must_use = "it holds for as long as it is kept"]
pub struct Claim(Option<OwnedFd>);

/// What is locked: a file that only the cgroup's owner can open, lest others keep us from
/// making containers. The former is v2's, since Linux 5.14; the latter of v1's controller.
const FILES: [&str; 2] = ["cgroup.kill", "devices.deny"];

impl Claim {
    /// Claims nothing, as there is no cgroup.
    pub fn none() -> Self {
        Self::default()
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Makes `dir`, or takes what is there, and claims it. See [`files::make`] for `made`.
    pub(super) fn make(dir: &Path, made: &mut Vec<PathBuf>) -> Result<(Self, Made)> {
        // Who fails to make a container removes the cgroup, perhaps between our two steps.
        for _ in 0..16 {
            let how = files::make(dir, made)?;
            let claim = Self::of(dir);
            let is_lost = match &claim {
                Ok(claim) => claim.is_none(),
                Err(error) => error.code() == Code::WrongState,
            };
            if is_lost && how == Made::New {
                // Somebody else's, who was faster; or gone already.
                made.pop();
            }
            if let Some(claim) = claim? {
                return Ok((claim, how));
            }
        }
        let message = format!(
            "making cgroup {}: it is removed all the time",
            dir.display()
        );
        Err(Error::new(Code::WrongState, message))
    }

    /// Claims a cgroup; none where it is not there any more.
    pub(super) fn of(dir: &Path) -> Result<Option<Self>> {
        let doing = || format!("locking cgroup {}", dir.display());
        let Some((path, file)) = open(dir).context(doing)? else {
            return Ok(None);
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let message =
                    "container's cgroup is not free: a container is just being made in it";
                return Err(Error::new(Code::WrongState, message).hint(dir.display().to_string()));
            }
            other => other.context(doing)?,
        }
        // Of a cgroup that was removed and made anew since, another holds the lock.
        let ours = rustix::fs::fstat(&file).context(doing)?;
        match rustix::fs::stat(&path) {
            Ok(now) if now.st_ino == ours.st_ino => Ok(Some(Self(Some(file)))),
            Ok(_) | Err(Errno::NOENT | Errno::NODEV) => Ok(None),
            Err(errno) => Err(Error::system(doing(), errno)),
        }
    }
}

/// Opens what is to be locked; none where the cgroup is gone.
fn open(dir: &Path) -> rustix::io::Result<Option<(PathBuf, OwnedFd)>> {
    for name in FILES {
        let path = dir.join(name);
        match rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => return Ok(Some((path, file))),
            // Delegated cgroups may have files that stay root's.
            Err(Errno::NOENT | Errno::NODEV | Errno::ACCESS | Errno::PERM | Errno::ROFS) => {}
            Err(errno) => return Err(errno),
        }
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(dir, flags, Mode::empty()) {
        Ok(file) => Ok(Some((dir.to_owned(), file))),
        Err(Errno::NOENT | Errno::NODEV) => Ok(None),
        Err(errno) => Err(errno),
    }
}
