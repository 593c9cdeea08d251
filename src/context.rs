//! What the global flags mean for a command: where state is kept, and what drives cgroups.

use crate::cgroups::Driver;
use crate::cli::{Global, Rootless};
use crate::container::Root;
use crate::error::Result;
use std::path::PathBuf;

/// The global flags, resolved.
#[derive(Debug)]
pub struct Context {
    /// Where the state of containers is kept.
    pub root: Root,
    /// Whether that was asked for.
    pub root_is_given: bool,
    systemd_cgroup: bool,
    rootless: bool,
}

impl Context {
    /// Resolves the flags.
    pub fn new(flags: &Global) -> Self {
        let by_nature = is_rootless();
        let root = flags.root.clone();
        Self {
            root_is_given: root.is_some(),
            root: Root::new(root.unwrap_or_else(|| default_root(by_nature))),
            systemd_cgroup: flags.systemd_cgroup,
            rootless: match flags.rootless {
                Rootless::True => true,
                Rootless::False => false,
                Rootless::Auto => by_nature,
            },
        }
    }

    /// What drives the cgroups of new containers.
    ///
    /// # Errors
    /// Where this host has no cgroups that tare can drive.
    pub fn cgroups(&self) -> Result<Driver> {
        Driver::detect(self.systemd_cgroup, self.rootless)
    }
}

/// runc's rule: an ordinary user's own directory, also seen from within a user namespace, unless
/// that is a whole machine to its root. Podman's conmon has no USER at all.
fn default_root(rootless: bool) -> PathBuf {
    let is_users = !rustix::process::geteuid().is_root()
        || (rootless && std::env::var_os("USER").is_none_or(|user| user != "root"));
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) if is_users => PathBuf::from(dir).join("tare"),
        _ => PathBuf::from("/run/tare"),
    }
}

/// Whether we are an ordinary user, or root of a user namespace alone.
pub fn is_rootless() -> bool {
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    // The initial user namespace maps everything to itself.
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let fields: Vec<&str> = map.split_whitespace().collect();
    fields != ["0", "0", "4294967295"]
}
