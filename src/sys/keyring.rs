//! Session keyrings, keyctl(2).

use super::check;
use std::ffi::CStr;
use std::io;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
const KEYCTL_SETPERM: libc::c_int = 5;
const KEYCTL_DESCRIBE: libc::c_int = 6;

/// A key's serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(libc::c_long);

/// Joins the session keyring `name`, making it where it is not there.
///
/// # Errors
/// `ENOSYS` where the kernel has no keyrings, `EDQUOT` where the user's quota of keys is used up.
pub fn join_session(name: &CStr) -> io::Result<Key> {
    // SAFETY: the name is NUL-terminated and outlives the call.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) })
        .map(Key)
}

/// The permission mask of a key.
///
/// # Errors
/// Those of keyctl_describe(3).
pub fn permissions(key: Key) -> io::Result<u32> {
    let mut text = [0_u8; 512];
    // SAFETY: at most `len` bytes are written to the buffer.
    let length = check(unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_DESCRIBE,
            key.0,
            text.as_mut_ptr(),
            text.len(),
        )
    })?;
    let text = &text[..text.len().min(length as usize)];
    // "type;uid;gid;perm;description", with perm in hexadecimal.
    std::str::from_utf8(text)
        .ok()
        .and_then(|t| t.split(';').nth(3))
        .and_then(|perm| u32::from_str_radix(perm, 16).ok())
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// Sets the permission mask of a key.
///
/// # Errors
/// Those of keyctl_setperm(3).
pub fn set_permissions(key: Key, mask: u32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, key.0, mask) }).map(drop)
}
