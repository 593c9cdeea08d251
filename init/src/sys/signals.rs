//! Signal masks, dispositions and signalfd(2).

use super::call::call;
use linux_raw_sys::general::{
    __NR_kill, __NR_pidfd_send_signal, __NR_rt_sigaction, __NR_rt_sigprocmask, __NR_signalfd4,
    O_CLOEXEC, O_NONBLOCK, SIG_BLOCK, SIG_SETMASK,
};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::{Errno, Result};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

/// The last signal's number.
const LAST: i32 = 64;

/// The kernel's own signals, a bit for each: libc's sets hide two real-time signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalSet(u64);

impl SignalSet {
    /// No signal.
    pub fn empty() -> Self {
        Self(0)
    }

    /// Every signal that can be blocked.
    pub fn all() -> Self {
        Self(u64::MAX)
    }

    /// As the kernel writes it in /proc/PID/status: in hexadecimal, the first signal last.
    pub fn from_status(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }

    /// The signals of `list`.
    pub fn of(list: &[Signal]) -> Self {
        let bit = |signal: &Signal| 1 << (signal.as_raw() - 1);
        Self(list.iter().fold(0, |bits, signal| bits | bit(signal)))
    }
}

/// Sets the mask of this thread and returns the old one.
pub fn set_mask(mask: &SignalSet) -> SignalSet {
    change_mask(SIG_SETMASK, mask)
}

/// Blocks `signals` as well, and returns the old mask.
pub fn block(signals: &SignalSet) -> SignalSet {
    change_mask(SIG_BLOCK, signals)
}

fn change_mask(how: u32, mask: &SignalSet) -> SignalSet {
    let mut old = SignalSet::empty();
    let arguments = [
        how as usize,
        (&raw const mask.0).expose_provenance(),
        (&raw mut old.0).expose_provenance(),
        size_of::<u64>(),
    ];
    // SAFETY: both sets are initialised and outlive the call, which fails only on a bad `how`.
    let _ = unsafe { call(__NR_rt_sigprocmask, arguments) };
    old
}

/// Gives these signals their default action again: ignored ones survive execve(2), and a
/// container must not inherit what its engine happens to ignore.
pub fn reset_dispositions(ignored: SignalSet) {
    (1..=LAST)
        .filter(|number| ignored.0 & 1 << (number - 1) != 0)
        .for_each(set_default);
}

fn set_default(number: i32) {
    // The kernel's own struct sigaction: handler, flags, restorer, mask. All zero is SIG_DFL.
    let default = [0_u64; 4];
    let action = default.as_ptr().expose_provenance();
    // SAFETY: the kernel reads at most 32 bytes; SIG_DFL runs no code of ours; a number that
    // cannot be changed fails harmlessly.
    let _ = unsafe {
        call(
            __NR_rt_sigaction,
            [number as usize, action, 0, size_of::<u64>()],
        )
    };
}

/// Has children wait for us to look at how they ended, as they do by default: where our caller
/// ignores SIGCHLD, so would we, and the kernel would forget them at once (wait(2), "Notes").
pub fn keep_ended_children() {
    set_default(Signal::CHILD.as_raw());
}

/// A descriptor that reads as the signals of the set, which must be blocked; close-on-exec
/// and non-blocking.
///
/// # Errors
/// Those of signalfd(2).
pub fn descriptor(signals: &SignalSet) -> Result<OwnedFd> {
    let arguments = [
        -1_isize as usize,
        (&raw const signals.0).expose_provenance(),
        size_of::<u64>(),
        // SFD_CLOEXEC and SFD_NONBLOCK are these.
        (O_CLOEXEC | O_NONBLOCK) as usize,
    ];
    // SAFETY: the set is initialised and outlives the call.
    let fd = unsafe { call(__NR_signalfd4, arguments) }?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The next signal waiting in a [`descriptor`], if there is one.
///
/// # Errors
/// Those of read(2) other than `EAGAIN`.
pub fn next(descriptor: &OwnedFd) -> Result<Option<Received>> {
    // `struct signalfd_siginfo` has 128 bytes, and the number first.
    let mut info = [0; 128];
    match rustix::io::read(descriptor, &mut info) {
        Ok(128) => Ok(Some(Received {
            number: i32::from_ne_bytes([info[0], info[1], info[2], info[3]]),
        })),
        Ok(_) | Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A signal that a [`descriptor`] delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its number, real-time signals included.
    pub number: i32,
}

/// Sends signal `number` to the process behind a pidfd: any number of 0 to 64, real-time
/// signals included.
///
/// # Errors
/// `ESRCH` where it is gone; else those of pidfd_send_signal(2).
pub fn send(pidfd: BorrowedFd<'_>, number: i32) -> Result<()> {
    let arguments = [pidfd.as_raw_fd() as usize, number as usize, 0, 0];
    // SAFETY: no memory is passed (the siginfo is null).
    unsafe { call(__NR_pidfd_send_signal, arguments) }.map(drop)
}

/// Sends signal `number` to a process by its pid, as [`send`] does by a pidfd.
///
/// # Errors
/// `ESRCH` where it is gone; else those of kill(2).
pub fn send_by_pid(pid: Pid, number: i32) -> Result<()> {
    let pid = pid.as_raw_nonzero().get();
    // SAFETY: no memory is passed.
    unsafe { call(__NR_kill, [pid as usize, number as usize]) }.map(drop)
}
