//! What a command hands to others, and takes from them, by descriptor and by file: terminals,
//! pidfds, pid files, the sockets of systemd's activation.

use crate::error::{Code, Context, Error, Result};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, sockopt,
};
use rustix::process::Pid;
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// How long whoever listens at a socket may take to take what we have for them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether a terminal is wanted and can be had, in runc's words.
///
/// # Errors
/// Where nobody would take the terminal, or there is none to take.
pub fn check_terminal(
    wants_terminal: bool,
    detached: bool,
    console_socket: Option<&Path>,
) -> Result<()> {
    let refuse = |message: &str| Err(Error::new(Code::Usage, message));
    match (wants_terminal, detached, console_socket) {
        (true, true, None) => {
            refuse("cannot allocate tty if tare will detach without setting console socket")
        }
        (false, _, Some(_)) | (_, false, Some(_)) => {
            refuse("cannot use console socket if tare will not detach or allocate tty")
        }
        _ => Ok(()),
    }
}

/// Sends the master of a terminal to `--console-socket`.
///
/// # Errors
/// Those of connecting and sending.
pub fn terminal(master: Option<OwnedFd>, socket: Option<&Path>) -> Result<()> {
    match (master, socket) {
        (Some(master), Some(path)) => send(path, b"/dev/ptmx", master.as_fd())
            .context(|| format!("--console-socket: {}", path.display())),
        _ => Ok(()),
    }
}

/// Sends a pidfd to `--pidfd-socket`, or to the socket that an annotation names.
///
/// # Errors
/// Those of connecting and sending.
pub fn pidfd(pidfd: &OwnedFd, socket: Option<&Path>) -> Result<()> {
    match socket {
        Some(path) => send(path, b"pidfd", pidfd.as_fd())
            .context(|| format!("--pidfd-socket: {}", path.display())),
        None => Ok(()),
    }
}

/// Sends a descriptor with a text about it, or a name for it as receivers of runc's expect, to
/// whoever listens at `path`.
///
/// # Errors
/// Those of connecting and sending, and of doing so in time.
pub fn send(path: &Path, text: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .context(|| "making a socket")?;
    // Also for connect(2), which waits while the listener's queue is full (unix(7)).
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(PATIENCE))
        .context(|| "setting a deadline")?;
    let address = SocketAddrUnix::new(path).context(|| "its path")?;
    rustix::net::connect(&socket, &address).context(|| "connecting")?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let mut sent = rustix::net::sendmsg(
        &socket,
        &[IoSlice::new(text)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .context(|| "sending a descriptor")?;
    while sent < text.len() {
        sent += rustix::net::send(&socket, &text[sent..], SendFlags::NOSIGNAL)
            .context(|| "sending what belongs to a descriptor")?;
    }
    Ok(())
}

/// Writes `--pid-file`: whole, and only then under its name.
///
/// # Errors
/// Those of writing.
pub fn pid_file(pid: Pid, path: Option<&Path>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}"));
    let doing = || format!("--pid-file: writing {}", path.display());
    // Made anew: a file or a link that somebody has put there is not ours to write to.
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).context(doing);
        }
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o666)
        .open(&temporary)
        .context(doing)?;
    file.write_all(pid.as_raw_nonzero().to_string().as_bytes())
        .context(doing)?;
    std::fs::rename(&temporary, path).context(doing)
}

/// The sockets that systemd's activation passed to us, from descriptor 3 up (sd_listen_fds(3)).
#[derive(Clone, Copy, Debug)]
pub struct ListenFds {
    /// How many.
    pub count: u32,
}

/// Those that are meant for this process.
pub fn listen_fds() -> ListenFds {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let own_pid = rustix::process::getpid().as_raw_nonzero().get();
    let ours = number("LISTEN_PID").is_some_and(|pid| i64::from(pid) == i64::from(own_pid));
    ListenFds {
        count: number("LISTEN_FDS").filter(|_| ours).unwrap_or(0),
    }
}

impl ListenFds {
    /// What tells the container's process of them, whose pid is 1.
    pub fn environment(self) -> Vec<(String, String)> {
        match self.count {
            0 => Vec::new(),
            count => vec![
                ("LISTEN_FDS".into(), count.to_string()),
                ("LISTEN_PID".into(), "1".into()),
            ],
        }
    }
}

/// Descriptors that are to be passed on must be open.
///
/// # Errors
/// The first that is not, by number; runc's callers know it as "preserved-fd", from 0.
pub fn check_preserved(count: u32) -> Result<()> {
    for index in 0..count {
        let number = u64::from(index) + 3;
        // A descriptor is known by number alone here, so it is looked up by its name in /proc.
        let path = format!("/proc/self/fd/{number}");
        match rustix::fs::readlink(path.as_str(), Vec::new()) {
            Ok(_) => {}
            Err(Errno::NOENT) => {
                return Err(Error::new(
                    Code::Usage,
                    format!(
                        "--preserve-fds: preserved-fd {index}, file descriptor {number}, is not open"
                    ),
                ));
            }
            Err(error) => {
                return Err(Error::system(
                    format!("looking at descriptor {number}"),
                    error,
                ));
            }
        }
    }
    Ok(())
}
