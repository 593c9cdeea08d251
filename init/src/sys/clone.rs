//! clone3(2): the one way tare makes a process of its own.

use super::call::call;
use linux_raw_sys::general::{
    __NR_clone, __NR_clone3, CLONE_INTO_CGROUP, CLONE_PARENT, CLONE_PIDFD, SIGCHLD, clone_args,
};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use rustix::process::Pid;

/// How the new process differs from this one.
#[derive(Debug, Default)]
pub struct Clone<'fd> {
    /// The namespaces to make for it: `CLONE_NEW*` bits.
    pub namespaces: u64,
    /// The cgroup (v2) it is born in (Linux 5.7).
    pub into_cgroup: Option<BorrowedFd<'fd>>,
    /// It becomes our sibling, a child of our parent.
    pub sibling: bool,
}

/// Which of the two processes we are after a [`fork`].
#[derive(Debug)]
pub enum Forked {
    /// The new one.
    Child,
    /// The old one, which knows the new one by number and by descriptor.
    Parent {
        /// In the pid namespace of the caller.
        pid: Pid,
        /// Close-on-exec, as the kernel makes it.
        pidfd: OwnedFd,
    },
}

/// Copies this process as `clone` says. Both return.
///
/// tare has one thread everywhere, so the copy may allocate, lock and unwind like any process.
///
/// # Errors
/// Those of clone3(2), and of clone(2), which does what it can where clone3 is missing: before
/// Linux 5.3, and under the many seccomp profiles that hide it for what they cannot look into.
pub fn fork(clone: &Clone<'_>) -> Result<Forked> {
    let mut pidfd: RawFd = -1;
    // SAFETY: an all-zero clone_args is the valid "nothing special" request.
    let mut args: clone_args = unsafe { core::mem::zeroed() };
    args.flags = clone.namespaces | u64::from(CLONE_PIDFD);
    args.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    if clone.sibling {
        // With CLONE_PARENT the exit signal is that of our own creation; it must be 0 here.
        args.flags |= u64::from(CLONE_PARENT);
    } else {
        args.exit_signal = SIGCHLD.into();
    }
    if let Some(cgroup) = clone.into_cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let address = (&raw const args).expose_provenance();
    // SAFETY: without CLONE_VM the child has its own copy of this memory and this stack, so
    // both returns are sound; `args` and `pidfd` outlive the call.
    let pid =
        unsafe { call(__NR_clone3, [address, size_of_val(&args)]) }.or_else(
            |error| match error {
                Errno::NOSYS | Errno::PERM if is_for_clone(args.flags) => {
                    old_clone(args.flags | args.exit_signal, &mut pidfd)
                }
                _ => Err(error),
            },
        )?;
    match i32::try_from(pid).ok().and_then(Pid::from_raw) {
        None => Ok(Forked::Child),
        Some(pid) => Ok(Forked::Parent {
            pid,
            // SAFETY: the kernel stored a new descriptor there, which nobody else owns.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// Whether clone(2) can say this: it has the exit signal in the lowest byte, and 32 bits.
fn is_for_clone(flags: u64) -> bool {
    flags & !0xffff_ff00 == 0
}

fn old_clone(flags: u64, pidfd: &mut RawFd) -> Result<usize> {
    let pidfd = core::ptr::from_mut(pidfd).expose_provenance();
    // SAFETY: as for clone3. A stack of 0 is the caller's own; the two last arguments, whose
    // order differs between architectures, are not used with these flags.
    unsafe { call(__NR_clone, [flags as usize, 0, pidfd, 0, 0]) }
}
