//! What the memory controller knows about processes that it killed.

use super::{Manager, files};
use crate::error::{Error, Result};
use std::path::Path;

/// Why a process may have been killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEvents {
    /// How many were killed for want of memory.
    pub oom_kills: u64,
    /// The limit, if there is one.
    pub limit: Option<u64>,
    /// The most that was ever used.
    pub peak: Option<u64>,
}

impl Manager {
    /// The same error, saying so where a process ended without a word because it was killed
    /// for want of memory.
    pub fn explain_kill(&self, error: Error) -> Error {
        if error.errno().is_some() {
            return error;
        }
        match self.memory_events() {
            Ok(Some(events)) if events.oom_kills > 0 => error.hint(events.to_string()),
            // systemd removes a cgroup with its last process, and what is known goes along.
            Ok(None) if self.needs_process() => {
                error.hint("is linux.resources.memory.limit too low for it?")
            }
            Ok(_) => error,
            Err(unreadable) => {
                log::debug!("{unreadable}");
                error
            }
        }
    }
}

impl std::fmt::Display for MemoryEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(limit) = self.limit else {
            return f.write_str(
                "the kernel killed it because memory ran out, though not the container's own limit",
            );
        };
        write!(
            f,
            "the kernel killed it because of the memory limit of {limit} bytes"
        )?;
        if let Some(peak) = self.peak {
            write!(f, ", of which it used {peak}")?;
        }
        f.write_str(": raise linux.resources.memory.limit")
    }
}

/// What v1's controller says of the cgroup at `dir`; nothing, where systemd was faster and has
/// removed it.
pub(super) fn v1(dir: &Path) -> Result<Option<MemoryEvents>> {
    match read_v1(dir) {
        Err(error) if error.errno().is_some_and(files::is_gone) => Ok(None),
        result => result.map(Some),
    }
}

fn read_v1(dir: &Path) -> Result<MemoryEvents> {
    let number = |file: &str| -> Result<u64> {
        let text = files::read_named(&dir.join(file))?;
        Ok(text.trim().parse().unwrap_or_default())
    };
    let control = files::read_named(&dir.join("memory.oom_control"))?;
    let kills = files::value_of(&control, "oom_kill").and_then(|n| n.parse().ok());
    let limit = number("memory.limit_in_bytes")?;
    Ok(MemoryEvents {
        oom_kills: kills.unwrap_or_default(),
        // "Unlimited" is the largest number of whole pages.
        limit: (limit < i64::MAX as u64 - 0x10_0000).then_some(limit),
        peak: Some(number("memory.max_usage_in_bytes")?),
    })
}

/// What v2's says; nothing, where the cgroup does not have the controller.
pub(super) fn v2(dir: &Path) -> Result<Option<MemoryEvents>> {
    let text = match files::read(&dir.join("memory.events")) {
        Ok(text) => text,
        Err(errno) if files::is_gone(errno) => return Ok(None),
        Err(errno) => {
            let doing = format!("reading {}/memory.events", dir.display());
            return Err(Error::system(doing, errno));
        }
    };
    let kills = files::value_of(&text, "oom_kill").and_then(|n| n.parse().ok());
    let number =
        |file: &str| -> Option<u64> { files::read(&dir.join(file)).ok()?.trim().parse().ok() };
    Ok(Some(MemoryEvents {
        oom_kills: kills.unwrap_or_default(),
        limit: number("memory.max"),
        // Since Linux 5.19.
        peak: number("memory.peak"),
    }))
}
