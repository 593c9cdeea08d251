//! The init stage as a program: what std would bring. All else is in the library.

#![no_std]
#![no_main]

use core::panic::PanicInfo;
use tare_init::sys::memory::Bump;

#[global_allocator]
static MEMORY: Bump = Bump::new();

/// A mistake of ours: the parent sees the process end, and finds on stderr where it was.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    tare_init::panicked(info)
}
