//! Kills for want of memory as the kernel's log tells of them: what is left to be read where a
//! cgroup was removed before its memory.events was.
//!
//! systemd removes a scope's cgroup with its last process, and of two changes of memory.events
//! within 10 ms the kernel tells only after that time (cgroup_file_notify). Nor does systemd
//! remember: a delegated unit that had a process killed ends as a success.

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

/// What stands before the cgroup of the process that is killed.
const CGROUP: &str = ",task_memcg=";

/// The log from some moment on.
#[derive(Debug)]
pub(super) struct KernelLog(OwnedFd);

impl KernelLog {
    /// The log from now on; none for who may not read it.
    pub fn open() -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::open("/dev/kmsg", flags, Mode::empty());
        let log = opened.and_then(|file| {
            let log = Self(file);
            log.skip().map(|()| log)
        });
        log.inspect_err(|errno| log::debug!("doing without the kernel's log: {errno}"))
            .ok()
    }

    /// Leaves out what is in it until now.
    pub fn skip(&self) -> rustix::io::Result<()> {
        rustix::fs::seek(&self.0, SeekFrom::End(0)).map(drop)
    }

    /// Whether a process of the cgroup `path` or of one below it was killed. Reads to the end.
    pub fn tells_of_kill(&self, path: &Path) -> rustix::io::Result<bool> {
        // A record is read by one read(2) (Documentation/ABI/testing/dev-kmsg), and is no longer
        // than this (printk's PRINTK_MESSAGE_MAX).
        let mut buffer = [0; 8192];
        let mut found = false;
        loop {
            match rustix::io::read(&self.0, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(found),
                Ok(length) => {
                    let record = String::from_utf8_lossy(&buffer[..length]);
                    found |= killed_in(&record).is_some_and(|killed| is_in(killed, path));
                }
                // What was next has been overwritten; the oldest that is left comes after.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// The cgroup of the process that a record says is killed for want of memory:
/// "6,339,5140900,-;oom-kill:constraint=CONSTRAINT_MEMCG,...,task_memcg=/a,task=dd,pid=7,uid=0".
fn killed_in(record: &str) -> Option<&str> {
    let (prefix, text) = record.split_once(';')?;
    let priority: u32 = prefix.split(',').next()?.parse().ok()?;
    // Not what some program wrote there: that has another facility than the kernel's, 0.
    if priority >> 3 != 0 || !text.starts_with("oom-kill:") {
        return None;
    }
    let (_, rest) = text.split_once(CGROUP)?;
    // Who may make cgroups can call one so, to look like another's.
    if rest.contains(CGROUP) {
        return None;
    }
    Some(rest.rsplit_once(",task=")?.0)
}

/// Whether the cgroup `killed`, a path from the root of all, is `path` or below it. Of a relative
/// one it is not known where it starts.
fn is_in(killed: &str, path: &Path) -> bool {
    let killed = Path::new(killed);
    match path.is_absolute() {
        true => killed.starts_with(path),
        false => killed.ancestors().any(|above| above.ends_with(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "6,339,5140900,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),\
         cpuset=/,mems_allowed=0,oom_memcg=/system.slice/a.scope,\
         task_memcg=/system.slice/a.scope/b,c,task=dd,pid=7,uid=0\n";

    #[test]
    fn kills_are_found_by_their_cgroup() {
        let killed = killed_in(RECORD);
        assert_eq!(killed, Some("/system.slice/a.scope/b,c"));
        let is_in = |path: &str| killed.is_some_and(|killed| is_in(killed, Path::new(path)));
        assert!(is_in("/system.slice/a.scope"));
        assert!(is_in("system.slice/a.scope"));
        assert!(is_in("a.scope"));
        assert!(!is_in("/a.scope"));
        assert!(!is_in("system.slice/b.scope"));
        assert!(!is_in("a"));
    }

    #[test]
    fn what_others_say_does_not_count() {
        for record in [
            RECORD.replacen('6', "14", 1),
            RECORD.replace("a.scope/b", "x,task_memcg=/system.slice/a.scope"),
            RECORD.replace("oom-kill:", "other:"),
            RECORD.replace(';', ","),
            String::new(),
        ] {
            assert_eq!(killed_in(&record), None, "{record}");
        }
    }
}
