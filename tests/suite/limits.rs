//! Every field of linux.resources: set by config.json, read from the cgroup's files on the
//! host and in the container, changed by `update`, and where it can be hit, hit.

use crate::harness::limits::{UNLIMITED, check, file, is_v2, need, value};
use crate::harness::{Container, Output, Sandbox, host, skip, tests};
use serde_json::{Value, json};
use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

tests![
    memory_limit,
    memory_limit_is_enforced,
    memory_swap,
    memory_reservation,
    memory_kernel,
    memory_kernel_tcp,
    memory_swappiness,
    memory_oom_killer,
    memory_use_hierarchy,
    half_a_megabyte_suffices,
    cpu_shares,
    cpu_shares_out_of_range,
    cpu_quota_and_period,
    cpu_quota_is_enforced,
    cpu_burst,
    cpu_burst_above_the_quota,
    cpu_realtime,
    cpu_idle,
    cpuset,
    cpuset_that_the_kernel_refuses,
    block_io_weight,
    block_io_weight_of_a_device,
    block_io_leaf_weight,
    block_io_throttles,
    huge_pages,
    huge_pages_of_a_hybrid_host,
    huge_pages_of_no_size,
    network_class,
    network_priorities,
    pids,
    pids_zero_before_1_3,
    pids_limit_leaves_no_room_for_exec,
    pids_limit_is_enforced,
    processes_of_exec_are_limited,
    rdma,
    misc,
    unified,
    docker_zeroes_mean_unset,
];

const MIB: u64 = 1 << 20;

/// A container with these limits, which sees its cgroups as the root.
fn limited(t: &Sandbox, resources: Value) -> Container<'_> {
    let mut c = t.container();
    c.push("/linux/namespaces", json!({"type": "cgroup"}));
    c.set("/linux/resources", resources);
    c.run_sleeping();
    c
}

pub fn update(c: &Container, resources: Value) -> Output {
    let command = c.verb(&["update", "--resources", "-"]);
    command.input(&resources.to_string()).run()
}

/// Checks a limit on the host, by v1's or v2's name, and in the container.
#[track_caller]
fn says<A: Display, B: Display>(c: &Container, v1: (&str, A), v2: (&str, B)) {
    check(c, (v1.0, v1.1), (v2.0, v2.1));
    let name = if is_v2() { v2.0 } else { v1.0 };
    let inside = c.exec(&["cat", &format!("/sys/fs/cgroup/{name}")]).ok();
    assert_eq!(
        inside.text(),
        value(c, v1.0, v2.0),
        "{name} in the container"
    );
}

/// What cgroup v2 has nothing for is refused there, at the create and by an update; and this
/// is v1.
fn only_on_v1(t: &Sandbox, resources: &Value) {
    if !is_v2() {
        return;
    }
    let words = "cgroup v2 has nothing like it";
    let mut c = t.container();
    c.set("/linux/resources", resources.clone()).args(["true"]);
    c.run().fails().says(words);
    c.set("/linux/resources", json!({}));
    c.run_sleeping();
    update(&c, resources.clone()).fails().says(words);
    skip("cgroup v2 has nothing like it: refused, as it should be");
}

fn memory_limit(t: &Sandbox) {
    need(&["memory"]);
    let c = limited(t, json!({"memory": {"limit": 64 * MIB}}));
    let files = ("memory/memory.limit_in_bytes", "memory.max");
    says(&c, (files.0, 64 * MIB), (files.1, 64 * MIB));
    update(&c, json!({"memory": {"limit": 48 * MIB}})).ok();
    says(&c, (files.0, 48 * MIB), (files.1, 48 * MIB));
    update(&c, json!({"memory": {"limit": -1}})).ok();
    says(&c, (files.0, UNLIMITED), (files.1, "max"));
}

fn memory_limit_is_enforced(t: &Sandbox) {
    need(&["memory"]);
    let mut c = t.container();
    c.set(
        "/linux/resources/memory",
        json!({"limit": 8 * MIB, "swap": 8 * MIB}),
    );
    c.mount("/tmp", "tmpfs", "tmpfs", &[]);
    // The shell is killed, or what it runs.
    c.script("head -c 64m /dev/zero >/tmp/file").run().fails();
    t.assert_nothing_left();
}

/// v2 limits swap alone: what both may have together, less the memory.
fn memory_swap(t: &Sandbox) {
    need(&["memory"]);
    let c = limited(t, json!({"memory": {"limit": 64 * MIB, "swap": 96 * MIB}}));
    let files = ("memory/memory.memsw.limit_in_bytes", "memory.swap.max");
    says(&c, (files.0, 96 * MIB), (files.1, 32 * MIB));
    update(&c, json!({"memory": {"swap": 80 * MIB}})).ok();
    says(&c, (files.0, 80 * MIB), (files.1, 16 * MIB));
    update(&c, json!({"memory": {"swap": -1}})).ok();
    says(&c, (files.0, UNLIMITED), (files.1, "max"));
    update(&c, json!({"memory": {"swap": MIB}}))
        .fails()
        .says("linux.resources.memory.swap");
}

fn memory_reservation(t: &Sandbox) {
    need(&["memory"]);
    let c = limited(t, json!({"memory": {"reservation": 32 * MIB}}));
    let files = ("memory/memory.soft_limit_in_bytes", "memory.low");
    says(&c, (files.0, 32 * MIB), (files.1, 32 * MIB));
    update(&c, json!({"memory": {"reservation": 16 * MIB}})).ok();
    says(&c, (files.0, 16 * MIB), (files.1, 16 * MIB));
    update(&c, json!({"memory": {"reservation": -1}})).ok();
    says(&c, (files.0, UNLIMITED), (files.1, "max"));
}

/// Recent kernels take the value and do nothing: what they say afterwards is theirs.
fn memory_kernel(t: &Sandbox) {
    need(&["memory"]);
    only_on_v1(t, &json!({"memory": {"kernel": 32 * MIB}}));
    let c = limited(t, json!({"memory": {"kernel": 32 * MIB}}));
    let name = "memory/memory.kmem.limit_in_bytes";
    let says = value(&c, name, "");
    if says == UNLIMITED {
        skip("this kernel does not limit kernel memory by itself");
    }
    assert_eq!(says, (32 * MIB).to_string());
    update(&c, json!({"memory": {"kernel": 48 * MIB}})).ok();
    assert_eq!(value(&c, name, ""), (48 * MIB).to_string());
}

fn memory_kernel_tcp(t: &Sandbox) {
    need(&["memory"]);
    only_on_v1(t, &json!({"memory": {"kernelTCP": 32 * MIB}}));
    let c = limited(t, json!({"memory": {"kernelTCP": 32 * MIB}}));
    let name = "memory/memory.kmem.tcp.limit_in_bytes";
    says(&c, (name, 32 * MIB), ("", ""));
    update(&c, json!({"memory": {"kernelTCP": -1}})).ok();
    says(&c, (name, UNLIMITED), ("", ""));
}

fn memory_swappiness(t: &Sandbox) {
    need(&["memory"]);
    only_on_v1(t, &json!({"memory": {"swappiness": 42}}));
    let c = limited(t, json!({"memory": {"swappiness": 42}}));
    says(&c, ("memory/memory.swappiness", 42), ("", ""));
    update(&c, json!({"memory": {"swappiness": 0}})).ok();
    says(&c, ("memory/memory.swappiness", 0), ("", ""));
    update(&c, json!({"memory": {"swappiness": 101}}))
        .fails()
        .says("memory.swappiness");
}

fn memory_oom_killer(t: &Sandbox) {
    need(&["memory"]);
    let off = json!({"memory": {"disableOOMKiller": true}});
    only_on_v1(t, &off);
    let c = limited(t, off);
    let disabled = || {
        let control = value(&c, "memory/memory.oom_control", "");
        control.lines().next().unwrap().to_owned()
    };
    assert_eq!(disabled(), "oom_kill_disable 1");
    update(&c, json!({"memory": {"limit": 64 * MIB}})).ok();
    assert_eq!(disabled(), "oom_kill_disable 1");
    update(&c, json!({"memory": {"disableOOMKiller": false}})).ok();
    assert_eq!(disabled(), "oom_kill_disable 0");
}

fn memory_use_hierarchy(t: &Sandbox) {
    need(&["memory"]);
    let c = limited(t, json!({"memory": {"useHierarchy": true}}));
    if !is_v2() {
        says(&c, ("memory/memory.use_hierarchy", 1), ("", ""));
    }
    // Not hierarchical: for v2 unthinkable, and v1 does without since Linux 5.11.
    let out = update(&c, json!({"memory": {"useHierarchy": false}}));
    out.fails().says("linux.resources.memory.useHierarchy");
}

/// What is set up in the container counts against its limit: it must be next to nothing.
fn half_a_megabyte_suffices(t: &Sandbox) {
    need(&["memory"]);
    if is_v2() {
        skip("on cgroup v2 the process that sets up is in its cgroup from the beginning");
    }
    let mut c = t.container();
    c.set("/linux/resources/memory", json!({"limit": 512 << 10}));
    c.args(["true"]).run().ok();
}

/// By the formula of opencontainers/cgroups 0.0.3.
fn cpu_shares(t: &Sandbox) {
    need(&["cpu"]);
    let c = limited(t, json!({"cpu": {"shares": 1024}}));
    let files = ("cpu/cpu.shares", "cpu.weight");
    says(&c, (files.0, 1024), (files.1, 100));
    for (shares, weight) in [(2, 1), (512, 59), (262_144, 10_000)] {
        update(&c, json!({"cpu": {"shares": shares}})).ok();
        says(&c, (files.0, shares), (files.1, weight));
    }
}

fn cpu_shares_out_of_range(t: &Sandbox) {
    need(&["cpu"]);
    let mut c = t.container();
    c.args(["true"]);
    for (shares, words) in [
        (1, "minimum allowed cpu-shares"),
        (262_145, "maximum allowed"),
    ] {
        c.set("/linux/resources/cpu", json!({"shares": shares}));
        c.run()
            .fails()
            .says("linux.resources.cpu.shares")
            .says(words);
    }
}

fn cpu_quota_and_period(t: &Sandbox) {
    need(&["cpu"]);
    let c = limited(t, json!({"cpu": {"quota": 50_000, "period": 200_000}}));
    let (quota, period) = ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us");
    says(&c, (quota, 50_000), ("cpu.max", "50000 200000"));
    says(&c, (period, 200_000), ("cpu.max", "50000 200000"));
    update(&c, json!({"cpu": {"quota": 20_000}})).ok();
    says(&c, (quota, 20_000), ("cpu.max", "20000 200000"));
    update(&c, json!({"cpu": {"period": 100_000}})).ok();
    says(&c, (period, 100_000), ("cpu.max", "20000 100000"));
    update(&c, json!({"cpu": {"quota": -1}})).ok();
    says(&c, (quota, -1), ("cpu.max", "max 100000"));
}

/// The time the container has used, in microseconds.
fn cpu_time(c: &Container) -> u64 {
    if !is_v2() {
        let nanoseconds: u64 = value(c, "cpuacct/cpuacct.usage", "").parse().unwrap();
        return nanoseconds / 1000;
    }
    let stat = value(c, "", "cpu.stat");
    let usage = stat
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "));
    usage.unwrap().parse().unwrap()
}

fn cpu_quota_is_enforced(t: &Sandbox) {
    need(&["cpu"]);
    let mut c = t.container();
    c.set(
        "/linux/resources/cpu",
        json!({"quota": 10_000, "period": 100_000}),
    );
    c.script("while :; do :; done");
    c.run_with(&["--detach"]).run().ok();
    let share = || {
        let (used, begin) = (cpu_time(&c), Instant::now());
        std::thread::sleep(Duration::from_secs(1));
        (cpu_time(&c) - used) as f64 / begin.elapsed().as_micros() as f64
    };
    let limited = share();
    assert!(limited < 0.2, "used {limited} of a CPU and not 0.1");
    update(&c, json!({"cpu": {"quota": -1}})).ok();
    // However busy the machine may be.
    let begin = Instant::now();
    let mut free = share();
    while free < 0.25 && begin.elapsed() < Duration::from_secs(60) {
        free = share();
    }
    assert!(free > 0.25, "used {free} of a CPU without a limit");
}

fn cpu_burst(t: &Sandbox) {
    need(&["cpu"]);
    let c = limited(t, json!({"cpu": {"quota": 50_000, "burst": 20_000}}));
    let files = ("cpu/cpu.cfs_burst_us", "cpu.max.burst");
    says(&c, (files.0, 20_000), (files.1, 20_000));
    update(&c, json!({"cpu": {"burst": 30_000}})).ok();
    says(&c, (files.0, 30_000), (files.1, 30_000));
    update(&c, json!({"cpu": {"burst": 0}})).ok();
    says(&c, (files.0, 0), (files.1, 0));
}

fn cpu_burst_above_the_quota(t: &Sandbox) {
    need(&["cpu"]);
    let mut c = t.container();
    c.set(
        "/linux/resources/cpu",
        json!({"quota": 10_000, "burst": 20_000}),
    );
    c.args(["true"])
        .run()
        .fails()
        .says("linux.resources.cpu.burst: 20000");
}

fn cpu_realtime(t: &Sandbox) {
    need(&["cpu"]);
    only_on_v1(t, &json!({"cpu": {"realtimeRuntime": 1000}}));
    if !Path::new("/sys/fs/cgroup/cpu/cpu.rt_runtime_us").exists() {
        skip("this kernel has no realtime groups (CONFIG_RT_GROUP_SCHED)");
    }
    if host::systemd() {
        skip("systemd gives its slices no realtime to share");
    }
    let c = limited(t, json!({"cpu": {"realtimePeriod": 500_000}}));
    says(&c, ("cpu/cpu.rt_period_us", 500_000), ("", ""));
    update(
        &c,
        json!({"cpu": {"realtimeRuntime": 1000, "realtimePeriod": 400_000}}),
    )
    .ok();
    says(&c, ("cpu/cpu.rt_runtime_us", 1000), ("", ""));
    says(&c, ("cpu/cpu.rt_period_us", 400_000), ("", ""));
}

fn cpu_idle(t: &Sandbox) {
    need(&["cpu"]);
    let c = limited(t, json!({"cpu": {"idle": 1}}));
    says(&c, ("cpu/cpu.idle", 1), ("cpu.idle", 1));
    // Of other changes it is independent, and shares end it.
    update(&c, json!({"cpu": {"quota": 50_000}})).ok();
    says(&c, ("cpu/cpu.idle", 1), ("cpu.idle", 1));
    update(&c, json!({"cpu": {"idle": 0, "shares": 512}})).ok();
    says(&c, ("cpu/cpu.idle", 0), ("cpu.idle", 0));
    says(&c, ("cpu/cpu.shares", 512), ("cpu.weight", 59));
    update(&c, json!({"cpu": {"idle": 2}}))
        .fails()
        .says("linux.resources.cpu.idle");
}

fn cpuset(t: &Sandbox) {
    need(&["cpuset"]);
    let c = limited(t, json!({"cpu": {"cpus": "0", "mems": "0"}}));
    says(&c, ("cpuset/cpuset.cpus", 0), ("cpuset.cpus", 0));
    says(&c, ("cpuset/cpuset.mems", 0), ("cpuset.mems", 0));
    let allowed = || {
        c.exec(&["grep", "Cpus_allowed_list", "/proc/1/status"])
            .ok()
    };
    allowed().prints("Cpus_allowed_list:\t0");
    if std::thread::available_parallelism().unwrap().get() < 2 {
        skip("one CPU leaves nothing to change");
    }
    update(&c, json!({"cpu": {"cpus": "1"}})).ok();
    says(&c, ("cpuset/cpuset.cpus", 1), ("cpuset.cpus", 1));
    allowed().prints("Cpus_allowed_list:\t1");
}

fn cpuset_that_the_kernel_refuses(t: &Sandbox) {
    need(&["cpuset"]);
    let mut c = t.container();
    c.set("/linux/resources/cpu", json!({"cpus": "nonsense"}));
    c.args(["true"])
        .run()
        .fails()
        .says("linux.resources.cpu.cpus")
        .says("cpuset.cpus");
    t.assert_nothing_left();
}

/// "8:0" of a block device; of one that BFQ schedules, if so wanted.
fn block_device(scheduled_by_bfq: bool) -> (u64, u64) {
    let number = |disk: fs::DirEntry| {
        let schedulers = fs::read_to_string(disk.path().join("queue/scheduler")).ok()?;
        let number = fs::read_to_string(disk.path().join("dev")).ok()?;
        let (major, minor) = number.trim().split_once(':')?;
        (!scheduled_by_bfq || schedulers.contains("[bfq]"))
            .then(|| (major.parse().unwrap(), minor.parse().unwrap()))
    };
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    disks.filter_map(number).next().unwrap_or_else(|| {
        skip(if scheduled_by_bfq {
            "BFQ schedules no block device"
        } else {
            "no block device"
        })
    })
}

/// BFQ's file, or that of iocost on v2, or CFQ's on v1.
fn weight_file(c: &Container, suffix: &str) -> String {
    let names = if is_v2() {
        ["io.bfq.weight".to_owned(), "io.weight".to_owned()]
    } else {
        ["blkio.weight", "blkio.bfq.weight"].map(|name| format!("{name}{suffix}"))
    };
    let exists = |name: &&String| file(c, &format!("blkio/{name}"), name).exists();
    match names.iter().find(exists) {
        Some(name) => name.clone(),
        None => skip("this kernel weighs no block I/O (BFQ, iocost)"),
    }
}

fn block_io_weight(t: &Sandbox) {
    need(&["blkio"]);
    let c = limited(t, json!({}));
    let name = weight_file(&c, "");
    let says = || {
        value(&c, &format!("blkio/{name}"), &name)
            .lines()
            .next()
            .unwrap()
            .to_owned()
    };
    let expected = |weight: u64| match name.as_str() {
        "io.weight" => format!("default {}", 1 + (weight - 10) * 9999 / 990),
        "io.bfq.weight" => format!("default {weight}"),
        _ => weight.to_string(),
    };
    update(&c, json!({"blockIO": {"weight": 500}})).ok();
    assert_eq!(says(), expected(500));
    c.verb(&["update", "--blkio-weight", "10"]).run().ok();
    assert_eq!(says(), expected(10));
    let c = limited(t, json!({"blockIO": {"weight": 300}}));
    let weight = value(&c, &format!("blkio/{name}"), &name);
    assert_eq!(weight.lines().next().unwrap(), expected(300));
}

fn block_io_weight_of_a_device(t: &Sandbox) {
    need(&["blkio"]);
    let (major, minor) = block_device(true);
    let device = |weight: u64| {
        let device = json!({"major": major, "minor": minor, "weight": weight});
        json!({"blockIO": {"weightDevice": [device]}})
    };
    let c = limited(t, device(200));
    let name = weight_file(&c, "_device");
    let says = || {
        value(&c, &format!("blkio/{name}"), &name)
            .lines()
            .last()
            .unwrap()
            .to_owned()
    };
    assert_eq!(says(), format!("{major}:{minor} 200"));
    update(&c, device(300)).ok();
    assert_eq!(says(), format!("{major}:{minor} 300"));
}

/// CFQ's, gone with Linux 5.0.
fn block_io_leaf_weight(t: &Sandbox) {
    need(&["blkio"]);
    only_on_v1(t, &json!({"blockIO": {"leafWeight": 300}}));
    if Path::new("/sys/fs/cgroup/blkio/blkio.leaf_weight").exists() {
        let c = limited(t, json!({"blockIO": {"leafWeight": 300}}));
        return says(&c, ("blkio/blkio.leaf_weight", 300), ("", ""));
    }
    let mut c = t.container();
    c.set("/linux/resources/blockIO", json!({"leafWeight": 300}))
        .args(["true"]);
    let out = c.run().fails().says("linux.resources.blockIO.leafWeight");
    out.says("blkio.leaf_weight: no such file");
}

fn block_io_throttles(t: &Sandbox) {
    need(&["blkio"]);
    let (major, minor) = block_device(false);
    let all = |rates: [u64; 4]| {
        let list = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
        json!({"blockIO": {
            "throttleReadBpsDevice": list(rates[0]), "throttleWriteBpsDevice": list(rates[1]),
            "throttleReadIOPSDevice": list(rates[2]), "throttleWriteIOPSDevice": list(rates[3]),
        }})
    };
    let check = |c: &Container, rates: [u64; 4]| {
        let keys = ["rbps", "wbps", "riops", "wiops"];
        let limits: Vec<_> = keys
            .iter()
            .zip(rates)
            .map(|(k, rate)| format!("{k}={rate}"))
            .collect();
        let v2 = format!("{major}:{minor} {}", limits.join(" "));
        for (file, rate) in ["read_bps", "write_bps", "read_iops", "write_iops"]
            .iter()
            .zip(rates)
        {
            let file = format!("blkio/blkio.throttle.{file}_device");
            says(
                c,
                (&file, format!("{major}:{minor} {rate}")),
                ("io.max", &v2),
            );
        }
    };
    let c = limited(t, all([1 << 20, 2 << 20, 100, 200]));
    check(&c, [1 << 20, 2 << 20, 100, 200]);
    update(&c, all([3 << 20, 4 << 20, 300, 400])).ok();
    check(&c, [3 << 20, 4 << 20, 300, 400]);
    let wrong =
        json!({"blockIO": {"throttleReadBpsDevice": [{"major": 4095, "minor": 7, "rate": 1}]}});
    update(&c, wrong)
        .fails()
        .says("linux.resources.blockIO.throttleReadBpsDevice[0]");
    check(&c, [3 << 20, 4 << 20, 300, 400]);
    update(&c, all([0; 4])).ok();
    says(
        &c,
        ("blkio/blkio.throttle.read_bps_device", ""),
        ("io.max", ""),
    );
}

fn huge_pages(t: &Sandbox) {
    need(&["hugetlb"]);
    let pages = |limit: u64| json!({"hugepageLimits": [{"pageSize": "2MB", "limit": limit}]});
    let c = limited(t, pages(64 * MIB));
    let check = |limit: u64| {
        for rsvd in ["", "rsvd."] {
            let v1 = format!("hugetlb/hugetlb.2MB.{rsvd}limit_in_bytes");
            says(&c, (&v1, limit), (&format!("hugetlb.2MB.{rsvd}max"), limit));
        }
    };
    check(64 * MIB);
    update(&c, pages(32 * MIB)).ok();
    check(32 * MIB);
    update(&c, pages(0)).ok();
    check(0);
}

/// Where v1's hugetlb is not mounted, v2's hierarchy beside it may have it.
fn huge_pages_of_a_hybrid_host(t: &Sandbox) {
    let unified = Path::new("/sys/fs/cgroup/unified");
    let all = fs::read_to_string(unified.join("cgroup.controllers")).unwrap_or_default();
    if !all.split_whitespace().any(|name| name == "hugetlb") {
        skip("no hugetlb controller in a v2 hierarchy beside v1's");
    }
    // Of a hierarchy's own root that is no matter; it has no type.
    let occupied = !fs::read_to_string(unified.join("cgroup.procs"))
        .unwrap()
        .is_empty();
    if occupied && unified.join("cgroup.type").exists() {
        skip("there are processes in what is the root of v2's hierarchy here");
    }
    let pages = |limit: u64| json!({"hugepageLimits": [{"pageSize": "2MB", "limit": limit}]});
    let c = limited(t, pages(64 * MIB));
    let own = fs::read_to_string(c.proc("cgroup")).unwrap();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .unwrap();
    let check = |limit: u64| {
        let file = unified.join(own).join("hugetlb.2MB.max");
        assert_eq!(fs::read_to_string(file).unwrap(), format!("{limit}\n"));
    };
    check(64 * MIB);
    update(&c, pages(32 * MIB)).ok();
    check(32 * MIB);
}

fn huge_pages_of_no_size(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]);
    for size in ["2", "../2MB", "3MB"] {
        let limit = json!([{"pageSize": size, "limit": 0}]);
        c.set("/linux/resources/hugepageLimits", limit);
        c.run().fails().says("linux.resources.hugepageLimits[0]");
    }
    t.assert_nothing_left();
}

fn network_class(t: &Sandbox) {
    only_on_v1(t, &json!({"network": {"classID": 1_048_577}}));
    need(&["net_cls"]);
    let c = limited(t, json!({"network": {"classID": 1_048_577}}));
    says(&c, ("net_cls/net_cls.classid", 1_048_577), ("", ""));
    update(&c, json!({"network": {"classID": 7}})).ok();
    says(&c, ("net_cls/net_cls.classid", 7), ("", ""));
}

fn network_priorities(t: &Sandbox) {
    let lo =
        |priority: u64| json!({"network": {"priorities": [{"name": "lo", "priority": priority}]}});
    only_on_v1(t, &lo(3));
    need(&["net_prio"]);
    let c = limited(t, lo(3));
    let says = || {
        let map = value(&c, "net_prio/net_prio.ifpriomap", "");
        map.lines()
            .find(|line| line.starts_with("lo "))
            .unwrap()
            .to_owned()
    };
    assert_eq!(says(), "lo 3");
    update(&c, lo(5)).ok();
    assert_eq!(says(), "lo 5");
    let nobody = json!({"network": {"priorities": [{"name": "nobody0", "priority": 1}]}});
    update(&c, nobody)
        .fails()
        .says("linux.resources.network.priorities[0]");
}

/// Unset, no limit, none (of which one is the least) and some.
fn pids(t: &Sandbox) {
    need(&["pids"]);
    let files = ("pids/pids.max", "pids.max");
    for (pids, limit) in [
        (json!({}), "max"),
        (json!({"limit": -1}), "max"),
        (json!({"limit": 0}), "1"),
        (json!({"limit": 20}), "20"),
    ] {
        if host::systemd() && pids == json!({}) {
            // It has the host's limit for units (DefaultTasksMax=).
            continue;
        }
        let mut c = t.container();
        c.set("/ociVersion", json!("1.3.0"));
        c.set("/linux/resources/pids", pids.clone());
        c.run_sleeping();
        check(&c, (files.0, limit), (files.1, limit));
        update(&c, json!({"pids": {"limit": 33}})).ok();
        check(&c, (files.0, 33), (files.1, 33));
        update(&c, json!({"pids": pids})).ok();
        let limit = if limit == "max" && pids == json!({}) {
            "33"
        } else {
            limit
        };
        check(&c, (files.0, limit), (files.1, limit));
    }
    let c = limited(t, json!({"pids": {"limit": 40}}));
    says(&c, (files.0, 40), (files.1, 40));
}

/// It is how Podman 4 says --pids-limit=-1.
fn pids_zero_before_1_3(t: &Sandbox) {
    need(&["pids"]);
    let mut c = t.container();
    c.set("/ociVersion", json!("1.0.2-dev"));
    c.set("/linux/resources/pids", json!({"limit": 0}));
    c.run_sleeping();
    check(&c, ("pids/pids.max", "max"), ("pids.max", "max"));
}

fn pids_limit_leaves_no_room_for_exec(t: &Sandbox) {
    need(&["pids"]);
    let mut c = t.container();
    c.set("/linux/resources/pids", json!({"limit": 2}));
    c.run_sleeping();
    c.exec(&["true"]).fails().says("linux.resources.pids");
    c.verb(&["update", "--pids-limit", "3"]).run().ok();
    c.exec(&["true"]).ok();
}

fn pids_limit_is_enforced(t: &Sandbox) {
    need(&["pids"]);
    let mut c = t.container();
    c.set("/linux/resources/pids", json!({"limit": 20}));
    c.script("for i in $(busybox seq 50); do sleep 1000 & done; wait");
    c.run().fails().says("can't fork");
}

fn processes_of_exec_are_limited(t: &Sandbox) {
    need(&["pids"]);
    let c = limited(t, json!({"pids": {"limit": 3}}));
    let fork = ["sh", "-c", "sleep 1 & sleep 1 & sleep 1 & wait"];
    c.exec(&fork).fails().says("can't fork");
    // Ended ones stay: this container's init does not wait for them.
    update(&c, json!({"pids": {"limit": 20}})).ok();
    c.exec(&fork).ok();
}

fn rdma(t: &Sandbox) {
    need(&["rdma"]);
    let nobody = json!({"rdma": {"nobody0": {"hcaHandles": 3}}});
    let mut c = t.container();
    c.set("/linux/resources", nobody).args(["true"]);
    c.run()
        .fails()
        .says("linux.resources.rdma.nobody0")
        .says("rdma.max");
    let devices = fs::read_dir("/sys/class/infiniband")
        .into_iter()
        .flatten()
        .flatten();
    let Some(device) = devices
        .map(|entry| entry.file_name().into_string().unwrap())
        .next()
    else {
        skip("no RDMA device; one that is not there was refused, as it should be");
    };
    let c = limited(
        t,
        json!({"rdma": {&device: {"hcaHandles": 3, "hcaObjects": 10}}}),
    );
    let line = |handles: u64| format!("{device} hca_handle={handles} hca_object=10");
    says(&c, ("rdma/rdma.max", line(3)), ("rdma.max", line(3)));
    update(&c, json!({"rdma": {&device: {"hcaHandles": 4}}})).ok();
    says(&c, ("rdma/rdma.max", line(4)), ("rdma.max", line(4)));
}

/// By unified: the spec has no field of its own for it.
fn misc(t: &Sandbox) {
    need(&["misc"]);
    if !is_v2() {
        skip("unified is for cgroup v2");
    }
    let refused = json!({"unified": {"misc.max": "no_such_resource 3"}});
    let mut c = t.container();
    c.set("/linux/resources", refused).args(["true"]);
    c.run()
        .fails()
        .says("linux.resources.unified[")
        .says("misc.max: invalid argument");
    let capacity = fs::read_to_string("/sys/fs/cgroup/misc.capacity").unwrap();
    let Some(resource) = capacity.split_whitespace().next() else {
        skip("nothing of misc's kind is here; what is not here was refused, as it should be");
    };
    let line = format!("{resource} 3");
    let c = limited(t, json!({"unified": {"misc.max": &line}}));
    assert!(value(&c, "", "misc.max").lines().any(|one| one == line));
}

fn unified(t: &Sandbox) {
    if !is_v2() {
        let mut c = t.container();
        c.set("/linux/resources/unified", json!({"memory.high": "1"}))
            .args(["true"]);
        c.run()
            .fails()
            .says("linux.resources.unified: invalid configuration: cannot be used on cgroup v1");
        skip("unified is for cgroup v2, and was refused, as it should be");
    }
    need(&["memory", "pids"]);
    let both = json!({"unified": {"memory.high": "33554432", "pids.max": "77"}});
    let c = limited(t, both);
    says(&c, ("", ""), ("memory.high", 33_554_432));
    says(&c, ("", ""), ("pids.max", 77));
    update(&c, json!({"unified": {"memory.high": "max"}})).ok();
    says(&c, ("", ""), ("memory.high", "max"));
    says(&c, ("", ""), ("pids.max", 77));
    let wrong = json!({"unified": {"memory.high": "64M", "memory.low": "some"}});
    update(&c, wrong)
        .fails()
        .says("linux.resources.unified[")
        .says("memory.low: invalid argument");
    says(&c, ("", ""), ("memory.high", "max"));
}

fn docker_zeroes_mean_unset(t: &Sandbox) {
    need(&["cpu"]);
    let c = limited(
        t,
        json!({"cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
               "blockIO": {"weight": 0}, "memory": {"disableOOMKiller": false}, "pids": {}}),
    );
    says(&c, ("cpu/cpu.shares", 1024), ("cpu.weight", 100));
    says(&c, ("cpu/cpu.cfs_quota_us", -1), ("cpu.max", "max 100000"));
}
