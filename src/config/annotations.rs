//! The annotations of crun's by which engines ask for what the spec has no words for (crun(1),
//! "Extensions to OCI").

use super::Config;
use std::path::Path;

impl Config {
    /// Whether the process keeps the supplementary groups of whoever calls the runtime, as
    /// Podman's `--group-add keep-groups` wants.
    pub fn keeps_groups(&self) -> bool {
        self.annotations
            .contains_key("run.oci.keep_original_groups")
    }

    /// A socket that is to get the pidfd of the container's process, as by `--pidfd-socket`.
    pub fn pidfd_receiver(&self) -> Option<&Path> {
        self.annotations
            .get("run.oci.pidfd_receiver")
            .map(Path::new)
    }
}
