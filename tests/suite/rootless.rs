//! An ordinary user's containers: create, exec and delete without any privilege, with the ranges
//! of ids that newuidmap and newgidmap give to that user, or with the one id that takes no help.

use crate::harness::user::{PATH, RANGE, USER, container, tare, with_one_id};
use crate::harness::{Container, Output, Sandbox, tests, wait_for};
use serde_json::json;
use std::fs;

tests![
    run_with_ranges,
    run_with_one_id,
    whole_life,
    user_of_the_container,
    standard_streams_of_the_containers_user,
    groups_where_they_are_denied,
    helper_is_missing,
    range_of_somebody_else,
    locked_flags_stay,
    cgroups_are_done_without,
    files_of_the_host_stay_the_hosts,
];

#[track_caller]
fn run(t: &Sandbox, c: &Container) -> Output {
    let bundle = c.bundle.to_str().unwrap();
    let out = tare(t, c, PATH, "", &["run", "-b", bundle, &c.id]).run();
    assert_eq!(fs::read_dir(t.path("users")).unwrap().count(), 0, "{out}");
    out
}

fn run_with_ranges(t: &Sandbox) {
    let mut c = container(t);
    c.script(
        "id -u; id -g; cat /proc/self/setgroups; tr -s ' ' </proc/self/uid_map; \
         test -c /dev/null && echo node; touch /dev/shm/x && echo shm",
    );
    let maps = format!(" 0 {USER} 1\n 1 {RANGE} 65536");
    run(t, &c)
        .ok()
        .prints(&format!("0\n0\nallow\n{maps}\nnode\nshm"));
}

fn run_with_one_id(t: &Sandbox) {
    let mut c = container(t);
    with_one_id(&mut c);
    c.script("id -u; cat /proc/self/setgroups; test -c /dev/null && echo node");
    // Without the helpers.
    let bundle = c.bundle.to_str().unwrap();
    tare(t, &c, "/nowhere", "", &["run", "-b", bundle, &c.id])
        .run()
        .ok()
        .prints("0\ndeny\nnode");
}

/// Each command by itself, as engines do it.
fn whole_life(t: &Sandbox) {
    let mut c = container(t);
    c.args(["sleep", "1000"]);
    let bundle = c.bundle.to_str().unwrap().to_owned();
    let does = |args: &[&str]| tare(t, &c, PATH, "", args).run();
    does(&["create", "-b", &bundle, &c.id]).ok();
    does(&["start", &c.id]).ok();
    does(&[
        "exec",
        &c.id,
        "sh",
        "-c",
        "id -u; tr '\\0' ' ' </proc/1/cmdline",
    ])
    .ok()
    .prints("0\nsleep 1000");
    does(&[
        "exec",
        "--user",
        "1000:1001",
        &c.id,
        "sh",
        "-c",
        "id -u; id -g",
    ])
    .ok()
    .prints("1000\n1001");
    does(&["exec", "--user", "70000", &c.id, "true"]).fails();
    let state = does(&["state", &c.id]).ok().json();
    assert_eq!(state["status"], "running");
    does(&["list", "-q"]).ok().prints(&c.id);
    does(&["delete", &c.id]).fails();
    does(&["kill", &c.id, "KILL"]).ok();
    let stopped = || does(&["state", &c.id]).json()["status"] == "stopped";
    wait_for("its end", stopped);
    does(&["delete", &c.id]).ok();
    assert_eq!(fs::read_dir(t.path("users")).unwrap().count(), 0);
    does(&["create", "-b", &bundle, &c.id]).ok();
    does(&["delete", "--force", &c.id]).ok();
}

fn user_of_the_container(t: &Sandbox) {
    let mut c = container(t);
    c.set(
        "/process/user",
        json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 65536]}),
    );
    c.script("id -u; id -g; id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' '");
    run(t, &c).ok().prints("1000\n1001\n5 1001 65536");
}

/// By name they are opened anew, which only their owner may (moby#31243).
fn standard_streams_of_the_containers_user(t: &Sandbox) {
    for user in [0, 1000] {
        let mut c = container(t);
        c.set("/process/user", json!({"uid": user, "gid": user}));
        c.script("echo by name >/dev/stdout; cat /dev/stdin; echo error >/dev/stderr");
        let bundle = c.bundle.to_str().unwrap();
        // The user's own, as an engine's are.
        let owned = format!("chown {USER}:{USER} /proc/self/fd/1 /proc/self/fd/2");
        let out = tare(t, &c, PATH, &owned, &["run", "-b", bundle, &c.id]).run();
        let out = out.ok().prints("by name");
        assert_eq!(out.stderr, "error\n");
    }
}

fn groups_where_they_are_denied(t: &Sandbox) {
    let mut c = container(t);
    with_one_id(&mut c);
    c.set(
        "/process/user",
        json!({"uid": 0, "gid": 0, "additionalGids": [5]}),
    );
    run(t, &c).fails().says("process.user.additionalGids");
}

/// One clear line, and nothing left.
fn helper_is_missing(t: &Sandbox) {
    let c = container(t);
    let bundle = c.bundle.to_str().unwrap();
    let out = tare(t, &c, "/nowhere", "", &["run", "-b", bundle, &c.id]).run();
    let out = out.fails().says("newgidmap").says("uidmap");
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
    assert_eq!(fs::read_dir(t.path("users")).unwrap().count(), 0);
}

fn range_of_somebody_else(t: &Sandbox) {
    for wrong in [RANGE - 1, RANGE + 1, 1_000_000] {
        let mut c = container(t);
        c.set("/linux/uidMappings/1/hostID", json!(wrong));
        run(t, &c).fails().says("newuidmap").says("/etc/subuid");
    }
}

/// What the host has mounted read-only an ordinary user cannot make writable.
fn locked_flags_stay(t: &Sandbox) {
    let source = t.dir("locked");
    let source = source.to_str().unwrap();
    let mount = format!("mount -t tmpfs -o ro,nosuid,noexec,nodev tmpfs {source}");
    for options in [
        &["bind"][..],
        &["rbind"],
        &["bind", "rw"],
        &["bind", "exec", "suid", "dev"],
    ] {
        let mut c = container(t);
        c.mount("/tmp", "bind", source, options);
        c.script("grep ' /tmp ' /proc/self/mountinfo | cut -d' ' -f6; touch /tmp/x");
        let bundle = c.bundle.to_str().unwrap();
        let out = tare(t, &c, PATH, &mount, &["run", "-b", bundle, &c.id])
            .run()
            .fails();
        if !out.stdout.is_empty() {
            let kept = ["ro", "nosuid", "nodev", "noexec"];
            let flags: Vec<_> = out.text().split(',').collect();
            assert!(
                kept.iter().all(|flag| flags.contains(flag)),
                "{options:?}: {out}"
            );
        }
        tare(t, &c, PATH, "", &["delete", "--force", &c.id])
            .run()
            .ok();
    }
}

/// Without a cgroup to write to, limits cannot be had; without limits none is needed.
fn cgroups_are_done_without(t: &Sandbox) {
    let mut c = container(t);
    c.set("/linux/cgroupsPath", json!(format!("/{}", c.id)));
    c.args(["true"]);
    run(t, &c).fails().says("cgroup");
    c.unset("/linux/cgroupsPath");
    c.set("/linux/resources", json!({"memory": {"limit": 1 << 30}}));
    run(t, &c).fails().says("cgroup");
    c.set("/linux/resources", json!({}));
    run(t, &c).ok();
}

fn files_of_the_host_stay_the_hosts(t: &Sandbox) {
    let file = t.file("roots", "secret");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&file, private).unwrap();
    let mut c = container(t);
    c.mount("/tmp", "bind", t.path("").to_str().unwrap(), &["bind"]);
    c.capabilities(&["CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_CHOWN"]);
    c.script(
        "echo ran; cat /tmp/roots; echo x >/tmp/roots; chmod 777 /tmp/roots; chown 0 /tmp/roots",
    );
    let out = run(t, &c).fails();
    assert_eq!(out.stdout, "ran\n");
    assert_eq!(fs::read_to_string(file).unwrap(), "secret");
}
