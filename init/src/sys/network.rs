//! The loopback device of a new network namespace.

use super::call::call;
use linux_raw_sys::general::__NR_ioctl;
use linux_raw_sys::ioctl::SIOCSIFFLAGS;
use rustix::fd::AsRawFd;
use rustix::io::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

/// `IFF_UP` and `IFF_RUNNING` of netdevice(7).
const UP_AND_RUNNING: i16 = 1 | 1 << 6;

/// `struct ifreq` of netdevice(7), with the flags out of its union.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// Brings `lo` of the current network namespace up.
///
/// # Errors
/// Those of netdevice(7)'s ioctls.
pub fn loopback_up() -> Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut request = Request {
        name: [0; 16],
        flags: UP_AND_RUNNING,
        rest: [0; 22],
    };
    request.name[..2].copy_from_slice(b"lo");
    let arguments = [
        socket.as_raw_fd() as usize,
        SIOCSIFFLAGS as usize,
        (&raw const request).expose_provenance(),
    ];
    // SAFETY: the request is as long as the kernel's, initialised, and outlives the call.
    unsafe { call(__NR_ioctl, arguments) }.map(drop)
}
