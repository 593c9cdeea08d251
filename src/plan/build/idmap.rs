//! The id mapping of a bind mount: from its `uidMappings` and `gidMappings`, from its option
//! `idmap` or `ridmap`, or from the container's user namespace, in this order.

use crate::config::linux::{IdMapping, Linux};
use crate::config::mount::Mount;
use crate::error::{Code, Error, Result};
use crate::plan::options::Options;
use std::collections::BTreeMap;

/// An id-mapped mount (mount_setattr(2), Linux 5.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// Which ids become which.
    pub mapping: Mapping,
    /// `ridmap`: for the mounts below as well.
    pub recursive: bool,
}

/// Which ids of the files become which of the mount's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// As the container's user namespace has it.
    Container,
    /// The mount's own.
    Own(Mappings),
}

/// The two maps of a user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mappings {
    /// Of users.
    pub uids: Vec<IdMapping>,
    /// Of groups.
    pub gids: Vec<IdMapping>,
}

/// The id-mapped mounts, by their place in the plan's list.
pub type IdMaps = BTreeMap<usize, IdMap>;

/// The id mapping that is asked for: mappings make one, with or without the option.
pub fn plan(mount: &Mount, options: &Options, linux: &Linux) -> Result<Option<IdMap>> {
    if !mount.is_id_mapped() {
        return Ok(None);
    }
    // It takes CAP_SYS_ADMIN where the file system was mounted.
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new(
            Code::Unsupported,
            "id-mapped mounts are not supported for rootless containers",
        )
        .hint("they need a runtime that is run as root"));
    }
    let option = options.idmap.as_ref();
    let in_option = option.and_then(|option| option.mapping.as_deref());
    let mapping = if !mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty() {
        Mapping::Own(Mappings {
            uids: mount.uid_mappings.clone(),
            gids: mount.gid_mappings.clone(),
        })
    } else if let Some(text) = in_option {
        Mapping::Own(parse(text, linux)?)
    } else {
        Mapping::Container
    };
    Ok(Some(IdMap {
        mapping,
        recursive: option.is_some_and(|option| option.recursive),
    }))
}

/// Reads the mapping of an option as crun(1) describes it, "idmap mount options":
/// "uids=0-1-10#10-11-10;gids=@0-100-10".
fn parse(text: &str, linux: &Linux) -> Result<Mappings> {
    let mut mappings = Mappings {
        uids: Vec::new(),
        gids: Vec::new(),
    };
    for part in text.split(';').filter(|part| !part.is_empty()) {
        let (list, container, ranges) = match part.split_once('=') {
            Some(("uids", ranges)) => (&mut mappings.uids, &linux.uid_mappings, ranges),
            Some(("gids", ranges)) => (&mut mappings.gids, &linux.gid_mappings, ranges),
            _ => return Err(wrong(part, "is neither \"uids=\" nor \"gids=\"")),
        };
        for range in ranges.split('#') {
            list.extend(parse_range(range, container)?);
        }
    }
    if mappings.uids.is_empty() || mappings.gids.is_empty() {
        return Err(wrong(text, "must have both uids and gids"));
    }
    Ok(mappings)
}

/// One range: its first id in the file system, its first id on the host, its size. With "@" the
/// second is an id in the container instead.
fn parse_range(text: &str, container: &[IdMapping]) -> Result<Vec<IdMapping>> {
    let (relative, numbers) = match text.strip_prefix('@') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let numbers: Option<Vec<u32>> = numbers.split('-').map(|id| id.parse().ok()).collect();
    let Some(&[container_id, host_id, size]) = numbers.as_deref() else {
        return Err(wrong(text, "is not a range like \"0-1000-10\""));
    };
    if container_id.checked_add(size).is_none() || host_id.checked_add(size).is_none() {
        return Err(wrong(text, "goes beyond the last id"));
    }
    let range = IdMapping {
        container_id,
        host_id,
        size,
    };
    if !relative {
        return Ok(vec![range]);
    }
    on_the_host(range, container)
        .ok_or_else(|| wrong(text, "has ids that the container's user namespace has not"))
}

/// Turns a range whose second ids are the container's into one whose are the host's, in as many
/// pieces as it takes.
fn on_the_host(mut range: IdMapping, container: &[IdMapping]) -> Option<Vec<IdMapping>> {
    let mut pieces = Vec::new();
    while range.size > 0 {
        let (host_id, size) = container.iter().find_map(|mapping| {
            let offset = range.host_id.checked_sub(mapping.container_id)?;
            let rest = mapping.size.checked_sub(offset).filter(|rest| *rest > 0)?;
            Some((mapping.host_id.checked_add(offset)?, rest.min(range.size)))
        })?;
        pieces.push(IdMapping {
            host_id,
            size,
            ..range
        });
        range.container_id += size;
        range.host_id += size;
        range.size -= size;
    }
    Some(pieces)
}

fn wrong(text: &str, why: &str) -> Error {
    Error::new(
        Code::InvalidConfig,
        format!("the option idmap: {text:?} {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping {
            container_id,
            host_id,
            size,
        }
    }

    #[test]
    fn ranges_are_read() {
        let mappings = parse("uids=0-1-10#10-11-10;gids=0-100-10", &Linux::default()).unwrap();
        assert_eq!(mappings.uids, [mapping(0, 1, 10), mapping(10, 11, 10)]);
        assert_eq!(mappings.gids, [mapping(0, 100, 10)]);
    }

    /// The example of crun(1).
    #[test]
    fn a_relative_range_counts_in_the_container() {
        let container = [mapping(0, 0, 1), mapping(1, 2, 1000)];
        let read = parse_range("@1-3-10", &container).unwrap();
        assert_eq!(read, [mapping(1, 4, 10)]);
        let read = parse_range("@7-0-3", &container).unwrap();
        assert_eq!(read, [mapping(7, 0, 1), mapping(8, 2, 2)]);
        assert!(parse_range("@0-1000-2", &container).is_err());
        assert!(parse_range("@0-0-1", &[]).is_err());
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "1-2",
            "1-2-3-4",
            "1--3",
            "a-b-c",
            "4294967295-0-2",
            "0-4294967295-2",
        ] {
            assert!(parse_range(text, &[]).is_err(), "{text}");
        }
    }
}
