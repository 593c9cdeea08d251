//! cgroups: where a container is, what it may use, and that nothing of it stays.

use crate::harness::limits::{check, is_v2, need};
use crate::harness::{Command, Container, Running, Sandbox, host, skip, tests, wait_for};
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
    exec_after_the_cgroup_moved,
    same_cgroup_at_the_same_time,
    too_little_memory_to_start,
    owned_by_the_containers_root,
    owned_by_the_containers_user_among_an_engines,
    not_owned_where_it_is_read_only,
];

/// Freezes a cgroup, or lets it go on.
fn set_frozen(freezer: &Path, frozen: bool) {
    let (file, value) = match (is_v2(), frozen) {
        (true, frozen) => ("cgroup.freeze", if frozen { "1" } else { "0" }),
        (false, true) => ("freezer.state", "FROZEN"),
        (false, false) => ("freezer.state", "THAWED"),
    };
    fs::write(freezer.join(file), value).unwrap();
}

/// Controller list and path of each line of /proc/PID/cgroup; on a host with v1 without v2's.
fn placed(c: &Container) -> Vec<(String, String)> {
    let text = fs::read_to_string(c.proc("cgroup")).unwrap();
    text.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let pair = (parts.next()?.to_owned(), parts.next()?.to_owned());
            (is_v2() || !pair.0.is_empty()).then_some(pair)
        })
        .collect()
}

fn container_is_in_every_hierarchy(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let found = placed(&c);
    assert!(!found.is_empty());
    for (controllers, path) in found {
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
    let root = PathBuf::from("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(&root).unwrap().flatten();
    let hierarchies: Vec<_> = hierarchies.map(|entry| entry.path()).collect();
    for hierarchy in hierarchies.iter().chain([&root]) {
        assert!(!hierarchy.join(&path[1..]).exists(), "{hierarchy:?}");
        let _ = fs::remove_dir(hierarchy.join(&c.id).join("deep"));
        let _ = fs::remove_dir(hierarchy.join(&c.id));
    }
}

/// Below the cgroup of whoever calls the runtime, and on v2 beside it.
fn relative_path(t: &Sandbox) {
    if host::systemd() {
        skip("systemd's paths are neither absolute nor relative");
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
        if let Some(mount) = host::hierarchy(controller) {
            let dir = mount.join(&host::cgroup(&c.id)[1..]);
            fs::create_dir_all(dir.join("sub/sub")).unwrap();
        }
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
    check(
        &c,
        ("freezer/freezer.state", "FROZEN"),
        ("cgroup.freeze", "1"),
    );
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
    set_frozen(&freezer, true);
    c.args(["true"]);
    let out = c.run();
    set_frozen(&freezer, false);
    fs::remove_dir(&freezer).unwrap();
    out.fails().mentions("frozen");
    t.assert_nothing_left();
}

fn non_empty_cgroup_is_refused(t: &Sandbox) {
    let mut first = t.container();
    first.run_sleeping();
    let _ = first.cgroup("pids");
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

/// An init that moves itself into a sub-cgroup takes nobody along, and loses no one.
fn exec_after_the_cgroup_moved(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let sub = c.cgroup("pids").join("sub");
    fs::create_dir(&sub).unwrap();
    fs::write(sub.join("cgroup.procs"), c.pid().to_string()).unwrap();
    c.exec(&["echo", "in"]).ok().prints("in");
    c.delete_force().ok();
    t.assert_nothing_left();
}

/// Each finds nobody in it; the one that is refused must not harm the other.
fn same_cgroup_at_the_same_time(t: &Sandbox) {
    for _ in 0..10 {
        let containers: Vec<_> = (0..4)
            .map(|_| {
                let mut c = t.container();
                c.set(
                    "/linux/cgroupsPath",
                    json!(host::cgroups_path(&t.id("shared"))),
                );
                c.args(["sleep", "1000"]);
                c
            })
            .collect();
        let commands: Vec<_> = containers.iter().map(|c| c.create_with(&[])).collect();
        let creates: Vec<_> = commands.into_iter().map(Command::spawn).collect();
        let ends: Vec<_> = creates.into_iter().map(Running::wait).collect();
        let won: Vec<_> = (0..4).filter(|&n| ends[n].status == 0).collect();
        assert_eq!(won.len(), 1, "{ends:?}");
        for lost in ends.into_iter().filter(|end| end.status != 0) {
            // systemd may be asked twice before it has made the first.
            let words = ["container's cgroup is not", "already"];
            let words = if host::systemd() {
                &words[..]
            } else {
                &words[..1]
            };
            assert!(words.iter().any(|w| lost.stderr.contains(w)), "{lost}");
        }
        let winner = &containers[won[0]];
        assert_eq!(winner.status(), "created");
        winner.start().ok();
        assert_eq!(winner.status(), "running");
        winner.delete_force().ok();
        t.assert_nothing_left();
    }
}

fn too_little_memory_to_start(t: &Sandbox) {
    need(&["memory"]);
    let mut c = t.container();
    c.set("/linux/resources/memory", json!({"limit": 4096}));
    c.args(["true"]);
    let create = c.create();
    let out = if create.status == 0 {
        c.start()
    } else {
        create
    };
    let out = out.fails().says("linux.resources.memory.limit");
    // systemd may have removed the cgroup by then, and with it what it knew.
    if !host::systemd() {
        out.says("because of the memory limit of 4096 bytes")
            .says("raise");
    }
    c.delete_force().ok();
    t.assert_nothing_left();
}

/// A container with a user and a cgroup namespace, whose cgroup it sees with `option`.
fn with_own_cgroups<'s>(t: &'s Sandbox, option: &str) -> Container<'s> {
    if !is_v2() {
        skip("on cgroup v1 no cgroup is given to a container");
    }
    let mut c = t.container();
    crate::user_namespaces::map_users(&mut c, 100_000);
    c.push("/linux/namespaces", json!({"type": "cgroup"}));
    c.unset_mount("/sys/fs/cgroup");
    c.mount(
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", option],
    );
    c.set("/linux/resources/pids", json!({"limit": 50}));
    c
}

/// Init moves itself out of the way and makes a limited cgroup, as systemd does.
fn owned_by_the_containers_root(t: &Sandbox) {
    let mut c = with_own_cgroups(t, "rw");
    c.script(
        "cd /sys/fs/cgroup && mkdir init jobs && echo 0 >init/cgroup.procs &&
         echo +pids >cgroup.subtree_control && echo 7 >jobs/pids.max && cat jobs/pids.max &&
         ! echo 99 >pids.max && echo ready && exec sleep 1000",
    );
    let run = c.run_with(&["--detach"]).run().ok();
    wait_for("ready", || run.later().contains("ready"));
    assert!(run.later().starts_with("7\n"), "{run}");
    let owner = |name: &str| {
        let dir = c.cgroup("systemd");
        fs::metadata(dir.join(name)).unwrap().uid()
    };
    for name in [
        "",
        "cgroup.procs",
        "cgroup.subtree_control",
        "cgroup.threads",
    ] {
        assert_eq!(owner(name), 100_000, "{name}");
    }
    for name in ["pids.max", "cgroup.freeze", "cgroup.type"] {
        assert_eq!(owner(name), 0, "{name}");
    }
    c.exec(&["echo", "in"]).ok().prints("in");
    c.delete_force().ok();
    t.assert_nothing_left();
}

/// As within a rootless Podman's user namespace, whose containers have none of their own.
fn owned_by_the_containers_user_among_an_engines(t: &Sandbox) {
    if host::systemd() {
        skip("systemd takes no orders from within that namespace");
    }
    let mut c = with_own_cgroups(t, "rw");
    c.unset("/linux/uidMappings").unset("/linux/gidMappings");
    let namespaces = c.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "user");
    c.unset("/linux/resources");
    c.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    c.args(["sleep", "1000"]);
    let given = c.cgroup("systemd").with_extension("given");
    let path = given.strip_prefix("/sys/fs/cgroup").unwrap().to_owned();
    c.set(
        "/linux/cgroupsPath",
        json!(Path::new("/").join(&path).join("c")),
    );
    c.save();
    let script = format!(
        "set -e
         mkdir -p {given}/engine
         echo $$ >{given}/engine/cgroup.procs
         chown -R 100000:100000 {given} {sandbox}
         unshare --user sleep 1000 &
         trap \"kill $!\" EXIT
         until [ $(readlink /proc/$!/ns/user) != $(readlink /proc/$$/ns/user) ]; do :; done
         echo 0 100000 65536 >/proc/$!/uid_map
         echo 0 100000 65536 >/proc/$!/gid_map
         nsenter --user --target $! unshare --mount sh -ec '
             {tare} create --bundle {bundle} {id} >/dev/null
             stat -c %u {given}/c
             {tare} delete --force {id}'",
        given = given.display(),
        sandbox = t.path("").display(),
        tare = t.tare_words(),
        bundle = c.bundle.display(),
        id = c.id,
    );
    let out = t.command("sh").args(["-c", &script]).run().ok();
    wait_for("an empty cgroup", || {
        fs::remove_dir(given.join("engine")).is_ok()
    });
    fs::remove_dir(given).unwrap();
    out.prints("1000");
}

fn not_owned_where_it_is_read_only(t: &Sandbox) {
    let mut c = with_own_cgroups(t, "ro");
    c.run_sleeping();
    let dir = c.cgroup("systemd");
    assert_eq!(fs::metadata(dir).unwrap().uid(), 0);
}
