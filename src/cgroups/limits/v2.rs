//! Limits as the files of cgroup v2's controllers (Documentation/admin-guide/cgroup-v2.rst).
//!
//! The spec's fields are v1's. Where v2 measures differently they are converted, and where
//! it has nothing of the kind, asking for it is an error (config-linux.md, "Unified").

use super::common::{check, check_shares, cpusets, hugepages, pids, rdma, set, throttles};
use super::unified::unified;
use super::{Group, Write};
use crate::cgroups::files;
use crate::config::resources::{BlockIo, Cpu, Memory, Resources};
use crate::error::{Code, Context, Error, Result};
use rustix::io::Errno;
use std::path::Path;

/// All writes for `resources`, but for the devices'. `before` is what was asked for until now,
/// and `dir` the cgroup's: v2 keeps some fields in one file with others or relative to them,
/// and what an update leaves out stays.
pub(in crate::cgroups) fn groups(
    resources: &Resources,
    before: &Resources,
    dir: &Path,
) -> Result<Vec<Group>> {
    check(resources)?;
    let mut groups = Vec::new();
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        let write = Write::new("pids.limit", "pids", "pids.max", pids(limit));
        groups.push(Group(vec![write]));
    }
    if let Some(block_io) = &resources.block_io {
        groups.extend(self::block_io(block_io)?);
    }
    if let Some(cpu) = &resources.cpu {
        groups.extend(self::cpu(cpu, dir)?);
    }
    groups.extend(hugepages(resources, "max")?);
    if let Some(network) = &resources.network {
        if network.class_id.is_some_and(|class| class != 0) {
            return Err(not_in_v2("network.classID"));
        }
        if !network.priorities.is_empty() {
            return Err(not_in_v2("network.priorities"));
        }
    }
    groups.extend(rdma(resources));
    // Late: a limit below the usage kills, and nothing takes that back.
    if let Some(memory) = &resources.memory {
        groups.extend(self::memory(memory, before.memory.as_ref(), dir)?);
    }
    groups.extend(unified(resources)?);
    Ok(groups)
}

fn not_in_v2(field: &str) -> Error {
    let message = format!("linux.resources.{field}: cgroup v2 has nothing like it");
    Error::new(Code::Unsupported, message)
}

/// A limit, of which v1's "unlimited" is -1.
fn max(limit: i64) -> String {
    match limit {
        -1 => "max".to_owned(),
        limit => limit.to_string(),
    }
}

fn memory(memory: &Memory, before: Option<&Memory>, dir: &Path) -> Result<Vec<Group>> {
    for (field, wanted) in [
        ("memory.kernel", set(memory.kernel).is_some()),
        ("memory.kernelTCP", set(memory.kernel_tcp).is_some()),
        ("memory.swappiness", memory.swappiness.is_some()),
        (
            "memory.disableOOMKiller",
            memory.disable_oom_killer == Some(true),
        ),
        ("memory.useHierarchy", memory.use_hierarchy == Some(false)),
    ] {
        if wanted {
            return Err(not_in_v2(field));
        }
    }
    let write = |field: &str, file: &str, value: String| {
        Write::new(&format!("memory.{field}"), "memory", file, value)
    };
    let limit = set(memory.limit);
    let mut groups = Vec::new();
    if let Some(swap) = swap(limit, both(memory, before), dir)? {
        let value = max(swap);
        let swap_write = write("swap", "memory.swap.max", value);
        // Without swap there is nothing that could exceed these two.
        groups.push(Group(vec![match swap {
            -1 | 0 => swap_write.optional(),
            _ => swap_write,
        }]));
    }
    if let Some(limit) = limit {
        groups.push(Group(vec![write("limit", "memory.max", max(limit))]));
    }
    if let Some(reservation) = set(memory.reservation) {
        let low = write("reservation", "memory.low", max(reservation));
        groups.push(Group(vec![low]));
    }
    Ok(groups)
}

/// The limit of memory and swap together. One that stays as it is allows more swap when that
/// of memory becomes lower.
fn both(memory: &Memory, before: Option<&Memory>) -> Option<i64> {
    let stays = || before.and_then(|before| set(before.swap));
    set(memory.swap).or_else(|| match set(memory.limit) {
        None | Some(-1) => None,
        Some(_) => stays(),
    })
}

/// v1 limits memory and swap together, v2 swap alone: the difference, as in runc and crun.
fn swap(limit: Option<i64>, swap: Option<i64>, dir: &Path) -> Result<Option<i64>> {
    let Some(swap) = swap else {
        // As on v1, where memory cannot be unlimited while both together are not.
        return Ok(limit.filter(|limit| *limit == -1));
    };
    let limit = match limit {
        _ if swap == -1 => return Ok(Some(-1)),
        Some(-1) => None,
        Some(limit) => Some(limit),
        None => memory_max(dir)?,
    };
    match limit {
        None => Ok(Some(swap)),
        Some(limit) if limit <= swap => Ok(Some(swap - limit)),
        Some(limit) => Err(Error::new(
            Code::InvalidConfig,
            format!(
                "linux.resources.memory.swap: memory+swap limit should be >= memory limit \
                 ({swap} < {limit})"
            ),
        )),
    }
}

/// The limit that is set now; none for "max".
fn memory_max(dir: &Path) -> Result<Option<i64>> {
    let text = now(dir, "memory.max").context(|| "linux.resources.memory.swap")?;
    Ok(text.trim().parse().ok())
}

/// The quota that is set now: a number or "max".
fn cpu_quota(dir: &Path) -> Result<String> {
    let text = now(dir, "cpu.max").context(|| "linux.resources.cpu.period")?;
    Ok(text.split_whitespace().next().unwrap_or("max").to_owned())
}

/// What a file says, and nothing for a cgroup that systemd is yet to make.
fn now(dir: &Path, file: &str) -> Result<String> {
    let path = dir.join(file);
    match files::read(&path) {
        Err(Errno::NOENT) if !dir.exists() => Ok(String::new()),
        read => read.context(|| format!("reading {}", path.display())),
    }
}

/// cpu.shares (2 to 262144, by default 1024) as cpu.weight (1 to 10000, by default 100): the
/// quadratic through the three pairs, by logarithms. opencontainers/cgroups 0.0.3 and crun
/// 1.23 replaced the linear formula with it, which made the default 39.
pub(in crate::cgroups) fn weight(shares: u64) -> u64 {
    match shares {
        ..=2 => 1,
        // Exactly, whatever the last bit of the platform's logarithm.
        1024 => 100,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
    }
}

fn cpu(cpu: &Cpu, dir: &Path) -> Result<Vec<Group>> {
    if set(cpu.realtime_runtime).is_some() {
        return Err(not_in_v2("cpu.realtimeRuntime"));
    }
    if cpu.realtime_period.is_some_and(|period| period != 0) {
        return Err(not_in_v2("cpu.realtimePeriod"));
    }
    let write = |field: &str, file: &str, value: String| {
        Write::new(&format!("cpu.{field}"), "cpu", file, value)
    };
    let mut weight_group = Vec::new();
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        check_shares(shares)?;
        weight_group.push(write("shares", "cpu.weight", weight(shares).to_string()));
    }
    if let Some(idle) = cpu.idle {
        weight_group.push(write("idle", "cpu.idle", idle.to_string()));
    }
    let mut bandwidth = Vec::new();
    let quota = set(cpu.quota).map(|quota| match quota {
        1.. => quota.to_string(),
        _ => "max".to_owned(),
    });
    match (quota, cpu.period.filter(|period| *period != 0)) {
        // One number alone is the quota, and leaves the period as it is.
        (Some(quota), None) => bandwidth.push(write("quota", "cpu.max", quota)),
        (Some(quota), Some(period)) => {
            bandwidth.push(write("quota", "cpu.max", format!("{quota} {period}")));
        }
        (None, Some(period)) => {
            let value = format!("{} {period}", cpu_quota(dir)?);
            bandwidth.push(write("period", "cpu.max", value));
        }
        (None, None) => {}
    }
    if let Some(burst) = cpu.burst {
        bandwidth.push(write("burst", "cpu.max.burst", burst.to_string()));
    }
    let mut groups = vec![Group(weight_group), Group(bandwidth)];
    groups.extend(cpusets(cpu));
    Ok(groups)
}

/// blkio.weight (10 to 1000) as io.weight (1 to 10000), linearly, as in runc and crun. BFQ's
/// own file takes v1's range.
fn io_weight(weight: u16) -> u64 {
    1 + u64::from(weight.saturating_sub(10)) * 9999 / 990
}

fn block_io(block_io: &BlockIo) -> Result<Vec<Group>> {
    let write = |field: &str, file: &str, value: String| {
        Write::new(&format!("blockIO.{field}"), "io", file, value)
    };
    let mut writes = Vec::new();
    if block_io.leaf_weight.is_some_and(|weight| weight != 0) {
        return Err(not_in_v2("blockIO.leafWeight"));
    }
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        let bfq = write("weight", "io.bfq.weight", weight.to_string());
        writes.push(bfq.or("io.weight", io_weight(weight)));
    }
    for (index, device) in block_io.weight_device.iter().enumerate() {
        if device.leaf_weight.is_some_and(|weight| weight != 0) {
            let field = format!("blockIO.weightDevice[{index}].leafWeight");
            return Err(not_in_v2(&field));
        }
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let number = format!("{}:{}", device.major, device.minor);
            let field = format!("weightDevice[{index}].weight");
            let bfq = write(&field, "io.bfq.weight", format!("{number} {weight}"));
            writes.push(bfq.or("io.weight", format!("{number} {}", io_weight(weight))));
        }
    }
    writes.extend(throttles(block_io, "io", |throttle, device, rate| {
        // v1 takes a limit away by 0, v2 by "max".
        let rate = match rate {
            0 => "max".to_owned(),
            rate => rate.to_string(),
        };
        let value = format!("{device} {}={rate}", throttle.v2);
        ("io.max".to_owned(), value)
    }));
    Ok(writes.into_iter().map(|write| Group(vec![write])).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A cgroup with a memory limit of 1000 and no quota.
    fn groups_now(json: &str, before: &str) -> Result<Vec<Group>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tare-limits-{}-{count}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("memory.max"), "1000\n").unwrap();
        std::fs::write(dir.join("cpu.max"), "max 100000\n").unwrap();
        let read = |json| serde_json::from_str(json).unwrap();
        let groups = groups(&read(json), &read(before), &dir);
        std::fs::remove_dir_all(dir).unwrap();
        groups
    }

    fn writes(json: &str) -> String {
        after("{}", json)
    }

    /// The same for what changes `before`.
    fn after(before: &str, json: &str) -> String {
        let groups = groups_now(json, before).unwrap();
        let show = |write: &Write| -> String {
            let files = write
                .files
                .iter()
                .map(|(file, value)| format!("{file} {value}"));
            files.collect::<Vec<_>>().join("/")
        };
        let all = groups.iter().flat_map(|group| group.0.iter().map(show));
        all.collect::<Vec<_>>().join(", ")
    }

    fn error(json: &str) -> String {
        groups_now(json, "{}").unwrap_err().to_string()
    }

    #[test]
    fn shares_keep_their_ends_and_their_default() {
        let pairs = [
            (1, 1),
            (2, 1),
            (1024, 100),
            (262_144, 10_000),
            (512, 59),
            (102, 17),
            (100_000, 4340),
        ];
        for (shares, expected) in pairs {
            let converted = weight(shares);
            assert_eq!(converted, expected, "{shares}");
        }
        assert_eq!(writes(r#"{"cpu":{"shares":1024}}"#), "cpu.weight 100");
        assert_eq!(writes(r#"{"cpu":{"shares":0}}"#), "");
    }

    #[test]
    fn swap_is_what_exceeds_memory() {
        let both = |limit: &str, swap: &str| {
            writes(&format!(
                r#"{{"memory":{{"limit":{limit},"swap":{swap}}}}}"#
            ))
        };
        assert_eq!(both("100", "300"), "memory.swap.max 200, memory.max 100");
        assert_eq!(both("100", "100"), "memory.swap.max 0, memory.max 100");
        assert_eq!(both("100", "-1"), "memory.swap.max max, memory.max 100");
        assert_eq!(both("-1", "0"), "memory.swap.max max, memory.max max");
        assert_eq!(both("-1", "50"), "memory.swap.max 50, memory.max max");
        assert_eq!(both("100", "0"), "memory.max 100");
        assert_eq!(both("0", "1200"), "memory.swap.max 200");
        assert!(error(r#"{"memory":{"limit":100,"swap":99}}"#).contains("memory.swap"));
    }

    #[test]
    fn memory_and_swap_together_stay_limited_when_memory_is_changed() {
        let before = r#"{"memory":{"limit":100,"swap":300}}"#;
        let limit = |limit: &str| after(before, &format!(r#"{{"memory":{{"limit":{limit}}}}}"#));
        assert_eq!(limit("50"), "memory.swap.max 250, memory.max 50");
        assert_eq!(limit("-1"), "memory.swap.max max, memory.max max");
        assert_eq!(
            after(before, r#"{"memory":{"reservation":7}}"#),
            "memory.low 7"
        );
    }

    #[test]
    fn cpu_bandwidth_is_one_file() {
        let cpu = |fields: &str| writes(&format!(r#"{{"cpu":{{{fields}}}}}"#));
        assert_eq!(cpu(r#""quota":500,"period":1000"#), "cpu.max 500 1000");
        assert_eq!(cpu(r#""quota":-1"#), "cpu.max max");
        assert_eq!(cpu(r#""period":2000"#), "cpu.max max 2000");
        assert_eq!(
            cpu(r#""quota":500,"burst":100"#),
            "cpu.max 500, cpu.max.burst 100"
        );
        assert_eq!(
            cpu(r#""cpus":"0-1","mems":"0","idle":1"#),
            "cpu.idle 1, cpuset.cpus 0-1, cpuset.mems 0"
        );
    }

    #[test]
    fn io_weights_are_converted_where_there_is_no_bfq() {
        let json = r#"{"blockIO":{"weight":10,"weightDevice":[{"major":8,"minor":0,"weight":1000}],
            "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":5}],
            "throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":0}]}}"#;
        assert_eq!(
            writes(json),
            "io.bfq.weight 10/io.weight 1, io.bfq.weight 8:0 1000/io.weight 8:0 10000, \
             io.max 8:0 rbps=5, io.max 8:0 wiops=max"
        );
    }

    #[test]
    fn what_v2_lacks_is_an_error_unless_it_asks_for_nothing() {
        for bad in [
            r#"{"memory":{"kernel":1}}"#,
            r#"{"memory":{"swappiness":0}}"#,
            r#"{"memory":{"disableOOMKiller":true}}"#,
            r#"{"cpu":{"realtimeRuntime":1}}"#,
            r#"{"blockIO":{"leafWeight":1}}"#,
            r#"{"network":{"classID":1}}"#,
        ] {
            assert!(
                error(bad).contains("cgroup v2 has nothing like it"),
                "{bad}"
            );
        }
        let nothing = r#"{"memory":{"kernel":0,"disableOOMKiller":false,"useHierarchy":true},
            "blockIO":{"leafWeight":0},"network":{"classID":0},"pids":{}}"#;
        assert_eq!(writes(nothing), "");
    }
}
