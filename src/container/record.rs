//! state.json: first the intent of `create`, then the facts.
//!
//! Whatever outlives the process that makes it (cgroups, the frozen init, mounts) is named
//! here before it is made, so that `delete --force` needs nothing but this file to remove all
//! of it, whenever `create` may have been killed.

use super::process::HostProcess;
use crate::cgroups::Manager;
use crate::hooks::{Hook, State, Status};
use crate::intel_rdt::Groups;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is recorded of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The config's.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// The bundle's directory, absolute.
    pub bundle: PathBuf,
    /// Whether the bundle is this container's alone, and goes with it.
    #[serde(default)]
    pub owns_bundle: bool,
    /// The rootfs, absolute.
    pub rootfs: PathBuf,
    /// When it was created, RFC 3339 in UTC.
    pub created: String,
    /// The user who created it.
    pub owner_uid: u32,
    /// The config's.
    pub annotations: BTreeMap<String, String>,
    /// The process that creates it, for as long as `process` is not known.
    pub creator: HostProcess,
    /// Its init; none while this is but an intent.
    pub process: Option<HostProcess>,
    /// Its cgroups.
    pub cgroups: Manager,
    /// Whether the cgroups are known to be this container's: until then, who is in them may be
    /// another's, who named the same path.
    pub owns_cgroups: bool,
    /// Its groups in resctrl.
    pub intel_rdt: Option<Groups>,
    /// Without a mount namespace: what was mounted at and below the rootfs before. All that is
    /// there besides is the container's, and goes with it.
    pub mounts_before: Option<Vec<PathBuf>>,
    /// `CLONE_NEW*` bits of the namespaces that it does not share with the runtime.
    pub namespaces: u64,
    /// Whether its processes may call setgroups(2) before they are the program.
    pub setgroups: bool,
    /// The session keyring that its processes join.
    pub keyring: Option<String>,
    /// To run when it has started.
    pub poststart: Vec<Hook>,
    /// To run when it is deleted.
    pub poststop: Vec<Hook>,
}

impl Record {
    /// Whether this is all there is of the container: `create` had not got to the point of
    /// knowing that its cgroups are nobody else's.
    pub fn is_mere_intent(&self) -> bool {
        !self.owns_cgroups
    }

    /// The spec's state of it, with `status`.
    pub fn state(&self, status: Status) -> State {
        State {
            oci_version: self.oci_version.clone(),
            id: self.id.clone(),
            status,
            pid: match (status, self.process) {
                (Status::Stopped, _) | (_, None) => 0,
                (_, Some(process)) => process.pid,
            },
            bundle: self.bundle.to_string_lossy().into_owned(),
            annotations: self.annotations.clone(),
        }
    }
}
