//! Cgroups: where a container's processes are counted, limited, frozen and found.
//!
//! ```text
//! Driver::detect -> Driver::manager -> Manager { V1 | V2 }
//!     create -> apply, apply_devices -> (processes attach themselves) ... -> remove
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

mod cpuset;
mod devices;
mod ebpf;
mod events;
mod files;
mod freezer;
mod hierarchies;
mod limits;
mod path;
mod v1;
mod v2;

pub use path::CgroupPath;
pub use v1::V1;
pub use v2::V2;

use crate::config::resources::{DeviceRule, Resources};
use crate::error::{Code, Context, Error, Result};
pub use crate::init::process::AttachFiles;
use hierarchies::Layout;
use rustix::fs::{Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For how long [`Manager::remove`] waits for dying processes.
const REMOVE_DEADLINE: Duration = Duration::from_secs(5);

/// What this host's cgroups are driven by.
#[derive(Debug)]
pub struct Driver {
    layout: Layout,
    rootless: bool,
}

impl Driver {
    /// Looks at the host. `rootless`: whoever asked for no cgroup may go without.
    pub fn detect(systemd: bool, rootless: bool) -> Result<Self> {
        if systemd {
            let message = "--systemd-cgroup: the systemd driver is not part of this build";
            return Err(Error::new(Code::Unsupported, message).hint("leave the flag out"));
        }
        Ok(Self {
            layout: hierarchies::detect()?,
            rootless,
        })
    }

    /// The manager of container `id` with `linux.cgroupsPath`; nothing is made yet.
    pub fn manager(&self, cgroups_path: Option<&str>, id: &str) -> Result<Manager> {
        let path = CgroupPath::new(cgroups_path, id)?;
        let means = match (self.rootless, cgroups_path.is_none_or(str::is_empty)) {
            (false, _) => Means::Root,
            (true, false) => Means::Rootless,
            (true, true) => Means::BestEffort,
        };
        match &self.layout {
            Layout::V1(hierarchies) => Ok(Manager::V1(V1::new(hierarchies, &path, means)?)),
            Layout::V2(hierarchy) => Ok(Manager::V2(V2::new(hierarchy, &path, means)?)),
        }
    }
}

/// A container's cgroups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Manager {
    /// cgroup v1 or hybrid, by their file systems.
    V1(V1),
    /// cgroup v2 by its file system.
    V2(V2),
}

/// What may fail, by who we are and what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Means {
    /// Nothing.
    Root,
    /// Device rules.
    Rootless,
    /// Device rules, and making a cgroup, as no path for one was given.
    BestEffort,
}

impl Means {
    fn is_rootless(self) -> bool {
        self != Self::Root
    }

    /// Whether the container may run without the cgroup that could not be made.
    fn allow_going_without(self, error: &Error) -> bool {
        let denied = [Errno::PERM, Errno::ACCESS, Errno::ROFS];
        let denied = denied.iter().any(|e| error.errno() == Some(*e));
        denied && self == Self::BestEffort
    }

    /// The error of a limit for which there is no cgroup.
    fn no_cgroup(self, write: &limits::Write) -> Error {
        let field = &write.field;
        match self {
            Self::Root | Self::Rootless => {
                let controller = write.controller;
                let message =
                    format!("{field}: there is no {controller} controller to set it with");
                Error::new(Code::Unsupported, message)
            }
            Self::BestEffort => {
                let message = format!("{field}: no permission to make a cgroup to set it in");
                Error::new(Code::Unsupported, message).hint(
                    "have one delegated to you and name it in linux.cgroupsPath, \
                     or use --systemd-cgroup",
                )
            }
        }
    }
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
    /// Makes the cgroups, each with what a process needs to be let in, or nothing. One that
    /// was there before must be empty and not frozen (config-linux.md, "Control groups").
    pub fn create(&mut self, resources: &Resources) -> Result<()> {
        match self {
            Self::V1(v1) => v1.create(resources),
            Self::V2(v2) => v2.create(resources),
        }
    }

    /// Sets the limits, all but the device rules.
    pub fn apply(&self, resources: &Resources) -> Result<()> {
        match self {
            Self::V1(v1) => v1.apply(resources),
            Self::V2(v2) => v2.apply(resources),
        }
    }

    /// Sets the device rules with the runtime's own after them. Where there are none, all
    /// but those is denied.
    pub fn apply_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        match self {
            Self::V1(v1) => v1.apply_devices(rules),
            Self::V2(v2) => v2.apply_devices(rules),
        }
    }

    /// The files by which a single-threaded process attaches itself: "0" to each.
    pub fn attach_files(&self) -> Result<AttachFiles> {
        match self {
            Self::V1(v1) => v1.attach_files(),
            Self::V2(_) => Ok(AttachFiles::default()),
        }
    }

    /// The v2 cgroup to clone into (clone3, CLONE_INTO_CGROUP), where there is one.
    pub fn clone_target(&self) -> Result<Option<OwnedFd>> {
        match self {
            Self::V1(v1) => v1.clone_target(),
            Self::V2(v2) => v2.clone_target(),
        }
    }

    /// All processes, also of cgroups that the container made below its own. Those outside
    /// our pid namespace are left out, having no pid here.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        let pids = match self {
            Self::V1(v1) => v1.processes()?,
            Self::V2(v2) => v2.processes()?,
        };
        Ok(pids.into_iter().filter_map(Pid::from_raw).collect())
    }

    /// Signals all processes, and none that forks meanwhile escapes. A paused container
    /// stays so, but for SIGKILL. Whoever wants them gone waits for them by [`Self::remove`].
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        match self {
            Self::V1(v1) => v1.signal_all(signal),
            Self::V2(v2) => v2.signal_all(signal),
        }
    }

    /// Stops all processes where they are.
    pub fn freeze(&self) -> Result<()> {
        match self {
            Self::V1(v1) => v1.freeze(),
            Self::V2(v2) => v2.freeze(),
        }
    }

    /// Lets them go on.
    pub fn thaw(&self) -> Result<()> {
        match self {
            Self::V1(v1) => v1.thaw(),
            Self::V2(v2) => v2.thaw(),
        }
    }

    /// Whether [`Self::freeze`] holds them. A cgroup that is gone is not frozen.
    pub fn is_frozen(&self) -> Result<bool> {
        match self {
            Self::V1(v1) => v1.is_frozen(),
            Self::V2(v2) => v2.is_frozen(),
        }
    }

    /// Removes the cgroups and all below, waiting for dying processes up to five seconds.
    /// What is not there is no error; what cannot be removed is one that names who is in it.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + REMOVE_DEADLINE;
        match self {
            Self::V1(v1) => v1.remove(deadline),
            Self::V2(v2) => v2.remove(deadline),
        }
    }

    /// Whether any of the cgroups is there.
    pub fn exists(&self) -> bool {
        match self {
            Self::V1(v1) => v1.exists(),
            Self::V2(v2) => v2.exists(),
        }
    }

    /// The directories, one in each hierarchy.
    pub fn paths(&self) -> Vec<&Path> {
        match self {
            Self::V1(v1) => v1.paths().collect(),
            Self::V2(v2) => v2.path().into_iter().collect(),
        }
    }

    /// What a mount of type `cgroup` is made of.
    pub fn mounts_for_container(&self) -> ContainerMounts {
        match self {
            Self::V1(v1) => ContainerMounts::V1(v1.mounts()),
            Self::V2(v2) => ContainerMounts::V2(v2.path().map(Path::to_owned)),
        }
    }

    /// The manager of sub-cgroups, by the arguments of `exec --cgroup`: one PATH for all
    /// hierarchies, or CONTROLLER[,CONTROLLER...]:PATH for some.
    pub fn sub(&self, args: &[String]) -> Result<Self> {
        match self {
            Self::V1(v1) => Ok(Self::V1(v1.sub(args)?)),
            Self::V2(v2) => Ok(Self::V2(v2.sub(args)?)),
        }
    }

    /// The manager of the cgroup `pid` is in, below this one: where init has moved itself and
    /// has controllers enabled in the container's (as systemd does), v2 answers EBUSY to a
    /// clone into that, and exec joins init. On v1 a process can be anywhere.
    pub fn of_process(&self, pid: Pid) -> Result<Self> {
        match self {
            Self::V1(v1) => Ok(Self::V1(v1.clone())),
            Self::V2(v2) => Ok(Self::V2(v2.of_process(pid)?)),
        }
    }

    /// Gives the cgroup to `uid`, for a container with a cgroup namespace of its own and
    /// cgroups mounted to be written. On v1 that is not secure, and nothing is done
    /// (config-linux.md, "Cgroup ownership").
    pub fn delegate(&self, uid: Uid) -> Result<()> {
        match self {
            Self::V1(_) => Ok(()),
            Self::V2(v2) => v2.delegate(uid),
        }
    }

    /// What the memory controller, where there is one, knows about processes it killed.
    pub fn memory_events(&self) -> Result<Option<MemoryEvents>> {
        match self {
            Self::V1(v1) => v1.memory_events(),
            Self::V2(v2) => v2.memory_events(),
        }
    }
}

/// The arguments of `--cgroup` as (controller or all, path); runc's rules and words.
fn sub_paths(args: &[String]) -> Result<Vec<(Option<&str>, PathBuf)>> {
    let invalid = |arg: &str, why: &str| {
        let message = format!("invalid --cgroup argument: {arg}{why}");
        Err(Error::new(Code::Usage, message))
    };
    let mut seen = BTreeSet::new();
    let mut paths = Vec::new();
    for arg in args {
        if arg.split(':').any(leads_out) {
            return invalid(
                arg,
                " (bad sub cgroup path: it must stay below the container's)",
            );
        }
        let parts: Vec<&str> = arg.split(':').collect();
        match parts.as_slice() {
            [path] if args.len() == 1 => paths.push((None, path::clean(path))),
            [_] => return invalid(arg, " (missing <controller>: prefix)"),
            [controllers, path] => {
                for controller in controllers.split(',') {
                    if !seen.insert(controller) {
                        let why = format!(" (specified multiple times for {controller:?})");
                        return invalid(arg, &why);
                    }
                    paths.push((Some(controller), path::clean(path)));
                }
            }
            _ => return invalid(arg, ""),
        }
    }
    Ok(paths)
}

/// Whether a relative path has more steps up than down at some point.
fn leads_out(path: &str) -> bool {
    let mut depth = 0;
    path.split('/').any(|name| {
        match name {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        depth < 0
    })
}

/// Refuses a cgroup somebody else uses, in runc's words.
fn check_unused(dir: &Path, frozen: bool) -> Result<()> {
    if frozen {
        let message = "container's cgroup unexpectedly frozen";
        return Err(Error::new(Code::WrongState, message).hint(dir.display().to_string()));
    }
    match files::processes(dir)?.as_slice() {
        [] => Ok(()),
        pids => {
            let count = pids.len();
            let message = format!("container's cgroup is not empty: {count} process(es) found");
            let who = format!("{} in {}", files::list(pids), dir.display());
            Err(Error::new(Code::WrongState, message).hint(who))
        }
    }
}

/// Signals each; one that is gone needs none.
fn signal_each(pids: &[i32], signal: Signal) -> Result<()> {
    let mut result = Ok(());
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        match rustix::process::kill_process(pid, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => {
                let doing = format!("sending signal {} to {pid:?}", signal.as_raw());
                result = result.and(Err(Error::system(doing, errno)));
            }
        }
    }
    result
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).context(|| format!("opening {}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn paths(args: &[&str]) -> Result<Vec<(Option<String>, String)>> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let own = |(name, path): (Option<&str>, PathBuf)| {
            (name.map(str::to_owned), path.to_string_lossy().into_owned())
        };
        Ok(sub_paths(&args)?.into_iter().map(own).collect())
    }

    #[test]
    fn cgroup_arguments_of_exec() {
        assert_eq!(paths(&["a/../b"]).unwrap(), [(None, "b".to_owned())]);
        let two = paths(&["cpu,memory:x", "pids:y"]).unwrap();
        assert_eq!(two[1], (Some("memory".to_owned()), "x".to_owned()));
        assert_eq!(two.len(), 3);
        for bad in [
            &["a", "b"][..],
            &["a:b:c"],
            &["cpu:a", "cpu,pids:b"],
            &["a/../../b"],
            &["cpu:../x"],
        ] {
            assert_eq!(paths(bad).unwrap_err().code(), Code::Usage);
        }
    }
}
