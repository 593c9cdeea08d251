//! `state`: what a container is doing, as JSON.

use crate::cli;
use crate::container::{ContainerId, Directory, Record};
use crate::context::Context;
use crate::error::Result;
use crate::hooks::Status;
use crate::output;
use serde::Serialize;
use std::collections::BTreeMap;

/// runc's state, field by field: the spec's, with rootfs, created and owner.
#[derive(Debug, Serialize)]
pub struct State {
    #[serde(rename = "ociVersion")]
    oci_version: String,
    /// The container's id.
    pub id: String,
    /// Its init; 0 where it is gone.
    pub pid: i32,
    /// The spec's word.
    pub status: &'static str,
    /// The bundle's directory.
    pub bundle: String,
    rootfs: String,
    /// RFC 3339, UTC.
    pub created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    /// The name of the user who created it, where there is one.
    pub owner: String,
}

/// Runs the command.
///
/// # Errors
/// Where there is no such container.
pub fn run(globals: &Context, args: &cli::Id) -> Result<()> {
    let directory = globals.root.open(&ContainerId::new(&args.id)?)?;
    let record = directory.read()?;
    output::json_pretty(&State::of(&directory, record)?)
}

impl State {
    /// The state of a recorded container, as of now; without its owner, which costs a look
    /// into /etc/passwd and is in the list alone.
    ///
    /// # Errors
    /// See [`Directory::status`].
    pub fn of(directory: &Directory, record: Record) -> Result<Self> {
        let status = directory.status(&record)?;
        Ok(Self {
            pid: match status {
                Status::Stopped => 0,
                _ => record.process.map_or(0, |process| process.pid),
            },
            oci_version: record.oci_version,
            id: record.id,
            status: status.as_str(),
            bundle: record.bundle.to_string_lossy().into_owned(),
            rootfs: record.rootfs.to_string_lossy().into_owned(),
            created: record.created,
            annotations: record.annotations,
            owner: String::new(),
        })
    }
}
