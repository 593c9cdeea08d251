//! Terminals: run and exec on the user's own, create with a console socket.

use crate::harness::{Container, DescriptorSocket, Sandbox, Terminal, tests, wait_for};
use rustix::termios::LocalModes;
use serde_json::json;
use std::os::unix::net::UnixListener;

tests![
    output_that_cannot_be_written,
    run_on_a_terminal,
    terminal_is_restored,
    terminal_is_restored_after_a_failure,
    size_is_passed,
    resize_is_passed,
    newlines_are_translated_once,
    output_to_a_file_is_not_translated,
    exit_status,
    keys_reach_the_container,
    interrupt_goes_to_the_container,
    much_output_is_all_there,
    controlling_terminal,
    console_is_the_terminal,
    terminal_belongs_to_the_user,
    console_socket,
    console_socket_of_run_detached,
    console_socket_that_is_missing,
    console_socket_that_never_answers,
    console_socket_without_terminal,
    terminal_without_console_socket,
    console_size,
    console_size_of_a_detached_exec,
    terminal_in_user_namespace,
    exec_on_a_terminal,
    exec_by_console_socket,
    exec_detached_without_console_socket,
];

fn with_terminal<'s>(t: &'s Sandbox, script: &str) -> Container<'s> {
    let mut c = t.container();
    c.set("/process/terminal", json!(true)).script(script);
    c
}

fn run_on_a_terminal(t: &Sandbox) {
    let c = with_terminal(t, "test -t 0 && test -t 1 && test -t 2 && tty && echo done");
    let terminal = Terminal::new(24, 80);
    terminal.run(t, c.run_with(&[])).run().ok();
    let seen = terminal.expect("done");
    // The name as it is in the container, whose first terminal it is.
    assert!(
        seen.contains("/dev/pts/0") || seen.contains("/dev/console"),
        "{seen}"
    );
}

fn terminal_is_restored(t: &Sandbox) {
    let c = with_terminal(t, "echo ready; read line; exit 3");
    let terminal = Terminal::new(24, 80);
    let _open = terminal.slave();
    let before = terminal.attributes();
    let run = terminal.run(t, c.run_with(&[])).spawn();
    terminal.expect("ready");
    let raw = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    wait_for("raw mode", || {
        !terminal.attributes().local_modes.intersects(raw)
    });
    terminal.write("\n");
    run.wait().exits(3);
    let after = terminal.attributes();
    assert_eq!(after.local_modes, before.local_modes);
    assert_eq!(after.input_modes, before.input_modes);
    assert_eq!(after.output_modes, before.output_modes);
    assert_eq!(after.control_modes, before.control_modes);
}

fn terminal_is_restored_after_a_failure(t: &Sandbox) {
    let mut c = with_terminal(t, "");
    c.args(["no-such-program"]);
    let terminal = Terminal::new(24, 80);
    let _open = terminal.slave();
    let before = terminal.attributes();
    terminal.run(t, c.run_with(&[])).run().fails();
    assert_eq!(terminal.attributes().local_modes, before.local_modes);
    // And killed from outside.
    c.script("echo ready; sleep 1000");
    let run = terminal.run(t, c.run_with(&[])).spawn();
    terminal.expect("ready");
    c.kill("KILL").ok();
    run.wait().exits(137);
    assert_eq!(terminal.attributes().local_modes, before.local_modes);
    assert_eq!(terminal.attributes().output_modes, before.output_modes);
}

fn size_is_passed(t: &Sandbox) {
    let c = with_terminal(t, "stty size; echo done");
    let terminal = Terminal::new(33, 77);
    terminal.run(t, c.run_with(&[])).run().ok();
    let seen = terminal.expect("done");
    assert!(seen.contains("33 77"), "{seen}");
}

fn resize_is_passed(t: &Sandbox) {
    let c = with_terminal(
        t,
        "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done",
    );
    let terminal = Terminal::new(24, 80);
    let run = terminal.run(t, c.run_with(&[])).spawn();
    terminal.expect("ready");
    terminal.resize(44, 111);
    terminal.expect("44 111");
    run.wait().ok();
}

fn newlines_are_translated_once(t: &Sandbox) {
    let c = with_terminal(t, "printf 'a\\nb\\n'; echo done");
    let terminal = Terminal::new(24, 80);
    terminal.run(t, c.run_with(&[])).run().ok();
    let seen = terminal.expect("done");
    assert!(seen.contains("a\r\nb\r\n"), "{seen:?}");
}

fn output_to_a_file_is_not_translated(t: &Sandbox) {
    let c = with_terminal(t, "printf 'a\\nb\\n'");
    let terminal = Terminal::new(24, 80);
    let out = c.run_with(&[]).stdin(terminal.slave()).run().ok();
    assert_eq!(out.stdout, "a\nb\n");
}

fn exit_status(t: &Sandbox) {
    let terminal = Terminal::new(24, 80);
    for status in [0, 1, 42] {
        let c = with_terminal(t, &format!("exit {status}"));
        terminal.run(t, c.run_with(&[])).run().exits(status);
    }
}

fn keys_reach_the_container(t: &Sandbox) {
    let c = with_terminal(t, "echo ready; read line; echo got $line");
    let terminal = Terminal::new(24, 80);
    let run = terminal.run(t, c.run_with(&[])).spawn();
    terminal.expect("ready");
    terminal.write("typed\r");
    terminal.expect("got typed");
    run.wait().ok();
}

/// Ctrl-C is a key like any other to the runtime; the container's terminal makes a signal
/// of it.
fn interrupt_goes_to_the_container(t: &Sandbox) {
    let c = with_terminal(
        t,
        "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done",
    );
    let terminal = Terminal::new(24, 80);
    let run = terminal.run(t, c.run_with(&[])).spawn();
    terminal.expect("ready");
    terminal.write("\x03");
    run.wait().exits(9);
}

fn much_output_is_all_there(t: &Sandbox) {
    let c = with_terminal(t, "busybox seq 1 20000");
    let terminal = Terminal::new(24, 80);
    let run = terminal.run(t, c.run_with(&[])).spawn();
    let seen = terminal.expect("\n20000\r\n");
    assert_eq!(seen.lines().count(), 20000);
    run.wait().ok();
    let terminal = Terminal::new(24, 80);
    let out = c.run_with(&[]).stdin(terminal.slave()).run().ok();
    assert_eq!(out.stdout.lines().count(), 20000);
}

fn controlling_terminal(t: &Sandbox) {
    let c = with_terminal(t, "echo by way of tty >/dev/tty && echo done");
    let terminal = Terminal::new(24, 80);
    terminal.run(t, c.run_with(&[])).run().ok();
    terminal.expect("by way of tty");
}

fn console_is_the_terminal(t: &Sandbox) {
    for readonly in [true, false] {
        let mut c = with_terminal(
            t,
            "stat -c 'major %t' /dev/console; echo by way of console >/dev/console && echo done",
        );
        c.set("/root/readonly", json!(readonly));
        let terminal = Terminal::new(24, 80);
        terminal.run(t, c.run_with(&[])).run().ok();
        terminal.expect("major 88");
        terminal.expect("by way of console");
    }
}

fn terminal_belongs_to_the_user(t: &Sandbox) {
    let mut c = with_terminal(
        t,
        "echo works >/dev/stdout && stat -L -c 'owner %u' /dev/stdin",
    );
    c.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    let terminal = Terminal::new(24, 80);
    terminal.run(t, c.run_with(&[])).run().ok();
    terminal.expect("works");
    terminal.expect("owner 1000");
}

fn console_socket(t: &Sandbox) {
    let c = with_terminal(t, "tty; read line; echo got $line; stty size");
    let socket = DescriptorSocket::new(t);
    let out = c
        .create_with(&["--console-socket", socket.path()])
        .run()
        .ok();
    assert_eq!(c.status(), "created");
    let terminal = socket.receive_terminal();
    terminal.resize(20, 50);
    c.start().ok();
    terminal.write("typed\n");
    terminal.expect("got typed");
    terminal.expect("20 50");
    c.wait_for_status("stopped");
    assert_eq!(out.later(), "", "it went to the terminal alone");
}

fn console_socket_of_run_detached(t: &Sandbox) {
    let c = with_terminal(t, "echo here; sleep 1000");
    let socket = DescriptorSocket::new(t);
    c.run_with(&["--detach", "--console-socket", socket.path()])
        .run()
        .ok();
    socket.receive_terminal().expect("here");
    assert_eq!(c.status(), "running");
}

fn console_socket_that_is_missing(t: &Sandbox) {
    let c = with_terminal(t, "");
    let path = t.path("none.sock");
    c.create_with(&["--console-socket", path.to_str().unwrap()])
        .run()
        .fails()
        .says("none.sock");
    t.assert_nothing_left();
}

/// Nobody accepts: the descriptor waits in the socket, and create does not.
fn console_socket_that_never_answers(t: &Sandbox) {
    let c = with_terminal(t, "");
    let path = t.path("silent.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    c.create_with(&["--console-socket", path.to_str().unwrap()])
        .run()
        .ok();
}

fn console_socket_without_terminal(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]);
    let socket = DescriptorSocket::new(t);
    c.create_with(&["--console-socket", socket.path()])
        .run()
        .fails()
        .says("console socket");
    t.assert_nothing_left();
}

fn terminal_without_console_socket(t: &Sandbox) {
    let c = with_terminal(t, "true");
    c.create().fails().says("console socket");
    c.run_with(&["--detach"])
        .run()
        .fails()
        .says("console socket");
    t.assert_nothing_left();
}

fn console_size(t: &Sandbox) {
    let mut c = with_terminal(t, "stty size");
    c.set("/process/consoleSize", json!({"height": 10, "width": 110}));
    let socket = DescriptorSocket::new(t);
    c.run_with(&["--detach", "--console-socket", socket.path()])
        .run()
        .ok();
    let terminal = socket.receive_terminal();
    terminal.expect("10 110");
    assert_eq!(terminal.size(), (10, 110));
}

fn console_size_of_a_detached_exec(t: &Sandbox) {
    let mut c = t.container();
    c.set("/process/consoleSize", json!({"height": 10, "width": 110}))
        .run_sleeping();
    let socket = DescriptorSocket::new(t);
    let flags = ["-td", "--console-socket", socket.path()];
    c.exec_with(&flags, &["stty", "size"]).run().ok();
    socket.receive_terminal().expect("10 110");
}

fn terminal_in_user_namespace(t: &Sandbox) {
    let mut c = with_terminal(
        t,
        "echo works >/dev/console; stat -L -c 'owner %u' /dev/stdin",
    );
    let mapping = json!([{"containerID": 0, "hostID": 100000, "size": 65536}]);
    c.push("/linux/namespaces", json!({"type": "user"}));
    c.set("/linux/uidMappings", mapping.clone())
        .set("/linux/gidMappings", mapping);
    let terminal = Terminal::new(24, 80);
    terminal.run(t, c.run_with(&[])).run().ok();
    terminal.expect("works");
    terminal.expect("owner 0");
}

fn exec_on_a_terminal(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let terminal = Terminal::new(31, 71);
    let _open = terminal.slave();
    let before = terminal.attributes();
    let script = "test -t 0 && stty size && tty; read line; echo got $line; exit 4";
    for option in ["--tty", "-t"] {
        let exec = c.exec_with(&[option], &["sh", "-c", script]);
        let exec = terminal.run(t, exec).spawn();
        terminal.expect("31 71");
        terminal.write("typed\r");
        terminal.expect("got typed");
        exec.wait().exits(4);
        assert_eq!(terminal.attributes().local_modes, before.local_modes);
    }
}

fn exec_by_console_socket(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let socket = DescriptorSocket::new(t);
    let options = ["--tty", "--detach", "--console-socket", socket.path()];
    c.exec_with(
        &options,
        &["sh", "-c", "read line; echo got $line; sleep 1000"],
    )
    .run()
    .ok();
    let terminal = socket.receive_terminal();
    terminal.write("typed\n");
    terminal.expect("got typed");
}

fn exec_detached_without_console_socket(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    c.exec_with(&["--tty", "--detach"], &["true"])
        .run()
        .fails()
        .says("console socket");
    assert_eq!(c.status(), "running");
}

/// A full disk is no reason for the container to end.
fn output_that_cannot_be_written(t: &Sandbox) {
    let c = with_terminal(t, "echo one; sleep 0.2; echo two; exit 7");
    let out = c.run_with(&[]).redirect(">/dev/full").run().exits(7);
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
    assert!(out.stderr.contains("no space left on device"), "{out}");
}
