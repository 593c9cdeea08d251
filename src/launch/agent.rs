//! The seccomp agent: whoever listens at `linux.seccomp.listenerPath` and decides system calls
//! of the container (config-linux.md, "Seccomp" and "The Container Process State").

use crate::config::Config;
use crate::error::{Code, Context, Error, Result};
use crate::handover;
use crate::hooks::State;
use rustix::process::Pid;
use serde::Serialize;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// What it is to be told, but for the process.
#[derive(Debug)]
pub struct Agent<'a> {
    path: &'a Path,
    metadata: Option<&'a str>,
    state: State,
}

/// The spec's container process state.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessState<'a> {
    oci_version: &'a str,
    /// The names of the descriptors that come with it.
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: &'a State,
}

impl<'a> Agent<'a> {
    /// The agent of this container, where it has one.
    pub fn of(config: &'a Config, state: State) -> Option<Self> {
        let seccomp = config.linux.seccomp.as_ref()?;
        Some(Self {
            path: seccomp.listener_path.as_deref()?,
            metadata: seccomp.listener_metadata.as_deref(),
            state,
        })
    }

    /// Tells it of the process whose system calls come by `listener`.
    ///
    /// # Errors
    /// Where nobody listens, or does not take it in time.
    pub fn tell(&self, pid: Pid, listener: BorrowedFd<'_>) -> Result<()> {
        let at = || format!("linux.seccomp.listenerPath: {}", self.path.display());
        let pid = pid.as_raw_nonzero().get();
        let mut state = self.state.clone();
        // While a container is created, this process is it.
        if state.pid == 0 {
            state.pid = pid;
        }
        let text = serde_json::to_vec(&ProcessState {
            oci_version: &state.oci_version,
            fds: ["seccompFd"],
            pid,
            metadata: self.metadata,
            state: &state,
        })
        .map_err(|error| Error::new(Code::Protocol, error.to_string()))
        .context(at)?;
        handover::send(self.path, &text, listener)
            .context(|| format!("{}: failed to connect with seccomp agent", at()))
    }
}
