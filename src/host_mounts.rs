//! The host's mounts. Those of a container that has no mount namespace of its own are among them,
//! and must not outlive it. Only for such containers, and for --no-pivot, is mountinfo read.

use crate::container::Record;
use crate::error::{Context, Result};
use crate::init::mounts::detach;
use crate::mountinfo;
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
    let table = table()?;
    let points = mounts(&table).filter(of_kernel).map(|mount| mount.point);
    Ok(points
        .filter_map(|point| CString::new(point.into_os_string().into_vec()).ok())
        .collect())
}

/// The mount points at and below `root`, in the order in which they were mounted.
fn mounted_below(root: &Path) -> Result<Vec<PathBuf>> {
    let table = table()?;
    let points = mounts(&table).map(|mount| mount.point);
    Ok(points.filter(|point| point.starts_with(root)).collect())
}

/// What a line of mountinfo says (proc_pid_mountinfo(5)).
struct Mount<'a> {
    /// What of the file system is mounted.
    root: &'a [u8],
    point: PathBuf,
    kind: &'a [u8],
}

impl<'a> Mount<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let root = fields.nth(3)?;
        let point = mountinfo::path(fields.next()?);
        // The optional fields end with a dash.
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some(Self { root, point, kind })
    }
}

fn table() -> Result<Vec<u8>> {
    std::fs::read("/proc/self/mountinfo").context(|| "reading /proc/self/mountinfo")
}

fn mounts(table: &[u8]) -> impl Iterator<Item = Mount<'_>> {
    table.split(|&byte| byte == b'\n').filter_map(Mount::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_spaces_is_read_as_it_is() {
        let line = b"36 35 98:0 / /mnt/a\\040b\\134 rw,noatime - ext3 /dev/root rw";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(mount.point, PathBuf::from("/mnt/a b\\"));
        assert_eq!((mount.root, mount.kind), (&b"/"[..], &b"ext3"[..]));
        assert!(Mount::parse(b"").is_none());
    }

    #[test]
    fn optional_fields_are_passed_over() {
        let line = b"36 35 98:0 /a /mnt rw shared:1 master:2 - proc proc rw";
        assert_eq!(Mount::parse(line).unwrap().kind, b"proc");
    }
}
