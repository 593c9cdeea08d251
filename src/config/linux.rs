//! `linux` (config-linux.md), but for resources and seccomp, which have files of their own.

use super::de;
use super::memory_policy::MemoryPolicy;
use super::resources::Resources;
use super::seccomp::Seccomp;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What only Linux has.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Linux {
    /// The user namespace's user ids.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub uid_mappings: Vec<IdMapping>,
    /// The user namespace's group ids.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub gid_mappings: Vec<IdMapping>,
    /// Kernel parameters and their values.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub sysctl: BTreeMap<String, String>,
    /// Limits and device rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// A path below the hierarchies' roots; for systemd `slice:prefix:name`.
    #[serde(
        deserialize_with = "de::non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub cgroups_path: Option<String>,
    /// Namespaces to make or join; those not named are the runtime's.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub namespaces: Vec<Namespace>,
    /// Devices beside the default ones.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub devices: Vec<Device>,
    /// Network devices to move into the container, by their names outside.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub net_devices: BTreeMap<String, NetDevice>,
    /// The system call filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seccomp: Option<Seccomp>,
    /// Propagation of the root mount.
    #[serde(
        deserialize_with = "propagation",
        skip_serializing_if = "Option::is_none"
    )]
    pub rootfs_propagation: Option<Propagation>,
    /// Paths that read as empty.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub masked_paths: Vec<PathBuf>,
    /// Paths that cannot be written.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub readonly_paths: Vec<PathBuf>,
    /// The SELinux context of the mounts.
    #[serde(
        deserialize_with = "de::non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub mount_label: Option<String>,
    /// Cache and memory bandwidth, through resctrl.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdt>,
    /// set_mempolicy(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<MemoryPolicy>,
    /// personality(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personality: Option<Personality>,
    /// Offsets of the time namespace's clocks.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub time_offsets: BTreeMap<Clock, TimeOffset>,
}

impl Linux {
    /// The entry for a kind of namespace, where there is one.
    pub fn namespace(&self, kind: NamespaceKind) -> Option<&Namespace> {
        self.namespaces.iter().find(|entry| entry.kind == kind)
    }
}

/// A namespace to make, or with a path to join.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Namespace {
    /// Which.
    #[serde(rename = "type")]
    pub kind: NamespaceKind,
    /// Absolute, in the runtime's mount namespace.
    #[serde(default, deserialize_with = "de::non_empty")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// The kinds of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum NamespaceKind {
    Pid,
    Network,
    Mount,
    Ipc,
    Uts,
    User,
    Cgroup,
    Time,
}

impl NamespaceKind {
    /// As config.json calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Network => "network",
            Self::Mount => "mount",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::User => "user",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }
}

/// A range of ids and where it lies outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct IdMapping {
    /// First id inside.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// First id outside.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many.
    pub size: u32,
}

/// The clocks a time namespace can shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Clock {
    Monotonic,
    Boottime,
}

/// How far a clock is shifted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct TimeOffset {
    /// Seconds, either way.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub secs: i64,
    /// Nanoseconds more, below a second.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub nanosecs: u32,
}

/// A device node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Absolute, anywhere in the container.
    pub path: PathBuf,
    /// The type of node.
    #[serde(rename = "type")]
    pub kind: DeviceKind,
    /// Major number; only a fifo does without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub major: Option<u32>,
    /// Minor number; only a fifo does without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor: Option<u32>,
    /// Permissions; bits of the file type may be among them and mean nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_mode: Option<u32>,
    /// Owner, as the container has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group, as the container has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
}

/// mknod(1)'s types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub enum DeviceKind {
    #[serde(rename = "c")]
    Char,
    /// The same as `Char` on Linux.
    #[serde(rename = "u")]
    Unbuffered,
    #[serde(rename = "b")]
    Block,
    #[serde(rename = "p")]
    Fifo,
}

/// A network device that moves into the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct NetDevice {
    /// Its name inside, which may have one `%d`; absent keeps the name.
    #[serde(
        deserialize_with = "de::non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub name: Option<String>,
}

/// Mount propagation. The spec has four for the root; runc takes all eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Propagation {
    Shared,
    Slave,
    Private,
    Unbindable,
    Rshared,
    Rslave,
    Rprivate,
    Runbindable,
}

fn propagation<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Propagation>, D::Error> {
    de::optional(deserializer, "a mount propagation", |text| {
        Ok(match text {
            "shared" => Propagation::Shared,
            "slave" => Propagation::Slave,
            "private" => Propagation::Private,
            "unbindable" => Propagation::Unbindable,
            "rshared" => Propagation::Rshared,
            "rslave" => Propagation::Rslave,
            "rprivate" => Propagation::Rprivate,
            "runbindable" => Propagation::Runbindable,
            _ => return Err(format!("rootfsPropagation={text} is not supported")),
        })
    })
}

/// Cache and memory bandwidth allocation and monitoring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IntelRdt {
    /// The class of service; `/` is the default one, absent the container's own.
    #[serde(rename = "closID")]
    #[serde(
        deserialize_with = "de::non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub clos_id: Option<String>,
    /// Lines of the schemata file, written last.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub schemata: Vec<String>,
    /// The L3 cache's line, written first.
    #[serde(
        deserialize_with = "de::non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub l3_cache_schema: Option<String>,
    /// Memory bandwidth's line, written second.
    #[serde(
        deserialize_with = "de::non_empty",
        skip_serializing_if = "Option::is_none"
    )]
    pub mem_bw_schema: Option<String>,
    /// Whether the container gets a monitoring group.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub enable_monitoring: bool,
    /// Of spec 1.1 and 1.2, never implemented by anyone; `enable_monitoring` came instead.
    #[serde(rename = "enableCMT", skip_serializing_if = "Option::is_none")]
    pub enable_cmt: Option<bool>,
    /// As `enable_cmt`.
    #[serde(rename = "enableMBM", skip_serializing_if = "Option::is_none")]
    pub enable_mbm: Option<bool>,
}

/// The execution domain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Personality {
    /// The domain.
    pub domain: PersonalityDomain,
    /// The spec defines none yet.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub flags: Vec<String>,
}

/// personality(2)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum PersonalityDomain {
    Linux,
    Linux32,
}
