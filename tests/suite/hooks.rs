//! Hooks: when each kind runs, where, with what, and what their failure does.

use crate::harness::{Container, Sandbox, program, tests, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

tests![
    all_six_in_order,
    state_and_status_on_stdin,
    namespaces_of_each_kind,
    arguments_and_environment,
    environment_of_start_container,
    start_container_is_under_the_filter,
    working_directory_is_the_bundle,
    working_directory_of_create_container_is_the_rootfs,
    several_of_a_kind_in_order,
    failing_hooks_of_create,
    failing_start_container_hook,
    failing_poststart_hook,
    failing_poststop_hook,
    failing_hook_names_itself,
    timeout_kills_the_hook,
    signal_ends_a_create_whose_hook_hangs,
    timeout_of_zero_is_refused,
    hook_that_does_not_read_stdin,
    hook_that_writes_a_lot,
    hook_that_is_missing,
    hook_with_a_relative_path,
    poststop_runs_after_run,
    create_hooks_may_change_the_network,
    hook_leaving_a_process_does_not_hang,
];

/// An executable script on the host.
fn script(t: &Sandbox, name: &str, text: &str) -> PathBuf {
    program::script(t.path(name), text)
}

/// Adds a hook that runs this shell script on the host.
fn hook(t: &Sandbox, c: &mut Container, kind: &str, text: &str) {
    let path = script(t, &format!("hook{}", t.number()), text);
    c.push(&format!("/hooks/{kind}"), json!({"path": path}));
}

/// Adds a hook that runs this shell script in the container.
fn hook_inside(c: &mut Container, text: &str) {
    c.push(
        "/hooks/startContainer",
        json!({"path": "/bin/sh", "args": ["sh", "-c", text]}),
    );
}

const ON_HOST: [&str; 5] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "poststart",
    "poststop",
];

fn all_six_in_order(t: &Sandbox) {
    let mut c = t.container();
    let log = t.file("log", "");
    for kind in ON_HOST {
        hook(t, &mut c, kind, &format!("echo {kind} >>{}", log.display()));
    }
    c.mount("/tmp/log", "bind", log.to_str().unwrap(), &["bind"]);
    hook_inside(&mut c, "echo startContainer >>/tmp/log");
    c.script("echo program >>/tmp/log; sleep 1000");
    let read = || fs::read_to_string(&log).unwrap().replace('\n', " ");
    c.create().ok();
    assert_eq!(read(), "prestart createRuntime createContainer ");
    c.start().ok();
    wait_for("program", || read().contains("program"));
    let words = read();
    // The program is executed before poststart hooks run, but may take its time to write.
    let place = |word| {
        words
            .find(word)
            .unwrap_or_else(|| panic!("no {word}: {words}"))
    };
    assert!(place("startContainer") < place("program"), "{words}");
    assert!(place("startContainer") < place("poststart"), "{words}");
    assert!(!words.contains("poststop"), "{words}");
    c.delete_force().ok();
    assert!(read().ends_with("poststop "), "{}", read());
}

fn state_and_status_on_stdin(t: &Sandbox) {
    let mut c = t.container();
    c.set("/annotations", json!({"org.example.key": "value"}));
    for kind in ON_HOST {
        hook(t, &mut c, kind, &format!("cat >{}", t.path(kind).display()));
    }
    let file = t.file("startContainer", "");
    c.mount("/tmp/state", "bind", file.to_str().unwrap(), &["bind"]);
    hook_inside(&mut c, "cat >/tmp/state");
    c.run_sleeping();
    let pid = c.pid();
    c.delete_force().ok();
    for (kind, status) in [
        ("prestart", "created"),
        ("createRuntime", "creating"),
        ("createContainer", "creating"),
        ("startContainer", "created"),
        ("poststart", "running"),
        ("poststop", "stopped"),
    ] {
        let text = fs::read_to_string(t.path(kind)).unwrap();
        let state: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(state["status"], status, "{kind}");
        assert_eq!(state["id"], c.id.as_str(), "{kind}");
        assert_eq!(state["bundle"], c.bundle.to_str().unwrap(), "{kind}");
        assert_eq!(state["annotations"]["org.example.key"], "value", "{kind}");
        assert!(state["ociVersion"].is_string(), "{kind}");
        match kind {
            // The pid inside of the pid namespace is no use to anyone on the host.
            "createContainer" | "startContainer" => assert!(state["pid"].is_number(), "{kind}"),
            "poststop" => assert!(state["pid"].as_i64().unwrap_or(0) == 0, "{kind}"),
            _ => assert_eq!(state["pid"], pid, "{kind}"),
        }
    }
}

fn namespaces_of_each_kind(t: &Sandbox) {
    let mut c = t.container();
    let show = "readlink /proc/self/ns/mnt";
    for kind in ON_HOST {
        hook(
            t,
            &mut c,
            kind,
            &format!("{show} >{}", t.path(kind).display()),
        );
    }
    c.run_sleeping();
    let inside = fs::read_link(c.proc("ns/mnt")).unwrap();
    c.delete_force().ok();
    let own = fs::read_link("/proc/self/ns/mnt").unwrap();
    for kind in ON_HOST {
        let found = fs::read_to_string(t.path(kind)).unwrap();
        // createContainer runs in the container's namespaces, still with the host's root.
        let expected = if kind == "createContainer" {
            &inside
        } else {
            &own
        };
        assert_eq!(found.trim(), expected.to_str().unwrap(), "{kind}");
    }
}

fn arguments_and_environment(t: &Sandbox) {
    let mut c = t.container();
    let out = t.path("out");
    let path = script(
        t,
        "hook",
        &format!("{{ echo \"$0|$1|$2\"; env; }} >{}", out.display()),
    );
    for kind in ["createRuntime", "createContainer"] {
        c.set("/hooks", json!({}));
        c.push(
            &format!("/hooks/{kind}"),
            json!({"path": path, "args": ["zero", "one two", ""], "env": ["ONLY=this one"]}),
        );
        c.args(["true"]);
        c.run_with(&[]).env("LEAK", "yes").run().ok();
        let text = fs::read_to_string(&out).unwrap();
        // A script's $0 is the path; what args[0] was, only a program sees.
        let first = text.lines().next().unwrap();
        assert!(first.ends_with("|one two|"), "{text}");
        assert!(text.contains("ONLY=this one"), "{text}");
        assert!(!text.contains("LEAK"), "{text}");
    }
}

/// Given none of its own, it gets the container's process's.
fn environment_of_start_container(t: &Sandbox) {
    let mut c = t.container();
    let file = t.file("out", "");
    c.mount("/tmp/out", "bind", file.to_str().unwrap(), &["bind"]);
    c.push("/process/env", json!("OF_THE_PROCESS=yes"));
    hook_inside(&mut c, "env >/tmp/out");
    c.args(["true"]).run().ok();
    let text = fs::read_to_string(file).unwrap();
    for variable in ["OF_THE_PROCESS=yes", "HOME=/root"] {
        assert!(text.lines().any(|line| line == variable), "{text}");
    }
}

/// As with runc, whose users' hooks count on it.
fn working_directory_of_create_container_is_the_rootfs(t: &Sandbox) {
    let mut c = t.container();
    hook(t, &mut c, "createContainer", "touch ./etc/made");
    c.args(["ls", "/etc/made"]).run().ok().prints("/etc/made");
}

/// What such a hook executes may be the image's.
fn start_container_is_under_the_filter(t: &Sandbox) {
    for no_new_privileges in [true, false] {
        let mut c = t.container();
        c.set("/process/noNewPrivileges", json!(no_new_privileges));
        let rule = json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"});
        c.set(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}),
        );
        hook_inside(&mut c, "grep Seccomp: /proc/self/status; mkdir /tmp/made");
        let out = c.args(["true"]).run().fails();
        assert!(out.stderr.contains("Operation not permitted"), "{out}");
        assert!(out.stderr.contains(r"Seccomp:\t2"), "{out}");
    }
    t.assert_nothing_left();
}

fn working_directory_is_the_bundle(t: &Sandbox) {
    let mut c = t.container();
    hook(
        t,
        &mut c,
        "createRuntime",
        &format!("pwd >{}", t.path("out").display()),
    );
    c.args(["true"]).run().ok();
    let found = fs::read_to_string(t.path("out")).unwrap();
    assert_eq!(found.trim(), c.bundle.to_str().unwrap());
}

fn several_of_a_kind_in_order(t: &Sandbox) {
    let mut c = t.container();
    let log = t.file("log", "");
    for number in 1..=5 {
        // The first is the slowest: each is waited for.
        let text = format!("sleep 0.{}; echo {number} >>{}", 6 - number, log.display());
        hook(t, &mut c, "createRuntime", &text);
    }
    c.args(["true"]).run().ok();
    assert_eq!(fs::read_to_string(log).unwrap(), "1\n2\n3\n4\n5\n");
}

fn failing_hooks_of_create(t: &Sandbox) {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let mut c = t.container();
        let poststop = t.path(&format!("poststop-{kind}"));
        hook(t, &mut c, kind, "exit 3");
        hook(
            t,
            &mut c,
            "poststop",
            &format!("touch {}", poststop.display()),
        );
        c.args(["true"]);
        c.create().fails();
        t.assert_nothing_left();
        c.run().fails();
        t.assert_nothing_left();
    }
}

fn failing_start_container_hook(t: &Sandbox) {
    let mut c = t.container();
    hook_inside(&mut c, "exit 3");
    c.script("echo ran");
    let created = c.create().ok();
    c.start().fails();
    c.wait_for_status("stopped");
    assert!(!created.later().contains("ran"));
    c.delete().ok();
    c.run().fails();
    t.assert_nothing_left();
}

/// Spec 1.3: start MUST fail, and the container is stopped.
fn failing_poststart_hook(t: &Sandbox) {
    let mut c = t.container();
    hook(t, &mut c, "poststart", "exit 3");
    c.args(["sleep", "1000"]);
    c.create().ok();
    c.start().fails();
    c.wait_for_status("stopped");
    c.delete().ok();
    c.run_with(&["--detach"]).run().fails();
}

fn failing_poststop_hook(t: &Sandbox) {
    let mut c = t.container();
    let log = t.path("log");
    hook(t, &mut c, "poststop", "exit 3");
    hook(t, &mut c, "poststop", &format!("touch {}", log.display()));
    c.args(["true"]);
    let out = c.run().ok();
    assert!(out.stderr.contains("poststop"), "{out}");
    assert!(log.exists(), "those after it are run all the same");
    t.assert_nothing_left();
    c.create().ok();
    c.delete_force().ok();
}

fn failing_hook_names_itself(t: &Sandbox) {
    let mut c = t.container();
    let path = script(t, "the-hook", "echo complaint >&2; exit 3");
    c.push("/hooks/createRuntime", json!({"path": path}));
    c.args(["true"]);
    let out = c
        .run()
        .fails()
        .says("complaint")
        .says("createRuntime")
        .says("the-hook");
    assert!(out.stderr.contains("exit status 3"), "{out}");
}

fn timeout_kills_the_hook(t: &Sandbox) {
    let hooks = [
        ("createRuntime", "exec sleep 1007"),
        ("createContainer", "exec sleep 1007"),
        ("createRuntime", "sleep 1007 & sleep 1007 | cat; wait"),
    ];
    for (kind, hook) in hooks {
        let mut c = t.container();
        let path = script(t, "hook", hook);
        c.push(
            &format!("/hooks/{kind}"),
            json!({"path": path, "timeout": 1}),
        );
        c.args(["true"]);
        let begin = Instant::now();
        let out = c.run().fails();
        let took = begin.elapsed();
        assert!(
            took >= Duration::from_secs(1) && took < Duration::from_secs(5),
            "{took:?}: {out}"
        );
        t.assert_nothing_left();
        let ps = t.command("ps").args(["-eo", "args"]).run().ok();
        assert!(!ps.stdout.contains("sleep 1007"), "the hook lives on");
    }
}

fn signal_ends_a_create_whose_hook_hangs(t: &Sandbox) {
    let mut c = t.container();
    hook(t, &mut c, "createRuntime", "exec sleep 1000");
    let create = c.create_with(&[]).spawn();
    std::thread::sleep(Duration::from_millis(300));
    let begin = Instant::now();
    create.signal(rustix::process::Signal::TERM);
    create.wait().fails().says("signal 15");
    assert!(begin.elapsed() < Duration::from_secs(5));
    t.assert_nothing_left();
}

fn timeout_of_zero_is_refused(t: &Sandbox) {
    let mut c = t.container();
    let path = script(t, "hook", "");
    c.push("/hooks/createRuntime", json!({"path": path, "timeout": 0}));
    c.args(["true"]).run().fails().says("timeout");
    t.assert_nothing_left();
}

fn hook_that_does_not_read_stdin(t: &Sandbox) {
    let mut c = t.container();
    // More state than a pipe holds, and a reader that is gone.
    c.set("/annotations", json!({"large": "x".repeat(200_000)}));
    for kind in ON_HOST {
        hook(t, &mut c, kind, "exec 0<&-; exit 0");
    }
    c.args(["true"]).run().ok();
}

fn hook_that_writes_a_lot(t: &Sandbox) {
    let mut c = t.container();
    hook(
        t,
        &mut c,
        "createRuntime",
        "head -c 300000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero >&2",
    );
    c.args(["true"]).run().ok();
}

fn hook_that_is_missing(t: &Sandbox) {
    let mut c = t.container();
    c.push("/hooks/createRuntime", json!({"path": "/no/such/hook"}));
    c.args(["true"]).run().fails().says("/no/such/hook");
    t.assert_nothing_left();
}

/// The spec: it MUST be absolute.
fn hook_with_a_relative_path(t: &Sandbox) {
    let mut c = t.container();
    c.push("/hooks/createRuntime", json!({"path": "bin/hook"}));
    c.args(["true"]).run().fails().says("bin/hook");
    t.assert_nothing_left();
}

fn poststop_runs_after_run(t: &Sandbox) {
    let mut c = t.container();
    let log = t.path("log");
    let root = t.root().join(&c.id);
    // By then the container is deleted.
    hook(
        t,
        &mut c,
        "poststop",
        &format!("echo stop >>{}", log.display()),
    );
    c.script("exit 5");
    c.run().exits(5);
    assert_eq!(fs::read_to_string(log).unwrap(), "stop\n");
    assert!(!root.exists());
}

/// What Docker's libnetwork does: the hook gets the pid, and works on its namespace.
fn create_hooks_may_change_the_network(t: &Sandbox) {
    let mut c = t.container();
    let text = "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); \
                exec nsenter -t $pid -n sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'";
    hook(t, &mut c, "prestart", text);
    c.args(["cat", "/proc/sys/net/ipv4/ip_forward"])
        .run()
        .ok()
        .prints("1");
}

/// A daemon that keeps the hook's output open is no reason to wait.
fn hook_leaving_a_process_does_not_hang(t: &Sandbox) {
    let mut c = t.container();
    let pid = t.path("pid");
    hook(
        t,
        &mut c,
        "createRuntime",
        &format!("sleep 15 & echo $! >{}", pid.display()),
    );
    c.args(["true"]);
    let begin = Instant::now();
    c.run().ok();
    let took = begin.elapsed();
    let pid: i32 = fs::read_to_string(pid).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    assert!(took < Duration::from_secs(12), "{took:?}");
}
