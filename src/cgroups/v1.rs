//! cgroup v1, and hybrid: a directory in each hierarchy that is mounted.
//!
//! On a hybrid host the v2 hierarchy beside the v1 ones has no controllers, but it kills
//! atomically (`cgroup.kill`, Linux 5.14) and systemd looks there, so that the container
//! gets its cgroup in it too. A process enters that one by clone3(CLONE_INTO_CGROUP),
//! since `cgroup.procs`, the only file to move by, takes the lock that `tasks` spares:
//! measured on Linux 6.18, 2.4 ms back to back and 9.4 ms after 0.4 s of rest, against
//! 0.06 and 0.13 ms for cloning into it.

use super::AttachFiles;
use super::devices::Policy;
use super::files::{self, Made};
use super::hierarchies::Hierarchy;
use super::limits::{self, Group, Journal, Write};
use super::means::Means;
use super::path::CgroupPath;
use super::{
    Claim, ContainerMount, MemoryEvents, controllers, cpuset, freezer, memory, occupants, sub, tree,
};
use crate::config::resources::{DeviceRule, Resources};
use crate::error::{Code, Context, Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A container's cgroups in all hierarchies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct V1 {
    cgroups: Vec<Cgroup>,
    means: Means,
}

/// The one in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cgroup {
    /// As in /proc/self/cgroup; none for v2's hierarchy.
    controllers: Vec<String>,
    mount: PathBuf,
    path: PathBuf,
}

impl Cgroup {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|one| one == controller)
    }

    fn is_unified(&self) -> bool {
        self.controllers.is_empty()
    }
}

impl V1 {
    pub(super) fn new(hierarchies: &[Hierarchy], path: &CgroupPath, means: Means) -> Result<Self> {
        let mut cgroups = Vec::new();
        for hierarchy in hierarchies {
            cgroups.push(Cgroup {
                controllers: hierarchy.controllers.clone(),
                mount: hierarchy.mount.clone(),
                path: hierarchy.resolve(path)?,
            });
        }
        Ok(Self { cgroups, means })
    }

    pub(super) fn find(&self, controller: &str) -> Option<&Path> {
        let found = self.cgroups.iter().find(|cgroup| cgroup.has(controller));
        found.map(|cgroup| cgroup.path.as_path())
    }

    pub(super) fn unified(&self) -> Option<&Path> {
        let found = self.cgroups.iter().find(|cgroup| cgroup.is_unified());
        found.map(|cgroup| cgroup.path.as_path())
    }

    /// The one asked for what all have in common.
    fn main(&self) -> Option<&Path> {
        let any = || self.cgroups.first().map(|cgroup| cgroup.path.as_path());
        self.find("devices").or_else(any)
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.cgroups.iter().map(|cgroup| cgroup.path.as_path())
    }

    pub(super) fn exists(&self) -> bool {
        self.paths().any(Path::exists)
    }

    pub(super) fn create(&mut self, resources: &Resources) -> Result<Claim> {
        let mut made = Vec::new();
        // Outlives the clearing up: until then nobody else comes to use what is removed.
        let mut claim = Claim::none();
        let result = self.create_each(resources, &mut made, &mut claim);
        if result.is_err() {
            for dir in made.iter().rev() {
                // A parent that somebody has come to use in the meantime is theirs.
                let _ = rustix::fs::rmdir(dir);
            }
        }
        result.map(|()| claim)
    }

    fn create_each(
        &mut self,
        resources: &Resources,
        made: &mut Vec<PathBuf>,
        claim: &mut Claim,
    ) -> Result<()> {
        let mut denied = Vec::new();
        // What is claimed stands for all, and so comes first.
        let (first, others): (Vec<_>, Vec<_>) =
            (self.cgroups.iter()).partition(|cgroup| self.claimed() == Some(cgroup.path.as_path()));
        for cgroup in first.into_iter().chain(others) {
            match create(cgroup, resources, made, claim) {
                Err(error) if self.means.allow_going_without(&error) => {
                    log::debug!("doing without a cgroup: {error}");
                    denied.push(cgroup.path.clone());
                }
                result => result?,
            }
        }
        self.cgroups.retain(|cgroup| !denied.contains(&cgroup.path));
        Ok(())
    }

    /// Without v2's hierarchy, where systemd, whose root in all of them is `root`, does not use
    /// it: it is entered by being cloned into, for which it will be too late.
    pub(super) fn of_systemd(mut self, root: &str) -> Self {
        let init = Path::new(root.trim_start_matches('/')).join("init.scope");
        self.cgroups
            .retain(|cgroup| !cgroup.is_unified() || cgroup.mount.join(&init).exists());
        self
    }

    /// Takes over the cgroups that systemd has made, with a process in them, and makes those
    /// in hierarchies that it leaves alone.
    pub(super) fn adopt(&self, resources: &Resources) -> Result<()> {
        for cgroup in self.cgroups.iter().filter(|cgroup| !cgroup.is_unified()) {
            files::make(&cgroup.path, &mut Vec::new())?;
            ready_cpuset(cgroup, resources)?;
        }
        Ok(())
    }

    /// The one that is claimed for all: it has a file to lock, see [`Claim`].
    fn claimed(&self) -> Option<&Path> {
        self.unified().or(self.main())
    }

    /// The limits as writes.
    pub(super) fn limits(&self, resources: &Resources, before: &Resources) -> Result<Vec<Group>> {
        let hugepages = match self.find("hugetlb") {
            Some(_) => "limit_in_bytes",
            None => "max",
        };
        limits::v1::groups(resources, before, hugepages)
    }

    /// Where a limit is set.
    pub(super) fn directory_for(&self, write: &Write) -> Result<&Path> {
        let unified = || Some(self.left_to_v2(write.controller)?.path.as_path());
        self.find(write.controller)
            .or_else(unified)
            .ok_or_else(|| self.means.no_cgroup(write))
    }

    /// The cgroup in v2's hierarchy, where that has a controller that v1 leaves to it: of those
    /// whose limits are the same in both.
    fn left_to_v2(&self, controller: &str) -> Option<&Cgroup> {
        if !["hugetlb", "rdma"].contains(&controller) || self.find(controller).is_some() {
            return None;
        }
        let unified = self.cgroups.iter().find(|cgroup| cgroup.is_unified());
        unified.filter(|cgroup| controllers::has(&cgroup.mount, controller))
    }

    /// Hands such controllers down to the container's cgroup, where a limit needs them.
    fn hand_down(&self, resources: &Resources) -> Result<()> {
        let wanted = Resources {
            hugepage_limits: resources.hugepage_limits.clone(),
            rdma: resources.rdma.clone(),
            ..Resources::default()
        };
        let needed = [
            ("hugetlb", !wanted.hugepage_limits.is_empty()),
            ("rdma", !wanted.rdma.is_empty()),
        ];
        let mut needed = needed.into_iter().filter(|(_, is_needed)| *is_needed);
        match needed.find_map(|(name, _)| self.left_to_v2(name)) {
            Some(cgroup) => controllers::hand_down(&cgroup.mount, &cgroup.path, &wanted),
            None => Ok(()),
        }
    }

    pub(super) fn set(
        &self,
        resources: &Resources,
        before: &Resources,
        journal: &mut Journal,
    ) -> Result<()> {
        self.hand_down(resources)?;
        for group in self.limits(resources, before)? {
            let Some(first) = group.0.first() else {
                continue;
            };
            let dir = self.directory_for(first)?;
            limits::apply(dir, &group, journal).map_err(|error| explain(dir, &group, error))?;
        }
        Ok(())
    }

    pub(super) fn apply_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        let policy = Policy::new(rules)?;
        let Some(dir) = self.find("devices") else {
            return match self.means.is_rootless() {
                true => Ok(()),
                false => Err(Error::new(
                    Code::Unsupported,
                    "linux.resources.devices: there is no devices controller to set it with",
                )),
            };
        };
        let list = files::read_named(&dir.join("devices.list"))?;
        let allow = files::Rules::new(dir.join("devices.allow"));
        let deny = files::Rules::new(dir.join("devices.deny"));
        for (allowed, rule) in policy.v1_writes(&list) {
            let file = if allowed { &allow } else { &deny };
            match file.write(&rule) {
                // Making and opening devices is not for the unprivileged anyway.
                Err(error) if self.means.is_rootless() => {
                    log::debug!("doing without device rules: {error}");
                    return Ok(());
                }
                result => result.context(|| "linux.resources.devices")?,
            }
        }
        Ok(())
    }

    pub(super) fn attach_files(&self) -> Result<AttachFiles> {
        let mut files = AttachFiles::default();
        let (last, first): (Vec<_>, Vec<_>) = (self.cgroups.iter())
            .filter(|cgroup| !cgroup.is_unified())
            .partition(|cgroup| cgroup.has("freezer"));
        for cgroup in first.into_iter().chain(last) {
            let path = cgroup.path.join("tasks");
            let file = rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                .context(|| format!("opening {}", path.display()))?;
            // Mounted together with the freezer, it cannot wait.
            if cgroup.has("memory") && !cgroup.has("freezer") {
                files.memory = Some(file);
            } else {
                files.first.push(file);
            }
        }
        Ok(files)
    }

    pub(super) fn clone_target(&self) -> Result<Option<OwnedFd>> {
        self.unified().map(files::open_directory).transpose()
    }

    pub(super) fn processes(&self) -> Result<Vec<i32>> {
        self.main().map_or(Ok(Vec::new()), tree::processes)
    }

    pub(super) fn signal_all(&self, number: i32) -> Result<()> {
        let freezer = self.find("freezer");
        if number == libc::SIGKILL && self.kill_unified()? && self.all_in_unified()? {
            return freezer.map_or(Ok(()), freezer::thaw_to_die);
        }
        let paused = match freezer {
            Some(dir) => freezer::is_frozen(dir)?,
            None => false,
        };
        if let Some(dir) = freezer.filter(|_| !paused)
            && let Err(error) = freezer::freeze(dir)
            && dir.exists()
        {
            // Signals reach what is there now; what it forks meanwhile may escape them.
            log::warn!("signalling without freezing first: {error}");
        }
        let result = self
            .processes()
            .and_then(|pids| occupants::signal_each(&pids, number));
        match freezer {
            Some(dir) if number == libc::SIGKILL => result.and(freezer::thaw_to_die(dir)),
            Some(dir) if !paused => result.and(freezer::thaw(dir)),
            _ => result,
        }
    }

    /// Kills by the hybrid host's v2 cgroup; false where there is none that can.
    fn kill_unified(&self) -> Result<bool> {
        let Some(dir) = self.unified() else {
            return Ok(false);
        };
        files::write_if_there(&dir.join("cgroup.kill"), "1")
    }

    /// Whether no process is in v1's cgroups alone, as one is that something else put there.
    fn all_in_unified(&self) -> Result<bool> {
        let v1 = self.processes()?;
        let unified = self.unified().map_or(Ok(Vec::new()), tree::processes)?;
        Ok(v1.iter().all(|pid| unified.contains(pid)))
    }

    fn freezer(&self) -> Result<&Path> {
        self.find("freezer").ok_or_else(|| {
            let message = "there is no freezer controller to pause the container with";
            Error::new(Code::Unsupported, message)
        })
    }

    pub(super) fn freeze(&self) -> Result<()> {
        freezer::freeze(self.freezer()?)
    }

    pub(super) fn thaw(&self) -> Result<()> {
        freezer::thaw(self.freezer()?)
    }

    pub(super) fn is_frozen(&self) -> Result<bool> {
        self.find("freezer").map_or(Ok(false), freezer::is_frozen)
    }

    pub(super) fn remove(&self, deadline: Instant) -> Result<()> {
        // Every hierarchy is tried, also after one that failed.
        let remove = |path: &Path| files::remove(path, deadline);
        self.paths().map(remove).fold(Ok(()), Result::and)
    }

    pub(super) fn remove_unused(&self) -> Result<()> {
        let _claim = match self.claimed().map(Claim::of).transpose()?.flatten() {
            Some(claim) => claim,
            None => return Ok(()),
        };
        self.paths().try_for_each(files::remove_if_empty)
    }

    pub(super) fn mounts(&self) -> Vec<ContainerMount> {
        let v1 = self.cgroups.iter().filter(|cgroup| !cgroup.is_unified());
        v1.map(|cgroup| {
            let name = cgroup.mount.file_name().unwrap_or_default();
            let links = match cgroup.controllers.as_slice() {
                [_] => Vec::new(),
                several => several.to_vec(),
            };
            ContainerMount {
                name: name.to_string_lossy().into_owned(),
                options: cgroup.controllers.join(","),
                source: cgroup.path.clone(),
                links,
            }
        })
        .collect()
    }

    pub(super) fn sub(&self, args: &[String]) -> Result<Self> {
        let mut sub = self.clone();
        for (controller, path) in sub::paths(args)? {
            let mut found = false;
            for cgroup in &mut sub.cgroups {
                let matches = controller
                    .is_none_or(|name| cgroup.has(name) || cgroup.has(&format!("name={name}")));
                if matches {
                    cgroup.path.extend(&path);
                    found = true;
                }
            }
            if !found {
                let name = controller.unwrap_or_default();
                let message = format!("--cgroup: unknown controller {name}");
                return Err(Error::new(Code::Usage, message));
            }
        }
        Ok(sub)
    }

    pub(super) fn memory_events(&self) -> Result<Option<MemoryEvents>> {
        self.find("memory").map_or(Ok(None), memory::v1)
    }
}

/// Makes one cgroup, or takes one that is there and unused, and claims the first.
fn create(
    cgroup: &Cgroup,
    resources: &Resources,
    made: &mut Vec<PathBuf>,
    claim: &mut Claim,
) -> Result<()> {
    let how = if claim.is_none() {
        let (first, how) = Claim::make(&cgroup.path, made)?;
        *claim = first;
        how
    } else {
        files::make(&cgroup.path, made)?
    };
    match how {
        Made::New => {}
        Made::Existing => occupants::check_unused(&cgroup.path, is_frozen(cgroup)?)?,
    }
    ready_cpuset(cgroup, resources)
}

fn ready_cpuset(cgroup: &Cgroup, resources: &Resources) -> Result<()> {
    match cgroup.has("cpuset") {
        true => cpuset::inherit(&cgroup.path, &cgroup.mount, resources),
        false => Ok(()),
    }
}

fn is_frozen(cgroup: &Cgroup) -> Result<bool> {
    match cgroup.has("freezer") {
        true => freezer::is_frozen(&cgroup.path),
        false => Ok(false),
    }
}

/// Adds to a refused limit what the kernel does not say with it.
fn explain(dir: &Path, group: &Group, error: Error) -> Error {
    let find = |file: &str| group.0.iter().find(|write| write.is_for(file));
    let errno = error.errno();
    // One of v2's hierarchy: v1's are there with their files.
    if let (Some(first), Some(Errno::NOENT)) = (group.0.first(), errno)
        && dir.join("cgroup.controllers").exists()
        && !controllers::has(dir, first.controller)
    {
        return error.hint(format!(
            "controller {:?} is in cgroup v2's hierarchy, and could not be enabled for {}: are \
             there processes in a cgroup above it?",
            first.controller,
            dir.display()
        ));
    }
    if let Some(limit) = find("memory.limit_in_bytes")
        && errno == Some(Errno::BUSY)
    {
        let read = |file: &str| files::read(&dir.join(file)).unwrap_or_default();
        let usage = read("memory.usage_in_bytes");
        let peak = read("memory.max_usage_in_bytes");
        // runc's words.
        return error.hint(format!(
            "unable to set memory limit to {} (current usage: {}, peak usage: {})",
            limit.files[0].1,
            usage.trim(),
            peak.trim()
        ));
    }
    let both = files::read(&dir.join("memory.memsw.limit_in_bytes"));
    if let Ok(both) = both
        && find("memory.limit_in_bytes").is_some()
        && errno == Some(Errno::INVAL)
    {
        let both = both.trim();
        return error.hint(format!("memory and swap together are limited to {both}"));
    }
    if find("memory.memsw.limit_in_bytes").is_some() && errno == Some(Errno::NOENT) {
        return error.hint("swap is not accounted for; boot with swapaccount=1");
    }
    error
}
