//! Where a created container waits for `start`: a listening socket in its state directory.
//!
//! A connection is the word to go; it stays open until the program is executed, so that
//! `start` learns of a failure, or sees the connection close with the execve. The descriptors
//! close when init executes the program or dies, and with them goes the lock that says "not
//! started yet" (see `container::gate`, the other side).

use crate::error::{Context, Result};
use crate::sys::exec;
use crate::sys::signals::{self, SignalSet};
use crate::wire::Wire;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::SocketFlags;
use rustix::process::Signal;

/// The descriptors that init waits with.
#[derive(Debug)]
pub struct Gate {
    /// Where `start` connects.
    pub listener: OwnedFd,
    /// What is locked as long as it waits, and a little longer: until the execve.
    pub lock: OwnedFd,
}

/// The signals that end a process which does nothing about them. The kernel keeps them from
/// the first process of a pid namespace, and would make a created container deaf to `kill`.
const DEADLY: &[Signal] = &[
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
];

impl Gate {
    /// Waits for `start`, and returns the wire to it. A deadly signal ends this process.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn wait(&self) -> Result<Wire> {
        let doing = || "waiting for start";
        let signals = signals::descriptor(&SignalSet::of(DEADLY)).context(doing)?;
        loop {
            let mut ready = [
                PollFd::new(&self.listener, PollFlags::IN),
                PollFd::new(&signals, PollFlags::IN),
            ];
            match rustix::event::poll(&mut ready, None) {
                Err(Errno::INTR) => continue,
                other => other.context(doing)?,
            };
            if !ready[1].revents().is_empty()
                && let Some(signal) = signals::next(&signals).context(doing)?
            {
                exec::exit_now(128 + signal.number);
            }
            if !ready[0].revents().is_empty() {
                break;
            }
        }
        rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC)
            .map(Wire::from_socket)
            .context(doing)
    }
}
