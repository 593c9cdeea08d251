//! How far an unpack has come: written by those who work, read by whoever shows it.

use super::{Layer, Limits};
use crate::error::{Code, Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// How far the layers of an image are, in the order of [`Layer::index`](super::Layer).
#[derive(Debug, Default)]
pub struct Progress {
    layers: Vec<LayerProgress>,
    /// What all layers together count.
    bytes: AtomicU64,
    entries: AtomicU64,
    stopped: AtomicBool,
}

/// How far one layer is.
#[derive(Debug, Default)]
pub struct LayerProgress {
    size: u64,
    read: AtomicU64,
    bytes: AtomicU64,
    entries: AtomicU64,
    done: AtomicBool,
}

impl Progress {
    /// For layers of these (compressed) sizes.
    pub fn new(sizes: impl IntoIterator<Item = u64>) -> Self {
        let layer = |size| LayerProgress {
            size,
            ..LayerProgress::default()
        };
        Self {
            layers: sizes.into_iter().map(layer).collect(),
            ..Self::default()
        }
    }

    /// Each layer's.
    pub fn layers(&self) -> &[LayerProgress] {
        &self.layers
    }

    /// Asks those who work to stop: they return an error soon.
    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    pub(super) fn layer(&self, index: usize) -> Option<&LayerProgress> {
        self.layers.get(index)
    }

    /// Counts what a layer has, or what more it has, against what an image may have; however it
    /// is unpacked, and whether it is or was once and is in the store.
    ///
    /// # Errors
    /// Where all of them together have too much.
    pub fn take(&self, limits: Limits, layer: &Layer, bytes: u64, entries: u64) -> Result<()> {
        if let Some(layer) = self.layer(layer.index) {
            layer.bytes.fetch_add(bytes, Relaxed);
            layer.entries.fetch_add(entries, Relaxed);
        }
        let too_many = |limit: u64, what: &str, flag: &str| {
            let message = format!("the layers have more than {limit} {what}, the limit");
            Error::new(Code::InvalidImage, message).hint(format!("raise it with {flag}"))
        };
        // Another addition may be between the two, but not between an addition and its check.
        if self.bytes.fetch_add(bytes, Relaxed).saturating_add(bytes) > limits.bytes {
            return Err(too_many(limits.bytes, "bytes", "--max-bytes"));
        }
        let before = self.entries.fetch_add(entries, Relaxed);
        if before.saturating_add(entries) > limits.entries {
            return Err(too_many(limits.entries, "entries", "--max-entries"));
        }
        Ok(())
    }

    /// Counts nothing of a layer any more: it will be read a second time.
    pub(super) fn give_back(&self, layer: &Layer) {
        if let Some(layer) = self.layer(layer.index) {
            self.bytes.fetch_sub(layer.bytes.swap(0, Relaxed), Relaxed);
            let entries = layer.entries.swap(0, Relaxed);
            self.entries.fetch_sub(entries, Relaxed);
        }
    }
}

impl LayerProgress {
    /// How many bytes there are to read.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many were read.
    pub fn read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// How many bytes it has, not compressed, as far as it was read; what had to be copied from
    /// below for it is counted too.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// How many entries were written; directories that are only implied are counted too.
    pub fn entries(&self) -> u64 {
        self.entries.load(Relaxed)
    }

    /// Whether it is in its place and verified.
    pub fn is_done(&self) -> bool {
        self.done.load(Relaxed)
    }

    /// For a layer that need not be unpacked, too: the store has it.
    pub fn set_done(&self) {
        self.read.store(self.size, Relaxed);
        self.done.store(true, Relaxed);
    }

    pub(super) fn set_read(&self, read: u64) {
        self.read.store(read, Relaxed);
    }
}
