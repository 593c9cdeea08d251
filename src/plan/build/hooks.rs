//! Hooks of the plan.

use super::kernel_string;
use crate::config;
use crate::environment;
use crate::error::Result;
use crate::hooks::Hook;
use std::ffi::CString;

/// The hooks of one kind. One without an environment gets `default_env`, or the runtime's own.
///
/// # Errors
/// Where a string holds a NUL.
pub fn of_kind(
    kind: &str,
    hooks: &[config::Hook],
    default_env: Option<&[CString]>,
) -> Result<Vec<Hook>> {
    hooks
        .iter()
        .enumerate()
        .map(|(index, hook)| one(format!("hooks.{kind}[{index}]"), hook, default_env))
        .collect()
}

fn one(at: String, hook: &config::Hook, default_env: Option<&[CString]>) -> Result<Hook> {
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
    let env = match (hook.env.is_empty(), default_env) {
        (false, _) => strings(&hook.env)?,
        (true, Some(env)) => env.to_vec(),
        (true, None) => environment::own(),
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
