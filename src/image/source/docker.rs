//! What `docker save` writes: manifest.json names configs and layers by their files. Nothing need
//! have a digest but the layers' DiffIDs, which the config has; the config's own is the id.

use super::files::Files;
use super::select::{Candidate, list};
use super::{Choice, Image, Tag, check_platform, digest_of};
use crate::config::de::or_default;
use crate::error::{Code, Context, Result};
use crate::image::digest::Digest;
use crate::image::document::{Config, Descriptor, invalid};
use crate::image::layer::{Compression, Layer};
use serde::Deserialize;

/// An open archive, or a directory where one was extracted.
#[derive(Debug)]
pub struct Archive {
    files: Files,
    json_limit: u64,
    entries: Vec<Entry>,
}

/// One image of manifest.json.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default, deserialize_with = "or_default")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    layers: Vec<String>,
}

impl Archive {
    /// Opens one.
    ///
    /// # Errors
    /// Where there is no manifest.json, or one that makes no sense.
    pub fn open(files: Files, json_limit: u64) -> Result<Self> {
        let text = files.text("manifest.json", json_limit)?;
        let entries = serde_json::from_slice(&text)
            .map_err(|error| invalid(format!("manifest.json: {error}")))?;
        Ok(Self {
            files,
            json_limit,
            entries,
        })
    }

    /// The image that is meant.
    pub fn image(&self, tag: Option<&Tag>, choice: &Choice) -> Result<Image> {
        let (entry, id, config) = self.one(tag)?;
        check_platform(&config.platform, choice)?;
        let layers = entry.layers.iter().zip(&config.rootfs.diff_ids);
        let layers: Result<Vec<Layer>> = layers
            .enumerate()
            .map(|(index, (name, diff_id))| {
                self.layer(index, name, diff_id)
                    .context(|| format!("layer {}", index + 1))
            })
            .collect();
        Ok(Image {
            reference: String::new(),
            digest: id.clone(),
            id,
            tags: entry.repo_tags.clone(),
            layers: layers?,
            config,
        })
    }

    /// All images that go by the tag.
    pub fn candidates(&self, tag: Option<&Tag>) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        for entry in &self.entries {
            let (id, size, config) = self.config(entry)?;
            if tag.is_none_or(|tag| entry.is_called(tag, &id)) {
                let descriptor = Descriptor::of_config(id, size);
                let name = entry.repo_tags.first().cloned();
                candidates.push(Candidate::without_index(descriptor, name, config.platform));
            }
        }
        Ok(candidates)
    }

    fn one(&self, tag: Option<&Tag>) -> Result<(&Entry, Digest, Config)> {
        let mut found: Vec<(&Entry, Digest, Config)> = Vec::new();
        for entry in &self.entries {
            let (id, _, config) = self.config(entry)?;
            let is_wanted = tag.is_none_or(|tag| entry.is_called(tag, &id));
            if is_wanted && found.iter().all(|(_, known, _)| *known != id) {
                found.push((entry, id, config));
            }
        }
        let names = |entries: &mut dyn Iterator<Item = &Entry>| {
            list(entries.flat_map(|entry| entry.repo_tags.iter().cloned()))
        };
        match found.len() {
            0 => Err(invalid("there is no such image")
                .with_code(Code::NotFound)
                .hint(format!("there are {}", names(&mut self.entries.iter())))),
            1 => Ok(found.remove(0)),
            _ => Err(
                invalid("it does not say which image is meant").hint(format!(
                    "there are {}",
                    names(&mut found.iter().map(|(entry, ..)| *entry))
                )),
            ),
        }
    }

    /// The config of an image, with its digest and length.
    fn config(&self, entry: &Entry) -> Result<(Digest, u64, Config)> {
        let name = inside(&entry.config)?;
        let text = self.files.text(name, self.json_limit)?;
        let id = digest_of(&text);
        if claimed(name)?.is_some_and(|claimed| claimed != id) {
            return Err(invalid(format!("{name}: its digest is {id}")));
        }
        let config = Config::read(&text, entry.layers.len()).context(|| name.to_owned())?;
        Ok((id, text.len() as u64, config))
    }

    fn layer(&self, index: usize, name: &str, diff_id: &Digest) -> Result<Layer> {
        let blob = self.files.get(inside(name)?)?;
        let blob = blob.ok_or_else(|| invalid(format!("{name} is missing")))?;
        Ok(Layer {
            index,
            digest: claimed(name)?,
            size: blob.len(),
            diff_id: diff_id.clone(),
            compression: Compression::Unlabelled,
            blob,
        })
    }
}

impl Entry {
    fn is_called(&self, tag: &Tag, id: &Digest) -> bool {
        match tag {
            Tag::Digest(digest) => digest == id,
            Tag::Name(name) => self
                .repo_tags
                .iter()
                .any(|tag| tag == name || full_name(tag) == full_name(name)),
        }
    }
}

/// A name with all that Docker leaves out: "busybox" is "docker.io/library/busybox:latest".
fn full_name(name: &str) -> String {
    let (registry, rest) = match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", name),
    };
    let library = match registry {
        "docker.io" if !rest.contains('/') => "library/",
        _ => "",
    };
    let has_tag = rest
        .rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'));
    let latest = if has_tag { "" } else { ":latest" };
    format!("{registry}/{library}{rest}{latest}")
}

/// Newer versions of Docker keep everything as an OCI layout does; what is named by its digest
/// there must have it.
fn claimed(name: &str) -> Result<Option<Digest>> {
    let hex = name.strip_prefix("blobs/sha256/");
    hex.map(|hex| format!("sha256:{hex}").parse()).transpose()
}

/// A file's name, where it leads to no other directory than the archive's own.
fn inside(name: &str) -> Result<&str> {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    if name.split('/').all(is_plain) {
        return Ok(name);
    }
    Err(invalid(format!(
        "manifest.json: {name:?} is no name of a file in it"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_in_full() {
        for (short, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("docker.io/busybox:1", "docker.io/library/busybox:1"),
            ("someone/thing", "docker.io/someone/thing:latest"),
            ("reg:5000/thing:2", "reg:5000/thing:2"),
            ("localhost/thing", "localhost/thing:latest"),
        ] {
            assert_eq!(full_name(short), full);
        }
    }

    #[test]
    fn a_name_stays_inside() {
        assert!(inside("0a1b/layer.tar").is_ok());
        for name in ["", "/etc/passwd", "../x", "a/../b", "a//b"] {
            assert!(inside(name).is_err(), "{name}");
        }
    }
}
