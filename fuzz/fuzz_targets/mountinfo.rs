//! Paths of the mount table, which hold whatever names others have given to their directories.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::os::unix::ffi::OsStrExt;
use tare::mountinfo;

/// As the kernel does it (fs/seq_file.c, `mangle_path`).
fn escaped(path: &[u8]) -> Vec<u8> {
    let escape = |&byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        _ => vec![byte],
    };
    path.iter().flat_map(escape).collect()
}

fuzz_target!(|path: &[u8]| {
    assert_eq!(mountinfo::path(&escaped(path)).as_os_str().as_bytes(), path);
    assert!(mountinfo::path(path).as_os_str().len() <= path.len());
});
