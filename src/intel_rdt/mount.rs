//! Where resctrl is mounted: wherever its administrator wants it.

use crate::error::{Code, Context, Error, Result};
use crate::mountinfo;
use std::path::PathBuf;

const TABLE: &str = "/proc/self/mountinfo";

/// The mount point.
pub fn point() -> Result<PathBuf> {
    let table = std::fs::read(TABLE).context(|| format!("reading {TABLE}"))?;
    found_in(&table).ok_or_else(|| {
        let message = "linux.intelRdt: there is no resctrl file system";
        Error::new(Code::Unsupported, message)
            .hint("on a machine that has it: mount -t resctrl resctrl /sys/fs/resctrl")
    })
}

fn found_in(table: &[u8]) -> Option<PathBuf> {
    table.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b' ');
        let point = fields.by_ref().nth(4)?;
        // The optional fields end with a dash (proc_pid_mountinfo(5)).
        fields.by_ref().find(|field| field == b"-")?;
        (fields.next()? == b"resctrl").then(|| mountinfo::path(point))
    })
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
