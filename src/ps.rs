//! `ps`: the processes of a container, as ps(1) shows them or as a list of pids.

use crate::cli::{self, Format};
use crate::container::ContainerId;
use crate::context::Context as Globals;
use crate::error::{Code, Error, Result};
use crate::hooks::Status;
use crate::output;
use crate::spawn::{self, Command};
use std::collections::HashSet;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// How long ps(1) may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the command.
///
/// # Errors
/// Where there is no such container, or ps(1) fails.
pub fn run(globals: &Globals, args: &cli::Ps) -> Result<()> {
    let directory = globals.root.open(&ContainerId::new(&args.id)?)?;
    let record = directory.read()?;
    if record.process.is_none() {
        // Nor need the processes in its cgroups be its own.
        let (message, hint) = match directory.status(&record)? {
            Status::Creating => ("is still being created", "wait for its create"),
            _ => ("was never created: its create was killed", "delete it"),
        };
        let message = format!("container {} {message}", record.id);
        return Err(Error::new(Code::WrongState, message).hint(hint));
    }
    let mut pids: Vec<i32> = record
        .cgroups
        .processes()?
        .iter()
        .map(|pid| pid.as_raw_nonzero().get())
        .collect();
    pids.sort_unstable();
    if args.format == Format::Json {
        return output::json_line(&pids);
    }
    let table = ps_output(&args.options)?;
    output::text(&select(&table, &pids.into_iter().collect())?)
}

fn ps_output(options: &[String]) -> Result<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path)
        .map(|dir| dir.join("ps"))
        .find(|candidate| candidate.is_file());
    let program = program.ok_or_else(|| {
        Error::new(Code::Unsupported, "there is no ps in PATH")
            .hint("install procps, or use --format json")
    })?;
    let nul = |_| Error::new(Code::Usage, "an option for ps holds a NUL");
    let default = ["-ef".to_owned()];
    let options = if options.is_empty() {
        &default
    } else {
        options
    };
    let mut words = vec![CString::new("ps").map_err(nul)?];
    for option in options {
        words.push(CString::new(option.as_str()).map_err(nul)?);
    }
    let outcome = spawn::run(&Command {
        path: CString::new(program.as_os_str().as_bytes()).map_err(nul)?,
        args: words,
        env: spawn::own_environment(),
        input: Vec::new(),
        output_limit: None,
        timeout: Some(TIMEOUT),
    })?;
    match outcome.status {
        spawn::Status::Exited(0) => Ok(outcome.output),
        status => Err(Error::new(
            Code::System,
            format!("ps: {status}: {}", outcome.output),
        )),
    }
}

/// The heading, and the lines whose PID column is one of `pids`.
fn select(table: &str, pids: &HashSet<i32>) -> Result<String> {
    let mut lines = table.lines();
    let heading = lines.next().unwrap_or_default();
    let column = heading
        .split_whitespace()
        .position(|title| title == "PID")
        .ok_or_else(|| {
            Error::new(Code::Usage, "the output of ps has no PID column")
                .hint("choose options for ps that show the PID")
        })?;
    let is_ours = |line: &&str| {
        line.split_whitespace()
            .nth(column)
            .and_then(|pid| pid.parse().ok())
            .is_some_and(|pid: i32| pids.contains(&pid))
    };
    Ok(std::iter::once(heading)
        .chain(lines.filter(is_ours))
        .map(|line| format!("{line}\n"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_processes_are_shown() {
        let table = "USER   PID COMMAND\nroot     1 init\nroot    12 sh\nroot 12 2 x\n";
        let pids = HashSet::from([12, 2]);
        assert_eq!(
            select(table, &pids).unwrap(),
            "USER   PID COMMAND\nroot    12 sh\nroot 12 2 x\n"
        );
        assert!(select("COMMAND\nx\n", &pids).is_err());
    }
}
