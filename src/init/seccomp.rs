//! When and how the process comes under its filter.
//!
//! As late as can be, so that a profile need not allow what only the setting up needs: just
//! before the execve. Without no_new_privs attaching takes CAP_SYS_ADMIN (seccomp(2)), which
//! is kept for that, permitted but not effective, until the execve takes it away: what a
//! program gets is computed from the other sets (capabilities(7)).
//!
//! Exec is different. There the process that executes the program appears among others of the
//! container, and one of them that may ptrace(2) could take over what it has (CVE-2016-9962).
//! So the filter is attached one step earlier, by the process that it branches off from.

use crate::error::{Code, Context, Error, Result};
use crate::plan::Plan;
use crate::plan::namespaces::Fork;
use crate::plan::process::Process;
use crate::seccomp::Filter;
use crate::sys::seccomp;
use rustix::thread::{CapabilitySet, CapabilitySets};

/// Whether the filter is attached before the process branches off, and not last.
fn is_early(plan: &Plan) -> bool {
    !plan.process.no_new_privileges && plan.namespaces.fork == Fork::BeforeProgram
}

/// The capability that has to be kept beyond the process's own.
pub fn kept_capability(process: &Process) -> CapabilitySet {
    match (&process.seccomp, process.no_new_privileges) {
        (Some(_), false) => CapabilitySet::SYS_ADMIN,
        _ => CapabilitySet::empty(),
    }
}

/// Attaches the filter where it has to be done before the process branches off, and gives up
/// the capability that was kept for it.
///
/// # Errors
/// See [`attach_last`].
pub fn attach_early(plan: &mut Plan) -> Result<()> {
    if !is_early(plan) {
        return Ok(());
    }
    attach_last(&plan.process)?;
    if plan.process.seccomp.take().is_none() {
        return Ok(());
    }
    set_kept(
        &plan.process,
        CapabilitySet::empty(),
        CapabilitySet::empty(),
    )
    .map_err(|error| error.hint("the profile must allow capset"))
}

/// Attaches the filter, unless that was done early. After this only the execve may follow.
///
/// # Errors
/// Where the kernel has no seccomp, or this process has not the privilege.
pub fn attach_last(process: &Process) -> Result<()> {
    match &process.seccomp {
        Some(filter) => attach(filter, process),
        None => Ok(()),
    }
}

fn attach(filter: &Filter, process: &Process) -> Result<()> {
    let kept = kept_capability(process);
    if !kept.is_empty() {
        set_kept(process, kept, kept)?;
    }
    seccomp::attach(&filter.program, filter.flags)
        .context(|| "linux.seccomp: attaching the filter")
        .map_err(explain)?;
    Ok(())
}

fn explain(error: Error) -> Error {
    match error.errno() {
        Some(libc::EACCES) => {
            error.hint("it takes process.noNewPrivileges or CAP_SYS_ADMIN of the runtime")
        }
        Some(libc::ENOSYS | libc::EINVAL) => error
            .with_code(Code::Unsupported)
            .hint("this kernel has no seccomp filters"),
        _ => error,
    }
}

/// Sets the process's own capabilities with these besides.
fn set_kept(process: &Process, permitted: CapabilitySet, effective: CapabilitySet) -> Result<()> {
    let own = |bits| CapabilitySet::from_bits_retain(bits);
    let wanted = &process.capabilities;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: own(wanted.effective) | effective,
            permitted: own(wanted.permitted) | permitted,
            inheritable: own(wanted.inheritable),
        },
    )
    .context(|| "linux.seccomp: setting capabilities")
}
