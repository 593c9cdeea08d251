//! cgroup v2: one directory, in the one hierarchy.

use super::devices::Policy;
use super::files::{self, Made};
use super::hierarchies::{self, Hierarchy};
use super::limits::{self, Journal, Write};
use super::means::Means;
use super::path::{Base, CgroupPath};
use super::{
    Claim, MemoryEvents, OomWatch, controllers, ebpf, events, memory, occupants, sub, tree,
};
use crate::config::resources::{DeviceRule, Resources};
use crate::error::{Code, Context, Error, Result};
use rustix::io::Errno;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const FREEZE_DEADLINE: Duration = Duration::from_secs(10);

/// A container's cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct V2 {
    mount: PathBuf,
    path: PathBuf,
    /// See [`Means`].
    means: Means,
    /// It could not be made, and did not have to be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    without: bool,
}

impl V2 {
    pub(super) fn new(hierarchy: &Hierarchy, path: &CgroupPath, means: Means) -> Result<Self> {
        let base = match path.base() {
            Base::MountPoint => hierarchy.mount.clone(),
            // Beside our own cgroup: ours has a process, us, and so can have no children
            // with controllers (cgroup-v2.rst, "No Internal Process Constraint"). As runc.
            Base::Own => match hierarchy.own_directory()? {
                own if own == hierarchy.mount => own,
                mut own => {
                    own.pop();
                    own
                }
            },
        };
        Ok(Self {
            mount: hierarchy.mount.clone(),
            path: base.join(path.below()),
            means,
            without: false,
        })
    }

    /// The directory, unless the container goes without.
    pub(super) fn path(&self) -> Option<&Path> {
        (!self.without).then_some(&self.path)
    }

    pub(super) fn exists(&self) -> bool {
        self.path().is_some_and(Path::exists)
    }

    pub(super) fn create(&mut self, resources: &Resources) -> Result<Claim> {
        let mut made = Vec::new();
        // Outlives the clearing up: until then nobody else comes to use what is removed.
        let mut claim = Claim::none();
        let Err(error) = self.make(resources, &mut made, &mut claim) else {
            return Ok(claim);
        };
        for dir in made.iter().rev() {
            // A parent that somebody has come to use in the meantime is theirs.
            let _ = rustix::fs::rmdir(dir);
        }
        if self.means.allow_going_without(&error) {
            log::debug!("doing without a cgroup: {error}");
            self.without = true;
            return Ok(Claim::none());
        }
        Err(error)
    }

    fn make(
        &self,
        resources: &Resources,
        made: &mut Vec<PathBuf>,
        claim: &mut Claim,
    ) -> Result<()> {
        let (ours, how) = Claim::make(&self.path, made)?;
        *claim = ours;
        if how == Made::Existing {
            occupants::check_unused(&self.path, is_frozen(&self.path)?)?;
        }
        controllers::hand_down(&self.mount, &self.path, resources)
    }

    /// Takes over a cgroup that systemd has made with `pid` in it, and hands it the
    /// controllers that systemd knows nothing of.
    pub(super) fn adopt(&self, pid: Pid, resources: &Resources) -> Result<()> {
        self.of_process(pid)
            .context(|| "looking where systemd has put the container's process")?;
        controllers::hand_down(&self.mount, &self.path, resources)
    }

    /// The cgroup that ours and this one are both in.
    pub(super) fn meeting_point(&self) -> Result<PathBuf> {
        let text = files::read_named(Path::new("/proc/self/cgroup"))?;
        let own = text.lines().find_map(|line| line.strip_prefix("0::"));
        let own = Path::new(own.unwrap_or("/")).components();
        let path = self.path.strip_prefix(&self.mount).unwrap_or(&self.path);
        let both = own.skip(1).zip(path.components());
        let shared = both.take_while(|(ours, its)| ours == its);
        let shared: PathBuf = shared.map(|(part, _)| part).collect();
        Ok(self.mount.join(shared))
    }

    /// Gives the container's root what it needs to have cgroups of its own: the directory
    /// and the files the kernel names (config-linux.md, "Cgroup ownership").
    pub(super) fn delegate(&self, uid: rustix::fs::Uid) -> Result<()> {
        const FALLBACK: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";
        let Some(dir) = self.path() else {
            return Ok(());
        };
        let names = files::read(Path::new("/sys/kernel/cgroup/delegate"));
        let names = names.unwrap_or_else(|_| FALLBACK.to_owned());
        let of_files = names.lines().map(|name| dir.join(name));
        for path in of_files.chain([dir.to_owned()]) {
            match rustix::fs::chown(&path, Some(uid), None) {
                // The list is of all controllers.
                Ok(()) | Err(Errno::NOENT) => {}
                // An ordinary user has nothing to give to others.
                Err(Errno::PERM) if self.means.is_rootless() => return Ok(()),
                Err(errno) => {
                    let doing = format!("giving {} to the container", path.display());
                    return Err(Error::system(doing, errno));
                }
            }
        }
        Ok(())
    }

    pub(super) fn set(
        &self,
        resources: &Resources,
        before: &Resources,
        journal: &mut Journal,
    ) -> Result<()> {
        self.check_usage(resources, before)?;
        for group in limits::v2::groups(resources, before, &self.path)? {
            let Some(first) = group.0.first() else {
                continue;
            };
            if self.without {
                return Err(self.means.no_cgroup(first));
            }
            limits::apply(&self.path, &group, journal)
                .map_err(|error| self.explain(first, error))?;
        }
        Ok(())
    }

    /// v1's kernel refuses a limit below the usage, v2's enforces it by killing.
    fn check_usage(&self, resources: &Resources, before: &Resources) -> Result<()> {
        let Some(memory) = &resources.memory else {
            return Ok(());
        };
        let before = before.memory.as_ref();
        let stays = before.and_then(|before| before.check_before_update);
        if memory.check_before_update.or(stays) != Some(true) {
            return Ok(());
        }
        let usage = files::read(&self.path.join("memory.current"));
        let usage: i64 = usage
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(0);
        let limits = [
            ("swap", "memory+swap", memory.swap),
            ("limit", "memory", memory.limit),
        ];
        for (field, name, limit) in limits {
            if let Some(limit) = limit.filter(|limit| *limit > 0 && *limit <= usage) {
                // runc's words.
                let message = format!(
                    "linux.resources.memory.{field}: rejecting {name} limit {limit} <= usage {usage}"
                );
                return Err(Error::new(Code::InvalidConfig, message));
            }
        }
        Ok(())
    }

    /// Says of a missing file whether its whole controller is missing.
    fn explain(&self, write: &Write, error: Error) -> Error {
        let missing = [Errno::NOENT, Errno::ACCESS, Errno::PERM];
        let missing = missing.iter().any(|e| error.errno() == Some(*e));
        let file = write.files[0].0.as_str();
        let name = file.split('.').next().unwrap_or(file);
        let Ok(controllers) = files::read(&self.path.join("cgroup.controllers")) else {
            return error;
        };
        if !missing || name == "cgroup" || controllers.split_whitespace().any(|c| c == name) {
            return error;
        }
        error.hint(format!(
            "controller {name:?} is not available in {}",
            self.path.display()
        ))
    }

    pub(super) fn apply_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        let policy = Policy::new(rules)?;
        let Some(dir) = self.path() else {
            return Ok(());
        };
        match ebpf::attach(dir, &policy) {
            Err(error) if self.means.is_rootless() => {
                // Making and opening devices is not for the unprivileged anyway.
                log::debug!("doing without device rules: {error}");
                Ok(())
            }
            result => result.map_err(|error| error.context("linux.resources.devices")),
        }
    }

    pub(super) fn clone_target(&self) -> Result<Option<OwnedFd>> {
        self.path().map(files::open_directory).transpose()
    }

    pub(super) fn processes(&self) -> Result<Vec<i32>> {
        self.path().map_or(Ok(Vec::new()), tree::processes)
    }

    pub(super) fn signal_all(&self, number: i32) -> Result<()> {
        let Some(dir) = self.path() else {
            return Ok(());
        };
        // Not before Linux 5.14, nor where the whole cgroup is gone.
        if number == libc::SIGKILL && files::write_if_there(&dir.join("cgroup.kill"), "1")? {
            return Ok(());
        }
        let paused = is_frozen(dir)?;
        if !paused
            && let Err(error) = self.freeze()
            && dir.exists()
        {
            log::warn!("signalling without freezing first: {error}");
        }
        let result = self
            .processes()
            .and_then(|pids| occupants::signal_each(&pids, number));
        match paused {
            true => result,
            false => result.and(self.thaw()),
        }
    }

    pub(super) fn freeze(&self) -> Result<()> {
        let dir = self.required()?;
        let file = dir.join("cgroup.freeze");
        files::write_named(&file, "1")?;
        let deadline = Instant::now() + FREEZE_DEADLINE;
        let result = events::wait(dir, "frozen", "1", deadline);
        if result.is_err() {
            // A half-frozen container is worse than a running one.
            let _ = files::write(&file, "0");
        }
        result.map_err(|error| error.context(format!("unable to freeze {}", dir.display())))
    }

    pub(super) fn thaw(&self) -> Result<()> {
        files::write_if_there(&self.required()?.join("cgroup.freeze"), "0").map(drop)
    }

    fn required(&self) -> Result<&Path> {
        self.path().ok_or_else(|| {
            let message = "the container has no cgroup to pause it by";
            Error::new(Code::Unsupported, message)
        })
    }

    pub(super) fn is_frozen(&self) -> Result<bool> {
        self.path().map_or(Ok(false), is_frozen)
    }

    pub(super) fn remove(&self, deadline: Instant) -> Result<()> {
        let Some(dir) = self.path() else {
            return Ok(());
        };
        match rustix::fs::rmdir(dir) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(_) => {}
        }
        // The kernel tells when the last process is gone, sub-cgroups included; whoever
        // stays until the deadline is named by the removal that then fails.
        if let Err(error) = events::wait(dir, "populated", "0", deadline) {
            log::debug!("{error}");
        }
        files::remove(dir, deadline)
    }

    pub(super) fn remove_unused(&self) -> Result<()> {
        let Some(dir) = self.path() else {
            return Ok(());
        };
        match Claim::of(dir)? {
            Some(_claim) => files::remove_if_empty(dir),
            None => Ok(()),
        }
    }

    pub(super) fn sub(&self, args: &[String]) -> Result<Self> {
        let mut sub = self.clone();
        for (controller, path) in sub::paths(args)? {
            if let Some(controller) = controller {
                let message = format!("--cgroup: unknown controller {controller}");
                return Err(Error::new(Code::Usage, message)
                    .hint("cgroup v2 has one hierarchy: give the path alone"));
            }
            sub.path.extend(&path);
        }
        Ok(sub)
    }

    /// Where `pid` is, if below. Without a cgroup of the container's there is nothing to be below.
    pub(super) fn of_process(&self, pid: Pid) -> Result<Self> {
        if self.without {
            return Ok(self.clone());
        }
        let file = format!("/proc/{}/cgroup", pid.as_raw_nonzero());
        let text = files::read_named(Path::new(&file))?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::"));
        // Seen from our cgroup namespace, as the mount is; ours is above, or we would not
        // know the container's directory.
        let path = path.map(|path| self.mount.join(path.trim_start_matches('/')));
        match path.filter(|path| path.starts_with(&self.path)) {
            Some(path) => Ok(Self {
                path,
                ..self.clone()
            }),
            None => Err(Error::new(
                Code::WrongState,
                format!("{file}: not below {}", self.path.display()),
            )),
        }
    }

    pub(super) fn watch_oom(&self) -> Result<Option<OomWatch>> {
        let Some(dir) = self.path() else {
            return Ok(None);
        };
        let below = dir.strip_prefix(&self.mount).unwrap_or(dir);
        let path = match hierarchies::is_whole(&self.mount)? {
            true => Path::new("/").join(below),
            false => below.to_owned(),
        };
        OomWatch::v2(dir, path)
    }

    pub(super) fn memory_events(&self) -> Result<Option<MemoryEvents>> {
        self.path().map_or(Ok(None), memory::v2)
    }
}

fn is_frozen(dir: &Path) -> Result<bool> {
    let file = dir.join("cgroup.freeze");
    match files::read(&file) {
        Ok(text) => Ok(text.trim() == "1"),
        Err(errno) if files::is_gone(errno) => Ok(false),
        Err(errno) => Err(Error::system(format!("reading {}", file.display()), errno)),
    }
}
