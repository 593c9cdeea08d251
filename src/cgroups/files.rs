//! Reading and writing cgroup files, and making and removing cgroup directories: what v1 and v2
//! have in common.
//!
//! Paths, not descriptors: a cgroup file system has no symbolic links, and one path look-up is
//! one system call less. What is below a container's cgroup is for `tree` to find: there the
//! container may have made what no path is long enough for.

use super::tree;
use crate::error::{Context, Error, Result};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::cell::OnceCell;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Writes `value` by one write(2): the kernel takes each write as a whole.
pub(super) fn write(path: &Path, value: &str) -> rustix::io::Result<()> {
    write_at(CWD, path, value)
}

/// The same in a cgroup that is open.
pub(super) fn write_at(
    cgroup: impl AsFd,
    path: impl rustix::path::Arg,
    value: &str,
) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(cgroup, path, flags, Mode::empty())?;
    rustix::io::retry_on_intr(|| rustix::io::write(&file, value.as_bytes()))?;
    Ok(())
}

/// Reads a whole file.
pub(super) fn read(path: &Path) -> rustix::io::Result<String> {
    read_at(CWD, path)
}

/// The same of a cgroup that is open.
pub(super) fn read_at(
    cgroup: impl AsFd,
    path: impl rustix::path::Arg,
) -> rustix::io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(cgroup, path, flags, Mode::empty())?;
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer))? {
            0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
            // The kernel's files are text; a short read of a small one was its end.
            read => text.extend_from_slice(&buffer[..read]),
        }
    }
}

/// What `write` was for, as the error of a failed one says it.
pub(super) fn writing(path: &Path, value: &str) -> String {
    format!("writing {value:?} to {}", path.display())
}

/// [`write`], with the error saying what was written where.
pub(super) fn write_named(path: &Path, value: &str) -> Result<()> {
    write(path, value).context(|| writing(path, value))
}

/// [`write_named`], where there may be no cgroup any more: false then.
pub(super) fn write_if_there(path: &Path, value: &str) -> Result<bool> {
    match write(path, value) {
        Ok(()) => Ok(true),
        Err(errno) if is_gone(errno) => Ok(false),
        Err(errno) => Err(Error::system(writing(path, value), errno)),
    }
}

/// A file that takes one rule per write, opened with the first.
pub(super) struct Rules {
    path: PathBuf,
    file: OnceCell<OwnedFd>,
}

impl Rules {
    /// The file at `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: OnceCell::new(),
        }
    }

    /// Writes one rule; the error says which and where.
    pub(super) fn write(&self, rule: &str) -> Result<()> {
        let doing = || writing(&self.path, rule);
        let file = match self.file.get() {
            Some(file) => file,
            None => {
                let opened =
                    rustix::fs::open(&self.path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
                let opened = opened.context(doing)?;
                self.file.get_or_init(|| opened)
            }
        };
        rustix::io::retry_on_intr(|| rustix::io::write(file, rule.as_bytes()))
            .map(drop)
            .context(doing)
    }
}

/// [`read`], with the error saying what was read.
pub(super) fn read_named(path: &Path) -> Result<String> {
    read(path).context(|| format!("reading {}", path.display()))
}

/// The value of `key` in a file of "key value" lines.
pub(super) fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value.trim())
}

/// Whether the kernel says that the cgroup is gone, or went while we had it open.
pub(super) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV)
}

/// How `mkdir` left things.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// It was not there.
    New,
    /// It was there before.
    Existing,
}

/// Makes `dir` and what is missing above it, noting in `made` what was not there before.
pub(super) fn make(dir: &Path, made: &mut Vec<PathBuf>) -> Result<Made> {
    // Somebody else may be removing the parents while we make them.
    for _ in 0..16 {
        match rustix::fs::mkdir(dir, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                made.push(dir.to_owned());
                return Ok(Made::New);
            }
            Err(Errno::EXIST) => return Ok(Made::Existing),
            Err(Errno::NOENT) => match dir.parent() {
                Some(parent) => make(parent, made)?,
                None => break,
            },
            Err(errno) => return Err(making(dir, errno)),
        };
    }
    Err(making(dir, Errno::NOENT))
}

fn making(dir: &Path, errno: Errno) -> Error {
    Error::system(format!("making cgroup {}", dir.display()), errno)
}

/// Removes `dir` and all below it, giving dying processes until `deadline` to be gone.
/// What is not there is no error.
pub(super) fn remove(dir: &Path, deadline: Instant) -> Result<()> {
    let mut pause = Duration::from_micros(50);
    loop {
        let errno = match rustix::fs::rmdir(dir) {
            Ok(()) => return Ok(()),
            Err(errno) if is_gone(errno) => return Ok(()),
            // Read-only file systems answer so even for what is not there (runc#4518).
            Err(Errno::ROFS) if !dir.exists() => return Ok(()),
            Err(errno) => errno,
        };
        let removing = || format!("removing cgroup {}", dir.display());
        if !matches!(errno, Errno::BUSY | Errno::NOTEMPTY | Errno::INTR) {
            return Err(Error::system(removing(), errno));
        }
        let any = tree::remove_below(dir)?;
        if Instant::now() >= deadline {
            return Err(Error::system(removing(), errno).hint(leftovers(dir)));
        }
        if !any {
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }
}

/// Removes `dir` if nothing is in it.
pub(super) fn remove_if_empty(dir: &Path) -> Result<()> {
    match rustix::fs::rmdir(dir) {
        Ok(()) | Err(Errno::BUSY | Errno::NOTEMPTY) => Ok(()),
        Err(errno) if is_gone(errno) => Ok(()),
        Err(Errno::ROFS) if !dir.exists() => Ok(()),
        Err(errno) => Err(Error::system(
            format!("removing cgroup {}", dir.display()),
            errno,
        )),
    }
}

/// A cgroup for processes to be cloned into.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).context(|| format!("opening {}", path.display()))
}

/// Who keeps a cgroup from going away.
fn leftovers(dir: &Path) -> String {
    match tree::processes(dir) {
        Ok(pids) if pids.is_empty() => "no process is left in it".to_owned(),
        Ok(pids) => format!("still in it: {}", list(&pids)),
        Err(error) => format!("and {error}"),
    }
}

/// "pid 7" or "pids 7, 8 and 3 more".
pub(super) fn list(pids: &[i32]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<_> = pids.iter().take(SHOWN).map(i32::to_string).collect();
    let more = match pids.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let noun = if pids.len() == 1 { "pid" } else { "pids" };
    format!("{noun} {}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyed_files_are_read_by_whole_keys() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(value_of(text, "oom_kill"), Some("3"));
        assert_eq!(value_of(text, "oom"), None);
    }

    #[test]
    fn long_lists_of_pids_are_cut() {
        assert_eq!(list(&[7]), "pid 7");
        assert_eq!(list(&[7, 8]), "pids 7, 8");
        let many: Vec<i32> = (1..=11).collect();
        assert_eq!(list(&many), "pids 1, 2, 3, 4, 5, 6, 7, 8 and 3 more");
    }
}
