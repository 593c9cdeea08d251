//! The mount of type `cgroup` on v1: a tmpfs with a directory for each hierarchy.

use super::mounts::{apply, attach, new_mount, open_source, open_target, propagate};
use super::root::{Root, Want};
use crate::cgroups::ContainerMount;
use crate::error::{Context, Result};
use crate::plan::mounts::{Attributes, FileSystem, FsOption, Mount};
use rustix::fs::Mode;
use rustix::mount::MoveMountFlags;
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
    let target = open_target(root, &mount.destination, Want::Directory, &base)?;
    attach(&base, &target)?;
    for hierarchy in hierarchies {
        one(&base, hierarchy, namespaced, mount.attributes)
            .context(|| format!("the cgroup hierarchy {}", hierarchy.name))?;
        for link in &hierarchy.links {
            rustix::fs::symlinkat(hierarchy.name.as_str(), &base, link.as_str())
                .context(|| format!("linking {link} to {}", hierarchy.name))?;
        }
    }
    apply(&base, mount.attributes, false)?;
    propagate(&base, &mount.propagation)
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

/// Mounts one hierarchy in `base`: a new tmpfs that nobody else has seen, so that names in it
/// are what we make them.
fn one(
    base: &OwnedFd,
    hierarchy: &ContainerMount,
    namespaced: bool,
    attributes: Attributes,
) -> Result<()> {
    let attributes = Attributes {
        set: attributes.set | ALWAYS,
        ..attributes
    };
    let tree = if namespaced {
        let options = hierarchy.options.split(',').map(FsOption::parse).collect();
        let fs = FileSystem {
            kind: "cgroup".into(),
            source: "cgroup".into(),
            options,
            copy_up: false,
        };
        // The hierarchy's superblock is the host's: its own "ro" must stay as it is.
        new_mount(
            &fs,
            Attributes {
                set: attributes.set & !libc::MOUNT_ATTR_RDONLY,
                clear: 0,
            },
        )?
    } else {
        match open_source(&hierarchy.source, false) {
            // A rootless container may go without a cgroup; then there is none to show.
            Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(()),
            other => other?,
        }
    };
    let name = hierarchy.name.as_str();
    rustix::fs::mkdirat(base, name, Mode::from_raw_mode(0o755))
        .context(|| "making its directory")?;
    rustix::mount::move_mount(
        &tree,
        c"",
        base,
        name,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .context(|| "attaching it")?;
    apply(&tree, attributes, false)
}
