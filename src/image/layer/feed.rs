//! The two halves of a layer's work, on two threads: reading and decompressing here, hashing
//! the tar and writing files there, with a few blocks between them that are used in turns.

use super::decode::Decoder;
use super::run::Part;
use super::{Layer, Limits};
use crate::error::{Code, Error, Result};
use crate::image::digest::{Digest, Hasher};
use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Fits into a core's own cache together with what else is at work there.
const BLOCK: usize = 256 << 10;
/// So many, for neither half to wait where the other is a little uneven.
const BLOCKS: usize = 4;

/// What goes from one half to the other.
enum Message {
    /// The tar's next bytes.
    Block(Block),
    /// That was all, and the blob is what it should be.
    End(End),
}

struct Block {
    bytes: Vec<u8>,
    len: usize,
}

/// What is left to verify at the end.
#[derive(Clone, Copy)]
struct End {
    /// The blob is the tar: its digest is the tar's.
    blob_is_tar: bool,
}

/// The half that decompresses.
pub struct Source {
    full: SyncSender<Message>,
    empty: Receiver<Vec<u8>>,
}

/// The half that reads tar.
pub struct Feed {
    full: Receiver<Message>,
    empty: Sender<Vec<u8>>,
    block: Option<Block>,
    position: usize,
    hasher: Hasher,
    end: Option<End>,
}

/// Both halves for one layer.
pub fn pair(layer: &Layer) -> (Source, Feed) {
    let (full_in, full_out) = sync_channel(BLOCKS);
    let (empty_in, empty_out) = channel();
    for _ in 0..BLOCKS {
        // Both ends are here: it cannot fail.
        let _ = empty_in.send(Vec::new());
    }
    let source = Source {
        full: full_in,
        empty: empty_out,
    };
    let feed = Feed {
        full: full_out,
        empty: empty_in,
        block: None,
        position: 0,
        hasher: layer.diff_id.algorithm().hasher(),
        end: None,
    };
    (source, feed)
}

impl Source {
    /// Decompresses all of `layer`. Ends early, and well, where the other half has gone away.
    ///
    /// # Errors
    /// Where the blob is not what it should be, or goes beyond a limit.
    pub fn run(self, part: Part<'_>) -> Result<()> {
        let layer = part.layer();
        if layer.blob.len() != layer.size {
            return Err(Error::new(
                Code::InvalidImage,
                format!(
                    "its descriptor says {} bytes, and it has {}",
                    layer.size,
                    layer.blob.len()
                ),
            ));
        }
        let mut decoder = Decoder::new(layer)?;
        let mut total = 0;
        while let Ok(mut bytes) = self.empty.recv() {
            bytes.resize(BLOCK, 0);
            let len = decoder.fill(&mut bytes)?;
            total += len as u64;
            part.take_bytes(len as u64)?;
            check_ratio(total, decoder.position(), part.options.limits)?;
            part.set_read(decoder.position());
            let last = len < BLOCK;
            if self
                .full
                .send(Message::Block(Block { bytes, len }))
                .is_err()
            {
                break;
            }
            if last {
                self.end(decoder, layer)?;
                break;
            }
        }
        Ok(())
    }

    fn end(&self, decoder: Decoder<'_>, layer: &Layer) -> Result<()> {
        let hasher = decoder.into_hasher();
        let end = End {
            blob_is_tar: hasher.is_none() && layer.digest.is_some(),
        };
        if let (Some(hasher), Some(digest)) = (hasher, &layer.digest) {
            compare("digest", digest, &hasher.finish())?;
        }
        // Where nobody listens any more, somebody else has failed.
        let _ = self.full.send(Message::End(end));
        Ok(())
    }
}

fn check_ratio(total: u64, read: u64, limits: Limits) -> Result<()> {
    if total < Limits::RATIO_FROM || total / limits.ratio.max(1) <= read {
        return Ok(());
    }
    let message = format!(
        "it is compressed more than {} times, the limit",
        limits.ratio
    );
    Err(Error::new(Code::InvalidImage, message))
}

fn compare(what: &str, claimed: &Digest, found: &Digest) -> Result<()> {
    if claimed == found {
        return Ok(());
    }
    let message = format!("its {what} should be {claimed}, and is {found}");
    Err(Error::new(Code::InvalidImage, message))
}

impl Feed {
    /// After the end was read: verifies the DiffID.
    ///
    /// # Errors
    /// Where it is another.
    pub fn verify(self, layer: &Layer) -> Result<()> {
        let found = self.hasher.finish();
        let end = self
            .end
            .ok_or_else(|| Error::new(Code::InvalidImage, "it was not read to its end"))?;
        if let (true, Some(digest)) = (end.blob_is_tar, &layer.digest) {
            compare("digest", digest, &found)?;
        }
        compare("DiffID", &layer.diff_id, &found)
    }

    fn next_block(&mut self) -> io::Result<()> {
        if let Some(block) = self.block.take() {
            // The other half may be done and gone.
            let _ = self.empty.send(block.bytes);
        }
        self.position = 0;
        match self.full.recv() {
            Ok(Message::Block(block)) => {
                self.hasher.update(&block.bytes[..block.len]);
                self.block = Some(block);
                Ok(())
            }
            Ok(Message::End(end)) => {
                self.end = Some(end);
                Ok(())
            }
            // Why is known where that half ends.
            Err(_) => Err(io::Error::other("decompressing has failed")),
        }
    }
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.end.is_none() && self.rest().is_empty() {
            self.next_block()?;
        }
        Ok(self.rest())
    }

    fn consume(&mut self, len: usize) {
        self.position += len;
    }
}

impl Feed {
    fn rest(&self) -> &[u8] {
        self.block
            .as_ref()
            .and_then(|block| block.bytes.get(self.position..block.len))
            .unwrap_or_default()
    }
}

impl Read for Feed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut bytes = self.fill_buf()?;
        let len = bytes.read(into)?;
        self.consume(len);
        Ok(len)
    }
}
