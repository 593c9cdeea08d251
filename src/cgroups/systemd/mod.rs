//! The systemd driver: a container's cgroup is that of a unit, a scope or a slice, which
//! systemd makes, limits and removes, and hands over to us (Delegate=yes).
//!
//! A scope begins with a process in it. So the container's process is made first, beside us,
//! and while it loads the init stage systemd is asked for the unit with it inside; it is sent
//! its plan when it is there. What systemd does not do (its properties are coarser than the
//! files, and do not cover all controllers or all of v1's hierarchies) is done by files, by
//! the same code as without systemd.

mod annotations;
mod connection;
mod devices;
mod message;
mod properties;
mod unit;
mod value;

use super::devices::Policy;
use super::hierarchies::Layout;
use super::limits::{Group, Journal};
use super::means::Means;
use super::{CgroupPath, Manager, V1, V2, files, limits, occupants, tree};
use crate::config::resources::{DeviceRule, Resources};
use crate::error::{Code, Context, Error, Result};
pub(super) use connection::NO_USER_MANAGER;
use connection::{Answer, Connection, Instance};
use properties::{Property, property};
use rustix::fs::{Access, Mode, OFlags};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unit::Unit;
use value::{Value, write_array, write_text};

/// How long systemd may take to start a unit or to change one. Busy nodes were seen to need
/// 10 to 25 seconds (runc#4853).
const DEADLINE: Duration = Duration::from_secs(30);

/// How long the process of a `create` that died may take to notice that, and to end.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(1);

const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

/// A container's unit and its cgroups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Systemd {
    instance: Instance,
    unit: Unit,
    /// The cgroups by their files: V1 or V2.
    pub(super) files: Box<Manager>,
    /// What the container's annotations ask for, while it is created.
    #[serde(skip)]
    annotated: Vec<Property>,
}

/// Whether systemd manages this host (sd_booted(3)).
pub(super) fn is_running() -> bool {
    let made = rustix::fs::lstat("/run/systemd/system");
    made.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
}

impl Systemd {
    /// The manager of a container's unit; nothing is made yet.
    pub(super) fn new(
        layout: &Layout,
        cgroups_path: Option<&str>,
        annotations: &BTreeMap<String, String>,
        id: &str,
        rootless: bool,
    ) -> Result<Self> {
        let (instance, means) = match rootless {
            false => (Instance::System, Means::Root),
            true => (Instance::User, Means::Rootless),
        };
        let unit = Unit::new(cgroups_path, id, instance)?;
        let annotated = annotations::properties(annotations)?;
        let root = root(instance)?;
        let path = format!("{root}{}", unit.path()?);
        let path = CgroupPath::new(Some(&path), id)?;
        let files = match layout {
            Layout::V1(_) if rootless => {
                let message = "--systemd-cgroup without root needs cgroup v2";
                return Err(Error::new(Code::Unsupported, message)
                    .hint("a user's systemd has no cgroup v1 controller to delegate"));
            }
            Layout::V1(hierarchies) => {
                Manager::V1(V1::new(hierarchies, &path, means)?.of_systemd(&root))
            }
            Layout::V2(hierarchy) => Manager::V2(V2::new(hierarchy, &path, means)?),
        };
        Ok(Self {
            instance,
            unit,
            files: Box::new(files),
            annotated,
        })
    }

    /// The same unit, with other cgroups: some below its own.
    pub(super) fn with(&self, files: Manager) -> Self {
        Self {
            files: Box::new(files),
            ..self.clone()
        }
    }

    /// The unit's own cgroup, where systemd keeps its processes.
    fn directory(&self) -> Option<PathBuf> {
        match &*self.files {
            Manager::V1(v1) => v1.find("name=systemd").map(Path::to_owned),
            other => other.paths().first().map(|path| path.to_path_buf()),
        }
    }

    /// Refuses a unit that somebody else uses, before there is a process to put into it.
    pub(super) fn check_unused(&self) -> Result<()> {
        match self.directory() {
            Some(dir) => occupants::check_unused(&dir, self.files.is_frozen()?),
            None => Ok(()),
        }
    }

    /// Starts the unit with `pid` in it, under all limits.
    pub(super) fn start(&self, pid: Pid, resources: &Resources) -> Result<()> {
        let purpose = format!("starting unit {}", self.unit.name);
        let mut systemd = Connection::open(self.instance, purpose, DEADLINE)?;
        let mut properties = self.of_unit(pid);
        properties.extend(self.of_limits(&mut systemd, resources, &Resources::default())?);
        properties.extend(self.of_devices(&resources.devices)?);
        properties.extend(self.annotated.iter().cloned());
        let mut body = Vec::new();
        write_text(&mut body, &self.unit.name);
        write_text(&mut body, "replace");
        write_properties(&mut body, &properties);
        // No auxiliary units.
        write_array(&mut body, 8, |_| {});
        let call = |systemd: &mut Connection| {
            systemd.call("StartTransientUnit", "ssa(sv)a(sa(sv))", body.clone())
        };
        let answer = match call(&mut systemd)? {
            // Mostly one that failed and was kept. One that is in use is not reset.
            Answer::Refused { name, .. } if name == UNIT_EXISTS => {
                let mut body = Vec::new();
                write_text(&mut body, &self.unit.name);
                systemd.call("ResetFailedUnit", "s", body)?;
                call(&mut systemd)?
            }
            answer => answer,
        };
        let job = match answer {
            Answer::Done(mut body) => body.text()?,
            Answer::Refused { name, why } => {
                let error = systemd.failed(&why);
                return Err(match name == UNIT_EXISTS {
                    true => error
                        .with_code(Code::Exists)
                        .hint("another container has it"),
                    false => error,
                });
            }
        };
        match systemd.job(&job)?.as_str() {
            "done" => Ok(()),
            result => Err(systemd
                .failed(&format!("the job ended as {result:?}"))
                .hint(format!("see: systemctl status {}", self.unit.name))),
        }
    }

    /// Whether a process of ours may not go there by itself: who moves one must be allowed to
    /// write where both cgroups meet (cgroup-v2.rst, "Delegation Containment"), and a user's
    /// session is not below the user's systemd, as containers are.
    pub(super) fn must_be_asked(&self) -> Result<bool> {
        let (Instance::User, Manager::V2(v2)) = (self.instance, &*self.files) else {
            return Ok(false);
        };
        let procs = v2.meeting_point()?.join("cgroup.procs");
        Ok(rustix::fs::access(procs, Access::WRITE_OK).is_err())
    }

    /// Has systemd move a further process into the cgroup.
    pub(super) fn attach(&self, pid: Pid) -> Result<()> {
        let purpose = format!("moving a process into unit {}", self.unit.name);
        let mut systemd = Connection::open(self.instance, purpose, DEADLINE)?;
        // Below the unit's own, where the container has some.
        let path = self.directory().unwrap_or_default();
        let below = path
            .iter()
            .skip_while(|part| *part != self.unit.name.as_str())
            .skip(1);
        let below: String = below.map(|part| format!("/{}", part.display())).collect();
        let mut body = Vec::new();
        write_text(&mut body, &self.unit.name);
        write_text(&mut body, &below);
        let pids = vec![Value::U32(pid.as_raw_nonzero().get().cast_unsigned())];
        let pids = Value::Array {
            of: "u".to_owned(),
            elements: pids,
        };
        pids.write(&mut body);
        match systemd.call("AttachProcessesToUnit", "ssau", body)? {
            Answer::Done(_) => Ok(()),
            Answer::Refused { why, .. } => Err(systemd.failed(&why)),
        }
    }

    /// What systemd leaves: a slice is started without a process. Those of v1 it enters by
    /// itself.
    pub(super) fn move_in(&self, pid: Pid) -> Result<()> {
        if !self.unit.is_slice() {
            return Ok(());
        }
        let Some(dir) = self.files.clone_target()? else {
            return Ok(());
        };
        let moving = || {
            format!(
                "moving process {} into {}",
                pid.as_raw_nonzero(),
                self.unit.name
            )
        };
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&dir, "cgroup.procs", flags, Mode::empty());
        let pid = pid.as_raw_nonzero().to_string();
        file.and_then(|file| rustix::io::write(file, pid.as_bytes()))
            .map(drop)
            .context(moving)
    }

    /// Changes limits, where `before` was asked for until now.
    pub(super) fn set(&self, now: &Resources, before: &Resources) -> Result<()> {
        self.change(|systemd| self.of_limits(systemd, now, before))
    }

    /// Changes them to what leads back from a change to the files.
    pub(super) fn take_back(&self, journal: &Journal) -> Result<()> {
        let dir = self.cpu_directory().unwrap_or(Path::new(""));
        self.change(|systemd| known(systemd, properties::of_files(journal.files(), dir)))
    }

    /// Where the files are of which one alone does not tell the whole limit.
    fn cpu_directory(&self) -> Option<&Path> {
        match &*self.files {
            Manager::V1(v1) => v1.find("cpu"),
            other => other.paths().first().copied(),
        }
    }

    /// Changes device rules. On v1 systemd denies all and then allows some: nobody shall
    /// notice (runc#2391).
    pub(super) fn set_devices(&self, rules: &[DeviceRule]) -> Result<()> {
        let thawed = matches!(*self.files, Manager::V1(_)) && !self.files.is_frozen()?;
        if thawed {
            self.files.freeze()?;
        }
        let result = self.change(|_| self.of_devices(rules));
        match thawed {
            true => result.and(self.files.thaw()),
            false => result,
        }
    }

    fn change(
        &self,
        properties: impl FnOnce(&mut Connection) -> Result<Vec<Property>>,
    ) -> Result<()> {
        let purpose = format!("changing unit {}", self.unit.name);
        let mut systemd = Connection::open(self.instance, purpose, DEADLINE)?;
        let properties = properties(&mut systemd)?;
        if properties.is_empty() {
            return Ok(());
        }
        let mut body = Vec::new();
        write_text(&mut body, &self.unit.name);
        // Until the unit ends, and not in a file.
        Value::Bool(true).write(&mut body);
        write_properties(&mut body, &properties);
        match systemd.call("SetUnitProperties", "sba(sv)", body)? {
            // It answers before it writes the files, which it does before the next answer.
            Answer::Done(_) => systemd.ping(),
            Answer::Refused { why, .. } => Err(systemd.failed(&why)),
        }
    }

    /// Stops the unit and removes what is left of its cgroups. systemd forgets a scope by
    /// itself when its last process ends, and then nobody has to be asked.
    pub(super) fn remove(&self, deadline: Instant) -> Result<()> {
        let is_there = self.directory().is_none_or(|dir| dir.exists());
        let result = match is_there {
            true => self.stop(deadline),
            false => Ok(()),
        };
        // As far as it goes, also after a stop that failed: that error is the cause.
        result.and(self.files.remove_by(deadline))
    }

    /// Stops the unit of a `create` that died, unless there is a process in it that stays: it may
    /// be another's by now. systemd is asked even where there is no cgroup, as it may only now
    /// come to start it; one that fails to start leaves its cgroups on v1.
    pub(super) fn remove_unused(&self, deadline: Instant) -> Result<()> {
        let patience = Instant::now() + ORPHAN_PATIENCE;
        while self.is_used()? {
            if Instant::now() > patience {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.stop(deadline).and(self.files.remove_unused())
    }

    fn is_used(&self) -> Result<bool> {
        match self.directory() {
            Some(dir) => Ok(!tree::processes(&dir)?.is_empty()),
            None => Ok(false),
        }
    }

    fn stop(&self, deadline: Instant) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let purpose = format!("stopping unit {}", self.unit.name);
        let mut systemd = Connection::open(self.instance, purpose, left)?;
        let mut body = Vec::new();
        write_text(&mut body, &self.unit.name);
        write_text(&mut body, "replace");
        let mut job = match systemd.call("StopUnit", "ss", body)? {
            Answer::Done(body) => body,
            Answer::Refused { name, .. } if name == NO_SUCH_UNIT => return Ok(()),
            Answer::Refused { why, .. } => return Err(systemd.failed(&why)),
        };
        systemd.job(&job.text()?).map(drop)
    }

    /// What makes the unit what it is.
    fn of_unit(&self, pid: Pid) -> Vec<Property> {
        let text = |name, text: &str| property(name, Value::text(text));
        let yes = |name| property(name, Value::Bool(true));
        let mut properties = vec![
            text("Description", &format!("tare container {}", self.unit.name)),
            // Forgotten at once when it ends, however it ends.
            text("CollectMode", "inactive-or-failed"),
            // It is started in the middle of an engine's work, not with the system.
            property("DefaultDependencies", Value::Bool(false)),
            yes("CPUAccounting"),
            yes("MemoryAccounting"),
            yes("TasksAccounting"),
            match self.files.is_v2() {
                true => yes("IOAccounting"),
                false => yes("BlockIOAccounting"),
            },
        ];
        if self.unit.is_slice() {
            let wants = Value::texts([self.unit.slice.as_str()]);
            properties.push(property("Wants", wants));
        } else {
            let pid = pid.as_raw_nonzero().get().cast_unsigned();
            properties.push(text("Slice", &self.unit.slice));
            properties.push(yes("Delegate"));
            let pids = Value::Array {
                of: "u".to_owned(),
                elements: vec![Value::U32(pid)],
            };
            properties.push(property("PIDs", pids));
        }
        properties
    }

    fn of_limits(
        &self,
        systemd: &mut Connection,
        resources: &Resources,
        before: &Resources,
    ) -> Result<Vec<Property>> {
        let dir = self.cpu_directory().unwrap_or(Path::new(""));
        let groups = match &*self.files {
            Manager::V1(v1) => v1.limits(resources, before)?,
            _ => limits::v2::groups(resources, before, dir)?,
        };
        let writes = groups.iter().flat_map(|Group(writes)| writes);
        let files = writes.flat_map(|write| &write.files);
        let files = files.map(|(file, value)| (file.as_str(), value.as_str()));
        known(systemd, properties::of_files(files, dir))
    }

    fn of_devices(&self, rules: &[DeviceRule]) -> Result<Vec<Property>> {
        // A user's systemd may not filter devices, nor need it: the user makes none.
        match self.instance {
            Instance::User => Ok(Vec::new()),
            Instance::System => {
                let policy = Policy::new(rules)?;
                Ok(devices::properties(&policy, self.files.is_v2()))
            }
        }
    }
}

/// The cgroup at the root of those that this systemd manages, in /proc's terms: where it is
/// not the host's, but a container's or a user's, it has but a part of the tree.
fn root(instance: Instance) -> Result<String> {
    let path = match instance {
        Instance::User => {
            let purpose = "asking for the user's cgroup".to_owned();
            Connection::open(instance, purpose, DEADLINE)?.property("ControlGroup")?
        }
        Instance::System => {
            let text =
                files::read(Path::new("/proc/1/cgroup")).context(|| "reading /proc/1/cgroup")?;
            let own = |line: &str| {
                Some(
                    line.split_once("/init.scope")?
                        .0
                        .rsplit_once(':')?
                        .1
                        .to_owned(),
                )
            };
            text.lines().find_map(own).unwrap_or_default()
        }
    };
    Ok(path.trim_end_matches('/').to_owned())
}

/// The properties without what this systemd does not take yet.
fn known(systemd: &mut Connection, mut properties: Vec<Property>) -> Result<Vec<Property>> {
    let idle = |(name, value): &Property| name == "CPUWeight" && *value == Value::U64(0);
    // Older ones find it out of range, and refuse all others with it.
    if properties.iter().any(idle) && version(systemd)? < 252 {
        properties.retain(|property| !idle(property));
    }
    Ok(properties)
}

/// "252.39-1~deb12u1" is 252.
fn version(systemd: &mut Connection) -> Result<u32> {
    let text = systemd.property("Version")?;
    let number = text.trim_start_matches('v');
    let end = number.find(|c: char| !c.is_ascii_digit());
    Ok(number[..end.unwrap_or(number.len())].parse().unwrap_or(0))
}

fn write_properties(out: &mut Vec<u8>, properties: &[Property]) {
    write_array(out, 8, |out| {
        for (name, value) in properties {
            value::align(out, 8);
            write_text(out, name);
            value.write_variant(out);
        }
    });
}
