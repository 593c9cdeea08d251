//! The kind of host we are on, and what drives its cgroups.

use std::fs;
use std::path::{Path, PathBuf};

/// Where cgroups are mounted.
pub const ROOT: &str = "/sys/fs/cgroup";

/// Whether the runtime is to use systemd (`TARE_TEST_SYSTEMD=1`).
pub fn systemd() -> bool {
    std::env::var_os("TARE_TEST_SYSTEMD").is_some_and(|value| value == "1")
}

/// The global flags for that.
pub fn flags() -> &'static [&'static str] {
    match systemd() {
        true => &["--systemd-cgroup"],
        false => &[],
    }
}

/// Whether there is but one hierarchy, cgroup v2's.
pub fn is_v2() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// Where the hierarchy is mounted that has `controller` (v1's name for it), if one does; v2's has
/// what v1 calls "freezer" and "systemd" without naming it.
pub fn hierarchy(controller: &str) -> Option<PathBuf> {
    let mount = PathBuf::from(ROOT);
    if !is_v2() {
        let mount = mount.join(controller);
        return mount.join("tasks").exists().then_some(mount);
    }
    let all = fs::read_to_string(mount.join("cgroup.controllers")).unwrap();
    let name = match controller {
        "blkio" => "io",
        same => same,
    };
    let has = all.split_whitespace().any(|one| one == name);
    (has || ["systemd", "freezer"].contains(&controller)).then_some(mount)
}

/// `linux.cgroupsPath` for a container.
pub fn cgroups_path(id: &str) -> String {
    match systemd() {
        true => format!("system.slice:tt:{id}"),
        false => format!("/{id}"),
    }
}

/// And the cgroup that this is, below the mount point.
pub fn cgroup(id: &str) -> String {
    match systemd() {
        true => format!("/system.slice/tt-{id}.scope"),
        false => format!("/{id}"),
    }
}
