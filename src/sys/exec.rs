//! Executing programs, and which descriptors they get.

use super::check;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// A NULL-terminated array of pointers into `strings`, as execve(2) wants it.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain(std::iter::once(std::ptr::null()))
        .collect()
}

/// execve(2). Returns only where it fails.
pub fn execve(path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: path and both arrays are NUL- and NULL-terminated and outlive the call.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// Executes the file that `program` is open on: execveat(2) with an empty path.
/// Returns only where it fails.
pub fn execve_fd(program: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> io::Error {
    let (argv, envp) = (pointers(args), pointers(env));
    // SAFETY: the empty path and both arrays are terminated and outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Marks every descriptor from `first` up close-on-exec.
///
/// close_range(2) knows `CLOSE_RANGE_CLOEXEC` from Linux 5.11; before, the descriptors are
/// marked one by one from the list in /proc/self/fd.
///
/// # Errors
/// Those of close_range(2), or of reading /proc/self/fd on an older kernel.
pub fn cloexec_from(first: RawFd) -> io::Result<()> {
    let first =
        libc::c_uint::try_from(first).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: no memory is passed; marking descriptors close-on-exec closes none of them.
    let marked = check(unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    });
    match marked {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => {
            cloexec_one_by_one(first)
        }
        other => other.map(drop),
    }
}

fn cloexec_one_by_one(first: libc::c_uint) -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        let Some(fd) = name.to_str().and_then(|n| n.parse::<libc::c_int>().ok()) else {
            continue;
        };
        if i64::from(fd) >= i64::from(first) {
            // SAFETY: F_SETFD on a number that may be closed already fails with EBADF, harmlessly.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Closes every descriptor from `first` up, but for `kept`.
///
/// For a process that was just executed and owns no descriptor yet but `kept`: what is closed
/// was inherited, and no value of this program refers to it.
///
/// # Errors
/// Those of reading /proc/self/fd, where close_range(2) is missing (Linux before 5.9).
pub fn close_all_but(first: RawFd, kept: RawFd) -> io::Result<()> {
    let close = |from: RawFd, to: libc::c_uint| {
        let from = libc::c_uint::try_from(from).unwrap_or(libc::c_uint::MAX);
        if from > to {
            return Ok(0);
        }
        // SAFETY: no memory is passed; the caller says that nothing owns these descriptors.
        check(unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) })
    };
    let below = libc::c_uint::try_from(kept)
        .map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?
        .wrapping_sub(1);
    let closed = close(first, below).and_then(|_| close(kept + 1, libc::c_uint::MAX));
    match closed {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => close_one_by_one(first, kept),
        other => other.map(drop),
    }
}

fn close_one_by_one(first: RawFd, kept: RawFd) -> io::Result<()> {
    let mut open = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        open.extend(
            entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<RawFd>().ok()),
        );
    }
    for fd in open.into_iter().filter(|&fd| fd >= first && fd != kept) {
        // SAFETY: as above; the number of the directory just read fails with EBADF, harmlessly.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Takes ownership of a descriptor that was handed to this process by number.
///
/// # Errors
/// `EBADF` where no such descriptor is open, or where it is one of stdin, stdout and stderr.
pub fn adopt(fd: RawFd) -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    if fd <= libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: no memory is passed; a closed number fails.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    // SAFETY: it is open, and by the protocol of the caller's command line nobody else in
    // this freshly executed process owns it.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
}

/// Ends this process at once: no destructor and no exit handler of the parent it was copied
/// from may run in it.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(status) }
}
