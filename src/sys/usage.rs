//! What a child cost: wait4(2), which neither std nor rustix has.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

/// What a process and the descendants it waited for used.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// User and system time together.
    pub cpu: Duration,
    /// The largest resident set of any one of them, in KiB. It starts at the size of the
    /// process that spawned the child, which was the child's own until it executed.
    pub peak_kib: u64,
}

/// Waits for `child` to end.
pub fn wait(child: Child) -> io::Result<(ExitStatus, Usage)> {
    let pid = libc::pid_t::try_from(child.id()).map_err(io::Error::other)?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are valid for writing during the call; the pid is that of our
    // own child, not yet waited for, since we own its handle.
    while unsafe { libc::wait4(pid, &mut status, 0, usage.as_mut_ptr()) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: zeroed is a valid rusage, and wait4 succeeded in filling it.
    let usage = unsafe { usage.assume_init() };
    Ok((
        ExitStatus::from_raw(status),
        Usage {
            cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
            peak_kib: usage.ru_maxrss.unsigned_abs(),
        },
    ))
}

fn duration(time: libc::timeval) -> Duration {
    let micros = u32::try_from(time.tv_usec).unwrap_or_default();
    Duration::new(time.tv_sec.unsigned_abs(), micros * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn tells_status_and_cost() {
        let child = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
        let (status, usage) = wait(child).unwrap();
        assert_eq!(status.code(), Some(7));
        assert!(usage.peak_kib > 0);
        assert!(usage.cpu < Duration::from_secs(1));
    }
}
