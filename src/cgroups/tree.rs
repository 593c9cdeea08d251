//! Walking a cgroup and all below it.
//!
//! By descriptors, one step at a time: a container that may write to its cgroup can nest others
//! in it, thousands deep, until no path is long enough for them (PATH_MAX), and a stack of calls
//! or of descriptors ends where it likes. A cgroup never moves to another parent (v2 knows no
//! rename(2), v1's leaves it where it is), so that ".." always leads back.

use super::files;
use crate::error::{Context, Error, Result};
use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Calls `enter` with each cgroup, `dir` first, before those below it, and `leave` with each but
/// `dir`, as its parent and its name, after those below it. What goes meanwhile is left out.
pub(super) fn walk(
    dir: &Path,
    mut enter: impl FnMut(&OwnedFd) -> Result<()>,
    mut leave: impl FnMut(&OwnedFd, &CStr) -> Result<()>,
) -> Result<()> {
    let walking = || format!("walking cgroup {}", dir.display());
    let mut current = match rustix::fs::open(dir, DIRECTORY, Mode::empty()) {
        Err(errno) if files::is_gone(errno) => return Ok(()),
        opened => opened.context(walking)?,
    };
    enter(&current)?;
    // Of each level above: where we went down from there, and where it is still to be gone.
    let mut above: Vec<(CString, Vec<CString>)> = Vec::new();
    let mut below = children(&current).context(walking)?;
    loop {
        if let Some(name) = below.pop() {
            match rustix::fs::openat(&current, &*name, DIRECTORY, Mode::empty()) {
                Err(errno) if files::is_gone(errno) => {}
                opened => {
                    current = opened.context(walking)?;
                    enter(&current)?;
                    let children = children(&current).context(walking)?;
                    above.push((name, std::mem::replace(&mut below, children)));
                }
            }
        } else if let Some((name, siblings)) = above.pop() {
            let parent = rustix::fs::openat(&current, c"..", DIRECTORY, Mode::empty());
            current = parent.context(walking)?;
            leave(&current, &name)?;
            below = siblings;
        } else {
            return Ok(());
        }
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The names of the cgroups directly below; none if it is gone.
fn children(cgroup: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    // kernfs keeps the count right: 2 and one for each sub-directory.
    if rustix::fs::fstat(cgroup)?.st_nlink <= 2 {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    let entries = match Dir::read_from(cgroup) {
        Err(errno) if files::is_gone(errno) => return Ok(names),
        other => other?,
    };
    for entry in entries {
        let entry = match entry {
            Err(errno) if files::is_gone(errno) => break,
            other => other?,
        };
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// The pids in `dir` itself and below. 0 stands for a process outside our pid namespace.
pub(super) fn processes(dir: &Path) -> Result<Vec<i32>> {
    let mut pids = Vec::new();
    let enter = |cgroup: &OwnedFd| {
        let text = match files::read_at(cgroup, "cgroup.procs") {
            // A threaded v2 cgroup has no processes of its own, only threads of some.
            Err(Errno::OPNOTSUPP) => files::read_at(cgroup, "cgroup.threads"),
            other => other,
        };
        match text {
            Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
            Err(errno) if files::is_gone(errno) => {}
            Err(errno) => {
                let doing = format!("reading cgroup.procs in {}", dir.display());
                return Err(Error::system(doing, errno));
            }
        }
        Ok(())
    };
    walk(dir, enter, |_, _| Ok(()))?;
    Ok(pids)
}

/// Removes all below `dir` that no process is in; returns whether it was anything.
pub(super) fn remove_below(dir: &Path) -> Result<bool> {
    let mut removed = false;
    let leave = |parent: &OwnedFd, name: &CStr| {
        match rustix::fs::unlinkat(parent, name, rustix::fs::AtFlags::REMOVEDIR) {
            Ok(()) => removed = true,
            Err(Errno::BUSY | Errno::NOTEMPTY | Errno::INTR) => {}
            Err(errno) if files::is_gone(errno) => {}
            Err(errno) => {
                let doing = format!(
                    "removing cgroup {} below {}",
                    name.to_string_lossy(),
                    dir.display()
                );
                return Err(Error::system(doing, errno));
            }
        }
        Ok(())
    };
    walk(dir, |_| Ok(()), leave)?;
    Ok(removed)
}
