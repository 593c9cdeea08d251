//! A procfs of our own, for all that is written to /proc: sysctls and security labels.
//!
//! Whatever the container, its image or a neighbour with a shared mount has put at /proc does
//! not matter: this instance was never attached anywhere (CVE-2019-16884, CVE-2025-52881).

use crate::error::{Code, Context, Error, Result};
use crate::plan::Sysctl;
use crate::plan::mounts::{Attributes, FileSystem};
use crate::root::PROC_MAGIC;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// A procfs that shows this process's pid namespace.
#[derive(Debug)]
pub struct Procfs {
    root: OwnedFd,
}

impl Procfs {
    /// Mounts one, unattached. Where this is not permitted (a nested, unprivileged runtime),
    /// the runtime's own /proc serves, if its root really is that of a procfs.
    ///
    /// # Errors
    /// Where neither is to be had.
    pub fn open() -> Result<Self> {
        let fs = FileSystem {
            kind: "proc".into(),
            source: "proc".into(),
            options: Vec::new(),
            copy_up: false,
        };
        let allowed = Attributes::setting(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        match crate::mounts::new_mount(&fs, allowed) {
            Ok(root) => Ok(Self { root }),
            Err(error) if error.errno() == Some(Errno::PERM) => Self::of_the_runtime(),
            Err(error) => Err(error.context("opening a procfs of our own")),
        }
    }

    fn of_the_runtime() -> Result<Self> {
        /// The inode of a procfs's root (`PROC_ROOT_INO`).
        const ROOT_INODE: u64 = 1;
        let doing = || "opening /proc";
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(c"/proc", flags, Mode::empty()).context(doing)?;
        let magic = rustix::fs::fstatfs(&root).context(doing)?.f_type as i64;
        let inode = rustix::fs::fstat(&root).context(doing)?.st_ino;
        if (magic, inode) == (PROC_MAGIC, ROOT_INODE) {
            Ok(Self { root })
        } else {
            Err(Error::new(
                Code::Unsupported,
                "/proc is not a procfs, and no other can be mounted here",
            ))
        }
    }

    /// Writes `value` to `path` below the root, in one write.
    ///
    /// # Errors
    /// `EXDEV` where something is mounted over a part of the path; else the kernel's.
    pub fn write(&self, path: &str, value: &[u8]) -> Result<()> {
        let doing = || {
            format!(
                "writing {:?} to /proc/{path}",
                String::from_utf8_lossy(value)
            )
        };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        let open = || {
            rustix::fs::openat2(
                &self.root,
                path,
                OFlags::WRONLY | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            )
        };
        let file = loop {
            match open() {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => break other.context(doing)?,
            }
        };
        let written = rustix::io::write(&file, value).context(doing)?;
        if written == value.len() {
            Ok(())
        } else {
            Err(Error::new(
                Code::System,
                format!("{}: only {written} bytes were taken", doing()),
            ))
        }
    }
}

/// Writes the kernel parameters.
///
/// # Errors
/// The first that the kernel refuses, by name.
pub fn write_sysctls(procfs: &Procfs, sysctls: &[Sysctl]) -> Result<()> {
    for sysctl in sysctls {
        procfs
            .write(&format!("sys/{}", sysctl.path), sysctl.value.as_bytes())
            .context(|| format!("linux.sysctl[{:?}]", sysctl.path.replace('/', ".")))?;
    }
    Ok(())
}
