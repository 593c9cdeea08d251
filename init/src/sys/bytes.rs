//! The functions on bytes that compiled code calls of itself and a C library would bring.
//!
//! Reads and writes are volatile, or assembly: else the compiler would see in a loop that
//! copies the very function that the loop is in.

use core::ffi::{c_char, c_int};

/// # Safety
/// As C has it: `from` is readable and `to` writable for `length` bytes, which do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe { copy_forward(to, from, length) };
    to
}

/// # Safety
/// As C has it: `from` is readable and `to` writable for `length` bytes, which may overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // Forward where `to` lies before `from`, or beyond its end.
    if to.addr().wrapping_sub(from.addr()) >= length {
        // SAFETY: the caller's promise.
        unsafe { copy_forward(to, from, length) };
        return to;
    }
    for index in (0..length).rev() {
        // SAFETY: the caller's promise; a byte is read before anything is written over it.
        unsafe {
            to.add(index)
                .write_volatile(from.add(index).read_volatile())
        };
    }
    to
}

/// # Safety
/// As C has it: `at` is writable for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(at: *mut u8, byte: c_int, length: usize) -> *mut u8 {
    // SAFETY: the caller's promise. C's int is cut to a byte.
    unsafe { fill(at, byte as u8, length) };
    at
}

/// # Safety
/// As C has it: both are readable for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> c_int {
    for index in 0..length {
        // SAFETY: the caller's promise.
        let (a, b) = unsafe {
            (
                one.add(index).read_volatile(),
                other.add(index).read_volatile(),
            )
        };
        if a != b {
            return c_int::from(a) - c_int::from(b);
        }
    }
    0
}

/// # Safety
/// As [`memcmp`].
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { memcmp(one, other, length) }
}

/// # Safety
/// As C has it: `string` ends with a NUL.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const c_char) -> usize {
    let mut length = 0;
    // SAFETY: the caller's promise.
    while unsafe { string.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}

/// # Safety
/// As [`memcpy`]; where they overlap, `to` lies before `from`.
#[cfg(target_arch = "x86_64")]
unsafe fn copy_forward(to: *mut u8, from: *const u8, length: usize) {
    // SAFETY: the caller's promise; the direction flag is clear by the ABI.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") length => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
/// As [`memset`].
#[cfg(target_arch = "x86_64")]
unsafe fn fill(at: *mut u8, byte: u8, length: usize) {
    // SAFETY: the caller's promise; the direction flag is clear by the ABI.
    unsafe {
        core::arch::asm!(
            "rep stosb",
            inout("rcx") length => _, inout("rdi") at => _, in("al") byte,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
/// As [`memcpy`]; where they overlap, `to` lies before `from`.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn copy_forward(to: *mut u8, from: *const u8, length: usize) {
    for index in 0..length {
        // SAFETY: the caller's promise.
        unsafe {
            to.add(index)
                .write_volatile(from.add(index).read_volatile())
        };
    }
}

/// # Safety
/// As [`memset`].
#[cfg(not(target_arch = "x86_64"))]
unsafe fn fill(at: *mut u8, byte: u8, length: usize) {
    for index in 0..length {
        // SAFETY: the caller's promise.
        unsafe { at.add(index).write_volatile(byte) };
    }
}
