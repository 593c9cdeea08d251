//! Where resctrl is mounted: wherever its administrator wants it.

use crate::error::{Code, Error, Result};
use crate::mountinfo;
use std::path::PathBuf;

/// The mount point.
pub fn point() -> Result<PathBuf> {
    let table = mountinfo::table()?;
    found_in(&table).ok_or_else(|| {
        let message = "linux.intelRdt: there is no resctrl file system";
        Error::new(Code::Unsupported, message)
            .hint("on a machine that has it: mount -t resctrl resctrl /sys/fs/resctrl")
    })
}

fn found_in(table: &[u8]) -> Option<PathBuf> {
    let is_resctrl = |mount: &mountinfo::Mount<'_>| mount.kind == b"resctrl";
    Some(mountinfo::mounts(table).find(is_resctrl)?.point)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_by_its_type_wherever_it_is() {
        let table = b"36 35 98:0 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
            37 36 0:30 / /sys/fs/resctrl\\040x rw shared:9 master:2 - resctrl resctrl rw,mba_MBps\n";
        assert_eq!(found_in(table), Some(PathBuf::from("/sys/fs/resctrl x")));
        let table = b"36 35 98:0 / /sys/fs/resctrl rw - tmpfs resctrl rw\n";
        assert_eq!(found_in(table), None);
    }
}
