//! `features`: what this runtime can do (runtime-spec, features.md and features-linux.md).

use crate::config::linux::NamespaceKind;
use crate::config::memory_policy::{MemoryPolicyFlag, MemoryPolicyMode};
use crate::config::seccomp::{Action, Arch, Flag, Op};
use crate::config::{Hooks as ConfigHooks, words};
use crate::error::Result;
use crate::output;
use crate::plan::options;
use crate::seccomp;
use crate::version;
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: Vec<&'static str>,
    mount_options: Vec<String>,
    linux: Linux,
    annotations: BTreeMap<&'static str, &'static str>,
    potentially_unsafe_config_annotations: [&'static str; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: Vec<&'static str>,
    capabilities: Vec<String>,
    cgroup: Cgroup,
    seccomp: Seccomp,
    apparmor: Enabled,
    selinux: Enabled,
    intel_rdt: IntelRdt,
    memory_policy: MemoryPolicy,
    mount_extensions: MountExtensions,
    net_devices: Enabled,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cgroup {
    v1: bool,
    v2: bool,
    systemd: bool,
    systemd_user: bool,
    rdma: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seccomp {
    enabled: bool,
    actions: Vec<&'static str>,
    operators: Vec<&'static str>,
    archs: Vec<&'static str>,
    known_flags: Vec<&'static str>,
    supported_flags: Vec<&'static str>,
}

#[derive(Serialize)]
struct Enabled {
    enabled: bool,
}

#[derive(Serialize)]
struct IntelRdt {
    enabled: bool,
    schemata: bool,
    monitoring: bool,
}

#[derive(Serialize)]
struct MemoryPolicy {
    modes: Vec<&'static str>,
    flags: Vec<&'static str>,
}

#[derive(Serialize)]
struct MountExtensions {
    idmap: Enabled,
}

/// Runs the command.
///
/// # Errors
/// Those of writing to stdout.
pub fn run() -> Result<()> {
    output::json_pretty(&Features {
        oci_version_min: "1.0.0",
        oci_version_max: version::SPEC,
        hooks: ConfigHooks::default()
            .by_name()
            .map(|(name, _)| name)
            .into(),
        mount_options: options::known_options(),
        linux: linux(),
        annotations: BTreeMap::from([(
            "org.opencontainers.tare.version",
            env!("CARGO_PKG_VERSION"),
        )]),
        potentially_unsafe_config_annotations: ["org.systemd.property.", "run.oci."],
    })?;
    output::text("\n")
}

/// Every list is what the reader of config.json knows, and not a second one.
fn linux() -> Linux {
    Linux {
        namespaces: sorted::<NamespaceKind>(),
        // Also those that this kernel does not have: they are recognised.
        capabilities: CapabilitySet::all()
            .iter_names()
            .map(|(name, _)| format!("CAP_{name}"))
            .collect(),
        cgroup: Cgroup {
            v1: true,
            v2: true,
            systemd: true,
            systemd_user: true,
            rdma: true,
        },
        seccomp: Seccomp {
            enabled: true,
            actions: sorted::<Action>(),
            operators: sorted::<Op>(),
            archs: sorted::<Arch>(),
            known_flags: sorted::<Flag>(),
            supported_flags: seccomp::supported_flags(),
        },
        apparmor: Enabled { enabled: true },
        selinux: Enabled { enabled: true },
        intel_rdt: IntelRdt {
            enabled: true,
            schemata: true,
            monitoring: true,
        },
        memory_policy: MemoryPolicy {
            modes: MemoryPolicyMode::NAMES.map(|(name, _)| name).into(),
            flags: MemoryPolicyFlag::NAMES.map(|(name, _)| name).into(),
        },
        mount_extensions: MountExtensions {
            idmap: Enabled { enabled: true },
        },
        net_devices: Enabled { enabled: true },
    }
}

/// The words of an enumeration of config.json.
fn sorted<'de, T: Deserialize<'de>>() -> Vec<&'static str> {
    let mut words = words::<T>().to_vec();
    words.sort_unstable();
    words
}
