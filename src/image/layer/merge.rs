//! Bringing a layer's own directory and what is below together, in flat mode: by renaming,
//! whole subtrees at a time.

use super::failure::{Attempt, Failure};
use super::remove;
use super::tree::{DirId, Origin, ROOT, Tree};
use crate::error::{Context, Result};
use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};

/// A layer, and the tree that it goes on top of.
pub struct Merge<'a> {
    pub below: &'a mut Tree,
    pub layer: &'a mut Tree,
    /// The layer may have names of files below.
    pub links_below: bool,
}

impl Merge<'_> {
    /// Moves all of the layer to the tree below. The layer's own directory is empty then.
    ///
    /// # Errors
    /// [`Failure::NeedsBelow`] before anything was moved, where a directory that is only implied
    /// is no directory below; or a file that cannot be moved.
    pub fn run(&mut self) -> Attempt<()> {
        self.verify(ROOT, ROOT)?;
        let below = self.below.open(ROOT)?;
        let below = remove::open(below.as_fd(), b".").context(|| "opening the root directory")?;
        let layer = self.layer.open(ROOT)?;
        let layer = remove::open(layer.as_fd(), b".").context(|| "opening a layer")?;
        self.layer.close();
        self.below.close();
        Ok(self.directory(ROOT, &below, ROOT, &layer)?)
    }

    /// What was assumed of directories below has to be so, also where they will be hidden: it
    /// matters in which order a layer makes use of something and hides it.
    fn verify(&mut self, below: DirId, layer: DirId) -> Attempt<()> {
        let children: Vec<_> = self
            .layer
            .children(layer)
            .map(|(name, child)| (name.to_vec(), child))
            .collect();
        for (name, child) in children {
            if let Some(there) = self.below.child(below, &name) {
                self.verify(there, child)?;
            } else if self.layer[child].assumed {
                let handle = self.below.open(below)?;
                match rustix::fs::statat(&*handle, &name[..], AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => {}
                    Err(error) => return Err(error).context(|| "looking at what is below")?,
                    Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {}
                    // A link, or what is refused as soon as it is known whose entry it is.
                    Ok(_) => return Err(Failure::NeedsBelow),
                }
            }
        }
        Ok(())
    }

    fn directory(
        &mut self,
        below: DirId,
        below_handle: &OwnedFd,
        layer: DirId,
        layer_handle: &OwnedFd,
    ) -> Result<()> {
        self.hide(below, below_handle, layer)?;
        if self.layer[layer].origin == Origin::Entry {
            self.below[below].attributes = std::mem::take(&mut self.layer[layer].attributes);
            self.below[below].origin = Origin::Entry;
        }
        let merging = || "merging layers";
        for entry in Dir::read_from(layer_handle).context(merging)? {
            let entry = entry.context(merging)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            self.entry(below, below_handle, layer, layer_handle, name)
                .context(|| name.escape_ascii().to_string())?;
        }
        Ok(())
    }

    /// What the layer hides.
    fn hide(&mut self, below: DirId, handle: &OwnedFd, layer: DirId) -> Result<()> {
        if std::mem::take(&mut self.layer[layer].opaque) {
            let names: Vec<_> = self
                .below
                .children(below)
                .map(|(name, _)| name.to_vec())
                .collect();
            for name in names {
                self.below.forget(below, &name);
            }
            remove::contents(handle).context(|| "removing what a layer hides")?;
        }
        for name in std::mem::take(&mut self.layer[layer].whiteouts) {
            self.below.forget(below, &name);
            remove::tree(handle.as_fd(), &name).context(|| "removing what a layer hides")?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        below: DirId,
        below_handle: &OwnedFd,
        layer: DirId,
        layer_handle: &OwnedFd,
        name: &[u8],
    ) -> Result<()> {
        let ours = self.layer.child(layer, name);
        let theirs = self.below.child(below, name);
        match (ours, theirs) {
            (Some(ours), Some(theirs)) => {
                let below_inner =
                    remove::open(below_handle.as_fd(), name).context(|| "opening it")?;
                let layer_inner =
                    remove::open(layer_handle.as_fd(), name).context(|| "opening it")?;
                self.directory(theirs, &below_inner, ours, &layer_inner)?;
                return rustix::fs::unlinkat(layer_handle, name, AtFlags::REMOVEDIR)
                    .context(|| "removing it where it was");
            }
            (Some(ours), None) => {
                let inner = || remove::open(layer_handle.as_fd(), name).context(|| "opening it");
                if self.has_incidentals(ours) && self.drop_incidentals(ours, &inner()?)? {
                    return rustix::fs::unlinkat(layer_handle, name, AtFlags::REMOVEDIR)
                        .context(|| "removing it where it was");
                }
            }
            (None, Some(_)) => {
                self.below.forget(below, name);
                remove::tree(below_handle.as_fd(), name).context(|| "replacing what is below")?;
            }
            (None, None) => {}
        }
        rename(layer_handle, below_handle, name)?;
        if self.links_below && ours.is_none() {
            // To rename a file to another of its own names is to do nothing.
            match rustix::fs::unlinkat(layer_handle, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error).context(|| "removing it where it was"),
            }
        }
        if let Some(ours) = ours {
            self.graft(below, name, ours);
        }
        Ok(())
    }

    fn has_incidentals(&self, dir: DirId) -> bool {
        self.layer[dir].incidental
            || self
                .layer
                .children(dir)
                .any(|(_, child)| self.has_incidentals(child))
    }

    /// Removes what is only there because of something below, where there is none. True where that
    /// is all of `dir`.
    fn drop_incidentals(&mut self, dir: DirId, handle: &OwnedFd) -> Result<bool> {
        let children: Vec<_> = self
            .layer
            .children(dir)
            .map(|(name, child)| (name.to_vec(), child))
            .collect();
        for (name, child) in children {
            let inner = remove::open(handle.as_fd(), &name).context(|| "opening it")?;
            if self.drop_incidentals(child, &inner)? {
                self.layer.forget(dir, &name);
                rustix::fs::unlinkat(handle, &name[..], AtFlags::REMOVEDIR)
                    .context(|| "removing it where it was")?;
            }
        }
        Ok(self.layer[dir].incidental)
    }

    /// The directories of a subtree that was moved.
    fn graft(&mut self, parent: DirId, name: &[u8], dir: DirId) {
        let there = &mut self.layer[dir];
        let attributes = std::mem::take(&mut there.attributes);
        let (origin, made) = (there.origin, there.made);
        let id = self.below.add(parent, name, origin, attributes, made);
        let children: Vec<_> = self
            .layer
            .children(dir)
            .map(|(name, child)| (name.to_vec(), child))
            .collect();
        for (name, child) in children {
            self.graft(id, &name, child);
        }
    }
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
