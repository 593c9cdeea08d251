//! Errors in config.json, end to end: one line that says where, and nothing left behind.

use crate::harness::{Container, Output, Sandbox, tests};
use serde_json::{Value, json};
use std::fs;

tests![
    config_by_another_name,
    wrong_type_names_file_line_column_and_path,
    broken_json_names_the_place,
    missing_field_names_its_path,
    bad_values_name_their_paths,
    errors_are_one_line,
    spec_version,
    unknown_key_is_a_warning_with_the_nearest,
    unknown_key_far_from_any,
    unknown_keys_of_annotations_are_none,
    null_is_as_good_as_absent,
    duplicate_key,
    config_that_is_no_file,
    no_process,
    no_linux,
    real_configs_of_engines_are_read,
];

/// Runs config.json as it is written here.
fn run_text(c: &Container, t: &Sandbox, text: &str) -> Output {
    fs::write(c.bundle.join("config.json"), text).unwrap();
    t.tare(["run", "-b", c.bundle.to_str().unwrap(), &c.id])
        .run()
}

/// Runs the default config with one value changed, which must fail and leave nothing.
#[track_caller]
fn refused(t: &Sandbox, pointer: &str, value: Value, words: &str) -> Output {
    let mut c = t.container();
    c.args(["true"]).set(pointer, value);
    let out = c.run().fails().says(words);
    t.assert_nothing_left();
    out
}

/// The line and column at which this text begins.
fn place(text: &str, part: &str) -> (usize, usize) {
    let before = &text[..text.find(part).unwrap()];
    let line = before.matches('\n').count() + 1;
    (
        line,
        before.len() - before.rfind('\n').map_or(0, |at| at + 1) + 1,
    )
}

fn wrong_type_names_file_line_column_and_path(t: &Sandbox) {
    let mut c = t.container();
    c.set("/process/user/uid", json!("zero"));
    let text = serde_json::to_string_pretty(&c.config).unwrap();
    let (line, column) = place(&text, "\"zero\"");
    let out = run_text(&c, t, &text).fails().says("process.user.uid");
    let places = [
        column,
        column + "\"zero\"".len(),
        column + "\"zero\"".len() - 1,
    ]
    .map(|column| format!("config.json:{line}:{column}"));
    assert!(
        places.iter().any(|place| out.stderr.contains(place)),
        "{places:?} in {out}"
    );
    t.assert_nothing_left();
}

fn broken_json_names_the_place(t: &Sandbox) {
    let c = t.container();
    let good = serde_json::to_string_pretty(&c.config).unwrap();
    let (line, _) = place(&good, "\"hostname\"");
    let text = good.replace("\"hostname\"", "\"hostname");
    run_text(&c, t, &text)
        .fails()
        .says(&format!("config.json:{line}:"));
    // A comma too many is not JSON.
    let text = good.trim_end().trim_end_matches('}').trim_end().to_owned() + ",\n}";
    let lines = text.lines().count();
    run_text(&c, t, &text)
        .fails()
        .says(&format!("config.json:{lines}:"));
    run_text(&c, t, "").fails().says("config.json:1:");
    run_text(&c, t, "[]").fails().says("config.json:1:");
    run_text(&c, t, &(good + "{}")).fails();
    t.assert_nothing_left();
}

fn missing_field_names_its_path(t: &Sandbox) {
    for (pointer, words) in [
        ("/ociVersion", "ociVersion"),
        ("/process/cwd", "process"),
        ("/process/args", "process.args"),
        ("/root/path", "root"),
        ("/mounts/3/destination", "mounts[3]"),
    ] {
        let mut c = t.container();
        c.unset(pointer);
        let name = pointer.rsplit('/').next().unwrap();
        c.run().fails().says(words).says(name);
        t.assert_nothing_left();
    }
}

fn bad_values_name_their_paths(t: &Sandbox) {
    refused(t, "/process/cwd", json!("relative"), "process.cwd");
    refused(t, "/process/args", json!([]), "process.args");
    refused(
        t,
        "/process/env/1",
        json!("no equals sign"),
        "process.env[1]",
    );
    refused(
        t,
        "/process/rlimits/0/type",
        json!("RLIMIT_X"),
        "process.rlimits[0]",
    );
    refused(
        t,
        "/process/rlimits/0/soft",
        json!(5000),
        "process.rlimits[0]",
    );
    refused(
        t,
        "/linux/namespaces/0/type",
        json!("pidd"),
        "linux.namespaces[0]",
    );
    refused(
        t,
        "/linux/rootfsPropagation",
        json!("sideways"),
        "linux.rootfsPropagation",
    );
    refused(t, "/mounts/2/options", json!("ro"), "mounts[2].options");
    refused(
        t,
        "/mounts/2/options",
        json!(["ro", 5]),
        "mounts[2].options[1]",
    );
    refused(
        t,
        "/process/oomScoreAdj",
        json!(2000),
        "process.oomScoreAdj",
    );
    refused(t, "/process/user/umask", json!(-1), "process.user.umask");
    refused(
        t,
        "/hooks",
        json!({"createRuntime": [{"path": "x"}]}),
        "hooks.createRuntime[0]",
    );
    refused(
        t,
        "/linux/resources/memory",
        json!({"limit": "1g"}),
        "linux.resources.memory.limit",
    );
    refused(
        t,
        "/linux/maskedPaths",
        json!(["relative"]),
        "linux.maskedPaths[0]",
    );
    refused(
        t,
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_X"}),
        "linux.seccomp",
    );
}

fn errors_are_one_line(t: &Sandbox) {
    let out = refused(t, "/process/cwd", json!("relative"), "process.cwd");
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
}

fn spec_version(t: &Sandbox) {
    for version in [
        "1.0.0",
        "1.0.2-dev",
        "1.1.0",
        "1.2.1",
        "1.3.0",
        "1.1.0-rc.1",
        "1.0.0-rc5",
    ] {
        let mut c = t.container();
        c.set("/ociVersion", json!(version))
            .args(["true"])
            .run()
            .ok();
    }
    for version in ["banana", "", "0.9.0", "2.0.0", "1", "1.x"] {
        refused(t, "/ociVersion", json!(version), "ociVersion");
    }
    let mut c = t.container();
    c.set("/ociVersion", json!("1.4.0"));
    c.args(["echo", "ran"]);
    c.run().ok().prints("ran").says("ociVersion").says("1.4.0");
}

fn unknown_key_is_a_warning_with_the_nearest(t: &Sandbox) {
    let mut c = t.container();
    c.set("/linux/resources/memory", json!({"limt": 1}));
    c.args(["echo", "ran"]);
    c.run()
        .ok()
        .prints("ran")
        .says("limt")
        .says("limit")
        .says("level=warning");
    let mut c = t.container();
    c.set("/process/noNewPrivilges", json!(true))
        .set("/hostnam", json!("x"));
    c.args(["echo", "ran"]);
    let out = c
        .run()
        .ok()
        .says("noNewPrivilges")
        .says("noNewPrivileges")
        .says("hostname");
    assert_eq!(out.stderr.lines().count(), 2, "{out}");
}

fn unknown_key_far_from_any(t: &Sandbox) {
    let mut c = t.container();
    c.set("/zzzzzzzz", json!({"deep": [1, {"er": 2}]}))
        .args(["echo", "ran"]);
    let out = c.run().ok().prints("ran").says("zzzzzzzz");
    assert!(!out.stderr.contains("did you mean"), "{out}");
}

fn unknown_keys_of_annotations_are_none(t: &Sandbox) {
    let mut c = t.container();
    c.set("/annotations", json!({"any": "thing", "org.x": ""}))
        .args(["true"]);
    assert_eq!(c.run().ok().stderr, "");
    // A section for another platform is known, and not looked at.
    c.set("/windows", json!({"layerFolders": ["x"]})).run().ok();
}

/// Engines written in Go send it for empty lists.
fn null_is_as_good_as_absent(t: &Sandbox) {
    let mut c = t.container();
    for pointer in [
        "/process/capabilities",
        "/process/rlimits",
        "/process/user/additionalGids",
        "/linux/devices",
        "/linux/sysctl",
        "/linux/seccomp",
        "/linux/resources/memory",
        "/hooks",
        "/annotations",
        "/linux/maskedPaths",
    ] {
        c.set(pointer, Value::Null);
    }
    c.args(["true"]);
    assert_eq!(c.run().ok().stderr, "");
}

fn duplicate_key(t: &Sandbox) {
    let c = t.container();
    let good = serde_json::to_string(&c.config).unwrap();
    let text = good.replacen(
        "{\"type\":\"pid\"}",
        "{\"type\":\"pid\",\"type\":\"ipc\"}",
        1,
    );
    assert_ne!(good, text);
    run_text(&c, t, &text).fails().says("type");
    t.assert_nothing_left();
}

fn config_that_is_no_file(t: &Sandbox) {
    let c = t.container();
    let path = c.bundle.join("config.json");
    fs::create_dir(&path).unwrap();
    let bundle = c.bundle.to_str().unwrap();
    t.tare(["run", "-b", bundle, &c.id])
        .run()
        .fails()
        .says("config.json");
    fs::remove_dir(&path).unwrap();
    t.command("mkfifo").arg(path.to_str().unwrap()).run().ok();
    t.tare(["run", "-b", bundle, &c.id])
        .run()
        .fails()
        .says("config.json");
}

/// The spec has it optional until `start`; runc asks for it, and so do we.
fn no_process(t: &Sandbox) {
    let mut c = t.container();
    c.unset("/process");
    c.run().fails().says("process");
    t.assert_nothing_left();
}

/// Without the section there is nothing to isolate with: a clear no, or just a run.
fn no_linux(t: &Sandbox) {
    let mut c = t.container();
    c.unset("/linux").args(["/bin/true"]);
    c.set("/mounts", json!([])).unset("/hostname").save();
    let script = format!(
        "exec {} run -b {} {}",
        t.tare_words(),
        c.bundle.display(),
        c.id
    );
    // Without a mount namespace, what it mounts goes to whoever calls.
    t.command("unshare").args(["-m", "sh", "-c", &script]).run();
    c.delete_force().ok();
    t.assert_nothing_left();
}

/// The default config as other engines' defaults spell it.
fn real_configs_of_engines_are_read(t: &Sandbox) {
    let mut c = t.container();
    // Docker's and Podman's way with zeroes, empty strings and lists.
    c.set("/domainname", json!(""))
        .set("/process/apparmorProfile", json!(""))
        .set("/process/selinuxLabel", json!(""))
        .set("/linux/mountLabel", json!(""))
        .set("/process/consoleSize", json!({"height": 0, "width": 0}))
        .set(
            "/linux/resources/blockIO",
            json!({"weight": 0, "throttleReadBpsDevice": []}),
        )
        .set("/linux/resources/cpu", json!({"shares": 0}))
        .set("/linux/resources/pids", json!({"limit": 2048}))
        .set("/linux/resources/hugepageLimits", json!([]))
        .set("/root/readonly", json!(false))
        .set("/process/user", json!({"gid": null}));
    c.args(["echo", "ran"]);
    let out = c.run().ok().prints("ran");
    assert_eq!(out.stderr, "");
}

fn config_by_another_name(t: &Sandbox) {
    let mut c = t.container();
    c.args(["echo", "other"]).save();
    let (from, to) = (c.bundle.join("config.json"), c.bundle.join("other.json"));
    std::fs::rename(from, &to).unwrap();
    let bundle = c.bundle.to_str().unwrap();
    let run = ["run", "--bundle", bundle, "--config", "other.json", &c.id];
    t.tare(run).run().ok().prints("other");
    let spec = ["spec", "--bundle", bundle, "--file", "third.json"];
    t.tare(spec).run().ok();
    assert!(c.bundle.join("third.json").exists());
    t.tare(spec).run().exits(1).says("File third.json exists");
}
