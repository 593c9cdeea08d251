//! Finding, and removing, what a runtime left on the machine.

use rustix::process::{Pid, Signal, kill_process};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Processes, mounts, cgroups and state that carry a sandbox's token.
#[derive(Debug, Default)]
pub struct Leftovers {
    processes: Vec<(i32, String)>,
    mounts: Vec<PathBuf>,
    cgroups: Vec<PathBuf>,
    state: Vec<PathBuf>,
}

impl Leftovers {
    /// Looks for all that carries `token`, and for anything in the state root.
    pub fn find(token: &str, root: &Path) -> Self {
        let mut cgroups = Vec::new();
        find_cgroups(Path::new("/sys/fs/cgroup"), token, &mut cgroups);
        let state = fs::read_dir(root)
            .map(|dir| dir.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        Self {
            processes: find_processes(token),
            mounts: find_mounts(token),
            cgroups,
            state,
        }
    }

    pub fn is_empty(&self) -> bool {
        let Self {
            processes,
            mounts,
            cgroups,
            state,
        } = self;
        processes.is_empty() && mounts.is_empty() && cgroups.is_empty() && state.is_empty()
    }

    pub fn has_processes(&self) -> bool {
        !self.processes.is_empty()
    }

    /// Removes it all; the machine shall be clean even after a failed test.
    pub fn remove(&self) {
        for path in &self.cgroups {
            let _ = fs::write(path.join("freezer.state"), "THAWED");
        }
        for (pid, _) in &self.processes {
            if let Some(pid) = Pid::from_raw(*pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for path in self.mounts.iter().rev() {
            let _ = rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH);
        }
        if !self.processes.is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        // Parents were found before their children.
        for path in self.cgroups.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

impl fmt::Display for Leftovers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (pid, why) in &self.processes {
            write!(f, "\n  process {pid}: {why}")?;
        }
        let lists = [
            ("mount", &self.mounts),
            ("cgroup", &self.cgroups),
            ("state", &self.state),
        ];
        for (kind, paths) in lists {
            for path in paths {
                write!(f, "\n  {kind} {}", path.display())?;
            }
        }
        Ok(())
    }
}

fn find_cgroups(dir: &Path, token: &str, found: &mut Vec<PathBuf>) {
    // Other tests' cgroups come and go while we look.
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let path = entry.path();
            if path.to_string_lossy().contains(token) {
                found.push(path.clone());
            }
            find_cgroups(&path, token, found);
        }
    }
}

fn find_mounts(token: &str) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| point.contains(token))
        .map(PathBuf::from)
        .collect()
}

/// A container's process is known by its cgroup or its root mount, a runtime's by its
/// command line. What else sees the sandbox's mounts is a bystander.
fn find_processes(token: &str) -> Vec<(i32, String)> {
    let own = std::process::id() as i32;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        if pid == own || pid == 1 {
            continue;
        }
        let read = |name: &str| {
            let bytes = fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let stat = read("stat");
        let mut after_name = stat.rsplit(')').next().unwrap_or("").split_whitespace();
        // A zombie is over; it only waits for its parent to look.
        let is_zombie = after_name.next() == Some("Z");
        // Most of what is in /proc.
        let is_of_the_kernel = after_name.next() == Some("2");
        if is_zombie || is_of_the_kernel {
            continue;
        }
        let command = read("cmdline");
        let is_ours = || {
            command.contains(token)
                || read("cgroup").contains(token)
                || read("mountinfo")
                    .lines()
                    .any(|line| is_root_of(line, token))
        };
        if is_ours() {
            found.push((pid, command));
        }
    }
    found
}

/// Whether a line of a mount table says that a directory of the sandbox is the root.
fn is_root_of(line: &str, token: &str) -> bool {
    let mut fields = line.split(' ').skip(3);
    let (root, point) = (fields.next(), fields.next());
    point == Some("/") && root.is_some_and(|root| root.contains(token))
}
