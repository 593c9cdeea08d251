//! `linux.sysctl` (config-linux.md, "Sysctl"): only what the container has of its own.
//!
//! CVE-2022-0811 came of letting kernel.core_pattern through, dressed as another's value.

use super::{Findings, at};
use crate::config::linux::{Linux, NamespaceKind};

/// The parameters of an IPC namespace, but for fs.mqueue.
const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

/// A parameter's place below /proc/sys, read as sysctl(8) does: the first separator tells
/// whether `.` or `/` separates, and where it is `.`, a `/` stands for a `.` of a name, as
/// in `net.ipv4.conf.eno2/100.rp_filter`. `None` where it is no such name.
pub fn proc_sys_path(name: &str) -> Option<String> {
    let path: String = match name.find(['.', '/']) {
        Some(first) if name.as_bytes()[first] == b'.' => name
            .chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                letter => letter,
            })
            .collect(),
        _ => name.to_owned(),
    };
    let is_name = |part: &str| {
        let is_odd = |letter: char| letter.is_control() || letter.is_whitespace();
        !matches!(part, "" | "." | "..") && !part.contains(is_odd)
    };
    path.split('/').all(is_name).then_some(path)
}

pub(super) fn check(linux: &Linux, findings: &mut Findings) {
    for (name, value) in &linux.sysctl {
        let path = || at!["linux", "sysctl", name];
        match proc_sys_path(name) {
            None => findings.fault(path(), "is not the name of a kernel parameter"),
            Some(parameter) => {
                if let Err((message, hint)) = check_namespace(&parameter, linux) {
                    findings.fault_with_hint(path(), format!("sysctl {name:?} {message}"), hint);
                }
            }
        }
        if value.contains(|letter: char| letter.is_control() && letter != '\t') {
            findings.fault(path(), "the value has a control character");
        }
    }
}

/// What is wrong with setting a parameter, and what to do about it.
fn check_namespace(parameter: &str, linux: &Linux) -> Result<(), (&'static str, &'static str)> {
    use NamespaceKind::{Ipc, Network, User, Uts};
    let has = |kind| linux.namespace(kind).is_some();
    let needs = |kind, message| match has(kind) {
        true => Ok(()),
        false => Err((
            message,
            "it needs a namespace of that kind in linux.namespaces",
        )),
    };
    if IPC.contains(&parameter) || parameter.starts_with("fs/mqueue/") {
        return needs(Ipc, "is not allowed in the hosts ipc namespace");
    }
    if parameter.starts_with("net/") {
        return needs(Network, "not allowed in host network namespace");
    }
    if parameter.starts_with("user/") {
        // Without one, the limits of all users of the host would change.
        return needs(User, "is not allowed without a user namespace");
    }
    match parameter {
        "kernel/domainname" => needs(Uts, "is not in a separate kernel namespace"),
        "kernel/hostname" => Err((
            "is not allowed as it conflicts with the OCI \"hostname\" field",
            "set hostname instead",
        )),
        _ => Err((
            "is not in a separate kernel namespace",
            "it would change the host; set it there",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_sysctl_reads_them() {
        let path = |name| proc_sys_path(name);
        let some = |path: &str| Some(path.to_owned());
        assert_eq!(path("net.ipv4.ip_forward"), some("net/ipv4/ip_forward"));
        assert_eq!(path("net/ipv4/ip_forward"), some("net/ipv4/ip_forward"));
        let vlan = some("net/ipv4/conf/eno2.100/rp_filter");
        assert_eq!(path("net.ipv4.conf.eno2/100.rp_filter"), vlan);
        assert_eq!(path("net/ipv4/conf/eno2.100/rp_filter"), vlan);
        assert_eq!(path("kernel"), some("kernel"));
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_name() {
        for name in [
            "",
            "net..ipv4",
            "net/../kernel/core_pattern",
            "net.//.kernel.core_pattern",
            "/kernel/sem",
            ".kernel.sem",
            "net/ipv4/",
            "net.ipv4 ",
            "net.\nipv4",
            "net/./a",
            "kernel.\0",
        ] {
            assert_eq!(proc_sys_path(name), None, "{name:?}");
        }
    }
}
