//! A tar archive as a set of files by name. It is walked once, over the files' data and not
//! through it; what is in it is then read where it lies.

use crate::error::{Code, Context, Error, Result};
use crate::image::blob::Blob;
use crate::image::digest::{Algorithm, Digest};
use crate::image::document::invalid;
use crate::image::layer::Limits;
use crate::image::tar::{Entry, Fault, Kind, Reader};
use rustix::fs::{CWD, Mode, OFlags};
use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// More files than an archive of many images has. Of each, less than 100 bytes are kept in memory.
const ENTRIES: usize = 1 << 20;

/// How many links lead to one file at most.
const LINKS: usize = 16;

/// An archive and where its files are.
#[derive(Debug)]
pub struct Archive {
    file: Arc<File>,
    places: HashMap<Name, Place>,
}

/// A file's name without "./", or what stands for it: a name may be long, and there may be many,
/// but only those matter that somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name(u128);

impl Name {
    fn of(name: &[u8]) -> Self {
        let digest = Digest::of(Algorithm::Sha256, name);
        // The hex digits of half a digest: they fit.
        Self(u128::from_str_radix(&digest.hex()[..32], 16).unwrap_or_default())
    }
}

#[derive(Debug)]
enum Place {
    Data {
        offset: u64,
        len: u64,
    },
    /// The same as the file of this name: layers that several images share.
    Link(Name),
}

impl Archive {
    /// Reads what is in an archive. One that is compressed as a whole is decompressed first.
    ///
    /// # Errors
    /// Where it is no tar archive.
    pub fn open(file: File, limits: Limits) -> Result<Self> {
        let file = Arc::new(decompressed(file, limits)?);
        let places = walk(&file)?;
        Ok(Self { file, places })
    }

    /// The file of this name, where there is one.
    ///
    /// # Errors
    /// Where links lead nowhere.
    pub fn get(&self, name: &str) -> Result<Option<Blob>> {
        let mut place = Name::of(name.as_bytes());
        for _ in 0..LINKS {
            match self.places.get(&place) {
                None => return Ok(None),
                Some(Place::Data { offset, len }) => {
                    return Ok(Some(Blob::part(Arc::clone(&self.file), *offset, *len)));
                }
                Some(Place::Link(target)) => place = *target,
            }
        }
        Err(invalid(format!(
            "the archive's {name} is a link without end"
        )))
    }
}

fn walk(file: &Arc<File>) -> Result<HashMap<Name, Place>> {
    let position = Rc::new(Position::default());
    let mut reader = Reader::new(Input {
        file: Arc::clone(file),
        position: Rc::clone(&position),
        buffer: vec![0; 16 * 1024],
        filled: 0..0,
    });
    let len = file.metadata().context(|| "looking at the archive")?.len();
    let mut places = HashMap::new();
    let mut entry = Entry::default();
    let broken = |fault: Fault| invalid(format!("it is no tar archive: {fault}"));
    while reader.next(&mut entry).map_err(broken)? {
        let Some(name) = normal(&[], &entry.path) else {
            continue;
        };
        let place = match entry.kind {
            // The data of a sparse file is not in one piece; nobody writes images so.
            Kind::File if entry.sparse.is_none() => {
                let offset = position.offset.get();
                if offset.checked_add(entry.size).is_none_or(|end| end > len) {
                    return Err(invalid("it is cut short"));
                }
                position.unread.set(entry.size);
                Some(Place::Data {
                    offset,
                    len: entry.size,
                })
            }
            Kind::HardLink => link(&[], &entry.link),
            Kind::Symlink => link(parent(&name), &entry.link),
            _ => None,
        };
        let name = Name::of(&name);
        // Of several entries of one name the last one counts, as with tar.
        match place {
            Some(place) => places.insert(name, place),
            None => places.remove(&name),
        };
        if places.len() > ENTRIES {
            return Err(invalid(format!("it has more than {ENTRIES} files")));
        }
    }
    Ok(places)
}

fn link(from: &[u8], target: &[u8]) -> Option<Place> {
    let target = normal(from, target)?;
    Some(Place::Link(Name::of(&target)))
}

fn parent(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|&byte| byte == b'/');
    &name[..end.unwrap_or(0)]
}

/// A path in the archive, from the directory `from` on; none for one that leaves it.
fn normal(from: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let from = if path.starts_with(b"/") { &[] } else { from };
    for part in from.split(|&b| b == b'/').chain(path.split(|&b| b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join(&b'/'))
}

/// Where the reader is, known to both sides of it.
#[derive(Debug, Default)]
struct Position {
    offset: Cell<u64>,
    /// How much comes next that nobody looks at.
    unread: Cell<u64>,
}

/// The archive as a stream, in which what is skipped is not read, but zeros.
struct Input {
    file: Arc<File>,
    position: Rc<Position>,
    buffer: Vec<u8>,
    filled: std::ops::Range<usize>,
}

/// What stands for data that nobody looks at.
static NOTHING: [u8; 1 << 16] = [0; 1 << 16];

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let len = available.len().min(into.len());
        into[..len].copy_from_slice(&available[..len]);
        self.consume(len);
        Ok(len)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let unread = usize::try_from(self.position.unread.get()).unwrap_or(usize::MAX);
        if unread > 0 {
            return Ok(&NOTHING[..unread.min(NOTHING.len())]);
        }
        if self.filled.is_empty() {
            let offset = self.position.offset.get();
            let read = self.file.read_at(&mut self.buffer, offset)?;
            self.filled = 0..read;
        }
        Ok(&self.buffer[self.filled.clone()])
    }

    fn consume(&mut self, len: usize) {
        let position = &self.position;
        position.offset.set(position.offset.get() + len as u64);
        position
            .unread
            .set(position.unread.get().saturating_sub(len as u64));
        self.filled.start = (self.filled.start + len).min(self.filled.end);
    }
}

/// The archive itself, where it is compressed.
fn decompressed(file: File, limits: Limits) -> Result<File> {
    let mut magic = [0; 4];
    let doing = || "decompressing the archive";
    let read = file.read_at(&mut magic, 0).context(doing)?;
    let size = file.metadata().context(doing)?.len();
    let mut input: Box<dyn Read> = match &magic[..read] {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(file)),
        // A frame, or one to be skipped before it.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(zstd::Decoder::new(file).context(doing)?)
        }
        _ => return Ok(file),
    };
    let directory = std::env::var_os("TMPDIR").filter(|dir| !dir.is_empty());
    let directory = directory.map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from);
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let output = rustix::fs::openat(CWD, &directory, flags, Mode::RUSR | Mode::WUSR)
        .context(|| format!("making a temporary file in {}", directory.display()))
        .map_err(|error| error.hint("TMPDIR says where"))?;
    let mut output = File::from(output);
    let (limit, error) = bound(size, limits);
    let written = io::copy(&mut (&mut input).take(limit), &mut output).context(doing)?;
    // Is there more?
    if written == limit && input.read(&mut [0]).context(doing)? > 0 {
        return Err(error.context(doing()));
    }
    Ok(output)
}

/// How long what is decompressed from `size` bytes may be, and what is wrong with what is longer.
fn bound(size: u64, limits: Limits) -> (u64, Error) {
    let by_ratio = size.saturating_mul(limits.ratio).max(Limits::RATIO_FROM);
    let (limit, message, flag) = if by_ratio < limits.bytes {
        let message = format!("it is compressed more than {} times", limits.ratio);
        (by_ratio, message, "--max-ratio")
    } else {
        let message = format!("it has more than {} bytes", limits.bytes);
        (limits.bytes, message, "--max-bytes")
    };
    let error = Error::new(Code::InvalidImage, format!("{message}, the limit"));
    (limit, error.hint(format!("raise it with {flag}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_inside_the_archive() {
        let of = |from: &str, path: &str| {
            normal(from.as_bytes(), path.as_bytes())
                .map(|path| String::from_utf8_lossy(&path).into_owned())
        };
        assert_eq!(of("", "./a//b/"), Some("a/b".into()));
        assert_eq!(of("x", "../y/layer.tar"), Some("y/layer.tar".into()));
        assert_eq!(of("x", "/y"), Some("y".into()));
        assert_eq!(of("x", "../../y"), None);
        assert_eq!(parent(b"a/b/c"), b"a/b");
        assert_eq!(parent(b"a"), b"");
    }
}
