//! NOTIFY_SOCKET, sd_notify(3): a socket of ours in the container, and what comes there passed
//! on to the one we were given.

use crate::container::Record;
use crate::container::process::HostProcess;
use crate::error::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};
use rustix::pipe::PipeFlags;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const VARIABLE: &str = "NOTIFY_SOCKET";

/// Where the container finds its socket, as runc has it.
const IN_CONTAINER: &str = "/run/notify/notify.sock";

/// How long the service manager may take to read what we tell it; runc's figure.
const BARRIER_SECONDS: i64 = 30;

/// A socket that stands in for the host's.
#[derive(Debug)]
pub struct NotifySocket {
    socket: OwnedFd,
    /// The service manager's.
    host: SocketAddrUnix,
}

/// The variable of the host, where there is one.
pub fn asked_for() -> Option<PathBuf> {
    std::env::var_os(VARIABLE)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// What the container's process is told.
pub fn variable() -> (String, String) {
    (VARIABLE.into(), IN_CONTAINER.into())
}

/// The directory that is bound into the container, at /run/notify.
pub fn directory(state_directory: &Path) -> PathBuf {
    state_directory.join("notify")
}

/// Makes the directory.
///
/// # Errors
/// Those of mkdir(2).
pub fn make_directory(state_directory: &Path) -> Result<()> {
    let path = directory(state_directory);
    // Whoever the container's user is must be able to reach the socket in it.
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o755)
        .create(&path)
        .context(|| format!("making {}", path.display()))
}

impl NotifySocket {
    /// Begins to listen, where this container was created for it and we are told where to
    /// pass it on.
    ///
    /// # Errors
    /// Those of bind(2).
    pub fn listen(state_directory: &Path) -> Result<Option<Self>> {
        let directory = directory(state_directory);
        let Some(host) = asked_for().filter(|_| directory.is_dir()) else {
            return Ok(None);
        };
        let doing = || format!("listening for {VARIABLE}");
        let host = match host.as_os_str().as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddrUnix::new_abstract_name(name).context(doing)?,
            None => SocketAddrUnix::new(&host).context(doing)?,
        };
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .context(doing)?;
        let fd = rustix::fs::open(
            &directory,
            rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .context(doing)?;
        // By descriptor: the path of a socket has at most 107 bytes.
        let path = format!(
            "/proc/self/fd/{}/notify.sock",
            std::os::fd::AsRawFd::as_raw_fd(&fd)
        );
        rustix::net::bind(&socket, &SocketAddrUnix::new(path.as_str()).context(doing)?)
            .context(doing)?;
        rustix::fs::chmodat(
            &fd,
            c"notify.sock",
            rustix::fs::Mode::from_raw_mode(0o777),
            rustix::fs::AtFlags::empty(),
        )
        .context(doing)?;
        Ok(Some(Self { socket, host }))
    }

    /// Passes on the next message, which must have come. Says whether it was READY.
    ///
    /// # Errors
    /// Those of receiving; a host that does not listen any more is only warned of.
    pub fn relay(&self, main_process: i32) -> Result<bool> {
        let mut message = [0; 4096];
        let (length, _) = rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.socket, &mut message, RecvFlags::empty())
        })
        .context(|| format!("reading {VARIABLE}"))?;
        let lines = message[..length].split(|&byte| byte == b'\n');
        let Some(ready) = lines.into_iter().find(|line| line.starts_with(b"READY=")) else {
            return Ok(false);
        };
        let main = format!("MAINPID={main_process}\n");
        let sent = self
            .send(&[ready, b"\n"].concat(), &[])
            .and_then(|()| self.send(main.as_bytes(), &[]));
        if let Err(error) = sent {
            log::warn!("passing on READY to {VARIABLE}: {error}");
        }
        Ok(true)
    }

    fn send(&self, message: &[u8], fds: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let message = [IoSlice::new(message)];
        let flags = SendFlags::NOSIGNAL;
        rustix::net::sendmsg_addr(&socket, &self.host, &message, &mut control, flags).map(drop)
    }

    /// Waits until the service manager has read what was sent (sd_notify_barrier(3)): it knows
    /// whose message one is for only as long as the sender is there.
    fn wait_until_read(&self) -> rustix::io::Result<()> {
        let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        self.send(b"BARRIER=1", &[theirs.as_fd()])?;
        drop(theirs);
        let mut closed = [PollFd::new(&ours, PollFlags::empty())];
        let deadline = Timespec {
            tv_sec: BARRIER_SECONDS,
            tv_nsec: 0,
        };
        if rustix::io::retry_on_intr(|| rustix::event::poll(&mut closed, Some(&deadline)))? == 0 {
            log::warn!("{VARIABLE}: nobody read READY within {BARRIER_SECONDS} s");
        }
        Ok(())
    }

    /// Passes on messages until the container is ready, or has ended.
    ///
    /// # Errors
    /// See [`Self::relay`].
    pub fn relay_until_ready(&self, record: &Record) -> Result<()> {
        let Some(process) = record.process else {
            return Ok(());
        };
        let Some(pidfd) = HostProcess::open(process)? else {
            return Ok(());
        };
        loop {
            let mut ready = [
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::new(&pidfd, PollFlags::IN),
            ];
            match rustix::event::poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other.context(|| "waiting for the container to be ready")?,
            };
            if !ready[0].revents().is_empty() {
                if self.relay(process.pid)? {
                    if let Err(error) = self.wait_until_read() {
                        log::warn!("waiting for {VARIABLE} to be read: {error}");
                    }
                    return Ok(());
                }
            } else if !ready[1].revents().is_empty() {
                return Ok(());
            }
        }
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
