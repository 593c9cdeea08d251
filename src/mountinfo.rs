//! /proc/self/mountinfo (proc_pid_mountinfo(5)): its paths as they are, which all readers need, and
//! what most of them want of a line.

use crate::error::{Context, Result};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The path that a field stands for, its octal escapes of white space and backslashes resolved
/// (proc_pid_mountinfo(5)).
pub fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = after.get(..3).filter(|_| byte == b'\\');
        let octal = escaped
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(byte));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// What a line says.
#[derive(Debug)]
pub struct Mount<'a> {
    /// What of the file system is mounted, its escapes as they are.
    pub root: &'a [u8],
    /// Where.
    pub point: PathBuf,
    /// The file system's type.
    pub kind: &'a [u8],
}

impl<'a> Mount<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let root = fields.nth(3)?;
        let point = path(fields.next()?);
        // The optional fields end with a dash.
        let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some(Self { root, point, kind })
    }
}

/// The table of this process's mount namespace.
///
/// # Errors
/// Those of reading it.
pub fn table() -> Result<Vec<u8>> {
    std::fs::read("/proc/self/mountinfo").context(|| "reading /proc/self/mountinfo")
}

/// The mounts of a [`table`], in the order in which they were mounted.
pub fn mounts(table: &[u8]) -> impl Iterator<Item = Mount<'_>> {
    table.split(|&byte| byte == b'\n').filter_map(Mount::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_spaces_is_read_as_it_is() {
        let line = b"36 35 98:0 / /mnt/a\\040b\\134 rw,noatime - ext3 /dev/root rw";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(mount.point, PathBuf::from("/mnt/a b\\"));
        assert_eq!((mount.root, mount.kind), (&b"/"[..], &b"ext3"[..]));
        assert!(Mount::parse(b"").is_none());
    }

    #[test]
    fn optional_fields_are_passed_over() {
        let line = b"36 35 98:0 /a /mnt rw shared:1 master:2 - proc proc rw";
        assert_eq!(Mount::parse(line).unwrap().kind, b"proc");
    }
}
