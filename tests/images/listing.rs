//! All that can be said about a tree, so that two of them can be compared.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tare::image::digest::{Algorithm, Digest};

/// One line for each file, sorted by path: kind, mode, owner, time, device, content, xattrs, and
/// the first of its names.
pub fn full(root: &Path) -> Vec<String> {
    let mut list = List::new(root);
    list.directory(&open(root), b"");
    let first: BTreeMap<_, _> = list.names();
    let mut lines: Vec<String> = Vec::new();
    for (path, file) in &list.files {
        let mut line = format!("{} {}", path.escape_ascii(), file.attributes);
        line += &format!(" {}", file.content);
        if file.kind != FileType::Directory && first[&file.inode] != path {
            line += &format!(" == {}", first[&file.inode].escape_ascii());
        }
        lines.push(line);
    }
    lines
}

/// Names and contents alone: `a/`, `a/f=text`, `l->target`, `b==a`.
pub fn brief(root: &Path) -> Vec<String> {
    let mut list = List::new(root);
    list.directory(&open(root), b"");
    let first = list.names();
    let mut lines = Vec::new();
    for (path, file) in list.files.iter().filter(|(path, _)| !path.is_empty()) {
        let name = path.escape_ascii();
        lines.push(match file.kind {
            FileType::Directory => format!("{name}/"),
            _ if first[&file.inode] != path => {
                format!("{name}=={}", first[&file.inode].escape_ascii())
            }
            FileType::Symlink => format!("{name}->{}", file.content),
            FileType::RegularFile => format!("{name}={}", file.text),
            FileType::Fifo => format!("{name}|"),
            _ => format!("{name}%{}", file.content),
        });
    }
    lines
}

struct List<'a> {
    root: &'a Path,
    files: BTreeMap<Vec<u8>, File>,
}

struct File {
    kind: FileType,
    inode: (u64, u64),
    attributes: String,
    content: String,
    text: String,
}

fn open(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).unwrap()
}

impl<'a> List<'a> {
    fn new(root: &'a Path) -> Self {
        Self {
            root,
            files: BTreeMap::new(),
        }
    }

    fn names(&self) -> BTreeMap<(u64, u64), &Vec<u8>> {
        let mut first = BTreeMap::new();
        for (path, file) in &self.files {
            first.entry(file.inode).or_insert(path);
        }
        first
    }

    fn directory(&mut self, dir: &OwnedFd, path: &[u8]) {
        self.add(dir, b".", path);
        for entry in Dir::read_from(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            let path = match path {
                b"" => name.to_vec(),
                _ => [path, b"/", name].concat(),
            };
            let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                let inner = rustix::fs::openat(dir, name, flags, Mode::empty()).unwrap();
                self.directory(&inner, &path);
            } else {
                self.add(dir, name, &path);
            }
        }
    }

    fn add(&mut self, dir: &OwnedFd, name: &[u8], path: &[u8]) {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut text = String::new();
        let content = match kind {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
                let file = rustix::fs::openat(dir, name, flags, Mode::empty()).unwrap();
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut std::fs::File::from(file), &mut bytes).unwrap();
                text = bytes.escape_ascii().to_string();
                format!(
                    "{} {}",
                    bytes.len(),
                    &Digest::of(Algorithm::Sha256, &bytes).hex()[..16]
                )
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir, name, Vec::new()).unwrap();
                target.as_bytes().escape_ascii().to_string()
            }
            FileType::CharacterDevice | FileType::BlockDevice => {
                let (major, minor) = (
                    rustix::fs::major(stat.st_rdev),
                    rustix::fs::minor(stat.st_rdev),
                );
                format!("{major}:{minor}")
            }
            _ => String::new(),
        };
        let attributes = format!(
            "{:06o} {}:{} {}.{:09} {}",
            stat.st_mode,
            stat.st_uid,
            stat.st_gid,
            stat.st_mtime,
            stat.st_mtime_nsec,
            self.xattrs(path),
        );
        let inode = (stat.st_dev, stat.st_ino);
        self.files.insert(
            path.to_vec(),
            File {
                kind,
                inode,
                attributes,
                content,
                text,
            },
        );
    }

    /// Those that overlayfs keeps for itself are not the tree's.
    fn xattrs(&self, path: &[u8]) -> String {
        let path = self.root.join(std::ffi::OsStr::from_bytes(path));
        let mut names = vec![0; 65536];
        let len = rustix::fs::llistxattr(&path, &mut names[..]).unwrap();
        let mut names: Vec<_> = names[..len].split(|byte| *byte == 0).collect();
        names.sort_unstable();
        let mut shown = Vec::new();
        for name in names.into_iter().filter(|name| !name.is_empty()) {
            let mut value = vec![0; 65536];
            let len = rustix::fs::lgetxattr(&path, name, &mut value[..]).unwrap();
            shown.push(format!(
                "{}={}",
                name.escape_ascii(),
                value[..len].escape_ascii()
            ));
        }
        format!("{{{}}}", shown.join(","))
    }
}
