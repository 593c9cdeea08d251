//! v2 alone.

use crate::host::{Cgroup, resources, wait_until};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tare::cgroups::{Driver, Manager};
use tare::config::resources::{DeviceRule, Resources};
use tare::error::Code;

/// Whether the machine has the controller; says so if not.
fn has(controller: &str) -> bool {
    let all = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    let found = all.split_whitespace().any(|one| one == controller);
    if !found {
        eprintln!("skipped: this kernel has no {controller} controller");
    }
    found
}

#[test]
fn controllers_are_enabled_down_the_tree() {
    let Some(cgroup) = Cgroup::made_v2("tree") else {
        return;
    };
    let all = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap();
    assert_eq!(cgroup.read("", "cgroup.controllers"), all.trim());
    assert_eq!(cgroup.read("", "cgroup.subtree_control"), "");
}

#[test]
fn processes_are_counted_and_killed_with_their_sub_cgroups() {
    let Some(cgroup) = Cgroup::made_v2("kill") else {
        return;
    };
    let inner = cgroup.dir("").join("inner/most");
    fs::create_dir_all(&inner).unwrap();
    let script = format!("echo 0 >{}/cgroup.procs; sleep 60", inner.display());
    let mut one = cgroup.spawn(&script);
    let mut two = cgroup.spawn("sleep 60 & wait");
    wait_until("three processes", || {
        cgroup.manager.processes().unwrap().len() >= 3
    });
    cgroup.manager.signal_all(Signal::KILL).unwrap();
    assert_eq!(one.0.wait().unwrap().code(), None);
    assert_eq!(two.0.wait().unwrap().code(), None);
    cgroup.manager.remove().unwrap();
    assert!(!cgroup.manager.exists());
    cgroup.manager.remove().unwrap();
    cgroup.manager.signal_all(Signal::KILL).unwrap();
}

#[test]
fn no_fork_escapes_a_signal() {
    let Some(cgroup) = Cgroup::made_v2("forks") else {
        return;
    };
    let mut process = cgroup.spawn("while true; do (sleep 60 &) ; done");
    wait_until("forks", || cgroup.manager.processes().unwrap().len() > 30);
    cgroup.manager.signal_all(Signal::TERM).unwrap();
    process.0.wait().unwrap();
    wait_until("all to be gone", || {
        cgroup.manager.processes().unwrap().is_empty()
    });
}

#[test]
fn limits_are_read_back_and_updated() {
    let Some(cgroup) = Cgroup::made_v2("limits") else {
        return;
    };
    let apply = |value: Value| cgroup.manager.apply(&resources(value)).unwrap();
    let read = |file: &str| cgroup.read("", file);
    if has("memory") {
        apply(json!({"memory": {"limit": 64 << 20, "reservation": 32 << 20}}));
        assert_eq!(read("memory.max"), "67108864");
        assert_eq!(read("memory.low"), "33554432");
        if cgroup.dir("").join("memory.swap.max").exists() {
            apply(json!({"memory": {"swap": 96 << 20}}));
            assert_eq!(read("memory.swap.max"), "33554432");
        } else {
            eprintln!("skipped: memory.swap (no swap accounting)");
        }
        apply(json!({"memory": {"limit": -1}}));
        assert_eq!(read("memory.max"), "max");
    }
    if has("cpu") {
        apply(json!({"cpu": {"shares": 512, "quota": 25000, "period": 50000, "burst": 1000}}));
        assert_eq!(read("cpu.weight"), "59");
        assert_eq!(read("cpu.max"), "25000 50000");
        assert_eq!(read("cpu.max.burst"), "1000");
        apply(json!({"cpu": {"period": 100_000}}));
        assert_eq!(read("cpu.max"), "25000 100000");
        apply(json!({"cpu": {"quota": 2000, "burst": 0}}));
        assert_eq!(read("cpu.max"), "2000 100000");
        apply(json!({"cpu": {"quota": -1}}));
        assert_eq!(read("cpu.max"), "max 100000");
        for idle in [1, 0] {
            apply(json!({"cpu": {"idle": idle}}));
            assert_eq!(read("cpu.idle"), idle.to_string());
        }
    }
    if has("pids") {
        apply(json!({"pids": {"limit": 40}}));
        assert_eq!(read("pids.max"), "40");
        apply(json!({"pids": {"limit": -1}}));
        assert_eq!(read("pids.max"), "max");
    }
    if has("cpuset") {
        apply(json!({"cpu": {"cpus": "0", "mems": "0"}}));
        assert_eq!(read("cpuset.cpus"), "0");
        assert_eq!(read("cpuset.mems"), "0");
    }
    if has("hugetlb") {
        apply(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]}));
        assert_eq!(read("hugetlb.2MB.max"), "4194304");
        assert_eq!(read("hugetlb.2MB.rsvd.max"), "4194304");
    }
}

#[test]
fn block_device_limits_are_read_back() {
    let Some(cgroup) = Cgroup::made_v2("io") else {
        return;
    };
    let disks = fs::read_dir("/sys/block").unwrap();
    let mut disks =
        disks.filter_map(|entry| fs::read_to_string(entry.unwrap().path().join("dev")).ok());
    let Some(disk) = disks.next().filter(|_| has("io")) else {
        eprintln!("skipped: no block device or no io controller");
        return;
    };
    let (major, minor) = disk.trim().split_once(':').unwrap();
    let (major, minor): (i64, i64) = (major.parse().unwrap(), minor.parse().unwrap());
    let device = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let apply = |value: Value| {
        let block_io = resources(json!({"blockIO": value}));
        cgroup.manager.apply(&block_io).unwrap();
    };
    apply(json!({"throttleReadBpsDevice": device(1 << 20), "throttleWriteIOPSDevice": device(9)}));
    let expected = format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=9");
    assert_eq!(cgroup.read("", "io.max"), expected);
    apply(json!({"throttleReadBpsDevice": device(0), "throttleWriteIOPSDevice": device(0)}));
    assert_eq!(cgroup.read("", "io.max"), "");
    let files = [
        ("io.bfq.weight", "default 500"),
        ("io.weight", "default 4950"),
    ];
    for (file, expected) in files {
        if cgroup.dir("").join(file).exists() {
            apply(json!({"weight": 500}));
            assert_eq!(cgroup.read("", file).lines().next(), Some(expected));
            return;
        }
    }
    eprintln!("skipped: blockIO.weight (the kernel has neither BFQ nor iocost)");
}

#[test]
fn unified_files_are_written_and_missing_controllers_named() {
    let Some(cgroup) = Cgroup::made_v2("unified") else {
        return;
    };
    let unified = |file: &str, value: &str| {
        let unified = json!({"unified": {file: value}});
        cgroup.manager.apply(&resources(unified))
    };
    if has("memory") {
        unified("memory.high", "8388608").unwrap();
        assert_eq!(cgroup.read("", "memory.high"), "8388608");
        let error = unified("memory.no_such", "1").unwrap_err().to_string();
        assert!(error.contains("no such file"), "{error}");
        assert!(!error.contains("not available"), "{error}");
    }
    let error = unified("fancy.max", "1").unwrap_err().to_string();
    assert!(
        error.starts_with("linux.resources.unified[\"fancy.max\"]: writing"),
        "{error}"
    );
    assert!(
        error.contains("controller \"fancy\" is not available"),
        "{error}"
    );
}

#[test]
fn a_limit_below_the_usage_is_refused_if_so_wanted() {
    let Some(cgroup) = Cgroup::made_v2("check").filter(|_| has("memory")) else {
        return;
    };
    let _process = cgroup.spawn("x=$(head -c 4000000 /dev/zero | tr '\\0' x); sleep 60");
    wait_until("memory to be used", || {
        cgroup.read("", "memory.current").parse::<u64>().unwrap() > 4 << 20
    });
    let memory = json!({"memory": {"limit": 1 << 20, "checkBeforeUpdate": true}});
    let error = cgroup.manager.apply(&resources(memory)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("rejecting memory limit 1048576 <= usage")
    );
    assert_eq!(cgroup.read("", "memory.max"), "max");
}

#[test]
fn devices_are_what_the_rules_say_and_filters_do_not_pile_up() {
    let Some(cgroup) = Cgroup::made_v2("devices") else {
        return;
    };
    let apply = |value: Value| {
        let rules: Vec<DeviceRule> = serde_json::from_value(value).unwrap();
        cgroup.manager.apply_devices(&rules).unwrap();
    };
    let opens = |device: &str| {
        let mut process = cgroup.spawn(&format!("exec 2>/dev/null; exec <{device}"));
        process.0.wait().unwrap().success()
    };
    assert!(opens("/dev/kmsg"));
    let deny = json!({"allow": false, "access": "rwm"});
    let kmsg = json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"});
    for _ in 0..3 {
        apply(json!([deny]));
        assert!(opens("/dev/zero"));
        assert!(!opens("/dev/kmsg"));
        // Had the last filter stayed, this one could not allow what that denied.
        apply(json!([deny, kmsg]));
        assert!(opens("/dev/kmsg"));
    }
    let mut writer = cgroup.spawn("exec 2>/dev/null; exec >>/dev/kmsg");
    assert!(!writer.0.wait().unwrap().success(), "opened for writing");
}

#[test]
fn frozen_processes_stand_still_until_thawed_and_can_be_killed() {
    let Some(cgroup) = Cgroup::made_v2("freeze") else {
        return;
    };
    let mut process = cgroup.spawn_after("trap 'exit 7' TERM", "while true; do :; done");
    assert!(!cgroup.manager.is_frozen().unwrap());
    cgroup.manager.freeze().unwrap();
    assert!(cgroup.manager.is_frozen().unwrap());
    cgroup.manager.signal_all(Signal::TERM).unwrap();
    assert!(cgroup.manager.is_frozen().unwrap(), "a signal resumed it");
    assert_eq!(process.0.try_wait().unwrap(), None);
    cgroup.manager.thaw().unwrap();
    assert_eq!(process.0.wait().unwrap().code(), Some(7));

    let mut process = cgroup.spawn("sleep 60");
    cgroup.manager.freeze().unwrap();
    cgroup.manager.signal_all(Signal::KILL).unwrap();
    process.0.wait().unwrap();
    cgroup.manager.remove().unwrap();
}

#[test]
fn a_cgroup_in_use_or_frozen_is_refused() {
    let Some(mut cgroup) = Cgroup::made_v2("refuse") else {
        return;
    };
    let none = Resources::default();
    drop(cgroup.manager.create(&none).unwrap());
    let process = cgroup.spawn("sleep 60");
    let error = cgroup.manager.create(&none).unwrap_err();
    assert_eq!(error.code(), Code::WrongState);
    let message = error.to_string();
    assert!(message.contains("container's cgroup is not empty: 1 process(es) found"));
    drop(process);
    wait_until("the process to leave", || {
        cgroup.manager.processes().unwrap().is_empty()
    });
    cgroup.manager.freeze().unwrap();
    let message = cgroup.manager.create(&none).unwrap_err().to_string();
    assert!(message.contains("container's cgroup unexpectedly frozen"));
    assert!(cgroup.manager.exists(), "what was there before was removed");
}

#[test]
fn below_a_cgroup_with_processes_only_threads_can_be_limited() {
    let Some(outer) = Cgroup::made_v2("threaded") else {
        return;
    };
    let _process = outer.spawn("sleep 60");
    let path = format!("/{}/box/inner/most", outer.parent);
    let driver = Driver::detect(false, false).unwrap();
    let mut inner = driver.manager(Some(&path), "unused").unwrap();
    let memory = resources(json!({"memory": {"limit": 1 << 20}}));
    if has("memory") {
        let error = inner.create(&memory).unwrap_err().to_string();
        assert!(error.contains("with domain controllers"), "{error}");
        assert!(!inner.exists());
    }
    drop(inner.create(&Resources::default()).unwrap());
    inner
        .apply(&resources(json!({"pids": {"limit": 5}})))
        .unwrap();
    let inner = Cgroup {
        manager: inner,
        parent: "inner".to_owned(),
    };
    assert_eq!(inner.read("", "cgroup.type"), "threaded");
    let _process = inner.spawn("sleep 60");
}

#[test]
fn what_cannot_be_removed_is_named() {
    let Some(cgroup) = Cgroup::made_v2("busy") else {
        return;
    };
    let process = cgroup.spawn("sleep 60");
    let error = cgroup.manager.remove().unwrap_err().to_string();
    let expected = format!("still in it: pid {}", process.0.id());
    assert!(error.contains(&expected), "{error}");
}

#[test]
fn processes_are_followed_into_sub_cgroups() {
    let Some(cgroup) = Cgroup::made_v2("follow") else {
        return;
    };
    let inner = cgroup.dir("").join("init.scope");
    fs::create_dir(&inner).unwrap();
    let join = format!("echo 0 >{}/cgroup.procs", inner.display());
    let process = cgroup.spawn_after(&join, "sleep 60");
    let pid = Pid::from_child(&process.0);
    let found = cgroup.manager.of_process(pid).unwrap();
    assert_eq!(found.paths(), [inner.as_path()]);
    assert!(found.clone_target().unwrap().is_some());
    let ours = rustix::process::getpid();
    let error = cgroup.manager.of_process(ours).unwrap_err();
    assert_eq!(error.code(), Code::WrongState);
}

#[test]
fn the_containers_root_gets_the_delegated_files_alone() {
    let Some(cgroup) = Cgroup::made_v2("delegate") else {
        return;
    };
    let uid = rustix::fs::Uid::from_raw(100_000);
    cgroup.manager.delegate(uid).unwrap();
    let owner = |file: &str| fs::metadata(cgroup.dir("").join(file)).unwrap().uid();
    for file in [
        "",
        "cgroup.procs",
        "cgroup.subtree_control",
        "cgroup.threads",
    ] {
        assert_eq!(owner(file), 100_000, "{file}");
    }
    assert_eq!(owner("cgroup.freeze"), 0);
}

#[test]
fn memory_events_count_kills() {
    let Some(cgroup) = Cgroup::made_v2("oom").filter(|_| has("memory")) else {
        return;
    };
    let limit = json!({"memory": {"limit": 8 << 20, "swap": 8 << 20}});
    cgroup.manager.apply(&resources(limit)).unwrap();
    let mut process = cgroup.spawn("x=$(head -c 90000000 /dev/zero | tr '\\0' x)");
    process.0.wait().unwrap();
    let events = cgroup.manager.memory_events().unwrap().unwrap();
    assert!(events.oom_kills > 0);
    assert_eq!(events.limit, Some(8 << 20));
}

#[test]
fn relative_paths_lie_beside_our_own_cgroup() {
    if Cgroup::new_v2("relative").is_none() {
        return;
    }
    let driver = Driver::detect(false, false).unwrap();
    let manager = driver.manager(None, "tare-test-own").unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = Path::new(own.trim().strip_prefix("0::").unwrap());
    let parent = own.parent().unwrap_or(own).strip_prefix("/").unwrap();
    let expected = Path::new("/sys/fs/cgroup")
        .join(parent)
        .join("tare-test-own");
    assert_eq!(manager.paths(), [expected.as_path()]);
    let text = serde_json::to_string(&manager).unwrap();
    assert_eq!(serde_json::from_str::<Manager>(&text).unwrap(), manager);
}
