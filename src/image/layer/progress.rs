//! How far an unpack has come: written by those who work, read by whoever shows it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// How far the layers of an image are, in the order of [`Layer::index`](super::Layer).
#[derive(Debug, Default)]
pub struct Progress {
    layers: Vec<LayerProgress>,
    stopped: AtomicBool,
}

/// How far one layer is.
#[derive(Debug, Default)]
pub struct LayerProgress {
    size: u64,
    read: AtomicU64,
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
            stopped: AtomicBool::new(false),
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

    /// How many entries were written.
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

    pub(super) fn set_entries(&self, entries: u64) {
        self.entries.store(entries, Relaxed);
    }
}
