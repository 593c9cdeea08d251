//! What the process is besides its files and credentials: cgroups, limits, scheduling, labels,
//! session.

use crate::error::{Code, Context, Error, Result};
use crate::files;
use crate::passwd::HomeOf;
use crate::plan::Plan;
use crate::plan::process::{Affinity, Process, Rlimit};
use crate::plan::rootfs::ContainerPath;
use crate::procfs::Procfs;
use crate::root::{Root, file_type, is_of_the_kernel};
use crate::sys::{keyring, schedule, signals, stdio};
use alloc::ffi::CString;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

/// The files by which a process enters its cgroups on v1.
#[derive(Debug, Default)]
pub struct AttachFiles {
    /// All but the memory controller's; the freezer's last, because in a frozen cgroup the task
    /// would stop half-way between.
    pub first: Vec<OwnedFd>,
    /// The memory controller's, which can wait: what a process uses before it enters is not
    /// charged to the container.
    pub memory: Option<OwnedFd>,
}

/// Moves this process into the cgroups whose `tasks` files these are, and sets what must be
/// set on one side or the other of that.
///
/// A single thread that moves itself is spared the kernel's global lock (Linux 5.5).
///
/// # Errors
/// The kernel's refusal.
pub fn enter_cgroups(files: Vec<OwnedFd>, process: &Process) -> Result<()> {
    set_affinity(process.affinity.initial.as_deref(), "initial")?;
    for file in files {
        enter_cgroup(Some(file))?;
    }
    let Affinity { initial, last } = &process.affinity;
    set_affinity(last.as_deref(), "final")?;
    if initial.is_none() && last.is_none() {
        reset_affinity();
    }
    if let Some(score) = process.oom_score_adj {
        // Through the runtime's own /proc: no file of the container is in sight yet.
        files::write_to(c"/proc/self/oom_score_adj", score.to_string().as_bytes())
            .context(|| format!("process.oomScoreAdj: setting {score}"))
            .map_err(|error| error.hint("lowering it takes CAP_SYS_RESOURCE"))?;
    }
    Ok(())
}

/// Moves this process into the cgroup whose `tasks` file this is.
///
/// # Errors
/// The kernel's refusal.
pub fn enter_cgroup(file: Option<OwnedFd>) -> Result<()> {
    match file {
        Some(file) => rustix::io::write(&file, b"0")
            .map(drop)
            .context(|| "entering the container's cgroup"),
        None => Ok(()),
    }
}

/// Lets this process run on every CPU of its cgroup's cpuset, now and when that changes: what CPUs
/// an engine keeps itself to is no limit of its containers. The kernel leaves out what it has not.
fn reset_affinity() {
    // No kernel can be built for more (NR_CPUS).
    const MOST_CPUS: usize = 8192;
    // Where it is refused the container has fewer CPUs, and no other harm.
    let _ = schedule::set_affinity(&[u64::MAX; MOST_CPUS / 64]);
}

fn set_affinity(cpus: Option<&[u64]>, which: &str) -> Result<()> {
    match cpus {
        Some(mask) => {
            schedule::set_affinity(mask).context(|| format!("process.execCPUAffinity.{which}"))
        }
        None => Ok(()),
    }
}

/// Joins the container's session keyring, with the label of its processes, and lets them search it.
///
/// # Errors
/// Those of keyctl(2), but where the kernel has no keyrings; where the label is refused.
pub fn join_keyring(plan: &Plan, procfs: Option<&Procfs>) -> Result<()> {
    /// `KEY_USR_SEARCH` of the possessor, as in keyctl_setperm(3).
    const POSSESSOR_SEARCH: u32 = 0x0008_0000;
    let Some(name) = plan.keyring.as_deref() else {
        return Ok(());
    };
    if let (Some(label), Some(procfs)) = (&plan.process.selinux_label, procfs) {
        // In force until the execve.
        procfs
            .write("self/attr/keycreate", label.as_bytes())
            .context(|| format!("process.selinuxLabel: {label}"))
            .map_err(unlabelled)?;
    }
    let doing = || "joining the session keyring";
    let name =
        CString::new(name).map_err(|_| Error::new(Code::InvalidConfig, "the id holds a NUL"))?;
    let key = match keyring::join_session(&name) {
        Err(Errno::NOSYS) => return Ok(()),
        other => other
            .context(doing)
            .map_err(|e| e.hint("--no-new-keyring does without one"))?,
    };
    let mask = keyring::permissions(key).context(doing)?;
    keyring::set_permissions(key, mask | POSSESSOR_SEARCH).context(doing)
}

/// Sets the host and domain name.
///
/// # Errors
/// Those of sethostname(2).
pub fn set_names(plan: &Plan) -> Result<()> {
    if let Some(name) = &plan.hostname {
        rustix::system::sethostname(name.as_bytes())
            .context(|| format!("hostname: setting {name:?}"))?;
    }
    if let Some(name) = &plan.domainname {
        rustix::system::setdomainname(name.as_bytes())
            .context(|| format!("domainname: setting {name:?}"))?;
    }
    Ok(())
}

/// Raises hard limits that the program is to have, while there is the privilege for it. What the
/// limits forbid may still be needed to set the container up: they come in force in [`set_limits`].
///
/// # Errors
/// The limit that the kernel refuses, by name.
pub fn raise_limits(process: &Process) -> Result<()> {
    for limit in &process.rlimits {
        let (soft, hard) = schedule::rlimit(limit.resource).context(|| refused(limit))?;
        if limit.hard > hard {
            schedule::set_rlimit(limit.resource, soft, limit.hard)
                .context(|| refused(limit))
                .map_err(|error| error.hint("raising a hard limit takes CAP_SYS_RESOURCE"))?;
        }
    }
    Ok(())
}

/// Sets the resource limits, none of which is above what it was.
///
/// # Errors
/// The limit that the kernel refuses, by name.
pub fn set_limits(process: &Process) -> Result<()> {
    process.rlimits.iter().try_for_each(|limit| {
        schedule::set_rlimit(limit.resource, limit.soft, limit.hard).context(|| refused(limit))
    })
}

fn refused(limit: &Rlimit) -> String {
    format!(
        "process.rlimits: setting {} to {}/{}",
        limit.name, limit.soft, limit.hard
    )
}

/// sched_setattr(2), EPERM.
const WHAT_SCHEDULING_WANTS: &str = "SCHED_DEADLINE wants every CPU of the system: such a process \
    scheduler can't be used together with AllowedCPUs, linux.resources.cpu.cpus; others may want \
    CAP_SYS_NICE";

/// Sets scheduling, I/O priority, memory policy and personality.
///
/// # Errors
/// The one that the kernel refuses, by its place in config.json.
pub fn set_scheduling(process: &Process) -> Result<()> {
    if let Some(attr) = process.scheduler {
        schedule::set_scheduler(0, attr)
            .context(|| "process.scheduler")
            .map_err(|error| match error.errno() {
                Some(Errno::PERM) => error.hint(WHAT_SCHEDULING_WANTS),
                _ => error,
            })?;
    }
    if let Some(priority) = process.io_priority {
        schedule::set_io_priority(priority).context(|| "process.ioPriority")?;
    }
    if let Some(policy) = &process.memory_policy {
        schedule::set_memory_policy(policy.mode, &policy.nodes).context(|| "linux.memoryPolicy")?;
    }
    if let Some(persona) = process.personality {
        schedule::set_personality(persona).context(|| "linux.personality")?;
    }
    Ok(())
}

/// Sets the security labels for the execve to come.
///
/// # Errors
/// Where the label is refused, or the security module is not there.
pub fn set_labels(process: &Process, procfs: &Procfs) -> Result<()> {
    if let Some(profile) = &process.apparmor_profile {
        // The attribute has had a directory of its own since Linux 5.8.
        let how = if process.apparmor_stacks {
            "stack"
        } else {
            "exec"
        };
        let text = format!("{how} {profile}");
        procfs
            .write("self/attr/apparmor/exec", text.as_bytes())
            .or_else(|error| match error.errno() {
                Some(Errno::NOENT) => procfs.write("self/attr/exec", text.as_bytes()),
                _ => Err(error),
            })
            .context(|| format!("process.apparmorProfile: {profile}"))
            .map_err(|error| error.hint("is AppArmor enabled, and the profile loaded?"))?;
    }
    if let Some(label) = &process.selinux_label {
        procfs
            .write("self/attr/exec", label.as_bytes())
            .context(|| format!("process.selinuxLabel: {label}"))
            .map_err(unlabelled)?;
    }
    Ok(())
}

fn unlabelled(error: Error) -> Error {
    error.hint("is SELinux enabled, and the label in its policy?")
}

/// `HOME=` of the user in the container's /etc/passwd; "/" where it has none.
///
/// # Errors
/// Where the container's root cannot be opened. A passwd that cannot be read is no passwd.
pub fn home(uid: u32) -> Result<CString> {
    let root = Root::own()?;
    let home = home_in_passwd(&root, uid).filter(|home| !home.is_empty());
    let home = home.unwrap_or_else(|| b"/".to_vec());
    CString::new([b"HOME=", home.as_slice()].concat())
        .map_err(|_| Error::new(Code::InvalidConfig, "/etc/passwd: a NUL in a home"))
}

fn home_in_passwd(root: &Root, uid: u32) -> Option<Vec<u8>> {
    /// Far above any passwd there is; a sparse file of terabytes would take hours.
    const LARGEST: usize = 16 << 20;
    // Not blocking on a fifo (CVE-2024-9676).
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = root.open(&ContainerPath::new("/etc/passwd"), flags).ok()?;
    // We may read what the container may not: a link to /proc/kmsg would take the messages in
    // it away from the host's logger.
    let is_ours_to_read =
        file_type(&file).ok()? == FileType::RegularFile && !is_of_the_kernel(&file).ok()?;
    if !is_ours_to_read {
        return None;
    }
    let (mut piece, mut read) = (Vec::new(), 0);
    let mut lookup = HomeOf::new(uid);
    while read <= LARGEST {
        piece.clear();
        match files::read_more(&file, &mut piece).ok()? {
            0 => return lookup.end(),
            more => read += more,
        }
        if let Some(home) = lookup.push(&piece) {
            return Some(home);
        }
    }
    None
}

/// Makes this process lead a session of its own, with stdin as its terminal where it has one.
///
/// # Errors
/// Those of setsid(2) and of the ioctl.
pub fn lead_session(terminal: bool) -> Result<()> {
    rustix::process::setsid().context(|| "making a session")?;
    if terminal {
        rustix::process::ioctl_tiocsctty(stdio::all()[0])
            .context(|| "taking control of the terminal")?;
    }
    Ok(())
}

/// Gives the program a clean slate: no signal blocked, none ignored.
pub fn restore_signals(process: &Process) {
    signals::reset_dispositions(process.ignored_signals);
    signals::set_mask(&signals::SignalSet::empty());
}
