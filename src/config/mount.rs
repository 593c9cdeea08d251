//! `mounts` (config.md, "Mounts").

use super::de;
use super::linux::IdMapping;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One mount, made in the listed order.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount {
    /// Where, in the container; a relative path is below `/` (deprecated).
    pub destination: PathBuf,
    /// The filesystem type; of no meaning for bind mounts.
    #[serde(default, rename = "type", deserialize_with = "de::non_empty")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A device, a dummy, or for bind mounts a path: absolute, or relative to the bundle.
    #[serde(default, deserialize_with = "de::non_empty")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// As in mount(8); unknown ones go to the filesystem.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub options: Vec<String>,
    /// Makes this an id-mapped mount, together with `gid_mappings`.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub uid_mappings: Vec<IdMapping>,
    /// Makes this an id-mapped mount, together with `uid_mappings`.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub gid_mappings: Vec<IdMapping>,
}

impl Mount {
    /// The options one by one: each may be a list as in mount(8).
    fn single_options(&self) -> impl Iterator<Item = &str> {
        self.options.iter().flat_map(|list| list.split(','))
    }

    /// Whether `option` is among the options.
    pub fn has_option(&self, option: &str) -> bool {
        self.single_options().any(|given| given == option)
    }

    /// Whether nothing can be written through it: of `ro` and `rw` the last one counts.
    pub fn is_read_only(&self) -> bool {
        let mut options: Vec<&str> = self.single_options().collect();
        options.retain(|option| matches!(*option, "ro" | "rw"));
        options.last() == Some(&"ro")
    }

    /// The options `idmap` and `ridmap`, which crun lets hold a mapping after a "=".
    fn idmap_options(&self) -> impl Iterator<Item = &str> {
        self.single_options()
            .filter(|option| matches!(option.split('=').next(), Some("idmap" | "ridmap")))
    }

    /// Whether one of the options holds the id mapping.
    pub fn has_mapping_in_options(&self) -> bool {
        self.idmap_options().any(|option| option.contains('='))
    }

    /// Whether this is a bind mount: by its options, as the spec has it, or by the type
    /// alone, as crun takes it.
    pub fn is_bind(&self) -> bool {
        self.has_option("bind") || self.has_option("rbind") || self.kind.as_deref() == Some("bind")
    }

    /// Whether an id mapping is asked for, its own or the user namespace's.
    pub fn is_id_mapped(&self) -> bool {
        self.idmap_options().next().is_some()
            || !self.uid_mappings.is_empty()
            || !self.gid_mappings.is_empty()
    }
}
