//! The rootfs as a descriptor, and the only ways to reach anything in it.
//!
//! The rootfs is hostile: any name in it may be a symbolic link to anywhere, and on a shared
//! volume may become one at any moment. Every path is walked here once, to a descriptor, and
//! never leaves the root (14 of runc's CVEs since 2017 are one walk too many).

use crate::error::{Context, Error, Result};
use crate::plan::rootfs::{ContainerPath, for_kernel};
use alloc::borrow::ToOwned;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// As many symbolic links as the kernel follows in one path (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// The root of the container's files.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
}

/// What a path is to end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A directory, made where it is not there.
    Directory,
    /// Anything but a directory; an empty file is made where nothing is there.
    File,
}

impl Root {
    /// The root that `dir` is open on.
    pub fn new(dir: OwnedFd) -> Self {
        Self { dir }
    }

    /// The root directory of this process, for one that has joined its mount namespace.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn own() -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(c"/", flags, Mode::empty())
            .map(Self::new)
            .context(|| "opening the container's /")
    }

    /// Opens `path` as it is, following symbolic links inside the root.
    ///
    /// # Errors
    /// Those of openat2(2): `ENOENT` where it is not there.
    pub fn open(&self, path: &ContainerPath, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        self.openat2(path, flags, ResolveFlags::empty())
    }

    /// Opens `path`, in which no name may be a symbolic link.
    ///
    /// # Errors
    /// `ELOOP` where one is.
    pub fn open_without_links(
        &self,
        path: &ContainerPath,
        flags: OFlags,
    ) -> rustix::io::Result<OwnedFd> {
        self.openat2(path, flags, ResolveFlags::NO_SYMLINKS)
    }

    fn openat2(
        &self,
        path: &ContainerPath,
        flags: OFlags,
        more: ResolveFlags,
    ) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
        let flags = flags | OFlags::CLOEXEC;
        loop {
            match rustix::fs::openat2(&self.dir, path.as_str(), flags, Mode::empty(), resolve) {
                // A rename or mount elsewhere raced with a "..": the kernel asks to try again
                // (openat2(2), EAGAIN). Each failure needs another such event.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other,
            }
        }
    }

    /// Opens `path` as a place to mount on (`O_PATH`), making what is missing of it.
    ///
    /// # Errors
    /// Where a name in it is of the wrong kind, or cannot be made.
    pub fn open_or_create(&self, path: &ContainerPath, want: Want) -> Result<OwnedFd> {
        match self.open(path, OFlags::PATH) {
            Ok(found) => Ok(found),
            Err(Errno::NOENT) => self.create(path, want),
            Err(error) => Err(Error::system(
                format!("opening {path} in the rootfs"),
                error,
            )),
        }
    }

    /// Opens the directory that holds the last name of `path`, making it, and returns that
    /// name. Links are followed in the directory, never in the name.
    ///
    /// # Errors
    /// Where `path` is "/", or as [`Self::open_or_create`].
    pub fn parent(&self, path: &ContainerPath) -> Result<(OwnedFd, CString)> {
        let name = path.name()?;
        Ok((self.open_or_create(&path.parent(), Want::Directory)?, name))
    }

    /// Walks `path` name by name and makes what is missing.
    ///
    /// Links are followed here by hand, dangling ones too (images link /var/run to a /run that
    /// is not there yet). The directories passed are kept open, so that ".." is a step back
    /// in that list and never the kernel's idea of a parent: there is no way out of the root,
    /// whatever is renamed meanwhile.
    fn create(&self, path: &ContainerPath, want: Want) -> Result<OwnedFd> {
        let failed = |error: Errno| Error::system(format!("making {path} in the rootfs"), error);
        let mut todo: Vec<String> = path.names().rev().map(str::to_owned).collect();
        let mut passed: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(name) = todo.pop() {
            if name == ".." {
                passed.pop();
                continue;
            }
            let dir = passed.last().map_or(self.dir.as_fd(), AsFd::as_fd);
            let last = todo.is_empty();
            let made = if last && want == Want::File {
                make_file
            } else {
                make_directory
            };
            let found = open_or_make(dir, &for_kernel(&name)?, made).map_err(failed)?;
            let stat = rustix::fs::fstat(&found).map_err(failed)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(failed(Errno::LOOP));
                    }
                    let target = rustix::fs::readlinkat(&found, c"", Vec::new()).map_err(failed)?;
                    let target = String::from_utf8_lossy(target.as_bytes()).into_owned();
                    if target.starts_with('/') {
                        passed.clear();
                    }
                    todo.extend(
                        target
                            .split('/')
                            .rev()
                            .filter(|n| !matches!(*n, "" | "."))
                            .map(str::to_owned),
                    );
                }
                FileType::Directory => passed.push(found),
                _ if last => return Ok(found),
                _ => return Err(failed(Errno::NOTDIR)),
            }
        }
        match passed.pop() {
            Some(dir) => Ok(dir),
            None => rustix::fs::openat(
                &self.dir,
                c".",
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .map_err(failed),
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

/// Opens `name` in `dir` itself (`O_PATH`, no link followed), made first where it is missing.
fn open_or_make(
    dir: BorrowedFd<'_>,
    name: &CString,
    make: fn(BorrowedFd<'_>, &CString) -> rustix::io::Result<()>,
) -> rustix::io::Result<OwnedFd> {
    let open = || {
        rustix::fs::openat(
            dir,
            name,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        )
    };
    match open() {
        Err(Errno::NOENT) => match make(dir, name) {
            Ok(()) | Err(Errno::EXIST) => open(),
            Err(error) => Err(error),
        },
        other => other,
    }
}

fn make_directory(dir: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<()> {
    rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755))
}

fn make_file(dir: BorrowedFd<'_>, name: &CString) -> rustix::io::Result<()> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
    rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o644)).map(drop)
}

/// What `fd` is open on, as a type.
///
/// # Errors
/// Those of fstat(2).
pub fn file_type(fd: impl AsFd) -> rustix::io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

/// `PROC_SUPER_MAGIC` of statfs(2).
pub const PROC_MAGIC: i64 = 0x9fa0;

/// Whether what `fd` is open on is no file of anybody's, but the kernel itself speaking: procfs
/// or sysfs, where it is our privileges that decide what can be read.
///
/// # Errors
/// Those of fstatfs(2).
pub fn is_of_the_kernel(fd: impl AsFd) -> rustix::io::Result<bool> {
    /// `SYSFS_MAGIC`.
    const SYSFS: i64 = 0x6265_6572;
    Ok(matches!(
        rustix::fs::fstatfs(fd)?.f_type as i64,
        PROC_MAGIC | SYSFS
    ))
}

/// Removes `name` from `dir` where it is no directory, so that something else can be made there.
///
/// # Errors
/// Those of unlinkat(2) other than `ENOENT`.
pub fn clear_name(dir: BorrowedFd<'_>, name: &CString) -> Result<()> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        other => other.context(|| format!("replacing {} in the rootfs", name.to_string_lossy())),
    }
}
