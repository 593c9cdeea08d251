//! One layer's entries, written into a directory of their own.
//!
//! A layer is seen by itself: its whiteouts only hide what is below, never what it brings, and
//! so they are noted and not acted upon. What is below is asked about where an entry depends
//! on it, that is where its directory is only implied, and where a hard link leads there.

use super::attributes::{self, XATTR_MAX};
use super::below::Stack;
use super::failure::{Attempt, Failure};
use super::name::{self, Last};
use super::owner::Host;
use super::resolve::Need;
use super::run::Part;
use super::tree::{Attributes, DirId, Origin, ROOT, Tree};
use super::{ACL_XATTRS, Applied, NOT_MADE, Options, Owner, acl};
use crate::error::Context;
use crate::image::remove;
use crate::image::tar::{Acls, Entry, Kind, Reader, Time};
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What xattrs of directories may take up in memory, all together: they are set last.
const MAX_HELD: usize = 32 << 20;

/// What is known of what is below.
#[derive(Clone, Debug)]
pub enum Under<'a> {
    /// Nothing, and the layer's directory must be right whatever it is.
    Unknown,
    /// Nothing yet: a directory that is only implied is taken for a directory below, which is
    /// verified before the two are brought together.
    Assumed,
    /// All.
    Known(Stack<'a>),
}

/// Whether the layer will lie on top of the others or be brought together with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// overlayfs brings them together: what is taken over from below is copied.
    Overlay,
    /// They become one tree, of one filesystem.
    Flat,
}

/// A layer on its way to disk.
pub struct Stage<'a> {
    pub tree: Tree,
    pub part: Part<'a>,
    pub host: Host,
    pub target: Target,
    pub under: Under<'a>,
    /// What a directory has that is there because something is in it.
    pub implied: Attributes,
    pub self_contained: bool,
    pub sets_root: bool,
    pub(super) mtime: Time,
    held: usize,
    /// Whether there may be directories with nothing of the layer's own.
    pub(super) incidentals: bool,
    /// The directory of the last entry, as it was written, and which one that is.
    pub(super) last: (Vec<u8>, DirId),
    path: Vec<u8>,
}

/// What a directory has that nothing is said about.
pub fn implied(options: &Options, host: Host) -> Attempt<Attributes> {
    Ok(Attributes {
        mode: 0o755,
        owner: options.owner.store(0, 0, host).map_err(Failure::rule)?,
        ..Attributes::default()
    })
}

impl<'a> Stage<'a> {
    /// Into the empty directory `root`.
    pub fn new(root: OwnedFd, target: Target, under: Under<'a>, part: Part<'a>) -> Attempt<Self> {
        let host = part.host();
        let implied = implied(part.options, host)?;
        Ok(Self {
            // Of no mode and owner that it could have, so that it gets what it should have.
            tree: Tree::new(root, Origin::Implied, implied.clone(), NOT_MADE),
            part,
            host,
            target,
            under,
            implied,
            self_contained: true,
            sets_root: false,
            mtime: Time::default(),
            held: 0,
            incidentals: false,
            last: (Vec::new(), ROOT),
            path: Vec::new(),
        })
    }

    /// What became of the layer so far.
    pub fn applied(&self) -> Applied {
        let (bytes, entries) = self.part.taken();
        Applied {
            entries,
            bytes,
            self_contained: self.self_contained,
            sets_root: self.sets_root,
            opaque_root: self.tree[ROOT].opaque,
        }
    }

    /// Writes one entry.
    pub fn apply<R: BufRead>(
        &mut self,
        entry: &mut Entry,
        reader: &mut Reader<R>,
        first: bool,
    ) -> Attempt<()> {
        self.mtime = entry.mtime;
        if first {
            self.tree[ROOT].attributes.mtime = entry.mtime;
        }
        let mut path = std::mem::take(&mut self.path);
        let depth = self.part.options.limits.depth;
        let result = match name::normalize(&entry.path, depth, &mut path) {
            Ok(()) => self.apply_at(&path, entry, reader),
            Err(rule) => Err(Failure::rule(rule)),
        };
        self.path = path;
        result
    }

    fn apply_at<R: BufRead>(
        &mut self,
        path: &[u8],
        entry: &mut Entry,
        reader: &mut Reader<R>,
    ) -> Attempt<()> {
        let (parent, last) = name::split(path).map_err(Failure::rule)?;
        match last {
            Last::Root => self.root(entry),
            Last::Plain(_) if entry.kind == Kind::Socket => Ok(()),
            Last::Plain(name) => {
                let dir = self.directory(parent)?;
                self.more_than_incidental(dir);
                self.write(dir, name, entry, reader)
            }
            Last::Whiteout(name) => self.whiteout(parent, Some(name)),
            Last::Opaque => self.whiteout(parent, None),
            Last::Aufs => {
                log::debug!("{}: skipped, AUFS's own", path.escape_ascii());
                Ok(())
            }
        }
    }

    fn root(&mut self, entry: &mut Entry) -> Attempt<()> {
        // CVE-2021-29136: a link there was followed.
        if entry.kind != Kind::Directory {
            return Err(Failure::rule("the root directory as something else"));
        }
        self.sets_root = true;
        self.tree[ROOT].origin = Origin::Entry;
        self.tree[ROOT].attributes = self.directory_attributes(entry)?;
        Ok(())
    }

    /// The attributes of an entry, as they are stored. Takes its xattrs.
    pub(super) fn attributes(&self, entry: &mut Entry) -> Attempt<Attributes> {
        let owner = &self.part.options.owner;
        let mut xattrs = std::mem::take(&mut entry.xattrs);
        self.take_acls(entry, &mut xattrs)?;
        xattrs.retain(|(name, _)| !attributes::is_overlays(name));
        for (name, value) in &mut xattrs {
            if value.len() > XATTR_MAX {
                let rule = format!("an xattr of more than {XATTR_MAX} bytes, the kernel's limit");
                return Err(Failure::rule(rule));
            }
            if let Some(stored) = owner.store_xattr(name, value).map_err(Failure::rule)? {
                *value = stored;
            }
        }
        Ok(Attributes {
            mode: entry.mode,
            owner: owner
                .store(entry.uid, entry.gid, self.host)
                .map_err(Failure::rule)?,
            mtime: entry.mtime,
            xattrs,
        })
    }

    /// Makes xattrs of an entry's access control lists, as far as it can have them.
    fn take_acls(&self, entry: &mut Entry, xattrs: &mut Vec<(Vec<u8>, Vec<u8>)>) -> Attempt<()> {
        let Acls { access, default } = std::mem::take(&mut entry.acls);
        let lists = match entry.kind {
            Kind::Symlink => [None, None],
            Kind::Directory => [access, default],
            _ => [access, None],
        };
        // To one id, other ids are nothing.
        if self.part.options.owner == Owner::Caller {
            return Ok(());
        }
        for (name, text) in ACL_XATTRS.into_iter().zip(lists) {
            // An empty one takes back what a global header said.
            let Some(text) = text.filter(|text| !text.is_empty()) else {
                continue;
            };
            if xattrs.iter().any(|(has, _)| has == name.as_bytes()) {
                continue;
            }
            match acl::from_text(&text) {
                Ok(value) => xattrs.push((name.as_bytes().to_vec(), value)),
                Err(acl::Fault::Name(who)) => log::warn!(
                    "{}: its access control list is left out: it names {who:?}, and no number",
                    entry.path.escape_ascii()
                ),
                Err(acl::Fault::Malformed) => {
                    return Err(Failure::rule("an access control list that is none"));
                }
            }
        }
        Ok(())
    }

    /// As [`Stage::attributes`]; a directory's are kept until the end.
    pub(super) fn directory_attributes(&mut self, entry: &mut Entry) -> Attempt<Attributes> {
        let attributes = self.attributes(entry)?;
        let sizes = attributes
            .xattrs
            .iter()
            .map(|(name, value)| name.len() + value.len());
        self.held += sizes.sum::<usize>();
        if self.held > MAX_HELD {
            let rule = format!("the directories' xattrs are more than {MAX_HELD} bytes");
            return Err(Failure::rule(rule));
        }
        Ok(attributes)
    }

    /// Makes a directory, replacing what is not one.
    pub(super) fn make_directory(
        &mut self,
        dir: DirId,
        name: &[u8],
        origin: Origin,
        attributes: Attributes,
    ) -> Attempt<DirId> {
        // We have to get into it until all is done, whatever its mode will be.
        let mode = (attributes.mode & 0o777 & !self.host.umask) | 0o700;
        self.create(dir, name, |dir, name| {
            rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode))
        })?;
        let made = (mode, (self.host.uid, self.host.gid));
        Ok(self.tree.add(dir, name, origin, attributes, made))
    }

    /// Makes something by `make`, in place of whatever this layer has put there before.
    pub(super) fn create<T>(
        &mut self,
        dir: DirId,
        name: &[u8],
        make: impl Fn(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<T>,
    ) -> Attempt<T> {
        let handle = self.tree.open(dir)?;
        let result = match make(handle.as_fd(), name) {
            Err(Errno::EXIST) => {
                self.clear(dir, name)?;
                make(handle.as_fd(), name)
            }
            result => result,
        };
        Ok(result.context(|| "creating it")?)
    }

    /// Removes what this layer has put there before.
    pub(super) fn clear(&mut self, dir: DirId, name: &[u8]) -> Attempt<()> {
        let handle = self.tree.open(dir)?;
        match self.tree.child(dir, name) {
            // What was assumed could not be verified any more.
            Some(child) if self.assumes() && self.tree.has_assumed(child) => {
                return Err(Failure::NeedsBelow);
            }
            Some(_) => {
                self.tree.forget(dir, name);
                remove::entry(handle.as_fd(), name).context(|| "replacing it")?;
            }
            None => {
                self.tree[dir].copied.remove(name);
                rustix::fs::unlinkat(&*handle, name, AtFlags::empty()).context(|| "replacing it")?
            }
        }
        // It may have led through what is gone.
        self.last = (Vec::new(), ROOT);
        Ok(())
    }

    fn assumes(&self) -> bool {
        matches!(self.under, Under::Assumed)
    }

    /// Hides `name` in the directory `parent`, or all that is in it.
    fn whiteout(&mut self, parent: &[u8], name: Option<&[u8]>) -> Attempt<()> {
        let Some(dir) = self.resolve(parent, Need::Hide)? else {
            return Ok(());
        };
        match name {
            None => self.tree[dir].opaque = true,
            Some(name) => {
                if let Under::Known(stack) = &self.under {
                    self.self_contained = false;
                    if stack.find(&self.tree.path(dir), name)?.is_none() {
                        return Ok(());
                    }
                }
                self.tree[dir].whiteouts.insert(name.into());
            }
        }
        Ok(())
    }
}
