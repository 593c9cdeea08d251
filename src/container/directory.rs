//! The state directory: finding, making, locking, reading, writing and removing it.

use super::gate;
use super::id::ContainerId;
use super::record::Record;
use crate::directories;
use crate::error::{Code, Context, Error, Result};
use crate::flock;
use crate::hooks::Status;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOCK: &str = "lock";
const STATE: &str = "state.json";

/// How long another command may be at work on the container before we give up.
pub const PATIENCE: Duration = Duration::from_secs(10);

const CONFIG: &str = "config.json";

/// `--root`: the directory of all state directories.
#[derive(Clone, Debug)]
pub struct Root(PathBuf);

impl Root {
    /// The root at `path`, which need not be there.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the directory of a new container, locked.
    ///
    /// # Errors
    /// Where there is one of that id, [`Code::Exists`].
    pub fn create(&self, id: &ContainerId) -> Result<(Directory, Lock)> {
        let path = self.0.join(id);
        let doing = || format!("making the state directory {}", path.display());
        std::os::unix::fs::DirBuilderExt::mode(std::fs::DirBuilder::new().recursive(true), 0o700)
            .create(&self.0)
            .context(doing)?;
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Err(Errno::EXIST) => return Err(already_exists(id, &path)),
            other => other.context(doing)?,
        }
        let directory = Directory {
            fd: directories::open(&path).context(doing)?,
            path,
        };
        let lock = directory.lock(Duration::ZERO)?;
        Ok((directory, lock))
    }

    /// Where the directory of a new container would be.
    ///
    /// # Errors
    /// Where there is one of that id, [`Code::Exists`].
    pub fn vacant(&self, id: &ContainerId) -> Result<PathBuf> {
        let path = self.0.join(id);
        match path.exists() {
            true => Err(already_exists(id, &path)),
            false => Ok(path),
        }
    }

    /// Opens a container's directory.
    ///
    /// # Errors
    /// Where there is none, [`Code::NotFound`] in runc's words.
    pub fn open(&self, id: &ContainerId) -> Result<Directory> {
        let path = self.0.join(id);
        match directories::open(&path) {
            Ok(fd) => Ok(Directory { fd, path }),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(not_found(id.as_str())),
            Err(error) => Err(Error::system(
                format!("opening the state directory {}", path.display()),
                error,
            )),
        }
    }

    /// The directories of all containers, by id; what is being made or removed is left out. Each
    /// is opened when it is asked for: there may be more of them than descriptors to be had.
    ///
    /// # Errors
    /// Those of reading the root; one that is not there is empty. Of each, those of opening it.
    pub fn all(&self) -> Result<impl Iterator<Item = Result<Directory>>> {
        let mut ids = self.ids()?;
        ids.sort_unstable();
        Ok(ids.into_iter().filter_map(|id| match self.open(&id) {
            Err(error) if error.code() == Code::NotFound => None,
            other => Some(other),
        }))
    }

    fn ids(&self) -> Result<Vec<ContainerId>> {
        let doing = || format!("reading {}", self.0.display());
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.context(doing)?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.context(doing)?.file_name();
            ids.extend(name.to_str().and_then(|name| ContainerId::new(name).ok()));
        }
        Ok(ids)
    }
}

fn already_exists(id: &ContainerId, path: &Path) -> Error {
    let message = format!("container with given ID already exists: {id}");
    let path = path.display();
    Error::new(Code::Exists, message).hint(format!(
        "delete it, or look for it with: list; its state is in {path}"
    ))
}

fn not_found(id: &str) -> Error {
    // Engines match these words.
    Error::new(
        Code::NotFound,
        format!("container {id:?}: container does not exist"),
    )
}

/// One container's state directory.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the lock of all that changes the container, waiting at most `patience`.
    ///
    /// # Errors
    /// At the deadline, [`Code::Timeout`].
    pub fn lock(&self, patience: Duration) -> Result<Lock> {
        let doing = || format!("locking {}", self.path.display());
        let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, LOCK, flags, Mode::RUSR | Mode::WUSR) {
            // Removed since it was opened.
            Err(Errno::NOENT) => return Err(not_found(&self.id())),
            other => other.context(doing)?,
        };
        match flock::exclusive(&file, patience) {
            Ok(()) => Ok(Lock(file)),
            Err(Errno::WOULDBLOCK) => {
                let message = format!("{}: another command is at work on the container", doing());
                Err(Error::new(Code::Timeout, message))
            }
            Err(error) => Err(Error::system(doing(), error)),
        }
    }

    /// The container's id: the directory's name.
    pub fn id(&self) -> String {
        self.path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// Writes state.json: whole, and only then in place of the old one.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, record: &Record) -> Result<()> {
        let doing = || format!("writing {}/{STATE}", self.path.display());
        let json = serde_json::to_vec(record)
            .map_err(|e| Error::new(Code::System, format!("{}: {e}", doing())))?;
        self.replace_file(STATE, &json).context(doing)
    }

    /// Keeps the config as it was at the create, for `exec`.
    ///
    /// # Errors
    /// Those of writing.
    pub fn keep_config(&self, json: &[u8]) -> Result<()> {
        self.write_file(CONFIG, json)
            .context(|| format!("writing {}/{CONFIG}", self.path.display()))
    }

    /// Keeps another config in its place, whole: somebody may be reading it.
    ///
    /// # Errors
    /// Those of writing.
    pub fn replace_config(&self, json: &[u8]) -> Result<()> {
        self.replace_file(CONFIG, json)
            .context(|| format!("writing {}/{CONFIG}", self.path.display()))
    }

    /// The path of the kept config.
    pub fn config_path(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    fn replace_file(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let temporary = format!(".{name}");
        self.write_file(&temporary, bytes)?;
        Ok(rustix::fs::renameat(&self.fd, &temporary, &self.fd, name)?)
    }

    fn write_file(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        let flags =
            OFlags::CREATE | OFlags::TRUNC | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?;
        std::fs::File::from(file).write_all(bytes)
    }

    /// Reads state.json.
    ///
    /// # Errors
    /// [`Code::NotFound`] where there is none: the container is being made or removed.
    pub fn read(&self) -> Result<Record> {
        let path = self.path.join(STATE);
        let doing = || format!("reading {}", path.display());
        // By descriptor: the path may be another container's by now.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, STATE, flags, Mode::empty()) {
            Err(Errno::NOENT) => return Err(not_found(&self.id())),
            other => other.context(doing)?,
        };
        let mut json = Vec::new();
        std::fs::File::from(file)
            .read_to_end(&mut json)
            .context(doing)?;
        serde_json::from_slice(&json)
            .map_err(|e| Error::new(Code::System, format!("{}: {e}", doing())))
    }

    /// What the container is doing now.
    ///
    /// # Errors
    /// Those of looking at its cgroup or its gate.
    pub fn status(&self, record: &Record) -> Result<Status> {
        let Some(process) = record.process else {
            // The intent of a create that died: there is nothing left that could run.
            return Ok(if record.creator.is_alive() {
                Status::Creating
            } else {
                Status::Stopped
            });
        };
        if !process.is_alive() {
            return Ok(Status::Stopped);
        }
        if record.cgroups.is_frozen()? {
            return Ok(Status::Paused);
        }
        Ok(if gate::is_closed(self.as_fd())? {
            Status::Created
        } else {
            Status::Running
        })
    }

    /// Removes the directory and all in it: this one, whose path may be the next container's by
    /// now, if another `delete` was faster.
    ///
    /// # Errors
    /// Those of unlink(2) and rmdir(2), but where it is gone.
    pub fn remove(&self) -> Result<()> {
        let doing = || format!("removing {}", self.path.display());
        loop {
            self.empty().context(doing)?;
            if rustix::fs::fstat(&self.fd).context(doing)?.st_nlink == 0 {
                return Ok(());
            }
            match rustix::fs::rmdir(&self.path) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // Who wants the lock now makes it anew.
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                Err(error) => return Err(Error::system(doing(), error)),
            }
        }
    }

    /// Removes all that is in the directory; the lock last, for which others wait.
    fn empty(&self) -> std::io::Result<()> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let name = entry?.file_name().to_owned();
            if name != c"." && name != c".." {
                names.push(name);
            }
        }
        names.sort_by_key(|name| name.as_bytes() == LOCK.as_bytes());
        for name in &names {
            match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) => self.remove_below(name)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn remove_below(&self, name: &CStr) -> std::io::Result<()> {
        let name = std::ffi::OsStr::from_bytes(name.to_bytes());
        let directory = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        match std::fs::remove_dir_all(Path::new(&directory).join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// The lock of a container: whoever holds it may change the container. It lasts until every
/// descriptor of it is closed, here and in the process that it was sent to.
#[derive(Debug)]
pub struct Lock(OwnedFd);

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
