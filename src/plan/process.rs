//! The process of the plan.

use super::capabilities::Capabilities;
use crate::seccomp::Filter;
use crate::sys::schedule::SchedAttr;
use serde::{Deserialize, Serialize};
use std::ffi::CString;

/// The program to execute and what it runs as.
#[derive(Debug, Serialize, Deserialize)]
pub struct Process {
    /// Not empty; the first is the program.
    pub args: Vec<CString>,
    /// `NAME=VALUE`, each name once.
    pub env: Vec<CString>,
    /// Whether HOME is to be taken from the container's /etc/passwd.
    pub wants_home: bool,
    /// Absolute, in the container.
    pub cwd: CString,
    /// Who it runs as.
    pub user: User,
    /// Its five sets.
    pub capabilities: Capabilities,
    /// Whether execve may grant privileges.
    pub no_new_privileges: bool,
    /// Resource limits.
    pub rlimits: Vec<Rlimit>,
    /// `process.oomScoreAdj`.
    pub oom_score_adj: Option<i32>,
    /// `process.scheduler`.
    pub scheduler: Option<SchedAttr>,
    /// `process.ioPriority`, as ioprio_set(2) takes it.
    pub io_priority: Option<i32>,
    /// `linux.memoryPolicy`.
    pub memory_policy: Option<MemoryPolicy>,
    /// `linux.personality`, as personality(2) takes it.
    pub personality: Option<u64>,
    /// `process.execCPUAffinity`, exec only.
    pub affinity: Affinity,
    /// What to write to the AppArmor attribute for the next execve.
    pub apparmor_profile: Option<String>,
    /// Whether that comes on top of the profile that confines the runtime itself.
    pub apparmor_stacks: bool,
    /// The SELinux label for the next execve.
    pub selinux_label: Option<String>,
    /// `linux.seccomp`, compiled.
    pub seccomp: Option<Filter>,
}

/// Who a process runs as, in the container's user namespace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub additional_gids: Vec<u32>,
    /// File mode creation mask.
    pub umask: Option<u32>,
}

/// One resource limit.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rlimit {
    /// `RLIMIT_*`.
    pub name: String,
    /// Its number on this architecture.
    pub resource: u32,
    /// `u64::MAX` is unlimited.
    pub soft: u64,
    /// `u64::MAX` is unlimited.
    pub hard: u64,
}

/// A NUMA memory policy.
#[derive(Debug, Serialize, Deserialize)]
pub struct MemoryPolicy {
    /// `MPOL_*` with its `MPOL_F_*` bits.
    pub mode: i32,
    /// Bit n of the words is node n.
    pub nodes: Vec<u64>,
}

/// Which CPUs an exec'd process runs on: bit n of the words is CPU n.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Affinity {
    /// While it is being set up, before it is in the container's cgroup.
    pub initial: Option<Vec<u64>>,
    /// From the moment it is in the container's cgroup.
    pub last: Option<Vec<u64>>,
}
