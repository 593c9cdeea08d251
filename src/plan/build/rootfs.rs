//! The root file system of the plan.

use super::{IdMaps, Request, devices, kernel_path, mounts};
use crate::config::Config;
use crate::config::linux::Propagation as Configured;
use crate::error::{Code, Error, Result};
use crate::host_mounts;
use crate::plan::namespaces::Namespaces;
use crate::plan::rootfs::{ContainerPath, Propagation, PropagationKind, Rootfs, Switch};
use std::collections::HashSet;
use std::path::Path;

/// The rootfs of a new container.
pub fn plan(
    config: &Config,
    request: &Request<'_>,
    namespaces: &Namespaces,
) -> Result<(Rootfs, IdMaps)> {
    let mount = libc::CLONE_NEWNS as u64;
    let user = libc::CLONE_NEWUSER as u64;
    let own_mounts = namespaces.makes(mount) || namespaces.joins(mount);
    let switch = match (own_mounts, request.no_pivot) {
        (false, _) => Switch::Chroot,
        (true, true) => Switch::Move,
        (true, false) => Switch::Pivot,
    };
    let bind_devices = namespaces.makes(user) || namespaces.joins(user);
    // Once each: a second mount would hide nothing more.
    let paths = |list: &[std::path::PathBuf]| {
        let mut seen = HashSet::new();
        list.iter()
            .map(|path| ContainerPath::new(&path.to_string_lossy()))
            .filter(|path| seen.insert(path.clone()))
            .collect()
    };
    let label = mount_label(config);
    let propagation = config.linux.rootfs_propagation.map(propagation);
    let (mut mounts, idmaps) = mounts::plan(config, label, request, namespaces)?;
    if own_mounts {
        mounts::cut_off(&mut mounts, Propagation::of_host_mounts(propagation));
    }
    let rootfs = Rootfs {
        path: kernel_path(&root_path(config, request)?)?,
        made_by_parent: request.root_is_made,
        readonly: config.root.readonly,
        propagation,
        switch,
        kernel_mounts: match switch {
            Switch::Move => host_mounts::of_kernel()?,
            Switch::Pivot | Switch::Chroot => Vec::new(),
        },
        mounts,
        devices: devices::plan(config, bind_devices),
        masked_paths: paths(&config.linux.masked_paths),
        readonly_paths: paths(&config.linux.readonly_paths),
        mount_label: label.map(str::to_owned),
    };
    Ok((rootfs, idmaps))
}

/// `linux.mountLabel`, where it can mean something: without SELinux no file has a label, and file
/// systems refuse the option.
fn mount_label(config: &Config) -> Option<&str> {
    let label = config.linux.mount_label.as_deref()?;
    if Path::new("/sys/fs/selinux/status").exists() {
        return Some(label);
    }
    log::warn!("linux.mountLabel: ignored, because SELinux is not enabled on this host");
    None
}

fn root_path(config: &Config, request: &Request<'_>) -> Result<std::path::PathBuf> {
    let path = request.bundle.join(&config.root.path);
    let failed = |error: std::io::Error| {
        Error::system(
            format!("root.path: opening the rootfs {}", path.display()),
            error,
        )
        .with_code(Code::InvalidConfig)
    };
    let metadata = std::fs::metadata(&path).map_err(failed)?;
    if !metadata.is_dir() {
        return Err(Error::new(
            Code::InvalidConfig,
            format!("root.path: {} is not a directory", path.display()),
        ));
    }
    path.canonicalize().map_err(failed)
}

fn propagation(configured: Configured) -> Propagation {
    let (kind, recursive) = match configured {
        Configured::Shared => (PropagationKind::Shared, false),
        Configured::Slave => (PropagationKind::Slave, false),
        Configured::Private => (PropagationKind::Private, false),
        Configured::Unbindable => (PropagationKind::Unbindable, false),
        Configured::Rshared => (PropagationKind::Shared, true),
        Configured::Rslave => (PropagationKind::Slave, true),
        Configured::Rprivate => (PropagationKind::Private, true),
        Configured::Runbindable => (PropagationKind::Unbindable, true),
    };
    Propagation { kind, recursive }
}
