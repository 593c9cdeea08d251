//! What is left to do when all entries are written: what overlayfs is to see, and the attributes
//! of directories, whose times change with each entry and whose modes may forbid any.

use super::OverlayXattrs;
use super::attributes;
use super::owner::Host;
use super::tree::{Attributes, DirId, Origin, ROOT, Tree};
use crate::error::{Context, Result};
use crate::image::remove;
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
        // Marking a directory may change those in it: it comes first.
        let mut order = Vec::new();
        let mut todo = vec![ROOT];
        while let Some(dir) = todo.pop() {
            if let Some(xattrs) = self.marks {
                self.mark(dir, xattrs).context(|| self.name(dir))?;
            }
            let inner = self.tree.subdirectories(dir).into_iter();
            todo.extend(inner.map(|(_, child)| child));
            order.push(dir);
        }
        for dir in order.into_iter().rev() {
            self.set_attributes(dir).context(|| self.name(dir))?;
        }
        Ok(())
    }

    fn name(&self, dir: DirId) -> String {
        let path = self.tree.path(dir).join(&b'/');
        format!("directory /{}", path.escape_ascii())
    }

    fn set_attributes(&mut self, dir: DirId) -> Result<()> {
        if self.needs_open(dir) {
            let handle = self.tree.reader(dir)?;
            let there = &self.tree[dir];
            let handle = handle.as_fd();
            return attributes::of_directory(handle, &there.attributes, there.made, self.host);
        }
        let parent = self.tree.open(self.tree.parent(dir))?;
        let mtime = self.tree[dir].attributes.mtime;
        attributes::set_times(parent.as_fd(), self.tree.name(dir), mtime)
    }

    /// Most directories are made as they shall be, but for their times.
    fn needs_open(&self, dir: DirId) -> bool {
        let there = &self.tree[dir];
        dir == ROOT
            || !there.attributes.xattrs.is_empty()
            || there.made != (there.attributes.mode, there.attributes.owner)
    }

    /// Makes overlayfs see what was noted.
    fn mark(&mut self, dir: DirId, xattrs: OverlayXattrs) -> Result<()> {
        let whiteouts = std::mem::take(&mut self.tree[dir].whiteouts);
        if whiteouts.is_empty() && !self.tree[dir].opaque {
            return Ok(());
        }
        let handle = &self.tree.reader(dir)?;
        let set = |name, value: &[u8]| {
            rustix::fs::fsetxattr(handle, name, value, XattrFlags::empty())
                .context(|| format!("setting its xattr {name}"))
        };
        if self.tree[dir].opaque {
            for (name, _) in self.tree.subdirectories(dir) {
                self.hide_below(dir, handle, &name)?;
            }
            for name in std::mem::take(&mut self.tree[dir].copied) {
                remove::entry(handle.as_fd(), &*name).context(|| "removing what is hidden")?;
            }
            return set(xattrs.opaque(), b"y");
        }
        let mut made = false;
        for name in whiteouts {
            self.hide_below(dir, handle, &name)?;
            if self.tree[dir].copied.remove(&name) {
                remove::entry(handle.as_fd(), &*name).context(|| "removing what is hidden")?;
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
            remove::entry(handle.as_fd(), name).context(|| "removing what is hidden")?;
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
