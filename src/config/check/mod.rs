//! What the spec or the kernel refuses in a config and that can be told from the config
//! alone; what needs a look at the system is told by whoever looks.
//!
//! Where runc is stricter than the spec, so are we; where the spec says MUST and runc looks
//! away, we refuse. Words are runc's where its users may know them.

mod host;
mod ids;
mod linux;
mod mounts;
mod namespaces;
mod process;
mod sysctl;
mod version;

pub use sysctl::proc_sys_path;
pub use version::minor as minor_version;

use super::document::Fault;
use super::path::{Path, Step, at};
use super::process::Process;
use super::{Config, Hook};
use std::path::Path as FilePath;

/// Everything found in a config, in no certain order.
#[derive(Debug, Default)]
pub struct Findings {
    /// What makes it unusable.
    pub faults: Vec<Fault>,
    /// What is odd.
    pub warnings: Vec<Fault>,
    /// What the paths of findings are below.
    base: Vec<Step>,
}

/// Checks a config.json.
pub fn config(config: &Config) -> Findings {
    let mut findings = Findings::default();
    version::check(&config.oci_version, &mut findings);
    if config.root.path.as_os_str().is_empty() {
        findings.fault(at!["root", "path"], "must not be empty");
    }
    host::check(config, &mut findings);
    mounts::check(config, &mut findings);
    for (name, hooks) in config.hooks.by_name() {
        check_hooks(name, hooks, &mut findings);
    }
    namespaces::check(&config.linux, &mut findings);
    ids::check(config, &mut findings);
    sysctl::check(&config.linux, &mut findings);
    linux::check(&config.linux, &mut findings);
    if let Some(process) = &config.process {
        findings.base = at!["process"].0;
        process::check(process, &mut findings);
        ids::check_user(&process.user, &config.linux, &mut findings);
    }
    findings
}

/// Checks the file of `exec --process`.
pub fn exec_process(process: &Process) -> Findings {
    let mut findings = Findings::default();
    process::check(process, &mut findings);
    findings
}

fn check_hooks(name: &str, hooks: &[Hook], findings: &mut Findings) {
    for (index, hook) in hooks.iter().enumerate() {
        findings.absolute(at!["hooks", name, index, "path"], &hook.path);
    }
}

impl Findings {
    fn fault(&mut self, path: Path, message: impl Into<String>) {
        let fault = self.based(path, message);
        self.faults.push(fault);
    }

    fn fault_with_hint(&mut self, path: Path, message: impl Into<String>, hint: &str) {
        let fault = self.based(path, message).hint(hint);
        self.faults.push(fault);
    }

    fn warning(&mut self, path: Path, message: impl Into<String>) {
        let warning = self.based(path, message);
        self.warnings.push(warning);
    }

    fn based(&self, path: Path, message: impl Into<String>) -> Fault {
        let steps = self.base.iter().cloned().chain(path.0).collect();
        Fault::new(Path(steps), message)
    }

    fn absolute(&mut self, path: Path, value: &FilePath) {
        if !value.is_absolute() {
            self.fault(path, format!("{value:?} is not an absolute path"));
        }
    }
}

#[cfg(test)]
mod tests;
