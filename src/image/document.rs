//! The JSON documents of an image: indexes, manifests, configs, of OCI and of Docker.
//!
//! Of each field that is read here, `null` is its absence (Go writes it so). What is not read
//! is not checked: configs are full of what other programs keep in them.

use super::digest::Digest;
use super::platform::Platform;
use crate::config::de::or_default;
use crate::error::{Code, Error, Result};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names that people give: annotations, labels.
pub type Labels = BTreeMap<String, String>;

/// A reference to a blob (descriptor.md). `urls` are not even read: what is not in the layout
/// is missing.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// What its bytes hash to.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
    /// The blob itself, base64.
    #[serde(default)]
    data: Option<String>,
    /// In an index.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// What is said of the blob.
    #[serde(default, deserialize_with = "or_default")]
    pub annotations: Labels,
}

impl Descriptor {
    /// One of a config that nobody wrote a descriptor for.
    pub fn of_config(digest: Digest, size: u64) -> Self {
        Self {
            media_type: "application/vnd.docker.container.image.v1+json".into(),
            digest,
            size,
            data: None,
            platform: None,
            annotations: Labels::new(),
        }
    }

    /// The blob, where the descriptor holds it; nobody has verified it yet.
    ///
    /// # Errors
    /// Where `data` is no base64.
    pub fn embedded(&self) -> Result<Option<Vec<u8>>> {
        let Some(text) = &self.data else {
            return Ok(None);
        };
        let bytes = BASE64_STANDARD
            .decode(text)
            .map_err(|error| invalid(format!("the data of descriptor {}: {error}", self.digest)))?;
        Ok(Some(bytes))
    }

    /// Whether it is of something about another image, as BuildKit marks its attestations.
    pub fn is_attestation(&self) -> bool {
        self.annotations
            .get("vnd.docker.reference.type")
            .is_some_and(|kind| kind == "attestation-manifest")
    }
}

/// What a descriptor's media type says of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One image.
    Manifest,
    /// Many of them.
    Index,
    /// Docker's first format, which says nothing that could be verified.
    Schema1,
    /// Something else, to be ignored (image-index.md, "mediaType").
    Other,
}

impl Kind {
    /// The kind of a media type.
    pub fn of(media_type: &str) -> Self {
        match media_type {
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Self::Manifest,
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Self::Index,
            "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => Self::Schema1,
            _ => Self::Other,
        }
    }
}

/// An index or a manifest, before it is known to be just one of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Either {
    #[serde(default, deserialize_with = "or_default")]
    media_type: String,
    schema_version: u64,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    /// Schema 1's layers.
    fs_layers: Option<serde::de::IgnoredAny>,
    artifact_type: Option<String>,
}

/// The documents below an index.
#[derive(Debug)]
pub struct Index {
    /// In its order.
    pub manifests: Vec<Descriptor>,
}

/// What makes up one image.
#[derive(Debug)]
pub struct Manifest {
    /// The image config.
    pub config: Descriptor,
    /// From the lowest up.
    pub layers: Vec<Descriptor>,
}

impl Either {
    /// Reads a document that was announced as `kind`. One that could be read as another kind
    /// as well is refused: two readers would see two images (CVE-2021-41190).
    fn read(text: &[u8], kind: Kind) -> Result<Self> {
        let either: Self = parse(text)?;
        if either.schema_version != 2 {
            return Err(
                invalid(format!("schemaVersion {} is not 2", either.schema_version))
                    .hint("Docker's schema 1 is obsolete: convert the image (skopeo copy)"),
            );
        }
        let is_manifest = either.config.is_some() || either.layers.is_some();
        let is_index = either.manifests.is_some();
        if either.fs_layers.is_some() || (is_manifest && is_index) {
            return Err(invalid(
                "it is a manifest and an index at once (CVE-2021-41190)",
            ));
        }
        if !either.media_type.is_empty() && Kind::of(&either.media_type) != kind {
            return Err(invalid(format!(
                "it was referred to as something else than the {:?} it says it is",
                either.media_type
            )));
        }
        Ok(either)
    }
}

impl Index {
    /// Reads one.
    ///
    /// # Errors
    /// Where it is none, or not only that.
    pub fn read(text: &[u8]) -> Result<Self> {
        let either = Either::read(text, Kind::Index)?;
        let manifests = either
            .manifests
            .ok_or_else(|| invalid("an index without manifests"))?;
        Ok(Self { manifests })
    }
}

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    /// Where it is none, or not only that; [`Code::Unsupported`] where it is not of an image.
    pub fn read(text: &[u8]) -> Result<Self> {
        let either = Either::read(text, Kind::Manifest)?;
        let (Some(config), Some(layers)) = (either.config, either.layers) else {
            return Err(invalid("a manifest without config or layers"));
        };
        match config.media_type.as_str() {
            "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json" => Ok(Self { config, layers }),
            other => {
                let kind = either.artifact_type.as_deref().unwrap_or(other);
                let message = format!("it is no image, but an artifact of type {kind:?}");
                Err(Error::new(Code::Unsupported, message))
            }
        }
    }
}

/// An image config (config.md), as far as it matters to somebody who runs the image.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Config {
    /// What it runs on.
    #[serde(flatten)]
    pub platform: Platform,
    #[allow(missing_docs)]
    #[serde(default, deserialize_with = "or_default")]
    pub author: String,
    /// RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub created: String,
    /// How it is run.
    #[serde(default, deserialize_with = "or_default")]
    pub config: Execution,
    /// Its layers.
    pub rootfs: Rootfs,
    /// How it was made.
    #[serde(default, deserialize_with = "or_default")]
    pub history: Vec<History>,
}

/// `config.config`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase", default)]
#[allow(missing_docs)]
pub struct Execution {
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    #[serde(deserialize_with = "or_default")]
    pub exposed_ports: Keys,
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub cmd: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    pub volumes: Keys,
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    #[serde(deserialize_with = "or_default")]
    pub labels: Labels,
    #[serde(deserialize_with = "or_default")]
    pub stop_signal: String,
}

/// A set, as Go's `map[string]struct{}`.
pub type Keys = BTreeMap<String, Empty>;

/// What stands for a member of a set: whatever it is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Empty {}

impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> std::result::Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self {})
    }
}

/// `config.rootfs`
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Rootfs {
    #[serde(rename = "type")]
    kind: String,
    /// One for each layer.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<Digest>,
}

/// One step of how the image was made.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct History {
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub created: String,
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub created_by: String,
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub comment: String,
    #[serde(deserialize_with = "or_default")]
    pub empty_layer: bool,
}

impl Config {
    /// Reads one, of an image of `layers` layers.
    ///
    /// # Errors
    /// Where it is none, or does not speak of these layers.
    pub fn read(text: &[u8], layers: usize) -> Result<Self> {
        let config: Self = parse(text)?;
        if config.rootfs.kind != "layers" {
            return Err(invalid(format!(
                "rootfs.type {:?} is not \"layers\"",
                config.rootfs.kind
            )));
        }
        let diff_ids = config.rootfs.diff_ids.len();
        if diff_ids != layers {
            return Err(invalid(format!(
                "rootfs.diff_ids are {diff_ids}, but the manifest's layers are {layers}"
            )));
        }
        Ok(config)
    }
}

fn parse<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T> {
    serde_json::from_slice(text).map_err(|error| invalid(error.to_string()))
}

/// Something about an image that cannot be.
pub fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidImage, message)
}
