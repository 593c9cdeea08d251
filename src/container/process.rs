//! A process on the host that is remembered over time: its number and when it began.

use crate::error::{Context, Error, Result};
use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

/// A process by number and start time, so that a number used again is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostProcess {
    /// In the runtime's pid namespace.
    pub pid: i32,
    /// Clock ticks after boot, the 22nd field of /proc/PID/stat.
    pub start_time: u64,
}

/// What /proc/PID/stat says.
struct Stat {
    state: u8,
    start_time: u64,
}

impl HostProcess {
    /// The process that has `pid` now.
    ///
    /// # Errors
    /// Where there is none.
    pub fn current(pid: Pid) -> Result<Self> {
        let pid = pid.as_raw_nonzero().get();
        let stat = stat(pid)?.ok_or_else(|| {
            Error::system(format!("looking at process {pid}"), rustix::io::Errno::SRCH)
        })?;
        Ok(Self {
            pid,
            start_time: stat.start_time,
        })
    }

    /// Whether it still runs; a zombie does not.
    pub fn is_alive(self) -> bool {
        matches!(stat(self.pid), Ok(Some(stat))
            if stat.start_time == self.start_time && !matches!(stat.state, b'Z' | b'X'))
    }

    /// A descriptor of it, or none where it is gone.
    ///
    /// # Errors
    /// Those of pidfd_open(2) other than `ESRCH`.
    pub fn open(self) -> Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(None);
        };
        let pidfd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            other => other.context(|| format!("opening process {}", self.pid))?,
        };
        // Looked at after it is held: now the number cannot become another's.
        Ok(self.is_alive().then_some(pidfd))
    }
}

/// Reads /proc/PID/stat (proc_pid_stat(5)); none where there is no such process.
fn stat(pid: i32) -> Result<Option<Stat>> {
    let path = format!("/proc/{pid}/stat");
    let failed = |error: std::io::Error| Error::system(format!("reading {path}"), error);
    // Its 52 fields are numbers but for the name, of at most 16 bytes: it comes in one read.
    let mut text = [0; 2048];
    let length = match File::open(&path).and_then(|mut file| file.read(&mut text)) {
        Ok(length) => length,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let text = &text[..length];
    // The name is in parentheses and may hold any byte; the last ")" ends it.
    let after_name = text
        .iter()
        .rposition(|&byte| byte == b')')
        .map_or(&[][..], |at| &text[at + 1..]);
    let mut fields = after_name
        .split(|&byte| byte == b' ')
        .filter(|field| !field.is_empty());
    let state = fields.next().and_then(|field| field.first().copied());
    let start_time = fields
        .nth(18)
        .and_then(|field| std::str::from_utf8(field).ok()?.parse().ok());
    match (state, start_time) {
        (Some(state), Some(start_time)) => Ok(Some(Stat { state, start_time })),
        _ => Err(Error::new(
            crate::error::Code::System,
            format!("{path} is not as proc_pid_stat(5) has it"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_with_another_start_time_is_another_process() {
        let me = HostProcess::current(rustix::process::getpid()).unwrap();
        assert!(me.is_alive());
        let other = HostProcess {
            start_time: me.start_time + 1,
            ..me
        };
        assert!(!other.is_alive());
        assert!(other.open().unwrap().is_none());
    }
}
