//! Netlink sockets.

use std::os::fd::{AsFd, AsRawFd};

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
