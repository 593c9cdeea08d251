//! `create --dry-run`: what would be done, step by step, without any of it being done.
//!
//! The config is read, checked and planned as for a real create, on this host, so that whatever
//! keeps a container from being planned is told; what only the doing shows is not.

mod steps;

use crate::cgroups::Manager;
use crate::cli::DryRun;
use crate::config::Config;
use crate::error::Result;
use crate::output;
use crate::plan::Plan;
use serde::Serialize;
use std::path::Path;

/// A create that is not going to be.
#[derive(Debug)]
pub struct Planned<'a> {
    /// The container's id.
    pub id: &'a str,
    /// The bundle's directory.
    pub bundle: &'a Path,
    /// The state directory, which is not there.
    pub state: &'a Path,
    /// What is asked for.
    pub config: &'a Config,
    /// The cgroups.
    pub cgroups: &'a Manager,
    /// What the init stage would do.
    pub plan: &'a Plan,
}

/// Who does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum By {
    /// This command.
    Create,
    /// The process that becomes the container's.
    Init,
    /// `start`, or the container's process when it is called.
    Start,
    /// `delete`, when it is called.
    Delete,
}

/// One step.
#[derive(Debug, Serialize)]
struct Step {
    by: By,
    what: String,
    /// The place in config.json that it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    bundle: &'a Path,
    steps: Vec<Step>,
}

/// Prints what would be done.
///
/// # Errors
/// What cannot be said to the cgroups of this host; those of writing to stdout.
pub fn print(planned: &Planned<'_>, format: DryRun) -> Result<()> {
    let answer = Answer {
        id: planned.id,
        bundle: planned.bundle,
        steps: steps::of(planned)?,
    };
    match format {
        DryRun::Json => output::json_line(&answer),
        DryRun::Text => output::text(&text(&answer)),
    }
}

fn text(answer: &Answer<'_>) -> String {
    let mut text = format!("container {} of {}\n", answer.id, answer.bundle.display());
    for (index, step) in answer.steps.iter().enumerate() {
        let by = match step.by {
            By::Create => "create",
            By::Init => "init",
            By::Start => "start",
            By::Delete => "delete",
        };
        let number = index + 1;
        text.push_str(&format!("{number:4}  {by:6}  {}", step.what));
        if let Some(from) = &step.from {
            text.push_str(&format!("  [{from}]"));
        }
        text.push('\n');
    }
    text
}
