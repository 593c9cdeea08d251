//! Users of an image: `Config.User` and `--user`, by the rootfs' own passwd and group.
//!
//! The rootfs is an image's, and so anything: its files are found inside it, must be regular
//! (a fifo would hold us up for ever, CVE-2024-9676), and are read up to a limit.

use crate::config::process::User;
use crate::error::{Code, Context, Error, Result};
use crate::image::document::invalid;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The most that is read of passwd or group: far more than a directory of users has.
const LIMIT: u64 = 16 << 20;

/// What says all by itself: nothing, which is root, or "uid:gid".
pub fn numeric(text: &str) -> Option<User> {
    if text.is_empty() {
        return Some(User::default());
    }
    let (uid, gid) = text.split_once(':')?;
    Some(User {
        uid: number(uid)?,
        gid: number(gid)?,
        ..User::default()
    })
}

/// Resolves "user", "uid", "user:group" and so on (config.md, "User"; conversion.md,
/// "Config.User").
///
/// # Errors
/// A user or group that is not in the rootfs' files.
pub fn resolve(text: &str, rootfs: BorrowedFd<'_>) -> Result<User> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let mut resolved = User::default();
    let entry = match number(user) {
        Some(uid) => {
            resolved.uid = uid;
            // Its group is that of the user who has this number, if any does.
            match group {
                None => find(&passwd(rootfs)?, |entry| entry.uid == uid),
                Some(_) => None,
            }
        }
        None if user.is_empty() => None,
        None => {
            let entry = find(&passwd(rootfs)?, |entry| entry.name == user)
                .ok_or_else(|| unknown("user", user, "passwd"))?;
            resolved.uid = entry.uid;
            Some(entry)
        }
    };
    match (group, entry) {
        (Some(group), _) => resolved.gid = group_id(group, rootfs)?,
        (None, Some(entry)) => {
            resolved.gid = entry.gid;
            // A number stands for itself: only a name brings its further groups along.
            if entry.name == user {
                resolved.additional_gids = groups_of(user, entry.gid, rootfs)?;
            }
        }
        (None, None) => {}
    }
    Ok(resolved)
}

/// An id. The last one means "no change" to the kernel, and nobody has it.
fn number(text: &str) -> Option<u32> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| is_decimal)?;
    (number != u32::MAX).then_some(number)
}

/// A line of passwd(5).
#[derive(Clone)]
struct Entry {
    name: String,
    uid: u32,
    gid: u32,
}

fn passwd(rootfs: BorrowedFd<'_>) -> Result<Vec<Entry>> {
    let text = read(rootfs, "etc/passwd")?;
    let entry = |line: &str| {
        let mut fields = line.split(':');
        Some(Entry {
            name: fields.next()?.to_owned(),
            uid: number(fields.nth(1)?.trim())?,
            gid: number(fields.next()?.trim())?,
        })
    };
    Ok(text.lines().filter_map(entry).collect())
}

fn find(entries: &[Entry], is_wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
    entries.iter().find(|entry| is_wanted(entry)).cloned()
}

/// Name, number and members of the lines of group(5).
fn groups(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = number(fields.nth(1)?.trim())?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

fn group_id(group: &str, rootfs: BorrowedFd<'_>) -> Result<u32> {
    if let Some(gid) = number(group) {
        return Ok(gid);
    }
    let text = read(rootfs, "etc/group")?;
    let found = groups(&text).find(|(name, ..)| *name == group);
    found
        .map(|(_, gid, _)| gid)
        .ok_or_else(|| unknown("group", group, "group"))
}

/// `NGROUPS_MAX`.
const MOST_GROUPS: usize = 65_536;

/// The groups that have `user` as a member, but for the user's own.
fn groups_of(user: &str, own: u32, rootfs: BorrowedFd<'_>) -> Result<Vec<u32>> {
    let text = read(rootfs, "etc/group")?;
    let mut gids = BTreeSet::new();
    for (_, gid, members) in groups(&text) {
        let is_member = members.split(',').any(|member| member.trim() == user);
        if is_member && gid != own {
            gids.insert(gid);
        }
    }
    if gids.len() > MOST_GROUPS {
        return Err(invalid(format!(
            "{user:?} is in {} groups of the image's /etc/group; Linux allows {MOST_GROUPS}",
            gids.len()
        )));
    }
    Ok(gids.into_iter().collect())
}

fn unknown(what: &str, name: &str, file: &str) -> Error {
    invalid(format!(
        "there is no {what} {name:?} in the image's /etc/{file}"
    ))
    .hint("choose another with --user; a number needs no entry")
}

/// Reads a file of the rootfs; one that is not there is empty.
fn read(rootfs: BorrowedFd<'_>, path: &str) -> Result<String> {
    let doing = || format!("reading the image's /{path}");
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    // No magic links: there is no procfs in an image.
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let place = match rustix::fs::openat2(rootfs, path, flags, Mode::empty(), resolve) {
        Ok(place) => place,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        Err(error) => return Err(Error::system(doing(), error)),
    };
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&place).context(doing)?.st_mode);
    if kind != FileType::RegularFile {
        return Err(invalid(format!("{}: it is no regular file", doing())));
    }
    // The same file, by what is open already.
    let file = File::open(format!("/proc/self/fd/{}", place.as_raw_fd())).context(doing)?;
    let mut text = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut text).context(doing)?;
    if text.len() as u64 > LIMIT {
        return Err(Error::new(
            Code::InvalidImage,
            format!("{}: it is larger than {} MiB", doing(), LIMIT >> 20),
        ));
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::path::PathBuf;

    struct Rootfs(PathBuf);

    impl Rootfs {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("tare-users-{name}-{}", std::process::id()));
            std::fs::create_dir_all(path.join("etc")).unwrap();
            Self(path)
        }

        fn with_files(name: &str) -> Self {
            let rootfs = Self::new(name);
            let passwd = "root:x:0:0::/root:/bin/sh\n# comment\nbad:x:no:0::/:\nnobody:x:4294967295:0::/:\n\
                          alice:x:1000:100:A:/home/alice:/bin/sh\n";
            let group = "root:x:0:\nusers:x:100:alice\nwheel:x:10:bob,alice\naudio:x:29:alice\n\
                         video:x:29:alice\nstaff:x:50:bob\n";
            std::fs::write(rootfs.0.join("etc/passwd"), passwd).unwrap();
            std::fs::write(rootfs.0.join("etc/group"), group).unwrap();
            rootfs
        }

        fn resolve(&self, text: &str) -> Result<(u32, u32, Vec<u32>)> {
            let dir = File::open(&self.0).unwrap();
            resolve(text, dir.as_fd()).map(|user| (user.uid, user.gid, user.additional_gids))
        }
    }

    impl Drop for Rootfs {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn names_and_numbers() {
        let rootfs = Rootfs::with_files("names");
        for (text, uid, gid, more) in [
            ("", 0, 0, vec![]),
            ("alice", 1000, 100, vec![10, 29]),
            ("alice:", 1000, 100, vec![10, 29]),
            ("alice:staff", 1000, 50, vec![]),
            ("alice:7", 1000, 7, vec![]),
            ("1000", 1000, 100, vec![]),
            ("1000:staff", 1000, 50, vec![]),
            ("4242", 4242, 0, vec![]),
            ("4242:4243", 4242, 4243, vec![]),
            (":staff", 0, 50, vec![]),
        ] {
            assert_eq!(rootfs.resolve(text).unwrap(), (uid, gid, more), "{text:?}");
        }
        for text in [
            "bob",
            "alice:nobody",
            "bad",
            "nobody",
            "-1",
            "+1",
            "4294967295",
            "4294967296",
        ] {
            assert!(rootfs.resolve(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_rootfs_without_files_has_numbers_alone() {
        let rootfs = Rootfs::new("none");
        assert_eq!(rootfs.resolve("5:6").unwrap(), (5, 6, vec![]));
        assert_eq!(rootfs.resolve("5").unwrap(), (5, 0, vec![]));
        assert!(rootfs.resolve("root").is_err());
    }

    /// CVE-2024-9676.
    #[test]
    fn a_fifo_and_a_directory_are_refused_at_once() {
        let rootfs = Rootfs::new("fifo");
        let passwd = rootfs.0.join("etc/passwd");
        rustix::fs::mknodat(rustix::fs::CWD, &passwd, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let error = rootfs.resolve("alice").unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
        std::fs::remove_file(&passwd).unwrap();
        std::fs::create_dir(&passwd).unwrap();
        assert!(rootfs.resolve("alice").is_err());
    }

    #[test]
    fn links_stay_in_the_rootfs() {
        let rootfs = Rootfs::with_files("links");
        std::fs::remove_file(rootfs.0.join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("/../../usr/passwd", rootfs.0.join("etc/passwd")).unwrap();
        assert!(rootfs.resolve("root").is_err());
        std::fs::create_dir(rootfs.0.join("usr")).unwrap();
        std::fs::write(rootfs.0.join("usr/passwd"), "root:x:0:3::/:").unwrap();
        assert_eq!(rootfs.resolve("root").unwrap(), (0, 3, vec![]));
    }
}
