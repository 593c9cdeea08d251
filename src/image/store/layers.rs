//! The layers of the store: finding them, and unpacking what is missing, each once.

use super::staging::Staging;
use super::{InUse, Store, open_lock, remove_tree};
use crate::directories;
use crate::error::{Code, Context, Error, Result};
use crate::image::digest::{Algorithm, Digest};
use crate::image::layer::{
    Applied, Below, Devices, Layer, Options, Outcome, OverlayXattrs, Owner, Progress, at_once,
    unpack_overlay, verify,
};
use rustix::fs::{FlockOperation, Mode};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

const TREE: &str = "tree";
const RECORD: &str = "layer.json";

/// A layer that is in the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredLayer {
    /// Its directory's name.
    pub key: String,
    /// Of its tar.
    pub diff_id: Digest,
    /// What it counts against an image's limits: see [`Applied`].
    pub entries: u64,
    /// See [`Applied`].
    pub bytes: u64,
    /// It is the same on top of any other layers.
    pub self_contained: bool,
    /// See [`Applied`].
    pub sets_root: bool,
    /// See [`Applied`].
    pub opaque_root: bool,
    /// The blobs of which it is known that they unpack to it.
    #[serde(default)]
    blobs: BTreeSet<Digest>,
    /// As long as it may not be on the disk yet: since which boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unsynced_since_boot: Option<String>,
}

impl StoredLayer {
    /// Its directory, in the store.
    pub fn tree(&self) -> PathBuf {
        Path::new("layers").join(&self.key).join(TREE)
    }

    /// Whether the layer's blob is known to be this. Otherwise an image could have what it does
    /// not bring, by claiming its DiffID.
    fn is_proven(&self, layer: &Layer) -> bool {
        let length_is_right = layer.blob.len() == layer.size;
        let digest = layer.digest.as_ref();
        length_is_right && digest.is_some_and(|digest| self.blobs.contains(digest))
    }
}

/// All layers of an image, the lowest first.
#[derive(Debug)]
pub struct Prepared {
    /// In the image's order.
    pub layers: Vec<StoredLayer>,
}

impl Prepared {
    /// What overlayfs is to stack, the topmost first.
    pub fn stack(&self) -> Vec<PathBuf> {
        // overlayfs does not look at the mark on a root directory.
        let from = self.layers.iter().rposition(|layer| layer.opaque_root);
        let visible = &self.layers[from.unwrap_or(0)..];
        visible.iter().rev().map(StoredLayer::tree).collect()
    }

    /// The layer that says what the root directory is like; the lowest where none does.
    pub fn root(&self) -> Option<&StoredLayer> {
        let said = self.layers.iter().rev().find(|layer| layer.sets_root);
        said.or(self.layers.first())
    }
}

/// One layer on its way into the store.
struct Job<'a> {
    layer: &'a Layer,
    chain_id: Digest,
}

impl Store {
    /// Sees to it that all `layers` are in the store. Another process that is unpacking one of
    /// them is waited for; should it die, we go on in its place.
    ///
    /// # Errors
    /// What is wrong with a layer, or with the disk.
    pub fn prepare(
        &self,
        _in_use: &InUse,
        layers: &[Layer],
        options: &Options,
        progress: &Progress,
    ) -> Result<Prepared> {
        let work = Work {
            store: self,
            variant: variant(options)?,
            options,
            progress,
            boot: boot_id()?,
        };
        let jobs = jobs(layers);
        let mut found: Vec<Option<StoredLayer>> = jobs
            .iter()
            .map(|job| work.find_proven(job))
            .collect::<Result<_>>()?;
        if found.iter().any(Option::is_none) {
            super::staging::clean(&self.path.join("staging"), "");
            work.unpack_side_by_side(&jobs, &mut found)?;
        }
        // What depends on the layers below waits for them.
        let mut complete: Vec<StoredLayer> = Vec::new();
        for (job, layer) in jobs.iter().zip(found) {
            let layer = match layer {
                Some(layer) => layer,
                None => work.unpack_on(job, &complete)?,
            };
            progress.layers()[job.layer.index].set_done();
            complete.push(layer);
        }
        work.sync(&mut complete)?;
        Ok(Prepared { layers: complete })
    }
}

/// Each layer with its ChainID (config.md, "Layer ChainID").
fn jobs(layers: &[Layer]) -> Vec<Job<'_>> {
    let mut jobs: Vec<Job<'_>> = Vec::new();
    for layer in layers {
        let chain_id = match jobs.last() {
            None => layer.diff_id.clone(),
            Some(below) => {
                let text = format!("{} {}", below.chain_id, layer.diff_id);
                Digest::of(Algorithm::Sha256, text.as_bytes())
            }
        };
        jobs.push(Job { layer, chain_id });
    }
    jobs
}

/// How the same layer differs with the options it is unpacked with.
fn variant(options: &Options) -> Result<String> {
    let owner = match &options.owner {
        Owner::Keep => namespace()?,
        Owner::Caller => ".caller".into(),
        Owner::Map { uids, gids } => {
            let text = format!("{uids:?} {gids:?}");
            let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
            format!(".map-{}", &digest.hex()[..16])
        }
    };
    let devices = match options.devices {
        Devices::Make => "",
        // Not one that was unpacked with them.
        Devices::Refuse => ".no-devices",
        Devices::Placeholder => ".placeholders",
    };
    let xattrs = match options.overlay_xattrs {
        OverlayXattrs::Trusted => "",
        OverlayXattrs::User => ".user",
    };
    Ok(owner + devices + xattrs)
}

/// Which user namespace this is: on disk, the same ids are others in each.
fn namespace() -> Result<String> {
    let mut maps = String::new();
    for path in ["/proc/self/uid_map", "/proc/self/gid_map"] {
        let map = std::fs::read_to_string(path).context(|| format!("reading {path}"))?;
        maps.extend(map.split_whitespace().flat_map(|word| [word, " "]));
    }
    // The first one maps everything to itself.
    if maps == "0 0 4294967295 0 0 4294967295 " {
        return Ok(String::new());
    }
    let digest = Digest::of(Algorithm::Sha256, maps.as_bytes());
    Ok(format!(".map-{}", &digest.hex()[..16]))
}

/// What changes with every start of the machine.
fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = std::fs::read_to_string(path).context(|| format!("reading {path}"))?;
    Ok(id.trim().to_owned())
}

struct Work<'a> {
    store: &'a Store,
    variant: String,
    options: &'a Options,
    progress: &'a Progress,
    boot: String,
}

impl Work<'_> {
    fn key(&self, digest: &Digest) -> String {
        format!(
            "{}-{}{}",
            digest.algorithm().as_str(),
            digest.hex(),
            self.variant
        )
    }

    /// The layer, where the store has it: by its DiffID where it is the same everywhere, else by
    /// its ChainID.
    fn find(&self, job: &Job<'_>) -> Result<Option<StoredLayer>> {
        let alone = self.read(&self.key(&job.layer.diff_id))?;
        let is_lowest = job.chain_id == job.layer.diff_id;
        // A ChainID that an image claims to be a DiffID must not make it one.
        let is_it = |layer: &StoredLayer| layer.diff_id == job.layer.diff_id;
        let alone = alone.filter(is_it);
        if let Some(layer) = alone.filter(|layer| layer.self_contained || is_lowest) {
            return Ok(Some(layer));
        }
        Ok(self.read(&self.key(&job.chain_id))?.filter(is_it))
    }

    /// The layer, where the store has it and its blob need not be looked at.
    fn find_proven(&self, job: &Job<'_>) -> Result<Option<StoredLayer>> {
        let found = self.find(job)?.filter(|found| found.is_proven(job.layer));
        if let Some(found) = &found {
            self.count(job, found)?;
        }
        Ok(found)
    }

    /// What is there counts as if it had been unpacked: an image is within its limits or not,
    /// whatever the store has.
    fn count(&self, job: &Job<'_>, found: &StoredLayer) -> Result<()> {
        let limits = self.options.limits;
        self.progress
            .take(limits, job.layer, found.bytes, found.entries)
    }

    fn read(&self, key: &str) -> Result<Option<StoredLayer>> {
        let path = self.store.layers().join(key).join(RECORD);
        let doing = || format!("reading {}", path.display());
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.context(doing)?,
        };
        let read = serde_json::from_slice(&text);
        // After a crash of the machine, what was not on the disk by then may be anything.
        let is_whole = |layer: &StoredLayer| {
            let since = layer.unsynced_since_boot.as_ref();
            since.is_none_or(|boot| *boot == self.boot)
        };
        Ok(read.ok().filter(is_whole))
    }

    /// Unpacks what is missing, on all processors, the largest first. What needs to know what is
    /// below it is left for later.
    fn unpack_side_by_side(
        &self,
        jobs: &[Job<'_>],
        found: &mut [Option<StoredLayer>],
    ) -> Result<()> {
        let mut missing: Vec<usize> = (0..jobs.len()).filter(|&at| found[at].is_none()).collect();
        missing.sort_by_key(|&at| jobs[at].layer.size);
        let threads = at_once().min(missing.len());
        let todo = Mutex::new(missing);
        let results = Mutex::new(Vec::new());
        // A thread that panicked has said why, and the scope passes it on.
        let lock = |todo: &Mutex<Vec<usize>>| todo.lock().ok().and_then(|mut todo| todo.pop());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(at) = lock(&todo) {
                        let result = self.unpack(&jobs[at], Below::Unknown);
                        if result.is_err() {
                            self.progress.stop();
                        }
                        let failed = result.is_err();
                        if let Ok(mut results) = results.lock() {
                            results.push((at, result));
                        }
                        if failed {
                            break;
                        }
                    }
                });
            }
        });
        // In the order of time: the first error is the one that made the others stop.
        for (at, result) in results.into_inner().unwrap_or_default() {
            found[at] = result?;
        }
        Ok(())
    }

    /// Unpacks a layer that depends on those below.
    fn unpack_on(&self, job: &Job<'_>, below: &[StoredLayer]) -> Result<StoredLayer> {
        let directories: Vec<OwnedFd> = Prepared {
            layers: below.to_vec(),
        }
        .stack()
        .iter()
        .map(|tree| open(&self.store.path.join(tree)))
        .collect::<Result<_>>()?;
        let directories: Vec<_> = directories.iter().map(AsFd::as_fd).collect();
        self.unpack(job, Below::Known(&directories))?
            .ok_or_else(|| {
                Error::new(
                    Code::System,
                    format!("layer {} asks for what is below twice", job.layer.index + 1),
                )
            })
    }

    /// Unpacks a layer, unless somebody else has meanwhile; none where it needs to know what is
    /// below.
    fn unpack(&self, job: &Job<'_>, below: Below<'_>) -> Result<Option<StoredLayer>> {
        let _lock = self.lock(job)?;
        if let Some(layer) = self.find(job)? {
            let layer = self.prove(job, layer)?;
            self.count(job, &layer)?;
            self.progress.layers()[job.layer.index].set_done();
            return Ok(Some(layer));
        }
        let staging = Staging::make(&self.store.path.join("staging"), "")?;
        let tree = staging.path().join(TREE);
        std::fs::create_dir(&tree).context(|| format!("making {}", tree.display()))?;
        let directory = open(&tree)?;
        // Not as the umask would have it.
        rustix::fs::fchmod(&directory, Mode::from_raw_mode(0o755))
            .context(|| format!("making {}", tree.display()))?;
        match unpack_overlay(
            job.layer,
            directory.as_fd(),
            below,
            self.options,
            self.progress,
        )? {
            Outcome::NeedsBelow => Ok(None),
            Outcome::Applied(applied) => self.publish(job, staging, applied).map(Some),
        }
    }

    /// Sees to it that the layer's blob is what `found` was unpacked from, or another form of it.
    fn prove(&self, job: &Job<'_>, mut found: StoredLayer) -> Result<StoredLayer> {
        if found.is_proven(job.layer) {
            return Ok(found);
        }
        verify(job.layer, self.options, self.progress)?;
        if let Some(digest) = &job.layer.digest {
            found.blobs.insert(digest.clone());
            write(&found, &self.store.layers().join(&found.key))?;
        }
        Ok(found)
    }

    /// Gives a complete layer its name.
    fn publish(&self, job: &Job<'_>, staging: Staging, applied: Applied) -> Result<StoredLayer> {
        let digest = match applied.self_contained {
            true => &job.layer.diff_id,
            false => &job.chain_id,
        };
        let layer = StoredLayer {
            key: self.key(digest),
            diff_id: job.layer.diff_id.clone(),
            entries: applied.entries,
            bytes: applied.bytes,
            self_contained: applied.self_contained,
            sets_root: applied.sets_root,
            opaque_root: applied.opaque_root,
            blobs: job.layer.digest.iter().cloned().collect(),
            unsynced_since_boot: Some(self.boot.clone()),
        };
        write(&layer, staging.path())?;
        let target = self.store.layers().join(&layer.key);
        // What a crash of the machine has left.
        remove_tree(&target)?;
        staging.finish(&target)?;
        Ok(layer)
    }

    /// Waits until nobody else is unpacking the layer.
    fn lock(&self, job: &Job<'_>) -> Result<OwnedFd> {
        let path = self
            .store
            .path
            .join("locks")
            .join(self.key(&job.layer.diff_id));
        let doing = || format!("locking {}", path.display());
        let lock = open_lock(&path)?;
        let operation = FlockOperation::NonBlockingLockExclusive;
        match rustix::fs::flock(&lock, operation) {
            Ok(()) => return Ok(lock),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(Error::system(doing(), error)),
        }
        log::debug!(
            "layer {}: another process is unpacking it",
            job.layer.index + 1
        );
        // This ends with the other's life at the latest.
        rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, FlockOperation::LockExclusive))
            .context(doing)?;
        Ok(lock)
    }

    /// Makes new layers survive a crash of the machine.
    fn sync(&self, layers: &mut [StoredLayer]) -> Result<()> {
        if layers
            .iter()
            .all(|layer| layer.unsynced_since_boot.is_none())
        {
            return Ok(());
        }
        let doing = || format!("writing {} to disk", self.store.path.display());
        let store = open(&self.store.path)?;
        rustix::fs::syncfs(&store).context(doing)?;
        for layer in layers {
            if layer.unsynced_since_boot.take().is_some() {
                write(layer, &self.store.layers().join(&layer.key))?;
            }
        }
        Ok(())
    }
}

/// Writes a layer's record, whole or not at all.
fn write(layer: &StoredLayer, directory: &Path) -> Result<()> {
    super::write_json(&directory.join(RECORD), layer)
}

fn open(directory: &Path) -> Result<OwnedFd> {
    directories::open(directory).context(|| format!("opening {}", directory.display()))
}
