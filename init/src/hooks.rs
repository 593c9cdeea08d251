//! The hooks of config.json (config.md, "POSIX-platform Hooks") and the state they are told.

use crate::error::{Code, Context, Error, Result};
use crate::spawn;
use alloc::collections::BTreeMap;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// One hook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// Absolute.
    pub path: CString,
    /// With its own name first.
    pub args: Vec<CString>,
    /// `NAME=VALUE`. Where a startContainer hook has none, it gets what the container's process
    /// has by then, as with runc.
    pub env: Option<Vec<CString>>,
    /// Seconds; none for no limit.
    pub timeout: Option<u32>,
    /// Where it stands: "hooks.createRuntime[0]".
    pub at: String,
}

impl Hook {
    /// As runc's errors name it, and what reads them expects: "createRuntime hook #0".
    fn name(&self) -> String {
        let place = self.at.trim_start_matches("hooks.").trim_end_matches(']');
        match place.split_once('[') {
            Some((kind, index)) => format!("{kind} hook #{index}"),
            None => self.at.clone(),
        }
    }
}

/// The state of a container as the spec gives it to hooks and to `state` (runtime.md, "State").
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the spec that the container's config follows.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Its status.
    pub status: Status,
    /// Its process, in the pid namespace of whoever reads this; 0 where there is none.
    pub pid: i32,
    /// The bundle's directory, absolute.
    pub bundle: String,
    /// The config's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Where in its life a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// `create` is at work, or was when it died.
    Creating,
    /// It waits for `start`.
    Created,
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// Its process has ended.
    Stopped,
}

impl Status {
    /// As the spec writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// How much of what a failed hook printed is shown, in bytes: its end, where the reason is.
const OUTPUT_SHOWN: u64 = 4096;

/// Runs `hooks` one after the other.
///
/// # Errors
/// The first that fails, by its place, its exit status and what it printed; those after it do
/// not run.
pub fn run(hooks: &[Hook], state: &State) -> Result<()> {
    run_prepared(hooks, state, || Ok(()))
}

/// The same; each calls `prepare` last of all before its execve.
///
/// # Errors
/// Those of [`run`], and of `prepare`.
pub fn run_prepared(hooks: &[Hook], state: &State, prepare: impl Fn() -> Result<()>) -> Result<()> {
    hooks
        .iter()
        .try_for_each(|hook| run_one(hook, state, &prepare))
}

fn run_one(hook: &Hook, state: &State, prepare: impl Fn() -> Result<()>) -> Result<()> {
    let doing = || {
        format!(
            "error running {}: {}",
            hook.name(),
            hook.path.to_string_lossy()
        )
    };
    let input = serde_json::to_vec(state)
        .map_err(|e| Error::new(Code::Hook, format!("{}: writing the state: {e}", doing())))?;
    let command = spawn::Command {
        path: hook.path.clone(),
        args: hook.args.clone(),
        env: hook.env.clone().unwrap_or_default(),
        input,
        output_limit: Some(OUTPUT_SHOWN),
        timeout: hook
            .timeout
            .map(|seconds| Duration::from_secs(seconds.into())),
    };
    let outcome = spawn::run_prepared(&command, prepare)
        .map_err(|error| match error.code() {
            Code::System => error.with_code(Code::Hook),
            _ => error,
        })
        .context(doing)?;
    if outcome.status == spawn::Status::Exited(0) {
        return Ok(());
    }
    let said = if outcome.output.is_empty() {
        "it printed nothing".into()
    } else {
        format!("it printed: {}", outcome.output)
    };
    Err(Error::new(
        Code::Hook,
        format!("{}: {}; {said}", doing(), outcome.status),
    ))
}
