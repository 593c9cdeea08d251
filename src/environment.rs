//! The environment of this process.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

/// All of it, for a program that is to have it.
pub fn own() -> Vec<CString> {
    std::env::vars_os()
        .filter_map(|(name, value)| {
            CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok()
        })
        .collect()
}
