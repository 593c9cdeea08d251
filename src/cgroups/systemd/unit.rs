//! What a container's unit is called, and where its cgroup is: `linux.cgroupsPath` as
//! "slice:prefix:name".

use super::connection::Instance;
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// unit-name.h, UNIT_NAME_MAX
const LONGEST: usize = 255;
const SLICE: &str = ".slice";

/// A container's unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unit {
    /// "docker-ID.scope", or a slice.
    pub name: String,
    /// The slice it is in.
    pub slice: String,
}

impl Unit {
    /// From the config; an empty path is a scope of container `id` in the usual slice.
    pub fn new(cgroups_path: Option<&str>, id: &str, instance: Instance) -> Result<Self> {
        let usual = match instance {
            Instance::System => "system.slice",
            Instance::User => "user.slice",
        };
        let given = cgroups_path.filter(|path| !path.is_empty());
        let (slice, prefix, name) = match given {
            None => ("", "tare", id),
            Some(path) => parts(path)?,
        };
        let unit = Self {
            // A slice's name says which slice it is in.
            slice: match (name.strip_suffix(SLICE), slice) {
                (Some(stem), _) => parent(stem),
                (None, "") => usual.to_owned(),
                (None, slice) => slice.to_owned(),
            },
            name: match name.ends_with(SLICE) {
                true => name.to_owned(),
                false => format!("{prefix}-{name}.scope"),
            },
        };
        check_name(&unit.name)?;
        expand(&unit.slice)?;
        Ok(unit)
    }

    pub fn is_slice(&self) -> bool {
        self.name.ends_with(SLICE)
    }

    /// Its cgroup below that of its systemd: "/a.slice/a-b.slice/x.scope".
    pub fn path(&self) -> Result<String> {
        match self.is_slice() {
            true => expand(&self.name),
            false => Ok(format!("{}/{}", expand(&self.slice)?, self.name)),
        }
    }
}

fn parts(path: &str) -> Result<(&str, &str, &str)> {
    match path.split(':').collect::<Vec<_>>().as_slice() {
        &[slice, prefix, name] => Ok((slice, prefix, name)),
        _ => {
            // runc's words.
            let message = format!(
                "linux.cgroupsPath: expected cgroupsPath to be of format \"slice:prefix:name\" \
                 for systemd cgroups, got {path:?} instead"
            );
            Err(Error::new(Code::InvalidConfig, message)
                .hint("as in \"system.slice:docker:ID\", or leave --systemd-cgroup out"))
        }
    }
}

/// "a-b" is in a.slice, "a" in the root slice.
fn parent(stem: &str) -> String {
    match stem.rsplit_once('-') {
        Some((parent, _)) => format!("{parent}{SLICE}"),
        None => "-.slice".to_owned(),
    }
}

/// The cgroup of a slice: each dash is a step down (systemd.slice(5)).
fn expand(slice: &str) -> Result<String> {
    let invalid = || {
        let message = format!("linux.cgroupsPath: invalid slice name: {slice:?}");
        Error::new(Code::InvalidConfig, message).hint("as in \"machine.slice\" or \"a-b.slice\"")
    };
    let stem = slice.strip_suffix(SLICE).ok_or_else(invalid)?;
    check_name(slice)?;
    if stem == "-" {
        return Ok(String::new());
    }
    let mut path = String::new();
    let mut name = String::new();
    for part in stem.split('-') {
        if part.is_empty() {
            return Err(invalid());
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(part);
        path.push_str(&format!("/{name}{SLICE}"));
    }
    Ok(path)
}

/// systemd.unit(5); what is not a name would be a path, or nothing that D-Bus can carry.
fn check_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if name.len() <= LONGEST && name.chars().all(allowed) {
        return Ok(());
    }
    let message = format!("linux.cgroupsPath: {name:?} is no name for a systemd unit");
    Err(Error::new(Code::InvalidConfig, message).hint(format!(
        "at most {LONGEST} letters, digits and \":-_.\\@\"; see systemd.unit(5)"
    )))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn unit(path: &str) -> (String, String) {
        let unit = Unit::new(Some(path), "id", Instance::System).unwrap();
        (unit.name.clone(), unit.path().unwrap())
    }

    #[test]
    fn what_engines_pass() {
        for (given, name, path) in [
            (
                "system.slice:cri-containerd:1f",
                "cri-containerd-1f.scope",
                "/system.slice",
            ),
            ("system.slice:docker:1f", "docker-1f.scope", "/system.slice"),
            (
                "machine.slice:libpod:1f",
                "libpod-1f.scope",
                "/machine.slice",
            ),
            (
                "kubepods-besteffort-pod1_2.slice:crio:1f",
                "crio-1f.scope",
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice",
            ),
            ("-.slice:a:b", "a-b.scope", ""),
            (":a:b", "a-b.scope", "/system.slice"),
        ] {
            assert_eq!(unit(given), (name.to_owned(), format!("{path}/{name}")));
        }
    }

    #[test]
    fn no_path_is_a_scope_in_the_usual_slice() {
        let user = Unit::new(None, "web", Instance::User).unwrap();
        assert_eq!(user.path().unwrap(), "/user.slice/tare-web.scope");
        let system = Unit::new(Some(""), "web", Instance::System).unwrap();
        assert_eq!(system.path().unwrap(), "/system.slice/tare-web.scope");
    }

    #[test]
    fn a_name_that_is_a_slice_makes_one() {
        let (name, path) = unit("x.slice:ignored:a-b.slice");
        assert_eq!(
            (name.as_str(), path.as_str()),
            ("a-b.slice", "/a.slice/a-b.slice")
        );
        let top = Unit::new(Some("::a.slice"), "id", Instance::System).unwrap();
        assert_eq!(top.slice, "-.slice");
    }

    #[test]
    fn what_is_no_unit_is_refused() {
        for bad in [
            "/a/b",
            "a:b",
            "a:b:c:d",
            "a:b:c",
            "../x.slice:b:c",
            ".slice:b:c",
            "a--b.slice:b:c",
            "-a.slice:b:c",
            "a.slice:b:c/d",
            "a.slice:b:c\0",
            "a.slice:b:é",
        ] {
            let error = Unit::new(Some(bad), "id", Instance::System).unwrap_err();
            assert_eq!(error.code(), Code::InvalidConfig, "{bad}");
        }
        let long = format!("a.slice:b:{}", "c".repeat(255));
        assert!(Unit::new(Some(&long), "id", Instance::System).is_err());
    }
}
