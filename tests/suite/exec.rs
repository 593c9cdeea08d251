//! exec: a second process in a container that runs.

use crate::harness::{Container, Sandbox, host, tests, wait_for};
use std::fs;

tests![
    exit_status,
    exit_status_by_signal,
    standard_streams,
    options_before_and_after_the_id,
    dashes_belong_to_the_program,
    detach_and_pid_file,
    preserve_fds,
    joins_the_cgroup,
    sub_cgroup,
    sub_cgroup_that_is_missing,
    into_paused,
    into_paused_ignored,
    into_stopped,
    into_created,
    program_not_found,
    program_not_executable,
    no_program,
    leaves_the_container_as_it_was,
    many_at_the_same_time,
    sees_changes_to_the_rootfs,
    orphans_do_not_hold_it,
];

fn running(t: &Sandbox) -> Container<'_> {
    let mut c = t.container();
    c.run_sleeping();
    c
}

fn exit_status(t: &Sandbox) {
    let c = running(t);
    for status in [0, 1, 42, 255] {
        c.exec(&["sh", "-c", &format!("exit {status}")])
            .exits(status);
    }
}

fn exit_status_by_signal(t: &Sandbox) {
    let c = running(t);
    c.exec(&["sh", "-c", "kill -KILL $$"]).exits(137);
    c.exec(&["sh", "-c", "kill -TERM $$"]).exits(143);
}

fn standard_streams(t: &Sandbox) {
    let c = running(t);
    let out = c
        .exec_with(&[], &["sh", "-c", "cat; echo error >&2"])
        .input("through")
        .run()
        .ok()
        .prints("through");
    assert_eq!(out.stderr, "error\n");
}

fn options_before_and_after_the_id(t: &Sandbox) {
    let c = running(t);
    t.tare(["exec", "--cwd", "/tmp", &c.id, "pwd"])
        .run()
        .ok()
        .prints("/tmp");
    // Behind the id stands the program: what follows is its own.
    t.tare(["exec", &c.id, "ls", "-a", "/root"])
        .run()
        .ok()
        .prints(".\n..");
}

fn dashes_belong_to_the_program(t: &Sandbox) {
    let c = running(t);
    t.tare(["exec", &c.id, "echo", "-e", "--cwd", "-t", "x"])
        .run()
        .ok()
        .prints("--cwd -t x");
    t.tare(["exec", &c.id, "sh", "-c", "echo $0", "--user"])
        .run()
        .ok()
        .prints("--user");
}

fn detach_and_pid_file(t: &Sandbox) {
    let c = running(t);
    let file = t.path("pid");
    c.exec_with(
        &["--detach", "--pid-file", file.to_str().unwrap()],
        &["sleep", "1003"],
    )
    .run()
    .ok();
    let pid = fs::read_to_string(file).unwrap();
    wait_for("the program", || {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap() == "sleep\x001003\x00"
    });
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let inner = status
        .lines()
        .find(|line| line.starts_with("NSpid"))
        .unwrap();
    assert_eq!(
        inner.split_whitespace().count(),
        3,
        "in the container's pid namespace: {inner}"
    );
    c.delete_force().ok();
    wait_for("its end", || {
        !fs::exists(format!("/proc/{pid}/root/bin")).unwrap_or(false)
    });
}

fn preserve_fds(t: &Sandbox) {
    let c = running(t);
    let (three, four) = (t.file("three", "3"), t.file("four", "4"));
    let words = format!("3<{} 4<{}", three.display(), four.display());
    c.exec_with(&["--preserve-fds", "2"], &["sh", "-c", "cat <&3; cat <&4"])
        .redirect(&words)
        .run()
        .ok()
        .prints("34");
    c.exec_with(&[], &["sh", "-c", "cat <&3"])
        .redirect(&words)
        .run()
        .fails();
}

fn joins_the_cgroup(t: &Sandbox) {
    let c = running(t);
    let init = fs::read_to_string(c.proc("cgroup")).unwrap();
    c.exec_with(
        &["--detach", "--pid-file", t.path("pid").to_str().unwrap()],
        &["sleep", "1003"],
    )
    .run()
    .ok();
    let pid = fs::read_to_string(t.path("pid")).unwrap();
    assert_eq!(
        fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap(),
        init
    );
}

fn sub_cgroup(t: &Sandbox) {
    let c = running(t);
    let sub = c.cgroup("pids").join("sub");
    fs::create_dir(&sub).unwrap();
    let script = "grep -E ':(pids|freezer)?:' /proc/self/cgroup";
    let path = if host::is_v2() { "sub" } else { "pids:sub" };
    let out = c
        .exec_with(&["--cgroup", path], &["sh", "-c", script])
        .run()
        .ok();
    let own = host::cgroup(&c.id);
    let of = |controller: &str| {
        let mark = format!(":{controller}:");
        let line = out.stdout.lines().find(|line| line.contains(&mark));
        line.unwrap_or_else(|| panic!("no {controller}: {out}"))
    };
    if host::is_v2() {
        assert!(of("").ends_with(&format!("{own}/sub")), "{out}");
    } else {
        assert!(of("pids").ends_with(&format!("{own}/sub")), "{out}");
        assert!(of("freezer").ends_with(&own), "{out}");
    }
    c.delete_force().ok();
    t.assert_nothing_left();
}

fn sub_cgroup_that_is_missing(t: &Sandbox) {
    let c = running(t);
    for cgroup in ["none", "pids:none", "nosuch:sub", "../..", "pids:../.."] {
        c.exec_with(&["--cgroup", cgroup], &["true"]).run().fails();
    }
}

fn into_paused(t: &Sandbox) {
    let c = running(t);
    c.verb(&["pause"]).run().ok();
    c.exec(&["true"]).fails().says("paused");
}

fn into_paused_ignored(t: &Sandbox) {
    let c = running(t);
    c.verb(&["pause"]).run().ok();
    let exec = c
        .exec_with(&["--ignore-paused"], &["echo", "thawed"])
        .spawn();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert_eq!(exec.stdout(), "");
    c.verb(&["resume"]).run().ok();
    exec.wait().ok().prints("thawed");
}

fn into_stopped(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]);
    c.create().ok();
    c.start().ok();
    c.wait_for_status("stopped");
    c.exec(&["true"])
        .fails()
        .says("cannot exec in a stopped container");
}

fn into_created(t: &Sandbox) {
    let c = t.container();
    c.create().ok();
    c.exec(&["echo", "early"]).ok().prints("early");
    assert_eq!(c.status(), "created");
}

fn program_not_found(t: &Sandbox) {
    let c = running(t);
    c.exec(&["no-such-program"])
        .exits(255)
        .says("no-such-program")
        .says("executable file not found in $PATH");
    c.exec(&["/no/such/program"])
        .exits(255)
        .says("no such file or directory");
    assert_eq!(c.status(), "running");
}

fn program_not_executable(t: &Sandbox) {
    let c = running(t);
    c.exec(&["/etc/passwd"])
        .exits(255)
        .says("permission denied");
}

fn no_program(t: &Sandbox) {
    let c = running(t);
    c.verb(&["exec"]).run().fails();
    c.exec(&[""]).fails();
}

fn leaves_the_container_as_it_was(t: &Sandbox) {
    let c = running(t);
    let mounts = fs::read_to_string(c.proc("mountinfo")).unwrap();
    let state = c.state();
    for _ in 0..5 {
        c.exec(&["true"]).ok();
        c.exec(&["false"]).exits(1);
    }
    assert_eq!(fs::read_to_string(c.proc("mountinfo")).unwrap(), mounts);
    assert_eq!(c.state(), state);
    let out = c.verb(&["ps", "-f", "json"]).run().ok().json();
    assert_eq!(out.as_array().unwrap().len(), 1, "{out}");
}

fn many_at_the_same_time(t: &Sandbox) {
    let c = running(t);
    let all: Vec<_> = (0..30)
        .map(|n| {
            c.exec_with(&[], &["sh", "-c", &format!("echo {n}; exit {n}")])
                .spawn()
        })
        .collect();
    for (n, exec) in all.into_iter().enumerate() {
        exec.wait().exits(n as i32).prints(&n.to_string());
    }
}

fn sees_changes_to_the_rootfs(t: &Sandbox) {
    let mut c = t.container();
    c.writable()
        .script("mount -t tmpfs tmpfs /tmp; echo in >/tmp/file; sleep 1000");
    c.capabilities(&["CAP_SYS_ADMIN"]);
    c.run_with(&["--detach"]).run().ok();
    wait_for("the file", || {
        c.exec(&["cat", "/tmp/file"]).stdout == "in\n"
    });
}

/// What the program leaves running goes on in the container; exec itself returns.
fn orphans_do_not_hold_it(t: &Sandbox) {
    let c = running(t);
    c.exec(&["sh", "-c", "sleep 1004 & exit 6"]).exits(6);
    let out = c.verb(&["ps", "-f", "json"]).run().ok().json();
    assert_eq!(out.as_array().unwrap().len(), 2);
}
