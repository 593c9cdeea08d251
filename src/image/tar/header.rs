//! The 512 bytes before each entry.

use super::fields::{number, text, unsigned};
use super::{Device, Fault, Kind};

/// Headers and data come in blocks of this size.
pub const BLOCK: usize = 512;

/// A header, its checksum verified.
#[derive(Clone, Copy)]
pub struct Header {
    bytes: [u8; BLOCK],
    dialect: Dialect,
}

/// What stands in the places that the formats use differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Before ustar: nothing there.
    Old,
    /// A prefix of 155 bytes.
    Posix,
    /// A prefix of 131 bytes, then times.
    Star,
    /// Times and the sparse map.
    Gnu,
}

impl Header {
    /// Checks that `bytes` are a header.
    pub fn new(bytes: [u8; BLOCK]) -> Result<Self, Fault> {
        let claimed = number(&bytes[148..156], "the checksum")?;
        // The field itself counts as spaces. Some old writers summed signed bytes.
        let mut plain = 0i64;
        let mut signed = 0i64;
        for (at, byte) in bytes.iter().enumerate() {
            let byte = if (148..156).contains(&at) {
                b' '
            } else {
                *byte
            };
            plain += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        // A fuzzer would be busy guessing it.
        if claimed != plain && claimed != signed && !cfg!(fuzzing) {
            return Err(Fault::rule("a header's checksum is wrong"));
        }
        let dialect = match &bytes[257..263] {
            b"ustar\0" if &bytes[508..512] == b"tar\0" => Dialect::Star,
            b"ustar\0" => Dialect::Posix,
            b"ustar " => Dialect::Gnu,
            _ => Dialect::Old,
        };
        Ok(Self { bytes, dialect })
    }

    /// The type flag.
    pub fn flag(&self) -> u8 {
        self.bytes[156]
    }

    /// Whether it may carry GNU's sparse map.
    pub fn is_gnu(&self) -> bool {
        self.dialect == Dialect::Gnu
    }

    /// Puts the name into `path`.
    pub fn name(&self, path: &mut Vec<u8>) {
        let prefix = match self.dialect {
            Dialect::Posix => text(&self.bytes[345..500]),
            Dialect::Star => text(&self.bytes[345..476]),
            Dialect::Gnu | Dialect::Old => b"",
        };
        path.clear();
        if !prefix.is_empty() {
            path.extend_from_slice(prefix);
            path.push(b'/');
        }
        path.extend_from_slice(text(&self.bytes[..100]));
    }

    /// The target of a link.
    pub fn link(&self) -> &[u8] {
        text(&self.bytes[157..257])
    }

    /// The mode with the bits that tell the kind of file, where the writer left them in.
    pub fn mode(&self) -> Result<u32, Fault> {
        let mode = unsigned(&self.bytes[100..108], "the mode")?;
        u32::try_from(mode).map_err(|_| Fault::rule("the mode is out of range"))
    }

    /// The owner's id, as large as it says.
    pub fn uid(&self) -> Result<u64, Fault> {
        unsigned(&self.bytes[108..116], "the user id")
    }

    /// The group's id, as large as it says.
    pub fn gid(&self) -> Result<u64, Fault> {
        unsigned(&self.bytes[116..124], "the group id")
    }

    /// How much follows.
    pub fn size(&self) -> Result<u64, Fault> {
        unsigned(&self.bytes[124..136], "the size")
    }

    /// When the file was changed, in seconds.
    pub fn mtime(&self) -> Result<i64, Fault> {
        number(&self.bytes[136..148], "the modification time")
    }

    /// The device numbers, where they are in Linux's range.
    pub fn device(&self) -> Result<Device, Fault> {
        let part = |range: std::ops::Range<usize>, bits: u32, what| {
            let value = match self.dialect {
                Dialect::Old => 0,
                _ => unsigned(&self.bytes[range], what)?,
            };
            match u32::try_from(value) {
                Ok(value) if value < 1 << bits => Ok(value),
                _ => Err(Fault::rule(format!("{what} is out of range"))),
            }
        };
        Ok(Device {
            major: part(329..337, 12, "the device's major number")?,
            minor: part(337..345, 20, "the device's minor number")?,
        })
    }

    /// GNU's sparse map: the pairs in this header, whether more blocks of them follow, and the
    /// file's real size.
    pub fn gnu_sparse(&self) -> Result<(&[u8], bool, u64), Fault> {
        let size = unsigned(&self.bytes[483..495], "the sparse file's size")?;
        Ok((&self.bytes[386..482], self.bytes[482] != 0, size))
    }

    /// What an ordinary entry is.
    pub fn kind(&self, path: &[u8], mode: u32) -> Result<Kind, Fault> {
        // A directory had no flag of its own before ustar.
        const SOCKET: u32 = 0o140_000;
        Ok(match self.flag() {
            0 if path.ends_with(b"/") => Kind::Directory,
            0 | b'0' if mode & 0o170_000 == SOCKET => Kind::Socket,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice(self.device()?),
            b'4' => Kind::BlockDevice(self.device()?),
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                let shown = char::from(other).escape_default();
                return Err(Fault::rule(format!(
                    "an entry of the unknown type '{shown}'"
                )));
            }
        })
    }
}
