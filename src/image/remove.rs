//! Removing a tree that an image has made: of any depth, with directories of any mode.

use crate::directories;
use crate::error::{Context, Error, Result};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::path::Arg;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Removes `path` with all that is in it; it may be gone already.
///
/// # Errors
/// What cannot be removed.
pub fn remove_tree(path: &Path) -> Result<()> {
    let doing = || format!("removing {}", path.display());
    let top = match directories::open(path) {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR | Errno::LOOP) => return std::fs::remove_file(path).context(doing),
        other => other.context(doing)?,
    };
    contents(&top).context(doing)?;
    match rustix::fs::rmdir(path) {
        Err(Errno::NOENT) => Ok(()),
        other => other.context(doing),
    }
}

/// Removes `name` in `parent`, whatever it is. Nothing there is fine.
///
/// # Errors
/// What cannot be removed.
pub fn entry(parent: BorrowedFd<'_>, name: impl Arg + Copy) -> rustix::io::Result<()> {
    if unlink(parent, name)? {
        return Ok(());
    }
    contents(&open(parent, name)?)?;
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// Empties the directory `top`. A directory below it is first moved up into it: however deep
/// the tree, a few descriptors are enough, and no path gets long.
///
/// # Errors
/// What cannot be removed.
pub fn contents(top: &OwnedFd) -> rustix::io::Result<()> {
    let mut moved = 0_u64;
    loop {
        let names = names(top.as_fd())?;
        if names.is_empty() {
            return Ok(());
        }
        for (name, kind) in names {
            if kind != FileType::Directory && unlink(top.as_fd(), &*name)? {
                continue;
            }
            match open(top.as_fd(), &*name) {
                Ok(directory) => flatten(&directory, top, &mut moved)?,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error),
            }
            match rustix::fs::unlinkat(top, &name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Empties `directory`, which is in `top`, moving the directories in it there.
fn flatten(directory: &OwnedFd, top: &OwnedFd, moved: &mut u64) -> rustix::io::Result<()> {
    for (name, kind) in names(directory.as_fd())? {
        if kind != FileType::Directory && unlink(directory.as_fd(), &*name)? {
            continue;
        }
        // Its ".." changes with the move, and that takes the right to write to it.
        open(directory.as_fd(), &*name)?;
        loop {
            let target = format!(".removed-{moved}");
            *moved += 1;
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(directory, &name, top, target.as_str(), flags) {
                Err(Errno::EXIST) => {}
                other => break other?,
            }
        }
    }
    Ok(())
}

/// Whether it was no directory.
fn unlink(directory: BorrowedFd<'_>, name: impl Arg) -> rustix::io::Result<bool> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens a directory so that all in it can be removed: its owner may have to make that possible.
/// One that something is mounted on is not ours to empty.
fn open(at: BorrowedFd<'_>, name: impl Arg + Copy) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let again = || rustix::fs::openat2(at, name, flags, Mode::empty(), resolve);
    let opened = match again() {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(at, name, Mode::RWXU, AtFlags::empty())?;
            again()
        }
        other => other,
    }?;
    let mode = rustix::fs::fstat(&opened)?.st_mode;
    if mode & 0o700 != 0o700 {
        rustix::fs::fchmod(&opened, Mode::RWXU)?;
    }
    Ok(opened)
}

fn names(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<(CString, FileType)>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push((entry.file_name().to_owned(), entry.file_type()));
        }
    }
    Ok(names)
}

/// [`remove_tree`] for what nobody will miss: a failure is a warning.
pub fn remove_or_warn(path: &Path) {
    if let Err(error) = remove_tree(path) {
        let error: Error = error;
        log::warn!("{error}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_deep_tree_of_any_modes_is_removed() {
        let top = std::env::temp_dir().join(format!("tare-remove-{}", std::process::id()));
        let mut here = open_new(&top);
        for _ in 0..3000 {
            rustix::fs::mkdirat(&here, "d", Mode::RWXU).unwrap();
            here = open(here.as_fd(), c"d").unwrap();
        }
        drop(here);
        std::fs::write(top.join("d/file"), "").unwrap();
        std::fs::create_dir(top.join("d/.removed-0")).unwrap();
        std::os::unix::fs::symlink("/", top.join("d/link")).unwrap();
        for name in ["d/d/d", "d/d", "d"] {
            let closed = std::fs::Permissions::from_mode(0o000);
            std::fs::set_permissions(top.join(name), closed).unwrap();
        }
        remove_tree(&top).unwrap();
        assert!(!top.exists());
        remove_tree(&top).unwrap();
        assert!(std::path::Path::new("/etc").exists());
    }

    fn open_new(path: &Path) -> OwnedFd {
        std::fs::create_dir(path).unwrap();
        std::fs::File::open(path).unwrap().into()
    }
}
