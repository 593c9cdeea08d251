//! Comes into the namespaces of the plan: joins, makes, and branches off where it must.

use crate::error::{Context, Result};
use crate::plan::namespaces::{Fork, Join, Namespaces};
use crate::procfs::Procfs;
use crate::sys::clone::{Clone, Forked, fork};
use crate::sys::{exec, namespace, network};
use crate::wire::{FromInit, Wire};
use alloc::format;
use alloc::vec::Vec;
use linux_raw_sys::general::{CLONE_NEWCGROUP, CLONE_NEWNET, CLONE_NEWTIME, CLONE_NEWUSER};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::DumpableBehavior;
use rustix::thread::{Gid, Uid};

const USER: u64 = CLONE_NEWUSER as u64;
const TIME: u64 = CLONE_NEWTIME as u64;
const CGROUP: u64 = CLONE_NEWCGROUP as u64;
const NETWORK: u64 = CLONE_NEWNET as u64;

/// Enters all namespaces. Where the plan forks here, the new process returns and this one ends.
///
/// # Errors
/// The namespace that cannot be joined or made, by its place in config.json.
pub fn enter(plan: &Namespaces, descriptors: Vec<OwnedFd>, wire: &Wire) -> Result<()> {
    join_all(&plan.join, &descriptors)?;
    drop(descriptors);
    if plan.fork == Fork::BeforeSetup {
        if plan.makes(USER) {
            make_user_namespace(wire)?;
        }
        // Before the change of ids, which hands our files in /proc, the offsets' too, to the
        // host's root (proc(5), "dumpable").
        if plan.makes(TIME) {
            make_time_namespace(plan)?;
        }
        if plan.makes(USER) || plan.joins(USER) {
            become_root(plan.setgroups)?;
        }
        branch_off(plan.new & !(USER | TIME | CGROUP), wire)?;
    }
    if plan.makes(CGROUP) {
        namespace::unshare(CGROUP).context(|| "making the cgroup namespace")?;
    }
    if plan.makes(NETWORK) {
        network::loopback_up().context(|| "bringing up the loopback device")?;
    }
    Ok(())
}

/// Joins namespaces in order. One that a joined user namespace owns may only be joined from
/// within, and one that the host owns only from without: what is refused at first is tried
/// again once the user namespace is joined.
fn join_all(joins: &[Join], descriptors: &[OwnedFd]) -> Result<()> {
    let mut later = Vec::new();
    let (user, others): (Vec<_>, Vec<_>) = joins
        .iter()
        .zip(descriptors)
        .partition(|(join, _)| join.kinds == USER);
    for (join, fd) in others {
        match namespace::join(fd, join.kinds) {
            Err(Errno::PERM) if !user.is_empty() => later.push((join, fd)),
            other => other.context(|| format!("joining {}", join.what))?,
        }
    }
    for (join, fd) in user.into_iter().chain(later) {
        namespace::join(fd.as_fd(), join.kinds).context(|| format!("joining {}", join.what))?;
    }
    Ok(())
}

fn make_user_namespace(wire: &Wire) -> Result<()> {
    namespace::unshare(USER).context(|| "making the user namespace")?;
    wire.send(&FromInit::Unshared, &[])?;
    wire.await_continue()
}

/// Becomes root of the user namespace: the new process's files and namespaces are to be its.
fn become_root(setgroups: bool) -> Result<()> {
    let doing = || "becoming root of the user namespace";
    if setgroups {
        rustix::thread::set_thread_groups(&[]).context(doing)?;
    }
    rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).context(doing)?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).context(doing)
}

/// Makes a time namespace for the processes to come and sets its clocks while it is empty
/// (time_namespaces(7)).
fn make_time_namespace(plan: &Namespaces) -> Result<()> {
    namespace::unshare(TIME).context(|| "making the time namespace")?;
    if plan.time_offsets.is_empty() {
        return Ok(());
    }
    // Not the /proc that is in sight: a mount namespace that was joined may have made it up.
    Procfs::open()?
        .write("self/timens_offsets", plan.time_offsets.as_bytes())
        .context(|| format!("linux.timeOffsets: writing {:?}", plan.time_offsets))
}

/// Branches off the process that is to become the container's, a sibling of this one, and ends.
fn branch_off(new: u64, wire: &Wire) -> Result<()> {
    // The new process has this from the moment when others in its pid namespace can see it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context(|| "hiding the init stage")?;
    let clone = Clone {
        namespaces: new,
        sibling: true,
        into_cgroup: None,
    };
    match fork(&clone).context(|| "making the container's process in its namespaces")? {
        // The parent learns of this process before it hears from it.
        Forked::Child => wire.await_continue(),
        Forked::Parent { pidfd, .. } => {
            wire.send(&FromInit::Forked, &[pidfd.as_fd()])?;
            exec::exit_now(0)
        }
    }
}

/// Branches off the process that executes the program, and ends. See [`Fork::BeforeProgram`].
///
/// # Errors
/// Those of clone3(2) and clone(2): the process may be under its seccomp filter already.
pub fn branch_off_last(wire: &Wire) -> Result<()> {
    branch_off(0, wire).map_err(|error| match error.errno() {
        Some(Errno::NOSYS | Errno::PERM) => {
            error.hint("without noNewPrivileges linux.seccomp must allow clone or clone3")
        }
        Some(Errno::AGAIN) => error.hint(
            "the container's limit of processes (linux.resources.pids) must have room for two more",
        ),
        _ => error,
    })
}
