//! The mount of type `cgroup` on v1: a tmpfs with a directory for each hierarchy.

use crate::error::{Context, Result};
use crate::mounts::{apply, attach, new_mount, open_source, open_target, propagate};
use crate::plan::mounts::{Attributes, CgroupHierarchy, FileSystem, FsOption, Mount};
use crate::root::{Root, Want};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use linux_raw_sys::general::{MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID};
use rustix::fd::OwnedFd;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::MoveMountFlags;

/// What all of it has, as runc: no program and no device of it counts.
const ALWAYS: Attributes =
    Attributes::setting(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

/// Makes the tmpfs and the hierarchies in it.
///
/// # Errors
/// The hierarchy that cannot be mounted, by name.
pub fn make(
    root: &Root,
    mount: &Mount,
    hierarchies: &[CgroupHierarchy],
    namespaced: bool,
) -> Result<()> {
    let base = new_mount(&tmpfs(), ALWAYS)?;
    let target = open_target(root, &mount.destination, Want::Directory, &base)?;
    attach(&base, &target)?;
    let mut mounts = Vec::with_capacity(hierarchies.len());
    for hierarchy in hierarchies {
        let made = one(&base, hierarchy, namespaced, mount.attributes)
            .context(|| format!("the cgroup hierarchy {}", hierarchy.name))?;
        mounts.extend(made);
        for link in &hierarchy.links {
            rustix::fs::symlinkat(hierarchy.name.as_str(), &base, link.as_str())
                .context(|| format!("linking {link} to {}", hierarchy.name))?;
        }
    }
    let attributes = with_always(mount.attributes);
    match apply(&base, attributes, true) {
        // Before Linux 5.12: one by one.
        Err(error) if error.errno() == Some(Errno::NOSYS) => {
            mounts.push(base.try_clone().context(|| "keeping hold of the mount")?);
            mounts
                .iter()
                .try_for_each(|mount| apply(mount, attributes, false))?;
        }
        other => other?,
    }
    propagate(&base, &mount.propagation)
}

fn with_always(attributes: Attributes) -> Attributes {
    Attributes {
        set: attributes.set | ALWAYS.set,
        ..attributes
    }
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
/// are what we make them. What it allows is set for all of them at once.
fn one(
    base: &OwnedFd,
    hierarchy: &CgroupHierarchy,
    namespaced: bool,
    attributes: Attributes,
) -> Result<Option<OwnedFd>> {
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
                set: with_always(attributes).set & !Attributes::READ_ONLY.set,
                clear: 0,
            },
        )?
    } else {
        match open_source(&hierarchy.source, false) {
            // A rootless container may go without a cgroup; then there is none to show.
            Err(error) if error.errno() == Some(Errno::NOENT) => return Ok(None),
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
    Ok(Some(tree))
}
