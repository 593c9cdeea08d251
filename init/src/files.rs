//! Whole files: what std has, for descriptors and without std.

use alloc::vec;
use alloc::vec::Vec;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, Mode, OFlags};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

/// How much is read at once: little, as it stays in memory.
const CHUNK: usize = 4096;

/// Writes all of `bytes` where the file stands.
///
/// # Errors
/// Those of write(2).
pub fn write_all(file: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&file, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes `bytes` to a file that is there, in one call, as files of /proc want it.
///
/// # Errors
/// Those of open(2) and write(2).
pub fn write_to(path: impl Arg, bytes: &[u8]) -> Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::retry_on_intr(|| rustix::io::write(&file, bytes)).map(drop)
}

/// Reads from where the file stands to its end.
///
/// # Errors
/// Those of read(2).
pub fn read_to_end(file: impl AsFd) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while read_more(&file, &mut bytes)? > 0 {}
    Ok(bytes)
}

/// Reads some more of the file to the end of `bytes`; says how much, 0 at its end.
///
/// # Errors
/// Those of read(2).
pub fn read_more(file: impl AsFd, bytes: &mut Vec<u8>) -> Result<usize> {
    let present = bytes.len();
    bytes.resize(present + CHUNK, 0);
    let read = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut bytes[present..]));
    bytes.truncate(present + read.unwrap_or(0));
    read
}

/// Reads the first `length` bytes of a file.
///
/// # Errors
/// Those of pread(2); `EIO` where it has not as many.
pub fn read_first(file: impl AsFd, length: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut present = 0;
    while present < length {
        match rustix::io::pread(&file, &mut bytes[present..], present as u64) {
            Ok(0) => return Err(Errno::IO),
            Ok(read) => present += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// A file in memory that holds `bytes`, to be read from its beginning.
///
/// # Errors
/// Those of memfd_create(2) and of writing.
pub fn in_memory(name: &str, bytes: &[u8]) -> Result<OwnedFd> {
    let file = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)?;
    let mut written = 0;
    while written < bytes.len() {
        // Which leaves it standing at its beginning.
        match rustix::io::pwrite(&file, &bytes[written..], written as u64) {
            Ok(length) => written += length,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(file)
}
