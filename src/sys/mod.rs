//! Every system call the crates lack, and all of the `unsafe`: one file per family.
//!
//! What is here is safe to call; nothing outside this folder may say `unsafe`.

pub mod bpf;
pub mod clone;
pub mod exec;
pub mod keyring;
pub mod mount;
pub mod namespace;
pub mod network;
pub mod schedule;
pub mod seccomp;
pub mod signals;
pub mod usage;

use std::io;

/// The result of a raw system call, as libc gives it.
fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
