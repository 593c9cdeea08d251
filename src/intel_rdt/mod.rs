//! `linux.intelRdt`: a container's groups in resctrl, where caches and memory bandwidth are
//! shared out and watched (config-linux.md, "IntelRdt"; the kernel's filesystems/resctrl.rst).
//!
//! As with cgroups, the groups are data, stored with the container before anything is made.

mod mount;
mod schemata;
mod stats;

pub use stats::Stats;

use crate::config::linux::IntelRdt;
use crate::error::{Code, Context, Error, Result};
use crate::flock;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long others may be at work on resctrl before we give up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often new threads of the container's are looked for; each look finds fewer.
const LOOKS: u32 = 16;

/// Where a container is in resctrl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Groups {
    root: PathBuf,
    /// The class of service.
    class: PathBuf,
    /// The container's own, under its id; the config names no other.
    is_own: bool,
    /// It was not there before. Of a class that has a name, other containers may be too.
    is_made: bool,
    /// The group in which it is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    monitoring: Option<PathBuf>,
}

impl Groups {
    /// The groups that container `id` is to be in; nothing is made yet.
    ///
    /// # Errors
    /// Where resctrl is not mounted, a class is named that is not there and not described, or
    /// one is there that has the container's name and not for being its own.
    pub fn planned(rdt: &IntelRdt, id: &str) -> Result<Self> {
        Self::planned_in(mount::point()?, rdt, id)
    }

    fn planned_in(root: PathBuf, rdt: &IntelRdt, id: &str) -> Result<Self> {
        let class = match rdt.clos_id.as_deref() {
            None => root.join(id),
            // The class of all that is not put into another.
            Some("/") => root.clone(),
            Some(name) => root.join(name),
        };
        let is_there = class.exists();
        if !is_there && rdt.clos_id.is_some() && schemata::wanted(rdt).is_empty() {
            let message = format!("linux.intelRdt.closID: there is no {}", class.display());
            return Err(Error::new(Code::InvalidConfig, message)
                .hint("make it, or say in schemata what it is to be given"));
        }
        if is_there && rdt.clos_id.is_none() {
            return Err(taken(&class));
        }
        Ok(Self {
            monitoring: (rdt.enable_monitoring).then(|| class.join("mon_groups").join(id)),
            is_own: rdt.clos_id.is_none(),
            is_made: !is_there,
            root,
            class,
        })
    }

    /// Makes the groups, with what the config gives them. One that is there under a name of the
    /// config's must be what the config says.
    ///
    /// # Errors
    /// Where it is not, or the kernel refuses.
    pub fn make(&self, rdt: &IntelRdt) -> Result<()> {
        let _lock = self.lock()?;
        let wanted = schemata::wanted(rdt);
        let is_new = make_directory(&self.root, &self.class)?;
        if !is_new && self.is_own {
            return Err(taken(&self.class));
        }
        if is_new {
            let written = wanted.iter().try_for_each(|text| self.write_schemata(text));
            if let Err(error) = written {
                // The error is the one to tell.
                let _ = rustix::fs::rmdir(&self.class);
                return Err(error);
            }
        } else if !wanted.is_empty() {
            let current = read(&self.class.join("schemata"))?;
            for text in &wanted {
                schemata::check(text, &current).map_err(|error| {
                    error.context(format!("linux.intelRdt: {}", self.class.display()))
                })?;
            }
        }
        match &self.monitoring {
            Some(monitoring) => make_directory(&self.root, monitoring).map(drop),
            None => Ok(()),
        }
    }

    /// Puts a process of one thread into the groups, and with it all that it will fork.
    ///
    /// # Errors
    /// Those of writing.
    pub fn add(&self, pid: i32) -> Result<()> {
        // A monitoring group takes only who is in its class.
        for group in [Some(&self.class), self.monitoring.as_ref()]
            .into_iter()
            .flatten()
        {
            self.write(&group.join("tasks"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Puts one more process of the container's where the others are: if somebody has removed the
    /// class since, they are in the default one, and so is this.
    ///
    /// # Errors
    /// Those of writing.
    pub fn add_further(&self, pid: i32) -> Result<()> {
        match self.class.exists() {
            true => self.add(pid),
            false => Ok(()),
        }
    }

    /// Puts a container that runs into a class of its own, which is made if it is not there:
    /// also for who tried before, and failed halfway.
    ///
    /// # Errors
    /// See [`Self::add_running`].
    pub fn complete(&self, processes: impl Fn() -> Result<Vec<i32>>) -> Result<()> {
        if !self.is_own {
            return Ok(());
        }
        let lock = self.lock()?;
        make_directory(&self.root, &self.class)?;
        drop(lock);
        self.add_running(processes)
    }

    /// Puts all threads of processes that run into the groups. `processes` says which there are
    /// now; it is asked until all of them are in.
    ///
    /// # Errors
    /// Those of writing, but for threads that have ended; where others keep coming from elsewhere.
    fn add_running(&self, processes: impl Fn() -> Result<Vec<i32>>) -> Result<()> {
        let mut added = BTreeSet::new();
        for _ in 0..LOOKS {
            let mut threads: Vec<i32> = processes()?.into_iter().flat_map(threads).collect();
            // Read after the others were found: what these fork is where they are.
            let inside = self.tasks();
            threads.retain(|thread| !inside.contains(thread) && added.insert(*thread));
            if threads.is_empty() {
                return Ok(());
            }
            for thread in threads {
                match self.add(thread) {
                    Err(error) if error.errno() == Some(Errno::SRCH) => {}
                    other => other?,
                }
            }
        }
        let message = format!(
            "linux.intelRdt: after {LOOKS} looks there are still threads outside of {}",
            self.class.display()
        );
        Err(Error::new(Code::Timeout, message).hint("pause the container, and try again"))
    }

    /// The threads in the innermost group.
    fn tasks(&self) -> BTreeSet<i32> {
        let group = self.monitoring.as_ref().unwrap_or(&self.class);
        let tasks = read(&group.join("tasks")).unwrap_or_default();
        tasks.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Changes what the class is given; returns what it had, to be given back by
    /// [`Self::restore`].
    ///
    /// # Errors
    /// Where the kernel refuses; nothing is changed then.
    pub fn update(&self, change: &IntelRdt) -> Result<String> {
        let _lock = self.lock()?;
        let before = read(&self.class.join("schemata"))?;
        for text in schemata::wanted(change) {
            if let Err(error) = self.write_schemata(&text) {
                return Err(match self.write_schemata(&before) {
                    Ok(()) => error,
                    Err(failure) => error.followed_by(failure),
                });
            }
        }
        Ok(before)
    }

    /// Gives the class what it had before an update.
    ///
    /// # Errors
    /// Those of writing.
    pub fn restore(&self, before: &str) -> Result<()> {
        let _lock = self.lock()?;
        self.write_schemata(before)
    }

    /// Removes what was made: the monitoring group, and the class, unless it has a name and
    /// others are in it.
    ///
    /// # Errors
    /// Those of rmdir(2), but where it is gone.
    pub fn remove(&self) -> Result<()> {
        let _lock = match self.lock() {
            // resctrl is mounted no more, and with it went all groups.
            Err(error) if error.errno() == Some(Errno::NOENT) => return Ok(()),
            other => other?,
        };
        if let Some(monitoring) = &self.monitoring {
            remove_directory(monitoring)?;
        }
        if self.is_made && (self.is_own || self.is_empty()) {
            remove_directory(&self.class)?;
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        read(&self.class.join("tasks")).is_ok_and(|tasks| tasks.trim().is_empty())
    }

    /// As resctrl.rst has it, under "Locking": for changes that are more than one write.
    fn lock(&self) -> Result<OwnedFd> {
        let doing = || format!("locking {}", self.root.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&self.root, flags, Mode::empty()).context(doing)?;
        flock::exclusive(&root, PATIENCE).context(doing)?;
        Ok(root)
    }

    fn write_schemata(&self, text: &str) -> Result<()> {
        self.write(&self.class.join("schemata"), text)
            .map_err(|error| error.context("linux.intelRdt"))
    }

    /// Writes at once, with a newline, without which the kernel takes nothing. Nothing can be
    /// created in resctrl; what asks for it are made-up trees, of tests.
    fn write(&self, path: &Path, text: &str) -> Result<()> {
        let doing = || format!("writing {text:?} to {}", path.display());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::open(path, flags, mode).context(doing)?;
        let line = format!("{}\n", text.trim_end());
        match rustix::io::retry_on_intr(|| rustix::io::write(&file, line.as_bytes())) {
            Ok(_) => Ok(()),
            Err(errno) => Err(explained(&self.root, Error::system(doing(), errno))),
        }
    }
}

/// runc would take it over: change for others what they are given, and remove it in the end.
fn taken(class: &Path) -> Error {
    let message = format!(
        "linux.intelRdt: there is a class {} already",
        class.display()
    );
    Error::new(Code::Exists, message)
        .hint("name it in closID for the container to be in it, or give the container another id")
}

/// The threads of a process; none where it is gone.
fn threads(pid: i32) -> Vec<i32> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task"));
    let names = entries.into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Whether it was not there before.
fn make_directory(root: &Path, path: &Path) -> Result<bool> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => {
            let error = Error::system(format!("making {}", path.display()), errno);
            let error = error.context("linux.intelRdt");
            Err(match errno {
                Errno::NOSPC => error.hint("this machine has no more classes of service"),
                _ => explained(root, error),
            })
        }
    }
}

fn remove_directory(path: &Path) -> Result<()> {
    match rustix::fs::rmdir(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(Error::system(format!("removing {}", path.display()), errno)),
    }
}

/// What the kernel says of the last command that it refused.
fn explained(root: &Path, error: Error) -> Error {
    match std::fs::read_to_string(root.join("info/last_cmd_status")) {
        Ok(why) if !why.trim().is_empty() && why.trim() != "ok" => error.hint(why.trim()),
        _ => error,
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
