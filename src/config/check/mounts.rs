//! `mounts` (config.md, "Mounts"). What options mean is decided where mounts are planned.

use super::{Findings, at, ids};
use crate::config::linux::NamespaceKind;
use crate::config::{Config, Mount};

pub(super) fn check(config: &Config, findings: &mut Findings) {
    let has_userns = config.linux.namespace(NamespaceKind::User).is_some();
    for (index, mount) in config.mounts.iter().enumerate() {
        if mount.destination.as_os_str().is_empty() {
            findings.fault(at!["mounts", index, "destination"], "must not be empty");
        } else if !mount.destination.is_absolute() {
            let message = "relative destination path is deprecated, using it as relative to /";
            findings.warning(at!["mounts", index, "destination"], message);
        }
        if mount.is_id_mapped() {
            check_id_mapped(index, mount, has_userns, findings);
        }
    }
}

fn check_id_mapped(index: usize, mount: &Mount, has_userns: bool, findings: &mut Findings) {
    if !mount.is_bind() {
        // mount_setattr(2) could; runc refuses, and crun maps the source of a bind mount.
        findings.fault(
            at!["mounts", index],
            "id-mapped mounts are only supported for bind-mounts",
        );
    }
    let has_uids = !mount.uid_mappings.is_empty();
    let has_gids = !mount.gid_mappings.is_empty();
    if has_uids != has_gids {
        let message = "id-mapped mounts must have both uid and gid mappings specified";
        findings.fault(at!["mounts", index], message);
    } else if !has_uids && !has_userns && !mount.has_mapping_in_options() {
        let hint = "give uidMappings and gidMappings, or a user namespace whose are used";
        let message = "id-mapped mount without mappings and without a user namespace";
        findings.fault_with_hint(at!["mounts", index], message, hint);
    }
    ids::check_mappings(
        &at!["mounts", index, "uidMappings"],
        &mount.uid_mappings,
        findings,
    );
    ids::check_mappings(
        &at!["mounts", index, "gidMappings"],
        &mount.gid_mappings,
        findings,
    );
}
