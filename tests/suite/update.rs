//! `update`: limits of a container that is there already.

use crate::harness::limits::{UNLIMITED, check, is_v2, need, value};
use crate::harness::{Container, Output, Sandbox, host, skip, tests};
use serde_json::{Value, json};
use std::fs;

tests![
    flags,
    resources_of_a_file_and_of_stdin,
    created_and_paused_containers,
    stopped_containers_are_refused,
    zeroes_change_nothing,
    memory_up_and_down,
    memory_and_swap_together_stay_limited,
    unlimited_memory_is_unlimited_swap,
    usage_above_the_limit_is_refused,
    a_refused_limit_changes_nothing,
    refused_devices_change_no_limit,
    the_weight_is_back_where_idleness_is_taken_back,
    a_missing_controller_is_named,
    devices_are_replaced,
    unchanged_devices_are_left_alone,
    cpu_period_without_a_quota,
    nonsense_is_refused,
    obsolete_flags,
    schemas_take_resctrl,
];

const MIB: i64 = 1 << 20;

fn running(t: &Sandbox, resources: Value) -> Container<'_> {
    let mut c = t.container();
    c.set("/linux/resources", resources);
    c.run_sleeping();
    c
}

fn update(c: &Container, flags: &[&str]) -> Output {
    c.verb(&[&["update"], flags].concat()).run()
}

fn update_resources(c: &Container, resources: Value) -> Output {
    let command = c.verb(&["update", "--resources", "-"]);
    command.input(&resources.to_string()).run()
}

#[track_caller]
fn check_memory(c: &Container, limit: i64, swap_besides: i64) {
    check(
        c,
        ("memory/memory.limit_in_bytes", limit),
        ("memory.max", limit),
    );
    let both = limit + swap_besides;
    check(
        c,
        ("memory/memory.memsw.limit_in_bytes", both),
        ("memory.swap.max", swap_besides),
    );
}

#[track_caller]
fn check_pids(c: &Container, limit: &str) {
    check(c, ("pids/pids.max", limit), ("pids.max", limit));
}

#[track_caller]
fn check_cpu(c: &Container, quota: &str, period: &str) {
    let v1_quota = if quota == "max" { "-1" } else { quota };
    let both = format!("{quota} {period}");
    check(c, ("cpu/cpu.cfs_quota_us", v1_quota), ("cpu.max", &both));
    check(c, ("cpu/cpu.cfs_period_us", period), ("cpu.max", &both));
}

/// Swap is limited only where it is accounted for.
fn need_swap(c: &Container) {
    let file = crate::harness::limits::file;
    if !file(c, "memory/memory.memsw.limit_in_bytes", "memory.swap.max").exists() {
        skip("swap is not accounted for");
    }
}

fn flags(t: &Sandbox) {
    need(&["memory", "cpu", "pids"]);
    let c = running(t, json!({}));
    need_swap(&c);
    update(&c, &["--memory", "64M", "--memory-swap", "96MiB"]).ok();
    check_memory(&c, 64 * MIB, 32 * MIB);
    update(&c, &["--memory-reservation=32m", "--pids-limit", "50"]).ok();
    let reservation = 32 * MIB;
    check(
        &c,
        ("memory/memory.soft_limit_in_bytes", reservation),
        ("memory.low", reservation),
    );
    check_pids(&c, "50");
    update(
        &c,
        &[
            "-cpu-period",
            "50000",
            "-cpu-quota=20000",
            "--cpu-share",
            "512",
        ],
    )
    .ok();
    check_cpu(&c, "20000", "50000");
    check(&c, ("cpu/cpu.shares", 512), ("cpu.weight", 59));
    update(&c, &["--cpu-burst", "1000"]).ok();
    check(&c, ("cpu/cpu.cfs_burst_us", 1000), ("cpu.max.burst", 1000));
    update(
        &c,
        &[
            "--cpu-burst",
            "0",
            "--cpu-quota",
            "-1",
            "--pids-limit",
            "-1",
        ],
    )
    .ok();
    check(&c, ("cpu/cpu.cfs_burst_us", 0), ("cpu.max.burst", 0));
    // Without a quota a period means nothing, and systemd puts back the default one.
    if !host::systemd() {
        check_cpu(&c, "max", "50000");
    }
    check_pids(&c, "max");
    for idle in ["1", "0"] {
        update(&c, &["--cpu-idle", idle]).ok();
        check(&c, ("cpu/cpu.idle", idle), ("cpu.idle", idle));
    }
}

fn resources_of_a_file_and_of_stdin(t: &Sandbox) {
    need(&["pids"]);
    let c = running(t, json!({}));
    let file = t.file("limits.json", r#"{"pids": {"limit": 10}}"#);
    // Beside a file, flags do not count.
    let file = file.to_str().unwrap();
    update(&c, &["-r", file, "--pids-limit", "99"]).ok();
    check_pids(&c, "10");
    update_resources(&c, json!({"pids": {"limit": 11}})).ok();
    check_pids(&c, "11");
    update_resources(&c, json!({"pids": {}})).ok();
    check_pids(&c, "11");
    update_resources(&c, json!({"pids": {"limit": "many"}}))
        .fails()
        .says("pids.limit");
    update(&c, &["-r", "/no/such/file"])
        .fails()
        .says("/no/such/file");
    check_pids(&c, "11");
}

fn created_and_paused_containers(t: &Sandbox) {
    need(&["memory", "pids"]);
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    c.create().ok();
    update(&c, &["--memory", "50M", "--pids-limit", "20"]).ok();
    check_pids(&c, "20");
    c.start().ok();
    check_pids(&c, "20");
    c.verb(&["pause"]).run().ok();
    update(&c, &["--memory", "60M", "--pids-limit", "21"]).ok();
    let limit = 60 * MIB;
    check(
        &c,
        ("memory/memory.limit_in_bytes", limit),
        ("memory.max", limit),
    );
    check_pids(&c, "21");
    assert_eq!(c.status(), "paused");
    c.verb(&["resume"]).run().ok();
}

fn stopped_containers_are_refused(t: &Sandbox) {
    let mut c = t.container();
    update(&c, &["--pids-limit", "9"])
        .fails()
        .says("does not exist");
    c.args(["true"]);
    c.create().ok();
    c.start().ok();
    c.wait_for_status("stopped");
    update(&c, &["--pids-limit", "9"])
        .fails()
        .says("container not running");
}

/// As Docker and podman send what they do not change.
fn zeroes_change_nothing(t: &Sandbox) {
    need(&["memory", "cpu"]);
    let limit = 64 * MIB;
    let c = running(
        t,
        json!({"memory": {"limit": limit, "swap": 2 * limit},
               "cpu": {"shares": 512, "quota": 20000, "period": 50000}}),
    );
    need_swap(&c);
    update_resources(
        &c,
        json!({"memory": {"limit": 0, "swap": 0, "reservation": 0, "kernel": 0},
               "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
               "blockIO": {"weight": 0}}),
    )
    .ok();
    check_memory(&c, limit, limit);
    check_cpu(&c, "20000", "50000");
    // Nor do they hide from later updates what was asked for.
    update(&c, &["--memory", "32M"]).ok();
    check_memory(&c, limit / 2, limit + limit / 2);
}

/// Each order of the writes is refused by v1's kernel one of the two times.
fn memory_up_and_down(t: &Sandbox) {
    need(&["memory"]);
    let c = running(t, json!({"memory": {"limit": 64 * MIB, "swap": 64 * MIB}}));
    need_swap(&c);
    for size in [512 * MIB, 16 * MIB, 64 * MIB] {
        let size_text = size.to_string();
        update(&c, &["--memory", &size_text, "--memory-swap", &size_text]).ok();
        check_memory(&c, size, 0);
    }
}

/// On v2, where swap alone is limited, it changes with the limit of memory.
fn memory_and_swap_together_stay_limited(t: &Sandbox) {
    need(&["memory"]);
    let c = running(t, json!({"memory": {"limit": 64 * MIB, "swap": 96 * MIB}}));
    need_swap(&c);
    update(&c, &["--memory", "48M"]).ok();
    check_memory(&c, 48 * MIB, 48 * MIB);
    update(&c, &["--memory-swap", "80M"]).ok();
    check_memory(&c, 48 * MIB, 32 * MIB);
    update(&c, &["--memory", "64M"]).ok();
    check_memory(&c, 64 * MIB, 16 * MIB);
    let error = update(&c, &["--memory", "100M"]).fails();
    error.says("linux.resources.memory").says("80");
    check_memory(&c, 64 * MIB, 16 * MIB);
}

fn unlimited_memory_is_unlimited_swap(t: &Sandbox) {
    need(&["memory"]);
    let c = running(t, json!({"memory": {"limit": 64 * MIB, "swap": 96 * MIB}}));
    need_swap(&c);
    update(&c, &["--memory", "-1"]).ok();
    check(
        &c,
        ("memory/memory.limit_in_bytes", UNLIMITED),
        ("memory.max", "max"),
    );
    check(
        &c,
        ("memory/memory.memsw.limit_in_bytes", UNLIMITED),
        ("memory.swap.max", "max"),
    );
    update(&c, &["--memory", "64M"]).ok();
    check(
        &c,
        ("memory/memory.memsw.limit_in_bytes", UNLIMITED),
        ("memory.swap.max", "max"),
    );
}

/// v1's kernel refuses by itself, v2's would kill.
fn usage_above_the_limit_is_refused(t: &Sandbox) {
    need(&["memory"]);
    let mut c = t.container();
    c.mount("/tmp", "tmpfs", "tmpfs", &[]);
    c.set(
        "/linux/resources/memory",
        json!({"limit": 64 * MIB, "swap": 64 * MIB}),
    );
    c.run_sleeping();
    need_swap(&c);
    c.exec(&["sh", "-c", "head -c 16m /dev/zero >/tmp/file"])
        .ok();
    let limit = json!({"limit": 4 * MIB, "swap": 4 * MIB, "checkBeforeUpdate": true});
    let words = if is_v2() {
        "rejecting"
    } else {
        "unable to set memory limit to 4194304"
    };
    update_resources(&c, json!({"memory": limit}))
        .fails()
        .says(words);
    check_memory(&c, 64 * MIB, 0);
    assert_eq!(c.status(), "running");
}

/// Whatever is written before the one that fails is taken back.
fn a_refused_limit_changes_nothing(t: &Sandbox) {
    need(&["memory", "cpu", "pids"]);
    let before = json!({
        "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
        "cpu": {"shares": 512, "quota": 20000, "period": 50000},
        "pids": {"limit": 30},
    });
    let c = running(t, before);
    need_swap(&c);
    let config = t.root().join(&c.id).join("config.json");
    let recorded = fs::read_to_string(&config).unwrap();
    let all = json!({
        "memory": {"limit": 128 * MIB, "swap": 256 * MIB, "reservation": 48 * MIB},
        "cpu": {"shares": 2048, "quota": 10000, "period": 20000, "burst": 5000},
        "pids": {"limit": 40},
    });
    let refused = [
        ("/cpu/idle", json!(7), "cpu.idle"),
        ("/cpu/burst", json!(9_999_999_999_999_999_u64), "cpu.burst"),
        ("/cpu/period", json!(3), "cpu."),
        ("/memory/reservation", json!(-5), "memory.reservation"),
        ("/pids/limit", json!(i64::MAX), "pids.limit"),
    ];
    for (field, value, name) in refused {
        let mut change = all.clone();
        let (object, key) = field.rsplit_once('/').unwrap();
        if key == "burst" {
            change["cpu"]["quota"] = json!(0);
        }
        change.pointer_mut(object).unwrap()[key] = value;
        let out = update_resources(&c, change)
            .fails()
            .says("linux.resources.")
            .says(name);
        assert!(out.stderr.contains("/sys/fs/cgroup/"), "no file: {out}");
        assert!(!out.stderr.contains("taking back"), "{out}");
        check_memory(&c, 64 * MIB, 32 * MIB);
        let reservation = 32 * MIB;
        check(
            &c,
            ("memory/memory.soft_limit_in_bytes", reservation),
            ("memory.low", reservation),
        );
        check(&c, ("cpu/cpu.shares", 512), ("cpu.weight", 59));
        check_cpu(&c, "20000", "50000");
        check(&c, ("cpu/cpu.cfs_burst_us", 0), ("cpu.max.burst", 0));
        check_pids(&c, "30");
        assert_eq!(fs::read_to_string(&config).unwrap(), recorded);
    }
    update_resources(&c, all).ok();
    check_memory(&c, 128 * MIB, 128 * MIB);
}

fn refused_devices_change_no_limit(t: &Sandbox) {
    need(&["pids"]);
    let c = running(t, json!({"pids": {"limit": 30}}));
    update_resources(&c, json!({"pids": {"limit": 40}, "devices": hole()}))
        .fails()
        .says("linux.resources.devices[2]");
    check_pids(&c, "30");
}

/// Device rules that are refused when all other limits have been set.
pub fn hole() -> Value {
    json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 10, "access": "rw"},
        {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "w"},
    ])
}

/// The kernel forgets it.
fn the_weight_is_back_where_idleness_is_taken_back(t: &Sandbox) {
    need(&["cpu"]);
    let c = running(t, json!({"cpu": {"shares": 512}}));
    update_resources(&c, json!({"cpu": {"idle": 1}, "devices": hole()})).fails();
    check(&c, ("cpu/cpu.idle", 0), ("cpu.idle", 0));
    check(&c, ("cpu/cpu.shares", 512), ("cpu.weight", 59));
    update_resources(&c, json!({"cpu": {"idle": 1}})).ok();
    update_resources(
        &c,
        json!({"cpu": {"idle": 0, "shares": 256}, "devices": hole()}),
    )
    .fails();
    check(&c, ("cpu/cpu.idle", 1), ("cpu.idle", 1));
}

fn a_missing_controller_is_named(t: &Sandbox) {
    let c = running(t, json!({}));
    let out = if is_v2() {
        update_resources(&c, json!({"unified": {"fancy.max": "1"}}))
    } else if fs::exists("/sys/fs/cgroup/net_cls").unwrap() {
        skip("every controller is here");
    } else {
        update_resources(&c, json!({"network": {"classID": 1}}))
    };
    let out = out.fails().says("linux.resources.").says("controller");
    out.says(if is_v2() { "fancy" } else { "net_cls" });
}

fn opens_kmsg(c: &Container) -> bool {
    c.exec(&["sh", "-c", "exec </dev/kmsg"]).status == 0
}

const KMSG: &str = r#"{"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}"#;

fn with_kmsg(t: &Sandbox) -> Container<'_> {
    if fs::File::open("/dev/kmsg").is_err() {
        skip("/dev/kmsg cannot be opened");
    }
    let mut c = t.container();
    c.push(
        "/linux/devices",
        json!({"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}),
    );
    // /dev/kmsg asks for it where kernel.dmesg_restrict is set.
    c.capabilities(&["CAP_SYSLOG", "CAP_KILL"]);
    c.run_sleeping();
    c
}

fn devices_are_replaced(t: &Sandbox) {
    let c = with_kmsg(t);
    let kmsg: Value = serde_json::from_str(KMSG).unwrap();
    let deny = json!({"allow": false, "access": "rwm"});
    for _ in 0..3 {
        assert!(!opens_kmsg(&c));
        update_resources(&c, json!({"devices": [deny, kmsg]})).ok();
        assert!(opens_kmsg(&c));
        c.exec(&["sh", "-c", "exec </dev/zero"]).ok();
        update_resources(&c, json!({"devices": [deny]})).ok();
    }
}

/// A plug-in may have allowed more (on v1, where it can be seen), and engines send the config's
/// rules along with all else.
fn unchanged_devices_are_left_alone(t: &Sandbox) {
    need(&["pids"]);
    let c = with_kmsg(t);
    if !is_v2() {
        let allow = crate::harness::limits::file(&c, "devices/devices.allow", "");
        fs::write(allow, "c 1:11 r").unwrap();
        assert!(opens_kmsg(&c));
    }
    let deny = json!({"allow": false, "access": "rwm"});
    let change = json!({"devices": [deny], "pids": {"limit": 50}});
    update_resources(&c, change).ok();
    check_pids(&c, "50");
    assert_eq!(opens_kmsg(&c), !is_v2());
}

fn cpu_period_without_a_quota(t: &Sandbox) {
    need(&["cpu"]);
    let c = running(t, json!({}));
    update(&c, &["--cpu-period", "50000"]).ok();
    check_cpu(&c, "max", "50000");
    update(&c, &["--cpu-quota", "30000"]).ok();
    check_cpu(&c, "30000", "50000");
    // A short period with the old, long quota would be refused by the kernel in this order.
    update(&c, &["--cpu-period", "2000", "--cpu-quota", "1000"]).ok();
    check_cpu(&c, "1000", "2000");
}

fn nonsense_is_refused(t: &Sandbox) {
    need(&["pids"]);
    let c = running(t, json!({"pids": {"limit": 30}}));
    for flags in [
        ["--memory", "lots"],
        ["--cpu-period", "-1"],
        ["--pids-limit", "x"],
        ["--blkio-weight", "70000"],
        ["--cpu-share", "1"],
    ] {
        update(&c, &flags).fails();
    }
    check_pids(&c, "30");
    assert!(!value(&c, "pids/pids.current", "pids.current").is_empty());
}

fn obsolete_flags(t: &Sandbox) {
    let c = running(t, json!({}));
    let out = update(
        &c,
        &["--kernel-memory", "50M", "--kernel-memory-tcp", "50M"],
    )
    .ok();
    out.says("--kernel-memory has no effect")
        .says("--kernel-memory-tcp has no effect");
}

/// Classes of service themselves are tested on a made-up tree (src/intel_rdt/tests.rs).
fn schemas_take_resctrl(t: &Sandbox) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    if mounts.contains(" - resctrl ") {
        skip("resctrl is mounted");
    }
    let words = "linux.intelRdt: there is no resctrl file system";
    for rdt in [
        json!({}),
        json!({"closID": "gold"}),
        json!({"schemata": ["L3:0=f"]}),
    ] {
        let mut c = t.container();
        c.set("/linux/intelRdt", rdt).args(["true"]);
        c.run().fails().says(words);
    }
    t.assert_nothing_left();
    need(&["pids"]);
    let c = running(t, json!({"pids": {"limit": 30}}));
    let schemas: [&[&str]; 2] = [
        &["--l3-cache-schema", "L3:0=f"],
        &["--mem-bw-schema=MB:0=20"],
    ];
    for schema in schemas {
        let flags = [schema, &["--pids-limit", "40"]].concat();
        update(&c, &flags).fails().says(words);
        check_pids(&c, "30");
    }
}
