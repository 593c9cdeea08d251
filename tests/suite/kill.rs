//! kill: which signals, to whom, and when not.

use crate::harness::{Sandbox, tests, wait_for};

tests![
    container_is_looked_for_before_the_signal,
    kill_defaults_to_term,
    kill_takes_names_and_numbers,
    kill_of_unknown_signal,
    kill_of_stopped,
    kill_of_created,
    kill_all_reaches_every_process,
    kill_all_takes_every_signal,
    kill_of_init_ends_its_children,
    run_forwards_signals,
];

/// A container whose init ends with status 42 on each of these signals.
fn trapping<'s>(t: &'s Sandbox, signals: &str) -> crate::harness::Container<'s> {
    let mut c = t.container();
    c.script(&format!(
        "trap 'echo caught; exit 42' {signals}; echo ready; while :; do sleep 0.05; done"
    ));
    c
}

fn kill_defaults_to_term(t: &Sandbox) {
    for signal in [None, Some("")] {
        let c = trapping(t, "TERM");
        let run = c.run_with(&["--detach"]).run().ok();
        wait_for("ready", || run.later().contains("ready"));
        match signal {
            None => c.verb(&["kill"]).run().ok(),
            Some(signal) => c.kill(signal).ok(),
        };
        c.wait_for_status("stopped");
        assert!(run.later().contains("caught"), "not caught: {signal:?}");
    }
}

fn kill_takes_names_and_numbers(t: &Sandbox) {
    for signal in ["USR1", "SIGUSR1", "10", "usr1", "sigusr1"] {
        let c = trapping(t, "USR1");
        let run = c.run_with(&["--detach"]).run().ok();
        wait_for("ready", || run.later().contains("ready"));
        c.kill(signal).ok();
        c.wait_for_status("stopped");
        assert!(run.later().contains("caught"), "not caught: {signal}");
    }
}

fn kill_of_unknown_signal(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    for signal in ["NOSUCH", "999", "-5", "SIG"] {
        t.tare(["kill", "--", &c.id, signal]).run().fails();
    }
    assert_eq!(c.status(), "running");
}

fn kill_of_stopped(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]);
    c.create().ok();
    c.start().ok();
    c.wait_for_status("stopped");
    c.kill("KILL").exits(1).says("container not running");
}

fn kill_of_created(t: &Sandbox) {
    let c = t.container();
    c.create().ok();
    c.kill("KILL").ok();
    c.wait_for_status("stopped");
    c.delete().ok();
}

fn kill_all_reaches_every_process(t: &Sandbox) {
    // Without a pid namespace of its own, init's death does not take the others along.
    let mut c = t.container();
    c.without_namespace("pid");
    c.script("sleep 1000 & sleep 1000 & echo ready; wait");
    let run = c.run_with(&["--detach"]).run().ok();
    wait_for("ready", || run.later().contains("ready"));
    t.tare(["kill", "--all", &c.id, "KILL"]).run().ok();
    c.wait_for_status("stopped");
    c.delete().ok();
    t.assert_nothing_left();
}

fn kill_all_takes_every_signal(t: &Sandbox) {
    let mut c = t.container();
    let wait = "echo ready; while :; do sleep 0.1; done";
    c.script(&format!(
        "trap 'echo init' 35; (trap 'echo child' 35; {wait}) & {wait}"
    ));
    let run = c.run_with(&["--detach"]).run().ok();
    wait_for("ready", || run.later().matches("ready").count() == 2);
    t.tare(["kill", "-a", &c.id, "0"]).run().ok();
    // No shell's trap is of use to "sleep".
    t.tare(["kill", "-a", &c.id, "SIGRTMIN+1"]).run().ok();
    wait_for("the signal in both", || {
        let said = run.later();
        said.contains("init") && said.contains("child")
    });
    c.delete_force().ok();
}

fn kill_of_init_ends_its_children(t: &Sandbox) {
    let mut c = t.container();
    c.script("sleep 1000 & sleep 1000 & echo ready; wait");
    let run = c.run_with(&["--detach"]).run().ok();
    wait_for("ready", || run.later().contains("ready"));
    c.kill("KILL").ok();
    c.wait_for_status("stopped");
    c.delete().ok();
    t.assert_nothing_left();
}

fn run_forwards_signals(t: &Sandbox) {
    let c = trapping(t, "TERM USR2");
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::USR2] {
        let run = c.run_with(&[]).spawn();
        wait_for("ready", || run.stdout().contains("ready"));
        run.signal(signal);
        run.wait().exits(42);
    }
}

fn container_is_looked_for_before_the_signal(t: &Sandbox) {
    let nobody = t.id("nobody");
    t.tare(["kill", &nobody, "NOPE"])
        .run()
        .exits(1)
        .says("does not exist");
}
