//! `features`: what this runtime can do (runtime-spec, features.md and features-linux.md).

use crate::error::Result;
use crate::output;
use crate::plan::{capabilities, mounts};
use crate::version;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Features {
    oci_version_min: &'static str,
    oci_version_max: &'static str,
    hooks: [&'static str; 6],
    mount_options: Vec<String>,
    linux: Linux,
    annotations: BTreeMap<&'static str, &'static str>,
    potentially_unsafe_config_annotations: [&'static str; 0],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Linux {
    namespaces: [&'static str; 8],
    capabilities: Vec<String>,
    cgroup: Cgroup,
    seccomp: Enabled,
    apparmor: Enabled,
    selinux: Enabled,
    intel_rdt: Enabled,
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
struct Enabled {
    enabled: bool,
}

#[derive(Serialize)]
struct MemoryPolicy {
    modes: [&'static str; 7],
    flags: [&'static str; 3],
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
        hooks: [
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "poststop",
        ],
        mount_options: mounts::known_options(),
        linux: Linux {
            namespaces: [
                "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts",
            ],
            capabilities: capabilities::known_to_kernel()
                .map(|(name, _)| name)
                .collect(),
            cgroup: Cgroup {
                v1: true,
                v2: true,
                systemd: true,
                systemd_user: true,
                rdma: true,
            },
            seccomp: Enabled { enabled: true },
            apparmor: Enabled { enabled: true },
            selinux: Enabled { enabled: true },
            intel_rdt: Enabled { enabled: false },
            memory_policy: MemoryPolicy {
                modes: [
                    "MPOL_BIND",
                    "MPOL_DEFAULT",
                    "MPOL_INTERLEAVE",
                    "MPOL_LOCAL",
                    "MPOL_PREFERRED",
                    "MPOL_PREFERRED_MANY",
                    "MPOL_WEIGHTED_INTERLEAVE",
                ],
                flags: [
                    "MPOL_F_NUMA_BALANCING",
                    "MPOL_F_RELATIVE_NODES",
                    "MPOL_F_STATIC_NODES",
                ],
            },
            mount_extensions: MountExtensions {
                idmap: Enabled { enabled: true },
            },
            net_devices: Enabled { enabled: true },
        },
        annotations: BTreeMap::from([(
            "org.opencontainers.tare.version",
            env!("CARGO_PKG_VERSION"),
        )]),
        potentially_unsafe_config_annotations: [],
    })?;
    output::text("\n")
}
