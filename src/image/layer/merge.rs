//! Bringing a layer's own directory and what is below together, in flat mode: by renaming,
//! whole subtrees at a time.
//!
//! No more directories are open at a time than a [`Tree`] keeps, however deep they are.

use super::failure::{Attempt, Failure};
use super::tree::{DirId, Origin, ROOT, Tree};
use crate::error::{Context, Result};
use crate::image::remove;
use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

/// A layer, and the tree that it goes on top of.
pub struct Merge<'a> {
    pub below: &'a mut Tree,
    pub layer: &'a mut Tree,
    /// The layer may have names of files below.
    pub links_below: bool,
}

/// A directory that both have.
#[derive(Clone, Copy)]
struct Pair {
    below: DirId,
    layer: DirId,
}

const ROOTS: Pair = Pair {
    below: ROOT,
    layer: ROOT,
};

impl Merge<'_> {
    /// Moves all of the layer to the tree below. The layer's own directory is empty then.
    ///
    /// # Errors
    /// [`Failure::NeedsBelow`] before anything was moved, where a directory that is only implied
    /// is no directory below; or a file that cannot be moved.
    pub fn run(&mut self) -> Attempt<()> {
        self.verify()?;
        let mut todo = vec![ROOTS];
        let mut done = Vec::new();
        while let Some(pair) = todo.pop() {
            let inner = self.directory(pair);
            todo.extend(inner.context(|| {
                let path = self.layer.path(pair.layer).join(&b'/');
                path.escape_ascii().to_string()
            })?);
            done.push(pair.layer);
        }
        // They are empty: each once those in it are gone.
        for dir in done.into_iter().skip(1).rev() {
            self.remove(dir)?;
        }
        Ok(())
    }

    /// What was assumed of directories below has to be so, also where they will be hidden: it
    /// matters in which order a layer makes use of something and hides it.
    fn verify(&mut self) -> Attempt<()> {
        let mut todo = vec![ROOTS];
        while let Some(pair) = todo.pop() {
            for (name, layer) in self.layer.subdirectories(pair.layer) {
                if let Some(below) = self.below.child(pair.below, &name) {
                    todo.push(Pair { below, layer });
                } else if self.layer[layer].assumed {
                    self.verify_missing(pair.below, &name)?;
                }
            }
        }
        Ok(())
    }

    /// Nothing is at `name` in the directory below.
    fn verify_missing(&mut self, below: DirId, name: &[u8]) -> Attempt<()> {
        let handle = self.below.open(below)?;
        match rustix::fs::statat(&*handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).context(|| "looking at what is below")?,
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Ok(()),
            // A link, or what is refused as soon as it is known whose entry it is.
            Ok(_) => Err(Failure::NeedsBelow),
        }
    }

    /// Brings one directory together, but for those in it that both have: they are left to do.
    fn directory(&mut self, pair: Pair) -> Result<Vec<Pair>> {
        self.hide(pair)?;
        let layer = &mut self.layer[pair.layer];
        if layer.origin == Origin::Entry {
            let below = &mut self.below[pair.below];
            below.attributes = std::mem::take(&mut layer.attributes);
            below.origin = Origin::Entry;
        }
        let mut inner = Vec::new();
        for name in names(&self.layer.reader(pair.layer)?)? {
            let name = name.as_bytes();
            let both = self.entry(pair, name);
            inner.extend(both.context(|| name.escape_ascii().to_string())?);
        }
        Ok(inner)
    }

    /// What the layer hides.
    fn hide(&mut self, pair: Pair) -> Result<()> {
        let hiding = || "removing what a layer hides";
        let layer = &mut self.layer[pair.layer];
        let opaque = std::mem::take(&mut layer.opaque);
        let whiteouts = std::mem::take(&mut layer.whiteouts);
        if opaque {
            for (name, _) in self.below.subdirectories(pair.below) {
                self.below.forget(pair.below, &name);
            }
            remove::contents(&self.below.reader(pair.below)?).context(hiding)?;
        }
        for name in whiteouts {
            self.below.forget(pair.below, &name);
            let handle = self.below.open(pair.below)?;
            remove::entry(handle.as_fd(), &*name).context(hiding)?;
        }
        Ok(())
    }

    /// Moves what is at `name`, unless it is a directory that both have.
    fn entry(&mut self, pair: Pair, name: &[u8]) -> Result<Option<Pair>> {
        let ours = self.layer.child(pair.layer, name);
        let theirs = self.below.child(pair.below, name);
        match (ours, theirs) {
            (Some(layer), Some(below)) => return Ok(Some(Pair { below, layer })),
            (Some(ours), None) => {
                self.drop_incidentals(ours)?;
                if self.layer[ours].incidental {
                    return Ok(None);
                }
            }
            (None, Some(_)) => {
                self.below.forget(pair.below, name);
                let below = self.below.open(pair.below)?;
                remove::entry(below.as_fd(), name).context(|| "replacing what is below")?;
            }
            (None, None) => {}
        }
        let (from, to) = (self.layer.open(pair.layer)?, self.below.open(pair.below)?);
        rename(&from, &to, name)?;
        if self.links_below && ours.is_none() {
            // To rename a file to another of its own names is to do nothing.
            match rustix::fs::unlinkat(&*from, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error).context(|| "removing it where it was"),
            }
        }
        if let Some(ours) = ours {
            self.graft(pair.below, ours);
        }
        Ok(None)
    }

    /// Removes what is only there because of something below, where there is none.
    fn drop_incidentals(&mut self, dir: DirId) -> Result<()> {
        for dir in self.layer.subtree(dir).into_iter().rev() {
            if self.layer[dir].incidental {
                self.remove(dir)?;
            }
        }
        Ok(())
    }

    /// Removes an empty directory of the layer's.
    fn remove(&mut self, dir: DirId) -> Result<()> {
        let parent = self.layer.parent(dir);
        let handle = self.layer.open(parent)?;
        let name = self.layer.name(dir).to_vec();
        self.layer.forget(parent, &name);
        rustix::fs::unlinkat(&*handle, &name[..], AtFlags::REMOVEDIR)
            .context(|| "removing it where it was")
    }

    /// The directories of a subtree that was moved.
    fn graft(&mut self, parent: DirId, dir: DirId) {
        let mut todo = vec![(parent, dir)];
        while let Some((parent, dir)) = todo.pop() {
            let there = &mut self.layer[dir];
            let attributes = std::mem::take(&mut there.attributes);
            let (origin, made) = (there.origin, there.made);
            let name = self.layer.name(dir);
            let id = self.below.add(parent, name, origin, attributes, made);
            let inner = self.layer.subdirectories(dir).into_iter();
            todo.extend(inner.map(|(_, child)| (id, child)));
        }
    }
}

/// The names in a directory: read before any of it is moved.
fn names(directory: &OwnedFd) -> Result<Vec<CString>> {
    let reading = || "reading a layer's directory";
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).context(reading)? {
        let entry = entry.context(reading)?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// Moves `name`; what is below at its place is replaced.
fn rename(from: &OwnedFd, to: &OwnedFd, name: &[u8]) -> Result<()> {
    match rustix::fs::renameat(from, name, to, name) {
        // A directory in place of something else.
        Err(Errno::NOTDIR) => {
            rustix::fs::unlinkat(to, name, AtFlags::empty())
                .context(|| "replacing what is below")?;
            rustix::fs::renameat(from, name, to, name)
        }
        result => result,
    }
    .context(|| "moving it to its place")
}
