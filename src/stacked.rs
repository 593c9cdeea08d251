//! Bundles whose root is stacked from layers of the store: one container at a time.

use crate::config::Config;
use crate::context::Context as Globals;
use crate::error::{Code, Context, Error, Result};
use crate::hooks::Status;
use crate::image::overlay::{FILE, Overlay};
use crate::image::store::Store;
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;

/// Such a root, nobody else's as long as this lives.
#[derive(Debug)]
pub struct Root {
    overlay: Overlay,
    _lock: Option<File>,
}

impl Root {
    /// That of a bundle, where it has one and config.json does not name another.
    ///
    /// # Errors
    /// Where a container has it already: the kernel leaves undefined what two overlays on one
    /// writable layer make of it.
    pub fn of(bundle: &Path, config: &Config, globals: &Globals) -> Result<Option<Self>> {
        let Some(overlay) = Overlay::of_bundle(bundle)? else {
            return Ok(None);
        };
        if bundle.join(&config.root.path) != bundle.join("rootfs") {
            return Ok(None);
        }
        // One that goes with its container has no other.
        let lock = match overlay.is_temporary {
            true => None,
            false => Some(claim(bundle, &overlay, globals)?),
        };
        Ok(Some(Self {
            overlay,
            _lock: lock,
        }))
    }

    /// What it is stacked from.
    pub fn overlay(&self) -> &Overlay {
        &self.overlay
    }
}

/// Sees to it that no other container has the bundle, or gets it while the result is open; and
/// that the store knows where it is.
fn claim(bundle: &Path, overlay: &Overlay, globals: &Globals) -> Result<File> {
    let path = bundle.join(FILE);
    let doing = || format!("locking {}", path.display());
    let file = File::open(&path).context(doing)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::WOULDBLOCK) => return Err(in_use(bundle, "that is just being created")),
        other => other.context(doing)?,
    }
    for directory in globals.root.all()? {
        let directory = directory?;
        let Ok(record) = directory.read() else {
            continue;
        };
        if record.bundle == bundle && !matches!(directory.status(&record), Ok(Status::Stopped)) {
            return Err(in_use(bundle, &record.id));
        }
    }
    Store::new(Some(&overlay.store), false)?.register_at(overlay, bundle)?;
    Ok(file)
}

fn in_use(bundle: &Path, container: &str) -> Error {
    Error::new(
        Code::Exists,
        format!(
            "{}: its writable layer is that of the container {container}",
            bundle.display()
        ),
    )
    .hint("unpack the image once more: its layers are shared")
}
