//! The init stage: the process that sets the container up from inside and becomes its program.
//!
//! It is a program of its own, executed in the namespaces that the parent's clone made. It decides
//! nothing: it receives the plan and executes it, and its steps stand in [`set_up`] in their
//! order. See [`wire`] for what it says to the parent.
//!
//! What runs here counts against the container's limits and is seen from inside it. So there is
//! no C library and no std (feature `program`): it starts in no time, and takes next to no memory.
//! Without the feature this is a library for tare, which shares the plan, the wire, and the
//! system calls.

#![cfg_attr(feature = "program", no_std)]
#![deny(unsafe_code)]

extern crate alloc;

mod cgroup_mount;
mod console;
mod copy_up;
mod credentials;
mod devices;
pub mod error;
pub mod files;
pub mod gate;
pub mod hooks;
mod masks;
pub mod mounts;
mod namespaces;
pub mod passwd;
pub mod plan;
pub mod process;
mod procfs;
mod program;
mod root;
mod rootfs;
mod seccomp;
pub mod spawn;
#[allow(unsafe_code)]
pub mod sys;
pub mod wire;

use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::ffi::CStr;
use error::{Code, Context, Error, Result};
use gate::Gate;
use hooks::Status;
use linux_raw_sys::general::CLONE_NEWCGROUP;
use plan::Plan;
use plan::namespaces::Fork;
use process::AttachFiles;
use procfs::Procfs;
use rustix::fd::{OwnedFd, RawFd};
use rustix::process::{DumpableBehavior, Signal};
use sys::exec;
use wire::{FromInit, FromParent, Wire};

/// What the init stage shows in process lists before its own arguments.
const NAME: [&str; 2] = ["tare", "init"];

/// What the init stage is told on its command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The descriptor of the wire.
    pub wire: RawFd,
    /// How many descriptors from 3 up are the container's.
    pub preserved_fds: u32,
}

impl Invocation {
    /// The command line that says this.
    pub fn args(self) -> Vec<String> {
        let [name, stage] = NAME.map(str::to_string);
        vec![
            name,
            stage,
            self.wire.to_string(),
            self.preserved_fds.to_string(),
        ]
    }

    /// Reads a command line, argument by argument.
    fn read<'a>(argument: impl Fn(usize) -> Option<&'a CStr>) -> Option<Self> {
        let text = |index| argument(index)?.to_str().ok();
        Some(Self {
            wire: text(NAME.len())?.parse().ok()?,
            preserved_fds: text(NAME.len() + 1)?.parse().ok()?,
        })
    }
}

/// Is the init stage, whose command line this is. Ends with the execution of the program, or by
/// telling why not.
pub fn run<'a>(argument: impl Fn(usize) -> Option<&'a CStr>) -> ! {
    // Nothing can be reported without the wire; the parent sees us end.
    let Some(invocation) = Invocation::read(argument) else {
        exec::exit_now(1)
    };
    let Ok(socket) = exec::adopt(invocation.wire) else {
        exec::exit_now(1)
    };
    let mut reports_to = Some(Wire::from_socket(socket));
    // What our caller left open besides is neither ours nor the container's. Closed at once, not
    // at the execve: before that, other processes of the container may look (CVE-2016-9962).
    let result = exec::close_all_but(3 + invocation.preserved_fds as RawFd, invocation.wire)
        .context(|| "closing inherited descriptors")
        .and_then(|()| receive_and_execute(&mut reports_to));
    let Err(error) = result;
    if let Some(wire) = reports_to {
        wire.send_failure(&error);
    }
    exec::exit_now(1)
}

/// Ends the program after a mistake of ours. The parent sees that; stderr gets where it was.
#[cfg(feature = "program")]
pub fn panicked(info: &core::panic::PanicInfo<'_>) -> ! {
    let text = format!("tare: the init stage panicked: {info}\n");
    let _ = files::write_all(sys::stdio::all()[2], text.as_bytes());
    exec::exit_now(101)
}

/// `wire` is where a failure is told: at first to the parent, after the gate to `start`.
fn receive_and_execute(wire: &mut Option<Wire>) -> Result<Infallible> {
    let to_parent = wire
        .as_ref()
        .ok_or_else(|| Error::new(Code::Protocol, "there is no wire"))?;
    let Received {
        mut plan,
        mut cgroups,
        namespaces,
        gate,
        container_lock,
    } = receive(to_parent)?;
    // The root of a cgroup namespace is where this process is when it makes it. And what is copied
    // from the rootfs, be it a terabyte of zeros, is the container's memory.
    if plan.namespaces.makes(CLONE_NEWCGROUP.into()) || plan.copies_up() {
        cgroups.first.extend(cgroups.memory.take());
    }
    process::enter_cgroups(cgroups.first, &plan.process)?;
    // In exec this process is not one of the container's pid namespace, and has a place in the
    // host's procfs alone.
    let early = plan.rootfs.is_none() && needs_procfs(&plan);
    let procfs = if early { Some(Procfs::open()?) } else { None };
    namespaces::enter(&plan.namespaces, namespaces, to_parent)?;
    let program = set_up(&mut plan, procfs, &mut cgroups.memory, to_parent)?;
    rustix::process::set_parent_process_death_signal(None)
        .context(|| "letting go of the runtime")?;
    // Last, so that the limit has to hold the program alone, and not what it took to set it up.
    process::enter_cgroup(cgroups.memory)?;
    seccomp::attach_with_agent(&mut plan.process, to_parent)?;
    to_parent.send(&FromInit::Ready, &[])?;
    to_parent.await_continue()?;
    if let Some(gate) = gate {
        *wire = None;
        drop(container_lock);
        *wire = Some(gate.wait()?);
    }
    if let Some(state) = &plan.hooks.state {
        let hooks = &mut plan.hooks.start_container;
        for hook in &mut *hooks {
            hook.env.get_or_insert_with(|| plan.process.env.clone());
        }
        // They may be programs of the image, and are under the filter as its own is.
        let confine = || seccomp::attach_last(&plan.process);
        hooks::run_prepared(hooks, &here(state, Status::Created), confine)?;
    }
    process::set_limits(&plan.process)?;
    if let Some(wire) = wire {
        // Whoever waited for it may have been killed; the container goes on.
        let _ = wire.send(&FromInit::Executing, &[]);
    }
    process::restore_signals(&plan.process);
    seccomp::attach_last(&plan.process)?;
    Err(program::execute(&program, &plan.process))
}

/// All steps between the namespaces and the program, in their order; returns the program's path.
/// `memory` is the cgroup to enter last.
fn set_up(
    plan: &mut Plan,
    procfs: Option<Procfs>,
    memory: &mut Option<OwnedFd>,
    wire: &Wire,
) -> Result<CString> {
    // From here on other processes of the container may see this one (a joined pid namespace):
    // without CAP_SYS_PTRACE they can neither trace it nor look at what it holds open.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .context(|| "hiding the init stage")?;
    // A hook may keep us from seeing the end of the wire: who deletes what a killed runtime left
    // must not have to look for us (without cgroups there is nowhere to look).
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context(|| "binding the init stage to the runtime")?;
    process::set_names(plan)?;
    let procfs = match procfs {
        None if needs_procfs(plan) => Some(Procfs::open()?),
        opened => opened,
    };
    process::join_keyring(plan, procfs.as_ref())?;
    if let Some(procfs) = &procfs {
        procfs::write_sysctls(procfs, &plan.sysctls)?;
    }
    process::raise_limits(&plan.process)?;
    process::set_scheduling(&plan.process)?;
    match &plan.rootfs {
        Some(rootfs) => rootfs::set_up(rootfs, plan, wire)?,
        None => rootfs::join(plan, wire)?,
    }
    if plan.process.wants_home {
        plan.process.env.push(process::home(plan.process.user.uid)?);
    }
    if let Some(procfs) = &procfs {
        process::set_labels(&plan.process, procfs)?;
    }
    drop(procfs);
    credentials::give_stdio(&plan.process.user)?;
    credentials::assume(&plan.process, plan.namespaces.setgroups)?;
    let program = program::find(&plan.process)?;
    seccomp::attach_early(plan)?;
    if plan.namespaces.fork == Fork::BeforeProgram {
        // Not after it: who looks at what is in the container then must find no file of the host's.
        process::enter_cgroup(memory.take())?;
        namespaces::branch_off_last(wire)?;
    }
    process::lead_session(plan.terminal.is_some())?;
    Ok(program)
}

fn needs_procfs(plan: &Plan) -> bool {
    let process = &plan.process;
    !plan.sysctls.is_empty()
        || process.apparmor_profile.is_some()
        || process.selinux_label.is_some()
}

/// What the parent sent first.
struct Received {
    plan: Plan,
    cgroups: AttachFiles,
    namespaces: Vec<OwnedFd>,
    gate: Option<Gate>,
    container_lock: Option<OwnedFd>,
}

fn receive(wire: &Wire) -> Result<Received> {
    let (length, cgroups, memory, namespaces, gate, descriptors) = match wire.receive()? {
        Some((
            FromParent::Plan {
                length,
                cgroups,
                memory,
                namespaces,
                gate,
            },
            descriptors,
        )) => (
            length as usize,
            cgroups as usize,
            memory,
            namespaces as usize,
            gate,
            descriptors,
        ),
        Some(_) | None => return Err(wire::out_of_turn("something else, or nothing,", "Plan")),
    };
    let mut descriptors = descriptors.into_iter();
    let file = descriptors.next();
    let cgroups = AttachFiles {
        first: descriptors.by_ref().take(cgroups).collect(),
        memory: if memory { descriptors.next() } else { None },
    };
    let namespaces: Vec<OwnedFd> = descriptors.by_ref().take(namespaces).collect();
    let gate = match (gate, descriptors.next(), descriptors.next()) {
        (true, Some(listener), Some(lock)) => Some(Gate { listener, lock }),
        _ => None,
    };
    let container_lock = descriptors.next();
    let file = file.ok_or_else(|| Error::new(Code::Protocol, "the plan came without its file"))?;
    let bytes = files::read_first(&file, length).context(|| "reading the plan")?;
    let plan = postcard::from_bytes(&bytes)
        .map_err(|e| Error::new(Code::Protocol, format!("the plan: {e}")))?;
    Ok(Received {
        plan,
        cgroups,
        namespaces,
        gate,
        container_lock,
    })
}

/// The state as a hook inside the container is told it: the pid is ours, in our namespace.
fn here(state: &hooks::State, status: Status) -> hooks::State {
    hooks::State {
        status,
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        ..state.clone()
    }
}
