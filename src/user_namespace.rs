//! An ordinary user as root of a user namespace: what it takes to give an image's files their
//! owners, to stack its layers, and to remove what belongs to other ids.

use crate::config::linux::IdMapping;
use crate::error::{Code, Context, Error, Result};
use crate::init::wire::{FromParent, Wire};
use crate::launch::mappings;
use crate::spawn::Child;
use crate::sys::clone::{Clone, Forked, fork};
use crate::sys::exec;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What the ids of a user namespace are outside of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMappings {
    /// Of users.
    pub uids: Vec<IdMapping>,
    /// Of groups.
    pub gids: Vec<IdMapping>,
}

impl IdMappings {
    /// All that the caller has: their own id as root, and from 1 up the ranges that subuid(5) and
    /// subgid(5) give them, where there are helpers to map these.
    pub fn of_caller() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        let names = names(uid);
        let more_uids = ranges("/etc/subuid", &names);
        let more_gids = ranges("/etc/subgid", &names);
        let helpers = ["newuidmap", "newgidmap"];
        let has_more = !more_uids.is_empty() && !more_gids.is_empty();
        if !has_more
            || helpers
                .iter()
                .any(|helper| mappings::find(helper).is_none())
        {
            return Self {
                uids: vec![first(uid)],
                gids: vec![first(gid)],
            };
        }
        Self {
            uids: [vec![first(uid)], more_uids].concat(),
            gids: [vec![first(gid)], more_gids].concat(),
        }
    }
}

fn first(host_id: u32) -> IdMapping {
    IdMapping {
        container_id: 0,
        host_id,
        size: 1,
    }
}

/// How files of the system may call the user: by number, or by name.
fn names(uid: u32) -> Vec<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let name = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    };
    let found = passwd.lines().find_map(name);
    found.into_iter().chain([number.clone()]).collect()
}

/// The user's ranges in subuid(5) or subgid(5), one after the other from 1 up.
fn ranges(file: &str, names: &[String]) -> Vec<IdMapping> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut next = 1_u32;
    let mut ranges = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, start, count] = fields[..] else {
            continue;
        };
        let (Ok(host_id), Ok(size)) = (start.parse::<u32>(), count.parse::<u32>()) else {
            continue;
        };
        let fits = host_id.checked_add(size).is_some() && next.checked_add(size).is_some();
        if names.iter().any(|known| known == name) && size > 0 && fits {
            ranges.push(IdMapping {
                container_id: next,
                host_id,
                size,
            });
            next += size;
        }
    }
    ranges
}

/// Does `work` as root: as it is, or for an ordinary user in a process in a user namespace of
/// theirs, which lives no longer than that and not longer than we do.
///
/// # Errors
/// Where there can be no such namespace; those of the work.
pub fn as_root<T: Serialize + DeserializeOwned>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    if rustix::process::geteuid().is_root() {
        return work();
    }
    let doing = || "making a user namespace to unpack in";
    let (ours, theirs) = Wire::pair()?;
    let clone = Clone {
        namespaces: (libc::CLONE_NEWUSER | libc::CLONE_NEWNS) as u64,
        ..Clone::default()
    };
    let forked = fork(&clone)
        .context(doing)
        .map_err(|error| error.hint("see user.max_user_namespaces"))?;
    let (pid, pidfd) = match forked {
        Forked::Child => {
            drop(ours);
            let result = set_parent_process_death_signal(Some(Signal::KILL))
                .context(doing)
                .and_then(|()| theirs.await_continue())
                .and_then(|()| work());
            let sent = theirs.send(&result, &[]);
            exec::exit_now(i32::from(sent.is_err()))
        }
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(theirs);
    let _ended_when_dropped = Child::new(pidfd);
    let ids = IdMappings::of_caller();
    mappings::write(pid, "the user namespace", &ids.uids, &ids.gids)?;
    ours.send(&FromParent::Continue, &[])?;
    match ours.receive::<Result<T>>()? {
        Some((result, _)) => result,
        None => Err(Error::new(
            Code::Protocol,
            "the process in the user namespace was killed",
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_several_lines_follow_each_other() {
        let file = std::env::temp_dir().join(format!("tare-subuid-{}", std::process::id()));
        let text = "alice:100000:65536\nbob:1:1\n1000:300000:10\nalice:4294967295:2\nalice:x:1\n";
        std::fs::write(&file, text).unwrap();
        let found = ranges(file.to_str().unwrap(), &["alice".into(), "1000".into()]);
        std::fs::remove_file(&file).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|range| (range.container_id, range.host_id, range.size))
            .collect();
        assert_eq!(found, [(1, 100_000, 65_536), (65_537, 300_000, 10)]);
        assert!(ranges("/no/such/file", &[]).is_empty());
    }
}
