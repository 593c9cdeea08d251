//! Being told when a container runs out of memory, without asking again and again.

use super::files;
use super::kernel_log::KernelLog;
use crate::error::{Context, Error, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A watch on a container's memory controller.
#[derive(Debug)]
pub struct OomWatch(Kind);

#[derive(Debug)]
enum Kind {
    /// An eventfd that counts how often the limit could not be kept to, and once more when the
    /// cgroup is removed (Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control").
    V1 { eventfd: OwnedFd, dir: PathBuf },
    /// memory.events, which signals a change, and what it said last.
    V2 {
        file: OwnedFd,
        kills: u64,
        /// Says the last word where the cgroup is gone before the file was read.
        log: Option<KernelLog>,
        /// What the cgroup is called there.
        path: PathBuf,
    },
}

/// What an [`OomWatch`] has seen since it was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether memory ran out.
    pub out_of_memory: bool,
    /// Whether the cgroup is gone: there is nothing more to be seen.
    pub is_gone: bool,
}

impl OomWatch {
    /// Watches a v1 memory cgroup; also where the OOM killer is switched off, memory runs out.
    pub(super) fn v1(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join("memory.oom_control");
        let doing = || format!("watching {}", path.display());
        let control = match rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        {
            Err(errno) if files::is_gone(errno) => return Ok(None),
            other => other.context(doing)?,
        };
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let eventfd = rustix::event::eventfd(0, flags).context(doing)?;
        let registration = format!("{} {}", eventfd.as_raw_fd(), control.as_raw_fd());
        files::write_named(&dir.join("cgroup.event_control"), &registration)?;
        let dir = dir.to_owned();
        Ok(Some(Self(Kind::V1 { eventfd, dir })))
    }

    /// Watches the v2 cgroup at `dir`, those below it included. `path` is what the kernel calls
    /// it; a relative one may be below another.
    pub(super) fn v2(dir: &Path, path: PathBuf) -> Result<Option<Self>> {
        let events = dir.join("memory.events");
        let doing = || format!("watching {}", events.display());
        let file = match rustix::fs::open(&events, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        {
            Err(errno) if files::is_gone(errno) => return Ok(None),
            other => other.context(doing)?,
        };
        // The log before the count: a kill is in the log before it counts.
        let log = KernelLog::open();
        let kills = kills(&file).context(doing)?;
        Ok(Some(Self(Kind::V2 {
            file,
            kills,
            log,
            path,
        })))
    }

    /// What to poll for.
    pub fn poll_fd(&self) -> PollFd<'_> {
        match &self.0 {
            Kind::V1 { eventfd, .. } => PollFd::new(eventfd, PollFlags::IN),
            // kernfs signals a change since the last read as a priority event.
            Kind::V2 { file, .. } => PollFd::new(file, PollFlags::PRI),
        }
    }

    /// Looks; never waits.
    pub fn look(&mut self) -> Result<Seen> {
        match &mut self.0 {
            Kind::V1 { eventfd, dir } => {
                let mut count = [0; 8];
                let count = match rustix::io::read(&*eventfd, &mut count) {
                    Ok(_) => u64::from_ne_bytes(count),
                    Err(Errno::AGAIN) => 0,
                    Err(errno) => return Err(Error::system("reading an eventfd", errno)),
                };
                let is_gone = !dir.exists();
                Ok(Seen {
                    out_of_memory: count > u64::from(is_gone),
                    is_gone,
                })
            }
            Kind::V2 {
                file,
                kills: last,
                log,
                path,
            } => match kills(file) {
                Ok(now) => {
                    let before = std::mem::replace(last, now);
                    if now > before {
                        forget(log);
                    }
                    Ok(Seen {
                        out_of_memory: now > before,
                        is_gone: false,
                    })
                }
                Err(errno) if files::is_gone(errno) => Ok(Seen {
                    out_of_memory: last_word(log.take(), path),
                    is_gone: true,
                }),
                Err(errno) => Err(Error::system("reading memory.events", errno)),
            },
        }
    }
}

/// Kills that were counted are not to be found in the log once more.
fn forget(log: &mut Option<KernelLog>) {
    if let Some(Err(errno)) = log.as_ref().map(KernelLog::skip) {
        log::debug!("doing without the kernel's log: {errno}");
        *log = None;
    }
}

/// Whether the log tells of a kill that was not counted any more.
fn last_word(log: Option<KernelLog>, path: &Path) -> bool {
    let told = log.map_or(Ok(false), |log| log.tells_of_kill(path));
    told.unwrap_or_else(|errno| {
        log::debug!("reading the kernel's log: {errno}");
        false
    })
}

/// How many processes were killed. The file tells also of limits that were just met.
fn kills(file: &OwnedFd) -> rustix::io::Result<u64> {
    rustix::fs::seek(file, SeekFrom::Start(0))?;
    let mut buffer = [0; 512];
    let length = rustix::io::read(file, &mut buffer)?;
    let text = String::from_utf8_lossy(&buffer[..length]);
    let kills = files::value_of(&text, "oom_kill").and_then(|kills| kills.parse().ok());
    Ok(kills.unwrap_or(0))
}
