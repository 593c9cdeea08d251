//! `events`: what a container uses, and when it runs out of memory, as lines of JSON.

use crate::cgroups::{OomWatch, Stats};
use crate::cli;
use crate::container::{ContainerId, Record};
use crate::context::Context as Globals;
use crate::error::{Code, Error, Result};
use crate::hooks::Status;
use crate::intel_rdt;
use crate::lifecycle;
use crate::output;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use serde::Serialize;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// One line, as runc prints it.
#[derive(Serialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data>,
}

#[derive(Serialize)]
struct Data {
    #[serde(flatten)]
    cgroups: Stats,
    intel_rdt: intel_rdt::Stats,
    /// null, as runc's: it knows of no interface but those that it made itself, and makes none.
    network_interfaces: (),
}

/// Runs the command.
///
/// # Errors
/// Where the container does not run, in runc's words.
pub fn run(globals: &Globals, args: &cli::Events) -> Result<()> {
    let id = ContainerId::new(&args.id)?;
    let directory = globals.root.open(&id)?;
    if args.lifecycle {
        return lifecycle::stream(&directory, &id);
    }
    let record = directory.read()?;
    let not_running = || {
        let message = format!("container with id {} is not running", record.id);
        Err(Error::new(Code::WrongState, message))
    };
    let init = match directory.status(&record)? {
        Status::Stopped | Status::Creating => return not_running(),
        Status::Created | Status::Running | Status::Paused => record.process,
    };
    if args.stats {
        return print(&record, "stats", Some(stats(&record)?));
    }
    match init.map(|init| init.open()).transpose()?.flatten() {
        Some(init) => stream(&record, &init, args.interval),
        None => not_running(),
    }
}

fn stats(record: &Record) -> Result<Data> {
    Ok(Data {
        cgroups: record.cgroups.stats()?,
        intel_rdt: match &record.intel_rdt {
            Some(groups) => groups.stats()?,
            None => intel_rdt::Stats::default(),
        },
        network_interfaces: (),
    })
}

fn print(record: &Record, kind: &'static str, data: Option<Data>) -> Result<()> {
    let id = &record.id;
    output::json_line(&Event { kind, id, data })
}

/// Prints events until the container ends.
fn stream(record: &Record, init: &OwnedFd, interval: Duration) -> Result<()> {
    let mut watch = record.cgroups.watch_oom()?;
    // None for a time that will not come.
    let mut next = Instant::now().checked_add(interval);
    loop {
        let (ended, is_time) = wait(init, watch.as_ref(), next)?;
        // Also of a container that has just ended: want of memory may be why.
        if let Some(watching) = &mut watch {
            let seen = watching.look()?;
            if seen.out_of_memory {
                print(record, "oom", None)?;
            }
            if seen.is_gone {
                watch = None;
            }
        }
        if ended {
            return Ok(());
        }
        if is_time {
            next = Instant::now().checked_add(interval);
            match stats(record) {
                Ok(data) => print(record, "stats", Some(data))?,
                // It may be at its end, or be better at the next time.
                Err(error) => log::warn!("{error}"),
            }
        }
    }
}

/// Waits for something to tell: (the container has ended, it is time for statistics).
fn wait(init: &OwnedFd, watch: Option<&OomWatch>, next: Option<Instant>) -> Result<(bool, bool)> {
    let mut polled = vec![PollFd::new(init, PollFlags::IN)];
    polled.extend(watch.map(OomWatch::poll_fd));
    let left = next.map(|next| next.saturating_duration_since(Instant::now()));
    let timeout = left.and_then(|left| Timespec::try_from(left).ok());
    match rustix::event::poll(&mut polled, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(Error::system("waiting for events", error)),
    }
    let ended = !polled[0].revents().is_empty();
    Ok((ended, next.is_some_and(|next| Instant::now() >= next)))
}
