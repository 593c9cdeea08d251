//! T3, the descriptor audit: no descriptor but the named ones reaches a container, no directory
//! of the host is reached through one that the runtime has open, and a process of the container
//! that watches for what enters sees nothing of the host's.

use crate::harness::{Container, Sandbox, descriptors, program, skip, tests, wait_for};
use crate::inside;
use serde_json::json;
use std::fs;

tests![
    cve_2016_9962_init_watches_what_enters,
    cve_2016_9962_init_of_a_joined_pid_namespace_watches,
    cve_2024_21626_cwd_through_leaked_descriptor,
    cve_2024_21626_cwd_through_preserved_descriptor,
    cve_2024_21626_cwd_of_exec_through_leaked_descriptor,
    cve_2024_21626_program_through_leaked_descriptor,
    init_has_the_standard_ones_alone,
    exec_has_the_standard_ones_alone,
    all_that_init_has_open_is_the_containers,
    hooks_get_none,
];

/// Descriptors that a careless caller has open, one of them to a directory of the host.
const CARELESS: &str = "3</etc/hostname 4</sys/fs/cgroup 5</ 10</etc 60</";

fn init_has_the_standard_ones_alone(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    c.run_with(&["--detach"]).redirect(CARELESS).run().ok();
    assert_eq!(descriptors(c.pid()), [0, 1, 2]);
    c.delete_force().ok();
    c.create_with(&[]).redirect(CARELESS).run().ok();
    c.verb(&["start"]).redirect(CARELESS).run().ok();
    assert_eq!(descriptors(c.pid()), [0, 1, 2]);
}

fn exec_has_the_standard_ones_alone(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let file = t.path("pid");
    c.exec_with(
        &["--detach", "--pid-file", file.to_str().unwrap()],
        &["sleep", "1003"],
    )
    .redirect(CARELESS)
    .run()
    .ok();
    let pid = fs::read_to_string(file).unwrap();
    assert_eq!(descriptors(pid), [0, 1, 2]);
}

/// Of a created container too, which waits for its start with more than three: none may be a
/// directory, and none a file that the container could not have opened itself.
fn all_that_init_has_open_is_the_containers(t: &Sandbox) {
    let c = t.container();
    c.create_with(&[]).redirect(CARELESS).run().ok();
    for entry in fs::read_dir(c.proc("fd")).unwrap() {
        let path = entry.unwrap().path();
        let number: u32 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let target = fs::read_link(&path).unwrap();
        assert!(!path.is_dir(), "{number} is {}", target.display());
        let target = target.to_str().unwrap().to_owned();
        // Its gate: sockets, the signals it waits for, a lock in the state directory.
        let is_gate = [
            "socket:",
            "anon_inode:[signalfd]",
            t.root().to_str().unwrap(),
        ]
        .iter()
        .any(|start| target.starts_with(start));
        assert!(number < 3 || is_gate, "{number} is {target}");
    }
    for link in ["cwd", "root"] {
        assert_eq!(
            fs::read_link(c.proc(link)).unwrap().to_str(),
            Some("/"),
            "{link}"
        );
    }
}

fn cve_2024_21626_cwd_through_leaked_descriptor(t: &Sandbox) {
    for number in 0..64 {
        let mut c = t.container();
        c.set("/process/cwd", json!(format!("/proc/self/fd/{number}")));
        c.script("cat ../../../../../../etc/hostname");
        let out = c.run_with(&[]).redirect(CARELESS).run().fails();
        assert_eq!(out.stdout, "", "{number}");
    }
    t.assert_nothing_left();
}

fn cve_2024_21626_cwd_through_preserved_descriptor(t: &Sandbox) {
    for cwd in [
        "/proc/self/fd/3",
        "/proc/self/fd/3/etc",
        "/proc/1/fd/3",
        "/proc/thread-self/fd/3",
    ] {
        let mut c = t.container();
        c.set("/process/cwd", json!(cwd));
        c.script("cat hostname etc/hostname");
        let out = c
            .run_with(&["--preserve-fds", "1"])
            .redirect("3</")
            .run()
            .fails();
        assert_eq!(out.stdout, "");
    }
    t.assert_nothing_left();
}

fn cve_2024_21626_cwd_of_exec_through_leaked_descriptor(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    for number in 0..64 {
        let cwd = format!("/proc/self/fd/{number}");
        let out = c
            .exec_with(
                &["--cwd", &cwd],
                &["sh", "-c", "cat ../../../../../../etc/hostname"],
            )
            .redirect(CARELESS)
            .run()
            .fails();
        assert_eq!(out.stdout, "", "{number}");
    }
}

fn cve_2024_21626_program_through_leaked_descriptor(t: &Sandbox) {
    let mut c = t.container();
    let mut sleeping = t.container();
    sleeping.run_sleeping();
    for number in 0..64 {
        let program = format!("/proc/self/fd/{number}/../../../../../../../bin/bash");
        let args = [program.as_str(), "-c", "cat /etc/hostname"];
        c.args(args);
        let run = c.run_with(&[]).redirect(CARELESS).run().fails();
        let exec = sleeping
            .exec_with(&[], &args)
            .redirect(CARELESS)
            .run()
            .fails();
        assert_eq!(
            (run.stdout, exec.stdout),
            ("".into(), "".into()),
            "{number}"
        );
    }
}

/// What it takes to trace, and to read what others have open.
const POWERS: &[&str] = &[
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_KILL",
    "CAP_SYS_PTRACE",
];

/// A container whose init watches, until `enter` has been done so many times.
#[track_caller]
fn watched(t: &Sandbox, powers: &[&str], times: u32, enter: impl Fn(&Container)) {
    let canary = t.file("canary", "the host's own");
    let mut c = t.container();
    c.capabilities(powers);
    inside::run(&mut c, &["watch", canary.to_str().unwrap()]);
    let run = c.run_with(&["--detach"]).run().ok();
    wait_for("ready", || run.later().contains("ready"));
    for _ in 0..times {
        enter(&c);
    }
    assert_eq!(run.later().trim(), "ready");
}

fn cve_2016_9962_init_watches_what_enters(t: &Sandbox) {
    watched(t, POWERS, 1000, |c| {
        c.exec_with(&[], &["true"]).redirect(CARELESS).run();
    });
}

/// The second container is set up in the sight of the first, as in a pod. Whoever may trace there
/// can take it over, as with every runtime (SECURITY.md); nobody else sees a thing.
fn cve_2016_9962_init_of_a_joined_pid_namespace_watches(t: &Sandbox) {
    let mut other = t.container();
    other.without_namespace("pid").args(["true"]);
    let other = std::cell::RefCell::new(other);
    watched(t, &POWERS[..3], 200, |c| {
        let mut other = other.borrow_mut();
        other.without_namespace("pid").push(
            "/linux/namespaces",
            json!({"type": "pid", "path": format!("/proc/{}/ns/pid", c.pid())}),
        );
        other.run_with(&[]).redirect(CARELESS).run();
        other.delete_force();
    });
}

fn hooks_get_none(t: &Sandbox) {
    let mut c = t.container();
    let text = "cat >/dev/null; ls -l /proc/$$/fd >$1";
    let hook = program::script(t.path("hook"), text);
    let kinds = ["createRuntime", "createContainer", "poststart", "poststop"];
    for kind in kinds {
        c.push(
            &format!("/hooks/{kind}"),
            json!({"path": hook, "args": ["hook", t.path(kind)]}),
        );
    }
    c.args(["true"]);
    c.run_with(&[]).redirect(CARELESS).run().ok();
    for kind in kinds {
        let Ok(list) = fs::read_to_string(t.path(kind)) else {
            skip("the hook could not write its list");
        };
        // From 10 on they are the shell's own.
        let numbers: Vec<_> = list
            .lines()
            .filter_map(|line| line.split(" -> ").next()?.rsplit(' ').next()?.parse().ok())
            .filter(|number: &u32| (3..10).contains(number))
            .collect();
        assert!(numbers.is_empty(), "{kind}: {list}");
    }
}
