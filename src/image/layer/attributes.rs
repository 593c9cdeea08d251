//! Owner, xattrs, mode and times of a file, in the order in which they last: a change of owner
//! takes away capabilities and the set-user-ID bit.

use super::owner::{Host, ids};
use super::tree::Attributes;
use crate::error::{Context, Result};
use crate::image::tar::Time;
use rustix::fs::{AtFlags, Mode, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// The bits that only chmod(2) sets for certain.
const SPECIAL: u32 = 0o7000;

/// Attributes that tell overlayfs what to do: those of a layer must never be seen by it.
pub fn is_overlays(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

/// With which mode a file is best made, to become one of `attributes`.
pub fn mode_to_make(attributes: &Attributes, host: Host) -> u32 {
    match attributes.xattrs.is_empty() || host.uid == 0 {
        true => attributes.mode & 0o777,
        // Who is not root sets xattrs by the rights of a file's owner.
        false => 0o600,
    }
}

/// Gives an open file that was just made, with the mode of [`mode_to_make`], the rest.
pub fn of_file(file: BorrowedFd<'_>, attributes: &Attributes, host: Host) -> Result<()> {
    let chown = attributes.owner != (host.uid, host.gid);
    if chown {
        let (uid, gid) = ids(attributes.owner);
        rustix::fs::fchown(file, uid, gid).context(|| "changing its owner")?;
    }
    set_xattrs(&attributes.xattrs, host, |name, value| {
        rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
    })?;
    if attributes.mode & (SPECIAL | host.umask) != 0 || !attributes.xattrs.is_empty() {
        rustix::fs::fchmod(file, Mode::from_raw_mode(attributes.mode))
            .context(|| "changing its mode")?;
    }
    rustix::fs::futimens(file, &times(attributes.mtime)).context(|| "changing its times")
}

/// Gives `name` in `dir`, just made and neither a regular file nor a directory, the rest.
pub fn of_other(
    dir: BorrowedFd<'_>,
    name: &[u8],
    is_link: bool,
    attributes: &Attributes,
    host: Host,
) -> Result<()> {
    if attributes.owner != (host.uid, host.gid) {
        let (uid, gid) = ids(attributes.owner);
        rustix::fs::chownat(dir, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
            .context(|| "changing its owner")?;
    }
    if !attributes.xattrs.is_empty() {
        // They cannot be set by descriptor: it cannot be opened, or not without consequences.
        let path = path_of(dir, name);
        set_xattrs(&attributes.xattrs, host, |name, value| {
            rustix::fs::lsetxattr(&path, name, value, XattrFlags::empty())
        })?;
    }
    if !is_link && attributes.mode & (SPECIAL | host.umask) != 0 {
        // It was made by us a moment ago, in a directory that is nobody else's, and is no link.
        rustix::fs::chmodat(
            dir,
            name,
            Mode::from_raw_mode(attributes.mode),
            AtFlags::empty(),
        )
        .context(|| "changing its mode")?;
    }
    set_times(dir, name, attributes.mtime)
}

/// Sets the times of `name` in `dir`, whatever it is.
pub fn set_times(dir: BorrowedFd<'_>, name: &[u8], mtime: Time) -> Result<()> {
    rustix::fs::utimensat(dir, name, &times(mtime), AtFlags::SYMLINK_NOFOLLOW)
        .context(|| "changing its times")
}

/// Gives a directory, made with another mode and owner, what it is to have.
pub fn of_directory(
    dir: BorrowedFd<'_>,
    attributes: &Attributes,
    made: (u32, (u32, u32)),
    host: Host,
) -> Result<()> {
    if attributes.owner != made.1 {
        let (uid, gid) = ids(attributes.owner);
        rustix::fs::fchown(dir, uid, gid).context(|| "changing its owner")?;
    }
    set_xattrs(&attributes.xattrs, host, |name, value| {
        rustix::fs::fsetxattr(dir, name, value, XattrFlags::empty())
    })?;
    if attributes.mode != made.0 || !attributes.xattrs.is_empty() {
        rustix::fs::fchmod(dir, Mode::from_raw_mode(attributes.mode))
            .context(|| "changing its mode")?;
    }
    rustix::fs::futimens(dir, &times(attributes.mtime)).context(|| "changing its times")
}

fn set_xattrs(
    xattrs: &[(Vec<u8>, Vec<u8>)],
    host: Host,
    set: impl Fn(&[u8], &[u8]) -> rustix::io::Result<()>,
) -> Result<()> {
    for (name, value) in xattrs {
        let shown = name.escape_ascii();
        match set(name, value) {
            Ok(()) => {}
            // The filesystem has none of that kind, or this kind of file may have none.
            Err(Errno::OPNOTSUPP) => log::warn!("the xattr {shown} cannot be stored here"),
            Err(Errno::PERM) if host.uid != 0 || name != b"security.capability" => {
                log::warn!("the xattr {shown} may not be set");
            }
            Err(error) => return Err(error).context(|| format!("setting its xattr {shown}")),
        }
    }
    Ok(())
}

fn times(mtime: Time) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.seconds,
        tv_nsec: mtime.nanoseconds.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// What a file has now. `path` is how its xattrs are read, not following a link at its end.
pub fn read(stat: &rustix::fs::Stat, path: &[u8]) -> Result<Attributes> {
    Ok(Attributes {
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        mtime: Time {
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        },
        xattrs: read_xattrs(path).context(|| "reading its xattrs")?,
    })
}

/// The kernel's bound on a list of names and on a value (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
pub const XATTR_MAX: usize = 64 << 10;

fn read_xattrs(path: &[u8]) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0; XATTR_MAX];
    let len = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(len) => len,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut xattrs = Vec::new();
    for name in names[..len].split(|byte| *byte == 0) {
        if name.is_empty() || is_overlays(name) {
            continue;
        }
        let mut value = vec![0; XATTR_MAX];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        value.truncate(len);
        xattrs.push((name.to_vec(), value));
    }
    Ok(xattrs)
}

/// A path by which `name` in `dir` can be named to a call that takes no descriptor.
pub fn path_of(dir: impl AsFd, name: &[u8]) -> Vec<u8> {
    let directory = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd());
    [directory.as_bytes(), name].concat()
}
