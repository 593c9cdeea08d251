//! The exchange with one init stage, up to its `Ready`. See `init::wire` for its order.

use super::agent::Agent;
use super::idmap::{UserNamespaces, map_ids};
use super::{HELD_BACK, Launched, Runtime, mappings, root};
use crate::cgroups::{AttachFiles, Manager};
use crate::error::{Code, Context, Error, Result};
use crate::files;
use crate::hooks::{self, State, Status};
use crate::init::gate::Gate;
use crate::init::mounts::open_source;
use crate::init::wire::{FromInit, FromParent, Wire, out_of_turn};
use crate::net_devices;
use crate::plan::Plan;
use crate::plan::build::{Built, IdMaps};
use crate::plan::mounts::{Opener, Source};
use crate::plan::namespaces::Fork;
use crate::spawn::{self, Child};
use crate::sys::signals::{self, SignalSet};
use crate::timing;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{self, Pid};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// One side of it: ours.
pub struct Conversation<'a> {
    plan: &'a Plan,
    idmaps: &'a IdMaps,
    cgroups: &'a Manager,
    runtime: Option<Runtime<'a>>,
    agent: Option<Agent<'a>>,
    signals: OwnedFd,
    wire: Wire,
    pid: Pid,
    pidfd: OwnedFd,
    process: Child,
    terminal: Option<OwnedFd>,
    has_forked: bool,
    /// The container's, where its root is to be mounted there.
    user_namespace: Option<OwnedFd>,
    /// For id-mapped mounts.
    user_namespaces: UserNamespaces,
}

impl<'a> Conversation<'a> {
    /// Begins it, with the process that was just made.
    pub fn new(
        built: &'a Built,
        cgroups: &'a Manager,
        runtime: Option<Runtime<'a>>,
        agent: Option<Agent<'a>>,
        wire: Wire,
        pid: Pid,
        pidfd: OwnedFd,
    ) -> Result<Self> {
        let kept = pidfd.try_clone();
        let process = Child::new(pidfd);
        Ok(Self {
            plan: &built.plan,
            idmaps: &built.idmaps,
            cgroups,
            runtime,
            agent,
            signals: signals::descriptor(&SignalSet::of(HELD_BACK))
                .context(|| "watching for signals")?,
            wire,
            pid,
            pidfd: kept.context(|| "keeping hold of the init stage")?,
            process,
            terminal: None,
            has_forked: false,
            user_namespace: None,
            user_namespaces: UserNamespaces::default(),
        })
    }

    /// Sends the plan, with the descriptors that [`FromParent::Plan`] lists.
    pub fn send_plan(
        &self,
        namespaces: &[OwnedFd],
        cgroups: &AttachFiles,
        gate: Option<&(Gate, BorrowedFd<'_>)>,
    ) -> Result<()> {
        let doing = || "passing the plan to the init stage";
        let bytes = postcard::to_allocvec(self.plan)
            .map_err(|e| Error::new(Code::Protocol, format!("{}: {e}", doing())))?;
        let file = files::in_memory("plan", &bytes).context(doing)?;
        let mut descriptors = vec![file.as_fd()];
        descriptors.extend(cgroups.first.iter().chain(&cgroups.memory).map(AsFd::as_fd));
        descriptors.extend(namespaces.iter().map(AsFd::as_fd));
        if let Some((gate, lock)) = gate {
            descriptors.extend([gate.listener.as_fd(), gate.lock.as_fd(), *lock]);
        }
        let message = FromParent::Plan {
            length: bytes.len() as u32,
            cgroups: cgroups.first.len() as u32,
            memory: cgroups.memory.is_some(),
            namespaces: namespaces.len() as u32,
            gate: gate.is_some(),
        };
        match self.wire.send(&message, &descriptors) {
            // It died before it could read: what it said, if anything, is the better error.
            Err(error) if error.errno() == Some(Errno::PIPE) => Ok(()),
            other => other,
        }
    }

    /// Answers the init stage until it is ready.
    ///
    /// # Errors
    /// Its failure or ours; it is killed then.
    pub fn hold(mut self) -> Result<Launched> {
        loop {
            self.await_message()?;
            let Some((message, descriptors)) = self.wire.receive::<FromInit>()? else {
                return Err(self.explain_death());
            };
            timing::phase("waiting for the init stage");
            let answered = match message {
                FromInit::Unshared => {
                    self.write_mappings()?;
                    "mapping its ids"
                }
                FromInit::Forked => {
                    self.adopt(descriptors)?;
                    "adopting its second process"
                }
                FromInit::RootMount => {
                    self.send_root()?;
                    "making the mount of its root"
                }
                FromInit::MountSource { index } => {
                    self.send_source(index)?;
                    "opening the source of a mount"
                }
                FromInit::RuntimeHooks => {
                    self.run_hooks()?;
                    "moving network devices and running hooks"
                }
                FromInit::Console => {
                    self.terminal = descriptors.into_iter().next();
                    "taking its terminal"
                }
                FromInit::SeccompListener { number } => {
                    self.tell_agent(number, descriptors)?;
                    "telling the seccomp agent"
                }
                FromInit::Ready => break,
                FromInit::Executing => return Err(out_of_turn("Executing", "Ready")),
                FromInit::Failed(error) => return Err(error),
            };
            timing::phase(answered);
        }
        Ok(Launched {
            pid: self.pid,
            pidfd: self.pidfd,
            terminal: self.terminal,
            process: self.process,
            wire: self.wire,
        })
    }

    /// Waits for the init stage to say something or to die; a signal to us ends it all.
    fn await_message(&self) -> Result<()> {
        loop {
            let mut ready = [
                PollFd::new(&self.wire, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            match rustix::event::poll(&mut ready, None) {
                Err(Errno::INTR) => continue,
                other => other.context(|| "waiting for the init stage")?,
            };
            if !ready[1].revents().is_empty()
                && let Some(signal) = signals::next(&self.signals).context(|| "reading a signal")?
            {
                return Err(Error::new(
                    Code::System,
                    format!("interrupted by signal {}", signal.number),
                ));
            }
            if !ready[0].revents().is_empty() {
                return Ok(());
            }
        }
    }

    fn proceed(&self) -> Result<()> {
        match self.wire.send(&FromParent::Continue, &[]) {
            // It died meanwhile: what it said, or how it ended, is the better error.
            Err(error) if error.errno() == Some(Errno::PIPE) => Ok(()),
            other => other,
        }
    }

    fn write_mappings(&mut self) -> Result<()> {
        let Some(runtime) = &self.runtime else {
            return Err(out_of_turn("Unshared", "no new user namespace (exec)"));
        };
        if !self.plan.namespaces.makes(libc::CLONE_NEWUSER as u64) || self.has_forked {
            return Err(out_of_turn("Unshared", "no new user namespace"));
        }
        let linux = &runtime.config.linux;
        mappings::write(self.pid, "linux", &linux.uid_mappings, &linux.gid_mappings)?;
        if runtime.root.is_some() && !process::geteuid().is_root() {
            // It is about to become another user, and then we may not look at it any more.
            let path = format!("/proc/{}/ns/user", self.pid.as_raw_nonzero());
            let namespace = File::open(&path).context(|| format!("opening {path}"))?;
            self.user_namespace = Some(namespace.into());
        }
        self.proceed()
    }

    /// The first process has branched off the one that stays, our child too, and ends. That
    /// happens once, where the plan says so: what is in the container by then is not believed.
    fn adopt(&mut self, descriptors: Vec<OwnedFd>) -> Result<()> {
        if self.plan.namespaces.fork == Fork::None || self.has_forked {
            return Err(out_of_turn("Forked", "no second process"));
        }
        self.has_forked = true;
        let Some(pidfd) = descriptors.into_iter().next() else {
            return Err(Error::new(Code::Protocol, "Forked came without a process"));
        };
        self.pid = pid_of(&pidfd)?;
        let kept = pidfd
            .try_clone()
            .context(|| "keeping hold of the container's process")?;
        let first = std::mem::replace(&mut self.process, Child::new(pidfd));
        spawn::wait(self.pidfd.as_fd())?;
        first.release();
        self.pidfd = kept;
        self.proceed()
    }

    fn send_root(&self) -> Result<()> {
        let Some((overlay, bundle)) = self.runtime.as_ref().and_then(|runtime| runtime.root) else {
            return Err(out_of_turn("RootMount", "no root to make"));
        };
        let mount = root::mount(overlay, bundle, self.user_namespace.as_ref())?;
        self.wire.send(&FromParent::Descriptor, &[mount.as_fd()])
    }

    fn send_source(&mut self, index: u32) -> Result<()> {
        let mounts = self
            .plan
            .rootfs
            .as_ref()
            .map_or(&[][..], |rootfs| &rootfs.mounts);
        let Some(Source::Bind {
            path,
            recursive,
            opener: Opener::Parent,
        }) = mounts.get(index as usize).map(|mount| &mount.source)
        else {
            return Err(out_of_turn("MountSource", "the index of a bind mount"));
        };
        let at = format!("mounts[{index}]");
        let source = open_source(path, *recursive).context(|| &at)?;
        if let Some(idmap) = self.idmaps.get(&(index as usize)) {
            let namespace = self.user_namespaces.get(&idmap.mapping, self.pid, &at)?;
            map_ids(&source, path, namespace, idmap.recursive).context(|| &at)?;
        }
        self.wire.send(&FromParent::Descriptor, &[source.as_fd()])
    }

    fn run_hooks(&self) -> Result<()> {
        let Some(runtime) = &self.runtime else {
            return Err(out_of_turn("RuntimeHooks", "no hooks (exec)"));
        };
        let pid = self.pid.as_raw_nonzero().get();
        let devices = &runtime.config.linux.net_devices;
        if !devices.is_empty() {
            let path = format!("/proc/{pid}/ns/net");
            let network = File::open(&path).context(|| format!("opening {path}"))?;
            net_devices::move_into(devices, network.as_fd())?;
        }
        let state = State {
            pid,
            ..runtime.state.clone()
        };
        // These come from the time when they ran at `start`, and are told so: the upstream suite
        // and old hooks wait for "created".
        hooks::run(
            &runtime.prestart,
            &State {
                status: Status::Created,
                ..state.clone()
            },
        )?;
        hooks::run(&runtime.create_runtime, &state)?;
        self.proceed()
    }

    /// Gives the agent the descriptor by which system calls of this process come.
    fn tell_agent(&self, number: Option<i32>, descriptors: Vec<OwnedFd>) -> Result<()> {
        let Some(agent) = &self.agent else {
            return Err(out_of_turn("SeccompListener", "no agent"));
        };
        let listener = match (number, descriptors.into_iter().next()) {
            (Some(number), _) => {
                process::pidfd_getfd(&self.pidfd, number, process::PidfdGetfdFlags::empty())
                    .context(|| "taking the seccomp listener over")
                    .map_err(|error| {
                        error.hint("linux.seccomp denies sendmsg, and so this takes CAP_SYS_PTRACE")
                    })?
            }
            (None, Some(listener)) => listener,
            (None, None) => {
                let message = "SeccompListener came without one";
                return Err(Error::new(Code::Protocol, message));
            }
        };
        agent.tell(self.pid, listener.as_fd())?;
        self.proceed()
    }

    /// The error for an init stage that ended without a word.
    fn explain_death(&self) -> Error {
        let how = match spawn::wait(self.pidfd.as_fd()) {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let error = Error::new(
            Code::System,
            format!("the init stage ended before the container was set up: {how}"),
        );
        if how.contains("signal 9") {
            self.cgroups.explain_kill(error)
        } else {
            error
        }
    }
}

/// The process behind a pidfd, by number in our pid namespace: the kernel's word for it, not the
/// sender's (proc_pid_fdinfo(5)).
fn pid_of(pidfd: &OwnedFd) -> Result<Pid> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let info = std::fs::read_to_string(&path).context(|| format!("reading {path}"))?;
    let pid = info
        .lines()
        .find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.and_then(Pid::from_raw).ok_or_else(|| {
        Error::new(
            Code::Protocol,
            "Forked came with something else than a process",
        )
    })
}
