//! What may fail, by who we are and what was asked for.

use super::{limits, systemd};
use crate::error::{Code, Error};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Means {
    /// Nothing.
    Root,
    /// Device rules.
    Rootless,
    /// Device rules, and making a cgroup, as no path for one was given.
    BestEffort,
}

impl Means {
    pub fn is_rootless(self) -> bool {
        self != Self::Root
    }

    /// Whether the container may run without the cgroup that could not be made.
    pub fn allow_going_without(self, error: &Error) -> bool {
        let denied = [Errno::PERM, Errno::ACCESS, Errno::ROFS];
        let denied = denied
            .iter()
            .any(|e| error.errno() == Some(e.raw_os_error()));
        denied && self == Self::BestEffort
    }

    /// The error of a limit for which there is no cgroup.
    pub fn no_cgroup(self, write: &limits::Write) -> Error {
        let field = &write.field;
        match self {
            Self::Root | Self::Rootless => {
                let controller = write.controller;
                let message =
                    format!("{field}: there is no {controller} controller to set it with");
                Error::new(Code::Unsupported, message)
            }
            Self::BestEffort => {
                let message = format!("{field}: no permission to make a cgroup to set it in");
                Error::new(Code::Unsupported, message).hint(format!(
                    "have one delegated to you and name it in linux.cgroupsPath, or use \
                     --systemd-cgroup, for which {}",
                    systemd::NO_USER_MANAGER
                ))
            }
        }
    }
}
