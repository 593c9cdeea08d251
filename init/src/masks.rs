//! `linux.maskedPaths` and `linux.readonlyPaths`.

use crate::error::{Code, Context, Error, Result};
use crate::mounts::{apply, attach};
use crate::plan::mounts::{Attributes, FileSystem, FsOption};
use crate::plan::rootfs::{ContainerPath, Rootfs};
use crate::root::{Root, file_type};
use alloc::format;
use alloc::vec;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;

/// Makes paths read-only, then hides those to be hidden. Paths that are not there are left out.
///
/// # Errors
/// The first that fails, by its place in config.json.
pub fn make_all(root: &Root, rootfs: &Rootfs) -> Result<()> {
    for (index, path) in rootfs.readonly_paths.iter().enumerate() {
        make_read_only(root, path).context(|| format!("linux.readonlyPaths[{index}]: {path}"))?;
    }
    let mut mask = Mask {
        label: rootfs.mount_label.as_deref(),
        directory: None,
        null: None,
    };
    for (index, path) in rootfs.masked_paths.iter().enumerate() {
        mask.hide(root, path)
            .context(|| format!("linux.maskedPaths[{index}]: {path}"))?;
    }
    Ok(())
}

/// Opens a path to mask; nothing where it is not there.
fn open_present(root: &Root, path: &ContainerPath) -> Result<Option<OwnedFd>> {
    match root.open(path, OFlags::PATH) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(Error::system("opening it", error)),
    }
}

fn clone_mount(of: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    rustix::mount::open_tree(of, c"", flags).context(|| "copying the mount")
}

fn make_read_only(root: &Root, path: &ContainerPath) -> Result<()> {
    let Some(target) = open_present(root, path)? else {
        return Ok(());
    };
    let tree = clone_mount(target.as_fd(), true)?;
    attach(&tree, &target)?;
    apply(&tree, Attributes::READ_ONLY, false)
}

/// What hides things: made when first needed, and shared by all masks. One mount per mask
/// made start and stop slow on machines with many CPUs (kubernetes#138512).
struct Mask<'a> {
    label: Option<&'a str>,
    /// An attached mount of an empty, read-only tmpfs.
    directory: Option<OwnedFd>,
    /// The host's null device.
    null: Option<OwnedFd>,
}

impl Mask<'_> {
    fn hide(&mut self, root: &Root, path: &ContainerPath) -> Result<()> {
        let Some(target) = open_present(root, path)? else {
            return Ok(());
        };
        if file_type(&target).context(|| "looking at it")? == FileType::Directory {
            self.hide_directory(&target)
        } else {
            let null = self.null()?;
            attach(clone_mount(null, false)?, &target)
        }
    }

    fn hide_directory(&mut self, target: &OwnedFd) -> Result<()> {
        if let Some(shared) = &self.directory {
            return attach(clone_mount(shared.as_fd(), false)?, target);
        }
        let fresh = self.empty_tmpfs()?;
        // Only an attached mount can be cloned (before Linux 6.15): the first mask is the one
        // that the others are copies of.
        attach(&fresh, target)?;
        self.directory = Some(fresh);
        Ok(())
    }

    fn empty_tmpfs(&self) -> Result<OwnedFd> {
        let option = |key: &str, value: &str| FsOption {
            key: key.into(),
            value: Some(value.into()),
        };
        // One inode, its root; "0 blocks" would mean unlimited.
        let mut options = vec![
            option("nr_blocks", "1"),
            option("nr_inodes", "1"),
            option("mode", "0755"),
        ];
        if let Some(label) = self.label {
            options.push(option("context", label));
        }
        let fs = FileSystem {
            kind: "tmpfs".into(),
            source: "tmpfs".into(),
            options,
            copy_up: false,
        };
        crate::mounts::new_mount(&fs, Attributes::READ_ONLY)
    }

    /// The host's /dev/null, not the container's, which the image may have made into anything
    /// (CVE-2025-31133, CVE-2025-62161).
    fn null(&mut self) -> Result<BorrowedFd<'_>> {
        let null = match self.null.take() {
            Some(null) => null,
            None => open_host_null()?,
        };
        let null: &OwnedFd = self.null.insert(null);
        Ok(null.as_fd())
    }
}

fn open_host_null() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let null = rustix::fs::open(c"/dev/null", flags, Mode::empty())
        .context(|| "opening the host's /dev/null")?;
    let stat = rustix::fs::fstat(&null).context(|| "looking at the host's /dev/null")?;
    if crate::devices::is_null(&stat) {
        Ok(null)
    } else {
        Err(Error::new(
            Code::Unsupported,
            "the host's /dev/null is not the null device 1:3",
        ))
    }
}
