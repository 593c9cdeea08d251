//! Netlink messages as bytes, both ways: netlink(7), rtnetlink(7).
//!
//! What comes in is read with bounds checks alone; a length that does not fit makes the whole
//! datagram malformed.

use libc::c_int;

/// Length of `nlmsghdr`, which opens every message.
const HEADER: usize = 16;
/// Length of `nlattr`, which opens every attribute.
const ATTRIBUTE_HEADER: usize = 4;
/// `NLA_TYPE_MASK`: the two bits above say how the value is encoded.
const ATTRIBUTE_KIND: u16 = 0x3fff;
/// `NLMSGERR_ATTR_MSG` of linux/netlink.h.
const EXPLANATION: u16 = 1;

/// Rounds up to `NLMSG_ALIGNTO`, which is `NLA_ALIGNTO` too.
fn align(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// A message to the kernel, as far as it is written.
#[derive(Debug)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A message of `kind` (`RTM_*`) with `flags` (`NLM_F_*`, beside the one every request has) about a network device: `up` is
    /// whether to change its state, and to what.
    pub fn link(kind: u16, flags: c_int, index: i32, up: Option<bool>) -> Self {
        let mask = |set: bool| if set { libc::IFF_UP as u32 } else { 0 };
        // struct ifinfomsg
        Self::new(kind, flags)
            .bytes(&[libc::AF_UNSPEC as u8, 0, 0, 0])
            .bytes(&index.to_ne_bytes())
            .bytes(&mask(up == Some(true)).to_ne_bytes())
            .bytes(&mask(up.is_some()).to_ne_bytes())
    }

    /// A message about an address of the network device `index`. The flags are an attribute:
    /// the header has room for eight of them.
    pub fn address(kind: u16, flags: c_int, family: u8, prefix: u8, scope: u8, index: u32) -> Self {
        // struct ifaddrmsg
        Self::new(kind, flags)
            .bytes(&[family, prefix, 0, scope])
            .bytes(&index.to_ne_bytes())
    }

    /// Length, sequence and port id stay 0 until the message is [finished](Self::finish); the
    /// kernel fills in the port id.
    fn new(kind: u16, flags: c_int) -> Self {
        let flags = (libc::NLM_F_REQUEST | flags) as u16;
        Self { bytes: Vec::new() }
            .bytes(&[0; 4])
            .bytes(&kind.to_ne_bytes())
            .bytes(&flags.to_ne_bytes())
            .bytes(&[0; 8])
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The same message with an attribute more. Values here are names, addresses and numbers:
    /// a few bytes.
    #[must_use]
    pub fn attribute(self, kind: u16, value: &[u8]) -> Self {
        let length = (ATTRIBUTE_HEADER + value.len()) as u16;
        let mut request = self
            .bytes(&length.to_ne_bytes())
            .bytes(&kind.to_ne_bytes())
            .bytes(value);
        request.bytes.resize(align(request.bytes.len()), 0);
        request
    }

    /// The same message with a string more, which the kernel wants terminated.
    #[must_use]
    pub fn text(self, kind: u16, text: &str) -> Self {
        let terminated: Vec<u8> = text.bytes().chain([0]).collect();
        self.attribute(kind, &terminated)
    }

    /// The bytes to send, numbered `sequence`.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

/// A message from the kernel.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// `NLMSG_*` or `RTM_*`.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The number of the request that it answers.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// Why the kernel did not do what it was asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The errno.
    pub errno: i32,
    /// The kernel's own words, where it has some.
    pub explanation: Option<String>,
}

impl Reply<'_> {
    /// For a message that ends an answer (`NLMSG_ERROR`, which is also how the kernel says
    /// yes, or `NLMSG_DONE`): how it ended. None for any other, or where it is malformed.
    pub fn outcome(&self) -> Option<Result<(), Refusal>> {
        let errno = i32::from_ne_bytes(array(self.payload, 0)?).checked_neg()?;
        if errno == 0 {
            return Some(Ok(()));
        }
        let explanation = self.explanation();
        Some(Err(Refusal { errno, explanation }))
    }

    /// The text of an extended acknowledgement (Linux 4.12). It follows the error number, and
    /// in `NLMSG_ERROR` also the request: its header alone (`NLM_F_CAPPED`), or all of it.
    fn explanation(&self) -> Option<String> {
        if self.flags & libc::NLM_F_ACK_TLVS as u16 == 0 {
            return None;
        }
        let request = match i32::from(self.kind) {
            libc::NLMSG_DONE => 0,
            _ if self.flags & libc::NLM_F_CAPPED as u16 != 0 => HEADER,
            _ => align(number(self.payload, 4)? as usize),
        };
        let attributes = attributes(self.payload.get(4_usize.checked_add(request)?..)?)?;
        let (_, text) = attributes
            .into_iter()
            .find(|(kind, _)| *kind == EXPLANATION)?;
        let text = text.split(|byte| *byte == 0).next()?;
        let text = String::from_utf8_lossy(text);
        Some(text.trim_end_matches('.').to_owned()).filter(|text| !text.is_empty())
    }
}

/// The messages of one datagram; none at all where it is malformed.
pub fn replies(mut datagram: &[u8]) -> Option<Vec<Reply<'_>>> {
    let mut replies = Vec::new();
    while !datagram.is_empty() {
        let length = number(datagram, 0)? as usize;
        let message = datagram.get(..length)?;
        replies.push(Reply {
            kind: u16::from_ne_bytes(array(message, 4)?),
            flags: u16::from_ne_bytes(array(message, 6)?),
            sequence: number(message, 8)?,
            payload: message.get(HEADER..)?,
        });
        datagram = datagram.get(align(length)..).unwrap_or_default();
    }
    Some(replies)
}

/// Attributes, with their kinds; none at all where they are malformed.
pub fn attributes(mut bytes: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut attributes = Vec::new();
    while bytes.len() >= ATTRIBUTE_HEADER {
        let length = usize::from(u16::from_ne_bytes(array(bytes, 0)?));
        let kind = u16::from_ne_bytes(array(bytes, 2)?) & ATTRIBUTE_KIND;
        attributes.push((kind, bytes.get(ATTRIBUTE_HEADER..length)?));
        bytes = bytes.get(align(length)..).unwrap_or_default();
    }
    Some(attributes)
}

/// The number that starts `at`.
pub fn number(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_ne_bytes)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
