//! `events --lifecycle`: what becomes of a container, a line of JSON for each change of its
//! status, from now until it is deleted.
//!
//! Nothing is asked again and again: the state directory tells of records and of the gate (whose
//! lock is closed by the execve of the program), the cgroup of freezing, a pidfd of the end.

use crate::container::{ContainerId, Directory, Record};
use crate::error::{Code, Context, Error, Result};
use crate::hooks::Status;
use crate::output;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use serde::Serialize;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::SystemTime;

/// v1's freezer says nothing when it is done: it is looked at again after this long.
const SETTLING: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// How often, after something has changed.
const LOOKS: u32 = 10;

/// One line.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    /// RFC 3339, UTC.
    time: String,
    /// The spec's word, or "deleted".
    status: &'static str,
    /// Its init; none where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
}

/// What is known of the container.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// None once it is deleted.
    status: Option<Status>,
    pid: Option<i32>,
}

/// Prints the status now, and whenever it changes, until the container is deleted.
///
/// # Errors
/// Those of watching.
pub fn stream(directory: &Directory, id: &ContainerId) -> Result<()> {
    let doing = || format!("watching {}", directory.path().display());
    let watches = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).context(doing)?;
    let changes = WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&watches, directory.path(), changes).context(doing)?;
    // Its own end is told where it was: we hold it, and so it is not gone for itself.
    let root = directory.path().parent().unwrap_or(Path::new("/"));
    inotify::add_watch(&watches, root, WatchFlags::DELETE).context(doing)?;
    let mut watched = None;
    let mut last = None;
    loop {
        // Looked at after the watch is there: no change is missed between the two.
        let (seen, record) = look(directory, last)?;
        if last != Some(seen) {
            print(id, seen)?;
            last = Some(seen);
        }
        if seen.status.is_none() {
            return Ok(());
        }
        if let (None, Some(record)) = (&watched, &record)
            && let Some(process) = record.process
        {
            if let Some(file) = record.cgroups.freezing_is_told_by() {
                // A container that has stopped may have no cgroup any more.
                let _ = inotify::add_watch(&watches, &file, WatchFlags::MODIFY);
            }
            watched = Some(process.open()?);
            continue;
        }
        let init = watched.as_ref().and_then(Option::as_ref);
        let ended = wait(&watches, init)?;
        if ended {
            watched = Some(None);
        }
        settle(directory, seen)?;
    }
}

/// What is so now. `last` is what was so before.
fn look(directory: &Directory, last: Option<Seen>) -> Result<(Seen, Option<Record>)> {
    let doing = || format!("looking at {}", directory.path().display());
    let gone = Seen {
        status: None,
        pid: None,
    };
    if rustix::fs::fstat(directory).context(doing)?.st_nlink == 0 {
        return Ok((gone, None));
    }
    let record = match directory.read() {
        Err(error) if error.code() == Code::NotFound => None,
        other => Some(other?),
    };
    let status = match &record {
        Some(record) => directory.status(record)?,
        // A create is at work that has not written its intent; or a delete, which is nearly done.
        None => match last {
            Some(last) => return Ok((last, None)),
            None => Status::Creating,
        },
    };
    let process = record.as_ref().and_then(|record| record.process);
    let lives = status != Status::Stopped;
    let pid = process.filter(|_| lives).map(|process| process.pid);
    let status = Some(status);
    Ok((Seen { status, pid }, record))
}

/// After a write to v1's freezer the tasks stop in their own time.
fn settle(directory: &Directory, before: Seen) -> Result<()> {
    for _ in 0..LOOKS {
        if look(directory, Some(before))?.0 != before {
            break;
        }
        let _ = rustix::event::poll(&mut [], Some(&SETTLING));
    }
    Ok(())
}

/// Waits for a change; says whether init has ended.
fn wait(watches: &OwnedFd, init: Option<&OwnedFd>) -> Result<bool> {
    let mut polled = vec![PollFd::new(watches, PollFlags::IN)];
    polled.extend(init.map(|init| PollFd::new(init, PollFlags::IN)));
    match rustix::event::poll(&mut polled, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(Error::system("waiting for a change", error)),
    }
    let ended = polled.get(1).is_some_and(|init| !init.revents().is_empty());
    // What changed is looked up, not read off the events.
    let mut buffer = [0; 4096];
    while rustix::io::read(watches.as_fd(), &mut buffer).is_ok_and(|length| length > 0) {}
    Ok(ended)
}

fn print(id: &ContainerId, seen: Seen) -> Result<()> {
    output::json_line(&Event {
        kind: "lifecycle",
        id: id.as_str(),
        time: humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
        status: seen.status.map_or("deleted", Status::as_str),
        pid: seen.pid,
    })
}
