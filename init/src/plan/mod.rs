//! The plan: config.json turned into data that the init stage executes without asking again.
//!
//! Everything in it is validated, has its defaults and is resolved as far as the parent can:
//! names are numbers, options are bits, values are the bytes to write. Each part that can
//! fail carries the config path it came from, for the error. One type serves create and exec:
//! exec is a plan that joins namespaces and has no rootfs to set up.

pub mod mounts;
pub mod namespaces;
pub mod process;
pub mod rootfs;

use crate::hooks::Hook;
use alloc::string::String;
use alloc::vec::Vec;
use mounts::Source;
use namespaces::Namespaces;
use process::Process;
use rootfs::Rootfs;
use serde::{Deserialize, Serialize};

/// What the init stage does, in the order of its fields.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan {
    /// How the process comes into its namespaces.
    pub namespaces: Namespaces,
    /// The session keyring to join: its name.
    pub keyring: Option<String>,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `domainname`.
    pub domainname: Option<String>,
    /// The root file system to set up; none in exec, which joins one.
    pub rootfs: Option<Rootfs>,
    /// Kernel parameters to write.
    pub sysctls: Vec<Sysctl>,
    /// A pseudo-terminal to allocate for the process.
    pub terminal: Option<Terminal>,
    /// The hooks that run in the container's namespaces.
    pub hooks: Hooks,
    /// The process itself.
    pub process: Process,
    /// How many descriptors from 3 up the program keeps.
    pub preserved_fds: u32,
}

impl Plan {
    /// Whether files of the rootfs are copied into memory.
    pub fn copies_up(&self) -> bool {
        let mounts = self.rootfs.iter().flat_map(|rootfs| &rootfs.mounts);
        let mut sources = mounts.map(|mount| &mount.source);
        sources.any(|source| matches!(source, Source::FileSystem(fs) if fs.copy_up))
    }
}

/// One kernel parameter of `linux.sysctl`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sysctl {
    /// Below /proc/sys, with slashes.
    pub path: String,
    /// What to write.
    pub value: String,
}

/// A terminal's size; zero leaves the kernel's.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Terminal {
    /// Rows of characters.
    pub height: u16,
    /// Columns of characters.
    pub width: u16,
}

/// The hooks that involve the init stage.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Hooks {
    /// Whether the parent has hooks to run before pivot_root, and must be asked to.
    pub in_runtime: bool,
    /// `hooks.createContainer`.
    pub create_container: Vec<Hook>,
    /// `hooks.startContainer`.
    pub start_container: Vec<Hook>,
    /// The container's state for the hooks' stdin, but for pid and status.
    pub state: Option<crate::hooks::State>,
}
