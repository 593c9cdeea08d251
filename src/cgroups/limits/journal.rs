//! What was in the files that were written to, so that a change that fails halfway can be
//! taken back.

use crate::cgroups::files;
use crate::error::Error;
use std::path::{Path, PathBuf};

/// The writes that lead back, in the order of those they undo.
#[derive(Debug)]
pub(in crate::cgroups) struct Journal {
    /// None where nothing is kept: what `create` makes it removes again as a whole.
    way_back: Option<Vec<WayBack>>,
}

/// A write that undoes another.
#[derive(Debug)]
pub(in crate::cgroups::limits) struct WayBack {
    path: PathBuf,
    value: String,
}

impl WayBack {
    /// None where the file cannot be read.
    fn new(path: &Path, value: &str) -> Option<Self> {
        let before = files::read(path).ok()?;
        let file = path.file_name()?.to_str()?;
        Some(Self {
            path: path.to_owned(),
            value: inverse(file, value, &before),
        })
    }
}

impl Journal {
    /// A journal that keeps what is told to it.
    pub fn keeping() -> Self {
        Self {
            way_back: Some(Vec::new()),
        }
    }

    /// A journal that keeps nothing.
    pub fn none() -> Self {
        Self { way_back: None }
    }

    /// What is to be written to undo a write of `value`, which is about to be done. Nothing for
    /// files that do not say what is set.
    pub(super) fn way_back(&self, path: &Path, value: &str) -> Vec<WayBack> {
        if self.way_back.is_none() {
            return Vec::new();
        }
        let own = WayBack::new(path, value);
        let mut lost = [].as_slice();
        // The kernel forgets the weight of what becomes idle, and what is idle has none.
        if path.ends_with("cpu.idle") && own.as_ref().is_some_and(|own| own.value == "0") {
            lost = &["cpu.weight", "cpu.shares"];
        }
        let lost = lost
            .iter()
            .filter_map(|file| WayBack::new(&path.with_file_name(file), ""));
        lost.chain(own).collect()
    }

    /// The write was done.
    pub(super) fn note(&mut self, done: Vec<WayBack>) {
        if let Some(all) = &mut self.way_back {
            all.extend(done);
        }
    }

    /// The files that are to be written, by name, and with what: the oldest last.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.way_back.iter().flatten().rev();
        all.filter_map(|WayBack { path, value }| {
            Some((path.file_name()?.to_str()?, value.as_str()))
        })
    }

    /// Undoes all writes, the last one first, so that what the kernel checks against each
    /// other is consistent at every step, as it was on the way here. Returns what could not
    /// be undone.
    pub fn undo(self) -> Vec<Error> {
        let mut failures = Vec::new();
        for WayBack { path, value } in self.way_back.into_iter().flatten().rev() {
            if let Err(errno) = files::write(&path, &value) {
                failures.push(Error::system(files::writing(&path, &value), errno));
            }
        }
        failures
    }
}

/// The value to write to `file` to have again what it says in `before`, once `written` is
/// written to it.
fn inverse(file: &str, written: &str, before: &str) -> String {
    if file == "memory.oom_control" {
        let disabled = files::value_of(before, "oom_kill_disable");
        return disabled.unwrap_or("0").to_owned();
    }
    let Some((key, _)) = written.split_once(' ') else {
        // A default stands before what is set for devices.
        let first = before.lines().next().unwrap_or_default().trim();
        // A write of nothing does not get to the kernel.
        return if first.is_empty() { "\n" } else { first }.to_owned();
    };
    let is_keys = |line: &&str| line.split_once(' ').is_some_and(|(name, _)| name == key);
    match (before.lines().find(is_keys), is_device(key)) {
        (Some(line), _) => line.trim().to_owned(),
        (None, true) => format!("{key} {}", unset(file)),
        // "50000 100000", quota and period.
        (None, false) => before.trim().to_owned(),
    }
}

/// "8:0"
fn is_device(key: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    key.split_once(':')
        .is_some_and(|(major, minor)| number(major) && number(minor))
}

/// What stands for "not set" in a file that lists only devices for which something is.
fn unset(file: &str) -> &'static str {
    match file {
        "io.max" => "rbps=max wbps=max riops=max wiops=max",
        "io.latency" => "target=0",
        file if file.contains("weight") => "default",
        _ => "0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_restored() {
        assert_eq!(inverse("memory.max", "4096", "max\n"), "max");
        assert_eq!(
            inverse("cpu.max", "5000 10000", "max 100000\n"),
            "max 100000"
        );
        assert_eq!(
            inverse("cpu.max", "5000 10000", "5000 20000\n"),
            "5000 20000"
        );
        assert_eq!(inverse("cpuset.cpus", "0-1", "\n"), "\n");
        let control = "oom_kill_disable 1\nunder_oom 0\noom_kill 3\n";
        assert_eq!(inverse("memory.oom_control", "0", control), "1");
    }

    #[test]
    fn only_the_key_that_was_written_is_restored() {
        let weights = "default 100\n8:0 50\n";
        assert_eq!(inverse("io.weight", "200", weights), "default 100");
        assert_eq!(inverse("io.weight", "8:0 70", weights), "8:0 50");
        assert_eq!(inverse("io.weight", "8:16 70", weights), "8:16 default");
        assert_eq!(
            inverse("net_prio.ifpriomap", "lo 5", "lo 2\neth0 0\n"),
            "lo 2"
        );
        assert_eq!(
            inverse("rdma.max", "a hca_handle=1", "a hca_handle=7\n"),
            "a hca_handle=7"
        );
    }

    #[test]
    fn devices_without_a_limit_lose_the_one_they_got() {
        assert_eq!(
            inverse("blkio.throttle.read_bps_device", "8:0 5", ""),
            "8:0 0"
        );
        assert_eq!(
            inverse(
                "io.max",
                "8:0 rbps=5",
                "8:16 rbps=9 wbps=max riops=max wiops=max\n"
            ),
            "8:0 rbps=max wbps=max riops=max wiops=max"
        );
        assert_eq!(
            inverse("blkio.bfq.weight_device", "8:0 5", ""),
            "8:0 default"
        );
    }
}
