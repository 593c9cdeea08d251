//! Bundles made for one container, with which they go: `run --image`.
//!
//! They are in the store's `run/`, and there is always somebody to remove one: the `run` that
//! makes it, which holds a lock on it; then, as its record says, the container's `delete`; and
//! where both were killed, whoever comes next.

use crate::cli;
use crate::container::{ContainerId, Root};
use crate::context::Context as Globals;
use crate::error::{Context, Result};
use crate::image::bundle::Wishes;
use crate::image::layer::Progress;
use crate::image::store::staging::Staging;
use crate::image::store::{Store, remove_tree};
use crate::image::unpack::Request;
use crate::user_namespace::as_root;
use crate::{progress, unpack};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

const OWNER: &str = "owner.json";

/// A bundle of which no container's record tells yet.
#[derive(Debug)]
pub struct TemporaryBundle {
    staging: Staging,
}

/// The container that a bundle is for.
#[derive(Debug, Serialize, Deserialize)]
struct Owner {
    root: PathBuf,
    id: String,
}

impl TemporaryBundle {
    /// Unpacks an image for the container that is to be.
    ///
    /// # Errors
    /// What is wrong with the image, or with the disk.
    pub fn make(
        globals: &Globals,
        args: &cli::Run,
        image: &OsStr,
        id: &ContainerId,
    ) -> Result<Self> {
        let flags = &args.unpacking;
        let wishes = Wishes {
            args: args.args.clone(),
            terminal: args.new.console_socket.is_some()
                || (!args.detach && std::io::stdin().is_terminal()),
            rootless: unpack::rootless(false),
            ..unpack::wishes(flags)
        };
        let image = unpack::find(image, flags)?;
        let store = unpack::store(flags.store.as_deref())?;
        store.make()?;
        clean(&store)?;
        let bundle = Self {
            staging: Staging::make(&store.running(), "")?,
        };
        let path = bundle.path();
        write_owner(path, globals.root.path(), id)?;
        let progress = Progress::new(image.layers.iter().map(|layer| layer.size));
        let unpacked = as_root(|| {
            let request = Request {
                image: &image,
                wishes: &wishes,
                options: &unpack::options(flags)?,
                mode: unpack::mode(flags),
                store: &store,
                progress: &progress,
                is_temporary: true,
            };
            progress::shown(&progress, || request.unpack(path, path))
        });
        match unpacked {
            Ok(_) => Ok(bundle),
            Err(error) => {
                bundle.remove();
                Err(error)
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.staging.path()
    }

    /// Leaves it to the container, if there is one; else removes it.
    pub fn release(self, globals: &Globals, id: &ContainerId) {
        if belongs_to(self.path(), &globals.root, id) {
            self.staging.keep();
        } else {
            self.remove();
        }
    }

    fn remove(self) {
        if let Err(error) = as_root(|| remove_tree(self.path())) {
            log::warn!("{error}");
        }
    }
}

fn write_owner(bundle: &Path, root: &Path, id: &ContainerId) -> Result<()> {
    let path = bundle.join(OWNER);
    let owner = Owner {
        root: root.to_owned(),
        id: id.to_string(),
    };
    let text = serde_json::to_vec(&owner).map_err(std::io::Error::from);
    text.and_then(|text| std::fs::write(&path, text))
        .context(|| format!("writing {}", path.display()))
}

fn belongs_to(bundle: &Path, root: &Root, id: &ContainerId) -> bool {
    let record = root.open(id).and_then(|directory| directory.read());
    record.is_ok_and(|record| record.owns_bundle && record.bundle == bundle)
}

/// Whether the container that a bundle was made for is still there.
fn is_wanted(bundle: &Path) -> bool {
    let owner = std::fs::read(bundle.join(OWNER)).unwrap_or_default();
    let Ok(owner) = serde_json::from_slice::<Owner>(&owner) else {
        return false;
    };
    ContainerId::new(&owner.id).is_ok_and(|id| belongs_to(bundle, &Root::new(owner.root), &id))
}

/// Removes what killed runs have left.
///
/// # Errors
/// Where an ordinary user cannot have a user namespace.
pub fn clean(store: &Store) -> Result<()> {
    as_root(|| {
        store.clean_running(is_wanted);
        Ok(())
    })
}
