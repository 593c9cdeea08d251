//! Namespaces of the plan: those joined are opened here, and known to be what they should be.

use crate::config::Linux;
use crate::config::linux::{Clock, IdMapping, Namespace, NamespaceKind};
use crate::error::{Code, Context, Error, Result};
use crate::plan::namespaces::{Fork, Join, Namespaces};
use crate::sys::namespace;
use rustix::fs::{Mode, OFlags};
use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

/// The `CLONE_NEW*` bit of a kind.
pub fn bit(kind: NamespaceKind) -> u64 {
    let bit = match kind {
        NamespaceKind::Pid => libc::CLONE_NEWPID,
        NamespaceKind::Network => libc::CLONE_NEWNET,
        NamespaceKind::Mount => libc::CLONE_NEWNS,
        NamespaceKind::Ipc => libc::CLONE_NEWIPC,
        NamespaceKind::Uts => libc::CLONE_NEWUTS,
        NamespaceKind::User => libc::CLONE_NEWUSER,
        NamespaceKind::Cgroup => libc::CLONE_NEWCGROUP,
        NamespaceKind::Time => libc::CLONE_NEWTIME,
    };
    bit as u64
}

/// The namespaces of a new container, and the descriptors of those it joins.
pub fn plan(linux: &Linux) -> Result<(Namespaces, Vec<OwnedFd>)> {
    let mut plan = Namespaces {
        setgroups: true,
        ..Namespaces::default()
    };
    let mut descriptors = Vec::new();
    for (index, entry) in linux.namespaces.iter().enumerate() {
        match &entry.path {
            None => plan.new |= bit(entry.kind),
            Some(path) => {
                let at = format!("linux.namespaces[{index}].path");
                descriptors.push(open(entry, path).context(|| &at)?);
                plan.join.push(Join {
                    kinds: bit(entry.kind),
                    what: format!("{at} {}", path.display()),
                });
            }
        }
    }
    plan.time_offsets = time_offsets(linux);
    plan.setgroups = permits_setgroups(&plan, linux);
    let user = libc::CLONE_NEWUSER as u64;
    let needs_fork = plan.makes(user | libc::CLONE_NEWTIME as u64)
        || plan.joins(user | libc::CLONE_NEWPID as u64);
    if needs_fork {
        plan.fork = Fork::BeforeSetup;
    }
    Ok((plan, descriptors))
}

/// Whether a mapping takes more than an ordinary user may write: their own id, once.
pub fn needs_helper(mappings: &[IdMapping], own_id: u32) -> bool {
    !matches!(mappings, [only] if only.host_id == own_id && only.size == 1)
}

/// An ordinary user's own mapping of their one group comes with setgroups denied, and a user
/// namespace made in such a one inherits that (user_namespaces(7)).
fn permits_setgroups(plan: &Namespaces, linux: &Linux) -> bool {
    let own_group = rustix::process::getegid().as_raw();
    let ours = std::fs::read("/proc/self/setgroups");
    if ours.is_ok_and(|text| text.starts_with(b"deny")) {
        return false;
    }
    !plan.makes(libc::CLONE_NEWUSER as u64)
        || rustix::process::geteuid().is_root()
        || needs_helper(&linux.gid_mappings, own_group)
}

fn open(entry: &Namespace, path: &Path) -> Result<OwnedFd> {
    // Not blocking on a fifo; a namespace file does not mind.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(path, flags, Mode::empty())
        .context(|| format!("opening {}", path.display()))?;
    match namespace::kind(&fd) {
        Ok(kind) if kind == bit(entry.kind) => Ok(fd),
        Ok(_) => Err(wrong(path, entry.kind, "a namespace of another type")),
        Err(_) => Err(wrong(path, entry.kind, "no namespace")),
    }
}

fn wrong(path: &Path, kind: NamespaceKind, what: &str) -> Error {
    Error::new(
        Code::InvalidConfig,
        format!(
            "{} is {what}, not a {} namespace",
            path.display(),
            kind.name()
        ),
    )
}

fn time_offsets(linux: &Linux) -> String {
    let mut lines = String::new();
    for (clock, offset) in &linux.time_offsets {
        let clock = match clock {
            Clock::Monotonic => "monotonic",
            Clock::Boottime => "boottime",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "{clock} {} {}", offset.secs, offset.nanosecs);
    }
    lines
}

/// The namespaces of one more process in a container: those of its init, all at once.
pub fn join_container(
    container: OwnedFd,
    kinds: u64,
    setgroups: bool,
) -> (Namespaces, Vec<OwnedFd>) {
    let join = Join {
        kinds,
        what: "the container's namespaces".into(),
    };
    let plan = Namespaces {
        join: vec![join],
        fork: Fork::BeforeProgram,
        setgroups,
        ..Namespaces::default()
    };
    (plan, vec![container])
}
