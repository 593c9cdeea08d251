//! `gc`: removes what commands that were killed have left behind.
//!
//! A `create` that dies leaves its state directory, which says all that it may have made: so
//! that directory is all there is to look for. A container that lives, that somebody is at work
//! on, or that merely has ended is none of this; only `--stopped` includes the last.

use crate::cli::{self, Format};
use crate::container::{Directory, Record};
use crate::context::Context as Globals;
use crate::delete;
use crate::error::{Code, Context, Error, Result};
use crate::hooks::Status;
use crate::output;
use serde::Serialize;
use std::time::Duration;

/// How old a directory without a record must be: a `create` makes it and takes its lock by
/// two steps, between which it looks abandoned.
const GRACE: Duration = Duration::from_secs(60);

/// How long the lock may take to be free: the init stage of a create that was killed has it
/// too, and dies a moment later.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a leftover is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// A create that died before it had said what it would make: nothing was made.
    Empty,
    /// A create that died on the way.
    HalfMade,
    /// A container that has ended.
    Stopped,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::HalfMade => "half-made",
            Self::Stopped => "stopped",
        }
    }
}

/// One leftover, and what became of it.
#[derive(Serialize)]
struct Leftover {
    id: String,
    kind: Kind,
    removed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Where something cannot be removed; the rest is, and each is told of.
pub fn run(globals: &Globals, args: &cli::Gc) -> Result<()> {
    let mut leftovers = Vec::new();
    for directory in globals.root.all()? {
        let look = |directory: Directory| {
            look_at(&directory, args).context(|| directory.path().display().to_string())
        };
        match directory.and_then(look) {
            Ok(leftover) => leftovers.extend(leftover),
            // One that is in trouble must not save the others.
            Err(error) => log::warn!("{error}"),
        }
    }
    match args.format {
        Format::Json => output::json_line(&leftovers)?,
        Format::Table => output::table(&rows(&leftovers))?,
    }
    match leftovers.iter().filter(|one| one.error.is_some()).count() {
        0 => Ok(()),
        failed => Err(Error::new(
            Code::System,
            format!(
                "{failed} of {} leftovers could not be removed",
                leftovers.len()
            ),
        )),
    }
}

/// Removes a container's directory with all that it tells of, if it is a leftover.
fn look_at(directory: &Directory, args: &cli::Gc) -> Result<Option<Leftover>> {
    // Before the lock, which may make a file in it.
    let is_old = is_old(directory)?;
    // Whoever has the lock is at work on it.
    let _lock = match directory.lock(PATIENCE) {
        Err(error) if matches!(error.code(), Code::Timeout | Code::NotFound) => return Ok(None),
        other => other?,
    };
    let record = match directory.read() {
        Err(error) if error.code() == Code::NotFound => None,
        other => Some(other?),
    };
    let Some(kind) = kind(directory, record.as_ref(), is_old)? else {
        return Ok(None);
    };
    if kind == Kind::Stopped && !args.stopped {
        return Ok(None);
    }
    let result = match (&record, args.dry_run) {
        (_, true) => Ok(()),
        (Some(record), false) => delete::destroy(directory, record),
        (None, false) => directory.remove(),
    };
    Ok(Some(Leftover {
        id: directory.id(),
        kind,
        removed: !args.dry_run && result.is_ok(),
        error: result.err().map(|error| error.to_string()),
    }))
}

/// Whether nothing was made in the directory for a while.
fn is_old(directory: &Directory) -> Result<bool> {
    let doing = || format!("looking at {}", directory.path().display());
    let modified = std::fs::metadata(directory.path()).and_then(|metadata| metadata.modified());
    // A clock that was set back makes it young.
    Ok(modified
        .context(doing)?
        .elapsed()
        .is_ok_and(|age| age >= GRACE))
}

/// What the directory is a leftover of, if it is one. Its lock is ours.
fn kind(directory: &Directory, record: Option<&Record>, is_old: bool) -> Result<Option<Kind>> {
    let Some(record) = record else {
        return Ok(is_old.then_some(Kind::Empty));
    };
    Ok(match (directory.status(record)?, record.process) {
        (Status::Stopped, None) => Some(Kind::HalfMade),
        (Status::Stopped, Some(_)) => Some(Kind::Stopped),
        _ => None,
    })
}

fn rows(leftovers: &[Leftover]) -> Vec<[String; 3]> {
    let row = |one: &Leftover| {
        let became = match (&one.error, one.removed) {
            (Some(error), _) => error.clone(),
            (None, true) => "removed".to_owned(),
            (None, false) => "would be removed".to_owned(),
        };
        [one.id.clone(), one.kind.as_str().to_owned(), became]
    };
    let heading = ["ID", "KIND", "RESULT"].map(str::to_owned);
    std::iter::once(heading)
        .chain(leftovers.iter().map(row))
        .collect()
}
