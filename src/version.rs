//! `--version`, in runc's lines, which dockerd reads.

use crate::error::Result;
use crate::output;

/// The newest version of the runtime spec that tare implements.
pub const SPEC: &str = "1.3.0";

/// Prints the version.
///
/// # Errors
/// Those of writing to stdout.
pub fn run() -> Result<()> {
    let commit = option_env!("TARE_COMMIT")
        .filter(|commit| !commit.is_empty())
        .map(|commit| format!("commit: {commit}\n"))
        .unwrap_or_default();
    output::text(&format!(
        "tare version {}\n{commit}spec: {SPEC}\n",
        env!("CARGO_PKG_VERSION")
    ))
}
