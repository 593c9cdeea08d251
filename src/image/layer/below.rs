//! What lies below a layer: the tree that the layers below it make together, seen without a
//! mount.

use super::OverlayXattrs;
use crate::directories::open_at;
use crate::error::{Context, Result};
use rustix::fs::{AtFlags, Dir, FileType, Stat};
use rustix::io::Errno;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The directories of the layers below, the topmost first.
#[derive(Clone, Debug)]
pub struct Stack<'a> {
    layers: Vec<BorrowedFd<'a>>,
    /// How they mark what they hide; None where they are one plain tree.
    marks: Option<OverlayXattrs>,
    names: OnceCell<Names>,
}

/// Paths by device and inode.
type Names = BTreeMap<(u64, u64), Vec<Vec<u8>>>;

/// What is found below.
#[derive(Debug)]
pub struct Found {
    /// The directory it is in, of the layer that shows it.
    pub dir: OwnedFd,
    pub stat: Stat,
}

impl Found {
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// A directory as the layers that have a part of it show it.
enum Merged<'a> {
    Root(&'a [BorrowedFd<'a>]),
    Inner(Vec<OwnedFd>),
}

impl Merged<'_> {
    fn parts(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Root(roots) => roots.to_vec(),
            Self::Inner(dirs) => dirs.iter().map(AsFd::as_fd).collect(),
        }
    }
}

impl<'a> Stack<'a> {
    /// Layers for overlayfs.
    pub fn layers(layers: &[BorrowedFd<'a>], xattrs: OverlayXattrs) -> Self {
        Self {
            layers: layers.to_vec(),
            marks: Some(xattrs),
            names: OnceCell::new(),
        }
    }

    /// One tree, in which nothing is marked.
    pub fn plain(tree: BorrowedFd<'a>) -> Self {
        Self {
            layers: vec![tree],
            marks: None,
            names: OnceCell::new(),
        }
    }

    /// What is at `name` in the directory of that path, none of whose parts is a link.
    ///
    /// # Errors
    /// Where the layers cannot be read.
    pub fn find(&self, path: &[&[u8]], name: &[u8]) -> Result<Option<Found>> {
        let mut at = Merged::Root(&self.layers);
        for part in path {
            at = Merged::Inner(self.enter(&at, part)?);
        }
        for dir in at.parts() {
            match look(dir, name)? {
                None => {}
                Some(stat) if self.is_whiteout(&stat) => return Ok(None),
                Some(stat) => {
                    let dir = open_at(dir, c".").context(|| "opening a directory below")?;
                    return Ok(Some(Found { dir, stat }));
                }
            }
        }
        Ok(None)
    }

    /// Each layer's part of the directory `name`, down to the one that hides the rest.
    fn enter(&self, at: &Merged<'_>, name: &[u8]) -> Result<Vec<OwnedFd>> {
        let mut parts = Vec::new();
        for dir in at.parts() {
            let Some(stat) = look(dir, name)? else {
                continue;
            };
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                break;
            }
            let part = open_at(dir, name).context(|| "opening a directory below")?;
            let opaque = self.is_opaque(&part);
            parts.push(part);
            if opaque {
                break;
            }
        }
        Ok(parts)
    }

    /// All other names that `found`, at `name` in the directory of that path, shows under.
    ///
    /// # Errors
    /// Where the layers cannot be read.
    pub fn other_names(&self, path: &[&[u8]], name: &[u8], found: &Found) -> Result<Vec<Vec<u8>>> {
        let itself = [path, &[name]].concat().join(&b'/');
        let inode = (found.stat.st_dev, found.stat.st_ino);
        let mut shown = Vec::new();
        for other in self.names()?.get(&inode).into_iter().flatten() {
            let mut parts: Vec<&[u8]> = other.split(|byte| *byte == b'/').collect();
            let last = parts.pop().unwrap_or_default();
            let same = self
                .find(&parts, last)?
                .is_some_and(|other| (other.stat.st_dev, other.stat.st_ino) == inode);
            if same && *other != itself {
                shown.push(other.clone());
            }
        }
        Ok(shown)
    }

    /// The names of all files that have several. Searching for them takes long, and is rarely
    /// needed: no tool is known to make a layer that has a hard link to such a file below.
    fn names(&self) -> Result<&Names> {
        if let Some(names) = self.names.get() {
            return Ok(names);
        }
        let mut names = Names::new();
        for layer in &self.layers {
            search(*layer, &mut names)?;
        }
        Ok(self.names.get_or_init(|| names))
    }

    fn is_whiteout(&self, stat: &Stat) -> bool {
        self.marks.is_some()
            && FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
            && stat.st_rdev == 0
    }

    fn is_opaque(&self, dir: &OwnedFd) -> bool {
        let Some(xattrs) = self.marks else {
            return false;
        };
        let mut value = [0; 1];
        let got = rustix::fs::fgetxattr(dir, xattrs.opaque(), &mut value[..]);
        got == Ok(1) && value == *b"y"
    }
}

impl OverlayXattrs {
    /// Marks a directory in which nothing below shows, by the value `y`.
    pub(super) fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }

    /// Marks a directory that may have whiteouts in it, so that they do not show where there is
    /// nothing below to be merged with; empty, it says no more than that.
    pub(super) fn origin(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.origin",
            Self::User => "user.overlay.origin",
        }
    }
}

fn look(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error).context(|| "looking at a layer below"),
    }
}

/// Collects what in the tree `root` has several names. It is open directory by directory: a tree
/// may be deeper than a process may have descriptors.
fn search(root: BorrowedFd<'_>, names: &mut Names) -> Result<()> {
    let searching = || "searching a layer below";
    let mut todo = vec![Vec::new()];
    while let Some(path) = todo.pop() {
        let dir = open_path(root, &path).context(searching)?;
        for entry in Dir::read_from(&dir).context(searching)? {
            let entry = entry.context(searching)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let itself = match path.is_empty() {
                true => name.to_vec(),
                false => [&path, &b"/"[..], name].concat(),
            };
            if entry.file_type() == FileType::Directory {
                todo.push(itself);
            } else if let Some(stat) = look(dir.as_fd(), name)?
                && stat.st_nlink > 1
            {
                let inode = (stat.st_dev, stat.st_ino);
                names.entry(inode).or_default().push(itself);
            }
        }
    }
    Ok(())
}

/// Opens a directory of any depth, one name after another.
fn open_path(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let mut dir = open_at(root, c".")?;
    for name in path.split(|byte| *byte == b'/').filter(|n| !n.is_empty()) {
        dir = open_at(dir, name)?;
    }
    Ok(dir)
}
