//! Standing in for a process that runs in the foreground: its signals, its terminal, its end.

use crate::error::{Context, Result};
use crate::launch::Running;
use crate::notify::NotifySocket;
use crate::spawn::Status;
use crate::sys::signals::{self, SignalSet};
use crate::terminal::Terminal;
use crate::timing;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, Signal, WaitOptions};
use std::os::fd::{AsFd, OwnedFd};

/// Blocks every signal, so that none is lost between the clone and [`stand_in`]. Done before
/// the process is made: one that exits at once is not missed either.
pub fn hold_signals() {
    signals::set_mask(&SignalSet::all());
}

/// Stands in for the process until it ends, and returns how it did.
///
/// # Errors
/// Those of the system calls; the terminal is as it was before in any case.
pub fn stand_in(process: Running, notify: Option<NotifySocket>) -> Result<Status> {
    let signals = signals::descriptor(&SignalSet::all()).context(|| "watching for signals")?;
    let mut terminal = process.terminal.map(Terminal::new).transpose()?;
    let mut notify = notify;
    loop {
        // Looked at first: the process may have ended before we came to watch.
        if let Some(status) = reap(process.pid)? {
            if let Some(terminal) = &mut terminal {
                terminal.drain()?;
            }
            timing::phase("waiting for the process to end");
            return Ok(status);
        }
        let mut polled = vec![PollFd::new(&signals, PollFlags::IN)];
        polled.extend(
            notify
                .as_ref()
                .map(|socket| PollFd::new(socket, PollFlags::IN)),
        );
        if let Some(terminal) = &terminal {
            terminal.poll_for(&mut polled);
        }
        match rustix::event::poll(&mut polled, None) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other.context(|| "waiting for the container")?,
        };
        let notified = notify.is_some() && !polled[1].revents().is_empty();
        drop(polled);
        if notified
            && let Some(socket) = &notify
            && socket.relay(process.pid.as_raw_nonzero().get())?
        {
            notify = None;
        }
        while let Some(signal) = signals::next(&signals).context(|| "reading a signal")? {
            handle(signal.number, &process.pidfd, terminal.as_ref())?;
        }
        if let Some(terminal) = &mut terminal {
            terminal.copy()?;
        }
    }
}

/// Passes a signal on, but for those that are ours.
fn handle(number: i32, pidfd: &OwnedFd, terminal: Option<&Terminal>) -> Result<()> {
    if number == Signal::CHILD.as_raw() {
        return Ok(());
    }
    if number == Signal::WINCH.as_raw()
        && let Some(terminal) = terminal
    {
        return terminal.resize();
    }
    match signals::send(pidfd.as_fd(), number) {
        // It has just ended: the next round of the loop sees it.
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other.context(|| format!("passing on signal {number}")),
    }
}

/// Reaps all children that have ended: the process, and the orphans that fell to us as its
/// subreaper. Returns how the process ended, if it has.
fn reap(process: Pid) -> Result<Option<Status>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == process => {
                return Ok(Some(
                    match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => Status::Exited(code),
                        (None, signal) => Status::Signaled(signal.unwrap_or_default()),
                    },
                ));
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                return Err(crate::error::Error::system(
                    "waiting for the container's process",
                    error,
                ));
            }
        }
    }
}
