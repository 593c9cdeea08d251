//! A tar writer that writes what it is told to, right or wrong.

/// Of what is not said otherwise.
pub const MTIME: i64 = 1_700_000_000;

/// An archive that is being made.
#[derive(Clone, Debug, Default)]
pub struct Tar(Vec<u8>);

/// One member, with everything that can be said about it.
#[derive(Clone, Debug)]
pub struct Member {
    pub flag: u8,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub prefix: Vec<u8>,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: i64,
    pub device: (u64, u64),
    pub data: Vec<u8>,
    /// What the header says, where that is not the length of the data.
    pub size: Option<u64>,
    pub pax: Vec<(Vec<u8>, Vec<u8>)>,
    pub magic: [u8; 8],
    /// Bytes put over the header before its checksum is computed.
    pub patches: Vec<(usize, Vec<u8>)>,
    pub spoil_checksum: bool,
}

impl Member {
    pub fn new(flag: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            flag,
            name: name.as_ref().to_vec(),
            link: Vec::new(),
            prefix: Vec::new(),
            mode: if flag == b'5' { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            mtime: MTIME,
            device: (0, 0),
            data: Vec::new(),
            size: None,
            pax: Vec::new(),
            magic: *b"ustar\x0000",
            patches: Vec::new(),
            spoil_checksum: false,
        }
    }

    pub fn file(name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        let data = data.as_ref().to_vec();
        Self {
            data,
            ..Self::new(b'0', name)
        }
    }

    pub fn dir(name: impl AsRef<[u8]>) -> Self {
        Self::new(b'5', name)
    }

    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        let link = target.as_ref().to_vec();
        Self {
            link,
            mode: 0o777,
            ..Self::new(b'2', name)
        }
    }

    pub fn hard_link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        let link = target.as_ref().to_vec();
        Self {
            link,
            ..Self::new(b'1', name)
        }
    }

    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub fn owner(mut self, uid: u64, gid: u64) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    pub fn mtime(mut self, mtime: i64) -> Self {
        self.mtime = mtime;
        self
    }

    pub fn device(mut self, major: u64, minor: u64) -> Self {
        self.device = (major, minor);
        self
    }

    pub fn pax(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.pax
            .push((key.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.pax(format!("SCHILY.xattr.{name}"), value)
    }

    pub fn gnu(mut self) -> Self {
        self.magic = *b"ustar  \0";
        self
    }

    pub fn size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    pub fn patch(mut self, at: usize, bytes: impl AsRef<[u8]>) -> Self {
        self.patches.push((at, bytes.as_ref().to_vec()));
        self
    }

    pub fn spoil_checksum(mut self) -> Self {
        self.spoil_checksum = true;
        self
    }

    fn header(&self) -> [u8; 512] {
        let mut header = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, &octal(u64::from(self.mode), 8));
        put(108, &number(self.uid.cast_signed(), 8));
        put(116, &number(self.gid.cast_signed(), 8));
        put(
            124,
            &number(
                self.size.unwrap_or(self.data.len() as u64).cast_signed(),
                12,
            ),
        );
        put(136, &number(self.mtime, 12));
        put(156, &[self.flag]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, &self.magic);
        put(329, &number(self.device.0.cast_signed(), 8));
        put(337, &number(self.device.1.cast_signed(), 8));
        put(345, &self.prefix[..self.prefix.len().min(155)]);
        for (at, bytes) in &self.patches {
            put(*at, bytes);
        }
        header[148..156].copy_from_slice(b"        ");
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        let sum = sum + u64::from(self.spoil_checksum);
        header[148..155].copy_from_slice(&octal(sum, 7));
        header
    }
}

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    /// Of these members, and ended as it should be.
    pub fn of(members: impl IntoIterator<Item = Member>) -> Vec<u8> {
        let mut tar = Self::new();
        for member in members {
            tar.add(&member);
        }
        tar.end()
    }

    /// Adds a member; with long names as pax has them.
    pub fn add(&mut self, member: &Member) {
        let mut member = member.clone();
        let has = |key: &[u8]| member.pax.iter().any(|(has, _)| has == key);
        let mut long = Vec::new();
        if member.name.len() > 100 && !has(b"path") && member.flag != b'x' {
            long.push((b"path".to_vec(), member.name.clone()));
        }
        if member.link.len() > 100 && !has(b"linkpath") {
            long.push((b"linkpath".to_vec(), member.link.clone()));
        }
        member.pax.extend(long);
        if !member.pax.is_empty() {
            let records = member
                .pax
                .iter()
                .flat_map(|(key, value)| record(key, value));
            let mut header = Member::new(b'x', "PaxHeaders/x");
            header.data = records.collect();
            self.raw(&header);
        }
        self.raw(&member);
    }

    /// Adds just the header and the data.
    pub fn raw(&mut self, member: &Member) {
        self.bytes(&member.header());
        self.bytes(&member.data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn end(mut self) -> Vec<u8> {
        self.bytes(&[0; 1024]);
        self.0
    }

    pub fn without_end(self) -> Vec<u8> {
        self.0
    }
}

/// A pax record, whose length counts itself.
pub fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let len = (1..)
        .find(|digits| (rest + digits).to_string().len() == *digits)
        .unwrap()
        + rest;
    [len.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn octal(value: u64, width: usize) -> Vec<u8> {
    format!("{value:0digits$o}\0", digits = width - 1).into_bytes()
}

/// In base 256 where octal digits do not suffice.
fn number(value: i64, width: usize) -> Vec<u8> {
    match u64::try_from(value) {
        Ok(value) if value < 1 << (3 * (width - 1)) => octal(value, width),
        _ => {
            let bytes = i128::from(value).to_be_bytes();
            let mut bytes = bytes[16 - width..].to_vec();
            bytes[0] |= 0x80;
            bytes
        }
    }
}
