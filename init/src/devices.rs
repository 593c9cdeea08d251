//! /dev of the container: nodes, links, and the terminal's console.

use crate::error::{Context, Error, Result};
use crate::mounts::{attach, open_source};
use crate::plan::rootfs::{ContainerPath, Device, Devices};
use crate::root::{Root, clear_name, file_type};
use alloc::ffi::CString;
use alloc::format;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

/// The links of /dev (config-linux.md, "Default Devices" and "/dev symbolic links").
const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// Makes the nodes and links.
///
/// # Errors
/// The first that cannot be made, by its place in config.json.
pub fn make_all(root: &Root, devices: &Devices) -> Result<()> {
    // The modes in config.json are final; our umask must not cut them. The process's own
    // umask is set with its user.
    let umask = rustix::process::umask(Mode::empty());
    let mut places = Places { root, last: None };
    let made = devices.nodes.iter().try_for_each(|device| {
        make(&mut places, device, devices.bind)
            .context(|| format!("{}: making {}", device.at, device.path))
    });
    rustix::process::umask(umask);
    made?;
    for (path, target) in LINKS {
        link(&mut places, path, target)?;
    }
    // There is a core only where the kernel was built with CONFIG_PROC_KCORE.
    if rustix::fs::access("/proc/kcore", rustix::fs::Access::EXISTS).is_ok() {
        link(&mut places, "/dev/core", "/proc/kcore")?;
    }
    replace_ptmx(&mut places)
}

/// Where nodes go: most are in one directory, which is looked up once.
struct Places<'a> {
    root: &'a Root,
    last: Option<(ContainerPath, OwnedFd)>,
}

impl Places<'_> {
    /// The directory that holds the last name of `path`, made where it is missing, and that name.
    fn of(&mut self, path: &ContainerPath) -> Result<(BorrowedFd<'_>, CString)> {
        let parent = path.parent();
        let (dir, name) = match self.last.take() {
            Some((known, dir)) if known == parent => (dir, path.name()?),
            _ => self.root.parent(path)?,
        };
        let known: &(ContainerPath, OwnedFd) = self.last.insert((parent, dir));
        Ok((known.1.as_fd(), name))
    }
}

fn make(places: &mut Places<'_>, device: &Device, bind: bool) -> Result<()> {
    let (dir, name) = places.of(&device.path)?;
    if bind {
        return bind_host_node(dir, &name, device);
    }
    match mknod(dir, &name, device) {
        Ok(()) => {}
        Err(Errno::EXIST) if is_the_node(dir, &name, device)? => return Ok(()),
        Err(Errno::EXIST) => {
            // An image's stale file must not stand in for a device that the config asks for.
            clear_name(dir, &name)?;
            mknod(dir, &name, device).context(|| "making the node")?;
        }
        // No privilege to make nodes here (a nested runtime): the host's own serves.
        Err(Errno::PERM) => return bind_host_node(dir, &name, device),
        Err(error) => return Err(Error::system("making the node", error)),
    }
    if (device.uid, device.gid) != (0, 0) {
        rustix::fs::chownat(
            dir,
            &name,
            Some(Uid::from_raw(device.uid)),
            Some(Gid::from_raw(device.gid)),
            AtFlags::SYMLINK_NOFOLLOW,
        )
        .context(|| "giving it its owner")?;
    }
    Ok(())
}

fn mknod(dir: BorrowedFd<'_>, name: &CString, device: &Device) -> rustix::io::Result<()> {
    let number = rustix::fs::makedev(device.major, device.minor);
    let kind = FileType::from_raw_mode(device.mode);
    rustix::fs::mknodat(dir, name, kind, Mode::from_raw_mode(device.mode), number)
}

fn is_the_node(dir: BorrowedFd<'_>, name: &CString, device: &Device) -> Result<bool> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
        .context(|| "looking at what is there")?;
    let same_type = FileType::from_raw_mode(stat.st_mode) == FileType::from_raw_mode(device.mode);
    let is_fifo = FileType::from_raw_mode(stat.st_mode) == FileType::Fifo;
    Ok(same_type && (is_fifo || stat.st_rdev == rustix::fs::makedev(device.major, device.minor)))
}

/// Puts the host's node of the same path where one cannot be made.
fn bind_host_node(dir: BorrowedFd<'_>, name: &CString, device: &Device) -> Result<()> {
    let source = open_source(&device.path.to_kernel()?, false)?;
    let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::PATH;
    let target = match rustix::fs::openat(dir, name, flags - OFlags::CREATE, Mode::empty()) {
        Err(Errno::NOENT) => {
            let made = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(dir, name, made, Mode::from_raw_mode(0o644))
                .context(|| "making a file to mount on")?
        }
        other => other.context(|| "opening what is there")?,
    };
    if file_type(&target).context(|| "looking at what is there")? == FileType::Symlink {
        clear_name(dir, name)?;
        return bind_host_node(dir, name, device);
    }
    attach(source, target)
}

/// Makes a symbolic link, in place of what the image has there.
fn link(places: &mut Places<'_>, path: &str, target: &str) -> Result<()> {
    let path = ContainerPath::new(path);
    let (dir, name) = places.of(&path)?;
    match rustix::fs::symlinkat(target, dir, &name) {
        // runc keeps what is there; a wrong one is the image's own affair.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        other => other.context(|| format!("linking {path} to {target}")),
    }
}

/// /dev/ptmx must be the container's own (config-linux.md: a link to pts/ptmx), never the host's.
fn replace_ptmx(places: &mut Places<'_>) -> Result<()> {
    let path = ContainerPath::new("/dev/ptmx");
    let (dir, name) = places.of(&path)?;
    let link = || rustix::fs::symlinkat(c"pts/ptmx", dir, &name);
    match link() {
        Err(Errno::EXIST) => {
            clear_name(dir, &name)?;
            link()
        }
        other => other,
    }
    .context(|| format!("linking {path} to pts/ptmx"))
}

/// Puts the terminal `slave` at /dev/console.
///
/// # Errors
/// Where /dev/console cannot be made or mounted on.
pub fn set_console(root: &Root, slave: BorrowedFd<'_>) -> Result<()> {
    let path = ContainerPath::new("/dev/console");
    let doing = || format!("putting the terminal at {path}");
    let (dir, name) = root.parent(&path).context(doing)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // A link here would lead the mount astray (CVE-2025-52565, CVE-2026-88264).
    if let Ok(present) = rustix::fs::openat(&dir, &name, flags, Mode::empty())
        && file_type(&present).context(doing)? == FileType::Symlink
    {
        clear_name(dir.as_fd(), &name).context(doing)?;
    }
    let target = open_or_make_file(&dir, &name).context(doing)?;
    let flags = rustix::mount::OpenTreeFlags::OPEN_TREE_CLONE
        | rustix::mount::OpenTreeFlags::OPEN_TREE_CLOEXEC
        | rustix::mount::OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(slave, c"", flags).context(doing)?;
    attach(tree, target).context(doing)
}

fn open_or_make_file(dir: &OwnedFd, name: &CString) -> rustix::io::Result<OwnedFd> {
    let made = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    match rustix::fs::openat(dir, name, made, Mode::from_raw_mode(0o600)) {
        Err(Errno::EXIST) => rustix::fs::openat(
            dir,
            name,
            OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
        ),
        other => other,
    }
}

/// Opens the container's own /dev/null, where it has one that really is one.
pub fn open_null(root: &Root) -> Option<OwnedFd> {
    let (dir, name) = root.parent(&ContainerPath::new("/dev/null")).ok()?;
    let flags =
        OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    // Looked at before it is opened for real: opening a stranger's device may do things.
    let seen = rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if !is_null(&seen) {
        return None;
    }
    let null = rustix::fs::openat(&dir, &name, flags, Mode::empty()).ok()?;
    is_null(&rustix::fs::fstat(&null).ok()?).then_some(null)
}

/// Whether this is the null device, 1:3.
pub fn is_null(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice
        && stat.st_rdev == rustix::fs::makedev(1, 3)
}

/// Opens the multiplexer of the container's own devpts.
///
/// # Errors
/// Where it has none.
pub fn open_pts_ptmx(root: &Root) -> Result<OwnedFd> {
    let path = ContainerPath::new("/dev/pts/ptmx");
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    root.open_without_links(&path, flags)
        .context(|| format!("opening {path}"))
        .map_err(|error| error.hint("a terminal needs a mount of type devpts at /dev/pts"))
}
