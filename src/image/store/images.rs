//! Which images the store has the layers of, and removing what nobody needs.

use super::staging::{self, Staging};
use super::{Bundle, InUse, Prepared, Store};
use crate::error::{Context, Result};
use crate::image::digest::Digest;
use crate::image::platform::Platform;
use crate::image::remove::remove_or_warn;
use crate::image::source::Image;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// An image whose layers are kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredImage {
    /// The reference it was last unpacked by.
    pub reference: String,
    /// What its source calls it.
    pub tags: Vec<String>,
    /// Of its manifest.
    pub digest: Digest,
    /// Of its config.
    pub id: Digest,
    /// What it runs on.
    pub platform: Platform,
    /// Its layers in the store, the lowest first.
    pub layers: Vec<String>,
    /// How long the layers' tars are together.
    pub bytes: u64,
    /// When it was last used.
    #[serde(skip, default = "SystemTime::now")]
    pub used: SystemTime,
}

/// What was removed, or would not be.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Collected {
    /// Images that are forgotten.
    pub images: Vec<String>,
    /// Layers that are gone.
    pub layers: Vec<String>,
    /// How long their tars were.
    pub bytes: u64,
}

impl StoredImage {
    /// Whether a name means it: its reference, a tag, or the beginning of a digest.
    pub fn is_called(&self, name: &str) -> bool {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let is_hex = hex.len() >= 6 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let begins = |digest: &Digest| is_hex && digest.hex().starts_with(hex);
        let path = self.reference.split_once(':').map_or("", |(_, path)| path);
        self.reference == name
            || path == name
            || self.tags.iter().any(|tag| tag == name)
            || begins(&self.digest)
            || begins(&self.id)
    }

    /// Whether the bundle is made of it.
    pub fn is_used_by(&self, bundle: &Bundle) -> bool {
        // Where the topmost is, there are all below it.
        let top = self.layers.last().map(String::as_str);
        bundle.is_alive && top.is_some() && bundle.overlay.keys().first().copied() == top
    }
}

impl Store {
    /// Takes note of an image whose layers are to be kept, or of its use.
    ///
    /// # Errors
    /// Those of writing to the store.
    pub fn keep(&self, _in_use: &InUse, image: &Image, prepared: &Prepared) -> Result<()> {
        let stored = StoredImage {
            reference: image.reference.clone(),
            tags: image.tags.clone(),
            digest: image.digest.clone(),
            id: image.id.clone(),
            platform: image.config.platform.clone(),
            layers: prepared
                .layers
                .iter()
                .map(|layer| layer.key.clone())
                .collect(),
            bytes: prepared.layers.iter().map(|layer| layer.bytes).sum(),
            used: SystemTime::now(),
        };
        super::write_json(&self.image_file(&image.digest), &stored)
    }

    /// All images, the last used first.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn images(&self) -> Result<Vec<StoredImage>> {
        let mut images = Vec::new();
        for (file, mut image) in super::read_all::<StoredImage>(&self.path.join("images"))? {
            let modified = std::fs::metadata(&file).and_then(|metadata| metadata.modified());
            image.used = modified.unwrap_or(SystemTime::UNIX_EPOCH);
            images.push(image);
        }
        images.sort_by_key(|image| std::cmp::Reverse(image.used));
        Ok(images)
    }

    /// Forgets the images that `is_unwanted`, and removes all that no image and no bundle needs.
    ///
    /// # Errors
    /// Where an unpack is at work; those of changing the store.
    pub fn collect(
        &self,
        is_unwanted: impl Fn(&StoredImage, &[Bundle]) -> bool,
    ) -> Result<Collected> {
        let mut collected = Collected::default();
        if !self.path.exists() {
            return Ok(collected);
        }
        let parent = self.path.join("staging");
        staging::clean(&parent, "");
        let aside = Staging::make(&parent, "")?;
        // An unpack that was killed at its very end has told of its bundle.
        for bundle in self.bundles()? {
            if let Some(parent) = bundle.path.parent() {
                staging::clean(parent, &staging::prefix(&bundle.path));
            }
        }
        let alone = self.alone()?;
        let (bundles, gone): (Vec<_>, Vec<_>) = self
            .bundles()?
            .into_iter()
            .partition(|bundle| bundle.is_alive);
        gone.iter().try_for_each(Bundle::forget)?;
        let mut needed: BTreeSet<String> = BTreeSet::new();
        for bundle in &bundles {
            needed.extend(bundle.overlay.keys().into_iter().map(str::to_owned));
        }
        for image in self.images()? {
            if is_unwanted(&image, &bundles) {
                let file = self.image_file(&image.digest);
                std::fs::remove_file(&file).context(|| format!("removing {}", file.display()))?;
                collected.images.push(image.reference);
            } else {
                needed.extend(image.layers);
            }
        }
        for (key, bytes) in self.stored_layers()? {
            if !needed.contains(&key) {
                let from = self.layers().join(&key);
                std::fs::rename(&from, aside.path().join(&key))
                    .context(|| format!("removing {}", from.display()))?;
                collected.layers.push(key);
                collected.bytes += bytes;
            }
        }
        self.remove_locks()?;
        // What takes long keeps nobody waiting: the layers have lost their names.
        drop(alone);
        drop(aside);
        Ok(collected)
    }

    /// Keys and sizes of all layers.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn stored_layers(&self) -> Result<Vec<(String, u64)>> {
        let mut layers = Vec::new();
        for path in super::list(&self.layers())? {
            let key = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let record = std::fs::read(path.join("layer.json")).unwrap_or_default();
            let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
            layers.push((key, record["bytes"].as_u64().unwrap_or(0)));
        }
        Ok(layers)
    }

    /// Nobody unpacks now, and so nobody holds any.
    fn remove_locks(&self) -> Result<()> {
        for path in super::list(&self.path.join("locks"))? {
            remove_or_warn(&path);
        }
        Ok(())
    }

    fn image_file(&self, digest: &Digest) -> PathBuf {
        let name = format!("{}-{}.json", digest.algorithm().as_str(), digest.hex());
        Path::new(&self.path).join("images").join(name)
    }
}
