//! Limits as the files of cgroup v1's controllers (Documentation/admin-guide/cgroup-v1).

use super::common::{self, check, check_shares, cpusets, pids, rdma, set, throttles};
use super::{Group, Write};
use crate::config::resources::{BlockIo, Cpu, Memory, Network, Resources};
use crate::error::{Code, Error, Result};

/// All writes for `resources`, but for the devices'. `before` is what was asked for until now,
/// `hugepages` how the names of the files of huge pages end: their controller may be v2's.
pub(in crate::cgroups) fn groups(
    resources: &Resources,
    before: &Resources,
    hugepages: &str,
) -> Result<Vec<Group>> {
    check(resources)?;
    if !resources.unified.is_empty() {
        let message = "linux.resources.unified: invalid configuration: cannot be used on cgroup v1";
        return Err(Error::new(Code::Unsupported, message)
            .hint("it names cgroup v2 files; use the other fields of linux.resources"));
    }
    let mut groups = Vec::new();
    if let Some(memory) = &resources.memory {
        groups.extend(self::memory(memory, before.memory.as_ref())?);
    }
    if let Some(cpu) = &resources.cpu {
        groups.extend(self::cpu(cpu)?);
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        let write = Write::new("pids.limit", "pids", "pids.max", pids(limit));
        groups.push(Group(vec![write]));
    }
    if let Some(block_io) = &resources.block_io {
        groups.extend(self::block_io(block_io));
    }
    groups.extend(common::hugepages(resources, hugepages)?);
    if let Some(network) = &resources.network {
        groups.extend(self::network(network));
    }
    groups.extend(rdma(resources));
    Ok(groups)
}

fn memory(memory: &Memory, before: Option<&Memory>) -> Result<Vec<Group>> {
    let write = |field: &str, file: &str, value: String| {
        Write::new(&format!("memory.{field}"), "memory", file, value)
    };
    let limit = set(memory.limit);
    let swap = set(memory.swap);
    let mut limits = Vec::new();
    if let Some(limit) = limit {
        limits.push(write("limit", "memory.limit_in_bytes", limit.to_string()));
    }
    // Memory cannot be unlimited while memory and swap together are not.
    if let Some(swap) = swap.or(limit.filter(|limit| *limit == -1)) {
        let swap_write = write("swap", "memory.memsw.limit_in_bytes", swap.to_string());
        // Without swap accounting there is no limit that could be lifted.
        limits.push(match swap {
            -1 => swap_write.optional(),
            _ => swap_write,
        });
    }
    let mut groups = vec![Group(limits)];
    let mut single = |write: Write| groups.push(Group(vec![write]));
    if let Some(reservation) = set(memory.reservation) {
        let file = "memory.soft_limit_in_bytes";
        single(write("reservation", file, reservation.to_string()));
    }
    if let Some(kernel) = set(memory.kernel) {
        let file = "memory.kmem.limit_in_bytes";
        single(write("kernel", file, kernel.to_string()));
    }
    if let Some(tcp) = set(memory.kernel_tcp) {
        let file = "memory.kmem.tcp.limit_in_bytes";
        single(write("kernelTCP", file, tcp.to_string()));
    }
    if let Some(hierarchy) = memory.use_hierarchy {
        let value = u8::from(hierarchy).to_string();
        single(write("useHierarchy", "memory.use_hierarchy", value));
    }
    // False is how it is without being asked for.
    let is_disabled = before.and_then(|before| before.disable_oom_killer);
    if let Some(disable) = memory.disable_oom_killer
        && disable != is_disabled.unwrap_or(false)
    {
        let value = u8::from(disable).to_string();
        single(write("disableOOMKiller", "memory.oom_control", value));
    }
    if let Some(swappiness) = memory.swappiness {
        if swappiness > 100 {
            let message = format!("linux.resources.memory.swappiness: {swappiness} is over 100");
            return Err(Error::new(Code::InvalidConfig, message));
        }
        single(write(
            "swappiness",
            "memory.swappiness",
            swappiness.to_string(),
        ));
    }
    Ok(groups)
}

fn cpu(cpu: &Cpu) -> Result<Vec<Group>> {
    let write = |field: &str, file: &str, value: String| {
        Write::new(&format!("cpu.{field}"), "cpu", file, value)
    };
    let unsigned = |value: Option<u64>| value.filter(|value| *value != 0).map(|v| v.to_string());
    let signed = |value: Option<i64>| value.filter(|value| *value != 0).map(|v| v.to_string());
    let mut weight = Vec::new();
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        check_shares(shares)?;
        weight.push(write("shares", "cpu.shares", shares.to_string()));
    }
    // An idle group takes no shares, so that the order depends on what it was before.
    if let Some(idle) = cpu.idle {
        weight.push(write("idle", "cpu.idle", idle.to_string()));
    }
    let bandwidth = [
        ("period", "cpu.cfs_period_us", unsigned(cpu.period)),
        ("quota", "cpu.cfs_quota_us", signed(cpu.quota)),
        (
            "burst",
            "cpu.cfs_burst_us",
            cpu.burst.map(|v| v.to_string()),
        ),
    ];
    let realtime = [
        (
            "realtimePeriod",
            "cpu.rt_period_us",
            unsigned(cpu.realtime_period),
        ),
        (
            "realtimeRuntime",
            "cpu.rt_runtime_us",
            signed(cpu.realtime_runtime),
        ),
    ];
    let set = |(field, file, value): (&str, &str, Option<String>)| {
        value.map(|value| write(field, file, value))
    };
    let mut groups = vec![
        Group(weight),
        Group(bandwidth.into_iter().filter_map(set).collect()),
        Group(realtime.into_iter().filter_map(set).collect()),
    ];
    groups.extend(cpusets(cpu));
    Ok(groups)
}

fn block_io(block_io: &BlockIo) -> Vec<Group> {
    let write = |field: &str, file: &str, value: String| {
        Write::new(&format!("blockIO.{field}"), "blkio", file, value)
    };
    let mut writes = Vec::new();
    // CFQ's files went with Linux 5.0; BFQ has its own.
    if let Some(number) = block_io.weight.filter(|weight| *weight != 0) {
        let weight = write("weight", "blkio.weight", number.to_string());
        writes.push(weight.or("blkio.bfq.weight", number));
    }
    if let Some(weight) = block_io.leaf_weight.filter(|weight| *weight != 0) {
        writes.push(write("leafWeight", "blkio.leaf_weight", weight.to_string()));
    }
    for (index, device) in block_io.weight_device.iter().enumerate() {
        let number = format!("{}:{}", device.major, device.minor);
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let field = format!("weightDevice[{index}].weight");
            let value = format!("{number} {weight}");
            let weight = write(&field, "blkio.weight_device", value.clone());
            writes.push(weight.or("blkio.bfq.weight_device", value));
        }
        if let Some(weight) = device.leaf_weight.filter(|weight| *weight != 0) {
            let field = format!("weightDevice[{index}].leafWeight");
            let value = format!("{number} {weight}");
            writes.push(write(&field, "blkio.leaf_weight_device", value));
        }
    }
    writes.extend(throttles(block_io, "blkio", |throttle, device, rate| {
        let file = format!("blkio.throttle.{}_device", throttle.v1);
        (file, format!("{device} {rate}"))
    }));
    writes.into_iter().map(|write| Group(vec![write])).collect()
}

fn network(network: &Network) -> Vec<Group> {
    let mut writes = Vec::new();
    if let Some(class) = network.class_id.filter(|class| *class != 0) {
        writes.push(Write::new(
            "network.classID",
            "net_cls",
            "net_cls.classid",
            class,
        ));
    }
    for (index, priority) in network.priorities.iter().enumerate() {
        let field = format!("network.priorities[{index}]");
        let value = format!("{} {}", priority.name, priority.priority);
        writes.push(Write::new(&field, "net_prio", "net_prio.ifpriomap", value));
    }
    writes.into_iter().map(|write| Group(vec![write])).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// "file value" of each write, groups apart by "|".
    fn writes(json: &str) -> String {
        after("{}", json)
    }

    /// The same for what changes `before`.
    fn after(before: &str, json: &str) -> String {
        let read = |json| serde_json::from_str(json).unwrap();
        let groups = groups(&read(json), &read(before), "limit_in_bytes").unwrap();
        let files = |w: &Write| -> String {
            let names: Vec<&str> = w.files.iter().map(|(file, _)| file.as_str()).collect();
            names.join("/")
        };
        let group = |group: &Group| -> Vec<String> {
            let show = |w: &Write| format!("{} {}", files(w), w.files[0].1);
            group.0.iter().map(show).collect()
        };
        let all: Vec<_> = groups.iter().map(|g| group(g).join(", ")).collect();
        all.into_iter()
            .filter(|g| !g.is_empty())
            .collect::<Vec<_>>()
            .join(" | ")
    }

    fn error(json: &str) -> String {
        let before = Resources::default();
        groups(&serde_json::from_str(json).unwrap(), &before, "max")
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn what_docker_sends_for_no_limits_writes_nothing() {
        let docker = r#"{"memory":{"disableOOMKiller":false,"limit":0,"swap":0},
            "cpu":{"shares":0,"quota":0,"cpus":""},"blockIO":{"weight":0}}"#;
        assert_eq!(writes(docker), "");
        assert_eq!(writes(r#"{"pids":{}}"#), "");
    }

    #[test]
    fn memory_and_swap_are_set_together() {
        assert_eq!(
            writes(r#"{"memory":{"limit":4096,"swap":8192,"reservation":1024}}"#),
            "memory.limit_in_bytes 4096, memory.memsw.limit_in_bytes 8192 | \
             memory.soft_limit_in_bytes 1024"
        );
        assert_eq!(
            writes(r#"{"memory":{"limit":-1}}"#),
            "memory.limit_in_bytes -1, memory.memsw.limit_in_bytes -1"
        );
        assert_eq!(
            writes(r#"{"memory":{"swap":-1}}"#),
            "memory.memsw.limit_in_bytes -1"
        );
    }

    #[test]
    fn the_oom_killer_is_enabled_again_where_it_was_disabled() {
        let memory = |disable: bool| format!(r#"{{"memory":{{"disableOOMKiller":{disable}}}}}"#);
        let (on, off) = (memory(false), memory(true));
        assert_eq!(after("{}", &off), "memory.oom_control 1");
        assert_eq!(after(&off, &on), "memory.oom_control 0");
        assert_eq!(after(&off, &off), "");
    }

    #[test]
    fn pids_distinguish_unset_zero_and_unlimited() {
        assert_eq!(writes(r#"{"pids":{"limit":-1}}"#), "pids.max max");
        assert_eq!(writes(r#"{"pids":{"limit":0}}"#), "pids.max 1");
        assert_eq!(writes(r#"{"pids":{"limit":7}}"#), "pids.max 7");
    }

    #[test]
    fn cpu_bandwidth_is_one_group() {
        assert_eq!(
            writes(
                r#"{"cpu":{"shares":512,"idle":0,"period":1000,"quota":-1,"burst":0,"cpus":"0"}}"#
            ),
            "cpu.shares 512, cpu.idle 0 | cpu.cfs_period_us 1000, cpu.cfs_quota_us -1, \
             cpu.cfs_burst_us 0 | cpuset.cpus 0"
        );
        assert!(error(r#"{"cpu":{"burst":20,"quota":10}}"#).contains("cpu.burst"));
        assert!(error(r#"{"cpu":{"shares":1}}"#).contains("the minimum allowed cpu-shares is 2"));
        assert!(error(r#"{"cpu":{"shares":262145}}"#).contains("the maximum allowed"));
    }

    #[test]
    fn block_devices() {
        assert_eq!(
            writes(
                r#"{"blockIO":{"weight":100,"weightDevice":[{"major":8,"minor":0,"weight":5}],
                "throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":300}]}}"#
            ),
            "blkio.weight/blkio.bfq.weight 100 | \
             blkio.weight_device/blkio.bfq.weight_device 8:0 5 | \
             blkio.throttle.write_iops_device 8:16 300"
        );
    }

    #[test]
    fn page_sizes_cannot_name_other_files() {
        assert_eq!(
            writes(r#"{"hugepageLimits":[{"pageSize":"2MB","limit":0}]}"#),
            "hugetlb.2MB.limit_in_bytes 0, hugetlb.2MB.rsvd.limit_in_bytes 0"
        );
        for size in ["../../x", "", "MB", "2", "2M/B", "é"] {
            let json = format!(r#"{{"hugepageLimits":[{{"pageSize":"{size}","limit":0}}]}}"#);
            assert!(error(&json).contains("pageSize"), "{size}");
        }
    }

    #[test]
    fn the_rest() {
        assert_eq!(
            writes(
                r#"{"network":{"classID":1048577,"priorities":[{"name":"lo","priority":3}]},
                "rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":9}}}"#
            ),
            "net_cls.classid 1048577 | net_prio.ifpriomap lo 3 | \
             rdma.max mlx5_1 hca_handle=3 hca_object=9"
        );
        assert!(error(r#"{"unified":{"memory.max":"1"}}"#).contains("cgroup v1"));
    }
}
