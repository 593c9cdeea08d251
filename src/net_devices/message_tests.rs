//! Messages against their layout in linux/netlink.h, and against whatever may come instead.
#![allow(clippy::unwrap_used)]

use super::*;

const CAPPED: u16 = libc::NLM_F_CAPPED as u16;
const TLVS: u16 = libc::NLM_F_ACK_TLVS as u16;

/// A message as the kernel would send it.
fn reply(kind: i32, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut request = Request::new(kind as u16, flags.into()).bytes(payload);
    request.bytes.resize(align(request.bytes.len()), 0);
    let mut bytes = request.finish(7);
    let length = (HEADER + payload.len()) as u32;
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes
}

fn explanation(text: &[u8]) -> Vec<u8> {
    let attributes = Request { bytes: Vec::new() };
    // NLMSGERR_ATTR_OFFS comes along where an attribute is to blame.
    let attributes = attributes.attribute(2, &[0; 4]);
    attributes.attribute(EXPLANATION, text).bytes
}

fn outcome(bytes: &[u8]) -> Option<Result<(), Refusal>> {
    replies(bytes).unwrap().first().unwrap().outcome()
}

fn refused(errno: i32, explanation: Option<&str>) -> Option<Result<(), Refusal>> {
    let explanation = explanation.map(str::to_owned);
    Some(Err(Refusal { errno, explanation }))
}

#[test]
fn a_link_request_has_the_kernels_layout() {
    let bytes = Request::link(16, 5, 3, Some(true))
        .text(3, "eth0")
        .attribute(28, &9_i32.to_ne_bytes())
        .finish(7);
    let mut expected = Vec::new();
    expected.extend(52_u32.to_ne_bytes());
    expected.extend(16_u16.to_ne_bytes());
    expected.extend(5_u16.to_ne_bytes());
    expected.extend(7_u32.to_ne_bytes());
    expected.extend([0; 4]);
    expected.extend([0; 4]);
    expected.extend(3_i32.to_ne_bytes());
    expected.extend(1_u32.to_ne_bytes());
    expected.extend(1_u32.to_ne_bytes());
    expected.extend(9_u16.to_ne_bytes());
    expected.extend(3_u16.to_ne_bytes());
    expected.extend(*b"eth0\0\0\0\0");
    expected.extend(8_u16.to_ne_bytes());
    expected.extend(28_u16.to_ne_bytes());
    expected.extend(9_i32.to_ne_bytes());
    assert_eq!(bytes, expected);
}

#[test]
fn a_state_that_is_not_to_change_is_not_in_the_mask() {
    let up_and_mask = |up| Request::link(16, 5, 3, up).finish(7)[24..32].to_vec();
    assert_eq!(up_and_mask(None), [0; 8]);
    assert_eq!(
        up_and_mask(Some(false)),
        [0_u32.to_ne_bytes(), 1_u32.to_ne_bytes()].concat()
    );
}

#[test]
fn an_address_request_has_the_kernels_layout() {
    let bytes = Request::address(20, 5, 2, 24, 0, 3).finish(7);
    assert_eq!(bytes.len(), 24);
    assert_eq!(bytes[16..20], [2, 24, 0, 0]);
    assert_eq!(bytes[20..], 3_u32.to_ne_bytes());
}

#[test]
fn a_datagram_holds_several_messages() {
    // The first one's length is odd; the padding after it is not part of it.
    let datagram = [reply(16, 2, b"abcde"), reply(libc::NLMSG_DONE, 2, &[0; 4])].concat();
    let replies = replies(&datagram).unwrap();
    assert_eq!(replies.len(), 2);
    assert_eq!(replies[0].payload, b"abcde");
    assert_eq!((replies[0].kind, replies[0].sequence), (16, 7));
    assert_eq!(replies[1].outcome(), Some(Ok(())));
}

#[test]
fn attributes_are_told_apart_and_lose_their_encoding_bits() {
    let request = Request { bytes: Vec::new() };
    let bytes = request
        .text(3, "lo")
        .attribute(0x8000 | 26, &[1, 2, 3, 4, 5])
        .attribute(4, &[])
        .bytes;
    let expected: Vec<(u16, &[u8])> = vec![(3, b"lo\0"), (26, &[1, 2, 3, 4, 5]), (4, &[])];
    assert_eq!(attributes(&bytes).unwrap(), expected);
}

#[test]
fn an_acknowledgement_is_an_error_of_zero() {
    let bytes = reply(libc::NLMSG_ERROR, CAPPED, &[0; 20]);
    assert_eq!(outcome(&bytes), Some(Ok(())));
}

#[test]
fn a_refusal_carries_the_kernels_words() {
    let errno = (-libc::EINVAL).to_ne_bytes();
    let words = explanation(b"The interface is immutable.\0");
    let expected = refused(libc::EINVAL, Some("The interface is immutable"));

    let request = Request::link(16, 5, 3, None).text(3, "lo").finish(7);
    let capped = [&errno[..], &request[..HEADER], &words].concat();
    let bytes = reply(libc::NLMSG_ERROR, CAPPED | TLVS, &capped);
    assert_eq!(outcome(&bytes), expected);

    let whole = [&errno[..], &request, &words].concat();
    assert_eq!(outcome(&reply(libc::NLMSG_ERROR, TLVS, &whole)), expected);

    let done = [&errno[..], &words].concat();
    assert_eq!(outcome(&reply(libc::NLMSG_DONE, TLVS, &done)), expected);
}

#[test]
fn a_refusal_may_come_without_words() {
    let errno = (-libc::ENODEV).to_ne_bytes();
    let payload = [&errno[..], &[0; HEADER]].concat();
    let expected = refused(libc::ENODEV, None);
    let plain = reply(libc::NLMSG_ERROR, CAPPED, &payload);
    assert_eq!(outcome(&plain), expected);
    // Announced, but cut off or empty.
    let announced = reply(libc::NLMSG_ERROR, CAPPED | TLVS, &payload);
    assert_eq!(outcome(&announced), expected);
    let empty = [&payload[..], &explanation(b"\0")].concat();
    let empty = reply(libc::NLMSG_ERROR, CAPPED | TLVS, &empty);
    assert_eq!(outcome(&empty), expected);
}

#[test]
fn an_error_number_that_is_none_is_malformed() {
    let bytes = reply(libc::NLMSG_ERROR, CAPPED, &i32::MIN.to_ne_bytes());
    assert_eq!(outcome(&bytes), None);
    assert_eq!(outcome(&reply(libc::NLMSG_ERROR, CAPPED, &[0; 3])), None);
}

#[test]
fn a_datagram_cut_anywhere_is_malformed_or_shorter() {
    let words = explanation(b"no\0");
    let request = Request::link(16, 5, 3, None).finish(7);
    let payload = [&(-1_i32).to_ne_bytes()[..], &request, &words].concat();
    let whole = reply(libc::NLMSG_ERROR, TLVS, &payload);
    for end in 1..whole.len() {
        assert_eq!(replies(&whole[..end]), None, "cut at {end}");
    }
}

#[test]
fn lengths_that_lie_are_survived() {
    for length in [0, 1, 15, 17, 1000, u32::MAX] {
        let mut bytes = reply(libc::NLMSG_DONE, 0, &[]);
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(replies(&bytes), None, "length {length}");
    }
    for length in [0_u16, 3, 9, u16::MAX] {
        let bytes = [&length.to_ne_bytes()[..], &[3, 0, 1, 2, 3, 4]].concat();
        assert_eq!(attributes(&bytes), None, "length {length}");
    }
    // The request echoed in a refusal claims to be longer than what is there.
    let mut payload = [(-1_i32).to_ne_bytes(), u32::MAX.to_ne_bytes()].concat();
    payload.extend([0; 40]);
    let bytes = reply(libc::NLMSG_ERROR, TLVS, &payload);
    assert_eq!(outcome(&bytes), refused(libc::EPERM, None));
}
