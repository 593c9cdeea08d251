//! The parent's side of the init stage: starts it, sends it the plan, answers what it asks.

pub mod agent;
mod conversation;
mod idmap;
pub mod mappings;
mod program;
mod root;

use crate::cgroups::{AttachFiles, Manager};
use crate::config::Config;
use crate::error::{Code, Context, Error, Result};
use crate::hooks::{Hook, State};
use crate::image::overlay::Overlay;
use crate::init::Invocation;
use crate::init::gate::Gate;
use crate::init::wire::{FromParent, Wire};
use crate::plan::build::Built;
use crate::spawn::Child;
pub use crate::spawn::HELD_BACK;
use crate::sys::clone::{Clone, Forked, fork};
use crate::sys::exec;
use crate::sys::schedule::set_scheduler;
use crate::timing;
use agent::Agent;
use conversation::Conversation;
use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// What the init stage is started with.
pub struct Launch<'a> {
    /// The plan and the namespaces that it joins.
    pub built: Built,
    /// The cgroup (v2) to be born in.
    pub into_cgroup: Option<OwnedFd>,
    /// Lets the process that was made into its cgroups; returns the files by which it enters
    /// the rest of them itself.
    pub admit: &'a dyn Fn(Pid) -> Result<AttachFiles>,
    /// Whose memory limit may be what kills it.
    pub cgroups: &'a Manager,
    /// Where it waits for `start`, with the container's lock; none in exec.
    pub gate: Option<(Gate, BorrowedFd<'a>)>,
    /// What `create` does while the init stage waits.
    pub runtime: Option<Runtime<'a>>,
    /// Who decides system calls that the filter does not.
    pub agent: Option<Agent<'a>>,
}

/// The parent's own part of a create.
#[derive(Debug)]
pub struct Runtime<'a> {
    /// For id mappings and network devices.
    pub config: &'a Config,
    /// `hooks.prestart`.
    pub prestart: Vec<Hook>,
    /// `hooks.createRuntime`, which run after those.
    pub create_runtime: Vec<Hook>,
    /// What they are told; the pid is filled in.
    pub state: State,
    /// What the container's root is stacked from, where it is no directory.
    pub root: Option<(&'a Overlay, &'a Path)>,
}

/// A process that is set up and waits for the word to go on.
#[derive(Debug)]
pub struct Launched {
    /// In our pid namespace.
    pub pid: Pid,
    /// A descriptor of it.
    pub pidfd: OwnedFd,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
    /// Killed when this is dropped, unless released.
    process: Child,
    wire: Wire,
}

/// Starts the init stage and takes it to the point where all is set up.
///
/// # Errors
/// Its own failure, as it tells it; a hook's; a signal of [`HELD_BACK`]. The process is gone then.
pub fn launch(launch: Launch<'_>) -> Result<Launched> {
    let (ours, theirs) = Wire::pair()?;
    let plan = &launch.built.plan;
    let program = program::file()?;
    timing::phase("preparing the init stage's program");
    let clone = Clone {
        namespaces: plan.namespaces.made_by_clone(),
        into_cgroup: launch.into_cgroup.as_ref().map(AsFd::as_fd),
        sibling: false,
    };
    let (pid, pidfd) = match fork(&clone).context(|| "making the container's process")? {
        Forked::Child => become_init(&program, &theirs, plan.preserved_fds),
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop((theirs, program));
    timing::phase("cloning the init stage");
    log::debug!("the init stage is process {}", pid.as_raw_nonzero());
    let conversation = Conversation::new(
        &launch.built,
        launch.cgroups,
        launch.runtime,
        launch.agent,
        ours,
        pid,
        pidfd,
    )?;
    // While it loads the init stage, which waits for the plan.
    let cgroups = (launch.admit)(pid)?;
    conversation.send_plan(&launch.built.namespaces, &cgroups, launch.gate.as_ref())?;
    drop((launch.gate, cgroups));
    timing::phase("sending it the plan");
    let launched = conversation.hold()?;
    if let Some(attr) = launch.built.late_scheduler {
        set_scheduler(launched.pid.as_raw_nonzero().get(), attr).context(|| "process.scheduler")?;
    }
    Ok(launched)
}

/// The child's part of the clone: executes the init stage, with nothing but the wire.
fn become_init(program: &OwnedFd, wire: &Wire, preserved_fds: u32) -> ! {
    let error = exec_init(program, wire, preserved_fds);
    wire.send_failure(&error);
    exec::exit_now(1)
}

fn exec_init(program: &OwnedFd, wire: &Wire, preserved_fds: u32) -> Error {
    let doing = || "executing the init stage";
    // Above those that are preserved, whose numbers are the container's.
    let first_free = 3 + preserved_fds as i32;
    let wire = rustix::io::fcntl_dupfd_cloexec(wire, first_free).and_then(|fd| {
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::empty())?;
        Ok(fd)
    });
    let wire = match wire {
        Ok(fd) => fd,
        Err(error) => return Error::system(doing(), error),
    };
    let invocation = Invocation {
        wire: wire.as_raw_fd(),
        preserved_fds,
    };
    // Names and numbers hold no NUL.
    let args: Vec<CString> = invocation
        .args()
        .into_iter()
        .filter_map(|arg| CString::new(arg).ok())
        .collect();
    Error::system(doing(), exec::execve_fd(program.as_fd(), &args, &[]))
}

/// A process that goes its own way: its number, a descriptor of it, its terminal's master.
#[derive(Debug)]
pub struct Running {
    /// In our pid namespace.
    pub pid: Pid,
    /// A descriptor of it.
    pub pidfd: OwnedFd,
    /// The master of its terminal.
    pub terminal: Option<OwnedFd>,
}

impl Launched {
    fn proceed(&self) -> Result<()> {
        match self.wire.send(&FromParent::Continue, &[]) {
            Err(error) if error.errno() == Some(Errno::PIPE) => Err(Error::new(
                Code::System,
                "the container's process was killed before it executed its program",
            )),
            other => other,
        }
    }

    /// Lets init go to the gate. It is recorded by now: from here on it lives by itself.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn release(self) -> Result<Running> {
        self.proceed()?;
        self.process.release();
        Ok(Running {
            pid: self.pid,
            pidfd: self.pidfd,
            terminal: self.terminal,
        })
    }

    /// Lets the process execute its program, and returns when it has.
    ///
    /// # Errors
    /// What kept it from executing it.
    pub fn execute(self) -> Result<Running> {
        self.proceed()?;
        self.wire.await_execution()?;
        self.process.release();
        Ok(Running {
            pid: self.pid,
            pidfd: self.pidfd,
            terminal: self.terminal,
        })
    }
}
