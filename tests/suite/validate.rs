//! `validate`: everything that is wrong with a bundle, and where.

use crate::harness::{Container, Output, Sandbox, tests};
use serde_json::{Value, json};
use std::fs;

tests![
    a_valid_bundle,
    every_finding_has_its_place,
    findings_as_json,
    warnings_alone_are_valid,
    rootfs_that_is_missing,
    seccomp_that_cannot_be,
    what_is_no_json,
    bundle_named_by_its_file_or_not_at_all,
    bundle_that_is_missing,
    agrees_with_create,
];

fn validate(t: &Sandbox, c: &Container) -> Output {
    t.tare(["validate", c.bundle.to_str().unwrap()]).run()
}

fn a_valid_bundle(t: &Sandbox) {
    let c = t.container();
    let out = validate(t, c.save()).ok();
    assert!(out.stdout.ends_with("config.json: valid\n"), "{out}");
    assert_eq!(out.stderr, "");
    assert!(!t.root().exists(), "a state directory was made");
}

fn every_finding_has_its_place(t: &Sandbox) {
    let c = t.container();
    let text = "{\n \"ociVersion\": \"1.0.2\",\n \"process\": {\"cwd\": \"rel\", \"args\": [\"a\", 3],\n   \
                \"user\": {\"uid\": 0, \"gid\": 0}, \"oomScoreAdj\": 5000},\n \
                \"root\": {\"path\": \"rootfs\", \"readOnly\": 1},\n \
                \"mounts\": [{\"destination\": \"/a\", \"type\": 7}]\n}\n";
    fs::write(c.bundle.join("config.json"), text).unwrap();
    let out = validate(t, &c).exits(1);
    let file = c.bundle.join("config.json");
    let lines: Vec<_> = out
        .stdout
        .lines()
        .map(|line| line.strip_prefix(file.to_str().unwrap()).unwrap_or(line))
        .collect();
    let expected = [
        ":3:21: error: process.cwd: ",
        ":3:42: error: process.args[1]: ",
        ":4:49: error: process.oomScoreAdj: ",
        ":5:29: warning: root.readOnly: unknown key, did you mean \"readonly\"?",
        ":6:43: error: mounts[0].type: ",
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert!(
            line.starts_with(expected),
            "{line}\nnot {expected}\nin {out}"
        );
    }
    assert_eq!(lines.len(), expected.len(), "{out}");
    assert_eq!(out.stderr, "");
}

fn findings_as_json(t: &Sandbox) {
    let mut c = t.container();
    c.set("/hostname", json!(5))
        .set("/process/cwd", json!("x"))
        .save();
    let bundle = c.bundle.to_str().unwrap().to_owned();
    let bundle = bundle.as_str();
    let out = t
        .tare(["validate", "--format", "json", bundle])
        .run()
        .exits(1)
        .json();
    assert_eq!(out["valid"], false);
    assert_eq!(out["file"], format!("{bundle}/config.json"));
    let findings = out["findings"].as_array().unwrap();
    let paths: Vec<_> = findings
        .iter()
        .map(|f| f["path"].as_str().unwrap())
        .collect();
    assert!(
        paths.contains(&"hostname") && paths.contains(&"process.cwd"),
        "{out}"
    );
    assert_eq!(findings.len(), 2, "{out}");
    for finding in findings {
        assert_eq!(finding["severity"], "error");
        assert!(finding["line"].as_u64() > Some(1) && finding["column"].as_u64() > Some(0));
        assert!(finding["message"].is_string());
    }
    c.set("/hostname", json!("h"))
        .set("/process/cwd", json!("/"))
        .save();
    let out = t.tare(["validate", "-f", "json", bundle]).run().ok().json();
    assert_eq!(
        (&out["valid"], &out["findings"]),
        (&json!(true), &json!([]))
    );
}

fn warnings_alone_are_valid(t: &Sandbox) {
    let mut c = t.container();
    c.set("/linux/resources/memory", json!({"limt": 1})).save();
    let out = validate(t, &c).ok();
    assert!(
        out.stdout
            .contains("warning: linux.resources.memory.limt: unknown key, did you mean \"limit\"?"),
        "{out}"
    );
}

fn rootfs_that_is_missing(t: &Sandbox) {
    let mut c = t.container();
    c.set("/root/path", json!("nowhere")).save();
    let out = validate(t, &c).exits(1);
    assert!(out.stdout.contains("error: root.path: "), "{out}");
    assert_eq!(out.stdout.lines().count(), 1, "{out}");
}

fn seccomp_that_cannot_be(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
    )
    .save();
    let out = validate(t, &c).exits(1);
    assert!(
        out.stdout
            .contains("error: linux.seccomp: SCMP_ACT_NOTIFY cannot be used"),
        "{out}"
    );
}

fn what_is_no_json(t: &Sandbox) {
    let c = t.container();
    for (text, place) in [
        ("{\"a\": 1,}", ":1:9:"),
        ("", ":1:1:"),
        ("{\n\"a\": \n", ":2:6:"),
    ] {
        fs::write(c.bundle.join("config.json"), text).unwrap();
        let out = validate(t, &c).exits(1);
        let errors: Vec<_> = (out.stdout.lines())
            .filter(|line| line.contains(": error: "))
            .collect();
        assert_eq!(errors.len(), 1, "{text:?}: {out}");
        assert!(errors[0].contains(place), "{text:?}: {out}");
    }
}

fn bundle_named_by_its_file_or_not_at_all(t: &Sandbox) {
    let c = t.container();
    c.save();
    let file = c.bundle.join("config.json");
    t.tare(["validate", file.to_str().unwrap()]).run().ok();
    t.tare(["validate"]).cwd(&c.bundle).run().ok();
}

fn bundle_that_is_missing(t: &Sandbox) {
    let nowhere = t.path("nowhere");
    t.tare(["validate", nowhere.to_str().unwrap()])
        .run()
        .exits(1)
        .says("nowhere");
    let empty = t.dir("empty");
    t.tare(["validate", empty.to_str().unwrap()])
        .run()
        .exits(1)
        .says("not found");
}

/// What create refuses for its config, validate does, with the same words.
fn agrees_with_create(t: &Sandbox) {
    let cases: [(&str, Value); 6] = [
        ("/ociVersion", json!("banana")),
        ("/process/args", json!([])),
        ("/process/user/uid", json!("0")),
        (
            "/linux/namespaces",
            json!([{"type": "pid"}, {"type": "pid"}]),
        ),
        ("/mounts/0/destination", json!(7)),
        ("/hooks/prestart", json!([{"path": "relative"}])),
    ];
    for (pointer, value) in cases {
        let mut c = t.container();
        c.set(pointer, value);
        let refused = c.create().exits(1);
        let found = validate(t, &c).exits(1);
        let line = found.stdout.lines().next().unwrap_or_default();
        let (_, words) = line.split_once("error: ").unwrap_or_default();
        assert!(
            refused.stderr.replace('\\', "").contains(words),
            "{refused}\n{found}"
        );
    }
}
