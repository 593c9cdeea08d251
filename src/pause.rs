//! `pause` and `resume`: freezes all processes of a container, and lets them go on.

use crate::cli;
use crate::container::{ContainerId, Directory, Record};
use crate::context::Context;
use crate::error::{Code, Error, Result};
use crate::hooks::Status;

/// Runs `pause`.
///
/// # Errors
/// Where the container does not run.
pub fn pause(globals: &Context, args: &cli::Id) -> Result<()> {
    let (directory, record) = open(globals, args)?;
    match directory.status(&record)? {
        Status::Running | Status::Created => record.cgroups.freeze(),
        status => Err(Error::new(
            Code::WrongState,
            format!("container not running or created: {}", status.as_str()),
        )),
    }
}

/// Runs `resume`.
///
/// # Errors
/// Where the container is not paused.
pub fn resume(globals: &Context, args: &cli::Id) -> Result<()> {
    let (directory, record) = open(globals, args)?;
    match directory.status(&record)? {
        Status::Paused => record.cgroups.thaw(),
        _ => Err(Error::new(Code::WrongState, "container not paused")),
    }
}

fn open(globals: &Context, args: &cli::Id) -> Result<(Directory, Record)> {
    let directory = globals.root.open(&ContainerId::new(&args.id)?)?;
    let record = directory.read()?;
    Ok((directory, record))
}
