//! run: create, start, wait and delete in one.

use crate::harness::{Sandbox, tests, wait_for};

tests![
    run_returns_the_status,
    run_returns_128_and_the_signal,
    run_deletes_the_container,
    run_keep,
    run_detach,
    run_with_a_bundle_alone,
    run_with_dashes_before_the_id,
    run_failing_leaves_nothing,
    standard_input_reaches_the_container,
];

fn run_returns_the_status(t: &Sandbox) {
    for status in [0, 1, 42, 126, 255] {
        let mut c = t.container();
        c.script(&format!("exit {status}"));
        c.run().exits(status);
    }
}

fn run_returns_128_and_the_signal(t: &Sandbox) {
    // An init is immune to its own signals, so it must come from outside.
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    let run = c.run_with(&[]).spawn();
    wait_for("running", || {
        c.verb(&["state"]).run().stdout.contains("\"running\"")
    });
    c.kill("KILL").ok();
    run.wait().exits(128 + 9);
    t.assert_nothing_left();
}

fn run_deletes_the_container(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]);
    c.run().ok();
    t.assert_nothing_left();
    c.run().ok();
}

fn run_with_dashes_before_the_id(t: &Sandbox) {
    let mut c = t.container();
    c.script("exit 7");
    c.run_with(&["--"]).run().exits(7);
    t.assert_nothing_left();
}

fn run_keep(t: &Sandbox) {
    let mut c = t.container();
    c.script("exit 7");
    c.run_with(&["--keep"]).run().exits(7);
    assert_eq!(c.status(), "stopped");
    c.delete().ok();
    t.assert_nothing_left();
}

fn run_detach(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    for option in ["--detach", "-d"] {
        c.run_with(&[option]).run().ok();
        assert_eq!(c.status(), "running");
        c.delete_force().ok();
    }
}

fn run_with_a_bundle_alone(t: &Sandbox) {
    let mut c = t.container();
    c.args(["echo", "here"]).save();
    t.tare(["run", c.bundle.to_str().unwrap()])
        .run()
        .ok()
        .prints("here");
    c.args(["sleep", "1000"]).save();
    t.tare(["run", "--detach", c.bundle.to_str().unwrap()])
        .run()
        .ok();
    let name = c.bundle.file_name().unwrap().to_str().unwrap();
    assert_eq!(t.tare(["state", name]).run().ok().json()["id"], name);
}

fn run_failing_leaves_nothing(t: &Sandbox) {
    let mut c = t.container();
    c.args(["no-such-program"]);
    c.run().fails();
    t.assert_nothing_left();
    c.create().fails();
    t.assert_nothing_left();
}

fn standard_input_reaches_the_container(t: &Sandbox) {
    let mut c = t.container();
    c.args(["cat"]);
    c.run_with(&[])
        .input("through and through")
        .run()
        .ok()
        .prints("through and through");
}
