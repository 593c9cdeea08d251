//! seccomp(2): attaching a filter to this process.

use super::call::call;
use linux_raw_sys::general::__NR_seccomp;
use linux_raw_sys::ptrace::SECCOMP_FILTER_FLAG_NEW_LISTENER;
use rustix::fd::{FromRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, Result};
use serde::{Deserialize, Serialize};

/// `SECCOMP_SET_MODE_FILTER`.
const SET_MODE_FILTER: usize = 1;

/// `struct sock_fprog` of seccomp(2).
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// One instruction of classic BPF, laid out as the kernel's `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How many instructions a jump skips where its condition holds.
    pub jt: u8,
    /// How many where it does not.
    pub jf: u8,
    /// Its operand.
    pub k: u32,
}

/// Attaches a filter to this process; with `SECCOMP_FILTER_FLAG_NEW_LISTENER` among `flags`
/// returns the descriptor of its notifications.
///
/// # Errors
/// `EACCES` without no_new_privs and CAP_SYS_ADMIN; `EINVAL` for a program or flag that the
/// kernel does not take.
pub fn attach(program: &[Instruction], flags: u32) -> Result<Option<OwnedFd>> {
    let program = Program {
        length: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        instructions: program.as_ptr(),
    };
    let address = (&raw const program).expose_provenance();
    // SAFETY: `Instruction` has the layout of `sock_filter`; program and struct outlive the call,
    // and are only read.
    let result = unsafe { call(__NR_seccomp, [SET_MODE_FILTER, flags as usize, address]) }?;
    if flags & SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    let fd = RawFd::try_from(result).map_err(|_| Errno::BADF)?;
    // SAFETY: with this flag the result is a new descriptor, which nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Whether this kernel knows all of these flags.
pub fn knows_flags(flags: u32) -> bool {
    // SAFETY: the null pointer makes the kernel stop with EFAULT, after it has looked at the
    // flags and before it changes anything.
    let probed = unsafe { call(__NR_seccomp, [SET_MODE_FILTER, flags as usize, 0]) };
    probed == Err(Errno::FAULT)
}
