//! Users and groups: a number is that number, whatever the image's files say of it, and what is
//! no number of a user is refused.

use crate::harness::{Container, Output, Sandbox, tests};
use serde_json::{Value, json};
use std::fs;

tests![
    cve_2016_3697_numeric_user_is_never_a_name,
    cve_2026_30892_forms_of_user,
    cve_2026_30892_forms_of_user_that_are_wrong,
    cve_2026_46680_ids_out_of_range,
    cve_2021_43784_more_mappings_than_a_message_takes,
    mappings_up_to_the_kernels_limit,
];

/// A user namespace for the container, whose root is `first` outside, and a rootfs of its own.
pub fn map_users(c: &mut Container, first: u32) {
    let mapping = json!([{"containerID": 0, "hostID": first, "size": 65536}]);
    c.push("/linux/namespaces", json!({"type": "user"}));
    c.set("/linux/uidMappings", mapping.clone())
        .set("/linux/gidMappings", mapping);
    for dir in ["", "dev", "etc", "proc", "root", "sys", "tmp"] {
        std::os::unix::fs::chown(c.rootfs(dir), Some(first), Some(first)).unwrap();
    }
}

fn cve_2016_3697_numeric_user_is_never_a_name(t: &Sandbox) {
    let mut c = t.container();
    fs::write(
        c.rootfs("etc/passwd"),
        "1000:x:0:0:trap:/root:/bin/sh\nroot:x:0:0::/root:/bin/sh\n",
    )
    .unwrap();
    fs::write(c.rootfs("etc/group"), "1000:x:0:\n").unwrap();
    c.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    c.script("id -u; id -g").run().ok().prints("1000\n1000");
    c.run_sleeping();
    for user in ["1000", "1000:1000"] {
        c.exec_with(&["--user", user], &["sh", "-c", "id -u; id -g"])
            .run()
            .ok()
            .prints("1000\n1000");
    }
}

fn ids(c: &Container, user: &str) -> Output {
    c.exec_with(&[&format!("--user={user}")], &["sh", "-c", "id -u; id -g"])
        .run()
}

/// `-u 1` was taken for 0:0.
fn cve_2026_30892_forms_of_user(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    for (form, both) in [
        ("1", "1\n0"),
        ("1:2", "1\n2"),
        ("0:7", "0\n7"),
        ("007:08", "7\n8"),
        ("2147483647:5", "2147483647\n5"),
        ("4294967294:4294967294", "4294967294\n4294967294"),
    ] {
        ids(&c, form).ok().prints(both);
    }
    for options in [&["-u", "3:4"][..], &["--user", "3:4"]] {
        c.exec_with(options, &["sh", "-c", "id -u; id -g"])
            .run()
            .ok()
            .prints("3\n4");
    }
}

fn cve_2026_30892_forms_of_user_that_are_wrong(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    for form in [
        ":",
        ":2",
        "1:",
        " 1",
        "1 ",
        "+1",
        "1x",
        "0x1",
        "1e3",
        "1.0",
        "4294967296",
        "4294967295",
        "18446744073709551616",
        "-1",
        "1:2:3",
        "root",
        "root:root",
        "1:-1",
        "1:4294967296",
        "١",
    ] {
        let out = ids(&c, form);
        assert!(
            out.status != 0 && out.stdout.is_empty(),
            "{form:?} was taken: {out}"
        );
    }
}

/// containerd's: never wrapped, never taken for a name.
fn cve_2026_46680_ids_out_of_range(t: &Sandbox) {
    let wrong = [
        json!(-1),
        json!(4_294_967_295_u64),
        json!(4_294_967_296_u64),
        json!(1.5),
        json!(1e3),
        json!("5"),
        json!(u64::MAX),
    ];
    let refused = |pointer: &str, value: Value, place: &str| {
        let mut c = t.container();
        c.args(["true"]).set(pointer, value);
        c.run().fails().says(place);
        t.assert_nothing_left();
    };
    for id in wrong {
        refused("/process/user/uid", id.clone(), "process.user.uid");
        refused("/process/user/gid", id.clone(), "process.user.gid");
        let place = "process.user.additionalGids[1]";
        refused("/process/user/additionalGids", json!([5, id]), place);
        let device = json!([{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "uid": id}]);
        refused("/linux/devices", device, "linux.devices[0].uid");
    }
}

fn with_mappings<'s>(t: &'s Sandbox, count: u32) -> Container<'s> {
    let mut c = t.container();
    map_users(&mut c, 100_000);
    let lines: Vec<_> = (0..count)
        .map(|n| json!({"containerID": n, "hostID": 100_000 + n, "size": 1}))
        .collect();
    c.set("/linux/uidMappings", json!(lines))
        .set("/linux/gidMappings", json!(lines));
    c
}

/// A length overflowed, and what came behind was taken for the list of namespaces.
fn cve_2021_43784_more_mappings_than_a_message_takes(t: &Sandbox) {
    for count in [341, 5000, 20_000] {
        let c = with_mappings(t, count);
        c.run().fails().says("Mappings: has more entries");
        t.assert_nothing_left();
    }
    // Nor is there a limit to what else the plan holds.
    let mut c = t.container();
    for number in 0..1000 {
        let option = format!("size={number}k");
        c.mount("/tmp", "tmpfs", &"x".repeat(100), &[&option]);
    }
    c.script("readlink /proc/self/ns/net; exec true");
    let host = fs::read_link("/proc/self/ns/net").unwrap();
    let out = c.run();
    assert_ne!(out.text(), host.to_str().unwrap());
    c.delete_force().ok();
    t.assert_nothing_left();
}

fn mappings_up_to_the_kernels_limit(t: &Sandbox) {
    let mut c = with_mappings(t, 300);
    c.script("wc -l </proc/self/uid_map");
    let out = c.run();
    // One write of at most a page is all that the kernel takes.
    if out.status == 0 {
        out.prints("300");
    } else {
        out.says("linux.gidMappings");
    }
    t.assert_nothing_left();
}
