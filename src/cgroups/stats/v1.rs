//! Statistics from v1's controllers, each in a hierarchy of its own or with others; and from
//! the v2 cgroup of a hybrid host, which has pressure and the controllers that v1 left to it.

use super::super::V1;
use super::values::{self, keyed, number_or_zero};
use super::{BlockIo, BlockIoEntry, Cpu, CpuSet, Hugetlb, Memory, MemoryEntry, Pids, Stats, v2};
use crate::config::ranges::RangeList;
use crate::error::Result;
use std::collections::BTreeMap;
use std::path::Path;

/// The unit of cpuacct.stat is USER_HZ, which is 100 on all architectures we know.
const NANOSECONDS_PER_TICK: u64 = 10_000_000;

/// Reads everything.
pub(in super::super) fn read(v1: &V1) -> Result<Stats> {
    let mut stats = Stats::default();
    if let Some(dir) = v1.unified() {
        v2::read_shared(dir, &mut stats)?;
    }
    if let Some(dir) = v1.find("cpu") {
        throttling(dir, &mut stats.cpu)?;
    }
    if let Some(dir) = v1.find("cpuacct") {
        cpu_usage(dir, &mut stats.cpu)?;
    }
    if let Some(dir) = v1.find("cpuset") {
        stats.cpuset = cpuset(dir)?;
    }
    if let Some(dir) = v1.find("memory") {
        memory(dir, &mut stats.memory)?;
    }
    if let Some(dir) = v1.find("pids") {
        stats.pids = pids(dir)?;
    }
    if let Some(dir) = v1.find("blkio") {
        block_io(dir, &mut stats.blkio)?;
    }
    if let Some(dir) = v1.find("hugetlb") {
        stats.hugetlb = hugetlb(dir)?;
    }
    if let Some(dir) = v1.find("rdma") {
        stats.rdma = v2::rdma(dir)?;
    }
    if let Some(dir) = v1.find("misc") {
        stats.misc = v2::misc(dir)?;
    }
    Ok(stats)
}

fn throttling(dir: &Path, cpu: &mut Cpu) -> Result<()> {
    let stat = keyed(dir, "cpu.stat")?;
    let get = |key: &str| stat.get(key).copied().unwrap_or(0);
    cpu.throttling.periods = get("nr_periods");
    cpu.throttling.throttled_periods = get("nr_throttled");
    cpu.throttling.throttled_time = get("throttled_time");
    Ok(())
}

fn cpu_usage(dir: &Path, cpu: &mut Cpu) -> Result<()> {
    let ticks = keyed(dir, "cpuacct.stat")?;
    let nanoseconds = |key: &str| {
        let ticks = ticks.get(key).copied().unwrap_or(0);
        ticks.saturating_mul(NANOSECONDS_PER_TICK)
    };
    cpu.usage.user = nanoseconds("user");
    cpu.usage.kernel = nanoseconds("system");
    cpu.usage.total = number_or_zero(dir, "cpuacct.usage")?;
    let percpu = values::text(dir, "cpuacct.usage_percpu")?.unwrap_or_default();
    cpu.usage.percpu = percpu
        .split_whitespace()
        .filter_map(values::parse)
        .collect();
    // "cpu user system", then a line of numbers for each (Linux 4.7).
    let all = values::text(dir, "cpuacct.usage_all")?.unwrap_or_default();
    for line in all.lines().skip(1) {
        let numbers: Vec<u64> = line.split(' ').filter_map(values::parse).collect();
        if let [_cpu, user, kernel] = numbers[..] {
            cpu.usage.percpu_user.push(user);
            cpu.usage.percpu_kernel.push(kernel);
        }
    }
    Ok(())
}

fn cpuset(dir: &Path) -> Result<CpuSet> {
    let list = |file: &str| -> Result<Vec<u32>> {
        let text = values::text(dir, file)?.unwrap_or_default();
        // One that is not configured is empty.
        let list = RangeList::parse(text.trim());
        Ok(list.map_or(Vec::new(), |list| {
            list.ranges().iter().cloned().flatten().collect()
        }))
    };
    let number = |name: &str| number_or_zero(dir, &format!("cpuset.{name}"));
    Ok(CpuSet {
        cpus: list("cpuset.cpus")?,
        cpu_exclusive: number("cpu_exclusive")?,
        mems: list("cpuset.mems")?,
        mem_hardwall: number("mem_hardwall")?,
        mem_exclusive: number("mem_exclusive")?,
        memory_migrate: number("memory_migrate")?,
        memory_spread_page: number("memory_spread_page")?,
        memory_spread_slab: number("memory_spread_slab")?,
        memory_pressure: number("memory_pressure")?,
        sched_load_balance: number("sched_load_balance")?,
        sched_relax_domain_level: values::signed(dir, "cpuset.sched_relax_domain_level")?,
    })
}

fn memory(dir: &Path, memory: &mut Memory) -> Result<()> {
    memory.raw = keyed(dir, "memory.stat")?;
    memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
    memory.usage = memory_entry(dir, "memory")?;
    memory.swap = memory_entry(dir, "memory.memsw")?;
    memory.kernel = memory_entry(dir, "memory.kmem")?;
    memory.kernel_tcp = memory_entry(dir, "memory.kmem.tcp")?;
    Ok(())
}

fn memory_entry(dir: &Path, prefix: &str) -> Result<MemoryEntry> {
    let number = |name: &str| number_or_zero(dir, &format!("{prefix}.{name}"));
    Ok(MemoryEntry {
        limit: number("limit_in_bytes")?,
        usage: number("usage_in_bytes")?,
        max: number("max_usage_in_bytes")?,
        failcnt: number("failcnt")?,
    })
}

pub(super) fn pids(dir: &Path) -> Result<Pids> {
    let limit = number_or_zero(dir, "pids.max")?;
    Ok(Pids {
        current: number_or_zero(dir, "pids.current")?,
        limit: if limit == u64::MAX { 0 } else { limit },
    })
}

/// The same counts are kept by up to three parties: the BFQ scheduler, CFQ before Linux 5.0,
/// and the throttling layer, which sees every request. As runc, the first that has any.
fn block_io(dir: &Path, io: &mut BlockIo) -> Result<()> {
    for prefix in ["blkio.bfq.", "blkio."] {
        let read = |name: &str| block_io_file(dir, &format!("{prefix}{name}_recursive"));
        io.io_serviced_recursive = read("io_serviced")?;
        if io.io_serviced_recursive.is_empty() {
            continue;
        }
        io.io_service_bytes_recursive = read("io_service_bytes")?;
        io.sectors_recursive = read("sectors")?;
        io.io_service_time_recursive = read("io_service_time")?;
        io.io_wait_time_recursive = read("io_wait_time")?;
        io.io_merged_recursive = read("io_merged")?;
        io.io_queued_recursive = read("io_queued")?;
        io.io_time_recursive = read("time")?;
        return Ok(());
    }
    for suffix in ["_recursive", ""] {
        let read = |name: &str| block_io_file(dir, &format!("blkio.throttle.{name}{suffix}"));
        io.io_serviced_recursive = read("io_serviced")?;
        io.io_service_bytes_recursive = read("io_service_bytes")?;
        if !io.io_serviced_recursive.is_empty() {
            break;
        }
    }
    Ok(())
}

fn block_io_file(dir: &Path, file: &str) -> Result<Vec<BlockIoEntry>> {
    let text = values::text(dir, file)?.unwrap_or_default();
    Ok(text.lines().filter_map(block_io_line).collect())
}

/// "8:0 Read 1282048", or "8:0 6792"; the line "Total 3477504" is nobody's.
fn block_io_line(line: &str) -> Option<BlockIoEntry> {
    let mut fields = line.split_whitespace();
    let (major, minor) = fields.next()?.split_once(':')?;
    let (op, value) = match (fields.next()?, fields.next()) {
        (value, None) => ("", value),
        (op, Some(value)) => (op, value),
    };
    Some(BlockIoEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: op.to_owned(),
        value: value.parse().ok()?,
    })
}

fn hugetlb(dir: &Path) -> Result<BTreeMap<String, Hugetlb>> {
    let mut sizes = BTreeMap::new();
    for size in v2::hugetlb_sizes(dir, ".usage_in_bytes")? {
        let plain = format!("hugetlb.{size}");
        let reserved = format!("{plain}.rsvd");
        // What is reserved counts where the kernel limits that (Linux 5.7), as the limits do.
        let used = values::number(dir, &format!("{reserved}.usage_in_bytes"))?;
        let prefix = if used.is_some() { reserved } else { plain };
        let number = |name: &str| number_or_zero(dir, &format!("{prefix}.{name}"));
        let entry = Hugetlb {
            usage: number("usage_in_bytes")?,
            max: number("max_usage_in_bytes")?,
            failcnt: number("failcnt")?,
        };
        sizes.insert(size, entry);
    }
    Ok(sizes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_block_devices() {
        let entry = block_io_line("8:16 Read 1282048").unwrap();
        assert_eq!((entry.major, entry.minor, entry.value), (8, 16, 1_282_048));
        assert_eq!(entry.op, "Read");
        assert_eq!(block_io_line("8:0 6792").unwrap().op, "");
        for odd in ["Total 3477504", "", "8:0", "8:x Read 1", "8:0 Read many"] {
            assert_eq!(block_io_line(odd), None, "{odd}");
        }
    }
}
