//! Makes the plan's mounts: each is opened as a descriptor, moved onto a descriptor, and
//! changed through that descriptor.

use crate::copy_up;
use crate::error::{Code, Context, Error, Result};
use crate::plan::mounts::{Attributes, FileSystem, FsOption, Mount, Opener, Source};
use crate::plan::rootfs::{ContainerPath, Propagation};
use crate::root::{PROC_MAGIC, Root, Want, file_type};
use crate::sys::mount::{Change, set_attributes};
use crate::wire::{FromInit, Wire};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::CStr;
use linux_raw_sys::general::{
    MOUNT_ATTR__ATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV, MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY, MOUNT_ATTR_STRICTATIME, MS_REC,
};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags,
};

/// Files of /proc that may be mounted over: they tell of the host's resources and give no
/// power (lxcfs puts its own there). All else below /proc is refused: a false procfs takes
/// in the labels and sysctls meant for the kernel (CVE-2019-16884).
const MAY_HIDE_IN_PROC: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
];

/// A mount whose read-only attribute waits until all below it is made.
#[derive(Debug)]
pub struct Deferred(OwnedFd);

/// Makes all mounts of the plan, in order, and returns those still to be made read-only.
///
/// # Errors
/// The first that fails, by its place in config.json.
pub fn make_all(root: &Root, mounts: &[Mount], wire: &Wire) -> Result<Vec<Deferred>> {
    let mut deferred = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        let made = make(root, mount, index, wire)
            .context(|| format!("{}: mounting {}", mount.at, mount.destination))?;
        deferred.extend(made);
    }
    Ok(deferred)
}

fn make(root: &Root, mount: &Mount, index: usize, wire: &Wire) -> Result<Option<Deferred>> {
    match &mount.source {
        Source::Bind {
            path,
            recursive,
            opener,
        } => {
            let tree = match opener {
                Opener::Parent => ask_for_source(wire, index)?,
                Opener::Init => open_source(path, *recursive)?,
            };
            bind(root, mount, tree)?;
            Ok(None)
        }
        Source::FileSystem(fs) => file_system(root, mount, fs),
        Source::Cgroups {
            hierarchies,
            namespaced,
        } => {
            crate::cgroup_mount::make(root, mount, hierarchies, *namespaced)?;
            Ok(None)
        }
    }
}

fn ask_for_source(wire: &Wire, index: usize) -> Result<OwnedFd> {
    let index = u32::try_from(index)
        .map_err(|_| Error::new(Code::InvalidConfig, "more mounts than 2^32"))?;
    wire.send(&FromInit::MountSource { index }, &[])?;
    wire.await_descriptor()
}

/// A detached copy of the mount tree at `path` in this mount namespace.
///
/// # Errors
/// Those of open_tree(2).
pub fn open_source(path: &CStr, recursive: bool) -> Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    rustix::mount::open_tree(rustix::fs::CWD, path, flags)
        .context(|| format!("opening the source {}", path.to_string_lossy()))
}

fn bind(root: &Root, mount: &Mount, tree: OwnedFd) -> Result<()> {
    let kind = file_type(&tree).context(|| "looking at the source")?;
    let want = if kind == FileType::Directory {
        Want::Directory
    } else {
        Want::File
    };
    let target = open_target(root, &mount.destination, want, &tree)?;
    attach(&tree, &target)?;
    apply(&tree, mount.attributes, false)?;
    apply(&tree, mount.recursive, true)?;
    propagate(&tree, &mount.propagation)
}

fn file_system(root: &Root, mount: &Mount, fs: &FileSystem) -> Result<Option<Deferred>> {
    let is_tmpfs = fs.kind == "tmpfs";
    // A tmpfs becomes read-only at the very end: devices and other mounts are made in it first.
    let read_only = mount.attributes.set & Attributes::READ_ONLY.set;
    let waits = is_tmpfs && read_only != 0;
    let now = if waits {
        Attributes {
            set: mount.attributes.set & !read_only,
            ..mount.attributes
        }
    } else {
        mount.attributes
    };
    let fresh = if is_tmpfs {
        new_mount(&with_mode_of(root, &mount.destination, fs)?, now)?
    } else {
        new_mount(fs, now)?
    };
    // Only procfs and sysfs must sit where they seem to sit: labels, sysctls and cgroups are
    // found below them (CVE-2019-19921, CVE-2023-27561, CVE-2025-54867).
    let target = if matches!(fs.kind.as_str(), "proc" | "sysfs") {
        open_real_directory(root, &mount.destination)?
    } else {
        open_target(root, &mount.destination, Want::Directory, &fresh)?
    };
    if fs.copy_up {
        let owned = fs.options.iter().any(|o| o.key == "uid" || o.key == "gid");
        copy_up::contents(&target, &fresh, !owned)?;
    }
    attach(&fresh, &target)?;
    apply(&fresh, mount.recursive, true)?;
    propagate(&fresh, &mount.propagation)?;
    Ok(waits.then_some(Deferred(fresh)))
}

/// A tmpfs without a mode of its own gets that of the directory it covers, as runc has it.
fn with_mode_of(root: &Root, path: &ContainerPath, fs: &FileSystem) -> Result<FileSystem> {
    let mut fs = fs.clone();
    if fs.options.iter().any(|option| option.key == "mode") {
        return Ok(fs);
    }
    if let Ok(covered) = root.open(path, OFlags::PATH) {
        let stat = rustix::fs::fstat(covered).context(|| "looking at what it covers")?;
        let mode = format!("{:o}", stat.st_mode & 0o7777);
        fs.options.push(FsOption {
            key: "mode".into(),
            value: Some(mode),
        });
    }
    Ok(fs)
}

/// Makes those mounts read-only that had to wait.
///
/// # Errors
/// Those of mount_setattr(2).
pub fn finish(deferred: Vec<Deferred>) -> Result<()> {
    let read_only = Attributes::READ_ONLY;
    deferred
        .iter()
        .try_for_each(|mount| apply(&mount.0, read_only, false))
}

/// A new, detached mount of a file system, with `attributes`.
///
/// # Errors
/// The option that is refused, by name; else the step that failed.
pub fn new_mount(fs: &FileSystem, attributes: Attributes) -> Result<OwnedFd> {
    let kind = fs.kind.as_str();
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .context(|| format!("opening a file system of type {kind:?}"))
        .map_err(|error| match error.errno() {
            Some(Errno::NODEV) => {
                error.hint("the kernel does not have it, or its module is not loaded")
            }
            _ => error,
        })?;
    let refused = |error, what: &str| explain(context.as_fd(), error, what);
    if !fs.source.is_empty() {
        rustix::mount::fsconfig_set_string(&context, "source", fs.source.as_str())
            .map_err(|e| refused(e, &format!("setting its source {:?}", fs.source)))?;
    }
    for option in &fs.options {
        set_option(&context, option)
            .map_err(|e| refused(e, &format!("setting its option {}", shown(option))))?;
    }
    if attributes.set & Attributes::READ_ONLY.set != 0 {
        rustix::mount::fsconfig_set_flag(&context, "ro")
            .map_err(|e| refused(e, "setting its option \"ro\""))?;
    }
    rustix::mount::fsconfig_create(&context)
        .map_err(|e| refused(e, &format!("making a {kind}")))?;
    let flags = MountAttrFlags::from_bits_retain(attributes.set as u32);
    rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)
        .context(|| format!("mounting a {kind}"))
}

fn set_option(context: &OwnedFd, option: &FsOption) -> rustix::io::Result<()> {
    match &option.value {
        None => rustix::mount::fsconfig_set_flag(context, option.key.as_str()),
        // fsconfig(2) takes values below 256 bytes; overlay's layers are longer, and it takes
        // them one by one (Linux 6.5).
        Some(value) if value.len() > 255 && option.key == "lowerdir" => value
            .split(':')
            .try_for_each(|layer| rustix::mount::fsconfig_set_string(context, "lowerdir+", layer)),
        Some(value) => {
            rustix::mount::fsconfig_set_string(context, option.key.as_str(), value.as_str())
        }
    }
}

fn shown(option: &FsOption) -> String {
    match &option.value {
        Some(value) => format!("{:?}", format!("{}={value}", option.key)),
        None => format!("{:?}", option.key),
    }
}

/// The kernel's errno with the line that the file system left in its context, where it did.
fn explain(context: BorrowedFd<'_>, error: Errno, what: &str) -> Error {
    let mut line = [0; 1024];
    let said = match rustix::io::read(context, &mut line) {
        Ok(length) => String::from_utf8_lossy(&line[..length])
            .trim_start_matches("e ")
            .trim_end()
            .to_owned(),
        Err(_) => String::new(),
    };
    let error = Error::system(what, error);
    if said.is_empty() {
        error
    } else {
        error.hint(format!("the kernel says: {said}"))
    }
}

/// Moves a detached mount onto `target`.
///
/// # Errors
/// Those of move_mount(2).
pub fn attach(mount: impl AsFd, target: impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    let moved = rustix::mount::move_mount(&mount, c"", &target, c"", flags);
    let doing = || "attaching the mount";
    // Where one is a directory and the other is not, move_mount(2) says EINVAL, as of much else.
    // mount(2) says ENOTDIR, and Docker explains a mount of the wrong kind where it finds that.
    if moved == Err(Errno::INVAL) && is_directory(&mount)? != is_directory(&target)? {
        let error = Error::system(doing(), Errno::NOTDIR);
        return Err(error.hint("a directory cannot be mounted onto a file, nor a file onto one"));
    }
    moved.context(doing)
}

fn is_directory(fd: impl AsFd) -> Result<bool> {
    let kind = file_type(fd).context(|| "looking at what is to be mounted, and onto what")?;
    Ok(kind == FileType::Directory)
}

/// Changes the attributes of an attached mount.
///
/// # Errors
/// Those of mount_setattr(2); before Linux 5.12, those of the mount(2) that stands in for it.
pub fn apply(mount: impl AsFd, attributes: Attributes, recursive: bool) -> Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    let change = Change {
        set: attributes.set,
        clear: attributes.clear,
        ..Change::default()
    };
    match set_attributes(&mount, change, recursive) {
        Err(Errno::NOSYS) if !recursive => remount(mount.as_fd(), attributes),
        Err(error @ Errno::NOSYS) => {
            Err(Error::system("changing the mounts below as well", error)
                .hint("it needs Linux 5.12"))
        }
        other => other.context(|| "changing what the mount allows"),
    }
}

/// mount(2)'s way of changing a mount, for kernels before mount_setattr(2): all flags at once.
fn remount(mount: BorrowedFd<'_>, attributes: Attributes) -> Result<()> {
    const SAME: &[(u32, MountFlags)] = &[
        (MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
        (MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
        (MOUNT_ATTR_NODEV, MountFlags::NODEV),
        (MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
        (MOUNT_ATTR_NODIRATIME, MountFlags::NODIRATIME),
    ];
    let context = || "changing what the mount allows";
    // The kernel has defined no bit above the lowest 32.
    let (set, clear) = (attributes.set as u32, attributes.clear as u32);
    let present = rustix::fs::fstatvfs(mount).context(context)?.f_flag;
    let mut flags = MountFlags::BIND | MountFlags::from_bits_retain(present.bits() as u32);
    for (attribute, flag) in SAME {
        if set & attribute != 0 {
            flags |= *flag;
        } else if clear & attribute != 0 {
            flags -= *flag;
        }
    }
    if clear & MOUNT_ATTR__ATIME != 0 {
        flags -= MountFlags::NOATIME | MountFlags::RELATIME | MountFlags::STRICTATIME;
        flags |= match set & MOUNT_ATTR__ATIME {
            MOUNT_ATTR_NOATIME => MountFlags::NOATIME,
            MOUNT_ATTR_STRICTATIME => MountFlags::STRICTATIME,
            _ => MountFlags::RELATIME,
        };
    }
    rustix::mount::mount_remount(descriptor_path(mount), flags, c"").context(context)
}

/// Changes the propagation of an attached mount, step by step.
///
/// # Errors
/// Those of mount_setattr(2), or of mount(2) before Linux 5.12.
pub fn propagate(mount: impl AsFd, changes: &[Propagation]) -> Result<()> {
    for change in changes {
        let bits = change.kind.bits();
        match set_attributes(
            &mount,
            Change {
                propagation: bits,
                ..Change::default()
            },
            change.recursive,
        ) {
            Err(Errno::NOSYS) => {
                let recursive = if change.recursive { MS_REC } else { 0 };
                let flags =
                    rustix::mount::MountPropagationFlags::from_bits_retain(bits as u32 | recursive);
                rustix::mount::mount_change(descriptor_path(mount.as_fd()), flags)
                    .context(|| "changing the mount's propagation")?;
            }
            other => other.context(|| "changing the mount's propagation")?,
        }
    }
    Ok(())
}

/// A path to what `fd` is open on, through the runtime's own procfs: only good before the
/// root is switched, and only for system calls that take no descriptor.
fn descriptor_path(fd: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// Opens the place for a mount, made where it is missing.
///
/// # Errors
/// Where it would hide a part of /proc.
pub(super) fn open_target(
    root: &Root,
    path: &ContainerPath,
    want: Want,
    mount: &OwnedFd,
) -> Result<OwnedFd> {
    if !path.is_within("/proc") {
        let target = root.open_or_create(path, want)?;
        if is_procfs(&target)? {
            return Err(in_proc(path).hint("a symbolic link in the rootfs leads there"));
        }
        return Ok(target);
    }
    if path.as_str() == "/proc" {
        // A bind of another procfs is what nested and host-pid containers use.
        if !is_procfs(mount)? {
            return Err(Error::new(
                Code::InvalidConfig,
                "only a procfs can be mounted on /proc",
            ));
        }
        return open_real_directory(root, path);
    }
    if is_procfs(mount)? || !MAY_HIDE_IN_PROC.contains(&path.as_str()) {
        return Err(in_proc(path));
    }
    root.open_without_links(path, OFlags::PATH)
        .context(|| format!("opening {path} in the rootfs"))
}

fn in_proc(path: &ContainerPath) -> Error {
    Error::new(
        Code::InvalidConfig,
        format!("{path} cannot be mounted over, because it is inside /proc"),
    )
}

fn is_procfs(fd: impl AsFd) -> Result<bool> {
    let stat = rustix::fs::fstatfs(fd).context(|| "looking at the file system")?;
    Ok(stat.f_type as i64 == PROC_MAGIC)
}

/// Opens a directory that must be one itself, no link on the way.
fn open_real_directory(root: &Root, path: &ContainerPath) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let opened = match root.open_without_links(path, flags) {
        Err(Errno::NOENT) => {
            root.open_or_create(path, Want::Directory)?;
            root.open_without_links(path, flags)
        }
        other => other,
    };
    opened.map_err(|error| match error {
        Errno::LOOP | Errno::NOTDIR => Error::new(
            Code::InvalidConfig,
            // runc's words, and why.
            format!("{path} must be mounted on ordinary directory, and is none in the rootfs"),
        ),
        other => Error::system(format!("opening {path} in the rootfs"), other),
    })
}

/// Unmounts what is at a path of the runtime's, with all below it, at once.
///
/// # Errors
/// Those of umount2(2).
pub fn detach(path: &CStr) -> Result<()> {
    rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .context(|| format!("unmounting {}", path.to_string_lossy()))
}
