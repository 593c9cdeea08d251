//! What v1 and v2 have in common in reading `linux.resources`.

use super::{Group, Write};
use crate::config::resources::{BlockIo, Cpu, Resources, ThrottleDevice};
use crate::error::{Code, Error, Result};

/// Least and most cpu.shares: the kernel moves other values into these bounds silently.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

pub(super) fn check_shares(shares: u64) -> Result<()> {
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
pub(super) fn pids(limit: i64) -> String {
    match limit {
        ..0 => "max".to_owned(),
        limit => limit.max(1).to_string(),
    }
}

/// The same file in v1 and v2.
pub(super) fn rdma(resources: &Resources) -> impl Iterator<Item = Group> {
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
pub(super) fn set(value: Option<i64>) -> Option<i64> {
    value.filter(|value| *value != 0)
}

/// What the file of one page size is called: the kernel's own names only, as it becomes
/// part of a path.
pub(super) fn page_size(index: usize, size: &str) -> Result<&str> {
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
pub(super) fn check(resources: &Resources) -> Result<()> {
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

/// The lists of `cpu`, the same in v1 and v2.
pub(super) fn cpusets(cpu: &Cpu) -> impl Iterator<Item = Group> {
    let lists = [
        ("cpu.cpus", "cpuset.cpus", &cpu.cpus),
        ("cpu.mems", "cpuset.mems", &cpu.mems),
    ];
    lists.into_iter().filter_map(|(field, file, list)| {
        let list = list.as_ref().filter(|list| !list.is_empty())?;
        Some(Group(vec![Write::new(field, "cpuset", file, list)]))
    })
}

/// Both kinds of accounting get the limit, as in runc: reservations, where the kernel (5.7)
/// counts them, and page faults. `limit` is how the files' names end.
pub(super) fn hugepages(resources: &Resources, limit: &str) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for (index, pages) in resources.hugepage_limits.iter().enumerate() {
        let size = page_size(index, &pages.page_size)?;
        let field = format!("hugepageLimits[{index}]");
        let write = |file: String| Write::new(&field, "hugetlb", file, pages.limit);
        let usage = write(format!("hugetlb.{size}.{limit}"));
        let reserved = write(format!("hugetlb.{size}.rsvd.{limit}"));
        groups.push(Group(vec![usage, reserved.optional()]));
    }
    Ok(groups)
}

/// What a device is throttled in.
#[derive(Clone, Copy)]
pub(super) struct Throttle {
    field: &'static str,
    /// v1's name: part of a file's.
    pub v1: &'static str,
    /// v2's: a key in io.max.
    pub v2: &'static str,
}

/// A write for each throttled device; `file_and_value` is given it as "major:minor" and rate.
pub(super) fn throttles(
    block_io: &BlockIo,
    controller: &'static str,
    file_and_value: impl Fn(Throttle, &str, u64) -> (String, String),
) -> Vec<Write> {
    let throttle = |field, v1, v2| Throttle { field, v1, v2 };
    let lists: [(Throttle, &[ThrottleDevice]); 4] = [
        (
            throttle("throttleReadBpsDevice", "read_bps", "rbps"),
            &block_io.throttle_read_bps_device,
        ),
        (
            throttle("throttleWriteBpsDevice", "write_bps", "wbps"),
            &block_io.throttle_write_bps_device,
        ),
        (
            throttle("throttleReadIOPSDevice", "read_iops", "riops"),
            &block_io.throttle_read_iops_device,
        ),
        (
            throttle("throttleWriteIOPSDevice", "write_iops", "wiops"),
            &block_io.throttle_write_iops_device,
        ),
    ];
    let mut writes = Vec::new();
    for (throttle, devices) in lists {
        for (index, device) in devices.iter().enumerate() {
            let number = format!("{}:{}", device.major, device.minor);
            let (file, value) = file_and_value(throttle, &number, device.rate);
            let field = format!("blockIO.{}[{index}]", throttle.field);
            writes.push(Write::new(&field, controller, file, value));
        }
    }
    writes
}
