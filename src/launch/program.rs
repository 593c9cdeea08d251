//! The init stage's program, carried in this binary, as a file that can be executed and that
//! nobody can change.
//!
//! A process in the container can reach the executable of whatever enters it through
//! /proc/PID/exe (CVE-2019-5736). What it finds is neither this binary nor any other file of the
//! host's, but a copy in memory, which is sealed, and which this one container sees: not even a
//! kernel that writes where it should not (CVE-2022-0847) takes it to anything of the host's.

use crate::error::{Context, Error, Result};
use crate::files;
use crate::init::mounts::new_mount;
use crate::plan::mounts::{Attributes, FileSystem};
use crate::sys::mount::{Change, set_attributes};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// The program, as build.rs built it.
static PROGRAM: &[u8] = include_bytes!(env!("TARE_INIT_PROGRAM"));

/// A file that holds the program.
///
/// # Errors
/// Where there is none to be had.
pub fn file() -> Result<OwnedFd> {
    match sealed() {
        // The sysctl vm.memfd_noexec.
        Err(Errno::ACCESS) => on_a_tmpfs(),
        other => other.context(|| "making the init stage's program"),
    }
}

fn sealed() -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // The kernel wants to be told that it may be executed (Linux 6.3); older ones do not know.
    let file = match rustix::fs::memfd_create(c"tare-init", flags | MemfdFlags::EXEC) {
        Err(Errno::INVAL) => rustix::fs::memfd_create(c"tare-init", flags)?,
        other => other?,
    };
    files::write_all(&file, PROGRAM)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file)
}

/// Where no file in memory may be executed: one in a file system of its own that
/// is attached nowhere, and read-only as soon as the program is in it.
fn on_a_tmpfs() -> Result<OwnedFd> {
    let doing = || "making the init stage's program on a tmpfs of its own";
    let unprivileged = |error: Error| match error.errno() {
        Some(Errno::PERM) => error.hint("vm.memfd_noexec=2 leaves an ordinary user no other way"),
        _ => error,
    };
    let fs = FileSystem {
        kind: "tmpfs".into(),
        source: "tare-init".into(),
        options: Vec::new(),
        copy_up: false,
    };
    let root = new_mount(&fs, Attributes::default())
        .context(doing)
        .map_err(unprivileged)?;
    let flags = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mode = Mode::RUSR | Mode::XUSR;
    let name = c"tare-init";
    let made = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let written = rustix::fs::openat(&root, name, made, mode).context(doing)?;
    files::write_all(&written, PROGRAM).context(doing)?;
    // What is open to be written is not executed, and keeps its mount from being read-only.
    drop(written);
    let change = Change {
        set: Attributes::READ_ONLY.set,
        ..Change::default()
    };
    set_attributes(&root, change, false).context(doing)?;
    rustix::fs::openat(&root, name, flags | OFlags::RDONLY, Mode::empty()).context(doing)
}
