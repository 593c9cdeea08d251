//! `features`: its shape, and that what it says is so.

use crate::harness::{Container, Sandbox, skip, tests};
use serde_json::{Value, json};
use std::path::Path;

tests![
    shape,
    has_all_that_runcs_has,
    every_word_is_understood,
    words_that_are_not_there_are_refused,
    supported_seccomp_flags_work,
    seccomp_actions_and_operators_work,
    mount_options_work,
    namespaces_work,
];

fn features(t: &Sandbox) -> Value {
    t.tare(["features"]).run().ok().json()
}

fn words(features: &Value, pointer: &str) -> Vec<String> {
    let list = features.pointer(pointer).and_then(Value::as_array);
    let list = list.unwrap_or_else(|| panic!("no {pointer} in {features}"));
    list.iter()
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

/// features.md and features-linux.md of runtime-spec 1.3: every property, and no other.
fn shape(t: &Sandbox) {
    let features = features(t);
    let keys = |pointer: &str| -> Vec<String> {
        let object = features.pointer(pointer).and_then(Value::as_object);
        object
            .unwrap_or_else(|| panic!("no {pointer}"))
            .keys()
            .cloned()
            .collect()
    };
    for (pointer, expected) in [
        (
            "",
            "annotations hooks linux mountOptions ociVersionMax ociVersionMin \
             potentiallyUnsafeConfigAnnotations",
        ),
        (
            "/linux",
            "apparmor capabilities cgroup intelRdt memoryPolicy mountExtensions namespaces \
             netDevices seccomp selinux",
        ),
        ("/linux/cgroup", "rdma systemd systemdUser v1 v2"),
        (
            "/linux/seccomp",
            "actions archs enabled knownFlags operators supportedFlags",
        ),
        ("/linux/apparmor", "enabled"),
        ("/linux/selinux", "enabled"),
        ("/linux/intelRdt", "enabled monitoring schemata"),
        ("/linux/memoryPolicy", "flags modes"),
        ("/linux/mountExtensions", "idmap"),
        ("/linux/mountExtensions/idmap", "enabled"),
        ("/linux/netDevices", "enabled"),
    ] {
        let mut found = keys(pointer);
        found.sort();
        assert_eq!(found.join(" "), expected, "{pointer}");
    }
    for list in [
        "/mountOptions",
        "/linux/seccomp/archs",
        "/linux/capabilities",
    ] {
        let mut words = words(&features, list);
        let count = words.len();
        words.sort();
        words.dedup();
        assert_eq!(words.len(), count, "{list} has something twice");
    }
}

fn has_all_that_runcs_has(t: &Sandbox) {
    let runc = ["/usr/bin/runc", "/usr/sbin/runc"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or_else(|| skip("no runc to compare with (try: apt-get install runc)"));
    let theirs = t.command(runc).arg("features").run();
    if theirs.status != 0 {
        skip("this runc has no features command");
    }
    let (ours, theirs) = (features(t), theirs.json());
    for list in [
        "/hooks",
        "/mountOptions",
        "/linux/namespaces",
        "/linux/capabilities",
        "/linux/seccomp/actions",
        "/linux/seccomp/operators",
        "/linux/seccomp/archs",
    ] {
        let ours = words(&ours, list);
        let lacking: Vec<_> = words(&theirs, list)
            .into_iter()
            .filter(|word| !ours.contains(word))
            .collect();
        assert!(lacking.is_empty(), "{list} lacks {lacking:?}");
    }
}

/// A profile that allows all.
fn allow_all(more: Value) -> Value {
    let mut profile = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    for (key, value) in more.as_object().unwrap() {
        profile[key] = value.clone();
    }
    profile
}

fn accepted(t: &Sandbox, c: &Container) -> bool {
    let bundle = c.save().bundle.to_str().unwrap();
    t.tare(["validate", bundle]).run().status == 0
}

fn every_word_is_understood(t: &Sandbox) {
    let features = features(t);
    let mut c = t.container();
    let rule = |action: &str| json!({"names": ["getcwd"], "action": action, "errnoRet": 1});
    let actions = words(&features, "/linux/seccomp/actions");
    let rules: Vec<_> = actions
        .iter()
        .map(|action| {
            let mut rule = rule(action);
            if !matches!(action.as_str(), "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE") {
                rule.as_object_mut().unwrap().remove("errnoRet");
            }
            rule
        })
        .collect();
    c.set(
        "/linux/seccomp",
        allow_all(json!({
            "architectures": words(&features, "/linux/seccomp/archs"),
            "flags": words(&features, "/linux/seccomp/supportedFlags"),
            "listenerPath": "/run/agent.sock",
            "syscalls": rules,
        })),
    );
    c.set(
        "/process/capabilities/bounding",
        json!(words(&features, "/linux/capabilities")),
    );
    c.set("/ociVersion", features["ociVersionMax"].clone());
    assert!(accepted(t, &c), "{}", validated(t, &c));
    c.set("/ociVersion", features["ociVersionMin"].clone());
    assert!(accepted(t, &c));
    for hook in words(&features, "/hooks") {
        c.set(&format!("/hooks/{hook}"), json!([{"path": "/bin/true"}]));
    }
    assert!(accepted(t, &c), "{}", validated(t, &c));
    for mode in words(&features, "/linux/memoryPolicy/modes") {
        let nodes = match mode.as_str() {
            "MPOL_DEFAULT" | "MPOL_LOCAL" => "",
            _ => "0",
        };
        c.set("/linux/memoryPolicy", json!({"mode": mode, "nodes": nodes}));
        assert!(accepted(t, &c), "{mode}: {}", validated(t, &c));
    }
    for flag in words(&features, "/linux/memoryPolicy/flags") {
        c.set(
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}),
        );
        assert!(accepted(t, &c), "{flag}: {}", validated(t, &c));
    }
}

fn validated(t: &Sandbox, c: &Container) -> String {
    t.tare(["validate", c.bundle.to_str().unwrap()])
        .run()
        .stdout
}

fn words_that_are_not_there_are_refused(t: &Sandbox) {
    for (pointer, value) in [
        ("/linux/seccomp", json!({"defaultAction": "SCMP_ACT_NOPE"})),
        (
            "/linux/seccomp",
            allow_all(json!({"architectures": ["SCMP_ARCH_NOPE"]})),
        ),
        (
            "/linux/seccomp",
            allow_all(json!({"flags": ["SECCOMP_FILTER_FLAG_NOPE"]})),
        ),
        ("/linux/memoryPolicy", json!({"mode": "MPOL_NOPE"})),
        ("/linux/namespaces", json!([{"type": "nope"}])),
    ] {
        let mut c = t.container();
        c.set(pointer, value);
        assert!(!accepted(t, &c), "{pointer}");
    }
}

fn supported_seccomp_flags_work(t: &Sandbox) {
    let features = features(t);
    let known = words(&features, "/linux/seccomp/knownFlags");
    for flag in words(&features, "/linux/seccomp/supportedFlags") {
        assert!(known.contains(&flag), "{flag} is supported and not known");
        let mut c = t.container();
        c.set("/linux/seccomp", allow_all(json!({"flags": [flag]})));
        c.args(["true"]).run().ok();
    }
}

fn seccomp_actions_and_operators_work(t: &Sandbox) {
    let features = features(t);
    for action in words(&features, "/linux/seccomp/actions") {
        let mut c = t.container();
        // Nobody listens here, and the suite of seccomp has the rest.
        if action == "SCMP_ACT_NOTIFY" {
            continue;
        }
        let rule = json!({"names": ["sethostname"], "action": action});
        c.set("/linux/seccomp", allow_all(json!({"syscalls": [rule]})));
        let status = c.args(["hostname", "other"]).run().status;
        match action.as_str() {
            "SCMP_ACT_KILL"
            | "SCMP_ACT_KILL_PROCESS"
            | "SCMP_ACT_KILL_THREAD"
            | "SCMP_ACT_TRAP" => assert_eq!(status, 128 + 31, "{action}"),
            // Neither has it the right to, nor is there a tracer.
            _ => assert_eq!(status, 1, "{action}"),
        }
    }
    for operator in words(&features, "/linux/seccomp/operators") {
        let mut c = t.container();
        let arg = json!({"index": 0, "value": 7, "valueTwo": 7, "op": operator});
        let rule = json!({"names": ["close"], "action": "SCMP_ACT_ALLOW", "args": [arg]});
        c.set("/linux/seccomp", allow_all(json!({"syscalls": [rule]})));
        c.args(["true"]).run().ok();
    }
}

fn mount_options_work(t: &Sandbox) {
    let mut c = t.container();
    let options = words(&features(t), "/mountOptions");
    assert!(options.len() > 60, "{options:?}");
    for option in &options {
        let to = format!("/tmp/{option}");
        match option.as_str() {
            // With tests of their own: they need mappings, or something to bind.
            "idmap" | "ridmap" => {}
            "bind" | "rbind" => drop(c.mount(&to, "none", "/tmp", &[option])),
            _ => drop(c.mount(&to, "tmpfs", "tmpfs", &[option])),
        }
    }
    c.script("grep -c ' /tmp/[a-z_]* ' /proc/self/mountinfo");
    let out = c.run().ok();
    let count: usize = out.text().parse().unwrap();
    assert_eq!(count, options.len() - 2, "{out}");
}

fn namespaces_work(t: &Sandbox) {
    let features = features(t);
    let mut c = t.container();
    let kinds = words(&features, "/linux/namespaces");
    let list: Vec<_> = kinds.iter().map(|kind| json!({"type": kind})).collect();
    c.set("/linux/namespaces", json!(list));
    let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    c.set("/linux/uidMappings", map.clone())
        .set("/linux/gidMappings", map);
    c.script("for n in /proc/self/ns/*; do readlink $n; done");
    let inside = c.run().ok().stdout;
    for (name, kind) in [
        ("cgroup", "cgroup"),
        ("ipc", "ipc"),
        ("mnt", "mount"),
        ("net", "network"),
        ("pid", "pid"),
        ("time", "time"),
        ("user", "user"),
        ("uts", "uts"),
    ] {
        assert!(kinds.iter().any(|k| k == kind), "{kind}");
        let ours = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        let ours = ours.to_str().unwrap();
        assert!(inside.contains(&format!("{name}:[")), "{inside}");
        assert!(!inside.contains(ours), "{kind} is shared: {inside}");
    }
}
