//! The arguments of `exec --cgroup`: sub-cgroups of a container's.

use super::path;
use crate::error::{Code, Error, Result};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The arguments of `--cgroup` as (controller or all, path); runc's rules and words.
pub(super) fn paths(args: &[String]) -> Result<Vec<(Option<&str>, PathBuf)>> {
    let invalid = |arg: &str, why: &str| {
        let message = format!("invalid --cgroup argument: {arg}{why}");
        Err(Error::new(Code::Usage, message))
    };
    let mut seen = BTreeSet::new();
    let mut paths = Vec::new();
    for arg in args {
        if arg.split(':').any(leads_out) {
            return invalid(
                arg,
                " (bad sub cgroup path: it must stay below the container's)",
            );
        }
        let parts: Vec<&str> = arg.split(':').collect();
        match parts.as_slice() {
            [path] if args.len() == 1 => paths.push((None, path::clean(path))),
            [_] => return invalid(arg, " (missing <controller>: prefix)"),
            [controllers, path] => {
                for controller in controllers.split(',') {
                    if !seen.insert(controller) {
                        let why = format!(" (specified multiple times for {controller:?})");
                        return invalid(arg, &why);
                    }
                    paths.push((Some(controller), path::clean(path)));
                }
            }
            _ => return invalid(arg, ""),
        }
    }
    Ok(paths)
}

/// Whether a relative path has more steps up than down at some point.
fn leads_out(path: &str) -> bool {
    let mut depth = 0;
    path.split('/').any(|name| {
        match name {
            "" | "." => {}
            ".." => depth -= 1,
            _ => depth += 1,
        }
        depth < 0
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Vec<(Option<String>, String)>> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let own = |(name, path): (Option<&str>, PathBuf)| {
            (name.map(str::to_owned), path.to_string_lossy().into_owned())
        };
        Ok(paths(&args)?.into_iter().map(own).collect())
    }

    #[test]
    fn cgroup_arguments_of_exec() {
        assert_eq!(read(&["a/../b"]).unwrap(), [(None, "b".to_owned())]);
        let two = read(&["cpu,memory:x", "pids:y"]).unwrap();
        assert_eq!(two[1], (Some("memory".to_owned()), "x".to_owned()));
        assert_eq!(two.len(), 3);
        for bad in [
            &["a", "b"][..],
            &["a:b:c"],
            &["cpu:a", "cpu,pids:b"],
            &["a/../../b"],
            &["cpu:../x"],
        ] {
            assert_eq!(read(bad).unwrap_err().code(), Code::Usage);
        }
    }
}
