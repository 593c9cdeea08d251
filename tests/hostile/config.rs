//! What even a trusted config.json must not be made to do, as engines let their users write
//! parts of it: change the host's kernel parameters, or the units of its systemd.

use crate::harness::{Sandbox, tests};
use serde_json::{Value, json};
use std::fs;

tests![
    cve_2022_0811_parameters_of_the_host,
    cve_2022_0811_parameters_injected_by_another,
    cve_2024_3154_annotations_that_are_acted_on,
];

#[track_caller]
fn refused(t: &Sandbox, name: &str, value: &str) {
    let mut c = t.container();
    c.set("/linux/sysctl", json!({name: value})).args(["true"]);
    c.run().fails().says("sysctl");
    t.assert_nothing_left();
}

fn cve_2022_0811_parameters_of_the_host(t: &Sandbox) {
    let core_pattern = fs::read("/proc/sys/kernel/core_pattern").unwrap();
    for name in [
        "kernel.core_pattern",
        "kernel/core_pattern",
        "kernel.modprobe",
        "kernel.hotplug",
        "kernel.hostname_x",
        "kernel.shm_rmid_forced_x",
        "kernel.ns_last_pid",
        "fs.file-max",
        "fs.mqueue_x",
        "vm.swappiness",
        "vm.drop_caches",
        "debug.exception-trace",
    ] {
        refused(t, name, "1");
    }
    assert_eq!(
        fs::read("/proc/sys/kernel/core_pattern").unwrap(),
        core_pattern
    );
    // In a namespace, but one that the container does not have for itself.
    for (kind, name) in [
        ("network", "net.ipv4.ip_forward"),
        ("ipc", "kernel.shmmax"),
        ("ipc", "fs.mqueue.msg_max"),
        ("uts", "kernel.domainname"),
    ] {
        let mut c = t.container();
        c.without_namespace(kind).args(["true"]);
        if kind == "uts" {
            c.unset("/hostname");
        }
        c.set("/linux/sysctl", json!({name: "1"}));
        c.run().fails().says(name);
        t.assert_nothing_left();
    }
}

/// The published exploit set kernel.shm_rmid_forced to "1+kernel.core_pattern=|/evil".
fn cve_2022_0811_parameters_injected_by_another(t: &Sandbox) {
    let core_pattern = fs::read("/proc/sys/kernel/core_pattern").unwrap();
    for name in [
        "net.ipv4/../../kernel/core_pattern",
        "net/../kernel/core_pattern",
        "net/ipv4/../../kernel/core_pattern",
        "net//kernel",
        "/kernel/core_pattern",
        "net.ipv4.ip_forward\nkernel.core_pattern",
        "net.ipv4.ip_forward ",
        "net.\0",
        "",
        "net.",
    ] {
        refused(t, name, "1");
    }
    refused(t, "kernel.shm_rmid_forced", "1\nkernel.core_pattern=|/evil");
    // The kernel refuses it, or takes no more than the number.
    let mut c = t.container();
    c.set(
        "/linux/sysctl",
        json!({"kernel.shm_rmid_forced": "1+kernel.core_pattern=|/evil #"}),
    );
    c.args(["true"]).run();
    c.delete_force().ok();
    assert_eq!(
        fs::read("/proc/sys/kernel/core_pattern").unwrap(),
        core_pattern
    );
}

/// Those that the runtime acts on are named by `features`, for engines to keep from their
/// users; and of a unit's properties those that execute something are refused.
fn cve_2024_3154_annotations_that_are_acted_on(t: &Sandbox) {
    let features = t.tare(["features"]).run().ok().json();
    let listed = features["potentiallyUnsafeConfigAnnotations"].clone();
    let listed: Vec<String> = serde_json::from_value(listed).unwrap();
    let marker = t.path("executed");
    let evil = format!("['/usr/bin/touch', '{}']", marker.display());
    for (name, value) in [
        ("org.systemd.property.ExecStartPre", evil.as_str()),
        ("org.systemd.property.ExecStopPost", &evil),
        ("run.oci.hooks.stdout", "/etc/motd"),
        ("run.oci.keep_original_groups", "1"),
        ("module.wasm.image/variant", "compat"),
    ] {
        let mut c = t.container();
        c.set("/annotations", json!({name: value})).args(["true"]);
        let out = c.run();
        let is_listed = listed
            .iter()
            .any(|one| one == name || one.ends_with('.') && name.starts_with(one.as_str()));
        assert!(
            is_listed || out.status == 0,
            "not listed, and acted on: {out}"
        );
        assert!(!marker.exists(), "{name}");
        assert_eq!(out.stdout, "", "{name}");
        c.delete_force().ok();
    }
    assert_eq!(features["annotations"].get("org.systemd"), None::<&Value>);
}
