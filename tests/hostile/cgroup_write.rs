//! T7, writes to the cgroup tree: from inside, nothing below /sys/fs/cgroup can be made or
//! written, however it came there, unless the config asks for it to be writable. Through the
//! files of the host's cgroups a process could lift its own limits, and by `release_agent` run
//! programs as the host's root.

use crate::harness::{Container, Sandbox, host, skip, tests, wait_for};
use serde_json::json;
use std::fs;

tests![
    cve_2023_25809_cgroups_in_all_ways,
    cve_2023_25809_cgroups_of_a_mapped_root,
    cve_2022_0492_release_agent,
    writable_where_it_was_asked_for,
    nested_deeper_than_a_path_is_long,
];

/// Tries to make a directory in all that is there, and to open its files for writing.
pub const WRITE: &str = "find /sys/fs/cgroup -maxdepth 3 -type d | while read -r dir; do \
     mkdir $dir/evil 2>/dev/null && echo made $dir/evil; \
     for file in cgroup.procs tasks notify_on_release release_agent cgroup.subtree_control \
         memory.limit_in_bytes memory.max pids.max devices.allow; do \
     test -e $dir/$file || continue; \
     (: >>$dir/$file) 2>/dev/null && echo wrote $dir/$file; done; done; echo done";

/// All that helps to write, as far as it does not allow to mount.
const POWERS: &[&str] = &[
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_CHOWN",
    "CAP_SYS_RESOURCE",
];

#[derive(Clone, Copy, Debug)]
enum Sys {
    /// As in the default config: sysfs, and a mount of type cgroup, both read-only.
    Default,
    /// The host's /sys with all that is mounted in it, read-only, as Podman has it for `--net=host`.
    HostsReadOnly,
    /// No sysfs at all.
    CgroupAlone,
}

fn container(t: &Sandbox, sys: Sys, namespace: bool) -> Container<'_> {
    let mut c = t.container();
    c.capabilities(POWERS).script(WRITE);
    if namespace {
        c.push("/linux/namespaces", json!({"type": "cgroup"}));
    }
    let list = c.config["mounts"].as_array_mut().unwrap();
    match sys {
        Sys::Default => {}
        Sys::HostsReadOnly => {
            list.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/sys"));
            c.mount(
                "/sys",
                "bind",
                "/sys",
                &["rbind", "rro", "nosuid", "nodev", "noexec"],
            );
        }
        Sys::CgroupAlone => list.retain(|mount| mount["destination"] != "/sys"),
    }
    c
}

fn cve_2023_25809_cgroups_in_all_ways(t: &Sandbox) {
    for sys in [Sys::Default, Sys::HostsReadOnly, Sys::CgroupAlone] {
        for namespace in [true, false] {
            let out = container(t, sys, namespace).run().ok();
            assert_eq!(out.text(), "done", "{sys:?}, cgroup namespace: {namespace}");
            t.assert_nothing_left();
        }
    }
}

/// As rootless: the root that writes is an ordinary user of the host's.
fn cve_2023_25809_cgroups_of_a_mapped_root(t: &Sandbox) {
    for sys in [Sys::Default, Sys::HostsReadOnly] {
        for namespace in [true, false] {
            let mut c = container(t, sys, namespace);
            crate::ids::map_users(&mut c, 100_000);
            let out = c.run().ok();
            assert_eq!(out.text(), "done", "{sys:?}, cgroup namespace: {namespace}");
            t.assert_nothing_left();
        }
    }
    // `rbind,ro` alone leaves the mounts below writable: that is what it says, and a mapped root
    // has no right to the host's files all the same.
    let mut c = container(t, Sys::HostsReadOnly, false);
    let last = c.config["mounts"].as_array().unwrap().len() - 1;
    c.set(&format!("/mounts/{last}/options"), json!(["rbind", "ro"]));
    crate::ids::map_users(&mut c, 100_000);
    assert_eq!(c.run().ok().text(), "done");
}

/// Whoever may mount cgroups anew has a writable root of the hierarchy, release_agent in it.
fn cve_2022_0492_release_agent(t: &Sandbox) {
    if !fs::exists("/sys/fs/cgroup/pids/release_agent").unwrap() {
        skip("no cgroup v1, which alone has a release_agent");
    }
    let script = "mount -t cgroup -o pids cgroup /tmp && echo mounted; \
                  unshare -Cm sh -c 'mount -t cgroup -o pids cgroup /tmp && echo mounted'; \
                  unshare -UrCm sh -c 'mount -t cgroup -o pids cgroup /tmp && \
                      echo /x >/tmp/release_agent && echo written'; echo done";
    let mut c = t.container();
    c.capabilities(POWERS).script(script);
    assert_eq!(c.run().ok().text(), "done");
}

fn writable_where_it_was_asked_for(t: &Sandbox) {
    if !fs::exists("/sys/fs/cgroup/pids").unwrap() {
        skip("no pids controller on v1");
    }
    let mut c = t.container();
    c.push("/linux/namespaces", json!({"type": "cgroup"}));
    let list = c.config["mounts"].as_array_mut().unwrap();
    list.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    c.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw"]);
    c.script("mkdir /sys/fs/cgroup/pids/own && rmdir /sys/fs/cgroup/pids/own && echo done");
    assert_eq!(c.run().ok().text(), "done");
    t.assert_nothing_left();
}

/// Who may make cgroups makes them where no path leads to. All that looks for processes must find
/// them there, and `delete` must remove it all.
fn nested_deeper_than_a_path_is_long(t: &Sandbox) {
    let mut c = t.container();
    c.push("/linux/namespaces", json!({"type": "cgroup"}));
    let list = c.config["mounts"].as_array_mut().unwrap();
    list.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
    c.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["rw"]);
    let places: &[&str] = match host::is_v2() {
        true => &["/sys/fs/cgroup"],
        false => &[
            "/sys/fs/cgroup/devices",
            "/sys/fs/cgroup/freezer",
            "/sys/fs/cgroup/pids",
        ],
    };
    let words: Vec<&str> = ["nest"].into_iter().chain(places.iter().copied()).collect();
    crate::inside::run(&mut c, &words);
    let run = c.run_with(&[]).spawn();
    wait_for("all to be made", || run.stdout().contains("nested"));
    let ps = c.verb(&["ps", "--format", "json"]).run().ok().json();
    assert_eq!(ps.as_array().unwrap().len(), 2, "{ps}");
    c.verb(&["events", "--stats"]).run().ok();
    c.verb(&["kill", "--all"]).arg("KILL").run().ok();
    run.wait().exits(137);
    t.assert_nothing_left();
}
