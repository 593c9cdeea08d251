//! v1 and hybrid.

use crate::host::{Cgroup, resources, wait_until};
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use std::path::Path;
use tare::cgroups::{ContainerMounts, Driver, Manager};
use tare::config::resources::{DeviceRule, Resources};
use tare::error::Code;

#[test]
fn a_process_enters_is_counted_and_killed() {
    let Some(cgroup) = Cgroup::made_v1("enter") else {
        return;
    };
    let mut process = cgroup.spawn("sleep 60 & sleep 60 & wait");
    let own = fs::read_to_string(format!("/proc/{}/cgroup", process.0.id())).unwrap();
    let expected = format!(":/{}/box", cgroup.parent);
    let entered = own.lines().filter(|line| line.ends_with(&expected)).count();
    assert_eq!(entered, cgroup.manager.paths().len(), "{own}");
    wait_until("three processes", || {
        cgroup.manager.processes().unwrap().len() == 3
    });
    cgroup.manager.signal_all(Signal::KILL).unwrap();
    assert_eq!(process.0.wait().unwrap().code(), None);
    cgroup.manager.remove().unwrap();
    assert!(!cgroup.manager.exists());
    cgroup.manager.remove().unwrap();
}

#[test]
fn killing_reaches_who_is_in_v1_alone() {
    let Some(cgroup) = Cgroup::made_v1("v1-alone") else {
        return;
    };
    let mut process = cgroup.spawn_in_v1(":", "sleep 60");
    cgroup.manager.signal_all(Signal::KILL).unwrap();
    assert_eq!(process.0.wait().unwrap().code(), None);
}

#[test]
fn no_fork_escapes_a_signal() {
    let Some(cgroup) = Cgroup::made_v1("forks") else {
        return;
    };
    let mut process = cgroup.spawn("while true; do (sleep 60 &) ; done");
    wait_until("forks", || cgroup.manager.processes().unwrap().len() > 50);
    cgroup.manager.signal_all(Signal::TERM).unwrap();
    process.0.wait().unwrap();
    wait_until("all to be gone", || {
        cgroup.manager.processes().unwrap().is_empty()
    });
    cgroup.manager.remove().unwrap();
}

#[test]
fn limits_are_read_back_and_updated() {
    let Some(cgroup) = Cgroup::made_v1("limits") else {
        return;
    };
    let apply = |value| cgroup.manager.apply(&resources(value)).unwrap();
    apply(json!({
        "memory": {"limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20, "swappiness": 10},
        "cpu": {"shares": 512, "period": 50000, "quota": 25000, "burst": 1000},
        "pids": {"limit": 40},
    }));
    assert_eq!(cgroup.read("memory", "memory.limit_in_bytes"), "67108864");
    assert_eq!(
        cgroup.read("memory", "memory.memsw.limit_in_bytes"),
        "134217728"
    );
    assert_eq!(
        cgroup.read("memory", "memory.soft_limit_in_bytes"),
        "33554432"
    );
    assert_eq!(cgroup.read("memory", "memory.swappiness"), "10");
    assert_eq!(cgroup.read("cpu", "cpu.shares"), "512");
    assert_eq!(cgroup.read("cpu", "cpu.cfs_quota_us"), "25000");
    assert_eq!(cgroup.read("cpu", "cpu.cfs_burst_us"), "1000");
    assert_eq!(cgroup.read("pids", "pids.max"), "40");

    // Up and down again: each order is refused by the kernel one of the two times.
    for size in [512 << 20, 16 << 20] {
        apply(json!({"memory": {"limit": size, "swap": size}}));
        assert_eq!(
            cgroup.read("memory", "memory.limit_in_bytes"),
            size.to_string()
        );
        assert_eq!(
            cgroup.read("memory", "memory.memsw.limit_in_bytes"),
            size.to_string()
        );
    }
    apply(json!({"memory": {"limit": -1}, "pids": {"limit": -1}, "cpu": {"quota": -1}}));
    assert!(cgroup.read("memory", "memory.memsw.limit_in_bytes").len() > 17);
    assert_eq!(cgroup.read("pids", "pids.max"), "max");
    assert_eq!(cgroup.read("cpu", "cpu.cfs_quota_us"), "-1");
    for idle in [1, 0] {
        apply(json!({"cpu": {"idle": idle}}));
        assert_eq!(cgroup.read("cpu", "cpu.idle"), idle.to_string());
    }
    apply(json!({"cpu": {"period": 200_000, "quota": 100_000}}));
    apply(json!({"cpu": {"period": 1000, "quota": 1000}}));
    assert_eq!(cgroup.read("cpu", "cpu.cfs_period_us"), "1000");
}

#[test]
fn block_device_limits_are_read_back() {
    let Some(cgroup) = Cgroup::made_v1("blkio") else {
        return;
    };
    let block = fs::read_dir("/sys/block")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.unwrap().path().join("dev")).ok());
    let Some((major, minor)) = block.take(1).find_map(|dev| {
        let (major, minor) = dev.trim().split_once(':')?;
        Some((major.parse::<i64>().unwrap(), minor.parse::<i64>().unwrap()))
    }) else {
        eprintln!("skipped: no block device");
        return;
    };
    let device = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let block_io = json!({
        "throttleReadBpsDevice": device(1 << 20), "throttleWriteBpsDevice": device(2 << 20),
        "throttleReadIOPSDevice": device(100), "throttleWriteIOPSDevice": device(200),
    });
    cgroup
        .manager
        .apply(&resources(json!({"blockIO": block_io})))
        .unwrap();
    let read = |file: &str| cgroup.read("blkio", &format!("blkio.throttle.{file}_device"));
    assert_eq!(read("read_bps"), format!("{major}:{minor} 1048576"));
    assert_eq!(read("write_iops"), format!("{major}:{minor} 200"));
    if cgroup.dir("blkio").join("blkio.bfq.weight").exists() {
        let weight = json!({"blockIO": {"weight": 100}});
        cgroup.manager.apply(&resources(weight)).unwrap();
        assert_eq!(cgroup.read("blkio", "blkio.bfq.weight"), "100");
    } else {
        eprintln!("skipped: blockIO.weight (the kernel has neither CFQ nor BFQ)");
    }
}

#[test]
fn refused_limits_name_config_file_and_reason() {
    let Some(cgroup) = Cgroup::made_v1("refused") else {
        return;
    };
    let error = |value| {
        cgroup
            .manager
            .apply(&resources(value))
            .unwrap_err()
            .to_string()
    };
    let missing = error(json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}));
    if !Path::new("/sys/fs/cgroup/hugetlb").exists() {
        assert_eq!(
            missing,
            "linux.resources.hugepageLimits[0]: there is no hugetlb controller to set it with"
        );
    }
    let burst = error(json!({"cpu": {"period": 1}}));
    let path = cgroup.dir("cpu").join("cpu.cfs_period_us");
    let expected = format!(
        "linux.resources.cpu.period: writing \"1\" to {}: invalid argument",
        path.display()
    );
    assert_eq!(burst, expected);

    let _process = cgroup.spawn("x=$(head -c 9000000 /dev/zero | tr '\\0' x); sleep 60");
    wait_until("the process to use memory", || {
        cgroup
            .read("memory", "memory.usage_in_bytes")
            .parse::<u64>()
            .unwrap()
            > 9 << 20
    });
    cgroup.manager.freeze().unwrap();
    let busy = error(json!({"memory": {"limit": 4096, "swap": 4096}}));
    cgroup.manager.thaw().unwrap();
    assert!(
        busy.contains("memory.limit_in_bytes: device or resource busy"),
        "{busy}"
    );
    assert!(
        busy.contains("unable to set memory limit to 4096 (current usage:"),
        "{busy}"
    );
}

#[test]
fn devices_are_what_the_rules_say() {
    let Some(cgroup) = Cgroup::made_v1("devices") else {
        return;
    };
    let rules = |value| serde_json::from_value::<Vec<DeviceRule>>(value).unwrap();
    let deny = json!({"allow": false, "access": "rwm"});
    let fuse = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"});
    cgroup
        .manager
        .apply_devices(&rules(json!([deny, fuse])))
        .unwrap();
    let list = cgroup.read("devices", "devices.list");
    let mut lines: Vec<&str> = list.lines().collect();
    lines.sort_unstable();
    let expected = "b *:* m,c *:* m,c 10:229 rw,c 136:* rwm,c 1:3 rwm,c 1:5 rwm,c 1:7 rwm,\
                    c 1:8 rwm,c 1:9 rwm,c 5:0 rwm,c 5:2 rwm";
    assert_eq!(lines.join(","), expected);

    let kmsg = || {
        let mut process = cgroup.spawn("exec </dev/zero && ! exec </dev/kmsg");
        process.0.wait().unwrap().success()
    };
    if fs::File::open("/dev/kmsg").is_ok() {
        assert!(kmsg(), "/dev/kmsg could be opened");
        let allow = json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"});
        cgroup
            .manager
            .apply_devices(&rules(json!([deny, allow])))
            .unwrap();
        assert!(!kmsg(), "/dev/kmsg could not be opened");
    }
    cgroup
        .manager
        .apply_devices(&rules(json!([{"allow": true, "access": "rwm"}])))
        .unwrap();
    assert_eq!(cgroup.read("devices", "devices.list"), "a *:* rwm");
}

#[test]
fn frozen_processes_stand_still_until_thawed_and_can_be_killed() {
    let Some(cgroup) = Cgroup::made_v1("freeze") else {
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
    let Some(mut cgroup) = Cgroup::made_v1("refuse") else {
        return;
    };
    let none = Resources::default();
    // Empty and thawed: welcome.
    drop(cgroup.manager.create(&none).unwrap());
    let process = cgroup.spawn("sleep 60");
    let error = cgroup.manager.create(&none).unwrap_err();
    assert_eq!(error.code(), Code::WrongState);
    let message = error.to_string();
    assert!(
        message.contains("container's cgroup is not empty: 1 process(es) found"),
        "{message}"
    );
    drop(process);
    wait_until("the process to leave", || {
        cgroup.manager.processes().unwrap().is_empty()
    });

    cgroup.manager.freeze().unwrap();
    let message = cgroup.manager.create(&none).unwrap_err().to_string();
    assert!(
        message.contains("container's cgroup unexpectedly frozen"),
        "{message}"
    );
    assert!(cgroup.manager.exists(), "what was there before was removed");
    cgroup.manager.thaw().unwrap();
}

#[test]
fn what_a_failed_create_made_is_removed() {
    let Some(mut cgroup) = Cgroup::new_v1("undo") else {
        return;
    };
    let freezer = cgroup.dir("freezer");
    fs::create_dir_all(&freezer).unwrap();
    fs::write(freezer.join("freezer.state"), "FROZEN").unwrap();
    cgroup.manager.create(&Resources::default()).unwrap_err();
    fs::write(freezer.join("freezer.state"), "THAWED").unwrap();
    for path in cgroup.manager.paths() {
        assert_eq!(path.exists(), path == freezer, "{}", path.display());
        assert_eq!(path.parent().unwrap().exists(), path == freezer);
    }
}

#[test]
fn cpusets_are_inherited_through_new_parents() {
    let Some(mut cgroup) = Cgroup::new_v1("cpuset") else {
        return;
    };
    drop(cgroup.manager.create(&Resources::default()).unwrap());
    let root = fs::read_to_string("/sys/fs/cgroup/cpuset/cpuset.cpus").unwrap();
    assert_eq!(cgroup.read("cpuset", "cpuset.cpus"), root.trim());
    assert!(!cgroup.read("cpuset", "cpuset.mems").is_empty());
    cgroup.manager.remove().unwrap();

    let one = resources(json!({"cpu": {"cpus": "0"}}));
    drop(cgroup.manager.create(&one).unwrap());
    assert_eq!(cgroup.read("cpuset", "cpuset.cpus"), "");
    cgroup.manager.apply(&one).unwrap();
    assert_eq!(cgroup.read("cpuset", "cpuset.cpus"), "0");
    let _process = cgroup.spawn("sleep 60");
}

#[test]
fn sub_cgroups_are_counted_and_removed() {
    let Some(cgroup) = Cgroup::made_v1("sub") else {
        return;
    };
    for path in cgroup.manager.paths() {
        fs::create_dir_all(path.join("inner/most")).unwrap();
    }
    let cpuset = cgroup.dir("cpuset").join("inner");
    for file in ["cpuset.cpus", "cpuset.mems"] {
        for dir in [cpuset.clone(), cpuset.join("most")] {
            fs::write(dir.join(file), cgroup.read("cpuset", file)).unwrap();
        }
    }
    let args = ["/inner/most".to_owned()];
    let sub = Cgroup {
        manager: cgroup.manager.sub(&args).unwrap(),
        parent: "inner".to_owned(),
    };
    let mut process = sub.spawn("sleep 60");
    assert_eq!(cgroup.manager.processes().unwrap().len(), 1);
    cgroup.manager.signal_all(Signal::KILL).unwrap();
    process.0.wait().unwrap();
    cgroup.manager.remove().unwrap();
    assert!(!cgroup.manager.exists());

    let unknown = cgroup.manager.sub(&["no_such:x".to_owned()]).unwrap_err();
    assert_eq!(unknown.code(), Code::Usage);
}

#[test]
fn what_cannot_be_removed_is_named() {
    let Some(cgroup) = Cgroup::made_v1("busy") else {
        return;
    };
    let process = cgroup.spawn("sleep 60");
    let error = cgroup.manager.remove().unwrap_err().to_string();
    assert!(
        error.contains(&format!("still in it: pid {}", process.0.id())),
        "{error}"
    );
}

#[test]
fn state_survives_json_and_deletes_from_it() {
    let Some(cgroup) = Cgroup::made_v1("json") else {
        return;
    };
    let text = serde_json::to_string(&cgroup.manager).unwrap();
    let again: Manager = serde_json::from_str(&text).unwrap();
    assert_eq!(again, cgroup.manager);
    again.remove().unwrap();
    assert!(!cgroup.manager.exists());
}

#[test]
fn relative_paths_lie_below_our_own_cgroup() {
    if Cgroup::new_v1("relative").is_none() {
        return;
    }
    let driver = Driver::detect(false, false).unwrap();
    let manager = driver.manager(None, "tare-test-own").unwrap();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let paths: Vec<_> = manager
        .paths()
        .iter()
        .map(|p| p.display().to_string())
        .collect();
    // The kernel also names hierarchies that are mounted nowhere, or not for us.
    let expected: Vec<String> = own
        .lines()
        .map(|line| line.splitn(3, ':').nth(2).unwrap().trim_end_matches('/'))
        .map(|path| format!("{path}/tare-test-own"))
        .collect();
    for path in paths {
        let found = expected.iter().any(|expected| path.ends_with(expected));
        assert!(found, "{path}: {expected:?}");
    }
}

#[test]
fn memory_events_count_kills() {
    let Some(cgroup) = Cgroup::made_v1("oom") else {
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
fn mounts_show_every_v1_hierarchy() {
    let Some(cgroup) = Cgroup::new_v1("mounts") else {
        return;
    };
    let ContainerMounts::V1(mounts) = cgroup.manager.mounts_for_container() else {
        panic!("not v1");
    };
    let memory = mounts.iter().find(|mount| mount.name == "memory").unwrap();
    assert_eq!(memory.options, "memory");
    assert_eq!(memory.source, cgroup.dir("memory"));
    assert!(mounts.iter().all(|mount| mount.name != "unified"));
}
