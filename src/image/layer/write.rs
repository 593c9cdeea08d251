//! Files of each kind: made anew, never opened where something may be.

use super::Devices;
use super::attributes;
use super::below::Found;
use super::failure::{Attempt, Failure};
use super::name;
use super::resolve::Need;
use super::run::Part;
use super::stage::{Stage, Target, Under};
use super::tree::{Attributes, DirId, Origin, ROOT};
use crate::error::{Context, Result};
use crate::image::tar::{Device, Entry, Kind, Reader, Segment};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat};
use rustix::io::Errno;
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

impl Stage<'_> {
    /// Puts what `entry` describes at `name` in `dir`.
    pub(super) fn write<R: BufRead>(
        &mut self,
        dir: DirId,
        name: &[u8],
        entry: &mut Entry,
        reader: &mut Reader<R>,
    ) -> Attempt<()> {
        match entry.kind {
            Kind::Directory => {
                let attributes = self.directory_attributes(entry)?;
                match self.tree.child(dir, name) {
                    Some(there) => {
                        self.tree[there].attributes = attributes;
                        self.tree[there].origin = Origin::Entry;
                        self.tree[there].incidental = false;
                    }
                    None => {
                        self.make_directory(dir, name, Origin::Entry, attributes)?;
                    }
                }
                Ok(())
            }
            Kind::File => self.file(dir, name, entry, reader),
            Kind::HardLink => self.hard_link(dir, name, &entry.link),
            Kind::Symlink => {
                let target = std::mem::take(&mut entry.link);
                let attributes = self.attributes(entry)?;
                let result = self.create(dir, name, |dir, name| {
                    rustix::fs::symlinkat(&target[..], dir, name)
                });
                entry.link = target;
                result?;
                self.finish_other(dir, name, true, &attributes)
            }
            Kind::CharDevice(device) => {
                self.device(dir, name, FileType::CharacterDevice, device, entry)
            }
            Kind::BlockDevice(device) => {
                self.device(dir, name, FileType::BlockDevice, device, entry)
            }
            Kind::Fifo => {
                let attributes = self.attributes(entry)?;
                self.node(dir, name, FileType::Fifo, 0, &attributes)
            }
            Kind::Socket => Ok(()),
        }
    }

    fn file<R: BufRead>(
        &mut self,
        dir: DirId,
        name: &[u8],
        entry: &mut Entry,
        reader: &mut Reader<R>,
    ) -> Attempt<()> {
        let attributes = self.attributes(entry)?;
        let file = self.new_file(dir, name, &attributes)?;
        match &entry.sparse {
            None => write_all(&file, reader)?,
            Some(map) => write_sparse(&file, map, entry.size, reader)?,
        }
        attributes::of_file(file.as_fd(), &attributes, self.host)?;
        Ok(())
    }

    fn new_file(&mut self, dir: DirId, name: &[u8], attributes: &Attributes) -> Attempt<OwnedFd> {
        const FLAGS: OFlags = OFlags::WRONLY
            .union(OFlags::CREATE)
            .union(OFlags::EXCL)
            .union(OFlags::NOFOLLOW)
            .union(OFlags::CLOEXEC);
        let mode = Mode::from_raw_mode(attributes::mode_to_make(attributes, self.host));
        self.create(dir, name, |dir, name| {
            rustix::fs::openat(dir, name, FLAGS, mode)
        })
    }

    fn device(
        &mut self,
        dir: DirId,
        name: &[u8],
        kind: FileType,
        device: Device,
        entry: &mut Entry,
    ) -> Attempt<()> {
        if kind == FileType::CharacterDevice && (device.major, device.minor) == (0, 0) {
            return Err(Failure::rule(
                "a character device 0:0, which is overlayfs's whiteout",
            ));
        }
        let attributes = self.attributes(entry)?;
        match self.part.options.devices {
            Devices::Make => {
                let number = rustix::fs::makedev(device.major, device.minor);
                self.node(dir, name, kind, number, &attributes)
            }
            Devices::Refuse => Err(Failure::rule("a device node, which was not to be made")),
            Devices::Placeholder => {
                let file = self.new_file(dir, name, &attributes)?;
                attributes::of_file(file.as_fd(), &attributes, self.host)?;
                Ok(())
            }
        }
    }

    fn node(
        &mut self,
        dir: DirId,
        name: &[u8],
        kind: FileType,
        number: u64,
        attributes: &Attributes,
    ) -> Attempt<()> {
        let mode = Mode::from_raw_mode(attributes.mode & 0o777);
        self.create(dir, name, |dir, name| {
            rustix::fs::mknodat(dir, name, kind, mode, number)
        })?;
        self.finish_other(dir, name, false, attributes)
    }

    fn finish_other(
        &mut self,
        dir: DirId,
        name: &[u8],
        is_link: bool,
        attributes: &Attributes,
    ) -> Attempt<()> {
        let handle = self.tree.open(dir)?;
        attributes::of_other(handle.as_fd(), name, is_link, attributes, self.host)?;
        Ok(())
    }

    fn hard_link(&mut self, dir: DirId, name: &[u8], target: &[u8]) -> Attempt<()> {
        let mut path = Vec::new();
        name::normalize(target, self.part.options.limits.depth, &mut path)
            .map_err(|rule| Failure::rule(format!("a hard link to {rule}")))?;
        let (parent, last) = name::parent(&path);
        if last.is_empty() {
            return Err(Failure::rule("a hard link to the root directory"));
        }
        let missing = || {
            let target = target.escape_ascii();
            Failure::rule(format!("a hard link to {target}, which is not there"))
        };
        let from = self.resolve(parent, Need::Look)?.ok_or_else(missing)?;
        // It may have led through the very name that the link is about to take.
        self.last = (Vec::new(), ROOT);
        if self.tree.child(from, last).is_some() {
            return Err(Failure::rule("a hard link to a directory"));
        }
        if (from, last) == (dir, name) {
            return self.link_to_itself(dir, name).map_err(|_| missing());
        }
        if self.link(from, last, dir, name)? {
            return Ok(());
        }
        if self.tree.hides(from, last) {
            return Err(missing());
        }
        let path = self.tree.path(from);
        let (found, stack) = match &self.under {
            Under::Unknown | Under::Assumed => return Err(Failure::NeedsBelow),
            Under::Known(stack) => (stack.find(&path, last)?.ok_or_else(missing)?, stack),
        };
        if found.kind() == FileType::Directory {
            return Err(Failure::rule("a hard link to a directory"));
        }
        self.self_contained = false;
        if self.target == Target::Flat {
            return self.create(dir, name, |dir, name| {
                rustix::fs::linkat(&found.dir, last, dir, name, AtFlags::empty())
            });
        }
        let others = match found.stat.st_nlink {
            1 => Vec::new(),
            _ => stack.other_names(&path, last, &found)?,
        };
        self.copy_up(from, last, &found)?;
        self.tree[from].copied.insert(last.into());
        for other in others {
            self.link_other(from, last, &other)?;
        }
        self.link(from, last, dir, name)?;
        Ok(())
    }

    /// Another name of a file that was copied from below: it stays one where it still shows.
    fn link_other(&mut self, from: DirId, name: &[u8], other: &[u8]) -> Attempt<()> {
        let (parent, last) = name::parent(other);
        let Some(dir) = self.resolve(parent, Need::Look)? else {
            return Ok(());
        };
        let handle = self.tree.open(dir)?;
        let hidden = self.tree.hides(dir, last)
            || rustix::fs::statat(&*handle, last, AtFlags::SYMLINK_NOFOLLOW).is_ok();
        if !hidden {
            self.link(from, name, dir, last)?;
            self.tree[dir].copied.insert(last.into());
        }
        Ok(())
    }

    fn link_to_itself(&mut self, dir: DirId, name: &[u8]) -> Attempt<()> {
        let handle = self.tree.open(dir)?;
        rustix::fs::statat(&*handle, name, AtFlags::SYMLINK_NOFOLLOW).context(|| "linking it")?;
        Ok(())
    }

    /// Links what this layer has; false where it has nothing there.
    fn link(&mut self, from: DirId, old: &[u8], dir: DirId, new: &[u8]) -> Attempt<bool> {
        let source = self.tree.open(from)?;
        let linked = self.create(dir, new, |dir, new| {
            match rustix::fs::linkat(&*source, old, dir, new, AtFlags::empty()) {
                Err(Errno::NOENT) => Ok(false),
                result => result.map(|()| true),
            }
        })?;
        Ok(linked)
    }

    /// Copies a file from below, for it to be changed here: its content, or the names it has.
    fn copy_up(&mut self, dir: DirId, name: &[u8], found: &Found) -> Attempt<()> {
        self.part.take_entry()?;
        let path = attributes::path_of(&found.dir, name);
        let attributes = attributes::read(&found.stat, &path)?;
        match found.kind() {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let source = rustix::fs::openat(&found.dir, name, flags, Mode::empty())
                    .context(|| "opening a file below")?;
                let file = self.new_file(dir, name, &attributes)?;
                copy_content(&source, &file, &found.stat, self.part)
                    .context(|| "copying a file from below")?;
                attributes::of_file(file.as_fd(), &attributes, self.host)?;
                Ok(())
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&found.dir, name, Vec::new())
                    .context(|| "reading a link below")?;
                self.create(dir, name, |dir, name| {
                    rustix::fs::symlinkat(&target, dir, name)
                })?;
                self.finish_other(dir, name, true, &attributes)
            }
            kind => self.node(dir, name, kind, found.stat.st_rdev, &attributes),
        }
    }
}

fn write_all<R: BufRead>(file: &OwnedFd, reader: &mut Reader<R>) -> Attempt<()> {
    loop {
        let bytes = reader.data()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let written = write(file.as_fd(), bytes)?;
        reader.consume(written);
    }
}

fn write(file: BorrowedFd<'_>, bytes: &[u8]) -> Attempt<usize> {
    Ok(rustix::io::retry_on_intr(|| rustix::io::write(file, bytes)).context(|| "writing it")?)
}

fn write_sparse<R: BufRead>(
    file: &OwnedFd,
    map: &[Segment],
    size: u64,
    reader: &mut Reader<R>,
) -> Attempt<()> {
    rustix::fs::ftruncate(file, size).context(|| "writing it")?;
    for segment in map {
        rustix::fs::seek(file, SeekFrom::Start(segment.offset)).context(|| "writing it")?;
        let mut left = segment.len;
        while left > 0 {
            let bytes = reader.data()?;
            let len = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
            let written = write(file.as_fd(), &bytes[..len])?;
            reader.consume(written);
            left -= written as u64;
        }
    }
    Ok(())
}

/// Copies what is not a hole.
fn copy_content(from: &OwnedFd, to: &OwnedFd, stat: &Stat, part: Part<'_>) -> Result<()> {
    let doing = || "copying its bytes";
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    rustix::fs::ftruncate(to, size).context(doing)?;
    let mut buffer = vec![0; 64 << 10];
    let mut end = 0;
    while end < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(end)) {
            Ok(start) => start,
            // Nothing but a hole.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error).context(doing),
        };
        end = rustix::fs::seek(from, SeekFrom::Hole(start)).context(doing)?;
        let mut at = start;
        while at < end {
            let wanted = usize::try_from(end - at).map_or(buffer.len(), |n| n.min(buffer.len()));
            let read = rustix::io::pread(from, &mut buffer[..wanted], at).context(doing)?;
            if read == 0 {
                return Ok(());
            }
            part.take_bytes(read as u64)?;
            let mut done = 0;
            while done < read {
                let rest = &buffer[done..read];
                done += rustix::io::pwrite(to, rest, at + done as u64).context(doing)?;
            }
            at += read as u64;
        }
    }
    Ok(())
}
