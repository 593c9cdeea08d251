//! The clock, by a plain system call: rustix takes it from the vDSO, and aborts where the kernel
//! gives none (user-mode Linux).

use super::call::call;
use core::time::Duration;
use linux_raw_sys::general::{__NR_clock_gettime, __kernel_timespec, CLOCK_MONOTONIC};

/// The time since some moment in the past; it never goes back.
pub fn monotonic() -> Duration {
    let mut now = __kernel_timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let to = (&raw mut now).expose_provenance();
    // SAFETY: `now` is what the kernel writes, and outlives the call.
    let result = unsafe { call(__NR_clock_gettime, [CLOCK_MONOTONIC as usize, to]) };
    debug_assert!(result.is_ok(), "every Linux has this clock");
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
