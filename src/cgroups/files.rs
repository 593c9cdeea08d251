//! Reading and writing cgroup files, and walking and removing cgroup directories: what v1
//! and v2 have in common.
//!
//! Paths, not descriptors: nothing but the kernel and root makes entries in a cgroup file
//! system, it has no symbolic links, and one path look-up is one system call less.

use crate::error::{Context, Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::cell::OnceCell;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Writes `value` by one write(2): the kernel takes each write as a whole.
pub(super) fn write(path: &Path, value: &str) -> rustix::io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::retry_on_intr(|| rustix::io::write(&file, value.as_bytes()))?;
    Ok(())
}

/// Reads a whole file.
pub(super) fn read(path: &Path) -> rustix::io::Result<String> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
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

/// The pids in `dir` itself and below. 0 stands for a process outside our pid namespace.
pub(super) fn processes(dir: &Path) -> Result<Vec<i32>> {
    let mut pids = Vec::new();
    collect_processes(dir, &mut pids)?;
    Ok(pids)
}

fn collect_processes(dir: &Path, pids: &mut Vec<i32>) -> Result<()> {
    let procs = dir.join("cgroup.procs");
    let text = match read(&procs) {
        // A threaded v2 cgroup has no processes of its own, only threads of some.
        Err(Errno::OPNOTSUPP) => read(&dir.join("cgroup.threads")),
        other => other,
    };
    match text {
        Ok(text) => pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
        Err(errno) if is_gone(errno) => return Ok(()),
        Err(errno) => return Err(Error::system(format!("reading {}", procs.display()), errno)),
    }
    children(dir)?
        .iter()
        .try_for_each(|child| collect_processes(child, pids))
}

/// The cgroups directly below `dir`; none if it is gone.
pub(super) fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    match rustix::fs::stat(dir) {
        // kernfs keeps the count right: 2 and one for each sub-directory.
        Ok(stat) if stat.st_nlink <= 2 => return Ok(Vec::new()),
        Err(errno) if is_gone(errno) => return Ok(Vec::new()),
        _ => {}
    }
    let listing = || format!("listing {}", dir.display());
    let mut children = Vec::new();
    for entry in std::fs::read_dir(dir).context(listing)? {
        let entry = entry.context(listing)?;
        if entry.file_type().context(listing)?.is_dir() {
            children.push(entry.path());
        }
    }
    Ok(children)
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
        let children = children(dir)?;
        for child in &children {
            remove(child, deadline)?;
        }
        if Instant::now() >= deadline {
            return Err(Error::system(removing(), errno).hint(leftovers(dir)));
        }
        if children.is_empty() {
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

/// Who keeps a cgroup from going away.
fn leftovers(dir: &Path) -> String {
    match processes(dir) {
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
