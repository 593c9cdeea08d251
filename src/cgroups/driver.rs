//! What drives a host's cgroups, and so the kind of manager that a container gets.

use super::hierarchies::{self, Layout};
use super::means::Means;
use super::{CgroupPath, Manager, Systemd, V1, V2, systemd};
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;

/// What this host's cgroups are driven by.
#[derive(Debug)]
pub struct Driver {
    layout: Layout,
    rootless: bool,
    systemd: bool,
}

impl Driver {
    /// Looks at the host. `rootless`: whoever asked for no cgroup may go without.
    pub fn detect(systemd: bool, rootless: bool) -> Result<Self> {
        if systemd && !systemd::is_running() {
            // runc's words.
            let message = "systemd not running on this host, cannot use systemd cgroups manager";
            return Err(Error::new(Code::Unsupported, message).hint("leave --systemd-cgroup out"));
        }
        Ok(Self {
            layout: hierarchies::detect()?,
            rootless,
            systemd,
        })
    }

    /// The manager of container `id` with `linux.cgroupsPath`; nothing is made yet. The
    /// annotations are the container's, some of which are properties for its systemd unit.
    pub fn manager(
        &self,
        cgroups_path: Option<&str>,
        annotations: &BTreeMap<String, String>,
        id: &str,
    ) -> Result<Manager> {
        let needs_none = self.rootless && cgroups_path.is_none_or(str::is_empty);
        if self.systemd {
            let unit = Systemd::new(&self.layout, cgroups_path, annotations, id, self.rootless);
            match unit {
                Err(error) if needs_none && error.code() == Code::Unsupported => {
                    log::debug!("doing without systemd: {error}");
                }
                result => return result.map(Manager::Systemd),
            }
        }
        let path = CgroupPath::new(cgroups_path, id)?;
        let means = match (self.rootless, needs_none) {
            (false, _) => Means::Root,
            (true, false) => Means::Rootless,
            (true, true) => Means::BestEffort,
        };
        match &self.layout {
            Layout::V1(hierarchies) => Ok(Manager::V1(V1::new(hierarchies, &path, means)?)),
            Layout::V2(hierarchy) => Ok(Manager::V2(V2::new(hierarchy, &path, means)?)),
        }
    }
}
