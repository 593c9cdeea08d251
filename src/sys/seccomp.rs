//! seccomp(2): attaching a filter to this process.

use super::check;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// `SECCOMP_SET_MODE_FILTER`.
const SET_MODE_FILTER: libc::c_uint = 1;

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
pub fn attach(program: &[Instruction], flags: u32) -> io::Result<Option<OwnedFd>> {
    let program_of_c = libc::sock_fprog {
        len: u16::try_from(program.len())
            .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?,
        // The kernel only reads it.
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `Instruction` has the layout of `sock_filter`; program and struct outlive the call.
    let result = check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            flags,
            &raw const program_of_c,
        )
    })?;
    if u64::from(flags) & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    let fd = RawFd::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: with this flag the result is a new descriptor, which nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Whether this kernel knows all of these flags.
pub fn knows_flags(flags: u32) -> bool {
    // SAFETY: the null pointer makes the kernel stop with EFAULT, after it has looked at the
    // flags and before it changes anything.
    let probed = check(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            flags,
            std::ptr::null::<libc::sock_fprog>(),
        )
    });
    probed.is_err_and(|error| error.raw_os_error() == Some(libc::EFAULT))
}
