//! User and group ids and their mappings (config-linux.md, "User namespace mappings").

use super::{Findings, at};
use crate::config::Config;
use crate::config::linux::{IdMapping, Linux, NamespaceKind};
use crate::config::path::{Path, Step};
use crate::config::process::User;

/// As many lines as user_namespaces(7) lets a map have.
const MOST_MAPPINGS: usize = 340;

/// setuid(2) and chown(2) take this for "leave it as it is".
const NO_ID: u32 = u32::MAX;

pub(super) fn check(config: &Config, findings: &mut Findings) {
    check_mappings(
        &at!["linux", "uidMappings"],
        &config.linux.uid_mappings,
        findings,
    );
    check_mappings(
        &at!["linux", "gidMappings"],
        &config.linux.gid_mappings,
        findings,
    );
    for (index, device) in config.linux.devices.iter().enumerate() {
        for (key, id) in [("uid", device.uid), ("gid", device.gid)] {
            if id == Some(NO_ID) {
                findings.fault(at!["linux", "devices", index, key], "is not an id");
            }
        }
    }
}

/// What the kernel would refuse of a map, by the entry that is wrong.
pub(super) fn check_mappings(path: &Path, mappings: &[IdMapping], findings: &mut Findings) {
    let entry = |index: usize| {
        let mut path = path.clone();
        path.0.push(Step::Index(index));
        path
    };
    if mappings.len() > MOST_MAPPINGS {
        let message = format!("has more entries than the {MOST_MAPPINGS} that the kernel takes");
        findings.fault(path.clone(), message);
    }
    for (index, mapping) in mappings.iter().enumerate() {
        let fits = |first: u32| first.checked_add(mapping.size).is_some();
        if mapping.size == 0 {
            findings.fault(entry(index), "maps no ids: its size is 0");
        } else if !fits(mapping.container_id) || !fits(mapping.host_id) {
            findings.fault(
                entry(index),
                format!("goes beyond the last id, {}", NO_ID - 1),
            );
        }
    }
    let inside = overlap(mappings, |mapping| mapping.container_id);
    let outside = overlap(mappings, |mapping| mapping.host_id);
    for (side, found) in [("in the container", inside), ("on the host", outside)] {
        if let Some((index, other)) = found {
            findings.fault(entry(index), format!("overlaps {} {side}", entry(other)));
        }
    }
}

/// Two entries that have an id in common, the later one first.
fn overlap(mappings: &[IdMapping], first: fn(&IdMapping) -> u32) -> Option<(usize, usize)> {
    let mut order: Vec<usize> = (0..mappings.len()).collect();
    order.sort_by_key(|&index| first(&mappings[index]));
    order.windows(2).find_map(|pair| {
        let [lower, upper] = [&mappings[pair[0]], &mappings[pair[1]]];
        let meets = u64::from(first(lower)) + u64::from(lower.size) > u64::from(first(upper));
        meets.then(|| (pair[0].max(pair[1]), pair[0].min(pair[1])))
    })
}

/// The process's ids, which a user namespace made here must have.
pub(super) fn check_user(user: &User, linux: &Linux, findings: &mut Findings) {
    let is_made_here = linux
        .namespace(NamespaceKind::User)
        .is_some_and(|namespace| namespace.path.is_none());
    if !is_made_here {
        return;
    }
    let ids = [
        ("uid", user.uid, &linux.uid_mappings),
        ("gid", user.gid, &linux.gid_mappings),
    ];
    for (key, id, mappings) in ids {
        if !mappings.is_empty() && !is_mapped(id, mappings) {
            let message = format!("{id} is not mapped in the user namespace");
            findings.fault_with_hint(
                at!["user", key],
                message,
                &format!("see linux.{key}Mappings"),
            );
        }
    }
}

fn is_mapped(id: u32, mappings: &[IdMapping]) -> bool {
    mappings.iter().any(|mapping| {
        id.checked_sub(mapping.container_id)
            .is_some_and(|offset| offset < mapping.size)
    })
}

/// That no id is the one that stands for none.
pub(super) fn check_ids(user: &User, findings: &mut Findings) {
    let mut check = |path: Path, id: u32| {
        if id == NO_ID {
            findings.fault(path, format!("{id} is not an id"));
        }
    };
    check(at!["user", "uid"], user.uid);
    check(at!["user", "gid"], user.gid);
    for (index, gid) in user.additional_gids.iter().enumerate() {
        check(at!["user", "additionalGids", index], *gid);
    }
}
