//! What is left of `linux` (config-linux.md): each of these stands alone.

use super::{Findings, at};
use crate::config::linux::{Device, DeviceKind, IntelRdt, Linux, NetDevice};
use crate::config::memory_policy::{MemoryPolicy, MemoryPolicyMode};
use crate::config::seccomp::Seccomp;
use std::collections::{BTreeMap, BTreeSet};

/// The kernel's dev_t has twelve bits for the major and twenty for the minor.
const MAJORS: u32 = 1 << 12;
const MINORS: u32 = 1 << 20;

/// Permissions and file type of st_mode.
const MODE_BITS: u32 = 0o177_777;

/// The kernel's IFNAMSIZ, which counts the end of the string.
const IFNAMSIZ: usize = 16;

pub(super) fn check(linux: &Linux, findings: &mut Findings) {
    for (index, device) in linux.devices.iter().enumerate() {
        check_device(index, device, findings);
    }
    check_net_devices(&linux.net_devices, findings);
    let lists = [
        ("maskedPaths", &linux.masked_paths),
        ("readonlyPaths", &linux.readonly_paths),
    ];
    for (key, list) in lists {
        for (index, path) in list.iter().enumerate() {
            findings.absolute(at!["linux", key, index], path);
        }
    }
    if let Some(rdt) = &linux.intel_rdt {
        check_intel_rdt(rdt, findings);
    }
    if let Some(policy) = &linux.memory_policy {
        check_memory_policy(policy, findings);
    }
    if linux
        .personality
        .as_ref()
        .is_some_and(|personality| !personality.flags.is_empty())
    {
        let message = "no personality flag is supported: the spec defines none";
        findings.fault(at!["linux", "personality", "flags"], message);
    }
    if let Some(seccomp) = &linux.seccomp {
        check_seccomp(seccomp, findings);
    }
}

fn check_device(index: usize, device: &Device, findings: &mut Findings) {
    let numbers = [
        ("major", device.major, MAJORS),
        ("minor", device.minor, MINORS),
    ];
    findings.absolute(at!["linux", "devices", index, "path"], &device.path);
    for (key, number, numbers) in numbers {
        match number {
            None if device.kind == DeviceKind::Fifo => {}
            None => {
                let message = format!("missing field `{key}`: only type \"p\" does without");
                findings.fault(at!["linux", "devices", index], message);
            }
            Some(number) if number >= numbers => {
                let message = format!("no {key} number is greater than {}", numbers - 1);
                findings.fault(at!["linux", "devices", index, key], message);
            }
            Some(_) => {}
        }
    }
    if device.file_mode.is_some_and(|mode| mode > MODE_BITS) {
        findings.fault(
            at!["linux", "devices", index, "fileMode"],
            "is not a file mode",
        );
    }
}

fn check_net_devices(devices: &BTreeMap<String, NetDevice>, findings: &mut Findings) {
    let mut inside = BTreeSet::new();
    for (outside, device) in devices {
        if !is_interface_name(outside) || outside.contains('%') {
            let message = format!("invalid network device name {outside:?}");
            findings.fault(at!["linux", "netDevices", outside], message);
        }
        let name = device.name.as_ref().unwrap_or(outside);
        // With one %d the kernel picks a number.
        let is_template = name.matches('%').count() == 1 && name.contains("%d");
        if device.name.is_some()
            && !(is_interface_name(name) && (is_template || !name.contains('%')))
        {
            let message = format!("invalid network device name {name:?}");
            findings.fault(at!["linux", "netDevices", outside, "name"], message);
        }
        if !inside.insert(name) && !is_template {
            let message = format!("{name:?} is the name of another of the devices");
            findings.fault(at!["linux", "netDevices", outside, "name"], message);
        }
    }
}

/// As the kernel's dev_valid_name() has it.
fn is_interface_name(name: &str) -> bool {
    let is_wrong = |byte: u8| matches!(byte, b'/' | b':' | 0x0B) || byte.is_ascii_whitespace();
    !matches!(name, "" | "." | "..") && name.len() < IFNAMSIZ && !name.bytes().any(is_wrong)
}

fn check_intel_rdt(rdt: &IntelRdt, findings: &mut Findings) {
    if let Some(id) = &rdt.clos_id {
        let is_wrong = matches!(id.as_str(), "." | "..") || id.contains('\n');
        if is_wrong || (id != "/" && id.contains('/')) {
            findings.fault(
                at!["linux", "intelRdt", "closID"],
                format!("invalid intelRdt.ClosID {id:?}"),
            );
        }
    }
    if let Some(schema) = &rdt.mem_bw_schema {
        let path = || at!["linux", "intelRdt", "memBwSchema"];
        if !schema.starts_with("MB:") {
            findings.fault(path(), "does not start with \"MB:\"");
        }
        if schema.contains('\n') {
            findings.fault(path(), "has more than one line");
        }
    }
    for (index, line) in rdt.schemata.iter().enumerate() {
        if line.contains('\n') {
            findings.fault(
                at!["linux", "intelRdt", "schemata", index],
                "has more than one line",
            );
        }
    }
    for (key, flag) in [("enableCMT", rdt.enable_cmt), ("enableMBM", rdt.enable_mbm)] {
        if flag == Some(true) {
            let message = "has no effect: runtime-spec 1.3 has enableMonitoring instead";
            findings.warning(at!["linux", "intelRdt", key], message);
        }
    }
}

fn check_memory_policy(policy: &MemoryPolicy, findings: &mut Findings) {
    use MemoryPolicyMode::{Default, Local, Preferred};
    let count = policy.nodes.as_ref().map_or(0, |nodes| nodes.count());
    let message = match policy.mode {
        Default | Local if count > 0 => {
            format!("memory policy mode requires 0 nodes but got {count}")
        }
        Default | Local | Preferred => return,
        _ if count > 0 => return,
        _ => "memory policy mode requires at least one node but got 0".to_owned(),
    };
    findings.fault(at!["linux", "memoryPolicy", "nodes"], message);
}

fn check_seccomp(seccomp: &Seccomp, findings: &mut Findings) {
    if seccomp.listener_metadata.is_some() && seccomp.listener_path.is_none() {
        let message = "must not be set without listenerPath";
        findings.fault(at!["linux", "seccomp", "listenerMetadata"], message);
    }
    for (index, rule) in seccomp.syscalls.iter().enumerate() {
        if rule.names.is_empty() {
            let path = at!["linux", "seccomp", "syscalls", index, "names"];
            findings.fault(path, "must contain at least one name");
        }
    }
}
