//! The v1 freezer. It works towards FROZEN task by task, and never gets there while new
//! tasks keep appearing; it is then for user space to try again (the kernel's
//! freezer-subsystem.rst before commit ef9fe980c6fc; still so in 6.x).

use super::{files, tree};
use crate::error::{Code, Error, Result};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

const STATE: &str = "freezer.state";
const DEADLINE: Duration = Duration::from_secs(10);
/// A state that is only passing.
const FREEZING: &str = "FREEZING";

/// Freezes all tasks of `dir` and below, or leaves none frozen and says why not.
pub(super) fn freeze(dir: &Path) -> Result<()> {
    let result = try_freeze(dir, Instant::now() + DEADLINE);
    if result.is_err() {
        // A half-frozen container is worse than a running one; the first error is the cause.
        let _ = thaw(dir);
    }
    result
}

fn try_freeze(dir: &Path, deadline: Instant) -> Result<()> {
    let path = dir.join(STATE);
    for attempt in 1.. {
        files::write_named(&path, "FROZEN")?;
        let state = files::read_named(&path)?;
        match state.trim() {
            "FROZEN" => return Ok(()),
            FREEZING if Instant::now() < deadline => {}
            FREEZING => break,
            other => {
                let message = format!("{} says {other:?} while freezing", path.display());
                return Err(Error::new(Code::System, message));
            }
        }
        // Mostly the next look finds it frozen; a thaw now and then lets a task go on that
        // holds up the others (runc's experience on old and on slow systems).
        if attempt % 50 == 0 {
            files::write_named(&path, "THAWED")?;
            std::thread::sleep(Duration::from_millis(10));
        } else if attempt > 10 {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    let message = format!("unable to freeze {}: still FREEZING", dir.display());
    let seconds = DEADLINE.as_secs();
    let hint = match tree::processes(dir) {
        Ok(pids) => format!("after {seconds} seconds; in it: {}", files::list(&pids)),
        Err(error) => format!("after {seconds} seconds; and {error}"),
    };
    Err(Error::new(Code::Timeout, message).hint(hint))
}

/// Lets the tasks run again. It is done when the kernel has taken the write. What is not there
/// is not frozen.
pub(super) fn thaw(dir: &Path) -> Result<()> {
    files::write_if_there(&dir.join(STATE), "THAWED").map(drop)
}

/// Lets the tasks run again to die, which a frozen one does not: also those that the container
/// froze itself, in cgroups of its own.
pub(super) fn thaw_to_die(dir: &Path) -> Result<()> {
    let thaw = |cgroup: &OwnedFd| match files::write_at(cgroup, STATE, "THAWED") {
        Err(errno) if !files::is_gone(errno) => {
            let doing = format!("thawing what is below {}", dir.display());
            Err(Error::system(doing, errno))
        }
        _ => Ok(()),
    };
    tree::walk(dir, thaw, |_, _| Ok(()))
}

/// Whether `dir` itself is frozen, not an ancestor of it. What is not there is not frozen.
pub(super) fn is_frozen(dir: &Path) -> Result<bool> {
    let path = dir.join(STATE);
    let deadline = Instant::now() + DEADLINE;
    loop {
        let Some(state) = read_if_there(&path)? else {
            return Ok(false);
        };
        match state.trim() {
            "THAWED" => return Ok(false),
            "FROZEN" => break,
            FREEZING if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            other => {
                let message = format!("{} still says {other:?}", path.display());
                return Err(Error::new(Code::Timeout, message));
            }
        }
    }
    let own = read_if_there(&dir.join("freezer.self_freezing"))?;
    Ok(own.is_none_or(|own| own.trim() == "1"))
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match files::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(errno) if files::is_gone(errno) || errno == Errno::NOTDIR => Ok(None),
        Err(errno) => Err(Error::system(format!("reading {}", path.display()), errno)),
    }
}
