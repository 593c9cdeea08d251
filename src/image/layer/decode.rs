//! From a blob to tar: reading, hashing, decompressing, block by block.

use super::{Compression, Layer};
use crate::error::{Code, Context, Error, Result};
use crate::image::blob::Blob;
use crate::image::digest::Hasher;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::Read;
use zstd::stream::raw::{Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

/// How much of a compressed blob is read at a time.
const READ: usize = 128 << 10;

/// Decompresses one layer's blob.
pub struct Decoder<'a> {
    input: Input<'a>,
    method: Method,
}

enum Method {
    Raw,
    Gzip(Gzip),
    /// With whether a frame is begun and not ended.
    Zstd(Box<ZstdDecoder<'static>>, bool),
}

/// RFC 1952: members one after another.
#[derive(Default)]
struct Gzip {
    /// The one that is begun and not ended.
    member: Option<Box<Decompress>>,
    /// Whether one has ended.
    ended: bool,
}

impl<'a> Decoder<'a> {
    /// Looks at the blob's first bytes, and takes them more seriously than its label.
    pub fn new(layer: &'a Layer) -> Result<Self> {
        let mut magic = [0; 6];
        let got = layer.blob.read_at(&mut magic, 0).context(|| "reading it")?;
        let found = recognize(&magic[..got])?;
        if layer.compression != found && layer.compression != Compression::Unlabelled {
            log::warn!(
                "layer {}: labelled {}, but it is {}",
                layer.index + 1,
                layer.compression,
                found
            );
        }
        let method = match found {
            Compression::Gzip => Method::Gzip(Gzip::default()),
            Compression::Zstd => {
                let decoder = ZstdDecoder::new().context(|| "making a Zstandard decoder")?;
                Method::Zstd(Box::new(decoder), false)
            }
            Compression::None | Compression::Unlabelled => Method::Raw,
        };
        // The tar is hashed anyway: of a blob that is the tar, that is the blob's digest as well.
        let hasher = match (&method, &layer.digest) {
            (Method::Raw, Some(digest)) if digest.algorithm() == layer.diff_id.algorithm() => None,
            (_, digest) => digest.as_ref().map(|digest| digest.algorithm().hasher()),
        };
        let buffer = match method {
            Method::Raw => Vec::new(),
            _ => vec![0; READ],
        };
        Ok(Self {
            input: Input {
                blob: &layer.blob,
                position: 0,
                buffer,
                range: 0..0,
                hasher,
            },
            method,
        })
    }

    /// Fills `into` as far as there is something to fill it with; less only at the end.
    pub fn fill(&mut self, into: &mut [u8]) -> Result<usize> {
        match &mut self.method {
            Method::Raw => self.input.read_into(into),
            Method::Gzip(gzip) => inflate(&mut self.input, gzip, into),
            Method::Zstd(decoder, open) => zstd(&mut self.input, decoder, open, into),
        }
    }

    /// How much of the blob was read.
    pub fn position(&self) -> u64 {
        self.input.position
    }

    /// The hash of the blob, where it is computed here.
    pub fn into_hasher(self) -> Option<Hasher> {
        self.input.hasher
    }
}

/// The blob, its bytes hashed as they are read.
struct Input<'a> {
    blob: &'a Blob,
    position: u64,
    buffer: Vec<u8>,
    /// What of `buffer` was not used yet.
    range: std::ops::Range<usize>,
    hasher: Option<Hasher>,
}

impl Input<'_> {
    /// Reads more where all was used. False at the end.
    fn refill(&mut self) -> Result<bool> {
        if self.range.is_empty() {
            let mut buffer = std::mem::take(&mut self.buffer);
            let read = self.read_into(&mut buffer);
            self.buffer = buffer;
            self.range = 0..read?;
        }
        Ok(!self.range.is_empty())
    }

    fn read_into(&mut self, into: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < into.len() && self.position < self.blob.len() {
            let mut reader = self.blob.reader_at(self.position);
            let read = reader.read(&mut into[filled..]).context(|| "reading it")?;
            if read == 0 {
                return Err(bad("the blob's file became shorter while it was read"));
            }
            filled += read;
            self.position += read as u64;
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&into[..filled]);
        }
        Ok(filled)
    }
}

fn recognize(magic: &[u8]) -> Result<Compression> {
    Ok(match magic {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        // A frame, or one to be skipped before it.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Compression::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            return Err(bad("it is compressed with xz, which no image format has"));
        }
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            return Err(bad(
                "it is compressed with bzip2, which no image format has",
            ));
        }
        _ => Compression::None,
    })
}

/// Members, and nothing else. Each one's CRC and length are verified.
fn inflate(input: &mut Input<'_>, gzip: &mut Gzip, into: &mut [u8]) -> Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        if !input.refill()? {
            return match gzip.member {
                None => Ok(filled),
                Some(_) => Err(bad("the gzip stream is truncated")),
            };
        }
        let new = || Box::new(Decompress::new_gzip(15));
        let state = gzip.member.get_or_insert_with(new);
        let before = (state.total_in(), state.total_out());
        let source = &input.buffer[input.range.clone()];
        let status = state.decompress(source, &mut into[filled..], FlushDecompress::None);
        let (read, written) = (state.total_in() - before.0, state.total_out() - before.1);
        input.range.start += read as usize;
        filled += written as usize;
        match status {
            Ok(Status::StreamEnd) => {
                gzip.member = None;
                gzip.ended = true;
            }
            Ok(_) if read > 0 || written > 0 => {}
            _ if gzip.ended && state.total_out() == 0 => {
                return Err(bad("there is garbage after the gzip stream"));
            }
            _ => return Err(bad("the gzip stream is corrupt")),
        }
    }
    Ok(filled)
}

/// RFC 8878: frames one after another, and nothing else.
fn zstd(
    input: &mut Input<'_>,
    decoder: &mut ZstdDecoder<'static>,
    open: &mut bool,
    into: &mut [u8],
) -> Result<usize> {
    let mut filled = 0;
    let mut flushed = false;
    while filled < into.len() {
        // What is decoded may be held back although all input was taken.
        if !input.refill()? && (flushed || !*open) {
            return match *open {
                false => Ok(filled),
                true => Err(bad("the Zstandard stream is truncated")),
            };
        }
        let mut source = InBuffer::around(&input.buffer[input.range.clone()]);
        let mut target = OutBuffer::around(&mut into[filled..]);
        let hint = decoder.run(&mut source, &mut target).map_err(|error| {
            bad(&format!(
                "the Zstandard stream is corrupt, or has garbage after it: {error}"
            ))
        })?;
        let (read, written) = (source.pos(), target.pos());
        flushed = read == 0 && written == 0;
        input.range.start += read;
        filled += written;
        *open = hint != 0;
    }
    Ok(filled)
}

fn bad(why: &str) -> Error {
    Error::new(Code::InvalidImage, why)
}
