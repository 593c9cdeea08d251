//! The store: layers by their digests, each unpacked once and shared by all bundles.
//!
//! ```text
//! STORE/lock               held shared by whoever uses layers, exclusively by who removes some
//! STORE/layers/KEY/tree    a layer's directory; KEY is the DiffID or the ChainID
//! STORE/layers/KEY/layer.json
//! STORE/locks/DIFFID       held by who unpacks that layer
//! STORE/staging/NAME/      what is being unpacked; locked as long as somebody does
//! STORE/images/DIGEST.json an image, and its layers' keys
//! STORE/bundles/ID.json    a bundle that uses layers; where it can be, the same file as its own
//! STORE/run/NAME/          a bundle that goes with its container; locked until the container is
//! ```
//!
//! What has its final name is complete and verified. Everything else belongs to a living
//! process, which holds a lock on it, or is removed by whoever comes next.

mod bundles;
mod images;
mod layers;
pub mod staging;

pub use super::remove::remove_tree;
pub use bundles::Bundle;
pub use images::{Collected, StoredImage};
pub use layers::{Prepared, StoredLayer};

use crate::error::{Code, Context, Error, Result};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long who removes layers waits for those who use them.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at a lock that somebody else has.
const PAUSE: Duration = Duration::from_millis(20);

/// The store's directory.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

/// As long as it lives, no layer is removed.
#[derive(Debug)]
pub struct InUse {
    _lock: OwnedFd,
}

/// As long as it lives, nobody relies on a layer that no bundle and no image has.
#[derive(Debug)]
struct Alone {
    _lock: OwnedFd,
}

impl Store {
    /// The store at `path`, or where it is by default: it need not be there.
    ///
    /// # Errors
    /// Where an ordinary user has no home.
    pub fn new(path: Option<&Path>, rootless: bool) -> Result<Self> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => default_path(rootless)?,
        };
        Ok(Self { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the store where it is not there yet.
    ///
    /// # Errors
    /// Where it cannot be made, or somebody else could write to it.
    pub fn make(&self) -> Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for part in ["layers", "locks", "staging", "images", "bundles", "run"] {
            let path = self.path.join(part);
            builder
                .create(&path)
                .context(|| format!("making the store's {}", path.display()))?;
        }
        // A mode that others can enter would give them the setuid programs of all images
        // (CVE-2024-25621).
        let stat = rustix::fs::stat(&self.path).context(|| "looking at the store")?;
        let own = rustix::process::geteuid().as_raw();
        if stat.st_uid != own || stat.st_mode & 0o077 != 0 {
            return Err(Error::new(
                Code::System,
                format!("the store {} is open to others", self.path.display()),
            )
            .hint("it must belong to its user, with mode 0700"));
        }
        Ok(())
    }

    /// Keeps all layers where they are.
    ///
    /// # Errors
    /// Where it cannot be locked.
    pub fn in_use(&self) -> Result<InUse> {
        let path = self.path.join("lock");
        // Who removes layers only moves them aside meanwhile.
        let lock = open_lock(&path)?;
        wait_for(&lock, FlockOperation::NonBlockingLockShared, PATIENCE)
            .context(|| format!("locking {}", path.display()))?;
        Ok(InUse { _lock: lock })
    }

    fn alone(&self) -> Result<Alone> {
        let path = self.path.join("lock");
        let lock = open_lock(&path)?;
        wait_for(&lock, FlockOperation::NonBlockingLockExclusive, PATIENCE)
            .context(|| format!("locking {}", path.display()))
            .map_err(|error| error.hint("an unpack is at work; try again when it is done"))?;
        Ok(Alone { _lock: lock })
    }

    /// Where the bundles are that go with their containers.
    pub fn running(&self) -> PathBuf {
        self.path.join("run")
    }

    /// Removes those of them that nobody locks and nobody wants.
    pub fn clean_running(&self, is_wanted: impl Fn(&Path) -> bool) {
        staging::clean_but(&self.running(), "", is_wanted);
    }

    fn layers(&self) -> PathBuf {
        self.path.join("layers")
    }
}

fn default_path(rootless: bool) -> Result<PathBuf> {
    if !rootless {
        return Ok(PathBuf::from("/var/lib/tare"));
    }
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let data = set("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/share")));
    data.map(|data| data.join("tare")).ok_or_else(|| {
        Error::new(
            Code::Usage,
            "neither XDG_DATA_HOME nor HOME says where to keep layers",
        )
        .hint("say it with --store")
    })
}

fn open_lock(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        .context(|| format!("opening {}", path.display()))
}

/// Takes a lock within `patience`.
fn wait_for(lock: &OwnedFd, operation: FlockOperation, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        match rustix::fs::flock(lock, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => {
                return Err(Error::new(Code::Timeout, "somebody else holds it"));
            }
            Err(error) => return Err(Error::system("flock", error)),
        }
    }
}

/// A name that nobody else has: 16 random bytes, in hex.
///
/// # Errors
/// Those of getrandom(2).
pub fn random_name() -> Result<String> {
    let mut bytes = [0; 16];
    let doing = || "getting random bytes";
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    if got.context(doing)? != bytes.len() {
        return Err(Error::new(Code::System, doing()));
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file, whole or not at all.
fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let text = serde_json::to_vec_pretty(value)
        .map_err(|error| Error::new(Code::System, format!("{}: {error}", doing())))?;
    let temporary = path.with_file_name(format!(".{}", random_name()?));
    std::fs::write(&temporary, text).context(doing)?;
    std::fs::rename(&temporary, path)
        .context(doing)
        .inspect_err(|_| {
            // Whoever lists the directory passes it over.
            let _ = std::fs::remove_file(&temporary);
        })
}

/// The entries of a directory of the store, in order; none where there is no store.
fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let doing = || format!("reading {}", directory.display());
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.context(doing)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.context(doing)?;
        if !entry.file_name().as_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// All that is in a directory of JSON files.
///
/// # Errors
/// Where one cannot be read: what it stands for must not be taken for something that is not there.
fn read_all<T: DeserializeOwned>(directory: &Path) -> Result<Vec<(PathBuf, T)>> {
    let mut all = Vec::new();
    for path in list(directory)? {
        let text = match std::fs::read(&path) {
            // Removed since it was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            other => other.context(|| format!("reading {}", path.display()))?,
        };
        let value = serde_json::from_slice(&text)
            .map_err(|error| Error::new(Code::System, format!("{}: {error}", path.display())))?;
        all.push((path, value));
    }
    Ok(all)
}
