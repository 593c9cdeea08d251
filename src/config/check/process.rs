//! `process` (config.md, "Process").

use super::{Findings, at, ids};
use crate::config::process::{Process, Rlimit, Scheduler, SchedulerPolicy};

/// sched_setattr(2): the kernel reckons with 1024 ns.
const SHORTEST_RUNTIME: u64 = 1 << 10;

/// sched_setattr(2): the top bit is its own.
const LONGEST_PERIOD: u64 = i64::MAX as u64;

pub(super) fn check(process: &Process, findings: &mut Findings) {
    if process.cwd.as_os_str().is_empty() {
        findings.fault(at!["cwd"], "Cwd property must not be empty");
    } else if !process.cwd.is_absolute() {
        findings.fault(at!["cwd"], "Cwd must be an absolute path");
    }
    if process.args.is_empty() {
        findings.fault(at!["args"], "args must not be empty");
    }
    check_env(&process.env, findings);
    ids::check_ids(&process.user, findings);
    if process.user.umask.is_some_and(|umask| umask > 0o777) {
        findings.fault(
            at!["user", "umask"],
            "is not a umask: it has more than the bits 0777",
        );
    }
    if let (true, Some(size)) = (process.terminal, process.console_size) {
        for (key, length) in [("height", size.height), ("width", size.width)] {
            if length > u64::from(u16::MAX) {
                findings.fault(at!["consoleSize", key], "no terminal is larger than 65535");
            }
        }
    }
    check_rlimits(&process.rlimits, findings);
    if process
        .oom_score_adj
        .is_some_and(|score| !(-1000..=1000).contains(&score))
    {
        findings.fault(at!["oomScoreAdj"], "is not between -1000 and 1000");
    }
    if let Some(scheduler) = &process.scheduler {
        check_scheduler(scheduler, findings);
    }
    if process
        .io_priority
        .is_some_and(|priority| priority.priority > 7)
    {
        findings.fault(at!["ioPriority", "priority"], "is not between 0 and 7");
    }
}

fn check_env(env: &[String], findings: &mut Findings) {
    for (index, variable) in env.iter().enumerate() {
        let message = match variable.split_once('=') {
            None => "invalid environment variable: missing '='",
            Some(("", _)) => "invalid environment variable: name cannot be empty",
            Some(_) => continue,
        };
        findings.fault(at!["env", index], message);
    }
}

fn check_rlimits(rlimits: &[Rlimit], findings: &mut Findings) {
    for (index, limit) in rlimits.iter().enumerate() {
        if limit.soft > limit.hard {
            let message = format!(
                "the soft limit {} is above the hard limit {}",
                limit.soft, limit.hard
            );
            findings.fault(at!["rlimits", index, "soft"], message);
        }
        let earlier = rlimits[..index]
            .iter()
            .position(|other| other.kind == limit.kind);
        if let Some(earlier) = earlier {
            let message = format!("the same type as rlimits[{earlier}]");
            findings.fault(at!["rlimits", index, "type"], message);
        }
    }
}

/// What sched_setattr(2) refuses whatever the machine.
fn check_scheduler(scheduler: &Scheduler, findings: &mut Findings) {
    use SchedulerPolicy::{Batch, Deadline, Fifo, Other, RoundRobin};
    let policy = scheduler.policy;
    let mut fault = |key: &str, message: &str| findings.fault(at!["scheduler", key], message);
    if matches!(policy, Other | Batch) && !(-20..=19).contains(&scheduler.nice) {
        fault("nice", "is not between -20 and 19");
    }
    let is_realtime = matches!(policy, Fifo | RoundRobin);
    if is_realtime && !(1..=99).contains(&scheduler.priority) {
        fault(
            "priority",
            "is not between 1 and 99, as SCHED_FIFO and SCHED_RR need it",
        );
    }
    if !is_realtime && scheduler.priority != 0 {
        fault(
            "priority",
            "can only be specified for the SCHED_FIFO or SCHED_RR policy",
        );
    }
    let times = [
        ("runtime", scheduler.runtime),
        ("deadline", scheduler.deadline),
        ("period", scheduler.period),
    ];
    if policy != Deadline {
        for (key, _) in times.iter().filter(|(_, time)| *time != 0) {
            fault(key, "can only be specified for the SCHED_DEADLINE policy");
        }
        return;
    }
    for (key, _) in times.iter().filter(|(_, time)| *time > LONGEST_PERIOD) {
        fault(key, "is longer than the kernel can reckon with");
    }
    let period = if scheduler.period == 0 {
        scheduler.deadline
    } else {
        scheduler.period
    };
    if scheduler.runtime < SHORTEST_RUNTIME {
        fault("runtime", "is below 1024 ns");
    }
    if scheduler.runtime > scheduler.deadline {
        fault("deadline", "is shorter than the runtime");
    }
    if scheduler.deadline > period {
        fault("period", "is shorter than the deadline");
    }
}
