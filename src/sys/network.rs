//! The loopback device of a new network namespace, and netlink sockets.

use super::check;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Brings `lo` of the current network namespace up.
///
/// # Errors
/// Those of netdevice(7)'s ioctls.
pub fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: an all-zero ifreq is a valid, empty request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is initialised and outlives the call.
    check(
        unsafe {
            libc::ioctl(
                socket.as_raw_fd(),
                libc::SIOCSIFFLAGS as _,
                &raw const request,
            )
        }
        .into(),
    )
    .map(drop)
}

/// Has the kernel say in words why it refuses what a netlink socket asks (Linux 4.12), and not
/// repeat the request to it. A kernel that cannot do so refuses in numbers.
pub fn explain_refusals(socket: impl AsFd) {
    let yes: libc::c_int = 1;
    for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
        // SAFETY: the value is an initialised int that outlives the call.
        unsafe {
            libc::setsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_NETLINK,
                option,
                (&raw const yes).cast(),
                size_of_val(&yes) as libc::socklen_t,
            )
        };
    }
}
