//! Moves network devices into a container: `linux.netDevices` (config-linux.md, "Network
//! Devices", runtime-spec 1.3).
//!
//! The kernel keeps a device's MTU, hardware address and queues when it changes its network
//! namespace, and drops its addresses; those are put back here, as far as the spec says. Routes
//! are not the runtime's to move. Nor is the way back: the devices belong to the namespace, and
//! when that ends the kernel returns the physical ones and deletes the others.
//!
//! All is looked up and checked before the first device moves. Where one cannot follow all the
//! same, those already moved return home, with their addresses and their state.
//!
//! This speaks rtnetlink itself. The crates for it (rtnetlink, neli, netlink-packet-route) come
//! with an async runtime, or with types for every message there is, to say what takes four
//! messages here, and leave the socket in another namespace to their users.

mod address;
mod message;
mod netlink;

use crate::config::linux::NetDevice;
use crate::config::path::at;
use crate::error::{Code, Context, Error, Result};
use crate::sys::namespace;
use address::Address;
use message::Request;
use netlink::Socket;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// `IFNAMSIZ`, which counts the terminating NUL.
const NAME_SIZE: usize = 16;
/// `IFLA_EXT_MASK`'s bit to leave out counters, the larger part of what there is to tell.
const SKIP_STATISTICS: u32 = 1 << 3;

/// Moves `devices`, by their names in the current network namespace, into the one behind
/// `container`, and brings them up there.
///
/// # Errors
/// Where a device is not there or cannot be moved, where its new name is taken in the container,
/// or where we lack `CAP_NET_ADMIN` on either side or `CAP_SYS_ADMIN` over the container. All
/// devices are then back where they were.
pub fn move_into(devices: &BTreeMap<String, NetDevice>, container: BorrowedFd<'_>) -> Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let own = rustix::fs::open("/proc/self/ns/net", flags, Mode::empty())
        .context(|| "opening the runtime's network namespace")?;
    // Renaming a device of the host is not what anyone asked for.
    if namespace::is_ours(container, "net").context(|| "looking at a network namespace")? {
        let message = "the container has the runtime's own network namespace";
        return Err(Error::new(Code::InvalidConfig, message)
            .context("moving network devices into the container")
            .context(at!["linux", "netDevices"]));
    }
    let transfer = Transfer {
        runtime: Namespace::new(own.as_fd(), Socket::open()?),
        container: Namespace::new(container, Socket::open_in(container)?),
    };
    transfer.run(devices)
}

/// A network namespace and the socket to its devices.
struct Namespace<'fd> {
    descriptor: BorrowedFd<'fd>,
    socket: Socket,
}

/// The two sides of a move.
struct Transfer<'fd> {
    runtime: Namespace<'fd>,
    container: Namespace<'fd>,
}

/// A device that is to move.
struct Device<'config> {
    outside: &'config str,
    /// A name, or a template for one.
    inside: &'config str,
    link: Link,
    addresses: Vec<Address>,
}

/// A device that has moved, or has moved halfway, and its name in the container.
type Arrival<'a, 'config> = (&'a Device<'config>, String);

impl Transfer<'_> {
    fn run(&self, devices: &BTreeMap<String, NetDevice>) -> Result<()> {
        let mut found = Vec::new();
        for (outside, config) in devices {
            let inside = config.name.as_ref().unwrap_or(outside);
            let device = self
                .find(outside, inside)
                .map_err(|error| moving(outside, error))?;
            found.push(device);
        }
        // A template takes what the others leave.
        found.sort_by_key(|device| is_template(device.inside));
        let mut arrivals = Vec::new();
        for device in &found {
            if let Err(error) = self.carry(device, &mut arrivals) {
                for (device, name) in arrivals.iter().rev() {
                    self.put_back(device, name);
                }
                return Err(moving(device.outside, error));
            }
        }
        Ok(())
    }

    /// Looks a device up and checks that it can be called what it is to be called.
    fn find<'config>(
        &self,
        outside: &'config str,
        inside: &'config str,
    ) -> Result<Device<'config>> {
        let runtime = &self.runtime;
        let link = runtime.existing(outside)?;
        self.container.free_name(inside)?;
        Ok(Device {
            outside,
            inside,
            link,
            addresses: runtime.addresses(link.index)?,
        })
    }

    /// Moves a device and sets it up again.
    fn carry<'a, 'config>(
        &self,
        device: &'a Device<'config>,
        arrivals: &mut Vec<Arrival<'a, 'config>>,
    ) -> Result<()> {
        let name = self.container.free_name(device.inside)?;
        let sent = self.runtime.send(&device.link, &name, &self.container);
        if let Err(error) = sent {
            // The kernel moves first and renames then (do_setlink of net/core/rtnetlink.c): a
            // name taken only just now leaves the device in there, under its old one.
            if matches!(self.runtime.link(device.outside), Ok(None)) {
                arrivals.push((device, device.outside.to_owned()));
            }
            return Err(error);
        }
        arrivals.push((device, name.clone()));
        self.container.furnish(&name, device, true)
    }

    /// Undoes [`carry`](Self::carry), which may have come halfway. What fails here must not hide
    /// why it is done.
    fn put_back(&self, device: &Device<'_>, name: &str) {
        let outside = device.outside;
        let returned = self
            .container
            .existing(name)
            .and_then(|link| self.container.send(&link, outside, &self.runtime))
            .and_then(|()| self.runtime.furnish(outside, device, device.link.is_up));
        if let Err(error) = returned {
            log::warn!("returning network device {outside:?} from the container: {error}");
        }
    }
}

impl<'fd> Namespace<'fd> {
    fn new(descriptor: BorrowedFd<'fd>, socket: Socket) -> Self {
        Self { descriptor, socket }
    }

    /// The device `name`, if there is one.
    fn link(&self, name: &str) -> Result<Option<Link>> {
        const DOING: &str = "looking for it";
        let request = Request::link(libc::RTM_GETLINK, libc::NLM_F_ACK, 0, None)
            .text(libc::IFLA_IFNAME, name)
            .attribute(libc::IFLA_EXT_MASK, &SKIP_STATISTICS.to_ne_bytes());
        let answers = match self.socket.ask(DOING, request) {
            Err(error) if error.errno() == Some(Errno::NODEV) => return Ok(None),
            answers => answers?,
        };
        let link = answers
            .iter()
            .filter(|answer| answer.kind == libc::RTM_NEWLINK)
            .find_map(|answer| Link::read(&answer.payload));
        link.map(Some)
            .ok_or_else(|| Error::new(Code::Protocol, format!("{DOING}: the kernel told nothing")))
    }

    /// The device `name`, which must be there.
    fn existing(&self, name: &str) -> Result<Link> {
        self.link(name)?
            .ok_or_else(|| Error::system("looking for it", Errno::NODEV))
    }

    /// `template` itself where it is a name, or with the lowest number for its `%d` that no
    /// device has, as the kernel would have it. The kernel itself gives one number too many
    /// where the device's old name is taken as well, and does not tell which.
    fn free_name(&self, template: &str) -> Result<String> {
        let taken = || Error::system(format!("naming it {template:?}"), Errno::EXIST);
        if !is_template(template) {
            return match self.link(template)? {
                None => Ok(template.to_owned()),
                Some(_) => Err(taken().hint(
                    "the container has another device of that name; \
                     give it a name of its own, or a template such as \"eth%d\"",
                )),
            };
        }
        for number in 0_u32.. {
            let name = template.replacen("%d", &number.to_string(), 1);
            if name.len() >= NAME_SIZE {
                break;
            }
            if self.link(&name)?.is_none() {
                return Ok(name);
            }
        }
        Err(taken())
    }

    /// The addresses of a device that move with it, in the order in which to set them.
    fn addresses(&self, index: i32) -> Result<Vec<Address>> {
        let request = || {
            let family = libc::AF_UNSPEC as u8;
            Request::address(libc::RTM_GETADDR, libc::NLM_F_DUMP, family, 0, 0, 0)
        };
        let answers = self.socket.list("listing its addresses", request)?;
        let (mut ipv6, mut addresses): (Vec<_>, Vec<_>) = answers
            .iter()
            .filter(|answer| answer.kind == libc::RTM_NEWADDR)
            .filter_map(|answer| Address::read(&answer.payload, index))
            .partition(|address| i32::from(address.family) == libc::AF_INET6);
        // The kernel lists the newest IPv6 address first, and so prefers it as a source.
        ipv6.reverse();
        addresses.append(&mut ipv6);
        Ok(addresses)
    }

    /// Moves a device of this namespace to another one, as `name`.
    fn send(&self, link: &Link, name: &str, to: &Namespace<'_>) -> Result<()> {
        // The kernel takes it down itself, once it is sure that it can be moved.
        let request = Request::link(libc::RTM_NEWLINK, libc::NLM_F_ACK, link.index, None)
            .text(libc::IFLA_IFNAME, name)
            .attribute(
                libc::IFLA_NET_NS_FD,
                &to.descriptor.as_raw_fd().to_ne_bytes(),
            );
        let doing = format!("moving it, as {name:?}");
        self.socket.ask(&doing, request).map(drop)
    }

    /// Gives the device `name`, new here, its addresses, and brings it up.
    fn furnish(&self, name: &str, device: &Device<'_>, up: bool) -> Result<()> {
        // The number it had may have been taken here.
        let index = self.existing(name)?.index;
        for address in &device.addresses {
            let doing = format!("giving it the address {address}");
            self.socket.ask(&doing, address.request(index))?;
        }
        if up {
            let request = Request::link(libc::RTM_NEWLINK, libc::NLM_F_ACK, index, Some(true));
            self.socket.ask("bringing it up", request)?;
        }
        Ok(())
    }
}

/// What a move has to know of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    index: i32,
    is_up: bool,
}

impl Link {
    /// From a `struct ifinfomsg`.
    fn read(payload: &[u8]) -> Option<Self> {
        Some(Self {
            index: message::number(payload, 4)? as i32,
            is_up: message::number(payload, 8)? & libc::IFF_UP as u32 != 0,
        })
    }
}

fn is_template(name: &str) -> bool {
    name.contains("%d")
}

/// Says which device it was.
fn moving(outside: &str, error: Error) -> Error {
    error
        .context(format_args!(
            "moving network device {outside:?} into the container"
        ))
        .context(at!["linux", "netDevices", outside])
}
