//! `linux.memoryPolicy` (config-linux.md, "Memory policy").

use super::de;
use super::ranges::{self, RangeList};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub enum MemoryPolicyMode {
    #[serde(rename = "MPOL_DEFAULT")]
    Default,
    #[serde(rename = "MPOL_BIND")]
    Bind,
    #[serde(rename = "MPOL_INTERLEAVE")]
    Interleave,
    #[serde(rename = "MPOL_WEIGHTED_INTERLEAVE")]
    WeightedInterleave,
    #[serde(rename = "MPOL_PREFERRED")]
    Preferred,
    #[serde(rename = "MPOL_PREFERRED_MANY")]
    PreferredMany,
    #[serde(rename = "MPOL_LOCAL")]
    Local,
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
        Ok(match text {
            "MPOL_DEFAULT" => MemoryPolicyMode::Default,
            "MPOL_BIND" => MemoryPolicyMode::Bind,
            "MPOL_INTERLEAVE" => MemoryPolicyMode::Interleave,
            "MPOL_WEIGHTED_INTERLEAVE" => MemoryPolicyMode::WeightedInterleave,
            "MPOL_PREFERRED" => MemoryPolicyMode::Preferred,
            "MPOL_PREFERRED_MANY" => MemoryPolicyMode::PreferredMany,
            "MPOL_LOCAL" => MemoryPolicyMode::Local,
            _ => return Err(E::custom(format!("invalid memory policy mode {text:?}"))),
        })
    }
}

/// set_mempolicy(2)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub enum MemoryPolicyFlag {
    #[serde(rename = "MPOL_F_NUMA_BALANCING")]
    NumaBalancing,
    #[serde(rename = "MPOL_F_RELATIVE_NODES")]
    RelativeNodes,
    #[serde(rename = "MPOL_F_STATIC_NODES")]
    StaticNodes,
}

impl<'de> Deserialize<'de> for MemoryPolicyFlag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        de::parsed(deserializer, "a memory policy flag", |text| {
            Ok(match text {
                "MPOL_F_NUMA_BALANCING" => Self::NumaBalancing,
                "MPOL_F_RELATIVE_NODES" => Self::RelativeNodes,
                "MPOL_F_STATIC_NODES" => Self::StaticNodes,
                _ => return Err(format!("invalid memory policy flag {text:?}")),
            })
        })
    }
}
