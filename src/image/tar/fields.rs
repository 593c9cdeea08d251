//! Numbers and texts as tar writes them.

use super::{Fault, Time};

/// A header's number: octal digits, or base 256 where the first byte's top bit is set (GNU, star).
pub fn number(field: &[u8], what: &str) -> Result<i64, Fault> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => base256(field, what),
        _ => octal(field, what),
    }
}

/// As [`number`], where less than 0 is nonsense.
pub fn unsigned(field: &[u8], what: &str) -> Result<u64, Fault> {
    u64::try_from(number(field, what)?).map_err(|_| Fault::rule(format!("{what} is less than 0")))
}

/// Spaces and NULs may stand before and after, as old writers left them; nothing at all is 0.
fn octal(field: &[u8], what: &str) -> Result<i64, Fault> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|b| !is_padding(b));
    let Some(start) = start else { return Ok(0) };
    let end = field
        .iter()
        .rposition(|b| !is_padding(b))
        .map_or(0, |at| at + 1);
    field[start..end]
        .iter()
        .try_fold(0i64, |value, byte| match byte {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
            _ => None,
        })
        .ok_or_else(|| Fault::rule(format!("{what} is not an octal number")))
}

/// Two's complement, the most significant byte first, in all bits but the marker.
fn base256(field: &[u8], what: &str) -> Result<i64, Fault> {
    // The marker is the top bit; the next one is the sign.
    let negative = field[0] & 0x40 != 0;
    let start = i128::from(if negative { -1i8 } else { 0 });
    let mut value = start;
    for (index, byte) in field.iter().enumerate() {
        let bits = match (index, negative) {
            (0, true) => byte | 0x80,
            (0, false) => byte & 0x7f,
            _ => *byte,
        };
        value = (value << 8) | i128::from(bits);
        if i64::try_from(value).is_err() {
            return Err(Fault::rule(format!("{what} is out of range")));
        }
    }
    i64::try_from(value).map_err(|_| Fault::rule(format!("{what} is out of range")))
}

/// Decimal digits and nothing else, as in pax records.
pub fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, byte| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Seconds with a fraction, as in pax records; digits beyond the nanosecond are dropped.
pub fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let whole = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanoseconds = (0..9).fold(0, |value, place| {
        value * 10
            + fraction
                .get(place)
                .map_or(0, |digit| u32::from(digit - b'0'))
    });
    Some(match (negative, nanoseconds) {
        (false, _) => Time {
            seconds: whole,
            nanoseconds,
        },
        (true, 0) => Time {
            seconds: -whole,
            nanoseconds,
        },
        (true, _) => Time {
            seconds: -whole - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

/// What stands before the first NUL.
pub fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0);
    &field[..end.unwrap_or(field.len())]
}

/// Base 64 without padding, or with it, as libarchive writes xattrs.
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let text = text.strip_suffix(b"=").unwrap_or(text);
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    for group in text.chunks(4) {
        let mut bits = 0u32;
        for byte in group {
            let six = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(six);
        }
        bits <<= 6 * (4 - group.len());
        let bytes = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        out.extend_from_slice(&bits.to_be_bytes()[1..=bytes]);
    }
    Some(out)
}

/// `%41` is `A`, as libarchive writes the names of xattrs.
pub fn percent(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            _ => *byte,
        });
    }
    Some(out)
}
