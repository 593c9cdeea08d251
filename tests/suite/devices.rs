//! Device nodes: the default ones and their links, and those of `linux.devices`.

use crate::harness::{Sandbox, tests};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

tests![
    default_devices,
    default_links,
    default_devices_without_a_mount_on_dev,
    configured_devices,
    configured_device_of_every_type,
    device_outside_dev,
    device_mode_is_not_masked,
    device_that_is_there_already,
    device_of_unknown_type,
    default_device_can_be_configured,
    host_null_is_never_changed,
    full_device_rule_denies,
    allowed_device_opens,
    allow_all,
    default_rules_allow_the_default_devices,
    mknod_is_allowed_by_default,
];

fn default_devices(t: &Sandbox) {
    let mut c = t.container();
    c.script("cd /dev; stat -c '%n %F %t:%T %a %u:%g' null zero full random urandom tty");
    let out = c.run().ok();
    let expected = [
        ("null", "1:3"),
        ("zero", "1:5"),
        ("full", "1:7"),
        ("random", "1:8"),
        ("urandom", "1:9"),
        ("tty", "5:0"),
    ];
    for (line, (name, number)) in out.stdout.lines().zip(expected) {
        assert_eq!(
            line,
            format!("{name} character special file {number} 666 0:0")
        );
    }
    c.script("echo x >/dev/null && head -c 3 /dev/zero | wc -c && head -c 1 /dev/urandom | wc -c");
    c.run().ok().prints("3\n1");
    c.script("echo x >/dev/full");
    c.run().fails().says("No space left");
}

fn default_links(t: &Sandbox) {
    let mut c = t.container();
    c.script("cd /dev; for l in fd stdin stdout stderr ptmx; do readlink $l; done");
    c.run()
        .ok()
        .prints("/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx");
}

fn default_devices_without_a_mount_on_dev(t: &Sandbox) {
    let mut c = t.container();
    let list = c.config["mounts"].as_array_mut().unwrap();
    list.retain(|mount| mount["destination"] != "/dev");
    c.writable();
    c.script("test -c /dev/null && test -L /dev/fd && echo fine");
    c.run().ok().prints("fine");
}

fn configured_devices(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/devices",
        json!([{"path": "/dev/deep/er/device", "type": "c", "major": 1, "minor": 5,
                "fileMode": 0o640, "uid": 1000, "gid": 1001}]),
    );
    c.args(["stat", "-c", "%F %t:%T %a %u:%g", "/dev/deep/er/device"]);
    c.run()
        .ok()
        .prints("character special file 1:5 640 1000:1001");
}

fn configured_device_of_every_type(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/devices",
        json!([
            {"path": "/dev/c", "type": "c", "major": 1, "minor": 5},
            {"path": "/dev/u", "type": "u", "major": 1, "minor": 5},
            {"path": "/dev/b", "type": "b", "major": 7, "minor": 0},
            {"path": "/dev/p", "type": "p"},
        ]),
    );
    c.args(["stat", "-c", "%F", "/dev/c", "/dev/u", "/dev/b", "/dev/p"]);
    c.run()
        .ok()
        .prints("character special file\ncharacter special file\nblock special file\nfifo");
}

fn device_outside_dev(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/devices",
        json!([{"path": "/etc/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}]),
    );
    c.script("echo x >/etc/null && stat -c %a /etc/null")
        .run()
        .ok()
        .prints("600");
    let meta = fs::metadata(c.rootfs("etc/null")).unwrap();
    assert!(meta.file_type().is_char_device());
}

fn device_mode_is_not_masked(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/devices",
        json!([{"path": "/dev/open", "type": "c", "major": 1, "minor": 5, "fileMode": 0o666}]),
    );
    c.set("/process/user/umask", json!(0o77));
    c.args(["stat", "-c", "%a", "/dev/open"])
        .run()
        .ok()
        .prints("666");
}

/// An image unpacked with its devices: what is there and right is taken.
fn device_that_is_there_already(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/devices",
        json!([{"path": "/etc/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]),
    );
    c.args(["true"]);
    c.run().ok();
    c.run().ok();
}

fn device_of_unknown_type(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/devices",
        json!([{"path": "/dev/x", "type": "z", "major": 1, "minor": 3}]),
    );
    c.args(["true"]).run().fails();
    t.assert_nothing_left();
}

/// Docker lists the default devices in the config, too.
fn default_device_can_be_configured(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/devices",
        json!([{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666,
                "uid": 0, "gid": 0}]),
    );
    c.args(["stat", "-c", "%t:%T", "/dev/null"])
        .run()
        .ok()
        .prints("1:3");
}

fn host_null_is_never_changed(t: &Sandbox) {
    let before = fs::metadata("/dev/null").unwrap();
    let mut c = t.container();
    c.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    c.args(["true"]);
    c.run().ok();
    c.run_with(&[])
        .redirect("1>/dev/null 2>/dev/null")
        .run()
        .ok();
    c.run_with(&[]).redirect("0<&- 1>&- 2>&-").run();
    let after = fs::metadata("/dev/null").unwrap();
    assert_eq!(
        (after.uid(), after.gid(), after.mode()),
        (before.uid(), before.gid(), before.mode())
    );
}

/// A container with kmsg, a device that no default rule allows, and CAP_MKNOD.
fn with_kmsg<'s>(t: &'s Sandbox, rules: serde_json::Value) -> crate::harness::Container<'s> {
    let mut c = t.container();
    c.capabilities(&["CAP_MKNOD", "CAP_SYSLOG", "CAP_DAC_OVERRIDE"]);
    c.set(
        "/linux/devices",
        json!([{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]),
    );
    c.set("/linux/resources/devices", rules);
    c
}

fn full_device_rule_denies(t: &Sandbox) {
    let mut c = with_kmsg(t, json!([{"allow": false, "access": "rwm"}]));
    c.script("dd if=/dev/kmsg of=/dev/null count=0")
        .run()
        .fails()
        .says("Operation not permitted");
    // Nothing but the default devices is left to block devices either.
    c.script("mknod /dev/x b 7 0 && dd if=/dev/x of=/dev/null count=0");
    c.run().fails().says("Operation not permitted");
}

fn allowed_device_opens(t: &Sandbox) {
    let mut c = with_kmsg(
        t,
        json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"},
        ]),
    );
    c.script("dd if=/dev/kmsg of=/dev/null count=0 2>/dev/null && echo opened");
    c.run().ok().prints("opened");
    c.script("echo x >/dev/kmsg")
        .run()
        .fails()
        .says("not permitted");
}

fn allow_all(t: &Sandbox) {
    let mut c = with_kmsg(t, json!([{"allow": true, "access": "rwm"}]));
    c.script("dd if=/dev/kmsg of=/dev/null count=0 2>/dev/null && echo opened");
    c.run().ok().prints("opened");
}

fn default_rules_allow_the_default_devices(t: &Sandbox) {
    // "Deny all" is what engines send; the spec's own devices stay usable.
    let mut c = t.container();
    c.script("for d in null zero full random urandom; do : <>/dev/$d || exit 1; done; echo all");
    c.run().ok().prints("all");
}

fn mknod_is_allowed_by_default(t: &Sandbox) {
    let mut c = with_kmsg(t, json!([{"allow": false, "access": "rwm"}]));
    c.script("mknod /dev/x c 1 11 && echo made")
        .run()
        .ok()
        .prints("made");
}
