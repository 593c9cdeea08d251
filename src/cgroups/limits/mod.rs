//! Limits: `linux.resources` as writes to cgroup files, and the making of those writes.
//!
//! Conversion is pure and per cgroup version; here is what a write is and how it is done.

pub(super) mod v1;
pub(super) mod v2;

use super::files;
use crate::config::resources::Resources;
use crate::error::{Code, Error, Result};
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
pub(super) fn apply(dir: &Path, group: &Group) -> Result<()> {
    let mut waiting: Vec<&Write> = group.0.iter().collect();
    loop {
        let before = waiting.len();
        let mut refused = None;
        let mut again = Vec::new();
        for write in waiting {
            match attempt(dir, write) {
                Ok(()) => {}
                Err(error) if error.errno() == Some(Errno::INVAL) => {
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

fn attempt(dir: &Path, write: &Write) -> Result<()> {
    let mut missing = None;
    for (file, value) in &write.files {
        let path = dir.join(file);
        match files::write(&path, value) {
            Ok(()) => return Ok(()),
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

/// Least and most cpu.shares: the kernel moves other values into these bounds silently.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

fn check_shares(shares: u64) -> Result<()> {
    // runc's words.
    let message = match shares {
        ..2 => format!("the minimum allowed cpu-shares is {}", SHARES.start()),
        shares if !SHARES.contains(&shares) => {
            format!("the maximum allowed cpu-shares is {}", SHARES.end())
        }
        _ => return Ok(()),
    };
    let message = format!("linux.resources.cpu.shares: {shares}: {message}");
    Err(Error::new(Code::InvalidConfig, message))
}

/// -1 is unlimited; 0 becomes 1, the least that systemd can express, which means the same:
/// one task, the container's first, was there before the limit could stop it.
fn pids(limit: i64) -> String {
    match limit {
        ..0 => "max".to_owned(),
        limit => limit.max(1).to_string(),
    }
}

/// The same file in v1 and v2.
fn rdma(resources: &Resources) -> impl Iterator<Item = Group> {
    resources.rdma.iter().map(|(device, limits)| {
        let mut value = device.clone();
        let limits = [
            ("hca_handle", limits.hca_handles),
            ("hca_object", limits.hca_objects),
        ];
        for (name, limit) in limits {
            if let Some(limit) = limit {
                value.push_str(&format!(" {name}={limit}"));
            }
        }
        let field = format!("rdma.{device}");
        Group(vec![Write::new(&field, "rdma", "rdma.max", value)])
    })
}

/// 0 is "not set": Docker and the CRI send it so.
fn set(value: Option<i64>) -> Option<i64> {
    value.filter(|value| *value != 0)
}

/// What the file of one page size is called: the kernel's own names only, as it becomes
/// part of a path.
fn page_size(index: usize, size: &str) -> Result<&str> {
    let digits = size.trim_end_matches(|c: char| c.is_ascii_uppercase());
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let unit = &size[digits.len()..];
    match is_number && matches!(unit, "B" | "KB" | "MB" | "GB") {
        true => Ok(size),
        false => Err(Error::new(
            Code::InvalidConfig,
            format!("linux.resources.hugepageLimits[{index}].pageSize: {size:?} is no page size"),
        )
        .hint("as 64KB, 2MB or 1GB")),
    }
}

/// Checks that do not depend on the version: quota and burst go together (config-linux.md).
fn check(resources: &Resources) -> Result<()> {
    let Some(cpu) = &resources.cpu else {
        return Ok(());
    };
    let (Some(burst), Some(quota)) = (cpu.burst, cpu.quota) else {
        return Ok(());
    };
    match u64::try_from(quota) {
        Ok(quota) if quota > 0 && burst > quota => Err(Error::new(
            Code::InvalidConfig,
            format!("linux.resources.cpu.burst: {burst} is larger than the quota {quota}"),
        )),
        _ => Ok(()),
    }
}
