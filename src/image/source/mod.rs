//! Where images come from: OCI layouts, in directories and in archives, and Docker's archives.

mod archive;
mod docker;
mod files;
mod layout;
mod reference;
mod select;

pub use reference::{Reference, Tag, Transport};
pub use select::Candidate;

use super::digest::{Algorithm, Digest};
use super::document::{Config, invalid};
use super::layer::{Compression, Layer, Limits};
use super::platform::Platform;
use crate::error::{Context, Result};
use files::Files;

/// The most of one JSON document that is read. Registries take 4 MiB.
pub const JSON_LIMIT: u64 = 16 << 20;

/// Which image of a source is meant, and how far it is believed.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The platform that is asked for; none is this machine's.
    pub platform: Option<Platform>,
    /// The most of one JSON document that is read.
    pub json_limit: u64,
    /// How much an archive may be that is compressed as a whole.
    pub limits: Limits,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            platform: None,
            json_limit: JSON_LIMIT,
            limits: Limits::default(),
        }
    }
}

/// An image, its documents verified, its layers still to be.
#[derive(Debug)]
pub struct Image {
    /// Where it was found, with an absolute path.
    pub reference: String,
    /// What identifies it: the manifest's digest, or where there is none the config's.
    pub digest: Digest,
    /// The config's digest: Docker's image id.
    pub id: Digest,
    /// What its source calls it.
    pub tags: Vec<String>,
    /// How it is run.
    pub config: Config,
    /// From the lowest up.
    pub layers: Vec<Layer>,
}

/// A source with what it holds.
#[derive(Debug)]
pub enum Source {
    /// An OCI layout.
    Layout(layout::Layout),
    /// What `docker save` writes.
    Docker(docker::Archive),
}

impl Source {
    /// Opens a source and recognises what it is.
    ///
    /// # Errors
    /// Where it is not what the reference says, or nothing known.
    pub fn open(reference: &Reference, choice: &Choice) -> Result<Self> {
        let json_limit = choice.json_limit;
        let opening = || format!("opening the image {}", reference.path.display());
        let files = Files::open(&reference.path, choice.limits).context(opening)?;
        let has = |name: &str| files.has(name);
        let is_layout = match reference.transport {
            Some(Transport::Oci | Transport::OciArchive) => true,
            Some(Transport::DockerArchive) => false,
            None if has("oci-layout")? => true,
            None if has("manifest.json")? => false,
            None => {
                return Err(invalid(format!(
                    "{}: it has neither an oci-layout nor a manifest.json",
                    opening()
                ))
                .hint("an image is an OCI layout or an archive of `docker save`"));
            }
        };
        if is_layout {
            layout::Layout::open(files, json_limit).map(Self::Layout)
        } else {
            docker::Archive::open(files, json_limit).map(Self::Docker)
        }
        .context(opening)
    }

    /// The one image that is meant.
    ///
    /// # Errors
    /// Where there is none such, or more than one; where its documents are not what they claim.
    pub fn image(&self, tag: Option<&Tag>, choice: &Choice) -> Result<Image> {
        match self {
            Self::Layout(layout) => layout.image(tag, choice),
            Self::Docker(archive) => archive.image(tag, choice),
        }
    }

    /// What the reference means wherever one is: with its transport, and an absolute path.
    ///
    /// # Errors
    /// Where the path leads nowhere any more.
    fn name(&self, reference: &Reference) -> Result<String> {
        let path = reference.path.canonicalize();
        let full = Reference {
            transport: Some(match self {
                Self::Layout(layout) if layout.is_directory() => Transport::Oci,
                Self::Layout(_) => Transport::OciArchive,
                Self::Docker(_) => Transport::DockerArchive,
            }),
            path: path.context(|| format!("opening {}", reference.path.display()))?,
            tag: reference.tag.clone(),
        };
        Ok(full.to_string())
    }

    /// All images that go by the tag, for people to look at.
    ///
    /// # Errors
    /// Where the source's indexes are not what they claim.
    pub fn candidates(&self, tag: Option<&Tag>) -> Result<Vec<Candidate>> {
        match self {
            Self::Layout(layout) => layout.candidates(tag),
            Self::Docker(archive) => archive.candidates(tag),
        }
    }
}

/// Finds an image.
///
/// # Errors
/// See [`Source::open`] and [`Source::image`].
pub fn find(reference: &Reference, choice: &Choice) -> Result<Image> {
    let source = Source::open(reference, choice)?;
    let mut image = source
        .image(reference.tag.as_ref(), choice)
        .context(|| format!("the image {reference}"))?;
    image.reference = source.name(reference)?;
    Ok(image)
}

/// Whether an image for `platform` will do, by name or as this machine's. One that there is no
/// alternative to may say of itself what it likes: many say it wrong.
fn check_platform(platform: &Platform, choice: &Choice) -> Result<()> {
    let wanted = choice.platform.clone().unwrap_or_else(Platform::host);
    if platform.suits(&wanted).is_some() {
        return Ok(());
    }
    if choice.platform.is_some() {
        return Err(invalid(format!("it is for {platform}, not for {wanted}")));
    }
    log::warn!("the image is for {platform}, and this machine is {wanted}");
    Ok(())
}

/// A layer's compression by its media type; unknown types must be refused (layer.md).
fn compression(media_type: &str) -> Result<Compression> {
    Ok(match media_type {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Compression::None,
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Compression::Gzip,
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Compression::Zstd,
        encrypted if encrypted.ends_with("+encrypted") => {
            return Err(invalid(format!("it is encrypted ({encrypted})"))
                .hint("decrypt the image first (skopeo copy --decryption-key)"));
        }
        other => return Err(invalid(format!("its type {other:?} is unknown"))),
    })
}

/// The digest of a document that comes without one.
fn digest_of(text: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, text)
}
