//! v2's controllers: enabled from the root down to where they are wanted.

use super::files;
use crate::config::resources::Resources;
use crate::error::{Code, Error, Result};
use std::path::Path;

/// Hands every controller that the mount has down to the cgroup at `path`. Those that cannot
/// be had are missed when a limit needs them, with an error that says so.
pub(super) fn hand_down(mount: &Path, path: &Path, resources: &Resources) -> Result<()> {
    let controllers = |dir: &Path| files::read_named(&dir.join("cgroup.controllers"));
    let ours = controllers(path)?;
    let ours: Vec<&str> = ours.split_whitespace().collect();
    let all = controllers(mount)?;
    let missing = all.split_whitespace().filter(|one| !ours.contains(one));
    let missing: Vec<String> = missing.map(|one| format!("+{one}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let below = path.strip_prefix(mount);
    let mut dir = mount.to_owned();
    for part in below.unwrap_or(Path::new("")) {
        enable(&dir, &missing);
        dir.push(part);
        make_valid(&dir, resources)?;
    }
    Ok(())
}

/// Whether a cgroup has a controller.
pub(super) fn has(dir: &Path, controller: &str) -> bool {
    let all = files::read(&dir.join("cgroup.controllers")).unwrap_or_default();
    all.split_whitespace().any(|one| one == controller)
}

/// Enables controllers for the cgroups below `dir`, as many of them as it will.
fn enable(dir: &Path, controllers: &[String]) {
    let file = dir.join("cgroup.subtree_control");
    if files::write(&file, &controllers.join(" ")).is_ok() {
        return;
    }
    // One that is refused takes the others of the same write with it.
    for one in controllers {
        if let Err(errno) = files::write(&file, one) {
            log::debug!("{}", Error::system(files::writing(&file, one), errno));
        }
    }
}

/// Where a cgroup above has processes, only controllers that count threads are enabled in
/// it, and those below are invalid until they are threaded too: as good, if no others are
/// wanted.
fn make_valid(dir: &Path, resources: &Resources) -> Result<()> {
    let file = dir.join("cgroup.type");
    let kind = files::read_named(&file)?;
    match (kind.trim(), needs_domain(resources)) {
        ("domain invalid", false) => files::write_named(&file, "threaded"),
        ("domain", _) | (_, false) => Ok(()),
        (kind, true) => {
            // runc's words.
            let how = match kind {
                "domain invalid" => "an invalid state".to_owned(),
                kind => format!("{kind} mode"),
            };
            let path = dir.display().to_string();
            let message =
                format!("cannot enter cgroupv2 {path:?} with domain controllers -- it is in {how}");
            Err(Error::new(Code::WrongState, message))
        }
    }
}

/// Whether limits need controllers that a threaded cgroup has not: all but cpu, cpuset and
/// pids. runc counts cpu among them, since its limits are those of a whole container.
fn needs_domain(resources: &Resources) -> bool {
    resources.memory.is_some()
        || resources.block_io.is_some()
        || resources.cpu.is_some()
        || !resources.hugepage_limits.is_empty()
}
