//! Signal masks, dispositions and signalfd(2).

use super::check;
use rustix::process::Signal;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};

/// A set of signals.
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl std::fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignalSet")
    }
}

impl SignalSet {
    /// No signal.
    pub fn empty() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises what it is given, and cannot fail on a valid pointer.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// Every signal that can be blocked.
    pub fn all() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset initialises what it is given, and cannot fail on a valid pointer.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            Self(set.assume_init())
        }
    }

    /// The signals of `list`.
    pub fn of(list: &[Signal]) -> Self {
        let mut set = Self::empty();
        for signal in list {
            // SAFETY: the set is initialised; a Signal is a valid number.
            unsafe { libc::sigaddset(&raw mut set.0, signal.as_raw()) };
        }
        set
    }
}

/// Sets the mask of this thread and returns the old one.
pub fn set_mask(mask: &SignalSet) -> SignalSet {
    change_mask(libc::SIG_SETMASK, mask)
}

/// Blocks `signals` as well, and returns the old mask.
pub fn block(signals: &SignalSet) -> SignalSet {
    change_mask(libc::SIG_BLOCK, signals)
}

fn change_mask(how: libc::c_int, mask: &SignalSet) -> SignalSet {
    let mut old = SignalSet::empty();
    // SAFETY: both sets are initialised and outlive the call, which fails only on a bad `how`.
    unsafe { libc::pthread_sigmask(how, &raw const mask.0, &raw mut old.0) };
    old
}

/// Gives every signal its default action again: ignored ones survive execve(2), and a
/// container must not inherit what its engine happens to ignore.
pub fn reset_dispositions() {
    // The kernel's own struct sigaction: handler, flags, restorer, mask. All zero is SIG_DFL.
    // By system call, because libc hides two real-time signals that an engine may ignore too.
    let default = [0_u64; 4];
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: the kernel reads at most 32 bytes; SIG_DFL runs no code of ours; a number that
        // cannot be changed fails harmlessly.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
    }
}

/// Has children wait for us to look at how they ended, as they do by default: where our caller
/// ignores SIGCHLD, so would we, and the kernel would forget them at once (wait(2), "Notes").
pub fn keep_ended_children() {
    // SAFETY: SIG_DFL runs no code of ours, and SIGCHLD is a valid signal.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// A descriptor that reads as the signals of the set, which must be blocked; close-on-exec
/// and non-blocking.
///
/// # Errors
/// Those of signalfd(2).
pub fn descriptor(signals: &SignalSet) -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised and outlives the call.
    let fd = check(
        unsafe {
            libc::signalfd(
                -1,
                &raw const signals.0,
                libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
            )
        }
        .into(),
    )?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) })
}

/// The next signal waiting in a [`descriptor`], if there is one, with who sent it.
///
/// # Errors
/// Those of read(2) other than `EAGAIN`.
pub fn next(descriptor: &OwnedFd) -> io::Result<Option<Received>> {
    let mut info = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(descriptor, &mut info) {
        Ok(n) if n == info.len() => {
            // SAFETY: signalfd_siginfo is plain integers, for which any bytes are valid.
            let info: libc::signalfd_siginfo =
                unsafe { std::ptr::read_unaligned(info.as_ptr().cast()) };
            Ok(Some(Received {
                number: info.ssi_signo as i32,
            }))
        }
        Ok(_) => Ok(None),
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
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
pub fn send(pidfd: std::os::fd::BorrowedFd<'_>, number: i32) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: no memory is passed (the siginfo is null).
    check(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            number,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}
