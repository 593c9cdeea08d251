//! `unified`: files of cgroup v2 by their names (config-linux.md, "Unified").

use super::{Group, Write};
use crate::config::resources::Resources;
use crate::error::{Code, Error, Result};

/// Not limits: they move processes, also the host's, or are how the container is managed.
const NOT_LIMITS: [&str; 6] = [
    "cgroup.procs",
    "cgroup.threads",
    "cgroup.kill",
    "cgroup.freeze",
    "cgroup.type",
    "cgroup.subtree_control",
];

/// Files by name, each line of a value a write: io.max takes one device at a time.
pub(super) fn unified(resources: &Resources) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for (file, value) in &resources.unified {
        let field = format!("unified[{file:?}]");
        if file.contains('/') || !file.contains('.') || file.starts_with('.') {
            let message = format!("linux.resources.{field}: not of the form CONTROLLER.PARAMETER");
            return Err(Error::new(Code::InvalidConfig, message));
        }
        if NOT_LIMITS.contains(&file.as_str()) {
            let message = format!("linux.resources.{field}: this file sets no limit");
            return Err(Error::new(Code::InvalidConfig, message));
        }
        // A cpuset's empty list is its parent's. A write of nothing does not get to the kernel.
        if file.starts_with("cpuset.") && value.trim().is_empty() {
            groups.push(Group(vec![Write::new(&field, "", file.clone(), "\n")]));
        }
        for line in value.lines().filter(|line| !line.trim().is_empty()) {
            groups.push(Group(vec![Write::new(&field, "", file.clone(), line)]));
        }
    }
    Ok(groups)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn writes(json: &str) -> Result<Vec<String>> {
        let groups = unified(&serde_json::from_str(json).unwrap())?;
        let writes = groups.iter().flat_map(|group| group.0.iter());
        let show = |write: &Write| format!("{} {}", write.files[0].0, write.files[0].1);
        Ok(writes.map(show).collect())
    }

    #[test]
    fn files_are_written_line_by_line() {
        assert_eq!(
            writes(r#"{"unified":{"io.max":"8:0 rbps=1\n8:16 wiops=2\n","memory.high":"5"}}"#)
                .unwrap(),
            ["io.max 8:0 rbps=1", "io.max 8:16 wiops=2", "memory.high 5"]
        );
        assert_eq!(
            writes(r#"{"unified":{"cpuset.cpus":"","memory.high":""}}"#).unwrap(),
            ["cpuset.cpus \n"]
        );
        for bad in ["../x.y", "plain", ".hidden"] {
            let json = format!(r#"{{"unified":{{"{bad}":"1"}}}}"#);
            let error = writes(&json).unwrap_err().to_string();
            assert!(error.contains("CONTROLLER.PARAMETER"), "{bad}");
        }
        let error = writes(r#"{"unified":{"cgroup.procs":"1"}}"#).unwrap_err();
        assert!(error.to_string().contains("sets no limit"));
    }
}
