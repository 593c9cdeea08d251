//! `delete`: removes a container and all that was made for it.

use crate::cli;
use crate::container::directory;
use crate::container::{ContainerId, Directory, Record};
use crate::context::Context as Globals;
use crate::error::{Code, Error, Result};
use crate::hooks::{self, Status};
use crate::host_mounts;
use crate::image::store::remove_tree;
use crate::spawn;
use crate::timing;
use crate::user_namespace::as_root;
use rustix::process::Signal;
use std::os::fd::AsFd;
use std::time::Duration;

/// How long a killed process may take to go.
const DEATH_DEADLINE: Duration = Duration::from_secs(10);

/// How long a create that is to be overridden may take to finish by itself.
const CREATOR_PATIENCE: Duration = Duration::from_millis(100);

/// Runs the command.
///
/// # Errors
/// Where the container runs and `--force` is not given; where something cannot be removed.
pub fn run(globals: &Globals, args: &cli::Delete) -> Result<()> {
    let id = ContainerId::new(&args.id)?;
    let directory = match globals.root.open(&id) {
        Err(error) if args.force && error.code() == Code::NotFound => return Ok(()),
        other => other?,
    };
    match delete(&directory, &id, args.force) {
        // Somebody else has deleted it meanwhile.
        Err(error) if args.force && error.code() == Code::NotFound => Ok(()),
        other => other,
    }
}

/// Deletes a container.
///
/// # Errors
/// See [`run`].
pub fn delete(directory: &Directory, id: &ContainerId, force: bool) -> Result<()> {
    let lock = if force {
        override_lock(directory)
    } else {
        directory.lock(directory::PATIENCE)
    };
    let _lock = match lock {
        // Another delete was faster, and that is all that was asked for.
        Err(error) if force && error.code() == Code::NotFound => return Ok(()),
        other => other?,
    };
    let record = match directory.read() {
        // A create that died before it could say what it was about to make: so nothing was made.
        Err(error) if error.code() == Code::NotFound && force => return directory.remove(),
        other => other?,
    };
    match directory.status(&record) {
        Ok(Status::Stopped | Status::Created) => {}
        // Nor does it matter that the status cannot be told (a freezer that is stuck halfway).
        _ if force => {}
        Err(error) => return Err(error),
        Ok(status) => {
            return Err(Error::new(
                Code::WrongState,
                format!(
                    "cannot delete container {id} that is not stopped: {}",
                    status.as_str()
                ),
            )
            .hint("kill it first, or use --force"));
        }
    }
    if record.is_mere_intent() {
        // It may have died between making them and saying that they are its own.
        record.cgroups.remove_unused()?;
    }
    destroy(directory, &record)
}

/// Takes the lock, if need be from a command that hangs: a `create` is killed, and so is the
/// container, for which a `start` waits. Its init stage holds the lock too, and does not notice
/// the end of its creator while it waits for a hook.
fn override_lock(directory: &Directory) -> Result<crate::container::Lock> {
    match directory.lock(CREATOR_PATIENCE) {
        Err(error) if error.code() == Code::Timeout => {}
        other => return other,
    }
    let Ok(record) = directory.read() else {
        return directory.lock(DEATH_DEADLINE);
    };
    if record.process.is_none()
        && let Some(pidfd) = record.creator.open()?
    {
        log::warn!("killing the create that is still at work on the container");
        // It fails only where it is gone already.
        let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
    }
    // The record is as old as the lock is held by another: what it says may be killed, and
    // whatever else there is dies when the lock is ours.
    if let Err(error) = kill_all(&record) {
        log::warn!("{error}");
    }
    directory.lock(DEATH_DEADLINE)
}

/// Kills what runs, removes what was made, runs the poststop hooks, and forgets the container
/// last: whatever fails before that can be tried again.
///
/// # Errors
/// What cannot be killed or removed, by name.
pub fn destroy(directory: &Directory, record: &Record) -> Result<()> {
    kill_all(record)?;
    timing::phase("killing what is left");
    if !record.is_mere_intent() {
        record.cgroups.remove()?;
    }
    timing::phase("removing the cgroups");
    if let Some(groups) = &record.intel_rdt {
        groups.remove()?;
    }
    host_mounts::remove(record)?;
    for hook in &record.poststop {
        // A failing poststop hook is logged, and the others run (runtime.md, "Lifecycle", step 13).
        if let Err(error) = hooks::run(std::slice::from_ref(hook), &record.state(Status::Stopped)) {
            log::warn!("{error}");
        }
    }
    if record.owns_bundle {
        as_root(|| remove_tree(&record.bundle))?;
    }
    timing::phase("running the poststop hooks");
    directory.remove()?;
    timing::phase("removing the state directory");
    Ok(())
}

/// Kills the container's init and all of its cgroup, and waits until init is gone.
///
/// # Errors
/// Where it does not die.
pub fn kill_all(record: &Record) -> Result<()> {
    let init = match record.process {
        Some(process) => process.open()?,
        None => None,
    };
    if let Some(pidfd) = &init {
        // It fails only where it is gone already.
        let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    }
    if !record.is_mere_intent() {
        record.cgroups.signal_all(libc::SIGKILL)?;
    }
    match &init {
        Some(pidfd) if !spawn::ended_within(pidfd.as_fd(), Some(DEATH_DEADLINE))? => {
            Err(Error::new(
                Code::Timeout,
                format!(
                    "the container's process {} did not die within {DEATH_DEADLINE:?} of SIGKILL",
                    record.process.map_or(0, |p| p.pid)
                ),
            )
            .hint("is it stuck in the kernel (state D in ps)?"))
        }
        _ => Ok(()),
    }
}
