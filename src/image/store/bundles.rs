//! Which bundles use the store's layers.
//!
//! A bundle is known by its overlay.json: the store has a link to that file, so that it notices
//! when the bundle is gone, wherever it was moved in between. Across file systems there are no
//! links, and the store remembers where the bundle is.

use super::{InUse, Store};
use crate::error::{Context, Result};
use crate::image::digest::{Algorithm, Digest};
use crate::image::overlay::{FILE, Overlay};
use rustix::fs::{AtFlags, CWD};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A bundle that the store knows of.
#[derive(Debug)]
pub struct Bundle {
    /// Where it was when it was last used.
    pub path: PathBuf,
    /// What its root is stacked from.
    pub overlay: Overlay,
    /// Whether it is still there.
    pub is_alive: bool,
    /// The store's file about it.
    file: PathBuf,
}

impl Store {
    /// Takes note of a bundle whose overlay.json is in `directory` by now.
    ///
    /// # Errors
    /// Those of writing to the store.
    pub fn register(&self, _in_use: &InUse, overlay: &Overlay, directory: &Path) -> Result<()> {
        let entry = self.entry(overlay);
        let doing = || format!("registering the bundle in {}", entry.display());
        match rustix::fs::linkat(CWD, directory.join(FILE), CWD, &entry, AtFlags::empty()) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP) => {
                super::write_json(&entry, overlay).context(doing)
            }
            Err(error) => Err(error).context(doing),
        }
    }

    /// Takes note of a bundle that is about to be used, where it is news: it was moved or copied.
    ///
    /// # Errors
    /// Those of writing to the store.
    pub fn register_at(&self, overlay: &Overlay, bundle: &Path) -> Result<()> {
        let mut here = overlay.clone();
        here.bundle = bundle.to_owned();
        let entry = self.entry(&here);
        if entry.exists() {
            return Ok(());
        }
        let _in_use = self.in_use()?;
        super::write_json(&entry, &here)
    }

    /// All bundles that the store has heard of.
    ///
    /// # Errors
    /// Those of reading the store.
    pub fn bundles(&self) -> Result<Vec<Bundle>> {
        let mut bundles = Vec::new();
        for (file, overlay) in super::read_all::<Overlay>(&self.path.join("bundles"))? {
            let links = std::fs::metadata(&file).map_or(0, |metadata| metadata.nlink());
            let is_there = || {
                Overlay::of_bundle(&overlay.bundle)
                    .is_ok_and(|found| found.is_some_and(|found| found.id == overlay.id))
            };
            bundles.push(Bundle {
                path: overlay.bundle.clone(),
                is_alive: links > 1 || is_there(),
                overlay,
                file,
            });
        }
        // Whoever has no use for one of these has removed it.
        for directory in super::list(&self.running())? {
            if let Some(overlay) = Overlay::of_bundle(&directory)? {
                bundles.push(Bundle {
                    file: directory.join(FILE),
                    path: directory,
                    overlay,
                    is_alive: true,
                });
            }
        }
        Ok(bundles)
    }

    /// The store's file about a bundle of that id at that place.
    fn entry(&self, overlay: &Overlay) -> PathBuf {
        let place = Digest::of(Algorithm::Sha256, overlay.bundle.as_os_str().as_bytes());
        let name = format!("{}-{}.json", overlay.id, &place.hex()[..16]);
        self.path.join("bundles").join(name)
    }
}

impl Bundle {
    /// Forgets it.
    ///
    /// # Errors
    /// Those of unlink(2).
    pub fn forget(&self) -> Result<()> {
        std::fs::remove_file(&self.file).context(|| format!("removing {}", self.file.display()))
    }
}
