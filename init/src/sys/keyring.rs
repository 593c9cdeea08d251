//! Session keyrings, keyctl(2).

use super::call::call;
use core::ffi::CStr;
use linux_raw_sys::general::__NR_keyctl;
use rustix::io::{Errno, Result};

const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
const KEYCTL_SETPERM: usize = 5;
const KEYCTL_DESCRIBE: usize = 6;

/// A key's serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(usize);

/// Joins the session keyring `name`, making it where it is not there.
///
/// # Errors
/// `ENOSYS` where the kernel has no keyrings, `EDQUOT` where the user's quota of keys is used up.
pub fn join_session(name: &CStr) -> Result<Key> {
    let name = name.as_ptr().expose_provenance();
    // SAFETY: the name is NUL-terminated and outlives the call.
    unsafe { call(__NR_keyctl, [KEYCTL_JOIN_SESSION_KEYRING, name]) }.map(Key)
}

/// The permission mask of a key.
///
/// # Errors
/// Those of keyctl_describe(3).
pub fn permissions(key: Key) -> Result<u32> {
    let mut text = [0_u8; 512];
    let buffer = text.as_mut_ptr().expose_provenance();
    // SAFETY: at most `len` bytes are written to the buffer.
    let length = unsafe { call(__NR_keyctl, [KEYCTL_DESCRIBE, key.0, buffer, text.len()]) }?;
    let text = &text[..text.len().min(length)];
    // "type;uid;gid;perm;description", with perm in hexadecimal.
    core::str::from_utf8(text)
        .ok()
        .and_then(|t| t.split(';').nth(3))
        .and_then(|perm| u32::from_str_radix(perm, 16).ok())
        .ok_or(Errno::BADMSG)
}

/// Sets the permission mask of a key.
///
/// # Errors
/// Those of keyctl_setperm(3).
pub fn set_permissions(key: Key, mask: u32) -> Result<()> {
    // SAFETY: no memory is passed.
    unsafe { call(__NR_keyctl, [KEYCTL_SETPERM, key.0, mask as usize]) }.map(drop)
}
