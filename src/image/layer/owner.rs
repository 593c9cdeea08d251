//! Ids and what carries them: owners, file capabilities, access control lists.

use super::{IdRange, Owner};
use rustix::process::{Gid, Uid};

/// What is known about this process.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    pub uid: u32,
    pub gid: u32,
    /// The mode bits that the kernel takes away from new files.
    pub umask: u32,
}

impl Host {
    pub fn look() -> Self {
        Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            // Read, not changed: it is the whole process's. All bits where it is not known, so
            // that every mode is set explicitly.
            umask: umask().unwrap_or(0o777),
        }
    }
}

/// From /proc/self/status (Linux 4.7).
fn umask() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

impl Owner {
    /// What an image's ids are stored as.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(super) fn store(&self, uid: u32, gid: u32, host: Host) -> Result<(u32, u32), String> {
        match self {
            Self::Keep => Ok((uid, gid)),
            Self::Caller => Ok((host.uid, host.gid)),
            Self::Map { uids, gids } => {
                let outside = |what, id| format!("{what} id {id} is outside of the mapping");
                Ok((
                    map(uids, uid).ok_or_else(|| outside("user", uid))?,
                    map(gids, gid).ok_or_else(|| outside("group", gid))?,
                ))
            }
        }
    }

    /// The value of the xattr `name` as it is stored.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(super) fn store_xattr(&self, name: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let Self::Map { uids, gids } = self else {
            return Ok(None);
        };
        match name {
            b"security.capability" => {
                let root = map(uids, 0).ok_or("root is outside of the mapping")?;
                Ok(capability(value, root))
            }
            b"system.posix_acl_access" | b"system.posix_acl_default" => {
                let mut value = value.to_vec();
                acl(&mut value, uids, gids)?;
                Ok(Some(value))
            }
            _ => Ok(None),
        }
    }
}

fn map(ranges: &[IdRange], id: u32) -> Option<u32> {
    ranges.iter().find_map(|range| {
        let distance = id.checked_sub(range.inside)?;
        (distance < range.size).then_some(range.outside.checked_add(distance)?)
    })
}

/// A capability that root of the first user namespace gives is every namespace's; one that only
/// counts below a mapped root names that root (`struct vfs_ns_cap_data`, Linux 4.14).
fn capability(value: &[u8], root: u32) -> Option<Vec<u8>> {
    const REVISION: u32 = 0xff00_0000;
    const SECOND: u32 = 0x0200_0000;
    const THIRD: u32 = 0x0300_0000;
    let (magic, sets) = value.split_first_chunk::<4>()?;
    let magic = u32::from_le_bytes(*magic);
    if magic & REVISION != SECOND || sets.len() != 16 {
        return None;
    }
    let magic = magic & !REVISION | THIRD;
    Some([&magic.to_le_bytes()[..], sets, &root.to_le_bytes()[..]].concat())
}

/// `struct posix_acl_xattr_entry`: tag, permissions, id; after a version of four bytes.
fn acl(value: &mut [u8], uids: &[IdRange], gids: &[IdRange]) -> Result<(), String> {
    const USER: u16 = 2;
    const GROUP: u16 = 8;
    for entry in value.get_mut(4..).unwrap_or_default().chunks_exact_mut(8) {
        let (tag, rest) = entry.split_at_mut(2);
        let ranges = match u16::from_le_bytes([tag[0], tag[1]]) {
            USER => uids,
            GROUP => gids,
            _ => continue,
        };
        if let Some((_, id)) = rest.split_last_chunk_mut::<4>() {
            let inside = u32::from_le_bytes(*id);
            let outside = map(ranges, inside).ok_or_else(|| {
                format!("an access control list's id {inside} is outside of the mapping")
            })?;
            *id = outside.to_le_bytes();
        }
    }
    Ok(())
}

/// For rustix.
pub fn ids((uid, gid): (u32, u32)) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGES: [IdRange; 2] = [
        IdRange {
            inside: 0,
            outside: 1000,
            size: 1,
        },
        IdRange {
            inside: 1,
            outside: 100_000,
            size: 65_535,
        },
    ];

    #[test]
    fn ids_are_mapped_or_refused() {
        assert_eq!(map(&RANGES, 0), Some(1000));
        assert_eq!(map(&RANGES, 65_535), Some(165_534));
        assert_eq!(map(&RANGES, 65_536), None);
        let edge = [IdRange {
            inside: 0,
            outside: u32::MAX,
            size: 2,
        }];
        assert_eq!(map(&edge, 1), None);
    }

    #[test]
    fn a_capability_names_its_root() {
        let second = [&[1, 0, 0, 2][..], &[7; 16]].concat();
        let third = [&[1, 0, 0, 3][..], &[7; 16], &[0xe8, 3, 0, 0]].concat();
        assert_eq!(capability(&second, 1000), Some(third.clone()));
        assert_eq!(capability(&third, 1000), None);
        assert_eq!(capability(&[], 1000), None);
    }

    #[test]
    fn the_ids_of_an_acl_are_mapped() {
        let entry = |tag: u8, id: u32| [&[tag, 0, 6, 0][..], &id.to_le_bytes()].concat();
        let list = |user| [&[2, 0, 0, 0][..], &entry(1, u32::MAX), &entry(2, user)].concat();
        let mut value = list(5);
        acl(&mut value, &RANGES, &[]).unwrap();
        assert_eq!(value, list(100_004));
        assert!(acl(&mut list(70_000), &RANGES, &[]).is_err());
    }
}
