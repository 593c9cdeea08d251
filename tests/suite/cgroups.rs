//! cgroups: where a container is, what it may use, and that nothing of it stays; on v1 and
//! on v2, with systemd and without.

use crate::harness::{Container, Sandbox, host, skip, tests, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

tests![
    container_is_in_every_hierarchy,
    nested_path,
    relative_path,
    default_path,
    path_cannot_climb,
    gone_after_delete,
    gone_after_run,
    gone_with_sub_cgroups,
    pause_freezes,
    pause_twice,
    pause_of_stopped,
    kill_of_paused,
    frozen_cgroup_is_refused,
    non_empty_cgroup_is_refused,
    empty_cgroup_is_taken,
    memory_limits,
    memory_limit_is_enforced,
    pids_limit,
    pids_limit_unlimited,
    cpu_limits,
    cpuset,
    docker_zeroes_mean_unset,
    limit_that_the_kernel_refuses,
    half_a_megabyte_suffices,
    processes_of_exec_are_limited,
    exec_after_the_cgroup_moved,
];

/// What a file of `controller` says: one of v1's, or what it is on v2.
fn value(c: &Container, controller: &str, v1: &str, v2: &str) -> String {
    let file = if host::is_v2() { v2 } else { v1 };
    let path = c.cgroup(controller).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.trim().into()
}

fn with_resources(t: &Sandbox, resources: Value) -> Container<'_> {
    let mut c = t.container();
    c.set("/linux/resources", resources);
    c.run_sleeping();
    c
}

/// Controller list and path of each line of /proc/PID/cgroup, on v1 without v2's.
fn placed(c: &Container) -> Vec<(String, String)> {
    let text = fs::read_to_string(c.proc("cgroup")).unwrap();
    let found: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let pair = (parts.next()?.to_owned(), parts.next()?.to_owned());
            (host::is_v2() || !pair.0.is_empty()).then_some(pair)
        })
        .collect();
    assert!(!found.is_empty(), "{text}");
    found
}

fn container_is_in_every_hierarchy(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    for (controllers, path) in placed(&c) {
        assert_eq!(path, host::cgroup(&c.id), "{controllers}");
    }
}

fn nested_path(t: &Sandbox) {
    if host::systemd() {
        skip("systemd nests slices, see systemd::slices_are_nested");
    }
    let mut c = t.container();
    let path = format!("/{}/deep/er", c.id);
    c.set("/linux/cgroupsPath", json!(path));
    c.run_sleeping();
    for (controllers, found) in placed(&c) {
        assert_eq!(found, path, "{controllers}");
    }
    c.delete_force().ok();
    // The parents may be other containers' as well, and stay; nothing of ours is in them.
    let root = Path::new("/sys/fs/cgroup");
    let mounts = fs::read_dir(root).unwrap().flatten().map(|e| e.path());
    for mount in mounts.chain([root.to_owned()]) {
        assert!(!mount.join(&path[1..]).exists(), "{mount:?}");
        let _ = fs::remove_dir(mount.join(&c.id).join("deep"));
        let _ = fs::remove_dir(mount.join(&c.id));
    }
}

/// Below the cgroup of whoever calls the runtime, or on v2 beside it.
fn relative_path(t: &Sandbox) {
    if host::systemd() {
        skip("a path for systemd is none of files");
    }
    let mut c = t.container();
    let path = c.id.clone();
    c.set("/linux/cgroupsPath", json!(path));
    c.run_sleeping();
    for (controllers, found) in placed(&c) {
        assert!(
            found.ends_with(&format!("/{path}")),
            "{controllers}: {found}"
        );
    }
    c.delete_force().ok();
    t.assert_nothing_left();
}

fn default_path(t: &Sandbox) {
    let mut c = t.container();
    c.unset("/linux/cgroupsPath");
    c.run_sleeping();
    let end = match host::systemd() {
        true => format!("/system.slice/tare-{}.scope", c.id),
        false => format!("/{}", c.id),
    };
    for (controllers, found) in placed(&c) {
        assert!(found.ends_with(&end), "{controllers}: {found}");
    }
    c.delete_force().ok();
    t.assert_nothing_left();
}

fn path_cannot_climb(t: &Sandbox) {
    let mut c = t.container();
    c.set("/linux/cgroupsPath", json!(format!("/../../{}", c.id)));
    c.args(["sleep", "1000"]);
    let out = c.run_with(&["--detach"]).run();
    if host::systemd() {
        out.fails().says("slice:prefix:name");
    } else if out.status == 0 {
        for (controllers, found) in placed(&c) {
            assert_eq!(found, format!("/{}", c.id), "{controllers}");
        }
    }
    c.delete_force().ok();
    t.assert_nothing_left();
}

fn gone_after_delete(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let pids = c.cgroup("pids");
    assert!(pids.exists());
    c.delete_force().ok();
    assert!(!pids.exists());
    t.assert_nothing_left();
}

fn gone_after_run(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]).run().ok();
    t.assert_nothing_left();
}

fn gone_with_sub_cgroups(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    for controller in ["pids", "memory", "systemd"] {
        let Some(mount) = host::hierarchy(controller) else {
            continue;
        };
        let dir = mount.join(&host::cgroup(&c.id)[1..]);
        fs::create_dir_all(dir.join("sub/sub")).unwrap();
    }
    c.delete_force().ok();
    t.assert_nothing_left();
}

fn pause_freezes(t: &Sandbox) {
    let mut c = t.container();
    c.script("while :; do echo tick; sleep 0.02; done");
    let run = c.run_with(&["--detach"]).run().ok();
    wait_for("a tick", || run.later().contains("tick"));
    c.verb(&["pause"]).run().ok();
    let frozen = value(&c, "freezer", "freezer.state", "cgroup.freeze");
    assert_eq!(frozen, if host::is_v2() { "1" } else { "FROZEN" });
    let before = run.later();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(run.later(), before);
    c.verb(&["resume"]).run().ok();
    wait_for("a tick", || run.later().len() > before.len());
}

fn pause_twice(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    c.verb(&["pause"]).run().ok();
    c.verb(&["pause"]).run().fails();
    assert_eq!(c.status(), "paused");
}

fn pause_of_stopped(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]);
    c.create().ok();
    c.start().ok();
    c.wait_for_status("stopped");
    c.verb(&["pause"]).run().fails().says("not running");
    c.verb(&["resume"]).run().fails().says("not paused");
}

fn kill_of_paused(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    c.verb(&["pause"]).run().ok();
    c.kill("KILL").ok();
    c.verb(&["resume"]).run();
    c.wait_for_status("stopped");
    c.delete().ok();
    t.assert_nothing_left();
}

fn frozen_cgroup_is_refused(t: &Sandbox) {
    let mut c = t.container();
    let freezer = c.cgroup("freezer");
    fs::create_dir(&freezer).unwrap();
    let (file, frozen, thawed) = match host::is_v2() {
        true => ("cgroup.freeze", "1", "0"),
        false => ("freezer.state", "FROZEN", "THAWED"),
    };
    fs::write(freezer.join(file), frozen).unwrap();
    c.args(["true"]);
    let out = c.run();
    let _ = fs::write(freezer.join(file), thawed);
    let _ = fs::remove_dir(&freezer);
    out.fails().mentions("frozen");
    t.assert_nothing_left();
}

fn non_empty_cgroup_is_refused(t: &Sandbox) {
    let mut first = t.container();
    first.run_sleeping();
    let mut c = t.container();
    let path = host::cgroups_path(&first.id);
    c.set("/linux/cgroupsPath", json!(path)).args(["true"]);
    c.create().fails().mentions("cgroup");
    assert_eq!(
        first.status(),
        "running",
        "it must not suffer from the failure"
    );
    assert!(first.cgroup("pids").exists());
    first.delete_force().ok();
    t.assert_nothing_left();
}

fn empty_cgroup_is_taken(t: &Sandbox) {
    let mut c = t.container();
    fs::create_dir(c.cgroup("pids")).unwrap();
    c.args(["true"]).run().ok();
    t.assert_nothing_left();
}

fn memory_limits(t: &Sandbox) {
    let mib = 1 << 20;
    let mut memory = json!({"limit": 64 * mib, "reservation": 32 * mib});
    if !host::is_v2() {
        memory["swappiness"] = json!(42);
    }
    let c = with_resources(t, json!({"memory": memory}));
    let value = |v1, v2| value(&c, "memory", v1, v2);
    let limit = value("memory.limit_in_bytes", "memory.max");
    assert_eq!(limit, (64 * mib).to_string());
    let reservation = value("memory.soft_limit_in_bytes", "memory.low");
    assert_eq!(reservation, (32 * mib).to_string());
    if !host::is_v2() {
        assert_eq!(value("memory.swappiness", ""), "42");
    }
}

fn memory_limit_is_enforced(t: &Sandbox) {
    let mut c = t.container();
    let _ = c.cgroup("memory");
    c.set("/linux/resources/memory", json!({"limit": 8 << 20}));
    c.mount("/tmp", "tmpfs", "tmpfs", &[]);
    // The shell is killed, or what it runs.
    c.script("head -c 64m /dev/zero >/tmp/file").run().fails();
    t.assert_nothing_left();
}

fn pids_limit(t: &Sandbox) {
    let mut c = with_resources(t, json!({"pids": {"limit": 20}}));
    assert_eq!(value(&c, "pids", "pids.max", "pids.max"), "20");
    c.delete_force().ok();
    c.script("for i in $(busybox seq 50); do sleep 1000 & done; wait");
    c.run().fails().says("can't fork");
}

fn pids_limit_unlimited(t: &Sandbox) {
    let c = with_resources(t, json!({"pids": {"limit": -1}}));
    assert_eq!(value(&c, "pids", "pids.max", "pids.max"), "max");
    if host::systemd() {
        // Without a limit of its own it has the host's for units (DefaultTasksMax=).
        return;
    }
    let c = with_resources(t, json!({"pids": {}}));
    assert_eq!(value(&c, "pids", "pids.max", "pids.max"), "max");
}

fn cpu_limits(t: &Sandbox) {
    let c = with_resources(
        t,
        json!({"cpu": {"shares": 512, "quota": 50000, "period": 100000}}),
    );
    if host::is_v2() {
        assert_eq!(value(&c, "cpu", "", "cpu.weight"), "59");
        assert_eq!(value(&c, "cpu", "", "cpu.max"), "50000 100000");
        return;
    }
    assert_eq!(value(&c, "cpu", "cpu.shares", ""), "512");
    assert_eq!(value(&c, "cpu", "cpu.cfs_quota_us", ""), "50000");
    assert_eq!(value(&c, "cpu", "cpu.cfs_period_us", ""), "100000");
}

fn cpuset(t: &Sandbox) {
    if host::hierarchy("cpuset").is_none() {
        skip("this host has no cpuset controller");
    }
    let c = with_resources(t, json!({"cpu": {"cpus": "0", "mems": "0"}}));
    let cpus = value(&c, "cpuset", "cpuset.cpus", "cpuset.cpus");
    assert_eq!(cpus, "0");
    c.exec(&["grep", "Cpus_allowed_list", "/proc/self/status"])
        .ok()
        .prints("Cpus_allowed_list:\t0");
}

fn docker_zeroes_mean_unset(t: &Sandbox) {
    let c = with_resources(
        t,
        json!({"cpu": {"shares": 0, "quota": 0, "period": 0}, "blockIO": {"weight": 0},
               "memory": {"disableOOMKiller": false}, "pids": {}}),
    );
    if host::is_v2() {
        assert_eq!(value(&c, "cpu", "", "cpu.weight"), "100");
        assert_eq!(value(&c, "cpu", "", "cpu.max"), "max 100000");
        return;
    }
    assert_eq!(value(&c, "cpu", "cpu.shares", ""), "1024");
    assert_eq!(value(&c, "cpu", "cpu.cfs_quota_us", ""), "-1");
}

fn limit_that_the_kernel_refuses(t: &Sandbox) {
    let mut c = t.container();
    let _ = c.cgroup("cpuset");
    c.set("/linux/resources/cpu", json!({"cpus": "4000"}));
    c.args(["true"]).run().fails().says("cpuset.cpus");
    t.assert_nothing_left();
}

/// What is set up in the container counts against its limit: it must be next to nothing.
fn half_a_megabyte_suffices(t: &Sandbox) {
    let mut c = t.container();
    let _ = c.cgroup("memory");
    c.set("/linux/resources/memory", json!({"limit": 512 << 10}));
    c.args(["true"]).run().ok();
}

fn processes_of_exec_are_limited(t: &Sandbox) {
    let c = with_resources(t, json!({"pids": {"limit": 3}}));
    c.exec(&["sh", "-c", "sleep 1 & sleep 1 & sleep 1 & wait"])
        .fails()
        .says("can't fork");
}

/// An init that moves itself into a sub-cgroup takes nobody along, and loses no one.
fn exec_after_the_cgroup_moved(t: &Sandbox) {
    let c = with_resources(t, json!({"devices": [{"allow": false, "access": "rwm"}]}));
    let sub = c.cgroup("pids").join("sub");
    fs::create_dir(&sub).unwrap();
    fs::write(sub.join("cgroup.procs"), c.pid().to_string()).unwrap();
    c.exec(&["echo", "in"]).ok().prints("in");
    c.delete_force().ok();
    t.assert_nothing_left();
}
