//! `tmpcopyup`: what the rootfs has at a tmpfs's destination, copied into the tmpfs.
//!
//! Both trees are walked by descriptor, no link is followed, and nothing is read that is not
//! a regular file, a directory or a link; nor what the kernel says of itself, to which a link in
//! the rootfs may have led: we see more of that than the container may.
//!
//! What is mounted below the destination is copied too, as runc and crun have it: the mounts of
//! config.json before this one are part of what the container would see there.

use crate::error::{Context, Error, Result};
use crate::files;
use crate::root::{file_type, is_of_the_kernel};
use alloc::format;
use alloc::vec::Vec;
use core::ffi::CStr;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat, Timestamps};
use rustix::io::Errno;

/// Copies the contents of the directory `from` into the directory `to`, and its owner where
/// the tmpfs was not given one. It has its mode already, from an option or from `from`.
///
/// # Errors
/// The entry that cannot be copied, by name.
pub fn contents(from: impl AsFd, to: impl AsFd, owner_too: bool) -> Result<()> {
    let (from, to) = (reopen(from.as_fd())?, reopen(to.as_fd())?);
    let stat = rustix::fs::fstat(&from).context(|| "tmpcopyup")?;
    directory(&from, &to).context(|| "tmpcopyup")?;
    if owner_too {
        let (uid, gid) = owner(&stat);
        rustix::fs::fchown(&to, Some(uid), Some(gid)).context(|| "tmpcopyup")?;
    }
    Ok(())
}

/// An `O_PATH` descriptor opened for reading.
fn reopen(dir: BorrowedFd<'_>) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, c".", flags, Mode::empty()).context(|| "tmpcopyup: opening a directory")
}

fn directory(from: &OwnedFd, to: &OwnedFd) -> Result<()> {
    if is_of_the_kernel(from).context(|| "looking at a directory")? {
        return Ok(());
    }
    for entry in Dir::read_from(from).context(|| "reading a directory")? {
        let entry = entry.context(|| "reading a directory")?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            one(from, to, name).context(|| format!("copying {}", name.to_string_lossy()))?;
        }
    }
    Ok(())
}

fn one(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> Result<()> {
    let copying = |error: Errno| Error::system("tmpfs", error);
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(copying)?;
    let open_flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            let source =
                rustix::fs::openat(from, name, open_flags | OFlags::DIRECTORY, Mode::empty())
                    .map_err(copying)?;
            rustix::fs::mkdirat(to, name, Mode::RWXU).map_err(copying)?;
            let made = rustix::fs::openat(to, name, open_flags | OFlags::DIRECTORY, Mode::empty())
                .map_err(copying)?;
            directory(&source, &made)?;
            attributes(made.as_fd(), &stat).map_err(copying)
        }
        FileType::RegularFile => {
            // Not waiting: on a shared volume it may have become a fifo since, or a device.
            let source =
                rustix::fs::openat(from, name, open_flags | OFlags::NONBLOCK, Mode::empty())
                    .map_err(copying)?;
            if file_type(&source).map_err(copying)? != FileType::RegularFile {
                return Err(copying(Errno::AGAIN));
            }
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made =
                rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR).map_err(copying)?;
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            bytes(&source, &made, size).context(|| "copying its bytes")?;
            attributes(made.as_fd(), &stat).map_err(copying)
        }
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(from, name, Vec::new()).map_err(copying)?;
            rustix::fs::symlinkat(&target, to, name).map_err(copying)?;
            let (uid, gid) = owner(&stat);
            rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(copying)
        }
        FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
            let (uid, gid) = owner(&stat);
            let (kind, mode) = (
                FileType::from_raw_mode(stat.st_mode),
                Mode::from_raw_mode(stat.st_mode),
            );
            rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev).map_err(copying)?;
            rustix::fs::chownat(to, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(copying)
        }
        // A socket is nothing without the process behind it.
        FileType::Socket | FileType::Unknown => Ok(()),
    }
}

/// All that is not a hole: a tmpfs is memory.
fn bytes(from: &OwnedFd, to: &OwnedFd, size: u64) -> rustix::io::Result<()> {
    rustix::fs::ftruncate(to, size)?;
    let mut chunk = Vec::new();
    let mut end = 0;
    while end < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(end)) {
            // Nothing but a hole is left.
            Err(Errno::NXIO) => return Ok(()),
            other => other?,
        };
        end = rustix::fs::seek(from, SeekFrom::Hole(start))?;
        rustix::fs::seek(from, SeekFrom::Start(start))?;
        rustix::fs::seek(to, SeekFrom::Start(start))?;
        let mut left = usize::try_from(end - start).unwrap_or(usize::MAX);
        while left > 0 && files::read_more(from, &mut chunk)? > 0 {
            chunk.truncate(left);
            files::write_all(to, &chunk)?;
            left -= chunk.len();
            chunk.clear();
        }
    }
    Ok(())
}

fn owner(stat: &Stat) -> (rustix::fs::Uid, rustix::fs::Gid) {
    (
        rustix::fs::Uid::from_raw(stat.st_uid),
        rustix::fs::Gid::from_raw(stat.st_gid),
    )
}

/// Owner first: a change of owner clears the set-user-ID bit.
fn attributes(file: BorrowedFd<'_>, stat: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = owner(stat);
    rustix::fs::fchown(file, Some(uid), Some(gid))?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(stat.st_mode))?;
    let time = |tv_sec, tv_nsec: u64| rustix::fs::Timespec {
        tv_sec,
        tv_nsec: tv_nsec as _,
    };
    rustix::fs::futimens(
        file,
        &Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        },
    )
}
