//! `events`: statistics and want of memory, as runc's JSON.

use crate::harness::limits::{is_v2, need};
use crate::harness::{Container, Sandbox, host, program, skip, tests, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

tests![
    stats_are_what_the_container_used,
    stats_have_runcs_fields,
    stats_without_a_limit,
    stats_of_created_and_paused,
    stats_of_stopped,
    stream_goes_on_until_the_end,
    stream_ends_at_once_with_the_container,
    intervals,
    out_of_memory,
    out_of_memory_of_init,
    lifecycle,
    lifecycle_of_one_that_is_being_made,
];

fn stats(c: &Container) -> Value {
    let event = c.verb(&["events", "--stats"]).run().ok().json();
    assert_eq!(event["type"], "stats");
    assert_eq!(event["id"], c.id.as_str());
    event["data"].clone()
}

fn stats_are_what_the_container_used(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/resources",
        json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 50},
               "cpu": {"quota": 20_000, "period": 100_000}}),
    );
    c.run_sleeping();
    c.exec(&[
        "sh",
        "-c",
        "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done",
    ])
    .ok();
    let stats = stats(&c);
    assert_eq!(stats["memory"]["usage"]["limit"], 64 << 20);
    assert_eq!(stats["pids"], json!({"current": 1, "limit": 50}));
    let cpu = &stats["cpu"]["usage"];
    let total = cpu["total"].as_u64().unwrap();
    assert!(total > 1_000_000, "{cpu}");
    let throttling = &stats["cpu"]["throttling"];
    assert!(throttling["periods"].as_u64() > Some(0), "{throttling}");
    let used = stats["memory"]["usage"]["usage"].as_u64().unwrap();
    let most = stats["memory"]["usage"]["max"].as_u64().unwrap();
    assert!(0 < used && used <= most && most < 64 << 20, "{stats}");
    assert!(stats["memory"]["raw"].as_object().unwrap().len() > 20);
}

/// The paths of all values, without those below `raw`, whose names are the kernel's.
fn paths(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if at != "/memory/raw" => {
            into.insert(at.to_owned());
            for (key, value) in map {
                paths(value, &format!("{at}/{key}"), into);
            }
        }
        _ => {
            into.insert(at.to_owned());
        }
    }
}

fn stats_have_runcs_fields(t: &Sandbox) {
    let runc = ["/usr/bin/runc", "/usr/sbin/runc"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or_else(|| skip("no runc to compare with (try: apt-get install runc)"));
    let mut c = t.container();
    c.set(
        "/linux/resources",
        json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 50}, "cpu": {"quota": 50_000}}),
    );
    // Zeros are left out, and a kernel may count time in hundredths of a second alone.
    let busy = [
        "sh",
        "-c",
        "i=0; while [ $((i += 1)) -lt 300000 ]; do :; done",
    ];
    c.run_sleeping();
    c.exec(&busy).ok();
    let ours = stats(&c);
    c.delete_force().ok();
    let root = t.dir("runc");
    let runc = |args: &[&str]| {
        let root = root.to_str().unwrap();
        let flags = host::flags();
        t.command(runc)
            .args(flags)
            .args(["--root", root])
            .args(args)
            .run()
    };
    let bundle = c.bundle.to_str().unwrap();
    runc(&["run", "--detach", "--bundle", bundle, &c.id]).ok();
    runc(&[&["exec", c.id.as_str()], &busy[..]].concat()).ok();
    let theirs = runc(&["events", "--stats", &c.id]);
    runc(&["delete", "--force", &c.id]).ok();
    let theirs = theirs.ok().json()["data"].clone();
    let (mut our_paths, mut their_paths) = (BTreeSet::new(), BTreeSet::new());
    paths(&ours, "", &mut our_paths);
    paths(&theirs, "", &mut their_paths);
    // Zeros are left out, and these depend on what was read from where, and on the moment.
    let may_be_zero = |path: &str| {
        ["/blkio/io", "/memory/cache", "/cpu/throttling/"]
            .iter()
            .any(|start| path.starts_with(start))
    };
    our_paths.retain(|path| !may_be_zero(path));
    their_paths.retain(|path| !may_be_zero(path));
    let lacking: Vec<_> = their_paths.difference(&our_paths).collect();
    assert!(
        lacking.is_empty(),
        "lacking: {lacking:?} of {theirs}\nin {ours}"
    );
    // Where v1 is hybrid ours tells of pressure and huge pages, as runc's does on v2.
    let is_more = |path: &&String| !path.contains("/psi") && !path.starts_with("/hugetlb/");
    let more: Vec<_> = our_paths.difference(&their_paths).filter(is_more).collect();
    assert!(more.is_empty(), "runc lacks: {more:?} of {ours}");
    for path in [
        "/memory/usage/limit",
        "/memory/swap/limit",
        "/pids/limit",
        "/cpuset",
    ] {
        assert_eq!(ours.pointer(path), theirs.pointer(path), "{path}");
    }
    let names = |stats: &Value| -> BTreeSet<String> {
        stats["memory"]["raw"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(names(&ours), names(&theirs));
}

fn stats_without_a_limit(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let stats = stats(&c);
    assert!(
        stats["memory"]["usage"]["limit"].as_u64() > Some(1 << 60),
        "{stats}"
    );
    assert_eq!(stats["pids"]["current"], 1);
    // A unit has the host's limit for units (DefaultTasksMax=).
    assert!(
        host::systemd() || stats["pids"]["limit"].is_null(),
        "{stats}"
    );
}

fn stats_of_created_and_paused(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    c.create().ok();
    assert_eq!(stats(&c)["pids"]["current"], 1);
    c.start().ok();
    c.verb(&["pause"]).run().ok();
    assert_eq!(stats(&c)["pids"]["current"], 1);
    c.verb(&["resume"]).run().ok();
}

fn stats_of_stopped(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]);
    c.run_with(&["--detach"]).run().ok();
    c.wait_for_status("stopped");
    for args in [&["events", "--stats"][..], &["events"]] {
        let out = c.verb(args).run().exits(1);
        assert!(out.stderr.contains("is not running"), "{out}");
        assert_eq!(out.stdout, "");
    }
    let nobody = t.id("nobody");
    t.tare(["events", &nobody])
        .run()
        .exits(1)
        .says("does not exist");
}

fn stream_goes_on_until_the_end(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let events = c.verb(&["events", "--interval", "20ms"]).spawn();
    wait_for("three events", || events.stdout().lines().count() >= 3);
    c.kill("KILL").ok();
    let out = events.wait().ok();
    for line in out.stdout.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["type"], "stats");
        assert!(event["data"]["cpu"]["usage"].is_object(), "{event}");
    }
    assert_eq!(out.stderr, "");
}

fn stream_ends_at_once_with_the_container(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    // Nothing would be looked at before the test's own deadline.
    let events = c.verb(&["events", "--interval", "1h"]).spawn();
    std::thread::sleep(std::time::Duration::from_millis(100));
    c.delete_force().ok();
    events.wait().ok().prints("");
}

fn intervals(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    for bad in ["0", "0s", "5", "-1s", "soon"] {
        let option = format!("--interval={bad}");
        c.verb(&["events", &option]).run().exits(1).says("interval");
    }
}

/// A container that may use 32 MiB, and has no swap to flee to.
fn small(t: &Sandbox) -> Container<'_> {
    need(&["memory"]);
    let mut c = t.container();
    let mut memory = json!({"limit": 32 << 20});
    if is_v2() || Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists() {
        memory["swap"] = json!(32 << 20);
    }
    c.set("/linux/resources/memory", memory);
    c
}

/// Needs more than it may have, at once.
const GREEDY: &str = "exec dd if=/dev/zero of=/dev/null bs=100M count=1";

fn out_of_memory(t: &Sandbox) {
    let mut c = small(t);
    c.run_sleeping();
    let events = c.verb(&["events", "--interval", "1h"]).spawn();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(events.stdout(), "");
    c.exec(&["sh", "-c", GREEDY]).fails();
    let line = format!("{{\"type\":\"oom\",\"id\":{:?}}}\n", c.id);
    wait_for("an event", || events.stdout().starts_with(&line));
    c.kill("KILL").ok();
    events.wait().ok();
}

fn out_of_memory_of_init(t: &Sandbox) {
    let mut c = small(t);
    c.script(&format!("sleep 0.5; {GREEDY}"));
    c.create().ok();
    let events = c.verb(&["events", "--interval", "1h"]).spawn();
    std::thread::sleep(std::time::Duration::from_millis(200));
    c.start().ok();
    let out = events.wait().ok();
    assert!(out.stdout.contains("\"oom\""), "{out}");
}

/// The statuses that `events --lifecycle` has printed.
fn statuses(stdout: &str) -> Vec<String> {
    let status = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["type"], "lifecycle");
        assert!(event["time"].as_str().unwrap().ends_with('Z'));
        event["status"].as_str().unwrap().to_owned()
    };
    stdout.lines().map(status).collect()
}

fn lifecycle(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    c.create().ok();
    let events = c.verb(&["events", "--lifecycle"]).spawn();
    let wait = |status: &str| {
        wait_for(status, || {
            statuses(&events.stdout())
                .last()
                .is_some_and(|s| s == status)
        });
    };
    wait("created");
    c.start().ok();
    wait("running");
    let running: Value = serde_json::from_str(events.stdout().lines().last().unwrap()).unwrap();
    assert_eq!(running["pid"], c.pid());
    c.verb(&["pause"]).run().ok();
    wait("paused");
    c.verb(&["resume"]).run().ok();
    wait("running");
    c.kill("KILL").ok();
    wait("stopped");
    c.delete().ok();
    let out = events.wait().ok();
    let expected = [
        "created", "running", "paused", "running", "stopped", "deleted",
    ];
    assert_eq!(statuses(&out.stdout), expected);
}

fn lifecycle_of_one_that_is_being_made(t: &Sandbox) {
    let mut c = t.container();
    let reached = t.path("reached");
    let text = format!("touch {}; sleep 1", reached.display());
    let hook = program::script(t.path("hook"), &text);
    c.set("/hooks/createRuntime", json!([{"path": hook}]));
    c.args(["true"]);
    let run = c.run_with(&[]).spawn();
    wait_for("the hook", || reached.exists());
    let events = c.verb(&["events", "--lifecycle"]).spawn();
    run.wait().ok();
    let statuses = statuses(&events.wait().ok().stdout);
    assert_eq!(statuses.first().unwrap(), "creating");
    assert_eq!(statuses.last().unwrap(), "deleted");
}
