//! create, start, state, kill, delete, run: what each does, and what each refuses.

use crate::harness::{DescriptorSocket, Sandbox, host, make_dir, program, runtime, skip, tests};
use serde_json::json;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;

tests![
    create_start_delete,
    state_has_runcs_fields,
    state_of_stopped_container,
    pause_and_resume_show_in_state,
    create_needs_a_bundle,
    id_must_be_new,
    ids_that_are_paths_are_refused,
    ids_may_have_these_characters,
    unknown_id,
    delete_force_of_unknown_id,
    start_twice,
    start_of_stopped,
    delete_of_running_is_refused,
    delete_of_created,
    delete_force_of_running,
    delete_force_of_paused,
    delete_force_again,
    pid_file,
    pid_file_that_cannot_be_written,
    pid_file_is_not_written_through_a_link,
    pidfd_socket,
    relative_paths_are_the_callers,
    options_after_the_id,
    root_is_made_when_missing,
    two_roots_do_not_know_each_other,
    bundle_is_the_current_directory_by_default,
    create_does_not_wait_for_the_output_to_close,
];

fn create_start_delete(t: &Sandbox) {
    let mut c = t.container();
    c.script("echo hello; exit 3");
    let created = c.create().ok();
    assert_eq!(c.status(), "created");
    assert_eq!(created.later(), "", "it ran before it was started");
    c.start().ok();
    c.wait_for_status("stopped");
    assert_eq!(created.later(), "hello\n");
    c.delete().ok();
    c.verb(&["state"]).run().fails().says("does not exist");
    t.assert_nothing_left();
}

fn state_has_runcs_fields(t: &Sandbox) {
    let mut c = t.container();
    c.set("/annotations", json!({"org.example.key": "value"}));
    c.run_sleeping();
    let state = c.state();
    let mut keys: Vec<_> = state.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    let expected = [
        "annotations",
        "bundle",
        "created",
        "id",
        "ociVersion",
        "owner",
        "pid",
        "rootfs",
        "status",
    ];
    assert_eq!(keys, expected);
    assert_eq!(state["id"], c.id.as_str());
    assert_eq!(state["status"], "running");
    assert_eq!(state["bundle"], c.bundle.to_str().unwrap());
    assert_eq!(
        state["rootfs"],
        c.rootfs("").to_str().unwrap().trim_end_matches('/')
    );
    assert_eq!(state["owner"], "");
    assert_eq!(state["annotations"], json!({"org.example.key": "value"}));
    assert!(state["ociVersion"].as_str().unwrap().starts_with("1."));
    let created = state["created"].as_str().unwrap();
    assert!(
        created.starts_with("20") && created.contains('T') && created.ends_with('Z'),
        "not a time in RFC 3339: {created}"
    );
    let pid = state["pid"].as_i64().unwrap();
    assert!(fs::exists(format!("/proc/{pid}")).unwrap());
}

fn state_of_stopped_container(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]);
    c.create().ok();
    c.start().ok();
    c.wait_for_status("stopped");
    assert_eq!(c.state()["pid"], 0);
    c.delete().ok();
}

fn pause_and_resume_show_in_state(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    c.verb(&["pause"]).run().ok();
    assert_eq!(c.status(), "paused");
    c.verb(&["resume"]).run().ok();
    assert_eq!(c.status(), "running");
    c.verb(&["resume"]).run().fails().says("not paused");
}

fn create_needs_a_bundle(t: &Sandbox) {
    let id = t.id("c");
    let nowhere = t.path("nowhere");
    t.tare(["create", "--bundle", nowhere.to_str().unwrap(), &id])
        .run()
        .fails()
        .says("no such file or directory");
    let empty = t.dir("empty");
    t.tare(["create", "--bundle", empty.to_str().unwrap(), &id])
        .run()
        .fails()
        .says("config.json");
    t.assert_nothing_left();
}

fn id_must_be_new(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let pid = c.pid();
    c.create().fails().says("already exists");
    c.run().fails().says("already exists");
    assert_eq!(c.pid(), pid, "the first one suffered");
    assert_eq!(c.status(), "running");
}

/// A runtime that takes such an id for a path deletes what is there: `crun delete /` does,
/// as root, to the whole host. So each is tried in a chroot that holds only a copy of the
/// binary, where there is nothing else to lose.
fn ids_that_are_paths_are_refused(t: &Sandbox) {
    let jail = t.dir("jail");
    program::copy(runtime().as_ref(), &jail.join("runtime"));
    let inside = |args: &[&str]| {
        t.command("chroot")
            .args([jail.to_str().unwrap(), "/runtime", "--root", "/state/root"])
            .args(args)
            .run()
    };
    if inside(&["--version"]).status != 0 {
        skip("the runtime is not static, and so cannot be tried in a chroot");
    }
    t.dir("jail/state");
    t.dir("jail/state/root");
    t.dir("jail/bundle");
    t.file("jail/bundle/config.json", "{}");
    let canary = t.file("jail/state/canary", "untouched");
    for id in [
        "..", ".", "a/b", "/", "//", "/state", "", "a b", "ä", "a\nb", "../up",
    ] {
        for verb in ["create", "run"] {
            inside(&[verb, "--bundle", "/bundle", id]).fails();
        }
        for verb in ["state", "start", "delete", "kill"] {
            inside(&[verb, id]).fails();
        }
        inside(&["delete", "--force", id]).fails();
        assert!(canary.exists(), "{id:?} was taken for a path");
    }
}

fn ids_may_have_these_characters(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]).save();
    let bundle = c.bundle.to_str().unwrap();
    for name in ["A.b", "a_b", "a-b", "a+b", "1", "..a"] {
        t.tare(["run", "--bundle", bundle, &t.id(name)]).run().ok();
    }
}

fn unknown_id(t: &Sandbox) {
    let id = t.id("nobody");
    for verb in ["state", "start", "kill", "delete", "pause", "resume", "ps"] {
        t.tare([verb, &id]).run().exits(1).says("does not exist");
    }
    // runc answers 255 when exec fails before there is a process.
    t.tare(["exec", &id, "true"])
        .run()
        .fails()
        .says("does not exist");
}

fn delete_force_of_unknown_id(t: &Sandbox) {
    let out = t.tare(["delete", "--force", &t.id("nobody")]).run().ok();
    assert_eq!(out.stderr, "", "containerd always asks twice: {out}");
}

fn start_twice(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    c.start()
        .exits(1)
        .says("cannot start an already running container");
    assert_eq!(c.status(), "running");
}

fn start_of_stopped(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]);
    c.create().ok();
    c.start().ok();
    c.wait_for_status("stopped");
    c.start()
        .exits(1)
        .says("cannot start a container that has stopped");
}

fn delete_of_running_is_refused(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    c.delete().exits(1).says("is not stopped: running");
    assert_eq!(c.status(), "running");
}

fn delete_of_created(t: &Sandbox) {
    let c = t.container();
    c.create().ok();
    c.delete().ok();
    t.assert_nothing_left();
}

fn delete_force_of_running(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    c.delete_force().ok();
    t.assert_nothing_left();
}

fn delete_force_of_paused(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    c.verb(&["pause"]).run().ok();
    c.delete_force().ok();
    t.assert_nothing_left();
}

fn delete_force_again(t: &Sandbox) {
    let one = t.container();
    one.create().ok();
    one.delete_force().ok();
    // The second --force finds nothing, and is content.
    one.delete_force().ok();
    t.assert_nothing_left();
}

fn pid_file(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    let file = t.path("pid");
    c.create_with(&["--pid-file", file.to_str().unwrap()])
        .run()
        .ok();
    // Not even a newline: the shims parse it whole.
    assert_eq!(fs::read_to_string(file).unwrap(), c.pid().to_string());
}

fn pid_file_that_cannot_be_written(t: &Sandbox) {
    let c = t.container();
    let file = t.path("nowhere/pid");
    c.create_with(&["--pid-file", file.to_str().unwrap()])
        .run()
        .fails()
        .says("nowhere");
    t.assert_nothing_left();
}

/// The temporary name is easy to guess, and the directory may be anyone's.
fn pid_file_is_not_written_through_a_link(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    let (file, precious) = (t.path("pid"), t.file("precious", "precious"));
    std::os::unix::fs::symlink(&precious, t.path(".pid")).unwrap();
    c.create_with(&["--pid-file", file.to_str().unwrap()])
        .run()
        .ok();
    assert_eq!(fs::read_to_string(precious).unwrap(), "precious");
    assert_eq!(fs::read_to_string(file).unwrap(), c.pid().to_string());
}

/// The pid that a pidfd is for.
fn pid_of(pidfd: &std::os::fd::OwnedFd) -> i32 {
    let info = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = fs::read_to_string(info).unwrap();
    let pid = text
        .lines()
        .find_map(|line| line.strip_prefix("Pid:"))
        .unwrap();
    pid.trim().parse().unwrap()
}

fn pidfd_socket(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    let socket = DescriptorSocket::new(t);
    c.create_with(&["--pidfd-socket", socket.path()]).run().ok();
    assert_eq!(pid_of(&socket.receive()), c.pid());
    let socket = DescriptorSocket::new(t);
    let file = t.path("pid");
    let options = [
        "--detach",
        "--pid-file",
        file.to_str().unwrap(),
        "--pidfd-socket",
        socket.path(),
    ];
    c.exec_with(&options, &["sleep", "1000"]).run().ok();
    let pid: i32 = fs::read_to_string(file).unwrap().parse().unwrap();
    assert_eq!(pid_of(&socket.receive()), pid);
    c.create_with(&["--pidfd-socket", "/no/such/socket"])
        .run()
        .fails();
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    let socket = DescriptorSocket::new(t);
    c.set(
        "/annotations",
        json!({"run.oci.pidfd_receiver": socket.path()}),
    );
    c.create().ok();
    assert_eq!(pid_of(&socket.receive()), c.pid());
}

/// The runtime enters the bundle; what the caller named is where the caller is.
fn relative_paths_are_the_callers(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"])
        .set("/process/terminal", true.into())
        .save();
    let (dir, console, pidfd) = (
        t.dir("callers"),
        DescriptorSocket::new(t),
        DescriptorSocket::new(t),
    );
    let name = |socket: &DescriptorSocket| {
        let file = Path::new(socket.path()).file_name().unwrap();
        format!("../{}", file.to_str().unwrap())
    };
    let words = ["--root", "../root", "create", "--pid-file", "pid"];
    t.command(runtime())
        .args(host::flags())
        .args(words)
        .args(["--console-socket", &name(&console)])
        .args(["--pidfd-socket", &name(&pidfd)])
        .args(["--bundle", c.bundle.to_str().unwrap(), &c.id])
        .cwd(&dir)
        .run()
        .ok();
    let pid = fs::read_to_string(dir.join("pid")).unwrap();
    assert_eq!(c.pid().to_string(), pid);
    console.receive();
    pidfd.receive();
}

fn options_after_the_id(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]).save();
    let bundle = c.bundle.to_str().unwrap();
    let pid_file = t.path("pid");
    t.tare(["create", &c.id, "--bundle", bundle])
        .args(["--pid-file", pid_file.to_str().unwrap()])
        .run()
        .ok();
    assert!(pid_file.exists());
    c.start().ok();
    c.verb(&["delete"]).arg("--force").run().ok();
    t.tare(["run", &c.id, "-b", bundle, "-d"]).run().ok();
    assert_eq!(c.status(), "running");
}

fn root_is_made_when_missing(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]).save();
    let root = t.path("some/where/deep");
    t.command(crate::harness::runtime())
        .args(host::flags())
        .args(["--root", root.to_str().unwrap()])
        .args(["run", "-b", c.bundle.to_str().unwrap(), &c.id])
        .run()
        .ok();
    assert!(root.is_dir());
}

fn two_roots_do_not_know_each_other(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let other = t.dir("other");
    t.command(crate::harness::runtime())
        .args(["--root", other.to_str().unwrap(), "state", &c.id])
        .run()
        .fails()
        .says("does not exist");
}

fn bundle_is_the_current_directory_by_default(t: &Sandbox) {
    let mut c = t.container();
    c.args(["echo", "here"]).save();
    t.tare(["run", &c.id])
        .cwd(&c.bundle)
        .run()
        .ok()
        .prints("here");
    // A relative bundle means the same wherever later commands are given.
    c.args(["true"]).save();
    let parent = c.bundle.parent().unwrap();
    let name = c.bundle.file_name().unwrap().to_str().unwrap();
    t.tare(["create", "-b", name, &c.id]).cwd(parent).run().ok();
    assert_eq!(c.state()["bundle"], c.bundle.to_str().unwrap());
    make_dir(&t.path("else"));
    c.verb(&["start"]).cwd(&t.path("else")).run().ok();
}

fn create_does_not_wait_for_the_output_to_close(t: &Sandbox) {
    // The container holds the pipe's writing end; `create | cat` would never end if the
    // runtime did too.
    let mut c = t.container();
    c.args(["sleep", "1000"]).save();
    let script = format!(
        "exec {} create -b {} {} >/dev/null 2>&1 </dev/null",
        t.tare_words(),
        c.bundle.display(),
        c.id
    );
    t.command("/bin/sh").args(["-c", &script]).run().ok();
    assert_eq!(c.status(), "created");
}
