//! `list`: the containers of a root.

use crate::cli::{self, Format};
use crate::container::Directory;
use crate::context::Context as Globals;
use crate::error::{Code, Context, Result};
use crate::output;
use crate::state::State;
use std::collections::HashMap;

/// Runs the command.
///
/// # Errors
/// Where the root cannot be read.
pub fn run(globals: &Globals, args: &cli::List) -> Result<()> {
    if globals.root_is_given {
        // As runc: whoever mistypes it should not be told that there are no containers.
        let path = globals.root.path();
        std::fs::metadata(path).context(|| format!("--root: {}", path.display()))?;
    }
    let states = states(globals.root.all()?)?;
    if args.quiet {
        let ids: String = states
            .iter()
            .map(|state| format!("{}\n", state.id))
            .collect();
        return output::text(&ids);
    }
    match args.format {
        // runc prints null for none, and callers parse it.
        Format::Json if states.is_empty() => output::text("null\n"),
        Format::Json => output::json_line(&states),
        Format::Table => output::table(&rows(&states)),
    }
}

fn states(directories: impl Iterator<Item = Result<Directory>>) -> Result<Vec<State>> {
    let mut users = HashMap::new();
    let mut states = Vec::new();
    for directory in directories {
        let read = |directory: Directory| directory.read().map(|record| (directory, record));
        let (directory, record) = match directory.and_then(read) {
            Ok(both) => both,
            // It is being made, or was deleted since.
            Err(error) if error.code() == Code::NotFound => continue,
            Err(error) => {
                log::warn!("{error}");
                continue;
            }
        };
        let owner = users
            .entry(record.owner_uid)
            .or_insert_with_key(|&uid| user_name(uid))
            .clone();
        match State::of(&directory, record) {
            Ok(mut state) => {
                state.owner = owner;
                states.push(state);
            }
            // One that is in trouble must not hide the others.
            Err(error) => log::warn!("{}: {error}", directory.path().display()),
        }
    }
    Ok(states)
}

/// The user's name in the host's /etc/passwd; the number with a "#" where it has none, as runc.
fn user_name(uid: u32) -> String {
    let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
    let name = String::from_utf8_lossy(&passwd).lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("#{uid}"))
}

fn rows(states: &[State]) -> Vec<[String; 6]> {
    let heading = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let row = |state: &State| {
        [
            state.id.clone(),
            state.pid.to_string(),
            state.status.to_owned(),
            state.bundle.clone(),
            state.created.clone(),
            state.owner.clone(),
        ]
    };
    std::iter::once(heading)
        .chain(states.iter().map(row))
        .collect()
}
