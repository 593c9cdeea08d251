//! `hooks` (config.md, "POSIX-platform Hooks").

use super::de;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;
use std::path::PathBuf;

/// Programs to run along the container's life, each kind in its listed order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    /// In `create`, in the runtime's namespaces, before createRuntime. Deprecated, and what
    /// Docker sets up its bridge network with.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub prestart: Vec<Hook>,
    /// In `create`, in the runtime's namespaces.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub create_runtime: Vec<Hook>,
    /// In `create`, in the container's namespaces, the path being the runtime's.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub create_container: Vec<Hook>,
    /// In `start`, in the container, before the program.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub start_container: Vec<Hook>,
    /// In `start`, in the runtime's namespaces, after the program was started.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub poststart: Vec<Hook>,
    /// In `delete`, in the runtime's namespaces, after the container is gone.
    #[serde(
        deserialize_with = "de::or_default",
        skip_serializing_if = "de::is_default"
    )]
    pub poststop: Vec<Hook>,
}

impl Hooks {
    /// The six kinds with the names that config.json and messages give them, in the order
    /// of a container's life.
    pub fn by_name(&self) -> [(&'static str, &[Hook]); 6] {
        [
            ("prestart", &self.prestart),
            ("createRuntime", &self.create_runtime),
            ("createContainer", &self.create_container),
            ("startContainer", &self.start_container),
            ("poststart", &self.poststart),
            ("poststop", &self.poststop),
        ]
    }
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Hook {
    /// Absolute.
    pub path: PathBuf,
    /// All of argv, its first entry included; where empty, argv is the path alone.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub args: Vec<String>,
    /// The environment. startContainer hooks inherit the process's where there is none here.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub env: Vec<String>,
    /// Seconds until it is killed and has failed; absent for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<NonZeroU64>,
}
