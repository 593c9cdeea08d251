//! Platforms: what an image says that it runs on, what is asked for, and which suits best.

use crate::config::de::or_default;
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What an image runs on (image-index.md, "platform").
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct Platform {
    /// Go's name of it.
    #[serde(deserialize_with = "or_default")]
    pub os: String,
    /// Go's name of it.
    #[serde(deserialize_with = "or_default")]
    pub architecture: String,
    /// What the processor must know besides: "v7".
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub variant: String,
    /// Which version of the system.
    #[serde(
        rename = "os.version",
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub os_version: String,
    /// What the system must know besides.
    #[serde(
        rename = "os.features",
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
}

impl Platform {
    /// This machine's.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "x86" => "386",
            "aarch64" => "arm64",
            "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
            "loongarch64" => "loong64",
            "mips64" if cfg!(target_endian = "little") => "mips64le",
            other => other,
        };
        Self {
            os: "linux".into(),
            architecture: architecture.into(),
            variant: host_variant().into(),
            ..Self::default()
        }
    }

    /// How well an image for `self` does where `wanted` is asked for: not at all, or the higher
    /// the better. One for an older processor runs on a newer one.
    pub fn suits(&self, wanted: &Self) -> Option<u32> {
        let same = self.os.eq_ignore_ascii_case(&wanted.os)
            && architecture(&self.architecture) == architecture(&wanted.architecture)
            && (wanted.os_version.is_empty() || self.os_version == wanted.os_version)
            // No feature of Linux has a name yet: whoever needs one needs what we do not know.
            && self.os_features.is_empty();
        if !same {
            return None;
        }
        match (self.level(), wanted.level()) {
            (Some(has), Some(wants)) => (has <= wants).then_some(has),
            _ => (self.variant == wanted.variant).then_some(0),
        }
    }

    /// The variant as a number; what is meant where there is none.
    fn level(&self) -> Option<u32> {
        let number = match self.variant.as_str() {
            "" => match architecture(&self.architecture) {
                "arm" => "7",
                "arm64" => "8",
                _ => "1",
            },
            variant => variant.strip_prefix('v').unwrap_or(variant),
        };
        // "v8.2" comes after "v8".
        let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
        Some(major.parse::<u32>().ok()?.checked_mul(100)? + minor.parse::<u32>().ok()?)
    }

    /// Whether nothing is known of it.
    pub fn is_unknown(&self) -> bool {
        let unknown = |name: &str| name.is_empty() || name == "unknown";
        unknown(&self.os) && unknown(&self.architecture)
    }
}

/// What people write for Go's names.
fn architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "386",
        "armhf" | "armel" => "arm",
        other => other,
    }
}

#[cfg(target_arch = "x86_64")]
fn host_variant() -> &'static str {
    // The levels of the x86-64 psABI, by what compilers use of each first.
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512cd")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
    {
        "v4"
    } else if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("movbe")
    {
        "v3"
    } else if is_x86_feature_detected!("sse4.2") && is_x86_feature_detected!("popcnt") {
        "v2"
    } else {
        "v1"
    }
}

#[cfg(target_arch = "arm")]
fn host_variant() -> &'static str {
    "v7"
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "arm")))]
fn host_variant() -> &'static str {
    ""
}

/// "linux/arm64/v8", "linux/amd64", "arm64"; the system's version in brackets:
/// "windows(10.0.17763)/amd64".
impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::new(Code::Usage, format!("{text:?} is no platform"))
                .hint("like linux/amd64 or linux/arm/v7")
        };
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(wrong());
        }
        let (os, architecture, variant) = match parts[..] {
            [architecture] => ("linux", architecture, ""),
            [os, architecture] => (os, architecture, ""),
            [os, architecture, variant] => (os, architecture, variant),
            _ => return Err(wrong()),
        };
        let (os, version) = match os.split_once('(') {
            Some((os, version)) => (os, version.strip_suffix(')').ok_or_else(wrong)?),
            None => (os, ""),
        };
        Ok(Self {
            os: os.into(),
            architecture: self::architecture(architecture).into(),
            variant: variant.into(),
            os_version: version.into(),
            os_features: Vec::new(),
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unknown() {
            return f.write_str("unknown");
        }
        f.write_str(&self.os)?;
        if !self.os_version.is_empty() {
            write!(f, "({})", self.os_version)?;
        }
        write!(f, "/{}", self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        for feature in &self.os_features {
            write!(f, "+{feature}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn suits(image: &str, wanted: &str) -> Option<u32> {
        let read = |text: &str| text.parse::<Platform>().unwrap();
        read(image).suits(&read(wanted))
    }

    #[test]
    fn an_older_variant_does_and_a_newer_does_not() {
        assert!(suits("linux/arm/v6", "linux/arm/v7") < suits("linux/arm/v7", "linux/arm/v7"));
        assert!(suits("linux/arm/v6", "linux/arm/v7").is_some());
        assert_eq!(suits("linux/arm/v7", "linux/arm/v6"), None);
        assert!(suits("amd64", "linux/amd64/v3") < suits("linux/amd64/v2", "linux/amd64/v3"));
        assert_eq!(suits("linux/amd64/v4", "linux/amd64"), None);
    }

    #[test]
    fn what_is_left_out_is_the_common_one() {
        assert!(suits("linux/arm64", "linux/arm64/v8").is_some());
        assert!(suits("linux/arm64/v8", "aarch64").is_some());
        assert_eq!(suits("linux/arm", "linux/arm/v6"), None);
        assert_eq!(suits("linux/amd64", "linux/arm64"), None);
        assert_eq!(suits("windows/amd64", "linux/amd64"), None);
    }

    #[test]
    fn the_systems_version_counts_where_it_is_asked_for() {
        assert!(suits("windows(10.0)/amd64", "windows(10.0)/amd64").is_some());
        assert!(suits("windows(10.0)/amd64", "windows/amd64").is_some());
        assert_eq!(suits("windows(10.0)/amd64", "windows(11)/amd64"), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "/", "linux/", "a/b/c/d", "linux(1/amd64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
        assert!(Platform::host().suits(&Platform::host()).is_some());
    }
}
