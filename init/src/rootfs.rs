//! The container's view of files, from the mount namespace to the switch of the root.

use crate::error::{Context, Result};
use crate::hooks::{self, Status};
use crate::plan::Plan;
use crate::plan::mounts::Attributes;
use crate::plan::rootfs::{ContainerPath, Propagation, PropagationKind, Rootfs, Switch};
use crate::root::{Root, Want};
use crate::wire::{FromInit, Wire};
use crate::{console, devices, here, masks, mounts};
use alloc::format;
use core::ffi::CStr;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, OpenTreeFlags};

/// Sets up the rootfs and switches to it.
///
/// # Errors
/// The step that fails, by its place in config.json.
pub fn set_up(rootfs: &Rootfs, plan: &Plan, wire: &Wire) -> Result<()> {
    let root = open(rootfs, wire)?;
    let deferred = mounts::make_all(&root, &rootfs.mounts, wire)?;
    if let Some(nodes) = &rootfs.devices {
        devices::make_all(&root, nodes)?;
    }
    root.open_or_create(
        &ContainerPath::new(&plan.process.cwd.to_string_lossy()),
        Want::Directory,
    )
    .context(|| "process.cwd")?;
    run_hooks(&root, plan, wire)?;
    allocate_terminal(&root, plan, wire)?;
    console::reopen_null(&root)?;
    mounts::finish(deferred)?;
    masks::make_all(&root, rootfs)?;
    if rootfs.readonly {
        mounts::apply(&root, Attributes::READ_ONLY, false).context(|| "root.readonly")?;
    }
    switch(&root, rootfs)
}

/// For a process that has joined the container's mount namespace: its root is the container's.
///
/// # Errors
/// Where a terminal is wanted and cannot be had.
pub fn join(plan: &Plan, wire: &Wire) -> Result<()> {
    let root = Root::own()?;
    allocate_terminal(&root, plan, wire)?;
    console::reopen_null(&root)
}

fn allocate_terminal(root: &Root, plan: &Plan, wire: &Wire) -> Result<()> {
    let Some(terminal) = plan.terminal else {
        return Ok(());
    };
    let slave = console::allocate(root, terminal, wire)?;
    if plan.rootfs.is_some() {
        devices::set_console(root, slave.as_fd())?;
    }
    console::install(slave.as_fd())
}

/// The hooks before pivot_root: those of the runtime's namespace, then those of the container's.
fn run_hooks(root: &Root, plan: &Plan, wire: &Wire) -> Result<()> {
    if plan.hooks.in_runtime {
        wire.send(&FromInit::RuntimeHooks, &[])?;
        wire.await_continue()?;
    }
    let Some(state) = &plan.hooks.state else {
        return Ok(());
    };
    // Those that runc runs find the rootfs in their working directory.
    rustix::process::fchdir(root).context(|| "entering the rootfs")?;
    hooks::run(&plan.hooks.create_container, &here(state, Status::Creating))
}

/// Opens the rootfs as a mount of its own.
fn open(rootfs: &Rootfs, wire: &Wire) -> Result<Root> {
    let doing = || format!("root.path: opening {}", rootfs.path.to_string_lossy());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place = rustix::fs::open(rootfs.path.as_c_str(), flags, Mode::empty()).context(doing)?;
    // Without a mount namespace these mounts are the host's, whose propagation is not ours to
    // change; they are unmounted when the container is deleted.
    if rootfs.switch != Switch::Chroot {
        let host = Propagation::of_host_mounts(rootfs.propagation);
        mounts::propagate(open_host_root()?, &[host]).context(|| "linux.rootfsPropagation")?;
        if host.kind == PropagationKind::Shared {
            make_parent_private(&place)?;
        }
    }
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = if rootfs.made_by_parent {
        wire.send(&FromInit::RootMount, &[])?;
        wire.await_descriptor()?
    } else {
        rustix::mount::open_tree(&place, c"", flags).context(doing)?
    };
    mounts::attach(&tree, &place).context(doing)?;
    Ok(Root::new(tree))
}

fn open_host_root() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(c"/", flags, Mode::empty()).context(|| "opening /")
}

/// pivot_root(2) refuses a new root whose parent mount is shared, and a shared one would carry
/// the bind of the rootfs to the host. The mount that holds the rootfs is found by going up
/// until the kernel says that a directory is the root of one.
fn make_parent_private(place: &OwnedFd) -> Result<()> {
    let private = [Propagation {
        kind: PropagationKind::Private,
        recursive: false,
    }];
    let mut dir = place.try_clone().context(|| "opening the rootfs")?;
    loop {
        match mounts::propagate(&dir, &private) {
            Err(error) if error.errno() == Some(Errno::INVAL) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                dir = rustix::fs::openat(&dir, c"..", flags, Mode::empty())
                    .context(|| "looking for the mount that holds the rootfs")?;
            }
            other => return other.context(|| "making the mount that holds the rootfs private"),
        }
    }
}

fn switch(root: &Root, rootfs: &Rootfs) -> Result<()> {
    rustix::process::fchdir(root).context(|| "entering the rootfs")?;
    match rootfs.switch {
        Switch::Pivot => pivot()?,
        Switch::Move => {
            for path in &rootfs.kernel_mounts {
                take_away(path)?;
            }
            mounts::attach(root, open_host_root()?).context(|| "moving the rootfs over /")?;
            rustix::process::chroot(c".").context(|| "chroot")?;
        }
        Switch::Chroot => rustix::process::chroot(c".").context(|| "chroot")?,
    }
    rustix::process::chdir(c"/").context(|| "entering the container's /")?;
    match rootfs.propagation {
        Some(wanted) if rootfs.switch != Switch::Chroot => {
            mounts::propagate(root, &[wanted]).context(|| "linux.rootfsPropagation")
        }
        _ => Ok(()),
    }
}

/// Takes a mount out of this namespace; where that is not allowed, as in a user namespace, covers it.
fn take_away(path: &CStr) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let doing = || format!("looking at the host's {}", path.to_string_lossy());
    let mount = match rustix::fs::open(path, flags, Mode::empty()) {
        // It went with the one that it was mounted in.
        Err(Errno::NOENT) => return Ok(()),
        opened => opened.context(doing)?,
    };
    // Else it would go from the host as well, or what is mounted in it.
    let parent = rustix::fs::openat(&mount, c"..", flags, Mode::empty()).context(doing)?;
    make_parent_private(&parent)?;
    let private = Propagation {
        kind: PropagationKind::Private,
        recursive: true,
    };
    match mounts::propagate(&mount, &[private]) {
        // No longer a mount.
        Err(error) if error.errno() == Some(Errno::INVAL) => return Ok(()),
        other => other.context(doing)?,
    }
    match mounts::detach(path) {
        Err(error) if matches!(error.errno(), Some(Errno::INVAL | Errno::PERM)) => {
            rustix::mount::mount(c"tmpfs", path, c"tmpfs", MountFlags::RDONLY, None)
                .context(|| format!("covering the host's {}", path.to_string_lossy()))
        }
        other => other,
    }
}

/// pivot_root(2) with the old root on top of the new one, unmounted from there: no directory
/// for it is needed in the rootfs.
fn pivot() -> Result<()> {
    let old = open_host_root()?;
    rustix::process::pivot_root(c".", c".")
        .context(|| "pivot_root")
        .map_err(|error| match error.errno() {
            Some(Errno::INVAL) => error.hint("a root on ramfs cannot be pivoted: use --no-pivot"),
            _ => error,
        })?;
    // Else a shared tree would be unmounted on the host as well.
    mounts::propagate(
        &old,
        &[Propagation {
            kind: PropagationKind::Slave,
            recursive: true,
        }],
    )
    .context(|| "cutting off the old root")?;
    rustix::process::fchdir(&old).context(|| "entering the old root")?;
    // Where something was mounted over the old root, that goes first; and none may stay: a
    // process that joins the namespace would find itself in the topmost.
    let mut detached = false;
    loop {
        match mounts::detach(c".") {
            Ok(()) => detached = true,
            Err(error) if detached && error.errno() == Some(Errno::INVAL) => return Ok(()),
            Err(error) => return Err(error.context("leaving the old root")),
        }
    }
}
