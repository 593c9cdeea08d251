//! `hostname` and `domainname` (config.md, "Hostname", "Domainname").

use super::{Findings, at};
use crate::config::Config;
use crate::config::linux::NamespaceKind;

/// What uts_namespaces(7) can hold: the kernel's __NEW_UTS_LEN.
const LONGEST: usize = 64;

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let has_uts = config.linux.namespace(NamespaceKind::Uts).is_some();
    let names = [
        ("hostname", &config.hostname),
        ("domainname", &config.domainname),
    ];
    for (key, name) in names {
        let Some(name) = name else { continue };
        if !has_uts {
            let message = format!("unable to set {key} without a private UTS namespace");
            findings.fault_with_hint(
                at![key],
                message,
                "add {\"type\": \"uts\"} to linux.namespaces",
            );
        }
        if name.len() > LONGEST {
            findings.fault(at![key], format!("longer than {LONGEST} bytes"));
        }
    }
}
