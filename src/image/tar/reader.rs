//! From a stream of bytes to entries and their data.

use super::header::{BLOCK, Header};
use super::pax::{Records, Scope};
use super::sparse::{self, PaxMap};
use super::{Acls, Entry, Fault, Kind, MAX_EXTENSION, Time};
use std::io::{BufRead, ErrorKind};

/// Reads an archive.
pub struct Reader<R> {
    input: R,
    /// Of the entry's data in the archive, what was not given out yet.
    left: u64,
    /// What fills up the data's last block.
    padding: u64,
    global: Records,
    /// What the headers before the entry said; each once.
    local: Option<Records>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: BufRead> Reader<R> {
    /// Reads from the beginning of an archive.
    pub fn new(input: R) -> Self {
        Self {
            input,
            left: 0,
            padding: 0,
            global: Records::default(),
            local: None,
            long_name: None,
            long_link: None,
        }
    }

    /// Goes on to the next entry, skipping what is left of the last one's data. False at the end.
    ///
    /// # Errors
    /// Where the bytes cannot be had or are not tar. As much of `entry` is filled in as is known.
    pub fn next(&mut self, entry: &mut Entry) -> Result<bool, Fault> {
        entry.clear();
        self.skip_data()?;
        loop {
            let Some(header) = self.header()? else {
                if self.local.is_some() || self.long_name.is_some() || self.long_link.is_some() {
                    return Err(Fault::rule("an extended header without its entry"));
                }
                return Ok(false);
            };
            header.name(&mut entry.path);
            match header.flag() {
                b'x' | b'X' => {
                    let text = self.extension(&header)?;
                    let mut records = Records::default();
                    records.read(&text, Scope::Local)?;
                    once(&mut self.local, records)?;
                }
                b'g' => {
                    if self.local.is_some() {
                        return Err(Fault::rule("a global header between an entry and its own"));
                    }
                    let text = self.extension(&header)?;
                    self.global.read(&text, Scope::Global)?;
                }
                b'L' => {
                    let name = long(self.extension(&header)?)?;
                    once(&mut self.long_name, name)?;
                }
                b'K' => {
                    let name = long(self.extension(&header)?)?;
                    once(&mut self.long_link, name)?;
                }
                // The archive's label (GNU).
                b'V' => self.skip_entry(&header)?,
                _ => {
                    self.fill(&header, entry)?;
                    return Ok(true);
                }
            }
        }
    }

    /// What there is now of the entry's data; empty at its end. Say how much of it was used by
    /// [`Reader::consume`].
    ///
    /// # Errors
    /// Where the bytes cannot be had, or end too early.
    pub fn data(&mut self) -> Result<&[u8], Fault> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let left = self.left;
        let bytes = retry(&mut self.input)?;
        if bytes.is_empty() {
            return Err(truncated());
        }
        let len = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        Ok(&bytes[..len])
    }

    /// Goes on by `len` bytes, which [`Reader::data`] gave.
    pub fn consume(&mut self, len: usize) {
        self.input.consume(len);
        self.left -= len as u64;
    }

    /// Reads what stands after the end of the archive, for those who hash it, and gives the
    /// stream back.
    ///
    /// # Errors
    /// Where the bytes cannot be had.
    pub fn finish(mut self) -> Result<R, Fault> {
        loop {
            let len = retry(&mut self.input)?.len();
            if len == 0 {
                return Ok(self.input);
            }
            self.input.consume(len);
        }
    }

    fn skip_data(&mut self) -> Result<(), Fault> {
        let mut skip = self.left.checked_add(self.padding).ok_or_else(too_large)?;
        while skip > 0 {
            let available = retry(&mut self.input)?.len();
            if available == 0 {
                return Err(truncated());
            }
            let len = usize::try_from(skip).map_or(available, |skip| skip.min(available));
            self.input.consume(len);
            skip -= len as u64;
        }
        self.left = 0;
        self.padding = 0;
        Ok(())
    }

    fn skip_entry(&mut self, header: &Header) -> Result<(), Fault> {
        self.expect(header.size()?)?;
        self.skip_data()
    }

    /// Data of `size` bytes comes next.
    fn expect(&mut self, size: u64) -> Result<(), Fault> {
        self.left = size;
        let padded = size
            .checked_next_multiple_of(BLOCK as u64)
            .ok_or_else(too_large)?;
        self.padding = padded - size;
        Ok(())
    }

    /// The next header, or none at the end: two blocks of zeros, or where the stream ends.
    fn header(&mut self) -> Result<Option<Header>, Fault> {
        let Some(block) = self.block()? else {
            return Ok(None);
        };
        if block != [0; BLOCK] {
            return Header::new(block).map(Some);
        }
        match self.block()? {
            Some(block) if block != [0; BLOCK] => {
                Err(Fault::rule("a block of zeros between entries"))
            }
            _ => Ok(None),
        }
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, Fault> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let bytes = retry(&mut self.input)?;
            if bytes.is_empty() {
                return if filled == 0 {
                    Ok(None)
                } else {
                    Err(truncated())
                };
            }
            let len = bytes.len().min(BLOCK - filled);
            block[filled..filled + len].copy_from_slice(&bytes[..len]);
            self.input.consume(len);
            filled += len;
        }
        Ok(Some(block))
    }

    /// All of an extended header's data.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, Fault> {
        let size = header.size()?;
        if size > MAX_EXTENSION {
            let rule = format!("an extended header of {size} bytes, more than {MAX_EXTENSION}");
            return Err(Fault::rule(rule));
        }
        self.expect(size)?;
        let mut text = Vec::new();
        loop {
            let bytes = self.data()?;
            let len = bytes.len();
            if len == 0 {
                break;
            }
            text.extend_from_slice(bytes);
            self.consume(len);
        }
        self.skip_data()?;
        Ok(text)
    }

    /// Makes the entry from its header and those before it.
    fn fill(&mut self, header: &Header, entry: &mut Entry) -> Result<(), Fault> {
        let mut local = self.local.take().unwrap_or_default();
        entry.link.extend_from_slice(header.link());
        name(&mut entry.path, local.path.take(), self.long_name.take())?;
        name(&mut entry.link, local.link.take(), self.long_link.take())?;
        if let Some(real) = local.sparse.name.take() {
            entry.path = real;
        }
        if entry.path.is_empty() {
            return Err(Fault::rule("an entry without a name"));
        }
        let mode = header.mode()?;
        entry.mode = mode & 0o7777;
        entry.kind = header.kind(&entry.path, mode)?;
        match entry.kind {
            Kind::HardLink | Kind::Symlink if entry.link.is_empty() => {
                return Err(Fault::rule("a link to nothing"));
            }
            Kind::HardLink | Kind::Symlink => {}
            _ => entry.link.clear(),
        }
        entry.uid = match local.uid.or(self.global.uid) {
            Some(uid) => id(uid, "the user id")?,
            None => id(header.uid()?, "the user id")?,
        };
        entry.gid = match local.gid.or(self.global.gid) {
            Some(gid) => id(gid, "the group id")?,
            None => id(header.gid()?, "the group id")?,
        };
        entry.mtime = match local.mtime.or(self.global.mtime) {
            Some(time) => time,
            None => Time {
                seconds: header.mtime()?,
                nanoseconds: 0,
            },
        };
        let mut xattrs = std::mem::take(&mut local.xattrs);
        for (attribute, value) in &self.global.xattrs {
            xattrs
                .entry(attribute.clone())
                .or_insert_with(|| value.clone());
        }
        entry.xattrs.extend(xattrs);
        let (own, all) = (&mut local.acls, &self.global.acls);
        entry.acls = Acls {
            access: own.access.take().or_else(|| all.access.clone()),
            default: own.default.take().or_else(|| all.default.clone()),
        };
        self.size(header, &local, entry)
    }

    /// How much data follows, and how long the file is.
    fn size(&mut self, header: &Header, local: &Records, entry: &mut Entry) -> Result<(), Fault> {
        // The pax record wins over the header, which cannot hold a large one and may hold
        // anything then (CVE-2025-62518).
        let in_header = header.size()?;
        let stored = local.size.unwrap_or(in_header);
        entry.size = stored;
        if !entry.kind.has_data() {
            // Old writers put a size there, and no data. All engines' readers agree on that.
            entry.size = 0;
            return Ok(());
        }
        if header.flag() == b'S' {
            return self.gnu_sparse(header, stored, entry);
        }
        self.expect(stored)?;
        let (size, map) = match local.sparse.map()? {
            None => return Ok(()),
            Some(PaxMap::Known { size, map }) => (size, map),
            Some(PaxMap::InData { size }) => (size, self.sparse_map_in_data()?),
        };
        sparse::check(&map, size, self.left)?;
        entry.size = size;
        entry.sparse = Some(map);
        Ok(())
    }

    fn sparse_map_in_data(&mut self) -> Result<Vec<super::Segment>, Fault> {
        sparse::map_in_data(|| {
            // The map fills whole blocks, and the data after it begins at one.
            let short = || Fault::rule("a sparse map is longer than its data");
            self.left = self.left.checked_sub(BLOCK as u64).ok_or_else(short)?;
            self.block()?.ok_or_else(truncated)
        })
    }

    fn gnu_sparse(&mut self, header: &Header, stored: u64, entry: &mut Entry) -> Result<(), Fault> {
        if !header.is_gnu() {
            return Err(Fault::rule(
                "a sparse file of GNU's in another format's header",
            ));
        }
        let (pairs, mut more, size) = header.gnu_sparse()?;
        let mut map = Vec::new();
        sparse::gnu_pairs(pairs, &mut map)?;
        while more {
            let block = self.block()?.ok_or_else(truncated)?;
            let (pairs, another) = sparse::gnu_extension(&block);
            let before = map.len();
            sparse::gnu_pairs(pairs, &mut map)?;
            if another && map.len() == before {
                return Err(Fault::rule("a sparse map goes on with nothing"));
            }
            more = another;
        }
        sparse::check(&map, size, stored)?;
        entry.size = size;
        entry.sparse = Some(map);
        self.expect(stored)
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Fault> {
    match slot.replace(value) {
        None => Ok(()),
        // Some readers take the first, some the last, some both.
        Some(_) => Err(Fault::rule(
            "two extended headers of a kind before one entry",
        )),
    }
}

/// The name that counts: pax's, GNU's long one, or the header's.
fn name(into: &mut Vec<u8>, pax: Option<Vec<u8>>, gnu: Option<Vec<u8>>) -> Result<(), Fault> {
    match (pax, gnu) {
        (Some(pax), Some(gnu)) if pax != gnu => {
            Err(Fault::rule("two different long names for one entry"))
        }
        (Some(name), _) | (None, Some(name)) => {
            *into = name;
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

/// GNU's long names end with a NUL, or several.
fn long(mut name: Vec<u8>) -> Result<Vec<u8>, Fault> {
    let end = super::fields::text(&name).len();
    if name[end..].iter().any(|byte| *byte != 0) {
        return Err(Fault::rule("a long name has a NUL in it"));
    }
    name.truncate(end);
    Ok(name)
}

/// The largest id is the kernel's way to say "none".
fn id(value: u64, what: &str) -> Result<u32, Fault> {
    u32::try_from(value)
        .ok()
        .filter(|id| *id != u32::MAX)
        .ok_or_else(|| Fault::rule(format!("{what} is out of range")))
}

fn retry<R: BufRead>(input: &mut R) -> Result<&[u8], Fault> {
    while let Err(error) = input.fill_buf() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(error.into());
        }
    }
    Ok(input.fill_buf()?)
}

fn truncated() -> Fault {
    Fault::rule("the archive ends in the middle of an entry")
}

fn too_large() -> Fault {
    Fault::rule("the size is out of range")
}
