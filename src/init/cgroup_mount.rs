//! The mount of type `cgroup` on v1: a tmpfs with a directory for each hierarchy.

use super::mounts::{apply, attach, new_mount, open_source, propagate};
use super::root::{Root, Want};
use crate::cgroups::ContainerMount;
use crate::error::{Context, Result};
use crate::plan::mounts::{Attributes, FileSystem, FsOption, Mount};
use crate::plan::rootfs::ContainerPath;
use std::os::fd::OwnedFd;

/// What all of it has, as runc: no program and no device of it counts.
const ALWAYS: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;

/// Makes the tmpfs and the hierarchies in it.
///
/// # Errors
/// The hierarchy that cannot be mounted, by name.
pub fn make(
    root: &Root,
    mount: &Mount,
    hierarchies: &[ContainerMount],
    namespaced: bool,
) -> Result<()> {
    let base = new_mount(
        &tmpfs(),
        Attributes {
            set: ALWAYS,
            clear: 0,
        },
    )?;
    let target = root.open_or_create(&mount.destination, Want::Directory)?;
    attach(&base, &target)?;
    let inside = Root::new(base);
    for hierarchy in hierarchies {
        one(&inside, hierarchy, namespaced, mount.attributes)
            .context(|| format!("the cgroup hierarchy {}", hierarchy.name))?;
        for link in &hierarchy.links {
            rustix::fs::symlinkat(hierarchy.name.as_str(), &inside, link.as_str())
                .context(|| format!("linking {link} to {}", hierarchy.name))?;
        }
    }
    apply(&inside, mount.attributes, false)?;
    propagate(&inside, &mount.propagation)
}

fn tmpfs() -> FileSystem {
    let mode = FsOption {
        key: "mode".into(),
        value: Some("755".into()),
    };
    FileSystem {
        kind: "tmpfs".into(),
        source: "tmpfs".into(),
        options: vec![mode],
        copy_up: false,
    }
}

fn one(
    inside: &Root,
    hierarchy: &ContainerMount,
    namespaced: bool,
    attributes: Attributes,
) -> Result<()> {
    let target = inside.open_or_create(&ContainerPath::new(&hierarchy.name), Want::Directory)?;
    let attributes = Attributes {
        set: attributes.set | ALWAYS,
        ..attributes
    };
    let tree: OwnedFd = if namespaced {
        let options = hierarchy.options.split(',').map(FsOption::parse).collect();
        let fs = FileSystem {
            kind: "cgroup".into(),
            source: "cgroup".into(),
            options,
            copy_up: false,
        };
        // The hierarchy's superblock is the host's: its own "ro" must stay as it is.
        let tree = new_mount(
            &fs,
            Attributes {
                set: attributes.set & !libc::MOUNT_ATTR_RDONLY,
                clear: 0,
            },
        )?;
        attach(&tree, &target)?;
        tree
    } else {
        let tree = match open_source(&hierarchy.source, false) {
            // A rootless container may go without a cgroup; then there is none to show.
            Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(()),
            other => other?,
        };
        attach(&tree, &target)?;
        tree
    };
    apply(&tree, attributes, false)
}
