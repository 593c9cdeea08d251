//! The gate between `create` and `start`.
//!
//! init waits on a listening socket in the state directory, and holds a lock on a file beside
//! it. Both descriptors close when it executes the program or dies; the lock is therefore a
//! fact of the kernel's that tells "created" from "running", whoever was killed when. A fifo,
//! as runc has it, would tell neither that nor why a program could not be executed.

use crate::error::{Code, Context, Error, Result};
use crate::init::gate::Gate;
use crate::init::wire::Wire;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

const SOCKET: &str = "gate.sock";
const LOCK: &str = "gate.lock";

/// Makes a gate in a state directory.
///
/// # Errors
/// Those of the system calls.
pub fn make(directory: BorrowedFd<'_>) -> Result<Gate> {
    let doing = || "making the gate for start";
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    let lock =
        rustix::fs::openat(directory, LOCK, flags, Mode::RUSR | Mode::WUSR).context(doing)?;
    rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).context(doing)?;
    let listener = socket().context(doing)?;
    rustix::net::bind(&listener, &address(directory).context(doing)?).context(doing)?;
    rustix::net::listen(&listener, 1).context(doing)?;
    Ok(Gate { listener, lock })
}

fn socket() -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
}

/// By way of the directory's descriptor: a socket's path has at most 107 bytes, and engines'
/// roots are long.
fn address(directory: BorrowedFd<'_>) -> rustix::io::Result<SocketAddrUnix> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}

/// Whether init is at the gate, and so the container created and not started.
///
/// # Errors
/// Those of open(2) and flock(2).
pub fn is_closed(directory: BorrowedFd<'_>) -> Result<bool> {
    let doing = || "looking at the gate for start";
    let lock = match rustix::fs::openat(
        directory,
        LOCK,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Err(Errno::NOENT) => return Ok(false),
        other => other.context(doing)?,
    };
    // Shared: two who look at the same time must not see each other.
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(Error::system(doing(), error)),
    }
}

/// Opens the gate: returns when the program has been executed.
///
/// # Errors
/// What init says kept it from executing the program. Where nobody is at the gate,
/// [`Code::WrongState`].
pub fn open(directory: BorrowedFd<'_>) -> Result<()> {
    let doing = || "starting the container";
    let connection = socket().context(doing)?;
    match rustix::net::connect(&connection, &address(directory).context(doing)?) {
        Err(Errno::CONNREFUSED | Errno::NOENT) => {
            return Err(Error::new(
                Code::WrongState,
                "its init is not waiting to be started",
            ));
        }
        other => other.context(doing)?,
    }
    Wire::from_socket(connection).await_execution()
}
