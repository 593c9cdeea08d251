//! What all threads of one unpack share: the options, the counters, and whether to go on.

use super::owner::Host;
use super::{Layer, Options, Progress};
use crate::error::{Code, Error, Result};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// One unpack.
pub struct Run<'a> {
    pub options: &'a Options,
    progress: &'a Progress,
    host: Host,
    failed: AtomicBool,
}

/// One layer's part of it.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    pub options: &'a Options,
    run: &'a Run<'a>,
    layer: &'a Layer,
}

impl<'a> Run<'a> {
    pub fn new(options: &'a Options, progress: &'a Progress) -> Self {
        Self {
            options,
            progress,
            host: Host::look(),
            failed: AtomicBool::new(false),
        }
    }

    /// The part of `layer`.
    pub fn part(&'a self, layer: &'a Layer) -> Part<'a> {
        Part {
            options: self.options,
            run: self,
            layer,
        }
    }

    /// What is known about this process.
    pub fn host(&self) -> Host {
        self.host
    }

    /// One has failed: the others need not go on.
    pub fn fail(&self) {
        self.failed.store(true, Relaxed);
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }
}

impl<'a> Part<'a> {
    pub fn layer(&self) -> &'a Layer {
        self.layer
    }

    /// What is known about this process.
    pub fn host(&self) -> Host {
        self.run.host
    }

    /// Counts bytes against the limit, and is where those who work notice that they should not go
    /// on.
    pub fn take_bytes(&self, bytes: u64) -> Result<()> {
        if self.run.progress.is_stopped() || self.run.has_failed() {
            return Err(Error::new(Code::System, "stopped"));
        }
        self.take(bytes, 0)
    }

    /// Counts an entry against the limit.
    pub fn take_entry(&self) -> Result<()> {
        self.take(0, 1)
    }

    fn take(&self, bytes: u64, entries: u64) -> Result<()> {
        let limits = self.options.limits;
        self.run.progress.take(limits, self.layer, bytes, entries)
    }

    /// The layer will be read a second time.
    pub fn give_back(&self) {
        self.run.progress.give_back(self.layer);
    }

    /// How many bytes and entries of the layer were counted.
    pub fn taken(&self) -> (u64, u64) {
        let progress = self.run.progress.layer(self.layer.index);
        progress.map_or((0, 0), |layer| (layer.bytes(), layer.entries()))
    }

    pub fn set_read(&self, read: u64) {
        if let Some(progress) = self.run.progress.layer(self.layer.index) {
            progress.set_read(read);
        }
    }

    pub fn set_done(&self) {
        if let Some(progress) = self.run.progress.layer(self.layer.index) {
            progress.set_done();
        }
    }
}
