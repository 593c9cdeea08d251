//! What protects must not be in the way: tare runs in a container of its own making that has
//! the usual privileges, and in a user namespace that an ordinary user made.

use crate::harness::{Container, Sandbox, runtime, tests};
use crate::ids::map_users;
use serde_json::{Value, json};

tests![
    in_a_privileged_container,
    in_a_privileged_container_with_a_user_namespace,
    in_an_unprivileged_user_namespace,
    in_an_unprivileged_user_namespace_with_another,
];

/// As an engine's `--privileged` has it: all capabilities and devices, nothing hidden.
fn privileged(t: &Sandbox) -> Container<'_> {
    let mut c = t.container();
    let features = t.tare(["features"]).run().ok().json();
    let all: Vec<String> =
        serde_json::from_value(features["linux"]["capabilities"].clone()).unwrap();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    c.capabilities(&all)
        .set("/process/noNewPrivileges", json!(false))
        .set(
            "/linux/resources/devices",
            json!([{"allow": true, "access": "rwm"}]),
        )
        .set("/linux/maskedPaths", json!([]))
        .set("/linux/readonlyPaths", json!([]))
        .set("/root/readonly", json!(false));
    c.push("/linux/namespaces", json!({"type": "cgroup"}));
    for mount in c.config["mounts"].as_array_mut().unwrap() {
        if let Some(Value::Array(options)) = mount.get_mut("options") {
            options.retain(|option| option != "ro");
        }
    }
    c
}

/// Runs `inner` by a tare in `outer`: a whole life, by create, start, exec and delete.
#[track_caller]
fn nested(outer: &mut Container, inner: &mut Container) {
    inner.args(["sleep", "1000"]).save();
    outer.mount("/tare", "bind", runtime(), &["bind", "ro"]);
    let bundle = inner.bundle.to_str().unwrap();
    outer.mount("/bundle", "bind", bundle, &["rbind"]);
    let script = "set -e; t='/tare --root /tmp/state'; $t create -b /bundle inner; \
                  $t start inner; $t exec inner sh -c 'echo inside; id -u; \
                  cat /proc/1/cmdline | tr \"\\0\" \" \"'; $t delete --force inner; $t list -q; \
                  find /sys/fs/cgroup -name inner";
    outer
        .script(script)
        .run()
        .ok()
        .prints("inside\n0\nsleep 1000");
}

fn inner(t: &Sandbox) -> Container<'_> {
    let mut inner = t.container();
    inner.set("/linux/cgroupsPath", json!("/inner"));
    inner
}

fn in_a_privileged_container(t: &Sandbox) {
    nested(&mut privileged(t), &mut inner(t));
}

fn in_a_privileged_container_with_a_user_namespace(t: &Sandbox) {
    let mut inner = inner(t);
    map_users(&mut inner, 100_000);
    nested(&mut privileged(t), &mut inner);
}

/// Runs it as an ordinary user in a user namespace of theirs, where that user is root.
#[track_caller]
fn unprivileged(t: &Sandbox, c: &mut Container) {
    const USER: &str = "12345";
    c.unset("/linux/cgroupsPath").unset("/linux/resources");
    let list = c.config["mounts"].as_array_mut().unwrap();
    list.retain(|mount| mount["type"] != "cgroup");
    for mount in list {
        if let Some(Value::Array(options)) = mount.get_mut("options") {
            // That group is not mapped there.
            options.retain(|option| option != "gid=5");
        }
    }
    c.script("echo inside; id -u; test -c /dev/null && echo node")
        .save();
    let root = t.dir("users");
    for path in [&root, &c.bundle] {
        let owner = format!("{USER}:{USER}");
        t.command("chown")
            .args(["-R", &owner, path.to_str().unwrap()])
            .run()
            .ok();
    }
    t.command("setpriv")
        .args([
            "--reuid",
            USER,
            "--regid",
            USER,
            "--clear-groups",
            "unshare",
        ])
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            runtime(),
        ])
        .args(["--root", root.to_str().unwrap(), "run"])
        .args(["--bundle", c.bundle.to_str().unwrap(), &c.id])
        .run()
        .ok()
        .prints("inside\n0\nnode");
    assert_eq!(std::fs::read_dir(root).unwrap().count(), 0);
}

fn in_an_unprivileged_user_namespace(t: &Sandbox) {
    unprivileged(t, &mut t.container());
}

fn in_an_unprivileged_user_namespace_with_another(t: &Sandbox) {
    let mut c = t.container();
    map_users(&mut c, 0);
    let mapping = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    c.set("/linux/uidMappings", mapping.clone())
        .set("/linux/gidMappings", mapping);
    unprivileged(t, &mut c);
}
