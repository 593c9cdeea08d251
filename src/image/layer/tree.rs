//! The directories of a tree that is being made: where they are, what they will be, and
//! descriptors of those in use.
//!
//! What is not in here is not a directory. No path is ever looked up: a directory is opened
//! below its parent, by one name, without following a link.

use crate::directories;
use crate::error::{Context, Result};
use crate::image::tar::Time;
use rustix::fs::{Mode, OFlags};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// How many directories are kept open, of each tree.
const OPEN: usize = 64;

/// A directory of a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirId(u32);

/// The tree's own directory.
pub const ROOT: DirId = DirId(0);

/// What a file or directory is to have besides its content. Ids are those that are stored.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: Time,
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why there is a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It has an entry.
    Entry,
    /// Something is in it, and there is none below.
    Implied,
    /// Something is in it, and its attributes were copied from the one below. With the time that
    /// it has where a whiteout turns out to hide that one.
    Copied(Time),
    /// Something is in it, and it will come upon the one below, if there is one.
    Assumed,
}

/// One directory.
#[derive(Debug)]
pub struct Dir {
    parent: DirId,
    name: Box<[u8]>,
    children: BTreeMap<Box<[u8]>, DirId>,
    pub origin: Origin,
    /// It was taken for a directory below at first, whatever became of it.
    pub assumed: bool,
    /// Nothing of the layer's own is in it, only what hides or takes up something below: it is
    /// nothing where there is nothing below.
    pub incidental: bool,
    pub attributes: Attributes,
    /// The mode and owner it was made with.
    pub made: (u32, (u32, u32)),
    /// Nothing below shows in it.
    pub opaque: bool,
    /// What of the content below does not show.
    pub whiteouts: BTreeSet<Box<[u8]>>,
    /// Files in it that were copied from below, and are to be hidden as if they were still there.
    pub copied: BTreeSet<Box<[u8]>>,
    handle: Option<Arc<OwnedFd>>,
    used: bool,
}

/// All directories.
#[derive(Debug)]
pub struct Tree {
    dirs: Vec<Dir>,
    /// Those that are open, but for the root.
    open: VecDeque<DirId>,
}

impl Tree {
    /// The tree of the directory `root`.
    pub fn new(
        root: OwnedFd,
        origin: Origin,
        attributes: Attributes,
        made: (u32, (u32, u32)),
    ) -> Self {
        let mut tree = Self {
            dirs: Vec::new(),
            open: VecDeque::new(),
        };
        tree.push(ROOT, b"", origin, attributes, made);
        tree[ROOT].handle = Some(Arc::new(root));
        tree
    }

    fn push(
        &mut self,
        parent: DirId,
        name: &[u8],
        origin: Origin,
        attributes: Attributes,
        made: (u32, (u32, u32)),
    ) -> DirId {
        // The limit on entries is far below.
        let id = DirId(u32::try_from(self.dirs.len()).unwrap_or(u32::MAX));
        self.dirs.push(Dir {
            parent,
            name: name.into(),
            children: BTreeMap::new(),
            origin,
            assumed: origin == Origin::Assumed,
            incidental: false,
            attributes,
            made,
            opaque: false,
            whiteouts: BTreeSet::new(),
            copied: BTreeSet::new(),
            handle: None,
            used: false,
        });
        id
    }

    /// Notes a directory that was made.
    pub fn add(
        &mut self,
        parent: DirId,
        name: &[u8],
        origin: Origin,
        attributes: Attributes,
        made: (u32, (u32, u32)),
    ) -> DirId {
        let id = self.push(parent, name, origin, attributes, made);
        self[parent].children.insert(name.into(), id);
        id
    }

    /// The directory `name` in `dir`, if it is one.
    pub fn child(&self, dir: DirId, name: &[u8]) -> Option<DirId> {
        self[dir].children.get(name).copied()
    }

    /// All directories in `dir`, for who changes the tree meanwhile.
    pub fn subdirectories(&self, dir: DirId) -> Vec<(Box<[u8]>, DirId)> {
        let children = self[dir].children.iter();
        children.map(|(name, id)| (name.clone(), *id)).collect()
    }

    /// `dir` and all directories below it, each before those in it.
    pub fn subtree(&self, dir: DirId) -> Vec<DirId> {
        let mut all = Vec::new();
        let mut todo = vec![dir];
        while let Some(dir) = todo.pop() {
            all.push(dir);
            todo.extend(self[dir].children.values());
        }
        all
    }

    /// The name of `dir` in its parent.
    pub fn name(&self, dir: DirId) -> &[u8] {
        &self[dir].name
    }

    /// The directory that `dir` is in; the root is in itself.
    pub fn parent(&self, dir: DirId) -> DirId {
        self[dir].parent
    }

    /// The names on the way to `dir`.
    pub fn path(&self, mut dir: DirId) -> Vec<&[u8]> {
        let mut path = Vec::new();
        while dir != ROOT {
            path.push(&*self[dir].name);
            dir = self[dir].parent;
        }
        path.reverse();
        path
    }

    /// Forgets the directory `name` in `dir` and all in it, for it was removed.
    pub fn forget(&mut self, dir: DirId, name: &[u8]) {
        let mut gone: Vec<DirId> = self[dir].children.remove(name).into_iter().collect();
        while let Some(id) = gone.pop() {
            let dir = &mut self[id];
            gone.extend(std::mem::take(&mut dir.children).into_values());
            dir.handle = None;
            dir.whiteouts.clear();
            dir.copied.clear();
            dir.attributes.xattrs.clear();
            self.open.retain(|open| *open != id);
        }
    }

    /// Whether what is below does not show at `name` in `dir`.
    pub fn hides(&self, mut dir: DirId, name: &[u8]) -> bool {
        let mut name = name;
        loop {
            let above = &self[dir];
            if above.opaque || above.whiteouts.contains(name) {
                return true;
            }
            if dir == ROOT {
                return false;
            }
            name = &above.name;
            dir = above.parent;
        }
    }

    /// Whether `dir` or something in it was taken for a directory below.
    pub fn has_assumed(&self, dir: DirId) -> bool {
        self.subtree(dir).iter().any(|dir| self[*dir].assumed)
    }

    /// A descriptor of `dir`, for working in it.
    pub fn open(&mut self, dir: DirId) -> Result<Arc<OwnedFd>> {
        let entry = &mut self[dir];
        entry.used = true;
        if let Some(handle) = &entry.handle {
            return Ok(Arc::clone(handle));
        }
        // From the closest one that is open, on downwards; no deeper than the limit on depth.
        let mut closed = vec![dir];
        let mut handle = loop {
            let above = self[closed[closed.len() - 1]].parent;
            match &self[above].handle {
                Some(handle) => break Arc::clone(handle),
                None => closed.push(above),
            }
        };
        while let Some(id) = closed.pop() {
            handle = Arc::new(open_directory(&handle, &self[id].name)?);
            self.keep(id, &handle);
        }
        Ok(handle)
    }

    /// A descriptor of `dir` for reading it, or changing it.
    pub fn reader(&mut self, dir: DirId) -> Result<OwnedFd> {
        let opened = match dir {
            ROOT => directories::open_at(&*self.open(ROOT)?, c"."),
            _ => {
                let parent = self.open(self[dir].parent)?;
                directories::open_at(&*parent, self.name(dir))
            }
        };
        opened.context(|| "opening a directory")
    }

    fn keep(&mut self, dir: DirId, handle: &Arc<OwnedFd>) {
        while self.open.len() >= OPEN {
            let Some(oldest) = self.open.pop_front() else {
                break;
            };
            let entry = &mut self[oldest];
            if std::mem::take(&mut entry.used) {
                self.open.push_back(oldest);
            } else {
                entry.handle = None;
            }
        }
        self[dir].handle = Some(Arc::clone(handle));
        self.open.push_back(dir);
    }

    /// Closes all but the root.
    pub fn close(&mut self) {
        while let Some(dir) = self.open.pop_front() {
            self[dir].handle = None;
        }
    }
}

impl std::ops::Index<DirId> for Tree {
    type Output = Dir;

    fn index(&self, DirId(index): DirId) -> &Dir {
        &self.dirs[index as usize]
    }
}

impl std::ops::IndexMut<DirId> for Tree {
    fn index_mut(&mut self, DirId(index): DirId) -> &mut Dir {
        &mut self.dirs[index as usize]
    }
}

/// Opens the directory `name` in `parent` for working in it: not for reading, which its mode may
/// forbid.
fn open_directory(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty()).context(|| "opening its directory")
}
