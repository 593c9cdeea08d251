//! The protected copy of our own binary that the init stage is executed from.
//!
//! A process in the container can reach the init stage's executable through /proc/PID/exe. It
//! must not be able to open it for writing (CVE-2019-5736): what it finds there is not the
//! host's file, but the file through a read-only mount that is attached nowhere, so that
//! nobody can make it writable again. That costs next to nothing. Where it cannot be made
//! (Linux before 5.12, or no CAP_SYS_ADMIN) a sealed copy in memory does, at the price of
//! copying the binary.

use crate::error::{Context, Result};
use crate::sys::mount::{Change, set_attributes};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mount::OpenTreeFlags;
use std::fs::File;
use std::os::fd::OwnedFd;

/// Opens the protected copy.
///
/// # Errors
/// Where neither way works.
pub fn protected() -> Result<OwnedFd> {
    match read_only_mount() {
        Ok(program) => Ok(program),
        Err(error) => {
            log::debug!("no read-only mount of our own binary ({error}); copying it");
            sealed_copy()
        }
    }
}

fn read_only_mount() -> std::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let program = rustix::mount::open_tree(rustix::fs::CWD, c"/proc/self/exe", flags)?;
    let change = Change {
        set: libc::MOUNT_ATTR_RDONLY,
        ..Change::default()
    };
    set_attributes(&program, change, false)?;
    Ok(program)
}

fn sealed_copy() -> Result<OwnedFd> {
    let doing = || "copying our own binary into memory";
    let mut binary = File::open("/proc/self/exe").context(doing)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // The kernel wants to be told that it may be executed (Linux 6.3); older ones do not know.
    let copy = rustix::fs::memfd_create(c"tare", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(c"tare", flags))
        .context(doing)?;
    let mut copy = File::from(copy);
    std::io::copy(&mut binary, &mut copy).context(doing)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&copy, seals).context(doing)?;
    Ok(copy.into())
}
