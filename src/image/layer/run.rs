//! What all threads of one unpack share: the options, the counters, and whether to go on.

use super::{Layer, Options, Progress};
use crate::error::{Code, Error, Result};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// One unpack.
pub struct Run<'a> {
    pub options: &'a Options,
    progress: &'a Progress,
    host: super::owner::Host,
    bytes: AtomicU64,
    entries: AtomicU64,
    failed: AtomicBool,
}

impl<'a> Run<'a> {
    pub fn new(options: &'a Options, progress: &'a Progress) -> Self {
        Self {
            options,
            progress,
            host: super::owner::Host::look(),
            bytes: AtomicU64::new(0),
            entries: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        }
    }

    /// What is known about this process.
    pub fn host(&self) -> super::owner::Host {
        self.host
    }

    /// Counts bytes of tar against the limit, and is where those who work notice that they
    /// should not go on.
    pub fn take_bytes(&self, bytes: u64) -> Result<()> {
        if self.progress.is_stopped() || self.failed.load(Relaxed) {
            return Err(Error::new(Code::System, "stopped"));
        }
        let limit = self.options.limits.bytes;
        if self.bytes.fetch_add(bytes, Relaxed) + bytes <= limit {
            return Ok(());
        }
        let message = format!("the layers have more than {limit} bytes, the limit");
        Err(Error::new(Code::InvalidImage, message))
    }

    /// Counts an entry against the limit.
    pub fn take_entry(&self) -> Result<()> {
        let limit = self.options.limits.entries;
        if self.entries.fetch_add(1, Relaxed) < limit {
            return Ok(());
        }
        let message = format!("the layers have more than {limit} entries, the limit");
        Err(Error::new(Code::InvalidImage, message))
    }

    /// A layer will be read a second time.
    pub fn give_back(&self, bytes: u64, entries: u64) {
        self.bytes.fetch_sub(bytes, Relaxed);
        self.entries.fetch_sub(entries, Relaxed);
    }

    /// One has failed: the others need not go on.
    pub fn fail(&self) {
        self.failed.store(true, Relaxed);
    }

    pub fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    pub fn set_read(&self, layer: &Layer, read: u64) {
        if let Some(progress) = self.progress.layer(layer.index) {
            progress.set_read(read);
        }
    }

    pub fn set_entries(&self, layer: &Layer, entries: u64) {
        if let Some(progress) = self.progress.layer(layer.index) {
            progress.set_entries(entries);
        }
    }

    pub fn set_done(&self, layer: &Layer) {
        if let Some(progress) = self.progress.layer(layer.index) {
            progress.set_done();
        }
    }
}
