//! Joining namespaces, and asking what a namespace descriptor is.

use super::call::call;
use alloc::format;
use linux_raw_sys::general::{__NR_ioctl, __NR_setns, __NR_unshare};
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Result;

/// `NS_GET_NSTYPE` of ioctl_ns(2): `_IO(0xb7, 0x3)`, the same number on every architecture.
const NS_GET_NSTYPE: usize = 0xb703;

/// Joins the namespace behind `fd`, which must be of `kind`; or, where `fd` is a pidfd, all
/// of that process's namespaces that `kind` has bits for (Linux 5.8).
///
/// # Errors
/// Those of setns(2).
pub fn join(fd: impl AsFd, kind: u64) -> Result<()> {
    let fd = fd.as_fd().as_raw_fd() as usize;
    // SAFETY: no memory is passed. Namespaces change for this thread, the only one there is.
    unsafe { call(__NR_setns, [fd, kind as usize]) }.map(drop)
}

/// The kind of namespace behind `fd`: one `CLONE_NEW*` bit.
///
/// # Errors
/// `ENOTTY` where it is not a namespace.
pub fn kind(fd: impl AsFd) -> Result<u64> {
    let fd = fd.as_fd().as_raw_fd() as usize;
    // SAFETY: this request takes no argument.
    unsafe { call(__NR_ioctl, [fd, NS_GET_NSTYPE]) }.map(|kind| kind as u64)
}

/// Whether `fd` is on the namespace that this process is in, of the kind that /proc/PID/ns calls
/// `name`.
///
/// # Errors
/// Those of stat(2).
pub fn is_ours(fd: impl AsFd, name: &str) -> Result<bool> {
    let ours = rustix::fs::stat(format!("/proc/self/ns/{name}"))?;
    let other = rustix::fs::fstat(fd)?;
    Ok((ours.st_dev, ours.st_ino) == (other.st_dev, other.st_ino))
}

/// Leaves the namespaces of `kinds` for new ones.
///
/// # Errors
/// Those of unshare(2).
pub fn unshare(kinds: u64) -> Result<()> {
    // SAFETY: no memory is passed. Only `CLONE_NEW*` bits come here, and there is one thread,
    // so no other one loses a shared table of descriptors.
    unsafe { call(__NR_unshare, [kinds as usize]) }.map(drop)
}
