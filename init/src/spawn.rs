//! Running another program and waiting for it, with a deadline: hooks, newuidmap, ps.
//!
//! `std::process::Command` would leave the child our blocked signals, and cannot wait with a
//! deadline; its pipes block where nobody reads. Here stdin and output are files in memory.

use crate::error::{Code, Context, Error, Result};
use crate::files;
use crate::sys::clock::monotonic;
use crate::sys::clone::{Clone, Forked, fork};
use crate::sys::{exec, signals};
use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};

/// How long a killed process may take to go.
const DEATH_DEADLINE: Duration = Duration::from_secs(10);

/// A program to run.
#[derive(Debug)]
pub struct Command {
    /// Absolute.
    pub path: CString,
    /// With its own name first.
    pub args: Vec<CString>,
    /// `NAME=VALUE`.
    pub env: Vec<CString>,
    /// What it reads from stdin.
    pub input: Vec<u8>,
    /// How much of the end of its output is wanted, in bytes; none for all of it.
    pub output_limit: Option<u64>,
    /// How long it may take; none for as long as it likes.
    pub timeout: Option<Duration>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Outcome {
    /// How it exited.
    pub status: Status,
    /// Its stdout and stderr, as they came.
    pub output: String,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It called exit.
    Exited(i32),
    /// A signal ended it.
    Signaled(i32),
}

impl Status {
    /// As a shell reports it, and runc: 128 + the signal's number.
    pub fn exit_code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => 128 + signal,
        }
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
            // A seccomp filter's doing.
            Self::Signaled(number) if *number == Signal::SYS.as_raw() => {
                write!(f, "killed by signal {number}: bad system call")
            }
            Self::Signaled(number) => write!(f, "killed by signal {number}"),
        }
    }
}

impl From<WaitIdStatus> for Status {
    fn from(status: WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, Some(signal)) => Self::Signaled(signal),
            (None, None) => Self::Signaled(0),
        }
    }
}

/// Runs `command` to its end.
///
/// # Errors
/// Where it cannot be executed, or is killed for its timeout ([`Code::Timeout`]). A program
/// that fails is an [`Outcome`].
pub fn run(command: &Command) -> Result<Outcome> {
    run_prepared(command, || Ok(()))
}

/// The same; the child calls `prepare` last of all before the execve.
///
/// # Errors
/// Those of [`run`], and of `prepare`.
pub fn run_prepared(command: &Command, prepare: impl FnOnce() -> Result<()>) -> Result<Outcome> {
    let stdin = files::in_memory("stdin", &command.input).context(|| "preparing stdin")?;
    let output = files::in_memory("output", &[]).context(|| "preparing stdout")?;
    // Closed by the execve, or told why there is none.
    let (failure, told) =
        rustix::pipe::pipe_with(PipeFlags::CLOEXEC).context(|| "preparing a process")?;
    let (pid, pidfd) = match fork(&Clone::default()).context(|| "making a process")? {
        Forked::Child => become_program(command, &stdin, &output, &told, prepare),
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(told);
    // Also by the child itself: whoever comes first, it is done when it is needed. This one
    // fails where the child has gone on to its program.
    let _ = rustix::process::setpgid(Some(pid), Some(pid));
    let mut child = Child::new(pidfd.try_clone().context(|| "keeping hold of a process")?);
    child.group = Some(pid);
    let status = match end_of(pidfd.as_fd(), command.timeout)? {
        End::Itself => wait(pidfd.as_fd())?,
        End::Timeout => {
            let seconds = command.timeout.unwrap_or_default().as_secs();
            return Err(Error::new(
                Code::Timeout,
                format!("it took longer than its timeout of {seconds} s and was killed"),
            ));
        }
        End::Interrupted(signal) => {
            return Err(Error::new(
                Code::System,
                format!("interrupted by signal {signal}"),
            ));
        }
    };
    child.release();
    let mut errno = [0; 4];
    if let Ok(4) = rustix::io::read(&failure, &mut errno) {
        let errno = Errno::from_raw_os_error(i32::from_ne_bytes(errno));
        return Err(Error::system("executing it", errno));
    }
    let bytes = end_of_file(&output, command.output_limit).context(|| "reading its output")?;
    Ok(Outcome {
        status,
        output: String::from_utf8_lossy(&bytes).trim_end().to_string(),
    })
}

fn end_of_file(file: &OwnedFd, limit: Option<u64>) -> rustix::io::Result<Vec<u8>> {
    let length = rustix::fs::seek(file, SeekFrom::End(0))?;
    let start = length.saturating_sub(limit.unwrap_or(length));
    rustix::fs::seek(file, SeekFrom::Start(start))?;
    files::read_to_end(file)
}

/// The child's part.
fn become_program(
    command: &Command,
    stdin: &OwnedFd,
    output: &OwnedFd,
    told: &OwnedFd,
    prepare: impl FnOnce() -> Result<()>,
) -> ! {
    signals::reset_dispositions(signals::SignalSet::all());
    signals::set_mask(&signals::SignalSet::empty());
    // What it starts is killed with it when its time is up, and it itself with us.
    let _ = rustix::process::setpgid(None, None);
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let ready = rustix::stdio::dup2_stdin(stdin)
        .and_then(|()| rustix::stdio::dup2_stdout(output))
        .and_then(|()| rustix::stdio::dup2_stderr(output))
        .and_then(|()| exec::cloexec_from(3))
        .and_then(|()| prepare().map_err(|error| error.errno().unwrap_or(Errno::PERM)));
    let errno = match ready {
        Ok(()) => exec::execve(&command.path, &command.args, &command.env),
        Err(errno) => errno,
    };
    // It fails only where nobody reads it.
    let _ = rustix::io::write(told, &errno.raw_os_error().to_ne_bytes());
    exec::exit_now(127)
}

/// Signals that are held back from the moment a container begins to exist: whoever sends one
/// gets an orderly end, not half a container. Where they are blocked, they end each wait here.
pub const HELD_BACK: &[Signal] = &[Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM];

/// What a wait ended with.
enum End {
    Itself,
    Timeout,
    Interrupted(i32),
}

/// Waits until the process ends, the time is up, or a signal comes that is held back.
fn end_of(pidfd: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<End> {
    let signals = signals::descriptor(&signals::SignalSet::of(HELD_BACK))
        .context(|| "watching for signals")?;
    let deadline = timeout.and_then(Deadline::after);
    loop {
        let mut polled = [
            PollFd::new(&pidfd, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        match rustix::event::poll(&mut polled, deadline.map(Deadline::left).as_ref()) {
            Ok(0) => return Ok(End::Timeout),
            Ok(_) if !polled[0].revents().is_empty() => return Ok(End::Itself),
            Ok(_) => {
                if let Some(signal) = signals::next(&signals).context(|| "reading a signal")? {
                    return Ok(End::Interrupted(signal.number));
                }
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::system("waiting for a process", error)),
        }
    }
}

/// When a wait is to end.
#[derive(Clone, Copy)]
struct Deadline(Duration);

impl Deadline {
    /// In this time from now on; none where that is beyond all clocks.
    fn after(timeout: Duration) -> Option<Self> {
        monotonic().checked_add(timeout).map(Self)
    }

    /// The time until then, for poll(2).
    fn left(self) -> Timespec {
        let left = self.0.saturating_sub(monotonic());
        // Longer than any wait: poll(2) knows no more seconds.
        Timespec::try_from(left).unwrap_or(Timespec {
            tv_sec: i64::MAX,
            tv_nsec: 0,
        })
    }
}

/// Waits until the process ends, or the time is up; says whether it ended.
///
/// # Errors
/// Those of poll(2).
pub fn ended_within(pidfd: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<bool> {
    let deadline = timeout.and_then(Deadline::after);
    loop {
        let polled = &mut [PollFd::new(&pidfd, PollFlags::IN)];
        match rustix::event::poll(polled, deadline.map(Deadline::left).as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(error) => return Err(Error::system("waiting for a process", error)),
        }
    }
}

/// Reaps a child that has ended, or waits until it does.
///
/// # Errors
/// `ECHILD` where it is no child of ours.
pub fn wait(pidfd: BorrowedFd<'_>) -> Result<Status> {
    let status = rustix::io::retry_on_intr(|| {
        rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED)
    })
    .context(|| "waiting for a process")?;
    Ok(status.map_or(Status::Signaled(0), Status::from))
}

/// A process we started and that must not outlive our interest: killed and reaped when dropped.
#[derive(Debug)]
pub struct Child {
    pidfd: Option<OwnedFd>,
    /// The process group that it leads, and that is killed with it.
    group: Option<Pid>,
}

impl Child {
    /// Takes charge of a child of ours.
    pub fn new(pidfd: OwnedFd) -> Self {
        Self {
            pidfd: Some(pidfd),
            group: None,
        }
    }

    /// Lets it live on by itself.
    pub fn release(mut self) -> Option<OwnedFd> {
        self.pidfd.take()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pidfd) = &self.pidfd {
            // Both fail only where it is gone already. It has not been waited for: its number
            // is still its own, and its group's.
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
            if let Some(group) = self.group {
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            }
            // In a paused cgroup (v1) it dies only when that is resumed.
            if let Ok(true) = ended_within(pidfd.as_fd(), Some(DEATH_DEADLINE)) {
                let _ = wait(pidfd.as_fd());
            }
        }
    }
}
