//! Namespaces of the plan: which are new, which are joined, and in which order.

use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general::CLONE_NEWCGROUP;
use serde::{Deserialize, Serialize};

/// How the process comes into its namespaces.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Namespaces {
    /// New ones to make, as `CLONE_NEW*` bits.
    pub new: u64,
    /// Those to join, whose descriptors the parent sends in this order.
    pub join: Vec<Join>,
    /// `linux.timeOffsets`, as the lines of /proc/PID/timens_offsets.
    pub time_offsets: String,
    /// Where the process that is to become the program branches off from the init stage.
    pub fork: Fork,
    /// Whether setgroups(2) may be called: the user namespace permits it, and the groups of
    /// whoever calls the runtime are not to be kept.
    pub setgroups: bool,
}

/// A namespace, or several of one process, to join.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Join {
    /// The `CLONE_NEW*` bit of a namespace descriptor, or the bits wanted of a pidfd.
    pub kinds: u64,
    /// What it is, for errors: "linux.namespaces[2].path /proc/12/ns/net".
    pub what: String,
}

/// Where the process that is to become the program branches off.
///
/// A process enters pid and time namespaces only by being born into them, and a new user
/// namespace must own the others, so that these need a second process; the simple container
/// does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fork {
    /// Nowhere: the parent's clone made all that is needed.
    #[default]
    None,
    /// Once the namespaces are joined, before anything is set up (create).
    BeforeSetup,
    /// Last, when all that can be given up has been given up (exec): what appears in the
    /// container's pid namespace then holds nothing of the host's (CVE-2016-9962).
    BeforeProgram,
}

impl Namespaces {
    /// Whether a new namespace of this kind is made.
    pub fn makes(&self, kind: u64) -> bool {
        self.new & kind != 0
    }

    /// Whether a namespace of this kind is joined.
    pub fn joins(&self, kind: u64) -> bool {
        self.join.iter().any(|join| join.kinds & kind != 0)
    }

    /// What the parent's clone makes; the rest is made by the init stage.
    ///
    /// Never the cgroup namespace: its root is the cgroup of the process at that moment, and
    /// on v1 the init stage has yet to move there.
    pub fn made_by_clone(&self) -> u64 {
        let by_init = u64::from(CLONE_NEWCGROUP);
        match self.fork {
            Fork::None => self.new & !by_init,
            Fork::BeforeSetup | Fork::BeforeProgram => 0,
        }
    }
}
