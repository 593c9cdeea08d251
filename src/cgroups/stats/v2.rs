//! Statistics from a v2 cgroup, in v1's terms where runc tells them so.

use super::super::tree;
use super::values::{keyed, nested, number, number_or_zero};
use super::{
    BlockIo, BlockIoEntry, Cpu, Hugetlb, Memory, MemoryEntry, Misc, Pids, Rdma, RdmaEntry, Stats,
    psi, v1,
};
use crate::error::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Reads everything.
pub(in super::super) fn read(dir: &Path) -> Result<Stats> {
    let mut stats = Stats::default();
    read_shared(dir, &mut stats)?;
    cpu_usage(dir, &mut stats.cpu)?;
    memory(dir, &mut stats.memory)?;
    block_io(dir, &mut stats.blkio)?;
    stats.pids = pids(dir)?;
    Ok(stats)
}

/// Reads what a hybrid host may have in v2's hierarchy while the big controllers are v1's.
pub(super) fn read_shared(dir: &Path, stats: &mut Stats) -> Result<()> {
    stats.cpu.psi = psi::read(dir, "cpu.pressure")?;
    stats.memory.psi = psi::read(dir, "memory.pressure")?;
    stats.blkio.psi = psi::read(dir, "io.pressure")?;
    stats.hugetlb = hugetlb(dir)?;
    stats.rdma = rdma(dir)?;
    stats.misc = misc(dir)?;
    Ok(())
}

/// cpu.stat is there without the controller too.
fn cpu_usage(dir: &Path, cpu: &mut Cpu) -> Result<()> {
    let stat = keyed(dir, "cpu.stat")?;
    let get = |key: &str| stat.get(key).copied().unwrap_or(0);
    let nanoseconds = |key: &str| get(key).saturating_mul(1000);
    cpu.usage.total = nanoseconds("usage_usec");
    cpu.usage.user = nanoseconds("user_usec");
    cpu.usage.kernel = nanoseconds("system_usec");
    cpu.throttling.periods = get("nr_periods");
    cpu.throttling.throttled_periods = get("nr_throttled");
    cpu.throttling.throttled_time = nanoseconds("throttled_usec");
    Ok(())
}

fn memory(dir: &Path, memory: &mut Memory) -> Result<()> {
    memory.raw = keyed(dir, "memory.stat")?;
    memory.cache = memory.raw.get("file").copied().unwrap_or(0);
    memory.usage = memory_entry(dir, "memory")?;
    // v1's "swap" is memory and swap together, and so is ours. When each was highest is not
    // known together.
    let swap = memory_entry(dir, "memory.swap")?;
    memory.swap = MemoryEntry {
        limit: swap.limit.saturating_add(memory.usage.limit),
        usage: swap.usage.saturating_add(memory.usage.usage),
        max: 0,
        failcnt: 0,
    };
    Ok(())
}

fn memory_entry(dir: &Path, prefix: &str) -> Result<MemoryEntry> {
    let number = |name: &str| number_or_zero(dir, &format!("{prefix}.{name}"));
    Ok(MemoryEntry {
        limit: number("max")?,
        usage: number("current")?,
        // Since Linux 5.19, for swap 6.5.
        max: number("peak")?,
        failcnt: 0,
    })
}

fn block_io(dir: &Path, io: &mut BlockIo) -> Result<()> {
    for (device, counts) in nested(dir, "io.stat")? {
        let Some((major, minor)) = device.split_once(':') else {
            continue;
        };
        let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else {
            continue;
        };
        for (key, value) in counts {
            let (table, op) = match key.as_str() {
                "rbytes" => (&mut io.io_service_bytes_recursive, "Read"),
                "wbytes" => (&mut io.io_service_bytes_recursive, "Write"),
                "rios" => (&mut io.io_serviced_recursive, "Read"),
                "wios" => (&mut io.io_serviced_recursive, "Write"),
                // v1 has no place for it.
                _ => continue,
            };
            table.push(BlockIoEntry {
                major,
                minor,
                op: op.to_owned(),
                value,
            });
        }
    }
    Ok(())
}

fn pids(dir: &Path) -> Result<Pids> {
    match number(dir, "pids.current")? {
        Some(_) => v1::pids(dir),
        // Without the controller the processes can still be counted.
        None => Ok(Pids {
            current: tree::processes(dir)?.len() as u64,
            limit: 0,
        }),
    }
}

fn hugetlb(dir: &Path) -> Result<BTreeMap<String, Hugetlb>> {
    let mut sizes = BTreeMap::new();
    for size in hugetlb_sizes(dir, ".current")? {
        let plain = number_or_zero(dir, &format!("hugetlb.{size}.current"))?;
        // What is reserved counts where the kernel limits that (Linux 5.7), as the limits do.
        let reserved = number(dir, &format!("hugetlb.{size}.rsvd.current"))?;
        let events = keyed(dir, &format!("hugetlb.{size}.events"))?;
        let entry = Hugetlb {
            usage: reserved.unwrap_or(plain),
            max: 0,
            failcnt: events.get("max").copied().unwrap_or(0),
        };
        sizes.insert(size, entry);
    }
    Ok(sizes)
}

/// The page sizes that there are files for: "2MB" for "hugetlb.2MB.current".
pub(super) fn hugetlb_sizes(dir: &Path, suffix: &str) -> Result<Vec<String>> {
    let listing = || format!("listing {}", dir.display());
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.context(listing)?,
    };
    let mut sizes = Vec::new();
    for entry in entries {
        let name = entry.context(listing)?.file_name();
        let size = name.to_str().and_then(|name| {
            let size = name.strip_prefix("hugetlb.")?.strip_suffix(suffix)?;
            // Not "2MB.rsvd".
            (!size.contains('.')).then(|| size.to_owned())
        });
        sizes.extend(size);
    }
    Ok(sizes)
}

/// The same on v1.
pub(super) fn rdma(dir: &Path) -> Result<BTreeMap<String, Rdma>> {
    let mut devices: BTreeMap<String, Rdma> = BTreeMap::new();
    for (device, pairs) in nested(dir, "rdma.current")? {
        devices.entry(device).or_default().current = rdma_entry(&pairs);
    }
    for (device, pairs) in nested(dir, "rdma.max")? {
        devices.entry(device).or_default().limit = rdma_entry(&pairs);
    }
    Ok(devices)
}

fn rdma_entry(pairs: &[(String, u64)]) -> RdmaEntry {
    let get = |name: &str| {
        let found = pairs.iter().find(|(key, _)| key == name);
        found.map_or(0, |(_, value)| *value)
    };
    RdmaEntry {
        hca_handles: get("hca_handle"),
        hca_objects: get("hca_object"),
    }
}

/// The same on v1 (Linux 5.13).
pub(super) fn misc(dir: &Path) -> Result<BTreeMap<String, Misc>> {
    let mut resources: BTreeMap<String, Misc> = BTreeMap::new();
    for (name, usage) in keyed(dir, "misc.current")? {
        resources.entry(name).or_default().usage = usage;
    }
    // "sev.max 3" (Linux 5.16).
    for (key, events) in keyed(dir, "misc.events")? {
        if let Some(name) = key.strip_suffix(".max") {
            resources.entry(name.to_owned()).or_default().events = events;
        }
    }
    Ok(resources)
}
