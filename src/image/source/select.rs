//! Which of a layout's images is meant: by tag, through nested indexes, by platform.

use super::layout::Layout;
use super::{Choice, Tag};
use crate::error::{Code, Context, Error, Result};
use crate::image::digest::Digest;
use crate::image::document::{Descriptor, Kind, invalid};
use crate::image::platform::Platform;

/// How deep indexes may be nested: nobody has a reason for more than two.
const DEPTH: usize = 8;

/// How many documents are read on the way to one image.
const DOCUMENTS: usize = 1000;

/// An image that may be the one.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Of its manifest.
    pub descriptor: Descriptor,
    /// What its source calls it.
    pub tag: Option<String>,
    /// What it runs on, where that is known without its config.
    pub platform: Platform,
    /// Which of the top-level descriptors it comes from.
    top: usize,
}

impl Candidate {
    /// The image of a source that has neither indexes nor manifests.
    pub fn without_index(descriptor: Descriptor, tag: Option<String>, platform: Platform) -> Self {
        Self {
            descriptor,
            tag,
            platform,
            top: 0,
        }
    }
}

/// The one image that is meant.
///
/// # Errors
/// Where none is, or more than one could be.
pub fn one(layout: &Layout, tag: Option<&Tag>, choice: &Choice) -> Result<Candidate> {
    if tag.is_none() {
        one_name(layout)?;
    }
    let mut candidates = all(layout, tag)?;
    // Of a single one that does not say, the config will.
    if let [only] = &candidates[..]
        && (choice.platform.is_none() || only.platform.is_unknown())
    {
        return Ok(candidates.remove(0));
    }
    let wanted = choice.platform.clone().unwrap_or_else(Platform::host);
    let rank = |candidate: &Candidate| candidate.platform.suits(&wanted);
    let best = candidates.iter().filter_map(rank).max();
    let Some(best) = best else {
        let there = list(candidates.iter().map(|one| one.platform.to_string()));
        return Err(invalid(format!("there is none for {wanted}"))
            .with_code(Code::NotFound)
            .hint(format!("choose with --platform: {there}")));
    };
    candidates.retain(|candidate| rank(candidate) == Some(best));
    let chosen = candidates.remove(0);
    // In one index the first one counts (image-index.md); of two images that are tagged alike,
    // neither is the first.
    let rival = candidates.iter().find(|other| {
        other.top != chosen.top && other.descriptor.digest != chosen.descriptor.digest
    });
    match rival {
        None => Ok(chosen),
        Some(other) => Err(invalid(format!(
            "there are two of that name: {} and {}",
            chosen.descriptor.digest, other.descriptor.digest
        ))
        .hint("choose by digest: DIR@sha256:...")),
    }
}

/// Refuses to guess among several names.
fn one_name(layout: &Layout) -> Result<()> {
    let tops = layout.top().iter().filter(|top| is_image(top));
    let mut names: Vec<Option<&str>> = tops.map(name).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() < 2 {
        return Ok(());
    }
    let tags = list(names.iter().map(|name| name.unwrap_or("(none)").to_owned()));
    Err(invalid("it does not say which image is meant").hint(format!("there are the tags {tags}")))
}

/// All images that go by the tag, or all there are.
///
/// # Errors
/// Where there are none, and where indexes are not what they claim, nested too deep or too many.
pub fn all(layout: &Layout, tag: Option<&Tag>) -> Result<Vec<Candidate>> {
    let mut walk = Walk {
        layout,
        candidates: Vec::new(),
        schema1: false,
        documents: 0,
        within: Vec::new(),
    };
    match tag {
        Some(Tag::Digest(digest)) => {
            let found = walk.find(digest, layout.top())?.ok_or_else(|| {
                invalid(format!("there is no {digest}")).with_code(Code::NotFound)
            })?;
            walk.visit(&found, 0, name(&found))?;
        }
        Some(Tag::Name(wanted)) => {
            for (top, descriptor) in layout.top().iter().enumerate() {
                if names(descriptor).any(|name| name == wanted) {
                    walk.visit(descriptor, top, Some(wanted))?;
                }
            }
        }
        None => {
            for (top, descriptor) in layout.top().iter().enumerate() {
                walk.visit(descriptor, top, name(descriptor))?;
            }
        }
    }
    walk.complete_platforms()?;
    walk.finish(tag)
}

/// The names of a top-level descriptor: image-spec's, and containerd's with the registry.
fn names(descriptor: &Descriptor) -> impl Iterator<Item = &str> {
    [
        "org.opencontainers.image.ref.name",
        "io.containerd.image.name",
    ]
    .into_iter()
    .filter_map(|key| descriptor.annotations.get(key))
    .map(String::as_str)
}

fn name(descriptor: &Descriptor) -> Option<&str> {
    names(descriptor).next()
}

fn is_image(descriptor: &Descriptor) -> bool {
    Kind::of(&descriptor.media_type) != Kind::Other && !descriptor.is_attestation()
}

/// "a, b, c and 7 more", each once.
pub fn list(names: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 32;
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    let more = match names.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    names.truncate(SHOWN);
    names.join(", ") + &more
}

/// A walk through indexes, down to manifests.
struct Walk<'a> {
    layout: &'a Layout,
    candidates: Vec<Candidate>,
    /// Whether something was left out for being of schema 1.
    schema1: bool,
    documents: usize,
    /// The indexes that we are in.
    within: Vec<Digest>,
}

impl Walk<'_> {
    fn visit(&mut self, descriptor: &Descriptor, top: usize, tag: Option<&str>) -> Result<()> {
        if descriptor.is_attestation() {
            return Ok(());
        }
        match Kind::of(&descriptor.media_type) {
            Kind::Other => {}
            Kind::Schema1 => self.schema1 = true,
            Kind::Manifest => self.candidates.push(Candidate {
                descriptor: descriptor.clone(),
                tag: tag.map(str::to_owned),
                platform: descriptor.platform.clone().unwrap_or_default(),
                top,
            }),
            Kind::Index => {
                for child in self.enter(descriptor)? {
                    self.visit(&child, top, tag)?;
                }
                self.within.pop();
            }
        }
        Ok(())
    }

    /// The descriptor of that digest among `descriptors` and below.
    fn find(&mut self, digest: &Digest, descriptors: &[Descriptor]) -> Result<Option<Descriptor>> {
        if let Some(found) = descriptors.iter().find(|one| one.digest == *digest) {
            return Ok(Some(found.clone()));
        }
        for descriptor in descriptors {
            if Kind::of(&descriptor.media_type) == Kind::Index {
                let children = self.enter(descriptor)?;
                let found = self.find(digest, &children)?;
                self.within.pop();
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// What is in a nested index; the caller leaves it.
    fn enter(&mut self, descriptor: &Descriptor) -> Result<Vec<Descriptor>> {
        let at = || format!("index {}", descriptor.digest);
        if self.within.contains(&descriptor.digest) {
            return Err(invalid("it is nested in itself").context(at()));
        }
        if self.within.len() >= DEPTH {
            return Err(invalid(format!("it is nested more than {DEPTH} deep")).context(at()));
        }
        self.count()?;
        self.within.push(descriptor.digest.clone());
        Ok(self.layout.index(descriptor)?.manifests)
    }

    fn count(&mut self) -> Result<()> {
        self.documents += 1;
        if self.documents > DOCUMENTS {
            let message = format!("more than {DOCUMENTS} documents to look through");
            return Err(invalid(message).hint("choose by digest: DIR@sha256:..."));
        }
        Ok(())
    }

    /// Of images to choose from by platform, each must have one: if need be, its config's.
    fn complete_platforms(&mut self) -> Result<()> {
        if self.candidates.len() < 2 {
            return Ok(());
        }
        let mut candidates = Vec::new();
        for mut candidate in std::mem::take(&mut self.candidates) {
            if candidate.platform.is_unknown() {
                self.count()?;
                let manifest = match self.layout.manifest(&candidate.descriptor) {
                    // Signatures and the like are manifests too.
                    Err(error) if error.code() == Code::Unsupported => continue,
                    other => other?,
                };
                candidate.platform = self
                    .layout
                    .config(&manifest)
                    .context(|| format!("manifest {}", candidate.descriptor.digest))?
                    .platform;
            }
            candidates.push(candidate);
        }
        self.candidates = candidates;
        Ok(())
    }

    fn finish(self, tag: Option<&Tag>) -> Result<Vec<Candidate>> {
        if !self.candidates.is_empty() {
            return Ok(self.candidates);
        }
        if self.schema1 {
            return Err(Error::new(
                Code::Unsupported,
                "it is in Docker's schema 1, whose content cannot be verified",
            )
            .hint("convert it: skopeo copy"));
        }
        let error = invalid("there is no such image").with_code(Code::NotFound);
        let tops = self.layout.top().iter();
        let tags = list(tops.filter_map(name).map(str::to_owned));
        Err(match tag {
            Some(_) if !tags.is_empty() => error.hint(format!("there are the tags {tags}")),
            _ => error,
        })
    }
}
