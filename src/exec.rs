//! `exec`: one more process in a container.

use crate::cli;
use crate::config::{self, Config, Process};
use crate::container::{ContainerId, Directory, Record};
use crate::context::Context as Globals;
use crate::error::{Code, Context, Error, Result};
use crate::foreground;
use crate::handover;
use crate::hooks::Status;
use crate::launch::agent::Agent;
use crate::launch::{self, Launch};
use crate::plan::build::{self, ExecRequest};
use crate::terminal::users_size;
use crate::timing;
use rustix::process::Pid;
use std::path::{Path, PathBuf};

/// Runs the command; returns the exit code of the process, 0 where it is detached.
///
/// # Errors
/// Where the container does not run, or the program cannot be executed.
pub fn run(globals: &Globals, args: &cli::Exec) -> Result<i32> {
    let directory = globals.root.open(&ContainerId::new(&args.id)?)?;
    let record = directory.read()?;
    check_status(&directory, &record, args.ignore_paused)?;
    timing::phase("reading the container's state");
    let config = config::load(&directory.config_path())?;
    timing::phase("reading and checking config.json");
    let process = process(&config, args)?;
    handover::check_terminal(
        process.terminal,
        args.detach,
        args.console_socket.as_deref(),
    )?;
    handover::check_preserved(args.preserve_fds)?;
    let init = record.process.ok_or_else(stopped)?;
    let pid = Pid::from_raw(init.pid).ok_or_else(stopped)?;
    let cgroups = match args.cgroup.as_slice() {
        [] => record.cgroups.of_process(pid)?,
        paths => record.cgroups.sub(paths)?,
    };
    let request = ExecRequest {
        container: init.open()?.ok_or_else(stopped)?,
        keyring: record.keyring.clone(),
        namespaces: record.namespaces,
        setgroups: record.setgroups,
        preserved_fds: args.preserve_fds,
    };
    let mut built = build::exec(&process, &config, request)?;
    if !args.detach
        && let Some(size) = &mut built.plan.terminal
    {
        *size = users_size().unwrap_or(*size);
    }
    timing::phase("making the plan");
    foreground::hold_signals();
    // runc's words for a --cgroup that is not there.
    let doing_cgroups = || "error adding pid to cgroups";
    let mut launched = launch::launch(Launch {
        built,
        into_cgroup: cgroups.clone_target().context(doing_cgroups)?,
        admit: &|pid| cgroups.join(pid).context(doing_cgroups),
        cgroups: &record.cgroups,
        gate: None,
        runtime: None,
        agent: Agent::of(&config, record.state(directory.status(&record)?)),
    })?;
    if let Some(groups) = &record.intel_rdt {
        groups.add_further(launched.pid.as_raw_nonzero().get())?;
    }
    if args.detach {
        handover::terminal(launched.terminal.take(), args.console_socket.as_deref())?;
    }
    handover::pidfd(&launched.pidfd, args.pidfd_socket.as_deref())?;
    handover::pid_file(launched.pid, args.pid_file.as_deref())?;
    timing::phase("handing over");
    let running = launched
        .execute()
        .map_err(|error| record.cgroups.explain_kill(error))?;
    timing::phase("executing the program");
    if args.detach {
        return Ok(0);
    }
    foreground::stand_in(running, None).map(|status| status.exit_code())
}

fn stopped() -> Error {
    Error::new(Code::WrongState, "cannot exec in a stopped container")
}

fn check_status(directory: &Directory, record: &Record, ignore_paused: bool) -> Result<()> {
    match directory.status(record)? {
        Status::Stopped | Status::Creating => Err(stopped()),
        Status::Paused if !ignore_paused => Err(Error::new(
            Code::WrongState,
            "cannot exec in a paused container (use --ignore-paused to override)",
        )),
        Status::Paused | Status::Created | Status::Running => Ok(()),
    }
}

/// The process: of the file, or the container's own with what the flags change of it.
fn process(config: &Config, args: &cli::Exec) -> Result<Process> {
    if let Some(path) = &args.process {
        return config::load_process(path);
    }
    if args.command.is_empty() {
        return Err(Error::new(Code::Usage, "process args cannot be empty")
            .hint("name a program to execute"));
    }
    let mut process = config.require_process()?.clone();
    process.args.clone_from(&args.command);
    process.terminal = args.tty;
    if let Some(cwd) = &args.cwd {
        process.cwd = absolute(cwd)?;
    }
    if let Some(label) = &args.process_label {
        process.selinux_label = Some(label.clone());
    }
    if let Some(profile) = &args.apparmor {
        process.apparmor_profile = Some(profile.clone());
    }
    for file in &args.env_from {
        process.env.extend(variables(file)?);
    }
    process.env.extend(args.env.iter().cloned());
    process.no_new_privileges = args.no_new_privs.unwrap_or(process.no_new_privileges);
    process.add_capabilities(&args.cap);
    if let Some(user) = &args.user {
        (process.user.uid, process.user.gid) = parse_user(user, process.user.gid)?;
    }
    process.user.additional_gids.extend(&args.additional_gids);
    Ok(process)
}

/// The variables of `--env-from`, as docker's --env-file has them: a line for each; a name alone
/// takes its value from our own environment, if it is there; lines that begin with "#" are none.
fn variables(file: &Path) -> Result<Vec<String>> {
    let doing = || format!("--env-from: reading {}", file.display());
    let text = std::fs::read_to_string(file).context(doing)?;
    let mut variables = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=') {
            Some(("", _)) => {
                let message = format!("--env-from: {}:{}: no name", file.display(), index + 1);
                return Err(Error::new(Code::Usage, message));
            }
            Some(_) => variables.push(line.to_owned()),
            None => {
                let value = std::env::var(line).ok();
                variables.extend(value.map(|value| format!("{line}={value}")));
            }
        }
    }
    Ok(variables)
}

fn absolute(cwd: &Path) -> Result<PathBuf> {
    if cwd.is_absolute() {
        return Ok(cwd.to_owned());
    }
    Err(Error::new(
        Code::Usage,
        format!("--cwd: {} is not an absolute path", cwd.display()),
    ))
}

/// `UID[:GID]`: decimal numbers below 2^32-1, and nothing else (CVE-2026-30892).
fn parse_user(text: &str, default_gid: u32) -> Result<(u32, u32)> {
    let wrong = || {
        Error::new(
            Code::Usage,
            format!("--user: {text:?} is not UID or UID:GID"),
        )
        .hint("numbers from 0 to 4294967294; names are not looked up")
    };
    let id = |digits: &str| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // The last number means "no change" to the kernel.
        let number = digits
            .parse()
            .ok()
            .filter(|&id: &u32| is_number && id != u32::MAX);
        number.ok_or_else(wrong)
    };
    match text.split_once(':') {
        Some((uid, gid)) => Ok((id(uid)?, id(gid)?)),
        None => Ok((id(text)?, default_gid)),
    }
}

/// Exit code of an exec that failed before there was a process, as runc's.
pub const FAILED: i32 = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_two_numbers_and_nothing_else() {
        for (text, ids) in [
            ("1", (1, 7)),
            ("1:2", (1, 2)),
            ("0:0", (0, 0)),
            ("4294967294", (u32::MAX - 1, 7)),
        ] {
            assert_eq!(parse_user(text, 7).ok(), Some(ids), "{text}");
        }
        for bad in [
            "",
            ":2",
            "1:",
            " 1",
            "+1",
            "1x",
            "-1",
            "4294967295",
            "4294967296",
            "root",
            "1:2:3",
        ] {
            assert!(parse_user(bad, 7).is_err(), "{bad:?}");
        }
    }
}
