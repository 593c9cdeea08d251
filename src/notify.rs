//! NOTIFY_SOCKET, sd_notify(3): a socket of ours in the container, and what comes there passed
//! on to the one we were given.

use crate::container::Record;
use crate::container::process::HostProcess;
use crate::error::{Context, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const VARIABLE: &str = "NOTIFY_SOCKET";

/// Where the container finds its socket, as runc has it.
const IN_CONTAINER: &str = "/run/notify/notify.sock";

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
            .send(&[ready, b"\n"].concat())
            .and_then(|()| self.send(main.as_bytes()));
        if let Err(error) = sent {
            log::warn!("passing on READY to {VARIABLE}: {error}");
        }
        Ok(true)
    }

    fn send(&self, message: &[u8]) -> rustix::io::Result<()> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::net::sendto(&socket, message, SendFlags::NOSIGNAL, &self.host).map(drop)
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
