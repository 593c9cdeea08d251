//! When and how the process comes under its filter.
//!
//! As late as can be, so that a profile need not allow what only the setting up needs: just
//! before the execve. Without no_new_privs attaching takes CAP_SYS_ADMIN (seccomp(2)), which
//! is kept for that, permitted but not effective, until the execve takes it away: what a
//! program gets is computed from the other sets (capabilities(7)).
//!
//! Two cases are different. In exec the process that executes the program appears among others
//! of the container, and one of them that may ptrace(2) could take over what it has
//! (CVE-2016-9962); so it comes under the filter one step earlier, as the process that it
//! branches off from, and keeps nothing. And where an agent decides system calls, the parent
//! has to introduce us to it, before it goes away.

use crate::error::{Code, Context, Error, Result};
use crate::plan::Plan;
use crate::plan::namespaces::Fork;
use crate::plan::process::{Delivery, Filter, Process};
use crate::sys::seccomp;
use crate::wire::{FromInit, Wire};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets};

const PRIVILEGE: &str = "it takes process.noNewPrivileges or CAP_SYS_ADMIN of the runtime";

/// The capability that has to be kept beyond the process's own.
pub fn kept_capability(process: &Process) -> CapabilitySet {
    match (&process.seccomp, process.no_new_privileges) {
        (Some(_), false) => CapabilitySet::SYS_ADMIN,
        _ => CapabilitySet::empty(),
    }
}

/// Attaches the filter where it has to be done before the process branches off.
///
/// Not where there is an agent, who is to be told of the process that stays.
///
/// # Errors
/// See [`attach_last`].
pub fn attach_early(plan: &mut Plan) -> Result<()> {
    let process = &mut plan.process;
    let branches_off = plan.namespaces.fork == Fork::BeforeProgram;
    if process.no_new_privileges || !branches_off {
        return Ok(());
    }
    match process.seccomp.take_if(|filter| filter.listener.is_none()) {
        Some(filter) => {
            attach(&filter, process)?;
            drop_kept(process)
        }
        None => Ok(()),
    }
}

/// Attaches the filter where an agent decides system calls, and sees that it can.
///
/// # Errors
/// See [`attach_last`]; where the agent is not there.
pub fn attach_with_agent(process: &mut Process, wire: &Wire) -> Result<()> {
    let Some(filter) = process.seccomp.take_if(|filter| filter.listener.is_some()) else {
        return Ok(());
    };
    let listener = attach(&filter, process)?
        .ok_or_else(|| Error::new(Code::System, "linux.seccomp: the kernel gave no listener"))?;
    match filter.listener {
        Some(Delivery::Number) => wire.send(
            &FromInit::SeccompListener {
                number: Some(listener.as_raw_fd()),
            },
            &[],
        ),
        _ => wire.send(
            &FromInit::SeccompListener { number: None },
            &[listener.as_fd()],
        ),
    }?;
    wire.await_continue()?;
    drop(listener);
    drop_kept(process)
}

/// Attaches the filter, unless that was done before. After this only the execve may follow, of the
/// program or of a startContainer hook.
///
/// # Errors
/// Where the kernel has no seccomp, or this process has not the privilege.
pub fn attach_last(process: &Process) -> Result<()> {
    match &process.seccomp {
        Some(filter) => attach(filter, process).map(drop),
        None => Ok(()),
    }
}

fn attach(filter: &Filter, process: &Process) -> Result<Option<OwnedFd>> {
    if !process.no_new_privileges {
        let kept = CapabilitySet::SYS_ADMIN;
        set_capabilities(process, kept).map_err(|error| error.hint(PRIVILEGE))?;
    }
    seccomp::attach(&filter.program, filter.flags)
        .context(|| "linux.seccomp: attaching the filter")
        .map_err(|error| match error.errno() {
            Some(Errno::ACCESS) => error.hint(PRIVILEGE),
            Some(Errno::NOSYS | Errno::INVAL) => error
                .with_code(Code::Unsupported)
                .hint("this kernel has no seccomp filters"),
            Some(Errno::BUSY) => error.hint("only one filter of a process can have an agent"),
            _ => error,
        })
}

/// Gives up the capability that was kept to attach the filter, under it.
fn drop_kept(process: &Process) -> Result<()> {
    if process.no_new_privileges {
        return Ok(());
    }
    set_capabilities(process, CapabilitySet::empty())
        .map_err(|error| error.hint("without noNewPrivileges the profile must allow capset"))
}

/// Sets the process's own capabilities, and `kept` besides.
fn set_capabilities(process: &Process, kept: CapabilitySet) -> Result<()> {
    let own = CapabilitySet::from_bits_retain;
    let wanted = &process.capabilities;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: own(wanted.effective) | kept,
            permitted: own(wanted.permitted) | kept,
            inheritable: own(wanted.inheritable),
        },
    )
    .context(|| "linux.seccomp: setting capabilities")
}
