//! The process of the plan.

use super::kernel_string;
use crate::config::linux::PersonalityDomain;
use crate::config::memory_policy::{MemoryPolicyFlag, MemoryPolicyMode};
use crate::config::process::{IoPriorityClass, RlimitKind, SchedulerFlag, SchedulerPolicy};
use crate::config::seccomp::Seccomp;
use crate::config::{self, Config};
use crate::error::{Context, Result};
use crate::init::sys::schedule::SchedAttr;
use crate::plan::capabilities;
use crate::plan::process::{Affinity, Capabilities, Filter, MemoryPolicy, Process, Rlimit, User};
use crate::seccomp;
use crate::sys::signals::SignalSet;
use crate::timing;
use rustix::thread::CapabilitySet;
use std::ffi::CString;
use std::fs::File;
use std::io::Read;

/// The process with environment `env`, in a user namespace of the container's or in ours.
pub fn plan(
    process: &config::Process,
    config: &Config,
    env: &[String],
    in_user_namespace: bool,
) -> Result<Process> {
    let linux = &config.linux;
    let additional_gids = &process.user.additional_gids;
    let (env, wants_home) = environment(env)?;
    let args: Result<Vec<_>> = process
        .args
        .iter()
        .map(|arg| kernel_string(arg, "process.args"))
        .collect();
    Ok(Process {
        args: args?,
        env,
        wants_home,
        cwd: kernel_string(&process.cwd.to_string_lossy(), "process.cwd")?,
        user: User {
            uid: process.user.uid,
            gid: process.user.gid,
            additional_gids: (!config.keeps_groups()).then(|| additional_gids.clone()),
            umask: process.user.umask,
        },
        capabilities: capabilities(process.capabilities.as_ref(), in_user_namespace)?,
        no_new_privileges: process.no_new_privileges,
        rlimits: process.rlimits.iter().map(rlimit).collect(),
        oom_score_adj: process.oom_score_adj,
        scheduler: process.scheduler.as_ref().map(scheduler),
        io_priority: process.io_priority.as_ref().map(io_priority),
        memory_policy: linux.memory_policy.as_ref().map(memory_policy),
        personality: linux
            .personality
            .as_ref()
            .map(|personality| match personality.domain {
                // include/uapi/linux/personality.h; libc lacks them.
                PersonalityDomain::Linux => 0x0000,
                PersonalityDomain::Linux32 => 0x0008,
            }),
        affinity: Affinity::default(),
        apparmor_profile: process.apparmor_profile.clone(),
        apparmor_stacks: process.apparmor_profile.is_some()
            && process.no_new_privileges
            && is_confined(),
        selinux_label: process.selinux_label.clone(),
        seccomp: linux.seccomp.as_ref().map(filter).transpose()?,
        ignored_signals: ignored_signals().unwrap_or(SignalSet::all()),
    })
}

/// The filter, compiled; how long that takes is told by itself.
fn filter(config: &Seccomp) -> Result<Filter> {
    timing::phase("making the plan, up to the seccomp profile");
    let filter = seccomp::compile(config)?;
    timing::phase("compiling the seccomp profile");
    Ok(filter)
}

/// What this process ignores, and so would the init stage (proc_pid_status(5)).
fn ignored_signals() -> Option<SignalSet> {
    // All of it but the list of CPUs is short, and that comes after what is looked for.
    let mut text = [0; 4096];
    let mut file = File::open("/proc/self/status").ok()?;
    let length = file.read(&mut text).ok()?;
    let text = std::str::from_utf8(&text[..length]).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    SignalSet::from_status(line?.trim())
}

/// Whether AppArmor confines this process. If so, and no new privileges may be gained, it lets
/// go of no profile, and takes another only in addition (crun#1385).
fn is_confined() -> bool {
    // The attribute has had a directory of its own since Linux 5.8.
    let ours = ["apparmor/current", "current"]
        .iter()
        .find_map(|name| std::fs::read_to_string(format!("/proc/self/attr/{name}")).ok());
    ours.is_some_and(|label| {
        !label.trim_end_matches(['\n', '\0']).is_empty() && !label.starts_with("unconfined")
    })
}

/// Each variable once, the last of a name counting; and whether HOME is missing or empty.
fn environment(list: &[String]) -> Result<(Vec<CString>, bool)> {
    let name = |variable: &str| {
        variable
            .split_once('=')
            .map_or(variable, |(name, _)| name)
            .to_owned()
    };
    let mut seen = std::collections::HashSet::new();
    let mut wants_home = true;
    let mut env = Vec::with_capacity(list.len());
    for variable in list.iter().rev() {
        let name = name(variable);
        if !seen.insert(name.clone()) || variable == "HOME=" {
            continue;
        }
        wants_home &= name != "HOME";
        env.push(kernel_string(variable, "process.env")?);
    }
    env.reverse();
    Ok((env, wants_home))
}

fn capabilities(
    config: Option<&config::process::Capabilities>,
    in_user_namespace: bool,
) -> Result<Capabilities> {
    let Some(config) = config else {
        return Ok(Capabilities::default());
    };
    let grantable = if in_user_namespace {
        CapabilitySet::all().bits()
    } else {
        rustix::thread::capabilities(None)
            .context(|| "reading our own capabilities")?
            .permitted
            .bits()
    };
    let mut ignored = Vec::new();
    let mut set = |names: &[String], limit: u64| {
        names
            .iter()
            .fold(0, |set, name| match capabilities::bit(name) {
                Some(bit) if bit & limit != 0 => set | bit,
                _ => {
                    if !ignored.contains(name) {
                        ignored.push(name.clone());
                    }
                    set
                }
            })
    };
    let bounding = set(&config.bounding, grantable);
    let permitted = set(&config.permitted, grantable);
    let inheritable = set(&config.inheritable, grantable);
    let capabilities = Capabilities {
        bounding,
        permitted,
        inheritable,
        // The kernel keeps these two within the others (capabilities(7)). That a default
        // config of runc's asks for ambient ones without inheritable ones needs no warning.
        effective: set(&config.effective, grantable) & permitted,
        ambient: set(&config.ambient, grantable) & permitted & inheritable,
    };
    if !ignored.is_empty() {
        log::warn!(
            "process.capabilities: ignored, because they are unknown or cannot be granted: {}",
            ignored.join(", ")
        );
    }
    Ok(capabilities)
}

fn rlimit(limit: &config::process::Rlimit) -> Rlimit {
    let (name, resource) = match limit.kind {
        RlimitKind::As => ("RLIMIT_AS", libc::RLIMIT_AS),
        RlimitKind::Core => ("RLIMIT_CORE", libc::RLIMIT_CORE),
        RlimitKind::Cpu => ("RLIMIT_CPU", libc::RLIMIT_CPU),
        RlimitKind::Data => ("RLIMIT_DATA", libc::RLIMIT_DATA),
        RlimitKind::Fsize => ("RLIMIT_FSIZE", libc::RLIMIT_FSIZE),
        RlimitKind::Locks => ("RLIMIT_LOCKS", libc::RLIMIT_LOCKS),
        RlimitKind::Memlock => ("RLIMIT_MEMLOCK", libc::RLIMIT_MEMLOCK),
        RlimitKind::Msgqueue => ("RLIMIT_MSGQUEUE", libc::RLIMIT_MSGQUEUE),
        RlimitKind::Nice => ("RLIMIT_NICE", libc::RLIMIT_NICE),
        RlimitKind::Nofile => ("RLIMIT_NOFILE", libc::RLIMIT_NOFILE),
        RlimitKind::Nproc => ("RLIMIT_NPROC", libc::RLIMIT_NPROC),
        RlimitKind::Rss => ("RLIMIT_RSS", libc::RLIMIT_RSS),
        RlimitKind::Rtprio => ("RLIMIT_RTPRIO", libc::RLIMIT_RTPRIO),
        RlimitKind::Rttime => ("RLIMIT_RTTIME", libc::RLIMIT_RTTIME),
        RlimitKind::Sigpending => ("RLIMIT_SIGPENDING", libc::RLIMIT_SIGPENDING),
        RlimitKind::Stack => ("RLIMIT_STACK", libc::RLIMIT_STACK),
    };
    Rlimit {
        name: name.into(),
        resource,
        soft: limit.soft,
        hard: limit.hard,
    }
}

fn scheduler(scheduler: &config::process::Scheduler) -> SchedAttr {
    let policy = match scheduler.policy {
        SchedulerPolicy::Other => libc::SCHED_OTHER,
        SchedulerPolicy::Fifo => libc::SCHED_FIFO,
        SchedulerPolicy::RoundRobin => libc::SCHED_RR,
        SchedulerPolicy::Batch => libc::SCHED_BATCH,
        // Reserved in the kernel's headers, never implemented: it answers EINVAL.
        SchedulerPolicy::Iso => 4,
        SchedulerPolicy::Idle => libc::SCHED_IDLE,
        SchedulerPolicy::Deadline => libc::SCHED_DEADLINE,
    };
    let flags = scheduler.flags.iter().fold(0, |flags, flag| {
        flags
            | match flag {
                SchedulerFlag::ResetOnFork => libc::SCHED_FLAG_RESET_ON_FORK,
                SchedulerFlag::Reclaim => libc::SCHED_FLAG_RECLAIM,
                SchedulerFlag::DlOverrun => libc::SCHED_FLAG_DL_OVERRUN,
                SchedulerFlag::KeepPolicy => libc::SCHED_FLAG_KEEP_POLICY,
                SchedulerFlag::KeepParams => libc::SCHED_FLAG_KEEP_PARAMS,
                SchedulerFlag::UtilClampMin => libc::SCHED_FLAG_UTIL_CLAMP_MIN,
                SchedulerFlag::UtilClampMax => libc::SCHED_FLAG_UTIL_CLAMP_MAX,
            }
    });
    SchedAttr {
        policy: policy as u32,
        flags: flags as u64,
        nice: scheduler.nice,
        priority: scheduler.priority as u32,
        runtime: scheduler.runtime,
        deadline: scheduler.deadline,
        period: scheduler.period,
        ..SchedAttr::default()
    }
}

fn io_priority(priority: &config::process::IoPriority) -> i32 {
    // ioprio_set(2): the class in the upper bits, the level below.
    let class = match priority.class {
        IoPriorityClass::RealTime => 1,
        IoPriorityClass::BestEffort => 2,
        IoPriorityClass::Idle => 3,
    };
    class << 13 | i32::from(priority.priority)
}

fn memory_policy(policy: &config::memory_policy::MemoryPolicy) -> MemoryPolicy {
    // include/uapi/linux/mempolicy.h; libc lacks the newer ones.
    let mode = match policy.mode {
        MemoryPolicyMode::Default => 0,
        MemoryPolicyMode::Preferred => 1,
        MemoryPolicyMode::Bind => 2,
        MemoryPolicyMode::Interleave => 3,
        MemoryPolicyMode::Local => 4,
        MemoryPolicyMode::PreferredMany => 5,
        MemoryPolicyMode::WeightedInterleave => 6,
    };
    let flags = policy.flags.iter().fold(0, |flags, flag| {
        flags
            | match flag {
                MemoryPolicyFlag::NumaBalancing => 1 << 13,
                MemoryPolicyFlag::RelativeNodes => 1 << 14,
                MemoryPolicyFlag::StaticNodes => 1 << 15,
            }
    });
    MemoryPolicy {
        mode: mode | flags,
        nodes: policy
            .nodes
            .as_ref()
            .map(|nodes| nodes.to_mask())
            .unwrap_or_default(),
    }
}

/// `process.execCPUAffinity`, which counts for exec alone.
pub fn affinity(process: &config::Process) -> Affinity {
    let Some(affinity) = &process.exec_cpu_affinity else {
        return Affinity::default();
    };
    Affinity {
        initial: affinity.initial.as_ref().map(|cpus| cpus.to_mask()),
        last: affinity.r#final.as_ref().map(|cpus| cpus.to_mask()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(list: &[&str]) -> (Vec<String>, bool) {
        let list: Vec<String> = list.iter().map(|&s| s.to_owned()).collect();
        let (env, wants_home) = environment(&list).unwrap();
        (
            env.into_iter().map(|s| s.into_string().unwrap()).collect(),
            wants_home,
        )
    }

    #[test]
    fn of_two_variables_with_one_name_the_last_counts() {
        assert_eq!(
            env(&["A=1", "B=2", "A=3"]),
            (vec!["B=2".into(), "A=3".into()], true)
        );
        assert_eq!(env(&["HOME=/x"]), (vec!["HOME=/x".into()], false));
        assert_eq!(env(&["HOME=", "A=1"]), (vec!["A=1".into()], true));
        assert_eq!(env(&["HOME=/x", "HOME="]), (vec![], true));
    }
}
