//! v1 and hybrid.

use crate::host::{Cgroup, resources, wait_until};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tare::cgroups::{ContainerMounts, Driver};
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
    cgroup.manager.signal_all(libc::SIGKILL).unwrap();
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
    cgroup.manager.signal_all(libc::SIGKILL).unwrap();
    assert_eq!(process.0.wait().unwrap().code(), None);
}

/// As systemd mounts it on hybrid hosts, or where v1's hugetlb was not mounted.
#[test]
fn a_controller_of_the_v2_hierarchy_limits_too() {
    let Some(cgroup) = Cgroup::made_v1("unified") else {
        return;
    };
    let all = fs::read_to_string("/sys/fs/cgroup/unified/cgroup.controllers").unwrap_or_default();
    if !all.split_whitespace().any(|name| name == "hugetlb") {
        eprintln!("skipped: no hugetlb controller in a v2 hierarchy beside v1's");
        return;
    }
    let pages = |limit: u32| json!({"hugepageLimits": [{"pageSize": "2MB", "limit": limit}]});
    cgroup.manager.apply(&resources(pages(2 << 20))).unwrap();
    assert_eq!(cgroup.read("unified", "hugetlb.2MB.max"), "2097152");
    assert_eq!(cgroup.read("unified", "hugetlb.2MB.rsvd.max"), "2097152");
    let planned = cgroup.manager.planned_limits(&resources(pages(0))).unwrap();
    let file = cgroup.dir("unified").join("hugetlb.2MB.max");
    assert_eq!(planned[0].file, file);
    cgroup.manager.remove().unwrap();
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
    if !Path::new("/sys/fs/cgroup/net_cls").exists() {
        assert_eq!(
            error(json!({"network": {"classID": 1}})),
            "linux.resources.network.classID: there is no net_cls controller to set it with"
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
fn what_a_failed_create_made_is_removed() {
    let Some(mut cgroup) = Cgroup::new_v1("undo") else {
        return;
    };
    let freezer = cgroup.dir("freezer");
    fs::create_dir_all(&freezer).unwrap();
    fs::write(freezer.join("freezer.state"), "FROZEN").unwrap();
    cgroup.create(&Resources::default()).unwrap_err();
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
    cgroup.create(&Resources::default()).unwrap();
    let root = fs::read_to_string("/sys/fs/cgroup/cpuset/cpuset.cpus").unwrap();
    assert_eq!(cgroup.read("cpuset", "cpuset.cpus"), root.trim());
    assert!(!cgroup.read("cpuset", "cpuset.mems").is_empty());
    cgroup.manager.remove().unwrap();

    let one = resources(json!({"cpu": {"cpus": "0"}}));
    cgroup.create(&one).unwrap();
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
    cgroup.manager.signal_all(libc::SIGKILL).unwrap();
    process.0.wait().unwrap();
    cgroup.manager.remove().unwrap();
    assert!(!cgroup.manager.exists());

    let unknown = cgroup.manager.sub(&["no_such:x".to_owned()]).unwrap_err();
    assert_eq!(unknown.code(), Code::Usage);
}

#[test]
fn relative_paths_lie_below_our_own_cgroup() {
    if Cgroup::new_v1("relative").is_none() {
        return;
    }
    let driver = Driver::detect(false, false).unwrap();
    let manager = driver
        .manager(None, &BTreeMap::new(), "tare-test-own")
        .unwrap();
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
