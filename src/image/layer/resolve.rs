//! The directory that a name is in: through what the layer has, its links among it, and where
//! that ends, through what is below.

use super::attributes;
use super::below::Found;
use super::failure::{Attempt, Failure};
use super::stage::{Stage, Target, Under};
use super::tree::{Attributes, DirId, Origin, ROOT, Tree};
use crate::error::Context;
use rustix::fs::FileType;
use rustix::io::Errno;

/// So many links on the way to one name, as the kernel.
const MAX_LINKS: usize = 40;

/// What a directory is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To put something into it: it is made where it is not there.
    Make,
    /// To hide something in it: where it is not there, nothing is to be hidden.
    Hide,
    /// To find something in it; where it is not there, nor is that.
    Look,
}

impl Need {
    fn not_a_directory(self, part: &[u8]) -> Attempt<bool> {
        match self {
            Self::Hide => Ok(false),
            Self::Make | Self::Look => {
                let part = part.escape_ascii();
                Err(Failure::rule(format!(
                    "{part}, where it is to be in, is no directory"
                )))
            }
        }
    }
}

impl Stage<'_> {
    /// The directory of that normalized path; made, where it is only implied.
    pub(super) fn directory(&mut self, path: &[u8]) -> Attempt<DirId> {
        match self.resolve(path, Need::Make)? {
            Some(dir) => Ok(dir),
            None => Err(Failure::rule("its directory is not there")),
        }
    }

    pub(super) fn resolve(&mut self, path: &[u8], need: Need) -> Attempt<Option<DirId>> {
        if self.last.0 == path {
            return Ok(Some(self.last.1));
        }
        let mut walk = Walk {
            at: ROOT,
            rest: path.to_vec(),
            links: 0,
        };
        while let Some(part) = walk.next(&self.tree) {
            if !self.step(&mut walk, &part, need)? {
                return Ok(None);
            }
        }
        self.last = (path.to_vec(), walk.at);
        Ok(Some(walk.at))
    }

    /// One part of a path that is no directory of this layer. False where there is nothing.
    fn step(&mut self, walk: &mut Walk, part: &[u8], need: Need) -> Attempt<bool> {
        let handle = self.tree.open(walk.at)?;
        match rustix::fs::readlinkat(&*handle, part, Vec::new()) {
            Ok(target) => {
                walk.follow(target.as_bytes())?;
                return Ok(true);
            }
            Err(Errno::NOENT) => {}
            Err(Errno::INVAL) => return need.not_a_directory(part),
            Err(error) => return Err(error).context(|| "looking at its directory")?,
        }
        if self.tree.hides(walk.at, part) {
            return self.imply_new(walk, part, need);
        }
        let found = match &self.under {
            Under::Unknown => return Err(Failure::NeedsBelow),
            Under::Assumed => {
                if need == Need::Look {
                    return Err(Failure::NeedsBelow);
                }
                return self.imply(walk, part, Origin::Assumed, need);
            }
            Under::Known(stack) => stack.find(&self.tree.path(walk.at), part)?,
        };
        self.self_contained = false;
        match found {
            None => self.imply_new(walk, part, need),
            Some(found) => self.take_over(walk, part, &found, need),
        }
    }

    /// Goes on through what is below.
    fn take_over(
        &mut self,
        walk: &mut Walk,
        part: &[u8],
        found: &Found,
        need: Need,
    ) -> Attempt<bool> {
        match found.kind() {
            FileType::Directory if self.target == Target::Flat => {
                self.imply(walk, part, Origin::Assumed, need)
            }
            FileType::Directory => {
                let path = attributes::path_of(&found.dir, part);
                let copied = attributes::read(&found.stat, &path)?;
                self.imply(walk, part, Origin::Copied(self.mtime), need)?;
                self.tree[walk.at].attributes = copied;
                Ok(true)
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&found.dir, part, Vec::new())
                    .context(|| "reading a link below")?;
                walk.follow(target.as_bytes())?;
                Ok(true)
            }
            _ => need.not_a_directory(part),
        }
    }

    /// As [`Stage::imply`], where there is none below. False where there is no need for it.
    fn imply_new(&mut self, walk: &mut Walk, part: &[u8], need: Need) -> Attempt<bool> {
        match need {
            Need::Make => self.imply(walk, part, Origin::Implied, need),
            Need::Hide | Need::Look => Ok(false),
        }
    }

    /// Makes a directory that has no entry so far.
    fn imply(&mut self, walk: &mut Walk, part: &[u8], origin: Origin, need: Need) -> Attempt<bool> {
        let depth = self.part.options.limits.depth;
        if self.tree.path(walk.at).len() >= depth {
            return Err(Failure::rule(format!(
                "more than {depth} directories deep, the limit"
            )));
        }
        // Nothing counts them but this: a short link may lead deep.
        self.part.take_entry()?;
        let attributes = Attributes {
            mtime: self.mtime,
            ..self.implied.clone()
        };
        walk.at = self.make_directory(walk.at, part, origin, attributes)?;
        self.tree[walk.at].incidental = need != Need::Make;
        self.incidentals |= need != Need::Make;
        Ok(true)
    }

    /// Something is in the directory: it is there, whatever is below.
    pub(super) fn more_than_incidental(&mut self, mut dir: DirId) {
        while self.incidentals && dir != ROOT {
            let there = &mut self.tree[dir];
            if std::mem::take(&mut there.incidental) {
                match &mut there.origin {
                    Origin::Copied(mtime) => *mtime = self.mtime,
                    _ => there.attributes.mtime = self.mtime,
                }
            }
            dir = self.tree.parent(dir);
        }
    }
}

/// A path on its way from directory to directory, never above the root.
struct Walk {
    at: DirId,
    rest: Vec<u8>,
    links: usize,
}

impl Walk {
    /// Goes on through directories that are there, to the first part that is not one of them.
    fn next(&mut self, tree: &Tree) -> Option<Vec<u8>> {
        let mut used = 0;
        let mut stop = None;
        for part in self.rest.split(|byte| *byte == b'/') {
            used += part.len() + 1;
            match part {
                b"" | b"." => {}
                b".." => self.at = tree.parent(self.at),
                _ => match tree.child(self.at, part) {
                    Some(dir) => self.at = dir,
                    None => {
                        stop = Some(part.to_vec());
                        break;
                    }
                },
            }
        }
        self.rest.drain(..used.min(self.rest.len()));
        stop
    }

    fn follow(&mut self, target: &[u8]) -> Attempt<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Failure::rule("too many symbolic links on the way to it"));
        }
        if target.starts_with(b"/") {
            self.at = ROOT;
        }
        self.rest = [target, b"/", &self.rest].concat();
        Ok(())
    }
}
