//! Mounts of the plan.

use super::idmap::{self, IdMap, IdMaps};
use super::{Request, kernel_path};
use crate::cgroups::{ContainerMount, ContainerMounts};
use crate::config::{self, Config, Linux};
use crate::error::{Code, Context, Error, Result};
use crate::plan::mounts::{
    Attributes, CgroupHierarchy, FileSystem, FsOption, Mount, Opener, Source,
};
use crate::plan::namespaces::Namespaces;
use crate::plan::options::{Bind, Options, is_superblock_flag};
use crate::plan::rootfs::{ContainerPath, Propagation};
use std::path::Path;

/// All mounts, in order, and which of them are id-mapped.
pub fn plan(
    config: &Config,
    label: Option<&str>,
    request: &Request<'_>,
    namespaces: &Namespaces,
) -> Result<(Vec<Mount>, IdMaps)> {
    let opener = opener(namespaces);
    let mut mounts = Vec::with_capacity(config.mounts.len() + 1);
    let mut idmaps = IdMaps::new();
    for (index, mount) in config.mounts.iter().enumerate() {
        let at = format!("mounts[{index}]");
        let namespaced = namespaces.makes(libc::CLONE_NEWCGROUP as u64);
        let planned = if mount.is_bind() {
            bind(mount, &config.linux, request.bundle, opener)
        } else {
            other(mount, label, request, namespaced).map(|mount| (mount, None))
        };
        let (mount, idmap) = planned.context(|| &at)?;
        idmaps.extend(idmap.map(|idmap| (index, idmap)));
        mounts.push(Mount { at, ..mount });
    }
    if let Some(dir) = request.notify_dir {
        mounts.push(notify(dir, opener)?);
    }
    Ok((mounts, idmaps))
}

/// Who opens bind sources: root of a user namespace may not be able to reach them. A parent
/// without privilege cannot do it either; then they are tried from inside.
fn opener(namespaces: &Namespaces) -> Opener {
    let user = libc::CLONE_NEWUSER as u64;
    let has_user_namespace = namespaces.makes(user) || namespaces.joins(user);
    if has_user_namespace && rustix::process::geteuid().is_root() {
        Opener::Parent
    } else {
        Opener::Init
    }
}

/// Gives the sources that the parent opens what the init stage's copy of the host's mounts gets:
/// coming from the parent's mount namespace, they are peers of the host's, and what is mounted
/// below them in the container would be mounted on the host.
pub fn cut_off(mounts: &mut [Mount], propagation: Propagation) {
    for mount in mounts {
        if let Source::Bind {
            opener: Opener::Parent,
            ..
        } = mount.source
        {
            mount.propagation.insert(0, propagation);
        }
    }
}

fn bind(
    mount: &config::Mount,
    linux: &Linux,
    bundle: &Path,
    opener: Opener,
) -> Result<(Mount, Option<IdMap>)> {
    let source = mount
        .source
        .as_deref()
        .filter(|source| !source.is_empty())
        .ok_or_else(|| {
            Error::new(Code::InvalidConfig, "a bind mount without a source")
                .hint("name a file or directory of the host")
        })?;
    let options = Options::parse(&mount.options);
    if let Some(unknown) = options
        .file_system
        .iter()
        .find(|option| !is_superblock_flag(option))
    {
        log::warn!(
            "mounts: {}: option {:?} means nothing for a bind mount",
            mount.destination.display(),
            unknown.key
        );
    }
    let idmap = idmap::plan(mount, &options, linux)?;
    let planned = Mount {
        source: Source::Bind {
            path: kernel_path(&bundle.join(source))?,
            recursive: options.bind != Some(Bind::One),
            opener: match idmap {
                None => opener,
                Some(_) => Opener::Parent,
            },
        },
        ..common(mount, &options)
    };
    Ok((planned, idmap))
}

fn other(
    mount: &config::Mount,
    label: Option<&str>,
    request: &Request<'_>,
    namespaced: bool,
) -> Result<Mount> {
    let options = Options::parse(&mount.options);
    let kind = mount.kind.as_deref().unwrap_or_default();
    if kind.is_empty() {
        return Err(Error::new(
            Code::InvalidConfig,
            "neither a type nor the option \"bind\"",
        )
        .hint("say which file system to mount"));
    }
    let common = common(mount, &options);
    if kind == "cgroup" {
        return Ok(Mount {
            source: cgroups(request, &options, namespaced)?,
            ..common
        });
    }
    let mut file_system = options.file_system;
    if let Some(label) = label.filter(|_| takes_label(kind)) {
        file_system.push(FsOption {
            key: "context".into(),
            value: Some(label.to_owned()),
        });
    }
    let source = mount.source.clone().unwrap_or_else(|| kind.to_owned());
    let fs = FileSystem {
        kind: kind.to_owned(),
        source,
        options: file_system,
        copy_up: options.copy_up,
    };
    Ok(Mount {
        source: Source::FileSystem(fs),
        ..common
    })
}

/// The container's cgroups: as a file system of their own where a cgroup namespace limits what
/// that shows, else by binding the container's part.
fn cgroups(request: &Request<'_>, options: &Options, namespaced: bool) -> Result<Source> {
    Ok(match request.cgroups.mounts_for_container() {
        ContainerMounts::V1(hierarchies) => Source::Cgroups {
            hierarchies: hierarchies
                .into_iter()
                .map(hierarchy)
                .collect::<Result<_>>()?,
            namespaced,
        },
        ContainerMounts::V2(Some(path)) if !namespaced => Source::Bind {
            path: kernel_path(&path)?,
            recursive: true,
            opener: Opener::Init,
        },
        ContainerMounts::V2(_) => Source::FileSystem(FileSystem {
            kind: "cgroup2".into(),
            source: "cgroup".into(),
            options: options.file_system.clone(),
            copy_up: false,
        }),
    })
}

fn hierarchy(mount: ContainerMount) -> Result<CgroupHierarchy> {
    Ok(CgroupHierarchy {
        name: mount.name,
        options: mount.options,
        source: kernel_path(&mount.source)?,
        links: mount.links,
    })
}

/// A mount without its source, which the caller puts in.
fn common(mount: &config::Mount, options: &Options) -> Mount {
    Mount {
        at: String::new(),
        destination: ContainerPath::new(&mount.destination.to_string_lossy()),
        source: Source::Cgroups {
            hierarchies: Vec::new(),
            namespaced: false,
        },
        attributes: options.attributes,
        recursive: options.recursive,
        propagation: options.propagation.clone(),
    }
}

/// Kernel file systems have labels of their own, which the `context` option would refuse.
fn takes_label(kind: &str) -> bool {
    !matches!(kind, "proc" | "sysfs" | "mqueue" | "cgroup2")
}

/// The directory of the container's notify socket, as runc places it. It is the host's: there
/// the container is to send, which a read-only mount allows, and to leave nothing.
fn notify(dir: &Path, opener: Opener) -> Result<Mount> {
    let bits = libc::MOUNT_ATTR_RDONLY
        | libc::MOUNT_ATTR_NOSUID
        | libc::MOUNT_ATTR_NODEV
        | libc::MOUNT_ATTR_NOEXEC;
    Ok(Mount {
        at: "NOTIFY_SOCKET".into(),
        destination: ContainerPath::new("/run/notify"),
        source: Source::Bind {
            path: kernel_path(dir)?,
            recursive: true,
            opener,
        },
        attributes: Attributes {
            set: bits,
            clear: 0,
        },
        recursive: Attributes::default(),
        propagation: Vec::new(),
    })
}
