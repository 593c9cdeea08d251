//! D-Bus messages: writing calls, and reading what comes back (D-Bus specification,
//! "Message Format").

use super::value::{Value, align, alignment, write_array, write_signature, write_u32};
use crate::error::{Code, Error, Result};

/// The longest message the specification allows.
const LONGEST: usize = 128 << 20;
/// What precedes the header's fields: four bytes, length, serial, and the fields' length.
const FIXED: usize = 16;

const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

const NO_REPLY_EXPECTED: u8 = 1;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// A method to be called.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub destination: &'a str,
    pub path: &'a str,
    pub interface: &'a str,
    pub member: &'a str,
    /// The arguments' types, and they themselves.
    pub signature: &'a str,
    pub body: Vec<u8>,
    pub wants_reply: bool,
}

impl Call<'_> {
    /// Appends it as a message.
    pub fn write(&self, serial: u32, out: &mut Vec<u8>) {
        let flags = match self.wants_reply {
            true => 0,
            false => NO_REPLY_EXPECTED,
        };
        let mut header = vec![b'l', METHOD_CALL, flags, 1];
        write_u32(&mut header, self.body.len() as u32);
        write_u32(&mut header, serial);
        let path = Value::Path(self.path.to_owned());
        write_array(&mut header, 8, |out| {
            write_field(out, PATH, &path);
            write_field(out, INTERFACE, &Value::text(self.interface));
            write_field(out, MEMBER, &Value::text(self.member));
            write_field(out, DESTINATION, &Value::text(self.destination));
            if !self.signature.is_empty() {
                align(out, 8);
                out.push(SIGNATURE);
                write_signature(out, "g");
                write_signature(out, self.signature);
            }
        });
        align(&mut header, 8);
        out.extend(header);
        out.extend_from_slice(&self.body);
    }
}

fn write_field(out: &mut Vec<u8>, field: u8, value: &Value) {
    align(out, 8);
    out.push(field);
    value.write_variant(out);
}

/// A message that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// The answer to the call with this serial.
    Return {
        to: u32,
        body: Body,
    },
    /// The refusal of it.
    Refusal {
        to: u32,
        name: String,
        body: Body,
    },
    Signal {
        member: String,
        body: Body,
    },
    /// A call to us, which nobody has reason to make.
    Other,
}

/// The arguments of a message, to be read one after the other.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body {
    bytes: Vec<u8>,
    big_endian: bool,
    at: usize,
}

impl Incoming {
    /// The message at the start of `bytes` and its length; none where it is not all there.
    pub fn read(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        if bytes.len() < FIXED {
            return Ok(None);
        }
        let big_endian = match bytes[0] {
            b'l' => false,
            b'B' => true,
            _ => return Err(malformed()),
        };
        let mut header = Body {
            bytes: bytes[..FIXED].to_vec(),
            big_endian,
            at: 4,
        };
        let body_length = header.u32()? as usize;
        header.u32()?;
        let fields_length = header.u32()? as usize;
        let too_long = || Error::new(Code::Protocol, "systemd sent too long a message");
        if body_length.max(fields_length) > LONGEST {
            return Err(too_long());
        }
        let body_at = (FIXED + fields_length).next_multiple_of(8);
        let length = body_at + body_length;
        if length > LONGEST {
            return Err(too_long());
        }
        if bytes.len() < length {
            return Ok(None);
        }
        header.bytes = bytes[..FIXED + fields_length].to_vec();
        let fields = Fields::read(&mut header)?;
        let body = Body {
            bytes: bytes[body_at..length].to_vec(),
            big_endian,
            at: 0,
        };
        let to = fields.reply_serial;
        let message = match bytes[1] {
            METHOD_RETURN => Self::Return { to, body },
            ERROR => Self::Refusal {
                to,
                name: fields.error_name,
                body,
            },
            SIGNAL => Self::Signal {
                member: fields.member,
                body,
            },
            _ => Self::Other,
        };
        Ok(Some((message, length)))
    }
}

/// The fields of a header that matter to us.
#[derive(Default)]
struct Fields {
    member: String,
    error_name: String,
    reply_serial: u32,
}

impl Fields {
    fn read(header: &mut Body) -> Result<Self> {
        let mut fields = Self::default();
        while header.at < header.bytes.len() {
            header.align(8)?;
            let field = header.take(1)?[0];
            let signature = header.signature()?;
            match (field, signature.as_str()) {
                (MEMBER, "s") => fields.member = header.text()?,
                (ERROR_NAME, "s") => fields.error_name = header.text()?,
                (REPLY_SERIAL, "u") => fields.reply_serial = header.u32()?,
                (_, "s" | "o") => drop(header.text()?),
                (_, "g") => drop(header.signature()?),
                (_, "y" | "b" | "n" | "q" | "i" | "u" | "x" | "t" | "d") => {
                    let size = alignment(&signature);
                    header.align(size)?;
                    header.take(size)?;
                }
                _ => return Err(malformed()),
            }
        }
        Ok(fields)
    }
}

impl Body {
    pub fn u32(&mut self) -> Result<u32> {
        self.align(4)?;
        let bytes = self.take(4)?;
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        Ok(match self.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        })
    }

    /// A string or an object's path.
    pub fn text(&mut self) -> Result<String> {
        let length = self.u32()? as usize;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    fn signature(&mut self) -> Result<String> {
        let length = self.take(1)?[0].into();
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    /// A string in a variant.
    pub fn variant_text(&mut self) -> Result<String> {
        match self.signature()?.as_str() {
            "s" | "o" => self.text(),
            _ => Err(malformed()),
        }
    }

    fn align(&mut self, to: usize) -> Result<()> {
        let padding = self.at.next_multiple_of(to) - self.at;
        self.take(padding).map(drop)
    }

    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let start = self.at;
        let end = start.checked_add(count).ok_or_else(malformed)?;
        let taken = self.bytes.get(start..end).ok_or_else(malformed)?;
        self.at = end;
        Ok(taken)
    }
}

fn malformed() -> Error {
    Error::new(Code::Protocol, "systemd sent what is no D-Bus message")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::value::write_text;
    use super::*;

    /// A message of the other side, with one field and one string.
    fn message(kind: u8, field: u8, value: &Value, text: &str) -> Vec<u8> {
        let mut body = Vec::new();
        write_text(&mut body, text);
        let mut out = vec![b'l', kind, 0, 1];
        write_u32(&mut out, body.len() as u32);
        write_u32(&mut out, 9);
        write_array(&mut out, 8, |out| write_field(out, field, value));
        align(&mut out, 8);
        out.extend(body);
        out
    }

    #[test]
    fn answers_refusals_and_signals_are_told_apart() {
        let bytes = message(METHOD_RETURN, REPLY_SERIAL, &Value::U32(3), "/job/7");
        let (read, length) = Incoming::read(&bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        let Incoming::Return { to: 3, mut body } = read else {
            panic!("{read:?}");
        };
        assert_eq!(body.text().unwrap(), "/job/7");
        assert!(body.text().is_err());
        let bytes = message(ERROR, ERROR_NAME, &Value::text("a.b.C"), "no");
        let read = Incoming::read(&bytes).unwrap().unwrap().0;
        assert!(matches!(read, Incoming::Refusal { name, .. } if name == "a.b.C"));
        let bytes = message(SIGNAL, MEMBER, &Value::text("JobRemoved"), "");
        let read = Incoming::read(&bytes).unwrap().unwrap().0;
        assert!(matches!(read, Incoming::Signal { member, .. } if member == "JobRemoved"));
    }

    #[test]
    fn half_a_message_waits_for_the_rest() {
        let bytes = message(METHOD_RETURN, REPLY_SERIAL, &Value::U32(3), "x");
        for end in 0..bytes.len() {
            assert_eq!(Incoming::read(&bytes[..end]).unwrap(), None, "{end}");
        }
    }

    #[test]
    fn nonsense_is_an_error_and_no_panic() {
        let good = message(METHOD_RETURN, REPLY_SERIAL, &Value::U32(3), "x");
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                if let Ok(Some((Incoming::Return { mut body, .. }, _))) = Incoming::read(&bytes) {
                    let _ = body.text();
                }
            }
        }
        assert!(Incoming::read(b"HTTP/1.1 400 Bad Request").is_err());
    }

    #[test]
    fn calls_carry_their_arguments() {
        let mut body = Vec::new();
        write_text(&mut body, "x.scope");
        let call = Call {
            destination: "d.e",
            path: "/p",
            interface: "i.f",
            member: "Stop",
            signature: "s",
            body,
            wants_reply: true,
        };
        let mut out = Vec::new();
        call.write(5, &mut out);
        assert_eq!(out[..12], [b'l', 1, 0, 1, 12, 0, 0, 0, 5, 0, 0, 0]);
        assert!(
            matches!(Incoming::read(&out), Ok(Some((Incoming::Other, length))) if length == out.len())
        );
        assert!(out.ends_with(b"\x07\0\0\0x.scope\0"));
    }
}
