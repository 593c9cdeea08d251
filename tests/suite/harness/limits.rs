//! Limits as the files of a container's cgroup say them, on cgroup v1 and on v2.

use super::host::hierarchy;
pub use super::host::is_v2;
use super::{Container, skip};
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// Skips the test where one of these controllers (v1's names) is not here.
pub fn need(controllers: &[&str]) {
    for controller in controllers {
        if hierarchy(controller).is_none() {
            let version = if is_v2() { "v2" } else { "v1" };
            skip(&format!("no {controller} controller on cgroup {version}"));
        }
    }
}

/// A file of the container's cgroup: "memory/memory.limit_in_bytes" on v1, "memory.max" on v2.
#[track_caller]
pub fn file(c: &Container, v1: &str, v2: &str) -> PathBuf {
    let cgroups = fs::read_to_string(c.proc("cgroup")).unwrap();
    let find = |controller: &str| {
        let of = |line: &&str| {
            line.split(':')
                .nth(1)
                .unwrap()
                .split(',')
                .any(|n| n == controller)
        };
        let line = cgroups.lines().find(of);
        let path = line.and_then(|line| line.splitn(3, ':').nth(2));
        path.unwrap_or_else(|| panic!("no {controller:?} in {cgroups}"))
            .trim_start_matches('/')
    };
    if is_v2() {
        return Path::new(ROOT).join(find("")).join(v2);
    }
    let (controller, name) = v1.split_once('/').unwrap();
    Path::new(ROOT)
        .join(controller)
        .join(find(controller))
        .join(name)
}

/// What such a file says.
#[track_caller]
pub fn value(c: &Container, v1: &str, v2: &str) -> String {
    let path = file(c, v1, v2);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.trim().into()
}

/// Such a file says this on v1, that on v2.
#[track_caller]
pub fn check<A: Display, B: Display>(c: &Container, v1: (&str, A), v2: (&str, B)) {
    let said = value(c, v1.0, v2.0);
    let expected = if is_v2() {
        v2.1.to_string()
    } else {
        v1.1.to_string()
    };
    let name = if is_v2() { v2.0 } else { v1.0 };
    assert_eq!(said, expected, "{name}");
}

/// What v1 says for "unlimited": the largest number of whole pages.
pub const UNLIMITED: &str = "9223372036854771712";
