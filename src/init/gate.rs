//! Where a created container waits for `start`: a listening socket in its state directory.
//!
//! A connection is the word to go; it stays open until the program is executed, so that
//! `start` learns of a failure, or sees the connection close with the execve. The socket is
//! also how everybody knows that the container has not been started: init holds a lock on the
//! file beside it, which the kernel drops with the execve, or with init (see
//! `container::gate`).

use super::wire::Wire;
use crate::error::{Context, Result};
use rustix::net::SocketFlags;
use std::os::fd::OwnedFd;

/// Waits for `start`, and returns the wire to it.
///
/// # Errors
/// Those of accept(2).
pub fn wait(gate: OwnedFd) -> Result<Wire> {
    let connection = rustix::io::retry_on_intr(|| rustix::net::accept_with(&gate, SocketFlags::CLOEXEC))
        .context(|| "waiting for start")?;
    Ok(Wire::from_socket(connection))
}
