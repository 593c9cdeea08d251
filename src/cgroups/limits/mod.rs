//! Limits: `linux.resources` as writes to cgroup files, and the making of those writes.
//!
//! Conversion is per cgroup version; here is what a write is, how it is done and, by the
//! journal, undone.

mod common;
mod journal;
mod unified;
pub(super) mod v1;
pub(super) mod v2;

pub(super) use journal::Journal;

use super::files;
use crate::error::{Error, Result};
use rustix::io::Errno;
use std::path::Path;

/// A value for a cgroup file, and where in the config it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    /// `linux.resources.memory.limit`
    pub field: String,
    /// The controller whose file it is.
    pub controller: &'static str,
    /// The file and its value; where a kernel lacks the file, the next.
    pub files: Vec<(String, String)>,
    /// A kernel with none of the files does what is asked anyway, or cannot but need not.
    pub optional: bool,
}

/// Writes whose values the kernel checks against each other: which goes through first
/// depends on what was set before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group(pub Vec<Write>);

impl Write {
    pub fn new(
        field: &str,
        controller: &'static str,
        file: impl Into<String>,
        value: impl ToString,
    ) -> Self {
        Self {
            field: format!("linux.resources.{field}"),
            controller,
            files: vec![(file.into(), value.to_string())],
            optional: false,
        }
    }

    pub fn or(mut self, file: impl Into<String>, value: impl ToString) -> Self {
        self.files.push((file.into(), value.to_string()));
        self
    }

    /// Whether it is `file` that is to be written.
    pub fn is_for(&self, file: &str) -> bool {
        self.files[0].0 == file
    }

    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

/// Does all writes of a group in `dir`, in the order the kernel accepts: one that it finds
/// inconsistent with what is set now (EINVAL) is tried again when another went through.
pub(super) fn apply(dir: &Path, group: &Group, journal: &mut Journal) -> Result<()> {
    let mut waiting: Vec<&Write> = group.0.iter().collect();
    loop {
        let before = waiting.len();
        let mut refused = None;
        let mut again = Vec::new();
        for write in waiting {
            match attempt(dir, write, journal) {
                Ok(()) => {}
                Err(error) if error.errno() == Some(Errno::INVAL.raw_os_error()) => {
                    refused.get_or_insert(error);
                    again.push(write);
                }
                Err(error) => return Err(error),
            }
        }
        match refused {
            None => return Ok(()),
            Some(error) if again.len() == before => return Err(error),
            Some(_) => waiting = again,
        }
    }
}

fn attempt(dir: &Path, write: &Write, journal: &mut Journal) -> Result<()> {
    let mut missing = None;
    for (file, value) in &write.files {
        let path = dir.join(file);
        let way_back = journal.way_back(&path, value);
        match files::write(&path, value) {
            Ok(()) => {
                journal.note(way_back);
                return Ok(());
            }
            Err(errno) => {
                let error = Error::system(files::writing(&path, value), errno);
                let error = error.context(&write.field);
                match errno {
                    Errno::NOENT => missing.get_or_insert(error),
                    _ => return Err(error),
                };
            }
        }
    }
    match missing {
        Some(error) if !write.optional => Err(error),
        _ => Ok(()),
    }
}
