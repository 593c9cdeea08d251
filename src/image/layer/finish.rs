//! What is left to do when all entries are written: what overlayfs is to see, and the attributes
//! of directories, whose times change with each entry and whose modes may forbid any.

use super::OverlayXattrs;
use super::attributes;
use super::owner::Host;
use super::remove;
use super::tree::{Attributes, DirId, Origin, ROOT, Tree};
use crate::error::{Context, Result};
use rustix::fs::{FileType, Mode, XattrFlags};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Finishes a tree.
pub struct Finish<'a> {
    pub tree: &'a mut Tree,
    pub host: Host,
    /// How whiteouts and opaque directories are marked; None where there are none left.
    pub marks: Option<OverlayXattrs>,
    /// What an implied directory has.
    pub implied: Attributes,
}

impl Finish<'_> {
    /// Finishes all of it, the innermost directories first.
    ///
    /// # Errors
    /// Where an attribute cannot be set.
    pub fn run(&mut self) -> Result<()> {
        let root = self.tree.open(ROOT)?;
        self.tree.close();
        let root = remove::open(root.as_fd(), b".").context(|| "opening the root directory")?;
        self.directory(ROOT, &root)
    }

    fn directory(&mut self, dir: DirId, handle: &OwnedFd) -> Result<()> {
        if let Some(xattrs) = self.marks {
            self.mark(dir, handle, xattrs)?;
        }
        let children: Vec<_> = self
            .tree
            .children(dir)
            .map(|(name, child)| (name.to_vec(), child))
            .collect();
        for (name, child) in children {
            self.child(handle, &name, child)
                .context(|| format!("directory {}", name.escape_ascii()))?;
        }
        let there = &self.tree[dir];
        attributes::of_directory(handle.as_fd(), &there.attributes, there.made, self.host)
    }

    fn child(&mut self, parent: &OwnedFd, name: &[u8], child: DirId) -> Result<()> {
        if !self.needs_open(child) {
            return attributes::set_times(parent.as_fd(), name, self.tree[child].attributes.mtime);
        }
        let handle = remove::open(parent.as_fd(), name).context(|| "opening it")?;
        self.directory(child, &handle)
    }

    /// Most directories are made as they shall be, with nothing below that is to be finished.
    fn needs_open(&self, dir: DirId) -> bool {
        let there = &self.tree[dir];
        let marked = there.opaque || !there.whiteouts.is_empty();
        self.tree.children(dir).next().is_some()
            || (marked && self.marks.is_some())
            || !there.attributes.xattrs.is_empty()
            || there.made != (there.attributes.mode, there.attributes.owner)
    }

    /// Makes overlayfs see what was noted.
    fn mark(&mut self, dir: DirId, handle: &OwnedFd, xattrs: OverlayXattrs) -> Result<()> {
        let set = |name, value: &[u8]| {
            rustix::fs::fsetxattr(handle, name, value, XattrFlags::empty())
                .context(|| format!("setting its xattr {name}"))
        };
        let whiteouts = std::mem::take(&mut self.tree[dir].whiteouts);
        if self.tree[dir].opaque {
            let names: Vec<_> = self
                .tree
                .children(dir)
                .map(|(name, _)| name.to_vec())
                .collect();
            for name in names {
                self.hide_below(dir, handle, &name)?;
            }
            for name in std::mem::take(&mut self.tree[dir].copied) {
                remove::tree(handle.as_fd(), &name).context(|| "removing what is hidden")?;
            }
            return set(xattrs.opaque(), b"y");
        }
        let mut made = false;
        for name in whiteouts {
            self.hide_below(dir, handle, &name)?;
            if self.tree[dir].copied.remove(&name) {
                remove::tree(handle.as_fd(), &name).context(|| "removing what is hidden")?;
            }
            if self.tree.child(dir, &name).is_none() {
                made |= whiteout(handle.as_fd(), &name)?;
            }
        }
        match made {
            true => set(xattrs.origin(), b""),
            false => Ok(()),
        }
    }

    /// The directory `name`, if there is one, gets nothing of the one below: neither what is in it,
    /// nor its attributes. It goes if it is there because of that one alone.
    fn hide_below(&mut self, dir: DirId, handle: &OwnedFd, name: &[u8]) -> Result<()> {
        let Some(child) = self.tree.child(dir, name) else {
            return Ok(());
        };
        let there = &mut self.tree[child];
        there.opaque = true;
        if let Origin::Copied(mtime) = there.origin {
            there.origin = Origin::Implied;
            there.attributes = Attributes {
                mtime,
                ..self.implied.clone()
            };
        }
        if there.incidental {
            self.tree.forget(dir, name);
            remove::tree(handle.as_fd(), name).context(|| "removing what is hidden")?;
        }
        Ok(())
    }
}

/// Makes the whiteout `name`, where the layer itself has nothing. Needs no privilege since 5.8.
fn whiteout(dir: BorrowedFd<'_>, name: &[u8]) -> Result<bool> {
    match rustix::fs::mknodat(dir, name, FileType::CharacterDevice, Mode::empty(), 0) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error).context(|| format!("making the whiteout {}", name.escape_ascii())),
    }
}
