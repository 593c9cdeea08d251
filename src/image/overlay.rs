//! overlay.json: what a bundle's root is stacked from, and the stacking itself.
//!
//! The bundle carries the writable layer; the read-only ones are the store's. They are mounted
//! anew for each container, as a mount that is attached nowhere until the container's own mount
//! namespace has it: the host sees no mount, and none has to survive a reboot.

use crate::directories;
use crate::error::{Code, Context, Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The file's name in the bundle.
pub const FILE: &str = "overlay.json";

/// The only version of the file there is.
const VERSION: u32 = 1;

/// The bundle's writable layer, and the directory that the kernel wants beside it.
const UPPER: &str = "upper";
const WORK: &str = "work";

/// What a bundle's root is stacked from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overlay {
    version: u32,
    /// By which the store knows the bundle.
    pub id: String,
    /// Where the bundle was made.
    pub bundle: PathBuf,
    /// The store.
    pub store: PathBuf,
    /// The layers' directories in the store, the topmost first.
    pub layers: Vec<PathBuf>,
    /// Whether overlayfs keeps its marks in `user.overlay.*`.
    pub user_xattrs: bool,
    /// Whether the bundle is for one container alone and goes with it: what is written there need
    /// not survive the machine.
    pub is_temporary: bool,
}

impl Overlay {
    /// A bundle of that id on the store's `layers`.
    pub fn new(id: String, bundle: PathBuf, store: PathBuf, layers: Vec<PathBuf>) -> Self {
        Self {
            version: VERSION,
            id,
            bundle,
            store,
            layers,
            user_xattrs: false,
            is_temporary: false,
        }
    }

    /// The store's names of its layers, the topmost first.
    pub fn keys(&self) -> Vec<&str> {
        self.layers
            .iter()
            .filter_map(|path| path.parent()?.file_name()?.to_str())
            .collect()
    }

    /// That of a bundle, where it has one.
    ///
    /// # Errors
    /// Where the file is not one that we understand.
    pub fn of_bundle(bundle: &Path) -> Result<Option<Self>> {
        let path = bundle.join(FILE);
        let doing = || format!("reading {}", path.display());
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.context(doing)?,
        };
        let wrong =
            |why: String| Error::new(Code::InvalidConfig, format!("{}: {why}", path.display()));
        let overlay: Self =
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if overlay.version != VERSION {
            return Err(wrong(format!("version {} is not known", overlay.version))
                .hint("it was written by a newer tare"));
        }
        Ok(Some(overlay))
    }

    /// Writes the file into a bundle.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, bundle: &Path) -> Result<()> {
        let path = bundle.join(FILE);
        let doing = || format!("writing {}", path.display());
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::new(Code::System, format!("{}: {error}", doing())))?;
        let mut file = std::fs::File::create_new(&path).context(doing)?;
        file.write_all(&text).context(doing)
    }

    /// Makes the writable layer in a bundle, and returns it: it is the container's root
    /// directory, whose attributes are for the caller to set.
    ///
    /// # Errors
    /// Those of mkdir(2).
    pub fn make_upper(bundle: &Path) -> Result<OwnedFd> {
        let mut builder = std::fs::DirBuilder::new();
        for (name, mode) in [(UPPER, 0o755), (WORK, 0o700)] {
            let path = bundle.join(name);
            builder
                .mode(mode)
                .create(&path)
                .context(|| format!("making {}", path.display()))?;
        }
        let upper = open(&bundle.join(UPPER))?;
        // Not as the umask would have it.
        rustix::fs::fchmod(&upper, Mode::from_raw_mode(0o755))
            .context(|| "making the writable layer")?;
        Ok(upper)
    }

    /// Stacks all of it, as a mount that is attached nowhere.
    ///
    /// # Errors
    /// A layer that is gone from the store; what the kernel does not like.
    pub fn mount(&self, bundle: &Path) -> Result<OwnedFd> {
        let layers: Result<Vec<OwnedFd>> =
            self.layers.iter().map(|layer| self.open(layer)).collect();
        let layers = layers?;
        let stack = Stack {
            layers: layers.iter().map(AsFd::as_fd).collect(),
            writable: Some((open(&bundle.join(UPPER))?, open(&bundle.join(WORK))?)),
            user_xattrs: self.user_xattrs,
            volatile: self.is_temporary,
        };
        stack
            .mount()
            .context(|| format!("stacking the layers of {}", bundle.display()))
    }

    /// The layers alone, for a look at them.
    ///
    /// # Errors
    /// As [`Self::mount`].
    pub fn mount_read_only(&self) -> Result<OwnedFd> {
        // One layer is no stack to overlayfs.
        if let [only] = &self.layers[..] {
            return self.open(only);
        }
        let layers: Result<Vec<OwnedFd>> =
            self.layers.iter().map(|layer| self.open(layer)).collect();
        let layers = layers?;
        let stack = Stack {
            layers: layers.iter().map(AsFd::as_fd).collect(),
            writable: None,
            user_xattrs: self.user_xattrs,
            volatile: false,
        };
        stack.mount().context(|| "stacking the image's layers")
    }

    fn open(&self, layer: &Path) -> Result<OwnedFd> {
        open(&self.store.join(layer)).map_err(|error| match error.errno() {
            Some(Errno::NOENT) => error
                .with_code(Code::NotFound)
                .hint("the bundle's layer is gone from the store: unpack the image again"),
            _ => error,
        })
    }
}

fn open(directory: &Path) -> Result<OwnedFd> {
    directories::open(directory).context(|| format!("opening {}", directory.display()))
}

/// An overlay to be.
struct Stack<'a> {
    /// The topmost first.
    layers: Vec<BorrowedFd<'a>>,
    /// The upper directory and the work directory.
    writable: Option<(OwnedFd, OwnedFd)>,
    user_xattrs: bool,
    volatile: bool,
}

impl Stack<'_> {
    fn mount(&self) -> Result<OwnedFd> {
        let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
            .context(|| "opening overlayfs")
            .map_err(|error| match error.errno() {
                Some(Errno::NODEV) => {
                    error.hint("the kernel lacks it, or the module is not loaded")
                }
                _ => error,
            })?;
        self.create(context.as_fd())
            .map_err(|error| explain(context.as_fd(), error))?;
        let none = MountAttrFlags::empty();
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, none)
            .context(|| "mounting the overlay")
    }

    fn create(&self, context: BorrowedFd<'_>) -> rustix::io::Result<()> {
        use rustix::mount::{fsconfig_set_flag, fsconfig_set_string};
        fsconfig_set_string(context, "source", "tare")?;
        if self.user_xattrs {
            fsconfig_set_flag(context, "userxattr")?;
        }
        if self.volatile {
            match fsconfig_set_flag(context, "volatile") {
                // Before Linux 5.10 everything is kept.
                Err(Errno::INVAL) => {}
                other => other?,
            }
        }
        match self.set_by_descriptor(context) {
            Err(Errno::INVAL | Errno::BADF) => self.create_by_name(context),
            other => other.and_then(|()| rustix::mount::fsconfig_create(context)),
        }
    }

    /// Linux 6.13. What /proc/mounts shows then are the directories' real paths.
    fn set_by_descriptor(&self, context: BorrowedFd<'_>) -> rustix::io::Result<()> {
        use rustix::mount::fsconfig_set_fd;
        for layer in &self.layers {
            fsconfig_set_fd(context, "lowerdir+", layer)?;
        }
        if let Some((upper, work)) = &self.writable {
            fsconfig_set_fd(context, "upperdir", upper)?;
            fsconfig_set_fd(context, "workdir", work)?;
        }
        Ok(())
    }

    /// fsconfig(2) takes strings of less than 256 bytes, and before Linux 6.5 one of them has
    /// all layers: so they are named by nothing but their descriptors' numbers.
    fn create_by_name(&self, context: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let here = rustix::fs::open(c".", flags, Mode::empty())?;
        rustix::process::chdir(c"/proc/self/fd")?;
        let result = self
            .set_by_name(context)
            .and_then(|()| rustix::mount::fsconfig_create(context));
        rustix::process::fchdir(here)?;
        result
    }

    fn set_by_name(&self, context: BorrowedFd<'_>) -> rustix::io::Result<()> {
        use rustix::mount::fsconfig_set_string;
        let names: Vec<String> = self.layers.iter().map(number).collect();
        let one_by_one = names
            .iter()
            .try_for_each(|name| fsconfig_set_string(context, "lowerdir+", name.as_str()));
        match one_by_one {
            // Before Linux 6.5.
            Err(Errno::INVAL) => fsconfig_set_string(context, "lowerdir", names.join(":"))?,
            other => other?,
        }
        if let Some((upper, work)) = &self.writable {
            fsconfig_set_string(context, "upperdir", number(upper))?;
            fsconfig_set_string(context, "workdir", number(work))?;
        }
        Ok(())
    }
}

fn number(fd: &impl AsFd) -> String {
    fd.as_fd().as_raw_fd().to_string()
}

/// The error, with what the kernel wrote about it into the context (fsopen(2)).
fn explain(context: BorrowedFd<'_>, error: Errno) -> Error {
    let mut text = [0; 1024];
    let error = Error::system("making the overlay", error);
    match rustix::io::read(context, &mut text) {
        // "e overlay: ..."
        Ok(read) if read > 2 => {
            let words = String::from_utf8_lossy(&text[2..read]);
            error.context(words.trim_end())
        }
        _ => error,
    }
}
