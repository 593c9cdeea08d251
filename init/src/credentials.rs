//! Who the process is: ids, groups, capabilities, and where it stands.

use crate::error::{Code, Context, Error, Result};
use crate::plan::process::{Capabilities, Process, User};
use crate::seccomp;
use crate::sys::stdio;
use alloc::format;
use alloc::vec::Vec;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid};

/// Gives up all that the program is not to have, and goes to its directory.
///
/// # Errors
/// The part that the kernel refuses, by its place in config.json.
pub fn assume(process: &Process, setgroups: bool) -> Result<()> {
    limit_bounding_set(&process.capabilities)?;
    // Tried with all privileges first, then as the user: either may be the one that can enter
    // (root cannot enter a user's FUSE mount, nor the user a directory of root's).
    let entered = rustix::process::chdir(&process.cwd);
    become_user(&process.user, setgroups)?;
    match entered {
        Err(Errno::ACCESS) => rustix::process::chdir(&process.cwd),
        other => other,
    }
    .context(|| format!("process.cwd: entering {}", process.cwd.to_string_lossy()))?;
    verify_cwd()?;
    set_capabilities(&process.capabilities, seccomp::kept_capability(process))?;
    if process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).context(|| "setting no_new_privs")?;
    }
    Ok(())
}

/// The current directory must be inside the root: by way of a leaked descriptor it could be
/// the host's (CVE-2024-21626), which the kernel shows as "(unreachable)/...".
fn verify_cwd() -> Result<()> {
    let cwd = rustix::process::getcwd(Vec::new()).context(|| "process.cwd: looking where it is")?;
    if cwd.as_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(Error::new(
            Code::InvalidConfig,
            "process.cwd: it is outside the container's root",
        ))
    }
}

/// Takes what is not in `wanted` out of the bounding set.
///
/// # Errors
/// `EPERM` where CAP_SETPCAP is missing.
fn limit_bounding_set(wanted: &Capabilities) -> Result<()> {
    for (name, capability) in CapabilitySet::all().iter_names() {
        if wanted.bounding & capability.bits() != 0 {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            // The kernel does not know it: then nobody can have it.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(error) => {
                return Err(Error::system(
                    format!("dropping CAP_{name} from the bounding set"),
                    error,
                ));
            }
        }
    }
    Ok(())
}

/// Becomes `user`, keeping the permitted capabilities for `set_capabilities` to cut.
///
/// # Errors
/// An id that the user namespace does not map is `EINVAL`.
fn become_user(user: &User, setgroups: bool) -> Result<()> {
    // The spec's default is the runtime's umask; runc and crun both take 0022 for it.
    let umask = rustix::fs::Mode::from_raw_mode(user.umask.unwrap_or(0o022));
    rustix::process::umask(umask);
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    rustix::thread::set_keep_capabilities(true).context(|| "keeping capabilities over setuid")?;
    if let Some(groups) = &user.additional_gids {
        set_groups(groups, setgroups)?;
    }
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .context(|| format!("process.user.gid: becoming group {}", user.gid))
        .map_err(unmapped)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid)
        .context(|| format!("process.user.uid: becoming user {}", user.uid))
        .map_err(unmapped)
}

fn set_groups(groups: &[u32], permitted: bool) -> Result<()> {
    if permitted {
        let groups: Vec<Gid> = groups.iter().map(|&id| Gid::from_raw(id)).collect();
        return rustix::thread::set_thread_groups(&groups)
            .context(|| "process.user.additionalGids: setting the groups");
    }
    if groups.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Code::InvalidConfig,
        "process.user.additionalGids: this user namespace denies setgroups",
    )
    .hint("leave them out, or map groups with newgidmap"))
}

fn unmapped(error: Error) -> Error {
    match error.errno() {
        Some(Errno::INVAL) => error.hint("the container's user namespace does not map this id"),
        _ => error,
    }
}

/// Sets the four sets other than the bounding one, for the execve to come. `kept` stays
/// permitted until then, where this process has it.
///
/// # Errors
/// `EPERM` where a capability is wanted that the runtime does not have.
fn set_capabilities(wanted: &Capabilities, kept: CapabilitySet) -> Result<()> {
    let set = |bits| CapabilitySet::from_bits_retain(bits);
    let had = rustix::thread::capabilities(None)
        .context(|| "reading our own capabilities")?
        .permitted;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: set(wanted.effective),
            permitted: set(wanted.permitted) | (kept & had),
            inheritable: set(wanted.inheritable),
        },
    )
    .context(|| "process.capabilities: setting them")?;
    rustix::thread::clear_ambient_capability_set()
        .context(|| "clearing the ambient capabilities")?;
    for (name, capability) in set(wanted.ambient).iter_names() {
        rustix::thread::configure_capability_in_ambient_set(capability, true)
            .context(|| format!("process.capabilities.ambient: raising CAP_{name}"))?;
    }
    Ok(())
}

/// Gives stdin, stdout and stderr to the user where they are not a terminal or the null device,
/// so that /dev/stdout can be opened again by the container's user (moby#31243).
///
/// # Errors
/// Those of fstat(2), and of fchown(2) but where the owner cannot be changed at all.
pub fn give_stdio(user: &User) -> Result<()> {
    for fd in stdio::all() {
        give(fd, user).context(|| "giving stdio to the container's user")?;
    }
    Ok(())
}

fn give(fd: BorrowedFd<'_>, user: &User) -> rustix::io::Result<()> {
    let stat = match rustix::fs::fstat(fd) {
        Err(Errno::BADF) => return Ok(()),
        other => other?,
    };
    if stat.st_uid == user.uid || crate::devices::is_null(&stat) {
        return Ok(());
    }
    match rustix::fs::fchown(fd, Some(Uid::from_raw(user.uid)), None) {
        // Not ours to give (a user namespace, a read-only file system): it stays as it is.
        Err(Errno::PERM | Errno::INVAL | Errno::ROFS) => Ok(()),
        other => other,
    }
}
