//! No descriptor but the named ones reaches a container (CVE-2016-9962, CVE-2024-21626),
//! and the runtime's own binary cannot be written from inside one (CVE-2019-5736).

use crate::harness::{Command, Container, Sandbox, runtime, skip, tests, wait_for};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

tests![
    init_has_the_standard_ones_alone,
    exec_has_the_standard_ones_alone,
    preserved_ones_are_there,
    preserved_one_that_is_missing,
    closed_standard_streams,
    cwd_by_a_descriptor_is_refused,
    cwd_by_a_preserved_descriptor_is_refused,
    exec_cwd_by_a_descriptor_is_refused,
    program_by_a_descriptor,
    host_is_out_of_reach_of_a_watching_init,
    own_binary_as_the_program,
    own_binary_as_the_interpreter,
    own_binary_is_never_open_for_writing,
    listen_fds,
    listen_fds_of_others,
    listen_fds_with_preserved_ones,
    notify_socket,
    hooks_get_none,
];

/// Descriptors that a careless caller has open, one of them to a directory of the host.
const CARELESS: &str = "3</etc/hostname 4</sys/fs/cgroup 5</ 10</etc 60</";

fn descriptors(pid: impl std::fmt::Display) -> Vec<u32> {
    let mut found: Vec<u32> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    found.sort_unstable();
    found
}

fn init_has_the_standard_ones_alone(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    c.run_with(&["--detach"]).redirect(CARELESS).run().ok();
    wait_for("the program", || {
        fs::read_to_string(c.proc("cmdline"))
            .unwrap()
            .starts_with("sleep")
    });
    assert_eq!(descriptors(c.pid()), [0, 1, 2]);
    c.delete_force().ok();
    c.create_with(&[]).redirect(CARELESS).run().ok();
    c.verb(&["start"]).redirect(CARELESS).run().ok();
    wait_for("the program", || {
        fs::read_to_string(c.proc("cmdline"))
            .unwrap()
            .starts_with("sleep")
    });
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
    wait_for("the program", || {
        fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .unwrap()
            .starts_with("sleep")
    });
    assert_eq!(descriptors(pid), [0, 1, 2]);
}

fn preserved_ones_are_there(t: &Sandbox) {
    let mut c = t.container();
    let file = t.file("file", "preserved");
    c.args(["sleep", "1000"]);
    let words = format!("3<{} 4</dev/null 5</", file.display());
    c.run_with(&["--detach", "--preserve-fds", "2"])
        .redirect(&words)
        .run()
        .ok();
    wait_for("the program", || {
        fs::read_to_string(c.proc("cmdline"))
            .unwrap()
            .starts_with("sleep")
    });
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

fn cwd_by_a_descriptor_is_refused(t: &Sandbox) {
    for number in 0..64 {
        let mut c = t.container();
        c.set("/process/cwd", json!(format!("/proc/self/fd/{number}")));
        c.script("cat ../../../../../../etc/hostname");
        let out = c.run_with(&[]).redirect(CARELESS).run().fails();
        assert_eq!(out.stdout, "", "{number}");
    }
    t.assert_nothing_left();
}

fn cwd_by_a_preserved_descriptor_is_refused(t: &Sandbox) {
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

fn exec_cwd_by_a_descriptor_is_refused(t: &Sandbox) {
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

fn program_by_a_descriptor(t: &Sandbox) {
    let mut c = t.container();
    for number in 3..20 {
        let program = format!("/proc/self/fd/{number}/../../../../../../../bin/bash");
        c.args([program.as_str(), "-c", "cat /etc/hostname"]);
        let out = c.run_with(&[]).redirect(CARELESS).run().fails();
        assert_eq!(out.stdout, "", "{number}");
    }
    t.assert_nothing_left();
}

/// CVE-2016-9962: an init with CAP_SYS_PTRACE looks at each process that enters, and tries
/// to come from its root, directory and descriptors to a file of the host.
fn host_is_out_of_reach_of_a_watching_init(t: &Sandbox) {
    let canary = t.file("canary", "the host's own");
    let mut c = t.container();
    c.capabilities(&[
        "CAP_SYS_PTRACE",
        "CAP_DAC_OVERRIDE",
        "CAP_DAC_READ_SEARCH",
        "CAP_KILL",
    ]);
    let up = "../".repeat(12);
    c.script(&format!(
        "echo ready; while :; do for p in /proc/[0-9]*; do [ $p = /proc/1 ] && continue; \
         for d in $p/root $p/cwd $p/fd/*; do [ -d $d ] || continue; \
         cat $d/{up}{path} $d/{path}; done; done; done 2>/dev/null",
        path = canary.to_str().unwrap().trim_start_matches('/'),
    ));
    let run = c.run_with(&["--detach"]).run().ok();
    wait_for("ready", || run.later().contains("ready"));
    for _ in 0..150 {
        c.exec_with(&[], &["true"]).redirect(CARELESS).run();
    }
    assert!(!run.later().contains("the host's own"), "it got out");
}

/// A copy of the runtime to risk, and its content.
fn copy_of_runtime(t: &Sandbox) -> (PathBuf, Vec<u8>) {
    let path = t.path("runtime");
    fs::copy(runtime(), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let content = fs::read(&path).unwrap();
    (path, content)
}

fn with_copy(t: &Sandbox, copy: &std::path::Path, args: &[&str]) -> Command {
    t.command(copy.to_str().unwrap())
        .args(["--root", t.root().to_str().unwrap()])
        .args(args)
}

/// A writable container with everything that writing might take.
fn powerful(t: &Sandbox) -> Container<'_> {
    let mut c = t.container();
    c.writable();
    c.capabilities(&[
        "CAP_DAC_OVERRIDE",
        "CAP_SYS_PTRACE",
        "CAP_SYS_ADMIN",
        "CAP_FOWNER",
        "CAP_KILL",
    ]);
    c
}

fn own_binary_as_the_program(t: &Sandbox) {
    let (copy, content) = copy_of_runtime(t);
    let mut c = powerful(t);
    for args in [
        &["/proc/self/exe"][..],
        &["/proc/self/exe", "--version"],
        &["/proc/self/exe", "init"],
        &["/proc/thread-self/exe", "features"],
    ] {
        c.args(args).save();
        // However it ends, it must end, and leave the binary be.
        with_copy(t, &copy, &["run", "-b", c.bundle.to_str().unwrap(), &c.id]).run();
        c.delete_force();
    }
    assert!(fs::read(&copy).unwrap() == content);
    c.run_sleeping();
    with_copy(t, &copy, &["exec", &c.id, "/proc/self/exe", "--version"]).run();
    assert!(fs::read(&copy).unwrap() == content);
}

fn own_binary_as_the_interpreter(t: &Sandbox) {
    let (copy, content) = copy_of_runtime(t);
    let mut c = powerful(t);
    let script = c.rootfs("script");
    fs::write(&script, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    c.args(["/script"]).save();
    with_copy(t, &copy, &["run", "-b", c.bundle.to_str().unwrap(), &c.id]).run();
    c.delete_force();
    c.run_sleeping();
    with_copy(t, &copy, &["exec", &c.id, "/script"]).run();
    assert!(fs::read(&copy).unwrap() == content);
}

/// The published exploit: keep a descriptor of what enters, and write when it has left.
fn own_binary_is_never_open_for_writing(t: &Sandbox) {
    let (copy, content) = copy_of_runtime(t);
    let mut c = powerful(t);
    c.script(
        "echo ready; while :; do for p in /proc/[0-9]*; do \
         case $(readlink $p/exe) in /bin/busybox|'') continue;; esac; \
         exec 8<$p/exe || continue; echo caught; sleep 0.05; \
         { printf pwned >>/proc/self/fd/8; } && echo written; \
         { printf pwned >>$p/exe; } && echo written; \
         exec 8<&-; done; done 2>/dev/null",
    )
    .save();
    let run = with_copy(
        t,
        &copy,
        &["run", "-d", "-b", c.bundle.to_str().unwrap(), &c.id],
    )
    .run()
    .ok();
    wait_for("ready", || run.later().contains("ready"));
    for _ in 0..100 {
        with_copy(t, &copy, &["exec", &c.id, "true"]).run();
    }
    let said = run.later();
    assert!(
        fs::read(&copy).unwrap() == content,
        "the binary was overwritten"
    );
    assert!(
        !said.contains("written"),
        "something of the runtime's was written"
    );
}

fn listen(t: &Sandbox, c: &Container, options: &str) -> crate::harness::Output {
    c.save();
    t.file("three", "3");
    t.file("four", "4");
    let script = format!(
        "export LISTEN_FDS=1 LISTEN_PID=$$; exec {} --root {} run {options} -b {} {} 3<{} 4<{}",
        runtime(),
        t.root().display(),
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

fn hooks_get_none(t: &Sandbox) {
    let mut c = t.container();
    let hook = t.file("hook", "#!/bin/sh\ncat >/dev/null; ls -l /proc/$$/fd >$1\n");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
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
