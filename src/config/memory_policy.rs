//! `linux.memoryPolicy` (config-linux.md, "Memory policy").

use super::de;
use super::ranges::{self, RangeList};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// The NUMA memory policy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct MemoryPolicy {
    /// The mode.
    pub mode: MemoryPolicyMode,
    /// Its nodes; not every mode has some.
    #[serde(default, deserialize_with = "ranges::nodes")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<RangeList>,
    /// Flags.
    #[serde(default, deserialize_with = "de::or_default")]
    #[serde(skip_serializing_if = "de::is_default")]
    pub flags: Vec<MemoryPolicyFlag>,
}

/// set_mempolicy(2)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MemoryPolicyMode {
    Default,
    Bind,
    Interleave,
    WeightedInterleave,
    Preferred,
    PreferredMany,
    Local,
}

impl MemoryPolicyMode {
    /// Their names, as config.json has them.
    pub const NAMES: [(&str, Self); 7] = [
        ("MPOL_BIND", Self::Bind),
        ("MPOL_DEFAULT", Self::Default),
        ("MPOL_INTERLEAVE", Self::Interleave),
        ("MPOL_LOCAL", Self::Local),
        ("MPOL_PREFERRED", Self::Preferred),
        ("MPOL_PREFERRED_MANY", Self::PreferredMany),
        ("MPOL_WEIGHTED_INTERLEAVE", Self::WeightedInterleave),
    ];
}

/// What a name stands for.
fn named<T: Copy>(names: &[(&str, T)], text: &str, what: &str) -> Result<T, String> {
    let found = names.iter().find(|(name, _)| *name == text);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| format!("invalid memory policy {what} {text:?}"))
}

/// The name of a value; every value has one.
fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    let found = names.iter().find(|(_, other)| other == value);
    found.map_or("", |(name, _)| name)
}

impl Serialize for MemoryPolicyMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name_of(&Self::NAMES, self))
    }
}

impl<'de> Deserialize<'de> for MemoryPolicyMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(ModeVisitor)
    }
}

/// Says "invalid memory policy mode" of a missing one too, as runc does and its tests ask:
/// serde hands an option, and only an option, the absence of its field.
struct ModeVisitor;

impl<'de> Visitor<'de> for ModeVisitor {
    type Value = MemoryPolicyMode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a memory policy mode")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Err(E::custom(
            "invalid memory policy mode: missing field `mode`",
        ))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        named(&MemoryPolicyMode::NAMES, text, "mode").map_err(E::custom)
    }
}

/// set_mempolicy(2)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MemoryPolicyFlag {
    NumaBalancing,
    RelativeNodes,
    StaticNodes,
}

impl MemoryPolicyFlag {
    /// Their names, as config.json has them.
    pub const NAMES: [(&str, Self); 3] = [
        ("MPOL_F_NUMA_BALANCING", Self::NumaBalancing),
        ("MPOL_F_RELATIVE_NODES", Self::RelativeNodes),
        ("MPOL_F_STATIC_NODES", Self::StaticNodes),
    ];
}

impl Serialize for MemoryPolicyFlag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name_of(&Self::NAMES, self))
    }
}

impl<'de> Deserialize<'de> for MemoryPolicyFlag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::parsed(deserializer, "a memory policy flag", |text| {
            named(&Self::NAMES, text, "flag")
        })
    }
}
