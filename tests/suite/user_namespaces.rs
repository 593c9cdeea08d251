//! User namespaces: mappings, joining, and what root in one may do.

use crate::harness::{Container, Sandbox, runtime, tests};
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;

tests![
    user_namespace_mappings,
    user_namespace_devices,
    user_namespace_exec,
    user_namespace_joined,
    user_namespace_without_mappings,
    mappings_without_user_namespace,
    state_of_a_user_namespace_is_the_users,
];

fn namespace_of(pid: &str, name: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
    link.to_str().unwrap().into()
}

pub fn map_users(c: &mut Container, first: u32) {
    let mapping = json!([{"containerID": 0, "hostID": first, "size": 65536}]);
    c.push("/linux/namespaces", json!({"type": "user"}));
    c.set("/linux/uidMappings", mapping.clone())
        .set("/linux/gidMappings", mapping);
    let rootfs = c.rootfs("");
    std::os::unix::fs::chown(&rootfs, Some(first), Some(first)).unwrap();
    for dir in ["dev", "etc", "proc", "root", "sys", "tmp"] {
        std::os::unix::fs::chown(rootfs.join(dir), Some(first), Some(first)).unwrap();
    }
}

fn set_path(c: &mut Container, kind: &str, path: String) {
    c.without_namespace(kind);
    c.push("/linux/namespaces", json!({"type": kind, "path": path}));
}

fn user_namespace_mappings(t: &Sandbox) {
    let mut c = t.container();
    map_users(&mut c, 100000);
    c.set(
        "/linux/uidMappings",
        json!([
            {"containerID": 0, "hostID": 100000, "size": 500},
            {"containerID": 500, "hostID": 200000, "size": 1000},
        ]),
    );
    c.script(
        "cat /proc/self/uid_map /proc/self/gid_map; id -u; cat /proc/self/setgroups; hostname",
    );
    let out = c.run().ok();
    let lines: Vec<Vec<_>> = out
        .stdout
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["0", "100000", "500"]);
    assert_eq!(lines[1], ["500", "200000", "1000"]);
    assert_eq!(lines[2], ["0", "100000", "65536"]);
    assert_eq!(lines[3..], [["0"], ["allow"], ["tare"]]);
    c.set("/process/user", json!({"uid": 600, "gid": 7}));
    c.run_sleeping();
    let meta = fs::metadata(c.proc("")).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (200100, 100007));
}

/// mknod is not for user namespaces: the host's nodes are bound in.
fn user_namespace_devices(t: &Sandbox) {
    let mut c = t.container();
    map_users(&mut c, 100000);
    c.script(
        "for d in null zero full random urandom tty; do test -c /dev/$d || exit 1; done; \
         echo x >/dev/null && head -c 2 /dev/zero | wc -c; stat -c %u /dev/pts /dev/shm",
    );
    c.run().ok().prints("2\n0\n0");
}

fn user_namespace_exec(t: &Sandbox) {
    let mut c = t.container();
    map_users(&mut c, 100000);
    c.run_sleeping();
    c.exec(&[
        "sh",
        "-c",
        "id -u; id -g; cat /proc/self/uid_map | tr -s ' '",
    ])
    .ok()
    .prints("0\n0\n 0 100000 65536");
    c.exec_with(&["--user", "5:6"], &["sh", "-c", "id -u; id -g"])
        .run()
        .ok()
        .prints("5\n6");
}

fn user_namespace_joined(t: &Sandbox) {
    let mut first = t.container();
    map_users(&mut first, 100000);
    first.run_sleeping();
    let mut c = t.container();
    map_users(&mut c, 100000);
    set_path(&mut c, "user", format!("/proc/{}/ns/user", first.pid()));
    set_path(&mut c, "network", format!("/proc/{}/ns/net", first.pid()));
    c.unset("/linux/uidMappings").unset("/linux/gidMappings");
    c.run_sleeping();
    let own = namespace_of(&c.pid().to_string(), "user");
    assert_eq!(own, namespace_of(&first.pid().to_string(), "user"));
    assert_eq!(fs::metadata(c.proc("")).unwrap().uid(), 100000);
}

fn user_namespace_without_mappings(t: &Sandbox) {
    let mut c = t.container();
    c.push("/linux/namespaces", json!({"type": "user"}));
    c.args(["true"]).run().fails();
    t.assert_nothing_left();
}

fn mappings_without_user_namespace(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/uidMappings",
        json!([{"containerID": 0, "hostID": 1, "size": 1}]),
    );
    c.args(["true"]).run().fails().says("uidMappings");
    t.assert_nothing_left();
}

/// Podman without root calls as root of a user namespace; conmon tells nothing but the
/// directory.
fn state_of_a_user_namespace_is_the_users(t: &Sandbox) {
    let c = t.container();
    c.save();
    let run = |user: &[&str], dir: &str| {
        let dir = t.dir(dir);
        let own = format!("XDG_RUNTIME_DIR={}", dir.display());
        t.command("unshare")
            .args(["--user", "--map-root-user", "env", "-u", "USER", &own])
            .args(user)
            .args([runtime(), "run", "--bundle", c.bundle.to_str().unwrap()])
            .arg(&c.id)
            .run();
        fs::read_dir(dir).unwrap().count()
    };
    assert_eq!(run(&[], "nobody's"), 1);
    assert_eq!(run(&["USER=somebody"], "somebody's"), 1);
    assert_eq!(run(&["USER=root"], "root's"), 0);
}
