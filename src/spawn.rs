//! Running another program and waiting for it, with a deadline: hooks, newuidmap, ps.
//!
//! `std::process::Command` would leave the child our blocked signals, and cannot wait with a
//! deadline; its pipes block where nobody reads. Here stdin and output are files in memory.

use crate::error::{Code, Context, Error, Result};
use crate::sys::clone::{Clone, Forked, fork};
use crate::sys::{exec, signals};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

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

/// Our own environment, for a program that is to have it.
pub fn own_environment() -> Vec<CString> {
    std::env::vars_os()
        .filter_map(|(name, value)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        })
        .collect()
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

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit status {code}"),
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
/// Where it cannot be started, or is killed for its timeout ([`Code::Timeout`]). A program
/// that fails is an [`Outcome`].
pub fn run(command: &Command) -> Result<Outcome> {
    let stdin = memory_file("stdin")?;
    (&stdin)
        .write_all(&command.input)
        .and_then(|()| (&stdin).rewind())
        .context(|| "preparing stdin")?;
    let mut output = memory_file("output")?;
    let (pid, pidfd) = match fork(&Clone::default()).context(|| "making a process")? {
        Forked::Child => become_program(command, &stdin, &output),
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    // Also by the child itself: whoever comes first, it is done when it is needed. This one
    // fails where the child has gone on to its program.
    let _ = rustix::process::setpgid(Some(pid), Some(pid));
    let mut child = Child::new(pidfd.try_clone().context(|| "keeping hold of a process")?);
    child.group = Some(pid);
    let status = match end_of(pidfd.as_fd(), command.timeout)? {
        End::Itself => wait(pidfd.as_fd())?,
        End::Timeout => {
            let seconds = command.timeout.unwrap_or_default().as_secs_f64();
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
    let bytes = end_of_file(&mut output, command.output_limit).context(|| "reading its output")?;
    Ok(Outcome {
        status,
        output: String::from_utf8_lossy(&bytes).trim_end().to_owned(),
    })
}

fn end_of_file(file: &mut File, limit: Option<u64>) -> std::io::Result<Vec<u8>> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(
        length.saturating_sub(limit.unwrap_or(length)),
    ))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn memory_file(name: &str) -> Result<File> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)
        .context(|| "making a file in memory")?;
    Ok(File::from(fd))
}

/// The child's part. What fails here shows as exit status 127 and a line of output.
fn become_program(command: &Command, stdin: &File, output: &File) -> ! {
    signals::reset_dispositions();
    signals::set_mask(&signals::SignalSet::empty());
    // What it starts is killed with it when its time is up, and it itself with us.
    let _ = rustix::process::setpgid(None, None);
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let ready = rustix::stdio::dup2_stdin(stdin)
        .and_then(|()| rustix::stdio::dup2_stdout(output))
        .and_then(|()| rustix::stdio::dup2_stderr(output))
        .map_err(std::io::Error::from)
        .and_then(|()| exec::cloexec_from(3));
    let error = match ready {
        Ok(()) => exec::execve(&command.path, &command.args, &command.env),
        Err(error) => error,
    };
    // stderr is the output file, if it could be set; else there is nobody to tell.
    let _ = writeln!(
        std::io::stderr(),
        "{}: {error}",
        command.path.to_string_lossy()
    );
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
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let mut polled = [
            PollFd::new(&pidfd, PollFlags::IN),
            PollFd::new(&signals, PollFlags::IN),
        ];
        match rustix::event::poll(&mut polled, left(deadline).as_ref()) {
            Ok(0) => return Ok(End::Timeout),
            Ok(_) if !polled[0].revents().is_empty() => return Ok(End::Itself),
            Ok(_) => {
                if let Some(signal) = signals::next(&signals).context(|| "reading a signal")? {
                    return Ok(End::Interrupted(signal.number));
                }
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::system("waiting for a process", error)),
        }
    }
}

/// The time until a deadline, for poll(2).
fn left(deadline: Option<Instant>) -> Option<Timespec> {
    let left = deadline?.saturating_duration_since(Instant::now());
    Some(Timespec {
        tv_sec: left.as_secs() as i64,
        tv_nsec: left.subsec_nanos().into(),
    })
}

/// Waits until the process ends, or the time is up; says whether it ended.
///
/// # Errors
/// Those of poll(2).
pub fn ended_within(pidfd: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<bool> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let polled = &mut [PollFd::new(&pidfd, PollFlags::IN)];
        match rustix::event::poll(polled, left(deadline).as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
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
