//! An OCI layout (image-layout.md): its index, and blobs by their digests.

use super::files::{self, Files};
use super::select::{self, Candidate};
use super::{Choice, Image, Tag, check_platform, compression};
use crate::error::{Code, Context, Error, Result};
use crate::image::blob::Blob;
use crate::image::digest::Digest;
use crate::image::document::{Config, Descriptor, Index, Kind, Manifest, invalid};
use crate::image::layer::Layer;
use serde::Deserialize;

/// An open layout.
#[derive(Debug)]
pub struct Layout {
    files: Files,
    json_limit: u64,
    /// index.json.
    index: Index,
}

/// `oci-layout`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

impl Layout {
    /// Opens one.
    ///
    /// # Errors
    /// Where these files are none, or one of a version that is not known.
    pub fn open(files: Files, json_limit: u64) -> Result<Self> {
        let marker = files.text("oci-layout", json_limit)?;
        let marker: Marker = serde_json::from_slice(&marker)
            .map_err(|error| invalid(format!("oci-layout: {error}")))?;
        // A change of the first number is one that old readers do not understand.
        if !marker.image_layout_version.starts_with("1.") {
            let version = marker.image_layout_version;
            return Err(Error::new(
                Code::Unsupported,
                format!("oci-layout: version {version:?} is not known"),
            ));
        }
        let text = files.text("index.json", json_limit)?;
        let index = Index::read(&text).context(|| "index.json")?;
        Ok(Self {
            files,
            json_limit,
            index,
        })
    }

    /// The image that is meant.
    pub fn image(&self, tag: Option<&Tag>, choice: &Choice) -> Result<Image> {
        let chosen = select::one(self, tag, choice)?;
        let descriptor = &chosen.descriptor;
        let at = || format!("manifest {}", descriptor.digest);
        let manifest = self.manifest(descriptor)?;
        let config = self.config(&manifest).context(at)?;
        // What an index says of it is more precise.
        let platform = match chosen.platform.is_unknown() {
            true => &config.platform,
            false => &chosen.platform,
        };
        check_platform(platform, choice)?;
        let layers = manifest.layers.iter().zip(&config.rootfs.diff_ids);
        let layers: Result<Vec<Layer>> = layers
            .enumerate()
            .map(|(index, (layer, diff_id))| {
                self.layer(index, layer, diff_id)
                    .context(|| format!("layer {}", index + 1))
            })
            .collect();
        Ok(Image {
            reference: String::new(),
            digest: descriptor.digest.clone(),
            id: manifest.config.digest.clone(),
            tags: chosen.tag.into_iter().collect(),
            layers: layers.context(at)?,
            config,
        })
    }

    /// Whether it is in no archive.
    pub fn is_directory(&self) -> bool {
        matches!(self.files, Files::Directory(_))
    }

    /// All images that go by the tag.
    pub fn candidates(&self, tag: Option<&Tag>) -> Result<Vec<Candidate>> {
        select::all(self, tag)
    }

    /// index.json's descriptors.
    pub fn top(&self) -> &[Descriptor] {
        &self.index.manifests
    }

    /// A manifest.
    pub fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest> {
        let at = || format!("manifest {}", descriptor.digest);
        let text = self.document(descriptor).context(at)?;
        Manifest::read(&text).context(at)
    }

    /// The config of a manifest.
    pub fn config(&self, manifest: &Manifest) -> Result<Config> {
        let at = || format!("config {}", manifest.config.digest);
        let text = self.document(&manifest.config).context(at)?;
        Config::read(&text, manifest.layers.len()).context(at)
    }

    /// An index that is not index.json.
    pub fn index(&self, descriptor: &Descriptor) -> Result<Index> {
        debug_assert_eq!(Kind::of(&descriptor.media_type), Kind::Index);
        let at = || format!("index {}", descriptor.digest);
        let text = self.document(descriptor).context(at)?;
        Index::read(&text).context(at)
    }

    /// A document's text, verified.
    fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let text = match descriptor.embedded()? {
            Some(text) => text,
            None => files::read(&self.blob(&descriptor.digest)?, self.json_limit)?,
        };
        if text.len() as u64 != descriptor.size {
            return Err(invalid(format!(
                "it has {} bytes, and its descriptor says {}",
                text.len(),
                descriptor.size
            )));
        }
        let found = Digest::of(descriptor.digest.algorithm(), &text);
        if found != descriptor.digest {
            return Err(invalid(format!("its digest is {found}")));
        }
        Ok(text)
    }

    fn blob(&self, digest: &Digest) -> Result<Blob> {
        let name = format!("blobs/{}/{}", digest.algorithm().as_str(), digest.hex());
        self.files
            .get(&name)?
            .ok_or_else(|| invalid(format!("{name} is missing")))
    }

    fn layer(&self, index: usize, descriptor: &Descriptor, diff_id: &Digest) -> Result<Layer> {
        let compression = compression(&descriptor.media_type)?;
        let blob = match descriptor.embedded()? {
            Some(bytes) => files::in_memory(&bytes)?,
            None => self.blob(&descriptor.digest)?,
        };
        Ok(Layer {
            index,
            digest: Some(descriptor.digest.clone()),
            size: descriptor.size,
            diff_id: diff_id.clone(),
            compression,
            blob,
        })
    }
}
