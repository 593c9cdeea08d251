#![allow(clippy::unwrap_used, clippy::cloned_ref_to_slice_refs)]

use super::*;
use serde_json::{Value, json};

/// A config with nothing wrong, and with all that others need.
fn base() -> Value {
    json!({
        "ociVersion": "1.3.0",
        "root": {"path": "rootfs"},
        "hostname": "h",
        "process": {"cwd": "/", "args": ["a"], "user": {"uid": 0, "gid": 0}},
        "mounts": [],
        "linux": {
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "mount"}, {"type": "cgroup"}, {"type": "user"}, {"type": "time"},
            ],
            "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 2000}],
            "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 2000}],
        },
    })
}

/// The base with values set at places such as "linux.sysctl".
fn with(changes: &[(&str, Value)]) -> Findings {
    let mut value = base();
    for (place, change) in changes {
        let mut at = &mut value;
        for key in place.split('.') {
            at = &mut at[key];
        }
        *at = change.clone();
    }
    config(&serde_json::from_value(value).unwrap())
}

/// The base without namespaces of these kinds.
fn without(kinds: &[&str], changes: &[(&str, Value)]) -> Findings {
    let mut namespaces = base()["linux"]["namespaces"].as_array().unwrap().clone();
    namespaces.retain(|namespace| !kinds.iter().any(|kind| namespace["type"] == *kind));
    let mut changes = changes.to_vec();
    changes.push(("linux.namespaces", Value::Array(namespaces)));
    with(&changes)
}

/// Asserts that there is one fault, there, with these words.
#[track_caller]
fn assert_fault(findings: &Findings, path: &str, words: &str) {
    let faults = &findings.faults;
    assert_eq!(faults.len(), 1, "{faults:#?}");
    assert_eq!(faults[0].path.to_string(), path);
    assert!(faults[0].message.contains(words), "{:?}", faults[0].message);
}

#[track_caller]
fn assert_none(findings: &Findings) {
    assert!(findings.faults.is_empty(), "{findings:#?}");
    assert!(findings.warnings.is_empty(), "{findings:#?}");
}

#[track_caller]
fn refuses(place: &str, value: Value, path: &str, words: &str) {
    assert_fault(&with(&[(place, value)]), path, words);
}

#[track_caller]
fn accepts(place: &str, value: Value) {
    assert_none(&with(&[(place, value)]));
}

#[test]
fn the_base_is_without_fault() {
    assert_none(&with(&[]));
    assert_none(&config(&crate::spec::default_config(false)));
    assert_none(&config(&crate::spec::default_config(true)));
    // Not even a linux section is needed.
    let bare = json!({"ociVersion": "1.0.0", "root": {"path": "/r"}});
    assert_none(&config(&serde_json::from_value(bare).unwrap()));
}

#[test]
fn top_level() {
    refuses(
        "ociVersion",
        json!("banana"),
        "ociVersion",
        "\"banana\" is not a version",
    );
    refuses(
        "ociVersion",
        json!("2.0.0"),
        "ociVersion",
        "is not supported",
    );
    refuses("root.path", json!(""), "root.path", "must not be empty");
    refuses(
        "hostname",
        json!("h".repeat(65)),
        "hostname",
        "longer than 64 bytes",
    );
    accepts("hostname", json!("h".repeat(64)));
    let words = "unable to set hostname without a private UTS namespace";
    assert_fault(&without(&["uts"], &[]), "hostname", words);
    let names = [("hostname", json!("")), ("domainname", json!("d"))];
    let words = "unable to set domainname without a private UTS namespace";
    assert_fault(&without(&["uts"], &names), "domainname", words);
    let hook = |path| json!({"startContainer": [{"path": "/a"}, {"path": path}]});
    refuses(
        "hooks",
        hook("b"),
        "hooks.startContainer[1].path",
        "\"b\" is not an absolute path",
    );
    accepts("hooks", hook("/b"));
}

#[test]
fn process_of_config_and_of_exec() {
    let cases = [
        ("cwd", json!(""), "cwd", "Cwd property must not be empty"),
        ("cwd", json!("a/b"), "cwd", "Cwd must be an absolute path"),
        ("args", json!([]), "args", "args must not be empty"),
        ("args", json!(null), "args", "args must not be empty"),
        (
            "env",
            json!(["A=1", "B"]),
            "env[1]",
            "invalid environment variable: missing '='",
        ),
        ("env", json!(["=1"]), "env[0]", "name cannot be empty"),
        (
            "user",
            json!({"uid": u32::MAX, "gid": 0}),
            "user.uid",
            "4294967295 is not an id",
        ),
        (
            "user",
            json!({"uid": 0, "gid": u32::MAX}),
            "user.gid",
            "is not an id",
        ),
        (
            "user",
            json!({"uid": 0, "gid": 0, "additionalGids": [1, u32::MAX]}),
            "user.additionalGids[1]",
            "is not an id",
        ),
        (
            "user",
            json!({"uid": 0, "gid": 0, "umask": 512}),
            "user.umask",
            "is not a umask",
        ),
        (
            "oomScoreAdj",
            json!(1001),
            "oomScoreAdj",
            "is not between -1000 and 1000",
        ),
        (
            "oomScoreAdj",
            json!(-1001),
            "oomScoreAdj",
            "is not between -1000 and 1000",
        ),
        (
            "ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            "ioPriority.priority",
            "is not between 0 and 7",
        ),
        (
            "rlimits",
            json!([{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]),
            "rlimits[0].soft",
            "the soft limit 2 is above the hard limit 1",
        ),
        (
            "rlimits",
            json!([{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}, {"type": "RLIMIT_CPU", "soft": 1, "hard": 1}]),
            "rlimits[1].type",
            "the same type as rlimits[0]",
        ),
    ];
    for (key, value, path, words) in cases {
        let mut process = json!({"cwd": "/", "args": ["a"]});
        process[key] = value;
        // The user namespace of the base has not all ids.
        let findings = without(
            &["user"],
            &[
                ("process", process.clone()),
                ("linux.uidMappings", json!(null)),
                ("linux.gidMappings", json!(null)),
            ],
        );
        assert_fault(&findings, &format!("process.{path}"), words);
        let alone = exec_process(&serde_json::from_value(process).unwrap());
        assert_fault(&alone, path, words);
    }
    let unlimited = json!([{"type": "RLIMIT_AS", "soft": u64::MAX, "hard": u64::MAX}]);
    accepts("process.rlimits", unlimited);
    accepts("process.env", json!(["A=", "B==", "A=1"]));
    accepts("process", json!(null));
}

#[test]
fn a_console_has_a_size_only_where_there_is_a_terminal() {
    let size = ("process.consoleSize", json!({"height": 65536, "width": 80}));
    assert_none(&with(&[size.clone()]));
    let findings = with(&[size, ("process.terminal", json!(true))]);
    assert_fault(&findings, "process.consoleSize.height", "larger than 65535");
}

#[test]
fn schedulers() {
    let refused = [
        (
            json!({"policy": "SCHED_OTHER", "nice": 20}),
            "nice",
            "-20 and 19",
        ),
        (
            json!({"policy": "SCHED_BATCH", "nice": -21}),
            "nice",
            "-20 and 19",
        ),
        (json!({"policy": "SCHED_FIFO"}), "priority", "1 and 99"),
        (
            json!({"policy": "SCHED_RR", "priority": 100}),
            "priority",
            "1 and 99",
        ),
        (
            json!({"policy": "SCHED_OTHER", "priority": 1}),
            "priority",
            "SCHED_FIFO or SCHED_RR",
        ),
        (
            json!({"policy": "SCHED_IDLE", "period": 1}),
            "period",
            "the SCHED_DEADLINE policy",
        ),
        (
            json!({"policy": "SCHED_DEADLINE", "runtime": 1000, "deadline": 5000}),
            "runtime",
            "below 1024 ns",
        ),
        (
            json!({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 4000}),
            "deadline",
            "shorter than the runtime",
        ),
        (
            json!({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 6000, "period": 5500}),
            "period",
            "shorter than the deadline",
        ),
        (
            json!({"policy": "SCHED_DEADLINE", "runtime": 5000, "deadline": 6000, "period": u64::MAX}),
            "period",
            "longer than the kernel",
        ),
    ];
    for (scheduler, key, words) in refused {
        refuses(
            "process.scheduler",
            scheduler,
            &format!("process.scheduler.{key}"),
            words,
        );
    }
    let accepted = [
        json!({"policy": "SCHED_BATCH", "nice": 19, "priority": 0}),
        json!({"policy": "SCHED_FIFO", "priority": 99, "flags": ["SCHED_FLAG_RESET_ON_FORK"]}),
        json!({"policy": "SCHED_DEADLINE", "nice": 19, "runtime": 42000, "deadline": 100_000, "period": 1_000_000}),
        json!({"policy": "SCHED_DEADLINE", "runtime": 42000, "deadline": 100_000}),
    ];
    for scheduler in accepted {
        accepts("process.scheduler", scheduler);
    }
}

#[test]
fn the_process_has_mapped_ids() {
    let user = |uid, gid| json!({"uid": uid, "gid": gid});
    accepts("process.user", user(1999, 1999));
    refuses(
        "process.user",
        user(2000, 0),
        "process.user.uid",
        "2000 is not mapped",
    );
    refuses(
        "process.user",
        user(0, 2000),
        "process.user.gid",
        "2000 is not mapped",
    );
}

#[test]
fn mappings() {
    let map = |entries: &[(u32, u32, u32)]| {
        let entry = |&(inside, outside, size)| json!({"containerID": inside, "hostID": outside, "size": size});
        Value::Array(entries.iter().map(entry).collect())
    };
    let refused = [
        (vec![(0, 0, 10), (20, 20, 0)], "[1]", "maps no ids"),
        (vec![(0, 0, u32::MAX)], "", ""),
        (
            vec![(0, u32::MAX - 5, 6)],
            "[0]",
            "goes beyond the last id, 4294967294",
        ),
        (
            vec![(0, 0, 1), (u32::MAX, 5, 1)],
            "[1]",
            "goes beyond the last id",
        ),
        (
            vec![(0, 0, 10), (9, 20, 5)],
            "[1]",
            "overlaps linux.gidMappings[0] in the container",
        ),
        (
            vec![(20, 5, 10), (0, 0, 6)],
            "[1]",
            "overlaps linux.gidMappings[0] on the host",
        ),
    ];
    for (entries, place, words) in refused {
        let findings = with(&[("linux.gidMappings", map(&entries))]);
        match words {
            "" => assert_none(&findings),
            _ => assert_fault(&findings, &format!("linux.gidMappings{place}"), words),
        }
    }
    let many: Vec<_> = (0..341).map(|id| (id, id, 1)).collect();
    accepts("linux.gidMappings", map(&many[..340]));
    refuses(
        "linux.gidMappings",
        map(&many),
        "linux.gidMappings",
        "more entries than the 340",
    );
}

#[test]
fn a_user_namespace_and_mappings_need_each_other() {
    let none = [
        ("linux.uidMappings", json!([])),
        ("linux.gidMappings", json!(null)),
    ];
    let place = "linux.namespaces[6]";
    assert_fault(
        &with(&none),
        place,
        "no namespace path to join nor mappings to apply",
    );
    assert_fault(&with(&none[1..]), place, "no gid mappings found");
    assert_none(&without(&["user"], &none));
    let words = "user namespace mappings specified, but user namespace isn't enabled";
    assert_fault(&without(&["user"], &none[1..]), "linux.uidMappings", words);
    let joined = (
        "linux.namespaces",
        json!([{"type": "user", "path": "/proc/1/ns/user"}, {"type": "uts"}]),
    );
    assert_none(&with(&[joined.clone()]));
    assert_none(&with(&[joined, none[0].clone(), none[1].clone()]));
}

#[test]
fn namespaces() {
    let list = |second| json!([{"type": "uts"}, {"type": "user"}, second]);
    let twice = list(json!({"type": "uts", "path": "/proc/1/ns/uts"}));
    refuses(
        "linux.namespaces",
        twice,
        "linux.namespaces[2].type",
        "duplicated ns \"uts\"",
    );
    let relative = list(json!({"type": "pid", "path": "ns/pid"}));
    refuses(
        "linux.namespaces",
        relative,
        "linux.namespaces[2].path",
        "is not an absolute path",
    );
    accepts("linux.namespaces", list(json!({"type": "pid", "path": ""})));
}

#[test]
fn what_needs_a_namespace_is_refused_without_it() {
    for key in ["maskedPaths", "readonlyPaths"] {
        let place = format!("linux.{key}");
        let findings = without(&["mount"], &[(&place, json!(["/proc/kcore"]))]);
        assert_fault(&findings, &place, "without a private MNT namespace");
        assert_none(&without(&["mount"], &[(&place, json!([]))]));
        refuses(
            &place,
            json!(["/a", "b"]),
            &format!("{place}[1]"),
            "not an absolute path",
        );
    }
    let devices = ("linux.netDevices", json!({"eth0": {}}));
    let words = "unable to move network devices without a NET namespace";
    assert_fault(
        &without(&["network"], &[devices]),
        "linux.netDevices",
        words,
    );
}

#[test]
fn time_offsets() {
    let offsets = |nanosecs| json!({"monotonic": {"secs": -5, "nanosecs": nanosecs}});
    accepts("linux.timeOffsets", offsets(999_999_999));
    let path = "linux.timeOffsets.monotonic.nanosecs";
    refuses(
        "linux.timeOffsets",
        offsets(1_000_000_000),
        path,
        "a second or more",
    );
    let given = ("linux.timeOffsets", offsets(0));
    let words = "time namespace isn't enabled";
    assert_fault(
        &without(&["time"], &[given.clone()]),
        "linux.timeOffsets",
        words,
    );
    assert_none(&without(&["time"], &[("linux.timeOffsets", json!({}))]));
    let joined =
        json!([{"type": "uts"}, {"type": "user"}, {"type": "time", "path": "/proc/1/ns/time"}]);
    let findings = with(&[given, ("linux.namespaces", joined)]);
    assert_fault(&findings, "linux.timeOffsets", "you may only provide one");
}

#[test]
fn sysctls_of_the_containers_own_namespaces() {
    let cases = [
        (
            "kernel.msgmax",
            "ipc",
            "is not allowed in the hosts ipc namespace",
        ),
        ("kernel.shm_rmid_forced", "ipc", "hosts ipc namespace"),
        ("fs.mqueue.msg_max", "ipc", "hosts ipc namespace"),
        ("fs/mqueue/msg_max", "ipc", "hosts ipc namespace"),
        (
            "net.ipv4.ip_forward",
            "network",
            "not allowed in host network namespace",
        ),
        (
            "net/ipv4/conf/eno2.100/rp_filter",
            "network",
            "host network namespace",
        ),
        (
            "kernel.domainname",
            "uts",
            "is not in a separate kernel namespace",
        ),
        (
            "user.max_user_namespaces",
            "user",
            "without a user namespace",
        ),
    ];
    let cleared = [
        ("hostname", json!(null)),
        ("linux.uidMappings", json!(null)),
        ("linux.gidMappings", json!(null)),
    ];
    for (name, kind, words) in cases {
        let sysctl = ("linux.sysctl", json!({name: "1"}));
        assert_none(&with(&[sysctl.clone()]));
        let changes: Vec<_> = cleared.iter().cloned().chain([sysctl]).collect();
        let path = at!["linux", "sysctl", name].to_string();
        assert_fault(&without(&[kind, "user"], &changes), &path, words);
    }
}

#[test]
fn sysctls_of_the_host_and_malformed_ones() {
    for name in [
        "kernel.core_pattern",
        "vm.swappiness",
        "kernel/core_pattern",
        "netx.a",
        "kernel.semx",
    ] {
        let path = at!["linux", "sysctl", name].to_string();
        refuses(
            "linux.sysctl",
            json!({name: "1"}),
            &path,
            "not in a separate kernel namespace",
        );
    }
    let path = "linux.sysctl[\"kernel.hostname\"]";
    refuses(
        "linux.sysctl",
        json!({"kernel.hostname": "a"}),
        path,
        "OCI \"hostname\" field",
    );
    let path = "linux.sysctl[\"net/../kernel/core_pattern\"]";
    let sysctl = json!({"net/../kernel/core_pattern": "a"});
    refuses(
        "linux.sysctl",
        sysctl,
        path,
        "is not the name of a kernel parameter",
    );
    let path = "linux.sysctl[\"net.ipv4.ip_local_port_range\"]";
    accepts(
        "linux.sysctl",
        json!({"net.ipv4.ip_local_port_range": "1\t2 3"}),
    );
    let sysctl = json!({"net.ipv4.ip_local_port_range": "1\n2"});
    refuses("linux.sysctl", sysctl, path, "control character");
}

#[test]
fn mounts() {
    let mount = |more: Value| {
        let mut mount = json!({"destination": "/a", "source": "/b"});
        let more = more.as_object().unwrap().clone();
        mount.as_object_mut().unwrap().extend(more);
        json!([mount])
    };
    let map = json!([{"containerID": 0, "hostID": 1, "size": 1}]);
    let both = json!({"uidMappings": map, "gidMappings": map, "options": ["rbind", "ridmap"]});
    accepts("mounts", mount(both.clone()));
    accepts(
        "mounts",
        mount(json!({"type": "odd", "options": ["bind", "idmap"]})),
    );
    refuses(
        "mounts",
        mount(json!({"destination": ""})),
        "mounts[0].destination",
        "must not be empty",
    );
    let words = "only supported for bind-mounts";
    refuses(
        "mounts",
        mount(json!({"type": "tmpfs", "options": ["idmap"]})),
        "mounts[0]",
        words,
    );
    let one = json!({"uidMappings": map, "options": ["bind"]});
    refuses(
        "mounts",
        mount(one),
        "mounts[0]",
        "must have both uid and gid mappings",
    );
    let mut wrong = both.clone();
    wrong["gidMappings"][0]["size"] = json!(0);
    refuses(
        "mounts",
        mount(wrong),
        "mounts[0].gidMappings[0]",
        "maps no ids",
    );

    let cleared = [
        ("linux.uidMappings", json!(null)),
        ("linux.gidMappings", json!(null)),
    ];
    let without_userns = |mounts| {
        let changes: Vec<_> = cleared
            .iter()
            .cloned()
            .chain([("mounts", mounts)])
            .collect();
        without(&["user"], &changes)
    };
    assert_none(&without_userns(mount(both)));
    let bare = without_userns(mount(json!({"options": ["bind", "idmap"]})));
    assert_fault(
        &bare,
        "mounts[0]",
        "without mappings and without a user namespace",
    );
}

#[test]
fn a_relative_destination_is_only_odd() {
    let findings = with(&[("mounts", json!([{"destination": "tmp", "type": "tmpfs"}]))]);
    assert!(findings.faults.is_empty());
    assert_eq!(
        findings.warnings[0].path.to_string(),
        "mounts[0].destination"
    );
}

#[test]
fn devices() {
    let device = |more: Value| {
        let mut device = json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 3});
        device
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!([device])
    };
    let place = "linux.devices";
    let cases = [
        (json!({"path": "x"}), "[0].path", "not an absolute path"),
        (json!({"major": null}), "[0]", "missing field `major`"),
        (
            json!({"minor": null, "type": "b"}),
            "[0]",
            "missing field `minor`",
        ),
        (
            json!({"major": 4096}),
            "[0].major",
            "no major number is greater than 4095",
        ),
        (
            json!({"minor": 1_048_576}),
            "[0].minor",
            "no minor number is greater than 1048575",
        ),
        (
            json!({"fileMode": 0o200_000}),
            "[0].fileMode",
            "is not a file mode",
        ),
        (json!({"uid": u32::MAX}), "[0].uid", "is not an id"),
    ];
    for (more, path, words) in cases {
        refuses(place, device(more), &format!("{place}{path}"), words);
    }
    accepts(
        place,
        device(json!({"type": "u", "fileMode": 0o20_666, "uid": 5})),
    );
    accepts(place, json!([{"path": "/f", "type": "p"}]));
}

#[test]
fn net_devices() {
    let place = "linux.netDevices";
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "a:b",
        "a b",
        "a\tb",
        "abcdefghijklmnop",
        "veth%d",
        "%s",
    ] {
        let path = at!["linux", "netDevices", name].to_string();
        refuses(
            place,
            json!({name: {}}),
            &path,
            "invalid network device name",
        );
    }
    for name in ["..", "a/b", "abcdefghijklmnop", "a%s", "a%d%d"] {
        let path = "linux.netDevices.eth0.name";
        refuses(
            place,
            json!({"eth0": {"name": name}}),
            path,
            "invalid network device name",
        );
    }
    accepts(
        place,
        json!({"abcdefghijklmno": {"name": ""}, "eth1": {"name": "eth%d"}, "eth2": {"name": "eth%d"}}),
    );
    let same = json!({"eth0": {"name": "eth1"}, "eth1": {}});
    refuses(
        place,
        same,
        "linux.netDevices.eth1.name",
        "\"eth1\" is the name of another",
    );
}

#[test]
fn intel_rdt() {
    for id in [".", "..", "a/b", "/a", "a\nb"] {
        let rdt = json!({"closID": id});
        refuses(
            "linux.intelRdt",
            rdt,
            "linux.intelRdt.closID",
            "invalid intelRdt.ClosID",
        );
    }
    accepts(
        "linux.intelRdt",
        json!({"closID": "/", "l3CacheSchema": "L3DATA:0=f\nL3CODE:0=f"}),
    );
    let path = "linux.intelRdt.memBwSchema";
    refuses(
        "linux.intelRdt",
        json!({"memBwSchema": "0=20"}),
        path,
        "does not start with \"MB:\"",
    );
    refuses(
        "linux.intelRdt",
        json!({"memBwSchema": "MB:0=20\nx"}),
        path,
        "more than one line",
    );
    let lines = json!({"schemata": ["L3:0=f", "L2:0=f\nMB:0=2"]});
    refuses(
        "linux.intelRdt",
        lines,
        "linux.intelRdt.schemata[1]",
        "more than one line",
    );
    let old = with(&[("linux.intelRdt", json!({"enableCMT": true}))]);
    assert_eq!(old.warnings[0].path.to_string(), "linux.intelRdt.enableCMT");
    assert!(old.faults.is_empty());
}

#[test]
fn memory_policies() {
    let place = "linux.memoryPolicy";
    let path = "linux.memoryPolicy.nodes";
    let policy = |mode, nodes| json!({"mode": mode, "nodes": nodes});
    let words = "mode requires 0 nodes but got 8";
    refuses(place, policy("MPOL_DEFAULT", "0-7"), path, words);
    refuses(place, policy("MPOL_LOCAL", "0-7,3"), path, words);
    for mode in [
        "MPOL_BIND",
        "MPOL_INTERLEAVE",
        "MPOL_WEIGHTED_INTERLEAVE",
        "MPOL_PREFERRED_MANY",
    ] {
        refuses(
            place,
            policy(mode, ""),
            path,
            "requires at least one node but got 0",
        );
        accepts(place, policy(mode, "0, 2-3"));
    }
    accepts(place, policy("MPOL_PREFERRED", ""));
    accepts(place, json!({"mode": "MPOL_DEFAULT"}));
}

#[test]
fn personality_and_seccomp() {
    accepts(
        "linux.personality",
        json!({"domain": "LINUX32", "flags": []}),
    );
    let flags = json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]});
    refuses(
        "linux.personality",
        flags,
        "linux.personality.flags",
        "no personality flag",
    );
    let metadata = json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "m"});
    let path = "linux.seccomp.listenerMetadata";
    refuses(
        "linux.seccomp",
        metadata,
        path,
        "must not be set without listenerPath",
    );
    let rules = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": "SCMP_ACT_LOG"}]});
    let path = "linux.seccomp.syscalls[0].names";
    refuses("linux.seccomp", rules, path, "at least one name");
}
