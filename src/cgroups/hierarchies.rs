//! The cgroup hierarchies of this host: which there are, where they are mounted, and where
//! in each this process is.
//!
//! /proc/self/cgroup names them; the mount points are where every distribution has them,
//! checked by the kind of file system. /proc/self/mountinfo, slow on a node with many
//! mounts, is read only where that does not answer.

use super::files;
use super::path::{Base, CgroupPath};
use crate::error::{Code, Context, Error, Result};
use crate::mountinfo;
use rustix::io::Errno;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";
/// linux/magic.h
const CGROUP_SUPER_MAGIC: i64 = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;
/// kernfs numbers its nodes from the root on.
const ROOT_INODE: u64 = 1;

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// As in /proc/self/cgroup: "cpu" and "cpuacct", or "name=systemd"; none for v2's.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
    /// The cgroup of this process in it.
    own: String,
}

/// What is mounted at /sys/fs/cgroup.
#[derive(Debug)]
pub(super) enum Layout {
    /// v1 hierarchies, perhaps with a v2 one beside them that has no controllers.
    V1(Vec<Hierarchy>),
    /// v2 alone.
    V2(Hierarchy),
}

/// Looks at the host.
pub(super) fn detect() -> Result<Layout> {
    if is_mounted(Path::new(ROOT), CGROUP2_SUPER_MAGIC)? {
        let v2 = read_own()?
            .into_iter()
            .find(|own| own.controllers.is_empty());
        let v2 = v2.ok_or_else(|| {
            Error::new(
                Code::Unsupported,
                "/proc/self/cgroup does not name cgroup v2",
            )
        })?;
        return Ok(Layout::V2(v2.mounted_at(PathBuf::from(ROOT))));
    }
    let mounts = Mounts::default();
    let mut found = Vec::new();
    for own in read_own()? {
        if let Some(mount) = mount_point(&own, &mounts)? {
            found.push(own.mounted_at(mount));
        }
    }
    match found
        .iter()
        .all(|hierarchy| hierarchy.controllers.is_empty())
    {
        true => Err(
            Error::new(Code::Unsupported, "no cgroup hierarchy is mounted")
                .hint("mount cgroup2 at /sys/fs/cgroup"),
        ),
        false => Ok(Layout::V1(found)),
    }
}

impl Hierarchy {
    /// The directory of `path` in this hierarchy.
    pub fn resolve(&self, path: &CgroupPath) -> Result<PathBuf> {
        let base = match path.base() {
            Base::MountPoint => self.mount.clone(),
            Base::Own => self.own_directory()?,
        };
        Ok(base.join(path.below()))
    }

    /// Where this process is. Its path in /proc/self/cgroup starts at the hierarchy's root
    /// (or our cgroup namespace's), the mount may start below: in a container that was given
    /// its own sub-tree, the two are not the same.
    pub fn own_directory(&self) -> Result<PathBuf> {
        let own = self.own.trim_start_matches('/');
        if is_whole(&self.mount)? {
            return Ok(self.mount.join(own));
        }
        let mounts = Mounts::default();
        let mount = mounts.get()?.iter().rfind(|m| m.point == self.mount);
        let root = mount.map_or("/", |mount| mount.root.as_str());
        match below(root, &self.own) {
            Some(below) => Ok(self.mount.join(below)),
            None => Err(Error::new(
                Code::Unsupported,
                format!(
                    "our own cgroup {} is not below {}, which shows {root}",
                    self.own,
                    self.mount.display()
                ),
            )
            .hint("set linux.cgroupsPath to an absolute path")),
        }
    }
}

/// Whether a mount shows a hierarchy from its root on, and not from further down.
pub(super) fn is_whole(mount: &Path) -> Result<bool> {
    let looking = || format!("looking at {}", mount.display());
    Ok(rustix::fs::stat(mount).context(looking)?.st_ino == ROOT_INODE)
}

/// `path` as seen from `root`, if it is there or below.
fn below<'a>(root: &str, path: &'a str) -> Option<&'a str> {
    let rest = path.strip_prefix(root.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.trim_start_matches('/'))
}

/// A line of /proc/self/cgroup.
#[derive(Debug, PartialEq, Eq)]
struct Own {
    controllers: Vec<String>,
    path: String,
}

impl Own {
    fn mounted_at(self, mount: PathBuf) -> Hierarchy {
        Hierarchy {
            controllers: self.controllers,
            mount,
            own: self.path,
        }
    }
}

fn read_own() -> Result<Vec<Own>> {
    let text = files::read_named(Path::new("/proc/self/cgroup"))?;
    Ok(text.lines().filter_map(parse_own).collect())
}

/// "4:cpu,cpuacct:/user.slice"; cgroups(7).
fn parse_own(line: &str) -> Option<Own> {
    let (_id, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let controllers = controllers.split(',').filter(|name| !name.is_empty());
    Some(Own {
        controllers: controllers.map(str::to_owned).collect(),
        path: path.to_owned(),
    })
}

/// Where a hierarchy is mounted; nowhere, for one that only the kernel still knows.
fn mount_point(own: &Own, mounts: &Mounts) -> Result<Option<PathBuf>> {
    let magic = match own.controllers.as_slice() {
        [] => CGROUP2_SUPER_MAGIC,
        _ => CGROUP_SUPER_MAGIC,
    };
    for guess in guesses(&own.controllers) {
        if is_mounted(&guess, magic)? {
            return Ok(Some(guess));
        }
    }
    let carrying = |mount: &&Mount| mount.carries(&own.controllers);
    for mount in mounts.get()?.iter().rev().filter(carrying) {
        // The table also lists what other mounts cover.
        if is_mounted(&mount.point, magic)? {
            return Ok(Some(mount.point.clone()));
        }
    }
    Ok(None)
}

/// The customary places: `unified` beside v1; "cpu,cpuacct" under that name, in which
/// distributions differ from the kernel's order; a named hierarchy under its name.
fn guesses(controllers: &[String]) -> Vec<PathBuf> {
    let root = Path::new(ROOT);
    let names = match controllers {
        [] => vec!["unified".to_owned()],
        [one] => vec![one.trim_start_matches("name=").to_owned()],
        many => {
            let reversed: Vec<_> = many.iter().rev().cloned().collect();
            vec![many.join(","), reversed.join(",")]
        }
    };
    names.iter().map(|name| root.join(name)).collect()
}

fn is_mounted(path: &Path, magic: i64) -> Result<bool> {
    match rustix::fs::statfs(path) {
        // The field's type differs between architectures; the values fit all of them.
        #[allow(clippy::unnecessary_cast)]
        Ok(statfs) => Ok(statfs.f_type as i64 == magic),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(Error::system(
            format!("looking at {}", path.display()),
            errno,
        )),
    }
}

/// The cgroup mounts of /proc/self/mountinfo, read when first asked for.
#[derive(Default)]
struct Mounts(OnceCell<Vec<Mount>>);

struct Mount {
    root: String,
    point: PathBuf,
    /// "cgroup" or "cgroup2".
    kind: String,
    options: String,
}

impl Mounts {
    fn get(&self) -> Result<&[Mount]> {
        if self.0.get().is_none() {
            let text = files::read_named(Path::new("/proc/self/mountinfo"))?;
            let mounts = text.lines().filter_map(parse_mount).collect();
            return Ok(self.0.get_or_init(|| mounts));
        }
        Ok(self.0.get().map_or(&[], Vec::as_slice))
    }
}

impl Mount {
    /// Whether it is the hierarchy with these controllers.
    fn carries(&self, controllers: &[String]) -> bool {
        match controllers {
            [] => self.kind == "cgroup2",
            all => {
                self.kind == "cgroup"
                    && all
                        .iter()
                        .all(|one| self.options.split(',').any(|o| o == one))
            }
        }
    }
}

/// "36 35 98:0 /root /point rw - cgroup cgroup rw,cpu,cpuacct"; proc_pid_mountinfo(5).
fn parse_mount(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let mut file_system = file_system.split(' ');
    let kind = file_system.next()?;
    if !matches!(kind, "cgroup" | "cgroup2") {
        return None;
    }
    Some(Mount {
        root: mountinfo::path(mount.next()?.as_bytes())
            .to_str()?
            .to_owned(),
        point: mountinfo::path(mount.next()?.as_bytes()),
        kind: kind.to_owned(),
        options: file_system.nth(1)?.to_owned(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn own_cgroups_are_read_with_named_and_unified_ones() {
        let cpu = parse_own("4:cpu,cpuacct:/user.slice").unwrap();
        assert_eq!(cpu.controllers, ["cpu", "cpuacct"]);
        assert_eq!(cpu.path, "/user.slice");
        let named = parse_own("1:name=systemd:/a:b").unwrap();
        assert_eq!(named.controllers, ["name=systemd"]);
        assert_eq!(named.path, "/a:b");
        assert!(parse_own("0::/").unwrap().controllers.is_empty());
        assert_eq!(parse_own("nonsense"), None);
    }

    #[test]
    fn mountinfo_lines_are_matched_by_all_controllers() {
        let line = "36 31 0:30 /sub\\040tree /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 \
                    - cgroup cgroup rw,cpu,cpuacct";
        let mount = parse_mount(line).unwrap();
        assert_eq!(mount.root, "/sub tree");
        assert!(mount.carries(&["cpuacct".to_owned(), "cpu".to_owned()]));
        assert!(!mount.carries(&["memory".to_owned()]));
        assert!(parse_mount("27 1 254:0 / / rw - ext4 /dev/vda rw").is_none());
    }

    #[test]
    fn own_path_is_taken_from_the_mounts_root() {
        assert_eq!(below("/docker/1", "/docker/1/sub"), Some("sub"));
        assert_eq!(below("/docker/1", "/docker/1"), Some(""));
        assert_eq!(below("/", "/user"), Some("user"));
        assert_eq!(below("/docker/1", "/docker/12"), None);
        assert_eq!(below("/../..", "/"), None);
    }

    #[test]
    fn customary_places() {
        let names = |list: &[&str]| -> Vec<PathBuf> {
            let owned: Vec<String> = list.iter().map(|name| (*name).to_owned()).collect();
            guesses(&owned)
        };
        assert_eq!(
            names(&["name=systemd"]),
            [Path::new("/sys/fs/cgroup/systemd")]
        );
        assert_eq!(names(&[]), [Path::new("/sys/fs/cgroup/unified")]);
        assert_eq!(
            names(&["cpuacct", "cpu"])[1],
            Path::new("/sys/fs/cgroup/cpu,cpuacct")
        );
    }
}
