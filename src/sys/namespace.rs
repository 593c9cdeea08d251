//! Joining namespaces, and asking what a namespace descriptor is.

use super::check;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// `NS_GET_NSTYPE` of ioctl_ns(2): `_IO(0xb7, 0x3)`, the same number on every architecture.
const NS_GET_NSTYPE: libc::c_ulong = 0xb703;

/// Joins the namespace behind `fd`, which must be of `kind`; or, where `fd` is a pidfd, all
/// of that process's namespaces that `kind` has bits for (Linux 5.8).
///
/// # Errors
/// Those of setns(2).
pub fn join(fd: impl AsFd, kind: u64) -> io::Result<()> {
    // SAFETY: no memory is passed. Namespaces change for this thread, the only one there is.
    check(unsafe { libc::setns(fd.as_fd().as_raw_fd(), kind as libc::c_int) }.into()).map(drop)
}

/// The kind of namespace behind `fd`: one `CLONE_NEW*` bit.
///
/// # Errors
/// `ENOTTY` where it is not a namespace.
pub fn kind(fd: impl AsFd) -> io::Result<u64> {
    // SAFETY: this request takes no argument.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), NS_GET_NSTYPE as _) }.into())
        .map(|kind| kind as u64)
}

/// Leaves the namespaces of `kinds` for new ones.
///
/// # Errors
/// Those of unshare(2).
pub fn unshare(kinds: u64) -> io::Result<()> {
    // SAFETY: no memory is passed. Only `CLONE_NEW*` bits come here, and there is one thread,
    // so no other one loses a shared table of descriptors.
    check(unsafe { libc::unshare(kinds as libc::c_int) }.into()).map(drop)
}
