//! config.json: the runtime-spec's types (1.3, Linux), their reading and their checking.
//!
//! The types are the spec's, field by field, with `null` and `""` read as absent and unknown
//! values of enumerations refused; what a field means is decided by whoever turns the
//! config into a plan. They are for JSON alone: absent fields are left out when written,
//! which the wire's format cannot express.

mod annotations;
pub mod check;
pub(crate) mod de;
pub mod document;
pub mod hooks;
mod keys;
pub mod linux;
mod locate;
pub mod memory_policy;
mod merge;
pub mod mount;
pub mod path;
pub mod process;
pub mod ranges;
pub mod report;
pub mod resources;
pub mod seccomp;
mod strict;

pub use document::{Document, Fault};
pub use hooks::{Hook, Hooks};
pub use keys::words;
pub use linux::Linux;
pub use merge::merged;
pub use mount::Mount;
pub use process::Process;

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};

/// All of config.json.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The version of the spec it was written for.
    pub oci_version: String,
    /// What to run. `create` does without, `start` does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The root filesystem.
    pub root: Root,
    /// The host name, in a UTS namespace of the container's own.
    #[serde(default, deserialize_with = "de::non_empty")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The NIS domain name, in a UTS namespace of the container's own.
    #[serde(default, deserialize_with = "de::non_empty")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Mounts beside the root, in order.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub mounts: Vec<Mount>,
    /// Programs to run along the container's life.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub hooks: Hooks,
    /// Arbitrary metadata, shown by `state`; some names ask for something of the runtime.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub annotations: BTreeMap<String, String>,
    /// What only Linux has.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub linux: Linux,
    /// Other platforms' sections: allowed, kept, of no meaning here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solaris: Option<Value>,
    /// See `solaris`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<Value>,
    /// See `solaris`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm: Option<Value>,
    /// See `solaris`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zos: Option<Value>,
    /// See `solaris`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freebsd: Option<Value>,
}

impl Config {
    /// The process, for operations that need one: all but `create`.
    pub fn require_process(&self) -> Result<&Process> {
        self.process.as_ref().ok_or_else(|| {
            Error::new(Code::InvalidConfig, "process property must not be empty")
                .hint("config.json has no process to start")
        })
    }
}

/// Reads and checks a bundle's config.json.
pub fn load(path: &FilePath) -> Result<Config> {
    checked(&Document::regular(path)?)
}

/// Reads and checks a config.json that is in memory.
pub fn checked(document: &Document) -> Result<Config> {
    let mut config = document.parse()?;
    document.judge(check::config(&config))?;
    read_zero_pids_as_meant(&mut config);
    Ok(config)
}

/// Before 1.3 the Go types of the spec had no way to leave `pids.limit` out. Whoever writes such
/// a config means no limit by 0, as Podman 4 does for --pids-limit=-1.
fn read_zero_pids_as_meant(config: &mut Config) {
    if check::minor_version(&config.oci_version).is_some_and(|minor| minor >= 3) {
        return;
    }
    let resources = config.linux.resources.as_mut();
    if let Some(pids) = resources.and_then(|resources| resources.pids.as_mut())
        && pids.limit == Some(0)
    {
        pids.limit = Some(-1);
    }
}

/// Reads and checks the file of `exec --process`.
pub fn load_process(path: &FilePath) -> Result<Process> {
    let document = Document::any(path)?;
    let process = document.parse()?;
    document.judge(check::exec_process(&process))?;
    Ok(process)
}

/// The root filesystem.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: PathBuf,
    /// Whether the container may not write to it.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub readonly: bool,
}

#[cfg(test)]
mod tests;
