//! An ordinary user, who has ranges of ids.

use super::{Command, Container, Sandbox, runtime, skip};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// The user, and the first of the ids that /etc/subuid gives to them.
pub const USER: u32 = 23456;
pub const RANGE: u32 = 300_000;

/// A container for the user, whose ranges are mapped.
pub fn container(t: &Sandbox) -> Container<'_> {
    for helper in ["/usr/bin/newuidmap", "/usr/bin/newgidmap"] {
        if !Path::new(helper).exists() {
            skip("no newuidmap (try: apt-get install uidmap)");
        }
    }
    let mut c = t.container();
    c.unset("/linux/cgroupsPath").unset("/linux/resources");
    let list = c.config["mounts"].as_array_mut().unwrap();
    list.retain(|mount| mount["type"] != "cgroup");
    c.push("/linux/namespaces", json!({"type": "user"}));
    let ids = json!([{"containerID": 0, "hostID": USER, "size": 1},
                     {"containerID": 1, "hostID": RANGE, "size": 65536}]);
    c.set("/linux/uidMappings", ids.clone())
        .set("/linux/gidMappings", ids);
    c
}

/// One id, which a user may map without help, and so what goes with it.
pub fn with_one_id(c: &mut Container) {
    let own = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
    c.set("/linux/uidMappings", own.clone())
        .set("/linux/gidMappings", own);
    for mount in c.config["mounts"].as_array_mut().unwrap() {
        if let Some(Value::Array(options)) = mount.get_mut("options") {
            options.retain(|option| option != "gid=5");
        }
    }
}

/// The runtime as that user runs it, on a machine that knows them, after root has run `before`.
pub fn tare(t: &Sandbox, c: &Container, path: &str, before: &str, args: &[&str]) -> Command {
    c.save();
    let root = t.dir("users");
    let etc = t.dir("etc");
    for (name, text) in [
        (
            "passwd",
            format!("root:x:0:0::/:/bin/sh\nuser:x:{USER}:{USER}::/:/bin/sh\n"),
        ),
        ("group", format!("root:x:0:\nuser:x:{USER}:\n")),
        ("subuid", format!("user:{RANGE}:65536\n")),
        ("subgid", format!("user:{RANGE}:65536\n")),
    ] {
        fs::write(etc.join(name), text).unwrap();
    }
    let owner = format!("{USER}:{USER}");
    for path in [&root, &c.bundle] {
        let given = t
            .command("chown")
            .args(["-R", "-h", &owner, path.to_str().unwrap()])
            .run();
        given.ok();
    }
    let script = format!(
        "mount --bind {} /etc || exit 9; {before}
PATH={path} exec /usr/bin/setpriv \
         --reuid {USER} --regid {USER} --clear-groups \"$@\"",
        etc.display(),
    );
    t.command("unshare")
        .args([
            "--mount",
            "/bin/sh",
            "-c",
            &script,
            "sh",
            runtime(),
            "--root",
        ])
        .arg(root.to_str().unwrap())
        .args(args)
}

/// Where the user's programs are.
pub const PATH: &str = "/usr/bin:/bin";
