//! The descriptors that a container is given: those that are named, and no other. What an
//! attacker would do with more of them is tested in tests/hostile.

use crate::harness::{Container, Sandbox, descriptors, tests, wait_for};
use std::fs;
use std::os::unix::net::UnixDatagram;

tests![
    preserved_ones_are_there,
    preserved_one_that_is_missing,
    closed_standard_streams,
    listen_fds,
    listen_fds_of_others,
    listen_fds_with_preserved_ones,
    notify_socket,
];

fn preserved_ones_are_there(t: &Sandbox) {
    let mut c = t.container();
    let file = t.file("file", "preserved");
    c.args(["sleep", "1000"]);
    let words = format!("3<{} 4</dev/null 5</", file.display());
    c.run_with(&["--detach", "--preserve-fds", "2"])
        .redirect(&words)
        .run()
        .ok();
    assert_eq!(descriptors(c.pid()), [0, 1, 2, 3, 4]);
    assert_eq!(fs::read_to_string(c.proc("fd/3")).unwrap(), "preserved");
}

fn preserved_one_that_is_missing(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]);
    c.run_with(&["--preserve-fds", "3"])
        .redirect("3</dev/null 4<&-")
        .run()
        .fails()
        .says("preserved-fd 1")
        .says("4");
    c.run_with(&["--preserve-fds", "4294967295"])
        .redirect("3<&-")
        .env("LISTEN_FDS", "1")
        .run()
        .fails()
        .says("preserved-fd 0");
    t.assert_nothing_left();
}

/// Whoever opens something first would get a standard stream's number.
fn closed_standard_streams(t: &Sandbox) {
    let mut c = t.container();
    c.script("ls -l /proc/self/fd >/tmp/list; echo $? >/tmp/status");
    c.mount("/tmp", "bind", t.dir("shared").to_str().unwrap(), &["bind"]);
    c.run_with(&[]).redirect("0<&- 1>&- 2>&-").run();
    if let Ok(list) = fs::read_to_string(t.path("shared/list")) {
        for inside in ["config.json", "cgroup", "state", "rootfs", "exec.fifo"] {
            assert!(!list.contains(inside), "{list}");
        }
    }
}

fn listen(t: &Sandbox, c: &Container, options: &str) -> crate::harness::Output {
    c.save();
    t.file("three", "3");
    t.file("four", "4");
    let script = format!(
        "export LISTEN_FDS=1 LISTEN_PID=$$; exec {} run {options} -b {} {} 3<{} 4<{}",
        t.tare_words(),
        c.bundle.display(),
        c.id,
        t.path("three").display(),
        t.path("four").display(),
    );
    t.command("/bin/bash").args(["-c", &script]).run()
}

fn listen_fds(t: &Sandbox) {
    let mut c = t.container();
    c.script("echo $LISTEN_FDS $LISTEN_PID; cat <&3; echo; cat <&4");
    listen(t, &c, "").fails().prints("1 1\n3");
}

/// They are for the process that LISTEN_PID names, and nobody else (sd_listen_fds(3)).
fn listen_fds_of_others(t: &Sandbox) {
    let mut c = t.container();
    c.script("echo ${LISTEN_FDS-none}; ls /proc/self/fd");
    for variables in [
        &[("LISTEN_FDS", "1")][..],
        &[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")],
    ] {
        let mut run = c.run_with(&[]).redirect("3</dev/null");
        for (name, value) in variables {
            run = run.env(name, value);
        }
        // The last is that of the directory.
        run.run().ok().prints("none\n0\n1\n2\n3");
    }
}

fn listen_fds_with_preserved_ones(t: &Sandbox) {
    let mut c = t.container();
    c.script("echo $LISTEN_FDS $LISTEN_PID; cat <&3; cat <&4");
    listen(t, &c, "--preserve-fds 1").ok().prints("1 1\n34");
}

/// The container's READY is passed on to whoever waits for the runtime's.
fn notify_socket(t: &Sandbox) {
    let path = t.path("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(10)))
        .unwrap();
    let mut c = t.container();
    c.script("echo $NOTIFY_SOCKET; test -S $NOTIFY_SOCKET && echo ready; sleep 1000");
    let run = c
        .run_with(&["--detach"])
        .env("NOTIFY_SOCKET", path.to_str().unwrap())
        .spawn();
    wait_for("ready", || run.stdout().contains("ready"));
    let inside = run.stdout().lines().next().unwrap().to_owned();
    let sender = UnixDatagram::unbound().unwrap();
    let target = format!("/proc/{}/root{inside}", c.pid());
    sender.send_to(b"READY=1\nSTATUS=hello\n", target).unwrap();
    let mut said = String::new();
    // Receiving without room for descriptors closes the barrier's, which says it was read.
    while !said.contains("BARRIER=1") {
        let mut buffer = [0; 1000];
        let count = socket.recv(&mut buffer).expect("no message came");
        said.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    let main = format!("READY=1\nMAINPID={}\nBARRIER=1", c.pid());
    assert_eq!(said, main);
    run.wait().ok();
}
