//! The root file system of the plan.

use super::mounts::Mount;
use crate::error::{Code, Error, Result};
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use linux_raw_sys::general::{MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE};
use serde::{Deserialize, Serialize};

/// How the container's view of files comes about.
#[derive(Debug, Serialize, Deserialize)]
pub struct Rootfs {
    /// Absolute, in the runtime's mount namespace.
    pub path: CString,
    /// What is there is a mount that the parent makes, to be put over it.
    pub made_by_parent: bool,
    /// `root.readonly`.
    pub readonly: bool,
    /// `linux.rootfsPropagation`, of the container's root mount.
    pub propagation: Option<Propagation>,
    /// How the process gets the rootfs as its root.
    pub switch: Switch,
    /// Where that is [`Switch::Move`]: the host's procfs and sysfs, to go from the container's
    /// mount namespace. While they are in it with nothing over them, the kernel lets a user
    /// namespace of the container mount others, free of all masks.
    pub kernel_mounts: Vec<CString>,
    /// In order.
    pub mounts: Vec<Mount>,
    /// The devices to make, unless /dev is the host's.
    pub devices: Option<Devices>,
    /// `linux.maskedPaths`.
    pub masked_paths: Vec<ContainerPath>,
    /// `linux.readonlyPaths`.
    pub readonly_paths: Vec<ContainerPath>,
    /// `linux.mountLabel`: the context of masks.
    pub mount_label: Option<String>,
}

/// How the process gets the rootfs as its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Switch {
    /// pivot_root(2), the old root unmounted.
    Pivot,
    /// `--no-pivot`: the rootfs moved over "/", for a root that cannot be pivoted (ramfs).
    Move,
    /// chroot(2), where the container has no mount namespace of its own.
    Chroot,
}

/// Mount propagation, mount_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Propagation {
    /// Which.
    pub kind: PropagationKind,
    /// Whether for all mounts below as well.
    pub recursive: bool,
}

/// The four types of propagation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PropagationKind {
    /// Both ways.
    Shared,
    /// Inwards alone.
    Slave,
    /// None.
    Private,
    /// None, and it cannot be bind-mounted.
    Unbindable,
}

impl Propagation {
    /// What the host's mounts are changed to where the container sees them, all of them, given
    /// what its root mount is to have: so that mounts made here do not reach the host, unless
    /// the config wants just that. An unbindable tree would keep the rootfs itself from being
    /// bound.
    pub fn of_host_mounts(rootfs: Option<Self>) -> Self {
        let kind = match rootfs.map(|propagation| propagation.kind) {
            Some(PropagationKind::Shared) => PropagationKind::Shared,
            Some(PropagationKind::Private | PropagationKind::Unbindable) => {
                PropagationKind::Private
            }
            Some(PropagationKind::Slave) | None => PropagationKind::Slave,
        };
        Self {
            kind,
            recursive: true,
        }
    }
}

impl PropagationKind {
    /// The `MS_*` bit of mount_setattr(2).
    pub fn bits(self) -> u64 {
        u64::from(match self {
            Self::Shared => MS_SHARED,
            Self::Slave => MS_SLAVE,
            Self::Private => MS_PRIVATE,
            Self::Unbindable => MS_UNBINDABLE,
        })
    }
}

/// A path inside the container: absolute, without `.`, `..` or doubled slashes as far as text
/// can tell. Symbolic links in it are the rootfs's, and are followed inside it alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContainerPath(String);

impl ContainerPath {
    /// The path `text` as seen from the container's "/", relative ones too (config.md,
    /// "Mounts": a relative destination is taken from "/").
    pub fn new(text: &str) -> Self {
        let mut parts: Vec<&str> = Vec::new();
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                name => parts.push(name),
            }
        }
        Self(format!("/{}", parts.join("/")))
    }

    /// With its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its names, outermost first; none for "/".
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|name| !name.is_empty())
    }

    /// The directory it is in; "/" is in itself.
    pub fn parent(&self) -> Self {
        Self::new(self.0.rsplit_once('/').map_or("", |(parent, _)| parent))
    }

    /// Its last name.
    ///
    /// # Errors
    /// "/" has none; one that holds a NUL is none to the kernel.
    pub fn name(&self) -> Result<CString> {
        let name = self.names().next_back().ok_or_else(|| {
            Error::new(
                Code::InvalidConfig,
                "/ is no place for anything but the rootfs",
            )
        })?;
        for_kernel(name)
    }

    /// All of it as the kernel takes it, for a path that means the same to the runtime.
    ///
    /// # Errors
    /// Where it holds a NUL.
    pub fn to_kernel(&self) -> Result<CString> {
        for_kernel(&self.0)
    }

    /// Whether it is `dir` or below it.
    pub fn is_within(&self, dir: &str) -> bool {
        self.0
            .strip_prefix(dir)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// A name or path as the kernel takes it.
///
/// # Errors
/// Where it holds a NUL.
pub fn for_kernel(name: &str) -> Result<CString> {
    CString::new(name).map_err(|_| Error::new(Code::InvalidConfig, format!("{name:?} holds a NUL")))
}

impl core::fmt::Display for ContainerPath {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The device nodes of /dev and of `linux.devices`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Devices {
    /// In order.
    pub nodes: Vec<Device>,
    /// Whether they are the host's, bind-mounted: a user namespace cannot make any.
    pub bind: bool,
}

/// One device node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Device {
    /// Where it goes.
    pub path: ContainerPath,
    /// Its type and permissions, as in `st_mode`.
    pub mode: u32,
    /// Device number.
    pub major: u32,
    /// Device number.
    pub minor: u32,
    /// Owner, in the container's user namespace.
    pub uid: u32,
    /// Owner, in the container's user namespace.
    pub gid: u32,
    /// Where it came from, for errors: "linux.devices[1]".
    pub at: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_path_never_leaves_the_root() {
        for (text, clean) in [
            ("", "/"),
            ("/", "/"),
            ("etc", "/etc"),
            ("/../../x", "/x"),
            ("/a/./b//c/", "/a/b/c"),
        ] {
            assert_eq!(ContainerPath::new(text).as_str(), clean);
        }
        assert!(ContainerPath::new("/dev/pts").is_within("/dev"));
        assert!(!ContainerPath::new("/device").is_within("/dev"));
    }
}
