//! Mounts of the plan, their options turned into bits.

use super::rootfs::{ContainerPath, Propagation};
use alloc::borrow::ToOwned;
use alloc::ffi::CString;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general::MOUNT_ATTR_RDONLY;
use serde::{Deserialize, Serialize};

/// One mount to make.
#[derive(Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Where it came from, for errors: "mounts[3]".
    pub at: String,
    /// Where it goes.
    pub destination: ContainerPath,
    /// What is mounted.
    pub source: Source,
    /// What the mount allows.
    pub attributes: Attributes,
    /// What it and all mounts below it allow: the options with an `r`.
    pub recursive: Attributes,
    /// Changes of propagation, in order.
    pub propagation: Vec<Propagation>,
}

/// What is mounted.
#[derive(Debug, Serialize, Deserialize)]
pub enum Source {
    /// A file or directory of the runtime's, seen again.
    Bind {
        /// Absolute, in the runtime's mount namespace.
        path: CString,
        /// With the mounts below it.
        recursive: bool,
        /// Who opens it.
        opener: Opener,
    },
    /// A new instance of a file system.
    FileSystem(FileSystem),
    /// The container's own cgroups: on v1 a tmpfs with a directory per hierarchy.
    Cgroups {
        /// The hierarchies, from the cgroup manager.
        hierarchies: Vec<CgroupHierarchy>,
        /// Whether each is mounted anew, its root being that of the cgroup namespace; else the
        /// container's directory is bound from the host's mount.
        namespaced: bool,
    },
}

/// Who opens the source of a bind mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Opener {
    /// The init stage.
    Init,
    /// The parent, because root of a user namespace may not be able to, and cannot map ids.
    Parent,
}

/// What a mount of type `cgroup` shows of one v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupHierarchy {
    /// The directory below the mount's destination: "cpu,cpuacct".
    pub name: String,
    /// The data for mounting file system `cgroup` in a new cgroup namespace.
    pub options: String,
    /// Without one: the container's cgroup, to be bound.
    pub source: CString,
    /// Names of symbolic links to `name`, where controllers are mounted together.
    pub links: Vec<String>,
}

/// A file system to mount by fsopen(2).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileSystem {
    /// Its type, as in /proc/filesystems.
    pub kind: String,
    /// What it is mounted from; most ignore it.
    pub source: String,
    /// Options of the file system itself, in order.
    pub options: Vec<FsOption>,
    /// tmpfs: copy what the rootfs has at the destination into it first.
    pub copy_up: bool,
}

/// An option of a file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsOption {
    /// Its name.
    pub key: String,
    /// Its value; none for a flag.
    pub value: Option<String>,
}

/// `MOUNT_ATTR_*` bits of mount_setattr(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// To set.
    pub set: u64,
    /// To clear.
    pub clear: u64,
}

impl Attributes {
    /// Read-only, and all else as it is.
    pub const READ_ONLY: Self = Self::setting(MOUNT_ATTR_RDONLY);

    /// Sets bits that are none of the field of access times.
    pub const fn setting(bits: u32) -> Self {
        Self {
            set: bits as u64,
            clear: 0,
        }
    }

    /// Whether there is nothing to change.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl FsOption {
    /// Reads `key` or `key=value`.
    pub fn parse(option: &str) -> Self {
        let Some((key, value)) = option.split_once('=') else {
            return Self {
                key: option.to_owned(),
                value: None,
            };
        };
        // The quotes belong to the list; fsconfig(2) takes the bare value.
        let bare = value
            .strip_prefix('"')
            .and_then(|v| v.strip_suffix('"'))
            .unwrap_or(value);
        Self {
            key: key.to_owned(),
            value: Some(bare.to_owned()),
        }
    }
}
