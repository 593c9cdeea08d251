//! `validate`: everything that is wrong with a bundle, before anybody makes a container of it.
//!
//! It looks at config.json and at the bundle alone, never at what this host can do, so that it
//! can be asked where the bundle is built. What else may keep a container from being made is
//! told by `create --dry-run`.

use crate::cli::{self, Format};
use crate::config::report::{Finding, Report, Severity};
use crate::config::{Config, Document, Fault, check, path::at};
use crate::error::{Code, Context, Result};
use crate::output;
use crate::seccomp;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// The answer, as JSON.
#[derive(Serialize)]
struct Answer<'a> {
    file: &'a Path,
    valid: bool,
    findings: Vec<Finding>,
}

/// Runs the command; returns the exit code: 1 where a container cannot be made.
///
/// # Errors
/// Where there is nothing to be read.
pub fn run(args: &cli::Validate) -> Result<i32> {
    let (bundle, file) = locate(args.bundle.as_deref().unwrap_or(Path::new(".")))?;
    let document = Document::regular(&file)?;
    let mut report = Report::<Config>::new(&document, check::config);
    if let Some(config) = report.value.take() {
        check_rootfs(&bundle, &config, &mut report);
        check_seccomp(&config, &mut report);
    }
    let findings = report.findings();
    let valid = findings.iter().all(|f| f.severity != Severity::Error);
    let file = file.as_path();
    match args.format {
        Format::Json => output::json_line(&Answer {
            file,
            valid,
            findings,
        })?,
        Format::Table => output::text(&lines(file, &findings))?,
    }
    Ok(i32::from(!valid))
}

/// The bundle and its config, of which either may have been named.
fn locate(given: &Path) -> Result<(PathBuf, PathBuf)> {
    let path = given
        .canonicalize()
        .context(|| format!("opening the bundle {}", given.display()))?;
    if path.is_dir() {
        let file = path.join("config.json");
        return Ok((path, file));
    }
    let bundle = path.parent().unwrap_or(Path::new("/")).to_owned();
    Ok((bundle, path))
}

/// The directory must be there (config.md, "Root").
fn check_rootfs(bundle: &Path, config: &Config, report: &mut Report<'_, Config>) {
    let path = bundle.join(&config.root.path);
    let message = match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_dir() => return,
        Ok(_) => format!("{} is not a directory", path.display()),
        Err(error) => format!("{}: {error}", path.display()),
    };
    let fault = Fault::new(at!["root", "path"], message);
    report.fault(Severity::Error, fault);
}

/// What a profile means shows when it is compiled.
fn check_seccomp(config: &Config, report: &mut Report<'_, Config>) {
    let Some(Err(error)) = config.linux.seccomp.as_ref().map(seccomp::compile) else {
        return;
    };
    let severity = match error.code() {
        // Another kernel may know the flag.
        Code::Unsupported => Severity::Warning,
        _ => Severity::Error,
    };
    let message = error.to_string();
    let message = message.strip_prefix("linux.seccomp: ").unwrap_or(&message);
    report.fault(severity, Fault::new(at!["linux", "seccomp"], message));
}

/// As compilers write them: "FILE:LINE:COLUMN: error: PATH: MESSAGE (HINT)".
fn lines(file: &Path, findings: &[Finding]) -> String {
    let file = file.display();
    if findings.is_empty() {
        return format!("{file}: valid\n");
    }
    let line = |finding: &Finding| {
        let Finding {
            line,
            column,
            path,
            message,
            hint,
            severity,
        } = finding;
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let path = match path.as_str() {
            "" => String::new(),
            path => format!("{path}: "),
        };
        let hint = hint.as_ref().map(|hint| format!(" ({hint})"));
        let hint = hint.unwrap_or_default();
        format!("{file}:{line}:{column}: {severity}: {path}{message}{hint}\n")
    };
    findings.iter().map(line).collect()
}
