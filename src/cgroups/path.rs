//! Where in the hierarchies a container's cgroup lies: `linux.cgroupsPath`, made safe.

use crate::error::{Code, Error, Result};
use std::path::{Path, PathBuf};

/// A cgroup's path below some directory of every hierarchy; it can never lead out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPath {
    base: Base,
    /// Relative, without `.` and `..`, and not empty.
    below: PathBuf,
}

/// What a path is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// The hierarchy's mount point (config-linux.md, "Cgroups Path": an absolute path).
    MountPoint,
    /// The cgroup this process is in, as runc has it: a relative path, or none given.
    Own,
}

impl CgroupPath {
    /// From the config, where absent and empty mean the container's id below our own cgroup.
    pub fn new(cgroups_path: Option<&str>, id: &str) -> Result<Self> {
        let given = cgroups_path.filter(|path| !path.is_empty());
        let path = given.unwrap_or(id);
        let base = match path.starts_with('/') {
            true => Base::MountPoint,
            false => Base::Own,
        };
        let below = clean(path);
        if below.as_os_str().is_empty() {
            let message = format!("linux.cgroupsPath: {path:?} is the hierarchies' root");
            return Err(Error::new(Code::InvalidConfig, message)
                .hint("name a cgroup below it, as in \"/containers/web\""));
        }
        Ok(Self { base, below })
    }

    pub(super) fn base(&self) -> Base {
        self.base
    }

    pub(super) fn below(&self) -> &Path {
        &self.below
    }
}

/// `path` without a leading slash, empty parts, `.` and `..`; where `..` would leave the
/// start it stays there, as it does in the root directory. Cgroup file systems have no
/// symbolic links, so that doing this on the text alone is right.
pub(super) fn clean(path: &str) -> PathBuf {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.iter().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(text: &str) -> (Base, String) {
        let path = CgroupPath::new(Some(text), "id").unwrap();
        (path.base, path.below.to_str().unwrap().to_owned())
    }

    #[test]
    fn absolute_paths_start_at_the_mount_point_and_others_at_our_own_cgroup() {
        assert_eq!(path("/a/b"), (Base::MountPoint, "a/b".to_owned()));
        assert_eq!(path("a/b"), (Base::Own, "a/b".to_owned()));
        assert_eq!(path(""), (Base::Own, "id".to_owned()));
        let absent = CgroupPath::new(None, "id").unwrap();
        assert_eq!(absent.below(), Path::new("id"));
        assert_eq!(absent.base(), Base::Own);
    }

    #[test]
    fn dots_never_lead_out() {
        assert_eq!(path("/../../etc"), (Base::MountPoint, "etc".to_owned()));
        assert_eq!(path("../../x"), (Base::Own, "x".to_owned()));
        assert_eq!(path("/a/./b//../c/"), (Base::MountPoint, "a/c".to_owned()));
    }

    #[test]
    fn the_root_is_nobodys() {
        for root in ["/", "//", "/a/..", "..", "."] {
            let error = CgroupPath::new(Some(root), "id").unwrap_err();
            assert_eq!(error.code(), Code::InvalidConfig, "{root}");
        }
    }
}
