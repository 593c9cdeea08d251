//! The addresses of a network device: which of them move with it, and how.
//!
//! The spec names the permanent ones of global scope, of any family. An attribute that goes
//! with an address goes as it came, so that peers, metrics and families unknown here do too.

use super::message::{self, Request};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// `IFA_RT_PRIORITY` of linux/if_addr.h (Linux 4.18): the metric of its route.
const ROUTE_PRIORITY: u16 = 9;
/// `IFA_PROTO` (Linux 5.18): who set it.
const PROTOCOL: u16 = 11;
/// The flags of an address that are choices of whoever set it; the others tell its state.
const CHOSEN_FLAGS: u32 = libc::IFA_F_NODAD
    | libc::IFA_F_OPTIMISTIC
    | libc::IFA_F_HOMEADDRESS
    | libc::IFA_F_MANAGETEMPADDR
    | libc::IFA_F_NOPREFIXROUTE
    | libc::IFA_F_MCAUTOJOIN;
/// The attributes of an address that go with it. Its label does not, which has the old name of
/// the device in it, nor its lifetime, which is forever.
const CHOSEN_ATTRIBUTES: [u16; 5] = [
    libc::IFA_ADDRESS,
    libc::IFA_LOCAL,
    libc::IFA_BROADCAST,
    ROUTE_PRIORITY,
    PROTOCOL,
];

/// An address that moves with its device.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    /// `AF_*`
    pub family: u8,
    prefix: u8,
    scope: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Address {
    /// From a `struct ifaddrmsg` and its attributes: none where the address is another
    /// device's, or does not move. The spec moves the permanent ones of global scope.
    pub fn read(payload: &[u8], device: i32) -> Option<Self> {
        let [family, prefix, flags, scope] = *payload.first_chunk()?;
        if message::number(payload, 4)? as i32 != device {
            return None;
        }
        let all = message::attributes(payload.get(8..)?)?;
        let flags = all
            .iter()
            .find(|(kind, _)| *kind == libc::IFA_FLAGS)
            .and_then(|(_, value)| message::number(value, 0))
            .unwrap_or(u32::from(flags));
        if flags & libc::IFA_F_PERMANENT == 0 || scope != libc::RT_SCOPE_UNIVERSE {
            return None;
        }
        let mut attributes: Vec<_> = all
            .into_iter()
            .filter(|(kind, _)| CHOSEN_ATTRIBUTES.contains(kind))
            .map(|(kind, value)| (kind, value.to_vec()))
            .collect();
        let flags = flags & CHOSEN_FLAGS;
        attributes.push((libc::IFA_FLAGS, flags.to_ne_bytes().to_vec()));
        Some(Self {
            family,
            prefix,
            scope,
            attributes,
        })
    }

    /// Asks for it to be set on the device `index`.
    pub fn request(&self, index: i32) -> Request {
        let create = libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        let request = Request::address(
            libc::RTM_NEWADDR,
            create,
            self.family,
            self.prefix,
            self.scope,
            index as u32,
        );
        self.attributes
            .iter()
            .fold(request, |request, (kind, value)| {
                request.attribute(*kind, value)
            })
    }

    fn attribute(&self, kind: u16) -> Option<&[u8]> {
        let mut attributes = self.attributes.iter();
        let (_, value) = attributes.find(|(of, _)| *of == kind)?;
        Some(value)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // With a peer, IFA_ADDRESS is the peer's.
        let own = self.attribute(libc::IFA_LOCAL);
        let bytes = own
            .or_else(|| self.attribute(libc::IFA_ADDRESS))
            .unwrap_or_default();
        if let Ok(ipv4) = <[u8; 4]>::try_from(bytes) {
            write!(f, "{}/{}", Ipv4Addr::from(ipv4), self.prefix)
        } else if let Ok(ipv6) = <[u8; 16]>::try_from(bytes) {
            write!(f, "{}/{}", Ipv6Addr::from(ipv6), self.prefix)
        } else {
            write!(f, "{bytes:02x?}/{} of family {}", self.prefix, self.family)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SCOPE_LINK: u8 = 253;

    /// An address as the kernel lists it.
    fn listed(family: i32, flags: u32, scope: u8, more: &[(u16, &[u8])]) -> Vec<u8> {
        let header = Request::address(libc::RTM_NEWADDR, 0, family as u8, 24, scope, 3);
        let more = more.iter();
        let whole = more.fold(header, |to, (kind, value)| to.attribute(*kind, value));
        let whole = whole.attribute(libc::IFA_FLAGS, &flags.to_ne_bytes());
        whole.finish(0)[16..].to_vec()
    }

    fn ipv4(flags: u32, scope: u8) -> Vec<u8> {
        listed(
            libc::AF_INET,
            flags,
            scope,
            &[
                (libc::IFA_ADDRESS, &[10, 0, 0, 9]),
                (libc::IFA_LOCAL, &[10, 0, 0, 1]),
                (libc::IFA_LABEL, b"eth0\0"),
                (ROUTE_PRIORITY, &100_u32.to_ne_bytes()),
                (libc::IFA_CACHEINFO, &[0xff; 16]),
            ],
        )
    }

    #[test]
    fn what_was_chosen_moves_and_state_does_not() {
        let state = libc::IFA_F_PERMANENT | libc::IFA_F_SECONDARY;
        let listed = ipv4(state | libc::IFA_F_NOPREFIXROUTE, libc::RT_SCOPE_UNIVERSE);
        let address = Address::read(&listed, 3).unwrap();
        assert_eq!(address.to_string(), "10.0.0.1/24");

        let request = address.request(7).finish(0);
        assert_eq!(request[16..20], [libc::AF_INET as u8, 24, 0, 0]);
        assert_eq!(request[20..24], 7_u32.to_ne_bytes());
        let priority = 100_u32.to_ne_bytes();
        let flags = libc::IFA_F_NOPREFIXROUTE.to_ne_bytes();
        let expected: Vec<(u16, &[u8])> = vec![
            (libc::IFA_ADDRESS, &[10, 0, 0, 9]),
            (libc::IFA_LOCAL, &[10, 0, 0, 1]),
            (ROUTE_PRIORITY, &priority),
            (libc::IFA_FLAGS, &flags),
        ];
        assert_eq!(message::attributes(&request[24..]).unwrap(), expected);
    }

    #[test]
    fn only_permanent_global_addresses_of_the_device_move() {
        let permanent = libc::IFA_F_PERMANENT;
        let stays = |payload: &[u8], device| Address::read(payload, device).is_none();
        assert!(!stays(&ipv4(permanent, libc::RT_SCOPE_UNIVERSE), 3));
        assert!(stays(&ipv4(permanent, libc::RT_SCOPE_UNIVERSE), 4));
        assert!(stays(&ipv4(0, libc::RT_SCOPE_UNIVERSE), 3));
        assert!(stays(&ipv4(permanent, SCOPE_LINK), 3));
    }

    #[test]
    fn an_address_without_the_attribute_has_the_headers_flags() {
        let mut payload = vec![libc::AF_INET as u8, 24, 0x80, 0];
        payload.extend(3_u32.to_ne_bytes());
        assert!(Address::read(&payload, 3).is_some());
        payload[2] = 0;
        assert!(Address::read(&payload, 3).is_none());
    }

    #[test]
    fn addresses_read_as_one_would_write_them() {
        let mut bytes = [0; 16];
        (bytes[0], bytes[15]) = (0xfd, 1);
        let one = |family, address| {
            let attributes = [(libc::IFA_ADDRESS, address)];
            let payload = listed(family, libc::IFA_F_PERMANENT, 0, &attributes);
            Address::read(&payload, 3).unwrap().to_string()
        };
        assert_eq!(one(libc::AF_INET6, &bytes[..]), "fd00::1/24");
        assert_eq!(one(45, &[8][..]), "[08]/24 of family 45");
    }

    #[test]
    fn a_malformed_address_does_not_move() {
        let whole = ipv4(libc::IFA_F_PERMANENT, libc::RT_SCOPE_UNIVERSE);
        for end in 0..8 {
            assert_eq!(Address::read(&whole[..end], 3), None, "cut at {end}");
        }
        let mut lies = whole;
        lies[8..10].copy_from_slice(&u16::MAX.to_ne_bytes());
        assert_eq!(Address::read(&lies, 3), None);
    }
}
