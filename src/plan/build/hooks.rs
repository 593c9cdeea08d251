//! Hooks of the plan.

use super::kernel_string;
use crate::config;
use crate::environment;
use crate::error::Result;
use crate::hooks::Hook;
use std::ffi::CString;

/// The hooks of one kind. One without an environment gets the runtime's own; startContainer's that
/// of the container's process.
///
/// # Errors
/// Where a string holds a NUL.
pub fn of_kind(kind: &str, hooks: &[config::Hook]) -> Result<Vec<Hook>> {
    let default_env = || (kind != "startContainer").then(environment::own);
    hooks
        .iter()
        .enumerate()
        .map(|(index, hook)| one(format!("hooks.{kind}[{index}]"), hook, default_env))
        .collect()
}

fn one(
    at: String,
    hook: &config::Hook,
    default_env: impl FnOnce() -> Option<Vec<CString>>,
) -> Result<Hook> {
    let strings = |list: &[String]| {
        list.iter()
            .map(|s| kernel_string(s, &at))
            .collect::<Result<Vec<_>>>()
    };
    let path = kernel_string(&hook.path.to_string_lossy(), &at)?;
    let args = if hook.args.is_empty() {
        vec![path.clone()]
    } else {
        strings(&hook.args)?
    };
    let env = match hook.env.as_slice() {
        [] => default_env(),
        given => Some(strings(given)?),
    };
    let timeout = hook
        .timeout
        .map(|seconds| u32::try_from(seconds.get()).unwrap_or(u32::MAX));
    Ok(Hook {
        path,
        args,
        env,
        timeout,
        at,
    })
}
