//! The making of a container that is planned and recorded.

use super::{Terminal, Wanted};
use crate::cgroups::Claim;
use crate::config::{Config, Mount};
use crate::container::process::HostProcess;
use crate::container::{Directory, Lock, Record, gate};
use crate::error::{Code, Context, Error, Result};
use crate::handover;
use crate::hooks::Status;
use crate::launch::agent::Agent;
use crate::launch::{self, Launch, Running, Runtime};
use crate::plan::build::{Built, hooks_of_kind};
use crate::sys::namespace;
use crate::timing;
use rustix::fs::Uid;
use rustix::process::Pid;
use std::cell::Cell;
use std::os::fd::AsFd;

/// Makes all that outlives this process, of which the record tells already.
pub(super) fn bring_up(
    wanted: &Wanted<'_>,
    directory: &Directory,
    lock: &Lock,
    record: &mut Record,
    built: Built,
    claim: &mut Claim,
) -> Result<Running> {
    let Wanted { args, config, .. } = wanted;
    let resources = config.linux.resources.clone().unwrap_or_default();
    *claim = record.cgroups.create(&resources)?;
    if !record.cgroups.needs_process() {
        record.owns_cgroups = true;
        directory.write(record)?;
    }
    timing::phase("making the cgroups");
    let into_cgroup = record.cgroups.prepare(&resources)?;
    timing::phase("setting limits and device rules");
    if let (Some(groups), Some(rdt)) = (&record.intel_rdt, &config.linux.intel_rdt) {
        groups.make(rdt)?;
    }
    let owned_by_container = owns_cgroup(config, &built);
    let gate = gate::make(directory.as_fd())?;
    let runtime = Runtime {
        config,
        prestart: hooks_of_kind("prestart", &config.hooks.prestart)?,
        create_runtime: hooks_of_kind("createRuntime", &config.hooks.create_runtime)?,
        state: record.state(Status::Creating),
        root: wanted.overlay.map(|overlay| (overlay, wanted.bundle)),
    };
    let agent = Agent::of(config, record.state(Status::Creating));
    let owned = Cell::new(record.owns_cgroups);
    let launched = launch::launch(Launch {
        built,
        into_cgroup,
        admit: &|pid| {
            if record.cgroups.needs_process() {
                record.cgroups.start(pid, &resources)?;
                owned.set(true);
                directory.write(&Record {
                    owns_cgroups: true,
                    ..record.clone()
                })?;
            }
            record.cgroups.admit(pid, &resources)
        },
        cgroups: &record.cgroups,
        gate: Some((gate, lock.as_fd())),
        runtime: Some(runtime),
        agent,
    });
    record.owns_cgroups = owned.get();
    let mut launched = launched?;
    if let Some(groups) = &record.intel_rdt {
        groups.add(launched.pid.as_raw_nonzero().get())?;
    }
    if owned_by_container {
        let user = config.require_process()?.user.uid;
        record.cgroups.delegate(host_uid(launched.pid, user)?)?;
    }
    if wanted.terminal == Terminal::HandedOver {
        handover::terminal(launched.terminal.take(), args.console_socket.as_deref())?;
    }
    let receiver = args.pidfd_socket.as_deref();
    handover::pidfd(&launched.pidfd, receiver.or(config.pidfd_receiver()))?;
    record.process = Some(HostProcess::current(launched.pid)?);
    directory.write(record)?;
    handover::pid_file(launched.pid, args.pid_file.as_deref())?;
    timing::phase("handing over and recording the container");
    launched
        .release()
        .map_err(|error| record.cgroups.explain_kill(error))
}

/// Whether the container is to have cgroups of its own: it sees nothing above its own, and may
/// write (config-linux.md, "Cgroup ownership").
fn owns_cgroup(config: &Config, built: &Built) -> bool {
    let is_cgroups = |mount: &&Mount| matches!(mount.kind.as_deref(), Some("cgroup" | "cgroup2"));
    let mut mounts = config.mounts.iter().filter(is_cgroups);
    built.plan.namespaces.makes(libc::CLONE_NEWCGROUP as u64)
        && mounts.any(|mount| !mount.is_read_only())
}

/// What we call the user `uid` of the process: new and joined user namespaces look the same from
/// here, but a map read within its own namespace tells of the one above (user_namespaces(7),
/// "/proc/PID/uid_map"), which is an engine's without privileges whose own namespace we are in.
fn host_uid(pid: Pid, uid: u32) -> Result<Uid> {
    let pid = pid.as_raw_nonzero();
    let path = format!("/proc/{pid}/ns/user");
    let looking = || format!("looking at {path}");
    let its = std::fs::File::open(&path).context(looking)?;
    if namespace::is_ours(its, "user").context(looking)? {
        return Ok(Uid::from_raw(uid));
    }
    let path = format!("/proc/{pid}/uid_map");
    let map = std::fs::read_to_string(&path).context(|| format!("reading {path}"))?;
    let found = map.lines().find_map(|line| {
        let numbers: Vec<u32> = line.split_whitespace().flat_map(str::parse).collect();
        let [inside, outside, count] = numbers[..] else {
            return None;
        };
        let offset = uid.checked_sub(inside).filter(|offset| *offset < count)?;
        outside.checked_add(offset)
    });
    found.map(Uid::from_raw).ok_or_else(|| {
        let message = format!("process.user.uid: {path} has nobody for {uid}");
        Error::new(Code::InvalidConfig, message)
    })
}
