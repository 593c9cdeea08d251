//! mount_setattr(2), which changes what a mount allows, who sees it, and whose ids it shows.

use super::call::call;
use linux_raw_sys::general::{
    __NR_mount_setattr, AT_EMPTY_PATH, AT_RECURSIVE, MOUNT_ATTR_IDMAP, mount_attr,
};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::io::Result;

/// What to change in a mount; the fields are those of `struct mount_attr`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'fd> {
    /// `MOUNT_ATTR_*` bits to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` bits to clear.
    pub clear: u64,
    /// One of `MS_SHARED`, `MS_SLAVE`, `MS_PRIVATE`, `MS_UNBINDABLE`, or 0 to leave it.
    pub propagation: u64,
    /// The user namespace whose mappings the mount is to show.
    pub idmap: Option<BorrowedFd<'fd>>,
}

/// Applies `change` to the mount that `mount` is open on, or with `recursive` to all of its tree.
///
/// # Errors
/// Those of mount_setattr(2); `ENOSYS` before Linux 5.12.
pub fn set_attributes(mount: impl AsFd, change: Change<'_>, recursive: bool) -> Result<()> {
    let mut attr = mount_attr {
        attr_set: change.set,
        attr_clr: change.clear,
        propagation: change.propagation,
        userns_fd: 0,
    };
    if let Some(userns) = change.idmap {
        attr.attr_set |= u64::from(MOUNT_ATTR_IDMAP);
        attr.userns_fd = userns.as_raw_fd() as u64;
    }
    let arguments = [
        mount.as_fd().as_raw_fd() as usize,
        c"".as_ptr().expose_provenance(),
        (AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 }) as usize,
        (&raw const attr).expose_provenance(),
        size_of_val(&attr),
    ];
    // SAFETY: the empty path is terminated, and `attr` outlives the call, which gets its size.
    unsafe { call(__NR_mount_setattr, arguments) }.map(drop)
}
