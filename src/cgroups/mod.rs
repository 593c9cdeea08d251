//! Cgroups: where a container's processes are counted, limited, frozen and found.
//!
//! ```text
//! Driver::detect -> Driver::manager -> Manager { V1 | V2 | Systemd }
//!     create -> prepare -> (the process is made) -> start, admit -> (it attaches itself)
//!     -> update ... -> remove
//! ```
//!
//! One enum of managers, one file per kind; what kinds share is in `files` and `limits`.
//! A manager is data: it is stored with the container before anything is made, so that
//! `delete` can remove what an interrupted `create` left.
//!
//! How a process gets in: the caller clones it into [`Manager::clone_target`], where there
//! is one, and the process, still of one thread, writes "0" to each of
//! [`Manager::attach_files`], whose openers' credentials count (CVE-2021-4197). The kernel
//! (since 5.5) lets a single thread move itself without the lock and the RCU grace period
//! that writing a pid to `cgroup.procs` costs: 3 to 15 ms on an idle machine.
//! A new cgroup namespace has its root where its maker is at that moment: it is to be
//! unshared after attaching, not in the clone.

mod claim;
mod controllers;
mod cpuset;
mod devices;
mod driver;
mod ebpf;
mod events;
mod files;
mod freezer;
mod hierarchies;
mod kernel_log;
mod limits;
mod means;
mod memory;
mod occupants;
mod oom;
mod path;
mod planned;
pub mod stats;
mod sub;
mod systemd;
mod tree;
mod update;
mod v1;
mod v2;

pub use claim::Claim;
pub use driver::Driver;
pub use memory::MemoryEvents;
pub use oom::OomWatch;
pub use path::CgroupPath;
pub use planned::PlannedLimit;
pub use stats::Stats;
pub use systemd::Systemd;
pub use update::Changes;
pub use v1::V1;
pub use v2::V2;

use crate::config::resources::{DeviceRule, Resources};
use crate::error::{Code, Result};
pub use crate::init::process::AttachFiles;
use limits::Journal;
use rustix::fs::Uid;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For how long [`Manager::remove`] waits for dying processes.
const REMOVE_DEADLINE: Duration = Duration::from_secs(5);

/// A container's cgroups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Manager {
    /// cgroup v1 or hybrid, by their file systems.
    V1(V1),
    /// cgroup v2 by its file system.
    V2(V2),
    /// Either, of a unit that systemd makes and removes.
    Systemd(Systemd),
}

/// What a mount of type `cgroup` is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerMounts {
    /// A tmpfs with these in it.
    V1(Vec<ContainerMount>),
    /// File system `cgroup2`; where that is not allowed, this directory bound: the
    /// container's cgroup, as in a cgroup namespace of its own.
    V2(Option<PathBuf>),
}

/// What a mount of type `cgroup` shows of one v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerMount {
    /// The directory below the mount's destination: "cpu,cpuacct".
    pub name: String,
    /// The data for mounting file system `cgroup` in a new cgroup namespace.
    pub options: String,
    /// Without one: the container's cgroup, to be bound.
    pub source: PathBuf,
    /// Names of symbolic links to `name`, where controllers are mounted together.
    pub links: Vec<String>,
}

impl Manager {
    /// Makes the cgroups, each with what a process needs to be let in, or nothing. One that
    /// was there before must be empty and not frozen (config-linux.md, "Control groups"), and
    /// nobody else at making a container in it. systemd's come with their first process.
    pub fn create(&mut self, resources: &Resources) -> Result<Claim> {
        match self {
            Self::V1(v1) => v1.create(resources),
            Self::V2(v2) => v2.create(resources),
            Self::Systemd(unit) => unit.check_unused().map(|()| Claim::none()),
        }
    }

    /// Whether there are no cgroups before there is a process to be in them, and
    /// [`Self::start`] is what makes them.
    pub fn needs_process(&self) -> bool {
        matches!(self, Self::Systemd(_))
    }

    /// Sets all limits where the cgroups are there; returns the one for the first process to
    /// be cloned into, as [`Self::clone_target`].
    pub fn prepare(&self, resources: &Resources) -> Result<Option<OwnedFd>> {
        if self.needs_process() {
            return Ok(None);
        }
        self.apply(resources)?;
        self.apply_devices(&resources.devices)?;
        self.clone_target()
    }

    /// Has systemd make the unit, with the limits it knows and the first process in it. The
    /// unit is this container's from here on, and not if this fails.
    pub fn start(&self, pid: Pid, resources: &Resources) -> Result<()> {
        match self {
            Self::Systemd(unit) => unit.start(pid, resources),
            Self::V1(_) | Self::V2(_) => Ok(()),
        }
    }

    /// Takes in the first process, where that takes more than it can do for itself; returns
    /// the files by which it does the rest.
    pub fn admit(&self, pid: Pid, resources: &Resources) -> Result<AttachFiles> {
        if let Self::Systemd(unit) = self {
            unit.move_in(pid)?;
            match &*unit.files {
                Self::V1(v1) => v1.adopt(resources)?,
                Self::V2(v2) => v2.adopt(pid, resources)?,
                Self::Systemd(_) => {}
            }
            unit.files.apply(resources)?;
            unit.files.apply_devices(&resources.devices)?;
        }
        self.attach_files()
    }

    /// Sets the limits, all but the device rules.
    pub fn apply(&self, resources: &Resources) -> Result<()> {
        self.set(resources, &Resources::default(), &mut Journal::none())
    }

    /// The same, where `before` was asked for until now; `journal` is told what was set.
    fn set(&self, now: &Resources, before: &Resources, journal: &mut Journal) -> Result<()> {
        match self {
            Self::V1(v1) => v1.set(now, before, journal),
            Self::V2(v2) => v2.set(now, before, journal),
            Self::Systemd(unit) => {
                unit.files.set(now, before, journal)?;
                unit.set(now, before)?;
                // In these its properties are not as fine.
                unit.files.set(now, before, &mut Journal::none())
            }
        }
    }

    /// Sets the device rules with the runtime's own after them. Where there are none, all
    /// but those is denied.
    pub fn apply_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        match self {
            Self::V1(v1) => v1.apply_devices(rules),
            Self::V2(v2) => v2.apply_devices(rules),
            Self::Systemd(unit) => {
                unit.set_devices(rules)?;
                unit.files.apply_devices(rules)
            }
        }
    }

    /// The files by which a single-threaded process attaches itself: "0" to each.
    pub fn attach_files(&self) -> Result<AttachFiles> {
        match self {
            Self::V1(v1) => v1.attach_files(),
            Self::V2(_) => Ok(AttachFiles::default()),
            Self::Systemd(unit) => unit.files.attach_files(),
        }
    }

    /// Lets a further process in, which was made by [`Self::clone_target`]; as [`Self::admit`].
    pub fn join(&self, pid: Pid) -> Result<AttachFiles> {
        if let Self::Systemd(unit) = self
            && unit.must_be_asked()?
        {
            unit.attach(pid)?;
        }
        self.attach_files()
    }

    /// The v2 cgroup to clone into (clone3, CLONE_INTO_CGROUP), where there is one.
    pub fn clone_target(&self) -> Result<Option<OwnedFd>> {
        match self {
            Self::V1(v1) => v1.clone_target(),
            Self::V2(v2) => v2.clone_target(),
            Self::Systemd(unit) if unit.must_be_asked()? => Ok(None),
            Self::Systemd(unit) => unit.files.clone_target(),
        }
    }

    /// All processes, also of cgroups that the container made below its own. Those outside
    /// our pid namespace are left out, having no pid here.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        let pids = match self {
            Self::V1(v1) => v1.processes()?,
            Self::V2(v2) => v2.processes()?,
            Self::Systemd(unit) => return unit.files.processes(),
        };
        Ok(pids.into_iter().filter_map(Pid::from_raw).collect())
    }

    /// Sends signal `number` (0 to 64) to all processes, and none that forks meanwhile escapes. A
    /// paused container stays so, but for SIGKILL. Whoever wants them gone waits for them by
    /// [`Self::remove`].
    pub fn signal_all(&self, number: i32) -> Result<()> {
        match self {
            Self::V1(v1) => v1.signal_all(number),
            Self::V2(v2) => v2.signal_all(number),
            Self::Systemd(unit) => unit.files.signal_all(number),
        }
    }

    /// Stops all processes where they are.
    pub fn freeze(&self) -> Result<()> {
        match self {
            Self::V1(v1) => v1.freeze(),
            Self::V2(v2) => v2.freeze(),
            Self::Systemd(unit) => unit.files.freeze(),
        }
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<()> {
        match self {
            Self::V1(v1) => v1.thaw(),
            Self::V2(v2) => v2.thaw(),
            Self::Systemd(unit) => unit.files.thaw(),
        }
    }

    /// The file that a watcher sees change when they are frozen or thawed. On v1 that is by
    /// whoever writes to it, and freezing may take a moment longer.
    pub fn freezing_is_told_by(&self) -> Option<PathBuf> {
        match self {
            Self::V1(v1) => Some(v1.find("freezer")?.join("freezer.state")),
            Self::V2(v2) => Some(v2.path()?.join("cgroup.events")),
            Self::Systemd(unit) => unit.files.freezing_is_told_by(),
        }
    }

    /// Whether [`Self::freeze`] holds them. A cgroup that is gone is not frozen.
    pub fn is_frozen(&self) -> Result<bool> {
        match self {
            Self::V1(v1) => v1.is_frozen(),
            Self::V2(v2) => v2.is_frozen(),
            Self::Systemd(unit) => unit.files.is_frozen(),
        }
    }

    /// Removes the cgroups and all below, waiting for dying processes up to five seconds.
    /// What is not there is no error; what cannot be removed is one that names who is in it.
    pub fn remove(&self) -> Result<()> {
        self.remove_by(Instant::now() + REMOVE_DEADLINE)
    }

    fn remove_by(&self, deadline: Instant) -> Result<()> {
        match self {
            Self::V1(v1) => v1.remove(deadline),
            Self::V2(v2) => v2.remove(deadline),
            Self::Systemd(unit) => unit.remove(deadline),
        }
    }

    fn is_v2(&self) -> bool {
        match self {
            Self::V1(_) => false,
            Self::V2(_) => true,
            Self::Systemd(unit) => unit.files.is_v2(),
        }
    }

    /// Removes those of the cgroups that are there and that nobody uses or is about to use:
    /// they may be another container's.
    pub fn remove_unused(&self) -> Result<()> {
        let removed = match self {
            Self::V1(v1) => v1.remove_unused(),
            Self::V2(v2) => v2.remove_unused(),
            Self::Systemd(unit) => unit.remove_unused(Instant::now() + REMOVE_DEADLINE),
        };
        match removed {
            // Somebody else's claim.
            Err(error) if error.code() == Code::WrongState => Ok(()),
            other => other,
        }
    }

    /// Whether any of the cgroups is there.
    pub fn exists(&self) -> bool {
        match self {
            Self::V1(v1) => v1.exists(),
            Self::V2(v2) => v2.exists(),
            Self::Systemd(unit) => unit.files.exists(),
        }
    }

    /// The directories, one in each hierarchy.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Self::V1(v1) => v1.paths().collect(),
            Self::V2(v2) => v2.path().into_iter().collect(),
            Self::Systemd(unit) => unit.files.paths(),
        }
    }

    /// What a mount of type `cgroup` is made of.
    pub fn mounts_for_container(&self) -> ContainerMounts {
        match self {
            Self::V1(v1) => ContainerMounts::V1(v1.mounts()),
            Self::V2(v2) => ContainerMounts::V2(v2.path().map(Path::to_owned)),
            Self::Systemd(unit) => unit.files.mounts_for_container(),
        }
    }

    /// The manager of sub-cgroups, by the arguments of `exec --cgroup`: one PATH for all
    /// hierarchies, or CONTROLLER[,CONTROLLER...]:PATH for some.
    pub fn sub(&self, args: &[String]) -> Result<Self> {
        match self {
            Self::V1(v1) => Ok(Self::V1(v1.sub(args)?)),
            Self::V2(v2) => Ok(Self::V2(v2.sub(args)?)),
            Self::Systemd(unit) => Ok(Self::Systemd(unit.with(unit.files.sub(args)?))),
        }
    }

    /// The manager of the cgroup `pid` is in, below this one: where init has moved itself and
    /// has controllers enabled in the container's (as systemd does), v2 answers EBUSY to a
    /// clone into that, and exec joins init. On v1 a process can be anywhere.
    pub fn of_process(&self, pid: Pid) -> Result<Self> {
        match self {
            Self::V1(v1) => Ok(Self::V1(v1.clone())),
            Self::V2(v2) => Ok(Self::V2(v2.of_process(pid)?)),
            Self::Systemd(unit) => Ok(Self::Systemd(unit.with(unit.files.of_process(pid)?))),
        }
    }

    /// Gives the cgroup to `uid`, for a container with a cgroup namespace of its own and
    /// cgroups mounted to be written. On v1 that is not secure, and nothing is done
    /// (config-linux.md, "Cgroup ownership").
    pub fn delegate(&self, uid: Uid) -> Result<()> {
        match self {
            Self::V1(_) => Ok(()),
            Self::V2(v2) => v2.delegate(uid),
            Self::Systemd(unit) => unit.files.delegate(uid),
        }
    }

    /// What the memory controller, where there is one, knows about processes it killed.
    pub fn memory_events(&self) -> Result<Option<MemoryEvents>> {
        match self {
            Self::V1(v1) => v1.memory_events(),
            Self::V2(v2) => v2.memory_events(),
            Self::Systemd(unit) => unit.files.memory_events(),
        }
    }

    /// What the container has used. A controller that is not there has nothing to tell.
    pub fn stats(&self) -> Result<Stats> {
        match self {
            Self::V1(v1) => stats::v1::read(v1),
            Self::V2(v2) => v2.path().map_or(Ok(Stats::default()), stats::v2::read),
            Self::Systemd(unit) => unit.files.stats(),
        }
    }

    /// Begins to watch for a want of memory; none without a memory controller.
    pub fn watch_oom(&self) -> Result<Option<OomWatch>> {
        match self {
            Self::V1(v1) => v1.find("memory").map_or(Ok(None), OomWatch::v1),
            Self::V2(v2) => v2.watch_oom(),
            Self::Systemd(unit) => unit.files.watch_oom(),
        }
    }
}
