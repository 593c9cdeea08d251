//! From layer blobs to a tree on disk.
//!
//! ```text
//! blob -> decode -> feed -> tar -> stage, write -> merge  -> finish      (flat)
//!         read      the     reader a directory     by                    (overlay: no merge)
//!         hash      DiffID         of the layer's  renaming
//!         inflate                  own
//!         '- one thread -'  '------- another -----------------'
//! ```
//!
//! Each layer is first written by itself, into a directory of its own, whatever is below: so
//! that layers can be written at the same time, so that whiteouts cannot meet what the layer
//! itself brings, and so that flat and overlay mode cannot differ in what they make of an entry.

mod acl;
mod attributes;
mod below;
mod decode;
mod failure;
mod feed;
mod finish;
mod flat;
mod merge;
mod name;
mod options;
mod overlay;
mod owner;
mod progress;
mod resolve;
mod run;
mod stage;
mod tree;
mod work;
mod write;

pub use flat::unpack as unpack_flat;
pub use options::{Devices, IdRange, Limits, Options, OverlayXattrs, Owner};
pub use overlay::unpack as unpack_overlay;
pub use progress::{LayerProgress, Progress};

use crate::directories;
use crate::error::{Context, Result};
use crate::image::blob::Blob;
use crate::image::digest::Digest;
use rustix::fs::Mode;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A layer to unpack, and what is claimed about it.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Which layer of the image it is; the lowest is 0. Errors name it, counted from 1.
    pub index: usize,
    /// Of the blob; older docker-archives give none.
    pub digest: Option<Digest>,
    /// What the descriptor says is the blob's length.
    pub size: u64,
    /// Of the uncompressed tar.
    pub diff_id: Digest,
    /// As labelled. The blob's magic number decides, with a warning where the two differ.
    pub compression: Compression,
    /// Its bytes.
    pub blob: Blob,
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of any number of members (RFC 1952).
    Gzip,
    /// Zstandard, of any number of frames (RFC 8878).
    Zstd,
    /// docker-archive labels nothing: whatever the magic number says, without a warning.
    Unlabelled,
}

/// What became of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// What was counted of it: see [`LayerProgress::entries`].
    pub entries: u64,
    /// See [`LayerProgress::bytes`].
    pub bytes: u64,
    /// Nothing below it was looked at: its directory may be shared by its DiffID. Otherwise it is
    /// right on top of those very layers only, and may be shared by its ChainID.
    pub self_contained: bool,
    /// It says what the root directory's owner, mode, xattrs and times are. The merged root of an
    /// overlay is the topmost directory's: give that one the attributes of the topmost layer that
    /// says so ([`copy_root`]).
    pub sets_root: bool,
    /// It hides all that is below it. overlayfs does not look at the mark on a root directory:
    /// leave the layers below away.
    pub opaque_root: bool,
}

/// The directories below a layer's own, in overlay mode.
#[derive(Clone, Copy, Debug)]
pub enum Below<'a> {
    /// Not there yet. Enough for a self-contained layer, and most are: all can be unpacked at the
    /// same time.
    Unknown,
    /// All of them, as overlayfs will stack them: the topmost first. None for the lowest layer.
    Known(&'a [BorrowedFd<'a>]),
}

/// What [`unpack_overlay`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The directory is complete, and all digests are right.
    Applied(Applied),
    /// The layer depends on what is below: call again with [`Below::Known`] and a new, empty
    /// directory; this one holds a part of the layer.
    NeedsBelow,
}

/// Whether the blob of `layer` is what is claimed of it: reads it, and writes nothing.
///
/// # Errors
/// Where it is not; as [`unpack_flat`].
pub fn verify(layer: &Layer, options: &Options, progress: &Progress) -> Result<()> {
    let run = run::Run::new(options, progress);
    work::verify(run.part(layer))
}

/// Gives the directory `to` the owner, mode, xattrs and times of the directory `from`.
///
/// # Errors
/// Where one of them cannot be read or written.
pub fn copy_root(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    let stat = rustix::fs::fstat(from).context(|| "looking at a layer's root directory")?;
    let attributes = attributes::read(&stat, &attributes::path_of(from, b"."))
        .context(|| "looking at a layer's root directory")?;
    let to = root(to)?;
    attributes::of_directory(to.as_fd(), &attributes, NOT_MADE, owner::Host::look())
        .context(|| "finishing the root directory")
}

/// How many layers are in work at the same time. Each has two threads that take turns in waiting
/// for each other, and about 2 MiB of memory.
pub fn at_once() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    cores.clamp(1, 8)
}

/// A mode and an owner that nothing has, so that both will be set.
const NOT_MADE: (u32, (u32, u32)) = (u32::MAX, (u32::MAX, u32::MAX));

/// How the kernel has a file's own access control list, and what a directory hands down.
const ACL_XATTRS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

/// Opens a root directory for what comes, and takes from it what its files would inherit:
/// a group by its set-group-ID bit, and an access control list.
fn root(dir: BorrowedFd<'_>) -> Result<OwnedFd> {
    let root = directories::open_at(dir, c".").context(|| "opening the root directory")?;
    rustix::fs::fchmod(&root, Mode::RWXU).context(|| "changing the root directory's mode")?;
    for list in ACL_XATTRS {
        match rustix::fs::fremovexattr(&root, list) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error).context(|| format!("removing the xattr {list}")),
        }
    }
    Ok(root)
}

/// The root directory of an image without layers.
fn bare_root(dir: BorrowedFd<'_>, run: &run::Run<'_>) -> Result<()> {
    let root = root(dir)?;
    let implied = stage::implied(run.options, run.host()).map_err(failure::Failure::into_error)?;
    attributes::of_directory(root.as_fd(), &implied, NOT_MADE, run.host())
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "layer {} ", self.index + 1)?;
        match &self.digest {
            Some(digest) => write!(f, "({digest})"),
            None => write!(f, "(DiffID {})", self.diff_id),
        }
    }
}

impl std::fmt::Display for Compression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "not compressed",
            Self::Gzip => "gzip",
            Self::Zstd => "Zstandard",
            Self::Unlabelled => "not labelled",
        })
    }
}
