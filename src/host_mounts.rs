//! The mounts of a container that has no mount namespace of its own: they are the host's, and
//! must not outlive it. This is the one place that reads mountinfo, and only for such containers.

use crate::container::Record;
use crate::error::{Context, Result};
use crate::init::mounts::detach;
use crate::mountinfo;
use crate::plan::Plan;
use crate::plan::rootfs::{Rootfs, Switch};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
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
        detach(&path)?;
    }
    Ok(())
}

/// The mount points at and below `root`, in the order in which they were mounted.
fn mounted_below(root: &Path) -> Result<Vec<PathBuf>> {
    let table = std::fs::read("/proc/self/mountinfo").context(|| "reading /proc/self/mountinfo")?;
    let points = table.split(|&byte| byte == b'\n').filter_map(mount_point);
    Ok(points.filter(|point| point.starts_with(root)).collect())
}

/// The fifth field of a line (proc_pid_mountinfo(5)).
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|&byte| byte == b' ').nth(4)?;
    Some(mountinfo::path(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_spaces_is_read_as_it_is() {
        let line = b"36 35 98:0 / /mnt/a\\040b\\134 rw,noatime - ext3 /dev/root rw";
        assert_eq!(mount_point(line), Some(PathBuf::from("/mnt/a b\\")));
        assert_eq!(mount_point(b""), None);
    }
}
