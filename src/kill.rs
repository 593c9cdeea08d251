//! `kill`: sends a signal.

use crate::cli;
use crate::container::{ContainerId, Record};
use crate::context::Context as Globals;
use crate::error::{Code, Context, Error, Result};
use crate::hooks::Status;
use crate::sys::signals;
use rustix::io::Errno;
use rustix::process::Signal;
use std::os::fd::AsFd;

/// Runs the command.
///
/// # Errors
/// Where the container does not run, in runc's words.
pub fn run(globals: &Globals, args: &cli::Kill) -> Result<()> {
    let directory = globals.root.open(&ContainerId::new(&args.id)?)?;
    let record = directory.read()?;
    // As runc: scripts give "$SIGNAL", which may be unset.
    let number = match args.signal.as_str() {
        "" => Signal::TERM.as_raw(),
        text => parse_signal(text)?,
    };
    let is_kill = number == Signal::KILL.as_raw();
    // Without a pid namespace of its own, the end of init does not end the others.
    let outlive_init = record.namespaces & libc::CLONE_NEWPID as u64 == 0;
    if record.is_mere_intent() {
        // The cgroups may be another container's.
        return Err(not_running());
    }
    if args.all || (is_kill && outlive_init) {
        return signal_all(&record, number);
    }
    let status = directory.status(&record)?;
    if matches!(status, Status::Stopped | Status::Creating) {
        return Err(not_running());
    }
    signal_init(&record, number)?;
    if is_kill && status == Status::Paused {
        // On cgroup v1 a frozen process does not even die.
        record.cgroups.thaw()?;
    }
    Ok(())
}

fn not_running() -> Error {
    // Engines match these words.
    Error::new(Code::WrongState, "container not running")
}

fn signal_init(record: &Record, number: i32) -> Result<()> {
    let process = record.process.ok_or_else(not_running)?;
    let pidfd = process.open()?.ok_or_else(not_running)?;
    match signals::send(pidfd.as_fd(), number) {
        Err(Errno::SRCH) => Err(not_running()),
        other => other.context(|| format!("sending signal {number} to process {}", process.pid)),
    }
}

fn signal_all(record: &Record, number: i32) -> Result<()> {
    if record.cgroups.exists() {
        return record.cgroups.signal_all(number);
    }
    // A rootless container may have no cgroup to find the others by.
    match signal_init(record, number) {
        Err(error) if error.code() == Code::WrongState => Ok(()),
        other => other,
    }
}

/// A signal's number, by number, or by name in any case with or without "SIG".
fn parse_signal(text: &str) -> Result<i32> {
    let unknown = || {
        Error::new(Code::Usage, format!("unknown signal {text:?}"))
            .hint("a number from 0 to 64, or a name as in TERM, SIGTERM, SIGRTMIN+1")
    };
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=libc::SIGRTMAX()).contains(&number) {
            Ok(number)
        } else {
            Err(unknown())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    let (base, sign, rest) = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => (libc::SIGRTMIN(), '+', rest),
        (_, Some(rest)) => (libc::SIGRTMAX(), '-', rest),
        _ => return Err(unknown()),
    };
    let offset = match rest.strip_prefix(sign) {
        Some(offset) => offset.parse::<u8>().map_err(|_| unknown())?,
        None if rest.is_empty() => 0,
        None => return Err(unknown()),
    };
    let number = if sign == '+' {
        base + i32::from(offset)
    } else {
        base - i32::from(offset)
    };
    if (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number) {
        Ok(number)
    } else {
        Err(unknown())
    }
}

/// signal(7), the standard signals and their synonyms.
const NAMES: &[(&str, i32)] = &[
    ("ABRT", libc::SIGABRT),
    ("ALRM", libc::SIGALRM),
    ("BUS", libc::SIGBUS),
    ("CHLD", libc::SIGCHLD),
    ("CLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("FPE", libc::SIGFPE),
    ("HUP", libc::SIGHUP),
    ("ILL", libc::SIGILL),
    ("INT", libc::SIGINT),
    ("IO", libc::SIGIO),
    ("IOT", libc::SIGIOT),
    ("KILL", libc::SIGKILL),
    ("PIPE", libc::SIGPIPE),
    ("POLL", libc::SIGPOLL),
    ("PROF", libc::SIGPROF),
    ("PWR", libc::SIGPWR),
    ("QUIT", libc::SIGQUIT),
    ("SEGV", libc::SIGSEGV),
    ("STKFLT", libc::SIGSTKFLT),
    ("STOP", libc::SIGSTOP),
    ("SYS", libc::SIGSYS),
    ("TERM", libc::SIGTERM),
    ("TRAP", libc::SIGTRAP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("VTALRM", libc::SIGVTALRM),
    ("WINCH", libc::SIGWINCH),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_as_runc_reads_them() {
        for (text, number) in [
            ("9", 9),
            ("KILL", 9),
            ("sigterm", 15),
            ("SigUsr1", 10),
            ("RTMIN+1", 35),
            ("SIGRTMAX", 64),
        ] {
            assert_eq!(parse_signal(text).ok(), Some(number), "{text}");
        }
        for bad in ["", "65", "-1", "SIG", "NOPE", "RTMIN+99", "RTMAX-60", "15x"] {
            assert!(parse_signal(bad).is_err(), "{bad}");
        }
    }
}
