//! Tars packed into layer blobs.

use flate2::write::GzEncoder;
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io::Write;
use tare::image::blob::Blob;
use tare::image::digest::{Algorithm, Digest};
use tare::image::layer::{Compression, Layer};

/// How a tar is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packed {
    Raw,
    Gzip,
    /// Several members, cut where nothing else is.
    GzipMembers,
    Zstd,
    /// Several frames, one to be skipped among them.
    ZstdFrames,
}

impl Packed {
    pub const ALL: [Self; 5] = [
        Self::Raw,
        Self::Gzip,
        Self::GzipMembers,
        Self::Zstd,
        Self::ZstdFrames,
    ];

    pub fn label(self) -> Compression {
        match self {
            Self::Raw => Compression::None,
            Self::Gzip | Self::GzipMembers => Compression::Gzip,
            Self::Zstd | Self::ZstdFrames => Compression::Zstd,
        }
    }

    pub fn pack(self, tar: &[u8]) -> Vec<u8> {
        let pieces = || tar.chunks((tar.len() / 3).max(7));
        match self {
            Self::Raw => tar.to_vec(),
            Self::Gzip => gzip(tar),
            Self::GzipMembers => pieces().flat_map(gzip).collect(),
            Self::Zstd => zstd::encode_all(tar, 3).unwrap(),
            Self::ZstdFrames => {
                let skipped = [0x53, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, b's', b'k', b'i', b'p'];
                let frames = pieces().flat_map(|piece| zstd::encode_all(piece, 1).unwrap());
                skipped.into_iter().chain(frames).collect()
            }
        }
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A layer of that tar, all that is claimed of it being true.
pub fn layer(index: usize, tar: &[u8], packed: Packed) -> Layer {
    let bytes = packed.pack(tar);
    Layer {
        index,
        digest: Some(Digest::of(Algorithm::Sha256, &bytes)),
        size: bytes.len() as u64,
        diff_id: Digest::of(Algorithm::Sha256, tar),
        compression: packed.label(),
        blob: blob(&bytes),
    }
}

pub fn blob(bytes: &[u8]) -> Blob {
    let file = rustix::fs::memfd_create("blob", MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(file);
    file.write_all(bytes).unwrap();
    Blob::whole(file).unwrap()
}
