//! mount_setattr(2), which changes what a mount allows, who sees it, and whose ids it shows.

use super::check;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// What to change in a mount; the fields are those of `struct mount_attr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change<'fd> {
    /// `MOUNT_ATTR_*` bits to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` bits to clear.
    pub clear: u64,
    /// One of `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`, or 0 to leave it.
    pub propagation: u64,
    /// The user namespace whose mappings the mount is to show.
    pub idmap: Option<BorrowedFdEq<'fd>>,
}

/// A borrowed descriptor that compares by number.
#[derive(Clone, Copy, Debug)]
pub struct BorrowedFdEq<'fd>(pub BorrowedFd<'fd>);

impl PartialEq for BorrowedFdEq<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_raw_fd() == other.0.as_raw_fd()
    }
}
impl Eq for BorrowedFdEq<'_> {}

/// Applies `change` to the mount that `mount` is open on, or with `recursive` to all of its tree.
///
/// # Errors
/// Those of mount_setattr(2); `ENOSYS` before Linux 5.12.
pub fn set_attributes(mount: impl AsFd, change: Change<'_>, recursive: bool) -> io::Result<()> {
    let mut attr = libc::mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: 0,
    };
    if let Some(userns) = change.idmap {
        attr.attr_set |= libc::MOUNT_ATTR_IDMAP;
        attr.userns_fd = userns.0.as_raw_fd() as u64;
    }
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the empty path is terminated, and `attr` outlives the call, which gets its size.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of_val(&attr),
        )
    })
    .map(drop)
}
