//! The id mappings of a new user namespace, user_namespaces(7).

use crate::config::linux::IdMapping;
use crate::error::{Code, Context, Error, Result};
use crate::plan::build::needs_helper;
use crate::spawn::{self, Command};
use rustix::process::Pid;
use std::ffi::CString;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// How long newuidmap and newgidmap may take: they read two files.
const HELPER_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes the mappings of the process's new user namespace, those of `at` in config.json.
///
/// # Errors
/// Where we lack the privilege, and the helpers that have it are missing or refuse.
pub fn write(pid: Pid, at: &str, uids: &[IdMapping], gids: &[IdMapping]) -> Result<()> {
    let pid = pid.as_raw_nonzero().get();
    let unprivileged = !rustix::process::geteuid().is_root();
    if unprivileged && !needs_helper(gids, rustix::process::getegid().as_raw()) {
        // Without privilege, a group mapping is taken only where groups cannot be dropped.
        std::fs::write(format!("/proc/{pid}/setgroups"), "deny").context(|| "denying setgroups")?;
    }
    write_one(pid, "gid_map", "newgidmap", gids).context(|| format!("{at}.gidMappings"))?;
    write_one(pid, "uid_map", "newuidmap", uids).context(|| format!("{at}.uidMappings"))
}

fn write_one(pid: i32, file: &str, helper: &str, mappings: &[IdMapping]) -> Result<()> {
    let own_id = match file {
        "gid_map" => rustix::process::getegid().as_raw(),
        _ => rustix::process::geteuid().as_raw(),
    };
    if !rustix::process::geteuid().is_root() && needs_helper(mappings, own_id) {
        return ask_helper(pid, helper, mappings);
    }
    let mut lines = String::new();
    for mapping in mappings {
        // Writing to a String cannot fail.
        let _ = writeln!(
            lines,
            "{} {} {}",
            mapping.container_id, mapping.host_id, mapping.size
        );
    }
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, &lines).context(|| format!("writing {:?} to {path}", lines.trim_end()))
}

fn ask_helper(pid: i32, helper: &str, mappings: &[IdMapping]) -> Result<()> {
    let path = find(helper).ok_or_else(|| {
        Error::new(
            Code::Unsupported,
            format!("{helper} is not in PATH, and an ordinary user needs it to map these ids"),
        )
        .hint("install the package uidmap")
    })?;
    let ids = mappings
        .iter()
        .flat_map(|m| [m.container_id, m.host_id, m.size])
        .map(|id| id.to_string());
    let words = [helper.to_owned(), pid.to_string()].into_iter().chain(ids);
    let nul = |_| Error::new(Code::System, format!("{helper}: a NUL in its path"));
    let command = Command {
        path: CString::new(path.as_os_str().as_bytes()).map_err(nul)?,
        args: words
            .map(|word| CString::new(word).map_err(nul))
            .collect::<Result<_>>()?,
        env: Vec::new(),
        input: Vec::new(),
        output_limit: None,
        timeout: Some(HELPER_TIMEOUT),
    };
    let outcome = spawn::run(&command).context(|| format!("running {helper}"))?;
    if outcome.status == spawn::Status::Exited(0) {
        return Ok(());
    }
    Err(Error::new(
        Code::System,
        format!("{helper}: {}: {}", outcome.status, outcome.output),
    )
    .hint("the ranges must be the user's in /etc/subuid and /etc/subgid"))
}

/// A program's path, by PATH.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}
