//! `gc`: what killed commands left goes, and all else stays.

use crate::harness::{Container, Sandbox, program, tests, wait_for};
use rustix::process::Signal;
use serde_json::json;
use std::fs;

tests![
    half_made_container_goes,
    containers_stay,
    stopped_ones_go_if_asked,
    directory_without_a_record,
    what_is_being_made_stays,
    nothing_to_do,
];

/// A container whose create was killed when it had made nearly everything.
fn half_made(t: &Sandbox) -> Container<'_> {
    let mut c = t.container();
    let reached = t.path("reached");
    let text = format!("touch {}; sleep 1000", reached.display());
    let hook = program::script(t.path("hook"), &text);
    c.set("/hooks/createRuntime", json!([{"path": hook}]));
    let create = c.create_with(&[]).spawn();
    wait_for("the hook", || reached.exists());
    create.signal(Signal::KILL);
    create.wait().exits(128 + 9);
    c
}

fn half_made_container_goes(t: &Sandbox) {
    let c = half_made(t);
    let dry = t.tare(["gc", "--dry-run"]).run().ok();
    assert!(
        dry.stdout.contains(&c.id) && dry.stdout.contains("would be removed"),
        "{dry}"
    );
    let json = t
        .tare(["gc", "--dry-run", "--format", "json"])
        .run()
        .ok()
        .json();
    assert_eq!(
        json,
        json!([{"id": c.id, "kind": "half-made", "removed": false}])
    );
    let out = t.tare(["gc"]).run().ok();
    let line = out.stdout.lines().nth(1).unwrap();
    let fields: Vec<_> = line.split_whitespace().collect();
    assert_eq!(fields, [c.id.as_str(), "half-made", "removed"]);
    t.assert_nothing_left();
}

fn containers_stay(t: &Sandbox) {
    let (mut running, created, mut stopped) = (t.container(), t.container(), t.container());
    running.run_sleeping();
    created.create().ok();
    stopped.args(["true"]).run_with(&["--detach"]).run().ok();
    stopped.wait_for_status("stopped");
    let out = t.tare(["gc"]).run().ok();
    assert_eq!(out.stdout.lines().count(), 1, "{out}");
    assert_eq!(running.status(), "running");
    assert_eq!(created.status(), "created");
    assert_eq!(stopped.status(), "stopped");
}

fn stopped_ones_go_if_asked(t: &Sandbox) {
    let (mut running, mut stopped) = (t.container(), t.container());
    running.run_sleeping();
    stopped.args(["true"]).run_with(&["--detach"]).run().ok();
    stopped.wait_for_status("stopped");
    let out = t.tare(["gc", "--stopped"]).run().ok();
    assert!(
        out.stdout.contains(&stopped.id) && !out.stdout.contains(&running.id),
        "{out}"
    );
    assert_eq!(running.status(), "running");
    stopped
        .verb(&["state"])
        .run()
        .exits(1)
        .says("does not exist");
}

fn directory_without_a_record(t: &Sandbox) {
    let id = t.id("empty");
    let dir = t.root().join(&id);
    fs::create_dir_all(&dir).unwrap();
    // It may be a create that has just begun.
    t.tare(["gc"]).run().ok();
    assert!(dir.exists());
    let old = ["-d", "2 minutes ago", dir.to_str().unwrap()];
    t.command("touch").args(old).run().ok();
    let out = t.tare(["gc"]).run().ok();
    assert!(out.stdout.contains("empty"), "{out}");
    assert!(!dir.exists());
}

fn what_is_being_made_stays(t: &Sandbox) {
    let mut c = t.container();
    let reached = t.path("reached");
    let text = format!("touch {}; sleep 1", reached.display());
    let hook = program::script(t.path("hook"), &text);
    c.set("/hooks/createRuntime", json!([{"path": hook}]));
    let create = c.create_with(&[]).spawn();
    wait_for("the hook", || reached.exists());
    // Nor has it processes to be shown yet.
    c.verb(&["ps"])
        .run()
        .exits(1)
        .says("is still being created");
    let out = t.tare(["gc", "--stopped"]).run().ok();
    assert_eq!(out.stdout.lines().count(), 1, "{out}");
    create.wait().ok();
    assert_eq!(c.status(), "created");
}

fn nothing_to_do(t: &Sandbox) {
    t.tare(["gc", "--format", "json"]).run().ok().prints("[]");
}
