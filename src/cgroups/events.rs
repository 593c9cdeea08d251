//! Waiting for what the kernel tells in cgroup.events, without polling.

use super::files;
use crate::error::{Code, Context, Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use std::path::Path;
use std::time::Instant;

/// Waits until `key` has `value`. A cgroup that is gone will not change any more: it is as
/// good as what is waited for.
pub(super) fn wait(dir: &Path, key: &str, value: &str, deadline: Instant) -> Result<()> {
    let path = dir.join("cgroup.events");
    let reading = || format!("reading {}", path.display());
    let file = match rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(errno) if files::is_gone(errno) => return Ok(()),
        Err(errno) => return Err(Error::system(reading(), errno)),
    };
    let mut buffer = [0; 256];
    loop {
        rustix::fs::seek(&file, SeekFrom::Start(0)).context(reading)?;
        let text = match rustix::io::read(&file, &mut buffer) {
            Ok(length) => String::from_utf8_lossy(&buffer[..length]).into_owned(),
            Err(errno) if files::is_gone(errno) => return Ok(()),
            Err(errno) => return Err(Error::system(reading(), errno)),
        };
        if files::value_of(&text, key) == Some(value) {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|error| {
            Error::new(
                Code::System,
                format!("waiting for {}: {error}", path.display()),
            )
        })?;
        // kernfs signals a change since the last read as a priority event.
        let mut files = [PollFd::new(&file, PollFlags::PRI)];
        match poll(&mut files, Some(&timeout)) {
            Ok(0) => {
                let message = format!("{} does not come to say {key} {value}", path.display());
                let hint = match super::tree::processes(dir) {
                    Ok(pids) => format!("in it: {}", super::files::list(&pids)),
                    Err(error) => error.to_string(),
                };
                return Err(Error::new(Code::Timeout, message).hint(hint));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::system(reading(), errno)),
        }
    }
}
