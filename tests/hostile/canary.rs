//! What must not change: a directory of the host, and all that links can be made to lead there.

use crate::harness::{Container, Sandbox};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

/// A file of the host that is always there, and whose content makes the kernel run programs.
const CORE_PATTERN: &str = "/proc/sys/kernel/core_pattern";

/// A directory on the host, what it was like, and what else of the host an attack could change.
pub struct Canary {
    dir: PathBuf,
    before: BTreeMap<String, String>,
    core_pattern: String,
}

impl Canary {
    pub fn new(t: &Sandbox) -> Self {
        Self::of(t, 0)
    }

    /// One that this user may change.
    pub fn of(t: &Sandbox, user: u32) -> Self {
        let dir = t.dir(&format!("canary{}", t.number()));
        for file in ["file", "ptmx", "null", "console"] {
            fs::write(dir.join(file), "untouched").unwrap();
        }
        for inner in ["pts", "shm", "attr"] {
            fs::create_dir(dir.join(inner)).unwrap();
        }
        fs::write(dir.join("attr/exec"), "untouched").unwrap();
        let owner = format!("{user}:{user}");
        let path = dir.to_str().unwrap();
        t.command("chown").args(["-R", &owner, path]).run().ok();
        Self {
            before: list(&dir),
            dir,
            core_pattern: fs::read_to_string(CORE_PATTERN).unwrap(),
        }
    }

    /// Its path.
    pub fn path(&self) -> &str {
        self.dir.to_str().unwrap()
    }

    /// Its path with something below it.
    pub fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.path())
            .trim_end_matches('/')
            .to_owned()
    }

    #[track_caller]
    pub fn assert_untouched(&self, what: &str) {
        assert_eq!(list(&self.dir), self.before, "{what}");
        let core_pattern = fs::read_to_string(CORE_PATTERN).unwrap();
        assert_eq!(core_pattern, self.core_pattern, "{what}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.path()), "{what}: {mounts}");
    }
}

/// All that is in a directory, with its owner, mode, inode, time and content; and its own.
fn list(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut add = |path: &Path| {
        let meta = fs::symlink_metadata(path).unwrap();
        let content = match meta.is_file() {
            true => fs::read_to_string(path).unwrap(),
            false => String::new(),
        };
        let said = format!(
            "{:o} {}:{} {} {}.{} {content}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.ino(),
            meta.mtime(),
            meta.mtime_nsec()
        );
        found.insert(path.to_str().unwrap().to_owned(), said);
        meta.is_dir()
    };
    add(dir);
    let mut below = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if add(&path) {
            below.push(path);
        }
    }
    for path in below {
        found.extend(list(&path));
    }
    found
}

/// What stands in the rootfs where the runtime looks for something of its own.
#[derive(Clone, Copy, Debug)]
pub enum Attack {
    /// A link to the canary from the root down.
    Absolute,
    /// The same by more `..` than there are directories.
    Up,
    /// The same by the magic link of a process that sees the host.
    HostsRoot,
    /// A link to a descriptor that a careless caller left open on the canary.
    Descriptor,
    /// A link to a file of procfs that only the host's root may write.
    CorePattern,
    /// A link to nothing.
    Dangling,
    /// A link to itself.
    Loop,
    /// A fifo, which makes whoever opens it wait.
    Fifo,
    /// A file of the canary under another name.
    HardLink,
}

impl Attack {
    pub const ALL: [Self; 9] = [
        Self::Absolute,
        Self::Up,
        Self::HostsRoot,
        Self::Descriptor,
        Self::CorePattern,
        Self::Dangling,
        Self::Loop,
        Self::Fifo,
        Self::HardLink,
    ];

    /// Puts it at `at` in the rootfs, leading to `below` of the canary, in place of what is there.
    pub fn plant(self, t: &Sandbox, c: &Container, at: &str, canary: &Canary, below: &str) {
        let target = canary.below(below);
        let up = "../".repeat(20);
        match self {
            Self::Absolute => link(c, at, &target),
            Self::Up => link(c, at, &format!("{up}{}", target.trim_start_matches('/'))),
            Self::HostsRoot => link(c, at, &format!("/proc/1/root{target}")),
            Self::Descriptor => link(c, at, &format!("/proc/self/fd/{LEFT_OPEN}/{below}")),
            Self::CorePattern => link(c, at, CORE_PATTERN),
            Self::Dangling => link(c, at, "/no/such/place"),
            Self::Loop => link(c, at, at.rsplit('/').next().unwrap()),
            Self::Fifo => {
                let path = c.rootfs(at);
                clear(&path);
                t.command("mkfifo").arg(path.to_str().unwrap()).run().ok();
            }
            Self::HardLink => {
                let path = c.rootfs(at);
                clear(&path);
                let file = match Path::new(&target).is_file() {
                    true => target,
                    false => canary.below("file"),
                };
                fs::hard_link(file, path).unwrap();
            }
        }
    }
}

/// The descriptor that [`Attack::Descriptor`] counts on.
pub const LEFT_OPEN: u32 = 7;

/// Puts a link in place of whatever is at this path of the rootfs.
pub fn link(c: &Container, at: &str, to: &str) {
    let path = c.rootfs(at);
    clear(&path);
    symlink(to, path).unwrap();
}

fn clear(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(path).unwrap();
    } else {
        let _ = fs::remove_file(path);
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
}

/// Keeps the mounts of the default config but for those at or below a path.
pub fn without_mounts(c: &mut Container, path: &str) {
    let list = c.config["mounts"].as_array_mut().unwrap();
    list.retain(|mount| !mount["destination"].as_str().unwrap().starts_with(path));
}
