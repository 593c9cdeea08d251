//! How the program begins, as the kernel leaves it after execve(2).

use core::arch::naked_asm;
use core::ffi::{CStr, c_char};

/// Where the kernel begins: the stack holds the number of arguments, then pointers to them.
///
/// # Safety
/// For the kernel alone.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    // The ABI wants the stack aligned to 16 bytes at a call, and no frame above the first.
    #[cfg(target_arch = "x86_64")]
    naked_asm!(
        "xor ebp, ebp",
        "mov rdi, rsp",
        "and rsp, -16",
        "call {begin}",
        begin = sym begin,
    );
    #[cfg(target_arch = "aarch64")]
    naked_asm!(
        "mov x29, #0",
        "mov x30, #0",
        "mov x0, sp",
        "and x9, x0, #-16",
        "mov sp, x9",
        "bl {begin}",
        begin = sym begin,
    );
}

/// # Safety
/// `stack` is the stack as the kernel makes it (execve(2)).
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the first word is the number of arguments, and as many pointers to strings
    // follow it, which live as long as the process.
    let arguments =
        unsafe { core::slice::from_raw_parts(stack.add(1).cast::<*const c_char>(), *stack) };
    let argument = |index: usize| {
        let &at = arguments.get(index)?;
        // SAFETY: as above.
        Some(unsafe { CStr::from_ptr(at) })
    };
    crate::run(argument)
}
