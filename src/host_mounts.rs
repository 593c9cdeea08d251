//! The host's mounts. Those of a container that has no mount namespace of its own are among them,
//! and must not outlive it. Only for such containers, and for --no-pivot, is mountinfo read.

use crate::container::Record;
use crate::error::Result;
use crate::init::mounts::detach;
use crate::mountinfo::{self, Mount};
use crate::plan::Plan;
use crate::plan::rootfs::{Rootfs, Switch};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Where the rootfs is.
pub fn path_of(rootfs: &Rootfs) -> &Path {
    Path::new(OsStr::from_bytes(rootfs.path.to_bytes()))
}

/// What is mounted at and below the rootfs, where the container will share our mounts.
///
/// # Errors
/// Those of reading /proc/self/mountinfo.
pub fn before(plan: &Plan) -> Result<Option<Vec<PathBuf>>> {
    match &plan.rootfs {
        Some(rootfs) if rootfs.switch == Switch::Chroot => mounted_below(path_of(rootfs)).map(Some),
        _ => Ok(None),
    }
}

/// Unmounts what the container has mounted, the last first.
///
/// # Errors
/// Those of reading mountinfo and of umount2(2).
pub fn remove(record: &Record) -> Result<()> {
    let Some(before) = &record.mounts_before else {
        return Ok(());
    };
    let mut before = before.clone();
    let mut ours = mounted_below(&record.rootfs)?;
    // A place may be mounted on more than once: of each, the first ones are not the container's.
    ours.retain(
        |path| match before.iter().position(|earlier| earlier == path) {
            Some(found) => {
                before.swap_remove(found);
                false
            }
            None => true,
        },
    );
    for path in ours.iter().rev() {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
        match detach(&path) {
            // Of shared mounts the one that goes takes its peers along.
            Err(error) if error.errno() == Some(Errno::INVAL) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Where the host has the whole of procfs or sysfs mounted.
///
/// # Errors
/// Those of reading /proc/self/mountinfo.
pub fn of_kernel() -> Result<Vec<CString>> {
    let of_kernel =
        |mount: &Mount<'_>| mount.root == b"/" && [&b"proc"[..], b"sysfs"].contains(&mount.kind);
    let table = mountinfo::table()?;
    let points = mountinfo::mounts(&table)
        .filter(of_kernel)
        .map(|mount| mount.point);
    Ok(points
        .filter_map(|point| CString::new(point.into_os_string().into_vec()).ok())
        .collect())
}

/// The mount points at and below `root`, in the order in which they were mounted.
fn mounted_below(root: &Path) -> Result<Vec<PathBuf>> {
    let table = mountinfo::table()?;
    let points = mountinfo::mounts(&table).map(|mount| mount.point);
    Ok(points.filter(|point| point.starts_with(root)).collect())
}
