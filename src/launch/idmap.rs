//! Id-mapped mounts: the user namespaces that stand for their mappings, and the mapping itself.
//!
//! The kernel takes the mapping of a mount from a user namespace, whose processes need not live
//! on. Only who has privilege over the source's file system may map it, so this is the parent's
//! part, done to a mount that is attached nowhere yet.

use super::mappings;
use crate::error::{Code, Context, Error, Result};
use crate::init::mounts::open_source;
use crate::mountinfo;
use crate::plan::build::{Mapping, Mappings};
use crate::spawn::Child;
use crate::sys::clone::{Clone, Forked, fork};
use crate::sys::exec;
use crate::sys::mount::{Change, set_attributes};
use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::process::Pid;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Since which Linux a file system can be id-mapped (mount_setattr(2), "ID-mapped mounts").
const SINCE: &[(&str, &str)] = &[
    ("btrfs", "5.15"),
    ("ceph", "6.7"),
    ("erofs", "5.19"),
    ("ext4", "5.12"),
    ("f2fs", "5.18"),
    ("fuse", "6.12, where its server agrees"),
    ("hugetlbfs", "6.9"),
    ("ntfs3", "5.15"),
    ("squashfs", "6.2"),
    ("tmpfs", "6.3"),
    ("vfat", "5.12"),
    ("xfs", "5.12"),
];

/// The user namespaces of the mappings that have come up, one for each.
#[derive(Debug, Default)]
pub struct UserNamespaces(Vec<(Mapping, OwnedFd)>);

impl UserNamespaces {
    /// The user namespace that has this mapping. `container` is the init stage; `at` is the
    /// mount's place in config.json.
    ///
    /// # Errors
    /// Where a namespace cannot be made, or refuses the mapping.
    pub fn get(&mut self, mapping: &Mapping, container: Pid, at: &str) -> Result<BorrowedFd<'_>> {
        let index = match self.0.iter().position(|(known, _)| known == mapping) {
            Some(index) => index,
            None => {
                let namespace = match mapping {
                    Mapping::Container => open(container).context(|| at)?,
                    Mapping::Own(mappings) => make(mappings, at)?,
                };
                self.0.push((mapping.clone(), namespace));
                self.0.len() - 1
            }
        };
        Ok(self.0[index].1.as_fd())
    }
}

/// A new user namespace with these mappings. It takes a process to make one, which lives no
/// longer than that.
fn make(mappings: &Mappings, at: &str) -> Result<OwnedFd> {
    let doing = || format!("{at}: making a user namespace for its mappings");
    let (wait, hold) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).context(doing)?;
    let clone = Clone {
        namespaces: libc::CLONE_NEWUSER as u64,
        ..Clone::default()
    };
    let (pid, pidfd) = match fork(&clone) {
        Ok(Forked::Child) => {
            drop(hold);
            // Until our end of the pipe is closed, be it by our death.
            let _ = rustix::io::retry_on_intr(|| rustix::io::read(&wait, &mut [0; 1]));
            exec::exit_now(0)
        }
        Ok(Forked::Parent { pid, pidfd }) => (pid, pidfd),
        Err(error) => {
            return Err(Error::system(doing(), error).hint("see user.max_user_namespaces"));
        }
    };
    let _ended_when_dropped = Child::new(pidfd);
    mappings::write(pid, at, &mappings.uids, &mappings.gids)?;
    open(pid)
}

fn open(pid: Pid) -> Result<OwnedFd> {
    let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
    let file = File::open(&path).context(|| format!("opening {path}"))?;
    Ok(file.into())
}

/// Maps the ids of the detached mount `tree`, a copy of what is at `source`.
///
/// # Errors
/// The file system that refuses, by name.
pub fn map_ids(
    tree: &OwnedFd,
    source: &CStr,
    namespace: BorrowedFd<'_>,
    recursive: bool,
) -> Result<()> {
    set_idmap(tree, namespace, recursive).map_err(|errno| {
        let doing = format!("setting MOUNT_ATTR_IDMAP on {}", source.to_string_lossy());
        let error = Error::system(doing, errno);
        match errno {
            Errno::NOSYS => error
                .with_code(Code::Unsupported)
                .hint("id-mapped mounts need Linux 5.12"),
            Errno::INVAL | Errno::PERM => match refusing(source, namespace, recursive) {
                Some(mount) => error.with_code(Code::Unsupported).hint(mount.why()),
                None => error,
            },
            _ => error,
        }
    })
}

fn set_idmap(tree: &OwnedFd, namespace: BorrowedFd<'_>, recursive: bool) -> rustix::io::Result<()> {
    let change = Change {
        idmap: Some(namespace),
        ..Change::default()
    };
    set_attributes(tree, change, recursive)
}

/// A mount that cannot be id-mapped, as the mount table has it.
#[derive(Debug, PartialEq, Eq)]
struct Refusing {
    id: u64,
    point: PathBuf,
    is_mapped: bool,
    kind: String,
}

/// Which mount at `source`, or with `recursive` below it, it is: each is tried by itself, as the
/// kernel does not tell.
fn refusing(source: &CStr, namespace: BorrowedFd<'_>, recursive: bool) -> Option<Refusing> {
    let source = Path::new(OsStr::from_bytes(source.to_bytes()))
        .canonicalize()
        .ok()?;
    let stat = rustix::fs::statx(
        rustix::fs::CWD,
        &source,
        AtFlags::empty(),
        StatxFlags::MNT_ID,
    );
    let top = stat.ok()?.stx_mnt_id;
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    table
        .lines()
        .filter_map(Refusing::parse)
        .filter(|mount| mount.id == top || recursive && mount.point.starts_with(&source))
        .find(|mount| {
            let path = if mount.id == top {
                &source
            } else {
                &mount.point
            };
            let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
                return false;
            };
            open_source(&path, false).is_ok_and(|tree| set_idmap(&tree, namespace, false).is_err())
        })
}

impl Refusing {
    /// Reads a line of the mount table: "36 35 98:0 /root /point rw,idmapped - ext4 /dev/sda rw";
    /// proc_pid_mountinfo(5).
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut fields = mount.split(' ');
        let id = fields.next()?.parse().ok()?;
        let point = mountinfo::path(fields.nth(3)?.as_bytes());
        Some(Self {
            id,
            point,
            is_mapped: fields.next()?.split(',').any(|option| option == "idmapped"),
            kind: file_system.split(' ').next()?.to_owned(),
        })
    }

    fn why(&self) -> String {
        let Self { point, kind, .. } = self;
        let place = point.display();
        if self.is_mapped {
            return format!("the mount at {place} is id-mapped already");
        }
        // "fuse.sshfs" names the server as well.
        let base = kind.split('.').next();
        match SINCE.iter().find(|(known, _)| Some(*known) == base) {
            Some((_, version)) => format!(
                "{kind}, the file system at {place}, can be id-mapped since Linux {version}, \
                 by root of the user namespace that mounted it"
            ),
            None => format!("{kind}, the file system at {place}, cannot be id-mapped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_mount_table_are_read() {
        let line = "36 35 98:0 /r /a\\040b rw,idmapped shared:1 - fuse.sshfs /dev/sda rw";
        let mount = Refusing::parse(line).unwrap();
        assert_eq!(mount.id, 36);
        assert_eq!(mount.point, Path::new("/a b"));
        assert!(mount.is_mapped);
        assert_eq!(mount.kind, "fuse.sshfs");
        assert_eq!(Refusing::parse("36 35 98:0"), None);
    }

    #[test]
    fn the_version_needed_is_named() {
        let line = |kind| format!("1 1 0:1 / /m rw - {kind} none rw");
        let why = |kind| Refusing::parse(&line(kind)).unwrap().why();
        assert!(why("tmpfs").contains("since Linux 6.3"));
        assert!(why("fuse.sshfs").contains("since Linux 6.12"));
        assert!(why("nfs4").contains("nfs4"));
    }
}
