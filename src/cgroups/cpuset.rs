//! v1 cpusets: a new one has no CPU and no memory node, and takes no task until it has.

use super::files;
use crate::config::resources::Resources;
use crate::error::{Context, Result};
use std::path::Path;

const CPUS: &str = "cpuset.cpus";
const MEMS: &str = "cpuset.mems";

/// Gives `dir` its parent's CPUs and nodes, but for those the config sets: these are written
/// with the other limits, and the parent's in their place might overlap with an exclusive
/// sibling. Parents that were just made get theirs first.
pub(super) fn inherit(dir: &Path, mount: &Path, resources: &Resources) -> Result<()> {
    let given = |list: &Option<String>| list.as_ref().is_some_and(|list| !list.is_empty());
    let cpu = resources.cpu.as_ref();
    let files = [
        (CPUS, cpu.is_some_and(|cpu| given(&cpu.cpus))),
        (MEMS, cpu.is_some_and(|cpu| given(&cpu.mems))),
    ];
    for (file, given) in files {
        // Also where the config sets the leaf's own, its parents must have some.
        if let Some(parent) = dir.parent() {
            let inherited = of(parent, mount, file)?;
            if !given {
                fill(dir, file, &inherited)?;
            }
        }
    }
    Ok(())
}

/// What `dir` has, after giving it its parent's if it has nothing.
fn of(dir: &Path, mount: &Path, file: &str) -> Result<String> {
    let path = dir.join(file);
    let own = files::read_named(&path)?;
    if !own.trim().is_empty() || dir == mount {
        return Ok(own);
    }
    let inherited = match dir.parent() {
        Some(parent) => of(parent, mount, file)?,
        None => own,
    };
    fill(dir, file, &inherited)?;
    Ok(inherited)
}

fn fill(dir: &Path, file: &str, list: &str) -> Result<()> {
    files::write_named(&dir.join(file), list.trim())
        .context(|| "giving the cgroup the CPUs and memory nodes of its parent")
}
