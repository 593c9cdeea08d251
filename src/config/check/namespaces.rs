//! `linux.namespaces` (config-linux.md, "Namespaces"), and what needs one of them.

use super::{Findings, at};
use crate::config::linux::{Clock, Linux, NamespaceKind};

/// Checks the list itself, and the fields that are nothing without a namespace.
pub(super) fn check(linux: &Linux, findings: &mut Findings) {
    for (index, namespace) in linux.namespaces.iter().enumerate() {
        let earlier = &linux.namespaces[..index];
        if earlier.iter().any(|other| other.kind == namespace.kind) {
            let message = format!(
                "malformed spec file: duplicated ns {:?}",
                namespace.kind.name()
            );
            findings.fault(at!["linux", "namespaces", index, "type"], message);
        }
        if let Some(path) = &namespace.path {
            findings.absolute(at!["linux", "namespaces", index, "path"], path);
        }
    }
    check_user(linux, findings);
    check_time(linux, findings);
    if linux.namespace(NamespaceKind::Mount).is_none() {
        let lists = [
            ("maskedPaths", &linux.masked_paths),
            ("readonlyPaths", &linux.readonly_paths),
        ];
        for (key, _) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            let message = "unable to restrict sys entries without a private MNT namespace";
            findings.fault(at!["linux", key], message);
        }
    }
    if linux.namespace(NamespaceKind::Network).is_none() && !linux.net_devices.is_empty() {
        let message = "unable to move network devices without a NET namespace";
        findings.fault(at!["linux", "netDevices"], message);
    }
}

/// A path and mappings together are no fault: containerd and CRI-O give both, and runc
/// accepts them where they agree, which takes a look at the namespace.
fn check_user(linux: &Linux, findings: &mut Findings) {
    let mappings = [
        ("uidMappings", "uid", &linux.uid_mappings),
        ("gidMappings", "gid", &linux.gid_mappings),
    ];
    let Some(namespace) = linux.namespace(NamespaceKind::User) else {
        for (key, _, _) in mappings.into_iter().filter(|(_, _, list)| !list.is_empty()) {
            let message =
                "user namespace mappings specified, but user namespace isn't enabled in the config";
            findings.fault_with_hint(
                at!["linux", key],
                message,
                "add {\"type\": \"user\"} to linux.namespaces",
            );
        }
        return;
    };
    let Some(index) = linux.namespaces.iter().position(|other| other == namespace) else {
        return;
    };
    let place = at!["linux", "namespaces", index];
    if namespace.path.is_some() {
        return;
    }
    if mappings.iter().all(|(_, _, list)| list.is_empty()) {
        let message = "user namespaces enabled, but no namespace path to join nor mappings to apply specified";
        findings.fault(place, message);
        return;
    }
    for (_, ids, _) in mappings.into_iter().filter(|(_, _, list)| list.is_empty()) {
        let message = format!("user namespaces enabled, but no {ids} mappings found");
        findings.fault(place.clone(), message);
    }
}

fn check_time(linux: &Linux, findings: &mut Findings) {
    let message = match linux.namespace(NamespaceKind::Time) {
        None => "time namespace offsets specified, but time namespace isn't enabled in the config",
        Some(namespace) if namespace.path.is_some() => {
            "time namespace enabled, but both namespace path and time offsets specified -- you may only provide one"
        }
        Some(_) => "",
    };
    if !linux.time_offsets.is_empty() && !message.is_empty() {
        findings.fault(at!["linux", "timeOffsets"], message);
    }
    for (clock, offset) in &linux.time_offsets {
        if offset.nanosecs >= 1_000_000_000 {
            let clock = match clock {
                Clock::Monotonic => "monotonic",
                Clock::Boottime => "boottime",
            };
            let path = at!["linux", "timeOffsets", clock, "nanosecs"];
            findings.fault(path, "is a second or more");
        }
    }
}
