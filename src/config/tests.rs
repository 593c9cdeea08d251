//! The types against the spec: `null`, empty, written back, and against oci-spec's types.
#![allow(clippy::unwrap_used)]

use super::*;
use serde_json::{Map, json};
use std::collections::BTreeSet;

/// Every field there is, with a value that is not its default.
fn full() -> Value {
    let map = json!([{"containerID": 0, "hostID": 1000, "size": 10}]);
    let hooks = json!([{"path": "/h", "args": ["h", "x"], "env": ["A=1"], "timeout": 5}]);
    let process = json!({
        "terminal": true, "consoleSize": {"height": 25, "width": 80},
        "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [5, 6], "username": "u"},
        "args": ["sh"], "commandLine": "c", "env": ["A=1"], "cwd": "/",
        "capabilities": {
            "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"],
            "permitted": ["CAP_KILL"], "ambient": ["CAP_KILL"],
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": u64::MAX, "soft": 1024}],
        "noNewPrivileges": true, "apparmorProfile": "p", "oomScoreAdj": -5, "selinuxLabel": "l",
        "scheduler": {
            "policy": "SCHED_DEADLINE", "nice": 1, "priority": 2,
            "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"],
            "runtime": 3000, "deadline": 4000, "period": 5000,
        },
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 4},
        "execCPUAffinity": {"initial": "7", "final": "0-3,7"},
    });
    let linux = json!({
        "uidMappings": map, "gidMappings": map, "sysctl": {"net.core.somaxconn": "256"},
        "cgroupsPath": "/a/b",
        "namespaces": [{"type": "pid", "path": "/proc/1/ns/pid"}, {"type": "network"}, {"type": "mount"},
            {"type": "ipc"}, {"type": "uts"}, {"type": "user"}, {"type": "cgroup"}, {"type": "time"}],
        "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438, "uid": 1, "gid": 2}],
        "netDevices": {"eth0": {"name": "ctr0"}, "eth1": {}},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "architectures": ["SCMP_ARCH_X86_64"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/s", "listenerMetadata": "m",
            "syscalls": [{
                "names": ["clone"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1,
                "args": [{"index": 0, "value": 2_114_060_288u64, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}],
            }],
        },
        "rootfsPropagation": "rslave", "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
        "mountLabel": "l", "personality": {"domain": "LINUX32", "flags": ["F"]},
        "intelRdt": {
            "closID": "c", "schemata": ["L3:0=f"], "l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=2",
            "enableMonitoring": true, "enableCMT": true, "enableMBM": false,
        },
        "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "2-3", "flags": ["MPOL_F_STATIC_NODES"]},
        "timeOffsets": {"monotonic": {"secs": -5, "nanosecs": 7}, "boottime": {"secs": 1}},
        "resources": {"pids": {"limit": 0}},
    });
    json!({
        "ociVersion": "1.3.0", "process": process, "root": {"path": "r", "readonly": true},
        "hostname": "h", "domainname": "d",
        "mounts": [{
            "destination": "/m", "type": "none", "source": "/s", "options": ["rbind", "idmap"],
            "uidMappings": map, "gidMappings": map,
        }],
        "hooks": {
            "prestart": hooks, "createRuntime": hooks, "createContainer": hooks,
            "startContainer": hooks, "poststart": hooks, "poststop": hooks,
        },
        "annotations": {"a.b": "c"}, "linux": linux,
        "solaris": {"a": 1}, "windows": {"b": [2]}, "vm": {}, "zos": {}, "freebsd": {"c": null},
    })
}

fn read(value: &Value) -> Config {
    let document = Document::new("config.json", value.to_string().into_bytes());
    document.parse().unwrap()
}

#[test]
fn all_that_is_read_is_written_again() {
    let written = serde_json::to_value(read(&full())).unwrap();
    assert_eq!(written, full());
}

#[test]
fn null_and_empty_are_absent() {
    let absent = json!({
        "ociVersion": "1.0.0", "root": {"path": "r"}, "process": {"cwd": "/"},
        "mounts": [{"destination": "/m"}], "hooks": {"poststop": [{"path": "/h"}]},
        "linux": {"namespaces": [{"type": "pid"}], "seccomp": {"defaultAction": "SCMP_ACT_LOG"}},
    });
    // Each value that full() has and the above has not, as null.
    let mut nulls = full();
    take(&mut nulls, &absent);
    assert_eq!(nulls["process"]["args"], Value::Null);
    assert_eq!(read(&nulls), read(&absent));
    let mut empty = absent.clone();
    for key in ["hostname", "domainname"] {
        empty[key] = json!("");
    }
    for (section, keys) in [
        ("process", &["apparmorProfile", "selinuxLabel"][..]),
        (
            "linux",
            &["cgroupsPath", "rootfsPropagation", "mountLabel"][..],
        ),
    ] {
        for key in keys {
            empty[section][key] = json!("");
        }
    }
    assert_eq!(read(&empty), read(&absent));
}

/// Makes null of all that `kept` has not; of lists only the first entry stays.
fn take(value: &mut Value, kept: &Value) {
    match (value, kept) {
        (Value::Object(members), Value::Object(kept)) => {
            for (key, member) in members {
                match kept.get(key) {
                    Some(kept) => take(member, kept),
                    None => *member = Value::Null,
                }
            }
        }
        (Value::Array(elements), Value::Array(kept)) => {
            elements.truncate(1);
            take(&mut elements[0], &kept[0]);
        }
        (value, kept) => *value = kept.clone(),
    }
}

#[test]
fn absent_seccomp_flags_are_not_empty_ones() {
    let flags = |flags: Value| {
        let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": flags});
        let config =
            json!({"ociVersion": "1.0.0", "root": {"path": "r"}, "linux": {"seccomp": seccomp}});
        read(&config).linux.seccomp.unwrap().flags
    };
    assert_eq!(flags(json!([])), Some(vec![]));
    assert_eq!(flags(json!(null)), None);
}

#[test]
fn an_exec_process_may_be_without_a_user() {
    let process: Process = serde_json::from_value(json!({"cwd": "/", "args": ["a"]})).unwrap();
    assert_eq!((process.user.uid, process.user.gid), (0, 0));
    let idle = json!({"cwd": "/", "ioPriority": {"class": "IOPRIO_CLASS_IDLE"}});
    let process: Process = serde_json::from_value(idle).unwrap();
    assert_eq!(process.io_priority.unwrap().priority, 0);
}

#[test]
fn a_config_without_a_process_can_be_created_but_not_started() {
    let config = read(&json!({"ociVersion": "1.0.0", "root": {"path": "r"}}));
    assert!(check::config(&config).faults.is_empty());
    let error = config.require_process().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("process property must not be empty")
    );
}

/// What differs between the values, by path.
fn differences(ours: &Value, theirs: &Value, path: &str, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
            for key in keys {
                let value = |of: &Map<String, Value>| of.get(key).cloned().unwrap_or_default();
                differences(
                    &value(ours),
                    &value(theirs),
                    &format!("{path}.{key}"),
                    found,
                );
            }
        }
        (Value::Array(ours), Value::Array(theirs)) if ours.len() == theirs.len() => {
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                differences(ours, theirs, &format!("{path}[{index}]"), found);
            }
        }
        (ours, theirs) if ours == theirs => {}
        (ours, theirs) => found.push(format!("{path}: {ours} {theirs}")),
    }
}

/// oci-spec reads our values and writes what it understood. Where it is wrong (see
/// docs/design.md) is left out.
#[test]
fn oci_spec_understands_the_same() {
    let mut full = serde_json::to_value(read(&full())).unwrap();
    // It has the names without SCHED_.
    full["process"]["scheduler"]["flags"] = json!([]);
    // It has these platforms' fields, and ours here are made up.
    full.as_object_mut()
        .unwrap()
        .retain(|key, _| !["solaris", "windows", "vm", "zos", "freebsd"].contains(&key.as_str()));
    let defaults = [false, true]
        .map(|rootless| serde_json::to_value(crate::spec::default_config(rootless)).unwrap());
    // Gone with spec 1.3.
    let rdt = full["linux"]["intelRdt"].as_object_mut().unwrap();
    rdt.retain(|key, _| !["enableCMT", "enableMBM"].contains(&key.as_str()));
    for ours in defaults.iter().chain([&full]) {
        let spec: oci_spec::runtime::Spec = serde_json::from_value(ours.clone()).unwrap();
        let mut theirs = serde_json::to_value(spec).unwrap();
        // Its sets of capabilities have no order.
        for set in theirs["process"]["capabilities"]
            .as_object_mut()
            .unwrap()
            .values_mut()
        {
            set.as_array_mut().unwrap().sort_by_key(Value::to_string);
        }
        let mut found = Vec::new();
        differences(ours, &theirs, "", &mut found);
        assert_eq!(found, [""; 0]);
    }
}
