//! Executing programs, and which descriptors they get.

use super::call::call;
use alloc::ffi::CString;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};
use linux_raw_sys::general::{
    __NR_close, __NR_close_range, __NR_execve, __NR_execveat, __NR_exit_group, __NR_fcntl,
    AT_EMPTY_PATH, F_SETFD, FD_CLOEXEC,
};
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::fs::{Dir, Mode, OFlags};
use rustix::io::{Errno, Result};

/// `CLOSE_RANGE_CLOEXEC` of close_range(2).
const CLOSE_RANGE_CLOEXEC: usize = 1 << 2;

/// A NULL-terminated array of pointers into `strings`, as execve(2) wants it.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain(core::iter::once(core::ptr::null()))
        .collect()
}

/// execve(2). Returns only where it fails.
pub fn execve(path: &CStr, args: &[CString], env: &[CString]) -> Errno {
    let (argv, envp) = (pointers(args), pointers(env));
    let arguments = [
        path.as_ptr().expose_provenance(),
        argv.as_ptr().expose_provenance(),
        envp.as_ptr().expose_provenance(),
    ];
    // SAFETY: path and both arrays are NUL- and NULL-terminated and outlive the call.
    refusal(unsafe { call(__NR_execve, arguments) })
}

/// Executes the file that `program` is open on: execveat(2) with an empty path.
/// Returns only where it fails.
pub fn execve_fd(program: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> Errno {
    let (argv, envp) = (pointers(args), pointers(env));
    let arguments = [
        program.as_raw_fd() as usize,
        c"".as_ptr().expose_provenance(),
        argv.as_ptr().expose_provenance(),
        envp.as_ptr().expose_provenance(),
        AT_EMPTY_PATH as usize,
    ];
    // SAFETY: the empty path and both arrays are terminated and outlive the call.
    refusal(unsafe { call(__NR_execveat, arguments) })
}

/// The error of a call that does not return when it succeeds.
fn refusal(result: Result<usize>) -> Errno {
    result.err().unwrap_or(Errno::NOSYS)
}

/// Marks every descriptor from `first` up close-on-exec.
///
/// close_range(2) knows `CLOSE_RANGE_CLOEXEC` from Linux 5.11; before, the descriptors are
/// marked one by one from the list in /proc/self/fd.
///
/// # Errors
/// Those of close_range(2), or of reading /proc/self/fd on an older kernel.
pub fn cloexec_from(first: RawFd) -> Result<()> {
    let from = u32::try_from(first).map_err(|_| Errno::BADF)? as usize;
    // SAFETY: no memory is passed; marking descriptors close-on-exec closes none of them.
    match unsafe {
        call(
            __NR_close_range,
            [from, u32::MAX as usize, CLOSE_RANGE_CLOEXEC],
        )
    } {
        Err(Errno::NOSYS | Errno::INVAL) => {
            for fd in open_descriptors()?.into_iter().filter(|&fd| fd >= first) {
                // A number that is closed already fails with EBADF, harmlessly.
                let _ = set_cloexec(fd);
            }
            Ok(())
        }
        other => other.map(drop),
    }
}

/// The numbers of all open descriptors.
fn open_descriptors() -> Result<Vec<RawFd>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(c"/proc/self/fd", flags, Mode::empty())?;
    let mut open = Vec::new();
    for entry in Dir::new(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_str().unwrap_or_default();
        open.extend(name.parse::<RawFd>().ok());
    }
    Ok(open)
}

fn set_cloexec(fd: RawFd) -> Result<()> {
    // SAFETY: no memory is passed; a closed number fails.
    unsafe {
        call(
            __NR_fcntl,
            [fd as usize, F_SETFD as usize, FD_CLOEXEC as usize],
        )
    }
    .map(drop)
}

/// Closes every descriptor from `first` up, but for `kept`.
///
/// For a process that was just executed and owns no descriptor yet but `kept`: what is closed
/// was inherited, and no value of this program refers to it.
///
/// # Errors
/// Those of reading /proc/self/fd, where close_range(2) is missing (Linux before 5.9).
pub fn close_all_but(first: RawFd, kept: RawFd) -> Result<()> {
    let close = |from: RawFd, to: u32| {
        let from = u32::try_from(from).unwrap_or(u32::MAX);
        if from > to {
            return Ok(0);
        }
        // SAFETY: no memory is passed; the caller says that nothing owns these descriptors.
        unsafe { call(__NR_close_range, [from as usize, to as usize, 0]) }
    };
    let below = u32::try_from(kept)
        .map_err(|_| Errno::BADF)?
        .wrapping_sub(1);
    match close(first, below).and_then(|_| close(kept + 1, u32::MAX)) {
        Err(Errno::NOSYS) => close_one_by_one(first, kept),
        other => other.map(drop),
    }
}

fn close_one_by_one(first: RawFd, kept: RawFd) -> Result<()> {
    let open = open_descriptors()?;
    for fd in open.into_iter().filter(|&fd| fd >= first && fd != kept) {
        // SAFETY: as above; the number of the directory just read fails with EBADF, harmlessly.
        let _ = unsafe { call(__NR_close, [fd as usize]) };
    }
    Ok(())
}

/// Takes ownership of a descriptor that was handed to this process by number.
///
/// # Errors
/// `EBADF` where no such descriptor is open, or where it is one of stdin, stdout and stderr.
pub fn adopt(fd: RawFd) -> Result<OwnedFd> {
    if fd <= 2 {
        return Err(Errno::BADF);
    }
    set_cloexec(fd)?;
    // SAFETY: it is open, and by the protocol of the caller's command line nobody else in
    // this freshly executed process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Ends this process at once: no destructor and no exit handler of the parent it was copied
/// from may run in it.
pub fn exit_now(status: i32) -> ! {
    loop {
        // SAFETY: it returns where a seccomp filter refuses it, and has done nothing then.
        let _ = unsafe { call(__NR_exit_group, [status as usize]) };
        fault();
    }
}

/// Raises a fault, which no seccomp filter refuses, and by which the kernel ends even the first
/// process of a pid namespace.
fn fault() {
    // SAFETY: it touches nothing, and no handler of ours returns from it.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        core::arch::asm!("ud2", options(nomem, nostack));
    }
    // SAFETY: it touches nothing, and no handler of ours returns from it.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        core::arch::asm!("udf #0", options(nomem, nostack));
    }
}
