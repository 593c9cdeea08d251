//! `process` (config.md, "Process"): of config.json, and of `exec --process`.

use super::de;
use super::ranges::{self, RangeList};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What to run and as whom.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Whether the process gets a terminal.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub terminal: bool,
    /// The terminal's size; without a terminal it means nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// Ids in the container. runc takes its absence for root, in `exec --process`.
    #[serde(default, deserialize_with = "de::or_default")]
    pub user: User,
    /// The program and its arguments.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub args: Vec<String>,
    /// Windows' command line: of no meaning here.
    #[serde(default, deserialize_with = "de::non_empty")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_line: Option<String>,
    /// `NAME=value`; of two with one name the last counts.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub env: Vec<String>,
    /// Absolute, in the container.
    pub cwd: PathBuf,
    /// The five capability sets; all are empty where this is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// Resource limits, each at most once.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub rlimits: Vec<Rlimit>,
    /// prctl(2), PR_SET_NO_NEW_PRIVS.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub no_new_privileges: bool,
    /// The AppArmor profile to change to.
    #[serde(default, deserialize_with = "de::non_empty")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apparmor_profile: Option<String>,
    /// What to write to oom_score_adj; absent leaves it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// sched_setattr(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// The SELinux context to run in.
    #[serde(default, deserialize_with = "de::non_empty")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux_label: Option<String>,
    /// ioprio_set(2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// Where exec'd processes run; not for the first one.
    #[serde(rename = "execCPUAffinity", skip_serializing_if = "Option::is_none")]
    pub exec_cpu_affinity: Option<CpuAffinity>,
}

/// In characters. Only what a terminal can have is checked, and only where there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ConsoleSize {
    /// Lines.
    pub height: u64,
    /// Columns.
    pub width: u64,
}

/// Ids as the container has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// User id. The spec requires both ids; runc takes root where one is absent.
    #[serde(default, deserialize_with = "de::or_default")]
    pub uid: u32,
    /// Group id.
    #[serde(default, deserialize_with = "de::or_default")]
    pub gid: u32,
    /// The umask; absent leaves the runtime's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub additional_gids: Vec<u32>,
    /// Windows' user: of no meaning here.
    #[serde(default, deserialize_with = "de::non_empty")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

impl Process {
    /// Adds to every set but the inheritable one: what a program's file could inherit is no
    /// business of a flag (CVE-2022-29162). To the ambient set only what is inheritable in the
    /// container already, without which the kernel refuses it.
    pub fn add_capabilities(&mut self, names: &[String]) {
        if names.is_empty() {
            return;
        }
        let sets = self.capabilities.get_or_insert_default();
        for name in names {
            let add = |set: &mut Vec<String>| {
                if !set.contains(name) {
                    set.push(name.clone());
                }
            };
            add(&mut sets.bounding);
            add(&mut sets.effective);
            add(&mut sets.permitted);
            if sets.inheritable.contains(name) {
                add(&mut sets.ambient);
            }
        }
    }
}

/// Sets of capability names. Names the kernel does not know are a warning where they are
/// applied, not an error (config.md, "Linux Process"), and so they stay strings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Capabilities {
    /// What execve(2) can ever grant.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub bounding: Vec<String>,
    /// What is in force.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub effective: Vec<String>,
    /// What execve(2) keeps for files that inherit it.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub inheritable: Vec<String>,
    /// What may be put into force.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub permitted: Vec<String>,
    /// What execve(2) keeps for any file.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub ambient: Vec<String>,
}

/// One resource limit; `u64::MAX` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Rlimit {
    /// Which.
    #[serde(rename = "type")]
    pub kind: RlimitKind,
    /// The ceiling of the soft limit.
    pub hard: u64,
    /// What is enforced.
    pub soft: u64,
}

/// The resources of getrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub enum RlimitKind {
    #[serde(rename = "RLIMIT_AS")]
    As,
    #[serde(rename = "RLIMIT_CORE")]
    Core,
    #[serde(rename = "RLIMIT_CPU")]
    Cpu,
    #[serde(rename = "RLIMIT_DATA")]
    Data,
    #[serde(rename = "RLIMIT_FSIZE")]
    Fsize,
    #[serde(rename = "RLIMIT_LOCKS")]
    Locks,
    #[serde(rename = "RLIMIT_MEMLOCK")]
    Memlock,
    #[serde(rename = "RLIMIT_MSGQUEUE")]
    Msgqueue,
    #[serde(rename = "RLIMIT_NICE")]
    Nice,
    #[serde(rename = "RLIMIT_NOFILE")]
    Nofile,
    #[serde(rename = "RLIMIT_NPROC")]
    Nproc,
    #[serde(rename = "RLIMIT_RSS")]
    Rss,
    #[serde(rename = "RLIMIT_RTPRIO")]
    Rtprio,
    #[serde(rename = "RLIMIT_RTTIME")]
    Rttime,
    #[serde(rename = "RLIMIT_SIGPENDING")]
    Sigpending,
    #[serde(rename = "RLIMIT_STACK")]
    Stack,
}

/// The fields of sched_setattr(2).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Scheduler {
    /// The policy.
    pub policy: SchedulerPolicy,
    /// -20 to 19, for SCHED_OTHER and SCHED_BATCH.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub nice: i32,
    /// 1 to 99, for SCHED_FIFO and SCHED_RR.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub priority: i32,
    /// Flags.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub flags: Vec<SchedulerFlag>,
    /// Nanoseconds per period, for SCHED_DEADLINE.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub runtime: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub deadline: u64,
    /// Nanoseconds, for SCHED_DEADLINE; 0 is the deadline.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub period: u64,
}

/// sched(7)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub enum SchedulerPolicy {
    #[serde(rename = "SCHED_OTHER")]
    Other,
    #[serde(rename = "SCHED_FIFO")]
    Fifo,
    #[serde(rename = "SCHED_RR")]
    RoundRobin,
    #[serde(rename = "SCHED_BATCH")]
    Batch,
    #[serde(rename = "SCHED_ISO")]
    Iso,
    #[serde(rename = "SCHED_IDLE")]
    Idle,
    #[serde(rename = "SCHED_DEADLINE")]
    Deadline,
}

/// sched_setattr(2)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub enum SchedulerFlag {
    #[serde(rename = "SCHED_FLAG_RESET_ON_FORK")]
    ResetOnFork,
    #[serde(rename = "SCHED_FLAG_RECLAIM")]
    Reclaim,
    #[serde(rename = "SCHED_FLAG_DL_OVERRUN")]
    DlOverrun,
    #[serde(rename = "SCHED_FLAG_KEEP_POLICY")]
    KeepPolicy,
    #[serde(rename = "SCHED_FLAG_KEEP_PARAMS")]
    KeepParams,
    #[serde(rename = "SCHED_FLAG_UTIL_CLAMP_MIN")]
    UtilClampMin,
    #[serde(rename = "SCHED_FLAG_UTIL_CLAMP_MAX")]
    UtilClampMax,
}

/// ioprio_set(2)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct IoPriority {
    /// The class.
    pub class: IoPriorityClass,
    /// 0, the highest, to 7. The spec requires it; runc's callers leave it out.
    #[serde(default, deserialize_with = "de::or_default")]
    pub priority: u8,
}

/// ioprio_set(2)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[allow(missing_docs)]
pub enum IoPriorityClass {
    #[serde(rename = "IOPRIO_CLASS_RT")]
    RealTime,
    #[serde(rename = "IOPRIO_CLASS_BE")]
    BestEffort,
    #[serde(rename = "IOPRIO_CLASS_IDLE")]
    Idle,
}

/// Where an exec'd process runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct CpuAffinity {
    /// Until it is in the container's cgroup.
    #[serde(default, deserialize_with = "ranges::cpus")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<RangeList>,
    /// From then on; absent leaves it to the kernel.
    #[serde(default, deserialize_with = "ranges::cpus")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#final: Option<RangeList>,
}
