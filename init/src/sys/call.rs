//! The system call instruction, for calls that rustix has no function for.

use core::arch::asm;
use rustix::io::{Errno, Result};

/// Makes system call `number`, one of `__NR_*`. Arguments that it does not take are ignored.
///
/// # Safety
/// The call must be sound with these arguments: what they point to is as the kernel reads and
/// writes it, and no descriptor is closed, nor memory changed, that a value of this program owns.
pub unsafe fn call<const N: usize>(number: u32, arguments: [usize; N]) -> Result<usize> {
    const { assert!(N <= 6) };
    let mut all = [0; 6];
    all[..N].copy_from_slice(&arguments);
    // SAFETY: the caller's promise.
    let result = unsafe { raw(number as usize, all) };
    // The kernel returns its errors as -4095 to -1.
    match i32::try_from(result) {
        Ok(code @ -4095..=-1) => Err(Errno::from_raw_os_error(-code)),
        _ => Ok(result as usize),
    }
}

#[cfg(target_arch = "x86_64")]
unsafe fn raw(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let result;
    // SAFETY: the kernel preserves all registers but these (syscall(2), "Architecture calling
    // conventions"); what it does with memory is the caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn raw(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> isize {
    let result;
    // SAFETY: the kernel preserves all registers but the result's; what it does with memory is
    // the caller's promise.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, in("x5") f,
            options(nostack),
        );
    }
    result
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("tare knows how x86_64 and aarch64 call the kernel and begin a program");
