//! The container's terminal: allocated from its own devpts, its master sent to the parent.

use crate::devices;
use crate::error::{Code, Context, Error, Result};
use crate::plan::Terminal;
use crate::root::Root;
use crate::sys::stdio;
use crate::wire::{FromInit, Wire};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{OptionalActions, OutputModes, Winsize};

/// `DEVPTS_SUPER_MAGIC` of statfs(2).
const DEVPTS_MAGIC: i64 = 0x1cd1;

/// Allocates the terminal, sends its master to the parent, and returns its slave.
///
/// # Errors
/// Where the container has no devpts at /dev/pts.
pub fn allocate(root: &Root, terminal: Terminal, wire: &Wire) -> Result<OwnedFd> {
    let doing = || "allocating the container's terminal";
    let master = devices::open_pts_ptmx(root).context(doing)?;
    let fs = rustix::fs::fstatfs(&master).context(doing)?;
    if fs.f_type as i64 != DEVPTS_MAGIC {
        return Err(Error::new(
            Code::InvalidConfig,
            "/dev/pts in the container is not a devpts",
        )
        .context(doing()));
    }
    rustix::pty::unlockpt(&master).context(doing)?;
    // By descriptor (Linux 4.13): the name /dev/pts/N could be another's by the time it is opened.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).context(doing)?;
    prepare(&slave, terminal).context(doing)?;
    wire.send(&FromInit::Console, &[master.as_fd()])?;
    Ok(slave)
}

fn prepare(slave: &OwnedFd, terminal: Terminal) -> rustix::io::Result<()> {
    if terminal.height != 0 || terminal.width != 0 {
        let size = Winsize {
            ws_row: terminal.height,
            ws_col: terminal.width,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(slave, size)?;
    }
    // "\n" stays "\n" on its way out, as runc has it: the terminal in front adds the "\r".
    let mut modes = rustix::termios::tcgetattr(slave)?;
    modes.output_modes -= OutputModes::ONLCR;
    rustix::termios::tcsetattr(slave, OptionalActions::Now, &modes)
}

/// Makes `slave` stdin, stdout and stderr.
///
/// # Errors
/// Those of dup3(2).
pub fn install(slave: BorrowedFd<'_>) -> Result<()> {
    rustix::stdio::dup2_stdin(slave)
        .and_then(|()| rustix::stdio::dup2_stdout(slave))
        .and_then(|()| rustix::stdio::dup2_stderr(slave))
        .context(|| "taking the terminal")
}

/// Swaps stdio that is the host's null device for the container's own: through /dev/stdin the
/// container could change the owner and mode of the host's.
///
/// # Errors
/// Those of fstat(2) and dup3(2).
pub fn reopen_null(root: &Root) -> Result<()> {
    let doing = || "reopening /dev/null";
    let is_null = |fd: BorrowedFd<'_>| match rustix::fs::fstat(fd) {
        Ok(stat) => Ok(devices::is_null(&stat)),
        Err(Errno::BADF) => Ok(false),
        Err(error) => Err(error),
    };
    let [stdin, stdout, stderr] = stdio::all();
    let (input, output, error) = (
        is_null(stdin).context(doing)?,
        is_null(stdout).context(doing)?,
        is_null(stderr).context(doing)?,
    );
    if !(input || output || error) {
        return Ok(());
    }
    let Some(null) = devices::open_null(root) else {
        return Ok(());
    };
    if input {
        rustix::stdio::dup2_stdin(&null).context(doing)?;
    }
    if output {
        rustix::stdio::dup2_stdout(&null).context(doing)?;
    }
    if error {
        rustix::stdio::dup2_stderr(&null).context(doing)?;
    }
    Ok(())
}
