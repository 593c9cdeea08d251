//! From an image to a bundle: in a directory of no name, which gets its name when all is done.

use super::bundle::{self, Wishes};
use super::descriptors::MoreDescriptors;
use super::layer::{self, Options, Progress};
use super::overlay::Overlay;
use super::source::Image;
use super::store::staging::{self, Staging};
use super::store::{InUse, Prepared, Store, random_name, remove_tree};
use crate::config::Config;
use crate::directories;
use crate::error::{Code, Context, Error, Result};
use crate::spec;
use rustix::fs::Mode as FileMode;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// How a bundle comes by its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    /// One directory of its own.
    Flat,
    /// Layers of the store, and a writable one of its own.
    Overlay,
}

/// What is to be unpacked, and how.
#[derive(Debug)]
pub struct Request<'a> {
    /// The image.
    pub image: &'a Image,
    /// What the user wants otherwise than the image.
    pub wishes: &'a Wishes,
    /// How layers are unpacked.
    pub options: &'a Options,
    /// None is overlay where it can be.
    pub mode: Option<Mode>,
    /// Where layers are kept.
    pub store: &'a Store,
    /// Shown to the user.
    pub progress: &'a Progress,
    /// The bundle is for one container and goes with it.
    pub is_temporary: bool,
}

impl Request<'_> {
    /// Makes the bundle in `directory`, which will be called `target`; tells in which mode.
    ///
    /// # Errors
    /// What is wrong with the image, or with the disk.
    pub fn unpack(&self, directory: &Path, target: &Path) -> Result<Mode> {
        let _more = MoreDescriptors::allow();
        let rootfs = directory.join("rootfs");
        make_directory(&rootfs, 0o755)?;
        let can_stack = match self.mode {
            Some(Mode::Flat) => None,
            _ => Some(self.try_overlay(directory)),
        };
        let mode = match can_stack {
            None => Mode::Flat,
            Some(Ok(())) => Mode::Overlay,
            Some(Err(error)) if self.mode.is_some() => return Err(error),
            Some(Err(error)) => {
                log::info!("unpacking without overlay: {error}");
                Mode::Flat
            }
        };
        match mode {
            Mode::Flat => self.flat(directory, &rootfs)?,
            Mode::Overlay => self.overlay(directory, target)?,
        }
        Ok(mode)
    }

    /// Whether an overlay with its writable layer in `directory` is possible: the kernel knows
    /// best.
    fn try_overlay(&self, directory: &Path) -> Result<()> {
        let trial = directory.join("trial");
        make_directory(&trial, 0o700)?;
        make_directory(&trial.join("layer"), 0o700)?;
        drop(Overlay::make_upper(&trial)?);
        let mut overlay = Overlay::new(
            String::new(),
            trial.clone(),
            trial.clone(),
            vec!["layer".into()],
        );
        overlay.user_xattrs = self.user_xattrs();
        let result = overlay.mount(&trial).map(drop);
        remove_tree(&trial)?;
        result
    }

    fn user_xattrs(&self) -> bool {
        self.options.overlay_xattrs == layer::OverlayXattrs::User
    }

    fn flat(&self, directory: &Path, rootfs: &Path) -> Result<()> {
        let scratch = directory.join("scratch");
        make_directory(&scratch, 0o700)?;
        let root = open(rootfs)?;
        layer::unpack_flat(
            &self.image.layers,
            root.as_fd(),
            open(&scratch)?.as_fd(),
            self.options,
            self.progress,
        )?;
        remove_tree(&scratch)?;
        let config = bundle::config(&self.image.config, self.wishes, || Ok(root))?;
        write_config(&config, directory)
    }

    fn overlay(&self, directory: &Path, target: &Path) -> Result<()> {
        self.store.make()?;
        let in_use = self.store.in_use()?;
        let layers = &self.image.layers;
        let prepared = self
            .store
            .prepare(&in_use, layers, self.options, self.progress)?;
        let mut overlay = Overlay::new(
            random_name()?,
            target.to_owned(),
            self.store.path().to_owned(),
            prepared.stack(),
        );
        overlay.user_xattrs = self.user_xattrs();
        overlay.is_temporary = self.is_temporary;
        self.make_upper(directory, &prepared)?;
        let config = bundle::config(&self.image.config, self.wishes, || {
            overlay.mount_read_only()
        })?;
        write_config(&config, directory)?;
        overlay.write(directory)?;
        self.register(&in_use, &overlay, directory, &prepared)
    }

    /// The root of the stack is the writable layer's: it gets what the image says of it.
    fn make_upper(&self, directory: &Path, prepared: &Prepared) -> Result<()> {
        let upper = Overlay::make_upper(directory)?;
        let Some(layer) = prepared.root() else {
            return Ok(());
        };
        let tree = self.store.path().join(layer.tree());
        layer::copy_root(open(&tree)?.as_fd(), upper.as_fd())
            .context(|| "setting the root directory's attributes")
    }

    fn register(
        &self,
        in_use: &InUse,
        overlay: &Overlay,
        directory: &Path,
        prepared: &Prepared,
    ) -> Result<()> {
        // The store sees a temporary one for itself.
        if !self.is_temporary {
            self.store.register(in_use, overlay, directory)?;
        }
        self.store.keep(in_use, self.image, prepared)
    }
}

/// Unpacks into a new bundle at `target`: it is complete when it is there.
///
/// # Errors
/// Where there is something already; see [`Request::unpack`].
pub fn to(request: &Request<'_>, target: &Path) -> Result<Mode> {
    let target = absolute(target)?;
    let Some(parent) = target.parent() else {
        return Err(Error::new(Code::Usage, "/ is no place for a bundle"));
    };
    refuse_existing(&target)?;
    let prefix = staging::prefix(&target);
    staging::clean(parent, &prefix);
    let staging = Staging::make(parent, &prefix)?;
    let mode = request.unpack(staging.path(), &target)?;
    staging.finish(&target)?;
    Ok(mode)
}

/// The path with its parent resolved: the store keeps it, and links may change.
fn absolute(target: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(target).context(|| "finding out where we are")?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(path);
    };
    let parent = parent
        .canonicalize()
        .context(|| format!("opening {}", parent.display()))?;
    Ok(parent.join(name))
}

fn refuse_existing(target: &Path) -> Result<()> {
    let exists = |what: &str| {
        Err(Error::new(
            Code::Exists,
            format!("{} {what}", target.display()),
        ))
    };
    match std::fs::symlink_metadata(target) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).context(|| format!("looking at {}", target.display())),
        Ok(metadata) if !metadata.is_dir() => exists("exists"),
        Ok(_) => {
            let mut entries =
                std::fs::read_dir(target).context(|| format!("reading {}", target.display()))?;
            match entries.next() {
                Some(_) => exists("exists and is not empty"),
                None => Ok(()),
            }
        }
    }
}

/// Makes a directory of that very mode, whatever the umask.
fn make_directory(path: &Path, mode: u32) -> Result<()> {
    let doing = || format!("making {}", path.display());
    rustix::fs::mkdir(path, FileMode::RWXU).context(doing)?;
    rustix::fs::chmod(path, FileMode::from_raw_mode(mode)).context(doing)
}

fn open(directory: &Path) -> Result<OwnedFd> {
    directories::open(directory).context(|| format!("opening {}", directory.display()))
}

fn write_config(config: &Config, directory: &Path) -> Result<()> {
    let path = directory.join("config.json");
    let doing = || format!("writing {}", path.display());
    let text = spec::to_json(config).context(doing)?;
    std::fs::write(&path, text).context(doing)
}
