//! The process of the plan.

use crate::sys::schedule::SchedAttr;
use crate::sys::seccomp::Instruction;
use crate::sys::signals::SignalSet;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

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
    /// What our caller ignores, and the program is not to.
    pub ignored_signals: SignalSet,
}

/// The five sets of a process, as bit masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// What execve can ever grant.
    pub bounding: u64,
    /// What the process may use.
    pub effective: u64,
    /// What a file may pass on.
    pub inheritable: u64,
    /// What the process may make effective.
    pub permitted: u64,
    /// What survives an execve of an ordinary file.
    pub ambient: u64,
}

/// Who a process runs as, in the container's user namespace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups; none to keep those of whoever calls the runtime.
    pub additional_gids: Option<Vec<u32>>,
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

/// `linux.seccomp`, compiled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// What the kernel runs.
    pub program: Vec<Instruction>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: u32,
    /// Where an agent decides some system calls: how it gets the descriptor for that.
    pub listener: Option<Delivery>,
}

/// How the listener comes out of the process that is under the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Delivery {
    /// By sendmsg(2), which the filter surely allows.
    Message,
    /// By its number alone, as runc does it: the parent takes it by pidfd_getfd(2), for which
    /// it needs the right to trace the process.
    Number,
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
