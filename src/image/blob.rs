//! A blob: a stretch of a file, read by position.
//!
//! A blob inside an archive is read where it lies. Reading does not move the file's offset, so
//! any number of blobs of one file may be read at the same time.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// `len` bytes of `file`, from `offset` on.
#[derive(Clone, Debug)]
pub struct Blob {
    file: Arc<File>,
    offset: u64,
    len: u64,
}

impl Blob {
    /// All of `file`, as long as it is now.
    ///
    /// # Errors
    /// Where its length cannot be read.
    pub fn whole(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self::part(Arc::new(file), 0, len))
    }

    /// A part of `file`.
    pub fn part(file: Arc<File>, offset: u64, len: u64) -> Self {
        Self { file, offset, len }
    }

    /// How long it is. A file that was cut since shows when it is read.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads at `position`, at most `into.len()` bytes; 0 at the end.
    ///
    /// # Errors
    /// Those of pread(2).
    pub fn read_at(&self, into: &mut [u8], position: u64) -> io::Result<usize> {
        let left = self.len.saturating_sub(position);
        let wanted = usize::try_from(left).map_or(into.len(), |left| left.min(into.len()));
        match into.get_mut(..wanted) {
            Some(into) if wanted > 0 => self.file.read_at(into, self.offset + position),
            _ => Ok(0),
        }
    }

    /// Reads it from its beginning.
    pub fn reader(&self) -> Reader<'_> {
        self.reader_at(0)
    }

    /// Reads it from `position` on.
    pub fn reader_at(&self, position: u64) -> Reader<'_> {
        Reader {
            blob: self,
            position,
        }
    }
}

/// Reads a blob in order.
#[derive(Debug)]
pub struct Reader<'a> {
    blob: &'a Blob,
    position: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.blob.read_at(into, self.position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(read) => {
                    self.position += read as u64;
                    return Ok(read);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_part_ends_where_it_ends() {
        let mut file = tempfile();
        file.write_all(b"before|inside|after").unwrap();
        let blob = Blob::part(Arc::new(file), 7, 6);
        let mut text = String::new();
        blob.reader().read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
        assert_eq!(blob.read_at(&mut [0; 4], 6).unwrap(), 0);
        assert_eq!(blob.read_at(&mut [0; 4], 99).unwrap(), 0);
    }

    fn tempfile() -> File {
        File::from(rustix::fs::memfd_create("blob", rustix::fs::MemfdFlags::CLOEXEC).unwrap())
    }
}
