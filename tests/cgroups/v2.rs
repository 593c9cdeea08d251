//! v2 alone.

use crate::host::{Cgroup, resources, wait_until};
use rustix::process::Pid;
use serde_json::{Value, json};
use std::collections::BTreeMap;
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
    cgroup.manager.signal_all(libc::SIGKILL).unwrap();
    assert_eq!(one.0.wait().unwrap().code(), None);
    assert_eq!(two.0.wait().unwrap().code(), None);
    cgroup.manager.remove().unwrap();
    assert!(!cgroup.manager.exists());
    cgroup.manager.remove().unwrap();
    cgroup.manager.signal_all(libc::SIGKILL).unwrap();
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
fn below_a_cgroup_with_processes_only_threads_can_be_limited() {
    let Some(outer) = Cgroup::made_v2("threaded") else {
        return;
    };
    let _process = outer.spawn("sleep 60");
    let path = format!("/{}/box/inner/most", outer.parent);
    let driver = Driver::detect(false, false).unwrap();
    let mut inner = driver
        .manager(Some(&path), &BTreeMap::new(), "unused")
        .unwrap();
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
fn relative_paths_lie_beside_our_own_cgroup() {
    if Cgroup::new_v2("relative").is_none() {
        return;
    }
    let driver = Driver::detect(false, false).unwrap();
    let manager = driver
        .manager(None, &BTreeMap::new(), "tare-test-own")
        .unwrap();
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
