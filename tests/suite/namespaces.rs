//! Namespaces: each one new or joined by path, and what the config sets in them.

use crate::harness::{Container, Running, Sandbox, skip, tests, wait_for};
use serde_json::json;
use std::fs;

tests![
    each_namespace_is_new,
    each_namespace_may_be_the_hosts,
    each_namespace_can_be_joined,
    exec_joins_every_namespace,
    path_of_the_wrong_type,
    path_that_is_no_namespace,
    duplicate_namespace,
    joined_mount_namespace,
    joined_pid_namespace,
    pid_namespace_shared_with_a_container,
    hostname_and_domainname,
    hostname_without_uts_namespace,
    sysctl,
    sysctl_with_slashes,
    sysctl_of_the_hosts_network,
    time_offsets,
    time_offsets_without_namespace,
    no_mount_namespace,
    no_mount_namespace_among_shared_mounts,
    loopback_is_up,
    new_network_has_no_other_device,
];

/// Type in the config, name in /proc/PID/ns.
const KINDS: [(&str, &str); 7] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

fn namespace_of(pid: &str, name: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
    link.to_str().unwrap().into()
}

fn add_namespaces(c: &mut Container, kinds: &[&str]) {
    for kind in kinds {
        c.push("/linux/namespaces", json!({"type": kind}));
    }
}

fn map_users(c: &mut Container, first: u32) {
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

fn each_namespace_is_new(t: &Sandbox) {
    let mut c = t.container();
    map_users(&mut c, 100000);
    add_namespaces(&mut c, &["cgroup", "time"]);
    c.run_sleeping();
    let pid = c.pid().to_string();
    for name in KINDS.map(|(_, name)| name).into_iter().chain(["user"]) {
        assert_ne!(
            namespace_of(&pid, name),
            namespace_of("self", name),
            "{name}"
        );
    }
}

fn each_namespace_may_be_the_hosts(t: &Sandbox) {
    for (kind, name) in KINDS {
        if kind == "mount" {
            continue;
        }
        let mut c = t.container();
        c.without_namespace(kind);
        if kind == "uts" {
            c.unset("/hostname");
        }
        if kind == "network" {
            // sysfs can be mounted only with a network namespace of one's own.
            let list = c.config["mounts"].as_array_mut().unwrap();
            list.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/sys"));
        }
        c.run_sleeping();
        let pid = c.pid().to_string();
        assert_eq!(
            namespace_of(&pid, name),
            namespace_of("self", name),
            "{kind}"
        );
        c.delete_force().ok();
    }
}

/// A process in new namespaces of these unshare(1) options, and its pid there as a path.
fn holder(t: &Sandbox, options: &[&str]) -> (Running, u32) {
    let running = t
        .command("unshare")
        .args(options)
        .args(["sh", "-c", "echo ready; sleep 1000"])
        .spawn();
    wait_for("the namespaces", || running.stdout().contains("ready"));
    let pid = running.pid();
    (running, pid)
}

fn set_path(c: &mut Container, kind: &str, path: String) {
    c.without_namespace(kind);
    c.push("/linux/namespaces", json!({"type": kind, "path": path}));
}

fn each_namespace_can_be_joined(t: &Sandbox) {
    let (_holder, pid) = holder(t, &["--net", "--ipc", "--uts", "--cgroup"]);
    for (kind, name) in [
        ("network", "net"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("cgroup", "cgroup"),
    ] {
        let mut c = t.container();
        set_path(&mut c, kind, format!("/proc/{pid}/ns/{name}"));
        if kind == "uts" {
            c.unset("/hostname");
        }
        c.run_sleeping();
        let expected = namespace_of(&pid.to_string(), name);
        assert_eq!(namespace_of(&c.pid().to_string(), name), expected, "{kind}");
        c.delete_force().ok();
    }
}

fn exec_joins_every_namespace(t: &Sandbox) {
    let mut c = t.container();
    map_users(&mut c, 100000);
    add_namespaces(&mut c, &["cgroup", "time"]);
    c.run_sleeping();
    let pid = c.pid().to_string();
    let names = ["pid", "net", "ipc", "uts", "mnt", "cgroup", "time", "user"];
    let script =
        "cd /proc/self/ns; for n in pid net ipc uts mnt cgroup time user; do readlink $n; done";
    let out = c.exec(&["sh", "-c", script]).ok();
    for (line, name) in out.stdout.lines().zip(names) {
        assert_eq!(line, namespace_of(&pid, name), "{name}");
    }
    assert_eq!(out.stdout.lines().count(), names.len());
    // In the pid namespace itself, and not only as the parent of who is.
    let out = c
        .exec(&["sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]'"])
        .ok();
    let inside: u32 = out.stdout.lines().next().unwrap().parse().unwrap();
    assert!(inside < 50, "{out}");
}

fn path_of_the_wrong_type(t: &Sandbox) {
    for (kind, name) in [
        ("network", "uts"),
        ("pid", "net"),
        ("ipc", "mnt"),
        ("mount", "ipc"),
    ] {
        let mut c = t.container();
        set_path(&mut c, kind, format!("/proc/self/ns/{name}"));
        c.args(["true"]).run().fails();
        t.assert_nothing_left();
    }
}

fn path_that_is_no_namespace(t: &Sandbox) {
    let file = t.file("file", "");
    for path in [file.to_str().unwrap(), "/no/such/file", "/dev/null"] {
        let mut c = t.container();
        set_path(&mut c, "network", path.into());
        c.args(["true"]).run().fails().says(path);
        t.assert_nothing_left();
    }
}

/// The spec: MUST generate an error.
fn duplicate_namespace(t: &Sandbox) {
    let mut c = t.container();
    add_namespaces(&mut c, &["ipc"]);
    c.args(["true"]).run().fails().says("ipc");
    t.assert_nothing_left();
}

fn joined_mount_namespace(t: &Sandbox) {
    let (_holder, pid) = holder(t, &["--mount"]);
    let mut c = t.container();
    set_path(&mut c, "mount", format!("/proc/{pid}/ns/mnt"));
    // Nothing can be mounted in someone else's: the config must ask for nothing.
    c.set("/mounts", json!([]))
        .unset("/linux/maskedPaths")
        .unset("/linux/readonlyPaths");
    c.set("/root/readonly", json!(false));
    c.args(["/bin/readlink", "/proc/self/ns/mnt"]);
    let out = c.run();
    if out.status == 0 {
        out.prints(&namespace_of(&pid.to_string(), "mnt"));
    }
    c.delete_force().ok();
}

fn joined_pid_namespace(t: &Sandbox) {
    let mut first = t.container();
    first.run_sleeping();
    let mut c = t.container();
    set_path(&mut c, "pid", format!("/proc/{}/ns/pid", first.pid()));
    c.run_sleeping();
    let own = namespace_of(&c.pid().to_string(), "pid");
    assert_eq!(own, namespace_of(&first.pid().to_string(), "pid"));
    c.exec(&["sh", "-c", "cat /proc/1/cmdline | tr '\\0' ' '"])
        .ok()
        .prints("sleep 1000");
}

/// As in a pod: the second ends with all it has, the first goes on.
fn pid_namespace_shared_with_a_container(t: &Sandbox) {
    let mut first = t.container();
    first.run_sleeping();
    let mut c = t.container();
    set_path(&mut c, "pid", format!("/proc/{}/ns/pid", first.pid()));
    c.script("sleep 1001 & sleep 1002 & echo ready; wait");
    let run = c.run_with(&["--detach"]).run().ok();
    wait_for("ready", || run.later().contains("ready"));
    c.delete_force().ok();
    assert_eq!(first.status(), "running");
    first
        .exec(&["sh", "-c", "ps | grep -c 'sleep 100[12]'"])
        .prints("0");
}

fn hostname_and_domainname(t: &Sandbox) {
    let mut c = t.container();
    c.set("/hostname", json!("a-host"))
        .set("/domainname", json!("a.domain"));
    c.script("hostname; cat /proc/sys/kernel/domainname");
    c.run().ok().prints("a-host\na.domain");
}

fn hostname_without_uts_namespace(t: &Sandbox) {
    let mut c = t.container();
    c.without_namespace("uts");
    c.args(["true"]).run().fails().mentions("uts");
    c.unset("/hostname").set("/domainname", json!("x"));
    c.run().fails().mentions("uts");
    t.assert_nothing_left();
}

fn sysctl(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/sysctl",
        json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "1000000", "fs.mqueue.msg_max": "20"}),
    );
    c.script("cd /proc/sys; cat net/ipv4/ip_forward kernel/shmmax fs/mqueue/msg_max");
    c.run().ok().prints("1\n1000000\n20");
}

/// sysctl(8) has two spellings: a name with a slash may hold dots in its parts.
fn sysctl_with_slashes(t: &Sandbox) {
    let mut c = t.container();
    c.set("/linux/sysctl", json!({"net/ipv4/conf/lo/forwarding": "1"}));
    c.args(["cat", "/proc/sys/net/ipv4/conf/lo/forwarding"])
        .run()
        .ok()
        .prints("1");
}

/// By whatever path the host's network is joined.
fn sysctl_of_the_hosts_network(t: &Sandbox) {
    let mut c = t.container();
    c.without_namespace("network");
    c.push(
        "/linux/namespaces",
        json!({"type": "network", "path": "/proc/self/ns/net"}),
    );
    c.set("/linux/sysctl", json!({"net.ipv4.conf.lo.forwarding": "1"}));
    c.args(["true"])
        .run()
        .fails()
        .says("not allowed in host network namespace");
}

fn time_offsets(t: &Sandbox) {
    let mut c = t.container();
    add_namespaces(&mut c, &["time"]);
    c.set(
        "/linux/timeOffsets",
        json!({"boottime": {"secs": 1000000, "nanosecs": 0}, "monotonic": {"secs": 5, "nanosecs": 7}}),
    );
    c.script("cat /proc/self/timens_offsets; cut -d. -f1 /proc/uptime");
    let out = c.run().ok();
    let words: Vec<_> = out.stdout.split_whitespace().collect();
    assert_eq!(
        words[..6],
        ["monotonic", "5", "7", "boottime", "1000000", "0"]
    );
    assert!(words[6].parse::<u64>().unwrap() > 1000000, "{out}");
}

fn time_offsets_without_namespace(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/timeOffsets",
        json!({"boottime": {"secs": 1, "nanosecs": 0}}),
    );
    c.args(["true"]).run().fails().mentions("time");
    t.assert_nothing_left();
}

/// Without one, the root is changed by chroot and nothing may be mounted on the host.
fn no_mount_namespace(t: &Sandbox) {
    let mut c = t.container();
    c.without_namespace("mount").writable();
    c.set("/mounts", json!([]))
        .unset("/linux/maskedPaths")
        .unset("/linux/readonlyPaths");
    c.args(["/bin/busybox", "ls", "/bin/busybox"]);
    // A runtime that gets it wrong mounts here: in a namespace that ends with the test.
    c.save();
    let run = format!(
        "cat /proc/self/mountinfo >{before}; {} run -b {} {}; status=$?; \
         cat /proc/self/mountinfo >{after}; exit $status",
        t.tare_words(),
        c.bundle.display(),
        c.id,
        before = t.path("before").display(),
        after = t.path("after").display(),
    );
    t.command("unshare")
        .args(["-m", "sh", "-c", &run])
        .run()
        .ok()
        .prints("/bin/busybox");
    let read = |name| fs::read_to_string(t.path(name)).unwrap();
    assert_eq!(read("before"), read("after"));
}

/// As on a host that systemd booted, where what is mounted in the rootfs shows twice.
fn no_mount_namespace_among_shared_mounts(t: &Sandbox) {
    let mut c = t.container();
    c.without_namespace("mount").writable();
    c.unset("/linux/maskedPaths").unset("/linux/readonlyPaths");
    c.args(["true"]).save();
    let script = format!(
        "mount --make-rshared /; cp /proc/self/mounts {before}; {} run -b {} {} && \
         cmp /proc/self/mounts {before} && echo same",
        t.tare_words(),
        c.bundle.display(),
        c.id,
        before = t.path("before").display(),
    );
    let out = t.command("unshare").args(["-m", "sh", "-c", &script]).run();
    out.ok().prints("same");
}

fn loopback_is_up(t: &Sandbox) {
    let mut c = t.container();
    c.script("busybox ip -o addr show lo");
    let out = c.run().ok();
    assert!(
        out.stdout.contains("127.0.0.1/8") && out.stdout.contains(" lo"),
        "{out}"
    );
}

fn new_network_has_no_other_device(t: &Sandbox) {
    let mut c = t.container();
    c.script("tail -n +3 /proc/net/dev | cut -d: -f1");
    let out = c.run().ok();
    if out.stdout.lines().any(|line| line.trim() != "lo") {
        skip("this kernel makes fallback tunnels in each network namespace");
    }
}
