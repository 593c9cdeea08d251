//! Finding and executing the program, and saying what is wrong with it.

use crate::harness::{Container, Sandbox, program, skip, tests};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

tests![
    arguments_are_passed_as_they_are,
    program_not_found,
    program_not_found_by_path,
    program_not_executable,
    program_is_a_directory,
    program_of_another_format,
    interpreter_is_named,
    interpreter_with_carriage_return_is_named,
    loader_is_named,
    path_is_the_containers,
];

fn arguments_are_passed_as_they_are(t: &Sandbox) {
    let mut c = t.container();
    c.args([
        "sh",
        "-c",
        "printf '<%s>' \"$@\"",
        "0",
        "a b",
        "",
        "-x",
        "ä$(id)",
    ]);
    c.run().ok().prints("<a b><><-x><ä$(id)>");
}

fn program_not_found(t: &Sandbox) {
    let mut c = t.container();
    c.args(["no-such-program"]);
    for out in [c.create(), c.run()] {
        out.exits(1)
            .says("no-such-program")
            .says("executable file not found in $PATH");
    }
    t.assert_nothing_left();
}

fn program_not_found_by_path(t: &Sandbox) {
    let mut c = t.container();
    c.args(["/no/such/program"]);
    c.run()
        .exits(1)
        .says("/no/such/program")
        .says("no such file or directory");
    t.assert_nothing_left();
}

fn program_not_executable(t: &Sandbox) {
    let mut c = t.container();
    fs::write(c.rootfs("file"), "#!/bin/sh\n").unwrap();
    c.args(["/file"]);
    c.run().exits(1).says("/file").says("permission denied");
    t.assert_nothing_left();
}

fn program_is_a_directory(t: &Sandbox) {
    let mut c = t.container();
    c.args(["/etc"]);
    // dockerd's 126 comes from these words.
    c.run().exits(1).says("/etc").says("permission denied");
    t.assert_nothing_left();
}

/// What can only be seen when the program is executed fails `run` and `start`.
fn fails_late(c: &mut Container, words: &[&str]) {
    let mut out = c.run().fails();
    for words in words {
        out = out.says(words);
    }
}

fn program_of_another_format(t: &Sandbox) {
    let mut c = t.container();
    program::write(&c.rootfs("file"), b"\x01\x02\x03 is no program");
    c.args(["/file"]);
    fails_late(&mut c, &["/file", "exec format error"]);
    t.assert_nothing_left();
}

fn interpreter_is_named(t: &Sandbox) {
    let mut c = t.container();
    program::write(&c.rootfs("script"), b"#!/usr/bin/python9\n");
    c.args(["/script"]);
    fails_late(&mut c, &["no such file or directory", "/usr/bin/python9"]);
    t.assert_nothing_left();
}

fn interpreter_with_carriage_return_is_named(t: &Sandbox) {
    let mut c = t.container();
    program::write(&c.rootfs("script"), b"#!/bin/sh\r\necho\r\n");
    c.args(["/script"]);
    let out = c
        .run()
        .fails()
        .says("no such file or directory")
        .says("/bin/sh");
    let names_it = ["\\r", "carriage return"]
        .iter()
        .any(|words| out.stderr.contains(words));
    assert!(
        names_it,
        "a carriage return prints as nothing, so it must be named: {out}"
    );
    t.assert_nothing_left();
}

fn loader_is_named(t: &Sandbox) {
    let Ok(dynamic) = fs::read("/bin/bash") else {
        skip("no /bin/bash to take for a dynamic program");
    };
    let mut c = t.container();
    program::write(&c.rootfs("dynamic"), &dynamic);
    c.args(["/dynamic"]);
    fails_late(&mut c, &["no such file or directory", "ld-linux"]);
    t.assert_nothing_left();
}

fn path_is_the_containers(t: &Sandbox) {
    let mut c = t.container();
    fs::create_dir(c.rootfs("only")).unwrap();
    symlink("/bin/busybox", c.rootfs("only/echo")).unwrap();
    c.args(["echo", "found"]);
    c.set("/process/env", json!(["PATH=/only"]));
    c.run().ok().prints("found");
    c.set("/process/env", json!(["PATH=/none"]));
    c.run().exits(1).says("executable file not found in $PATH");
}
