//! `start`: opens the gate, and runs the hooks that follow.

use crate::cli;
use crate::container::directory;
use crate::container::{ContainerId, Directory, Record, gate};
use crate::context::Context as Globals;
use crate::delete;
use crate::error::{Code, Error, Result};
use crate::hooks::{self, Status};
use crate::notify::NotifySocket;
use crate::timing;
use std::os::fd::AsFd;

/// Runs the command.
///
/// # Errors
/// Where the container is not there to be started, or its program cannot be executed.
pub fn run(globals: &Globals, args: &cli::Id) -> Result<()> {
    let directory = globals.root.open(&ContainerId::new(&args.id)?)?;
    let notify = NotifySocket::listen(directory.path())?;
    let record = start(&directory)?;
    match notify {
        Some(notify) => notify.relay_until_ready(&record),
        None => Ok(()),
    }
}

/// Executes the program of a created container.
///
/// # Errors
/// Where it is not created in runc's words; what kept the program from being executed, or the
/// poststart hook that failed: the container is dead then (runtime.md, "Lifecycle", step 9).
pub fn start(directory: &Directory) -> Result<Record> {
    let lock = directory.lock(directory::PATIENCE)?;
    let record = directory.read()?;
    match directory.status(&record)? {
        Status::Created => {}
        Status::Stopped => {
            let error = refusal("cannot start a container that has stopped");
            return Err(record.cgroups.explain_kill(error));
        }
        Status::Creating => return Err(refusal("cannot start a container that is being created")),
        Status::Paused | Status::Running => {
            return Err(refusal("cannot start an already running container"));
        }
    }
    timing::phase("reading the container's state");
    gate::open(directory.as_fd()).map_err(|error| record.cgroups.explain_kill(error))?;
    timing::phase("executing the program");
    drop(lock);
    hooks::run(&record.poststart, &record.state(Status::Running)).inspect_err(|_| kill(&record))?;
    timing::phase("running the poststart hooks");
    Ok(record)
}

fn refusal(message: &str) -> Error {
    Error::new(Code::WrongState, message)
}

fn kill(record: &Record) {
    if let Err(error) = delete::kill_all(record) {
        log::warn!("after a failed poststart hook: {error}");
    }
}
