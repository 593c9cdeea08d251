//! Seccomp: from a profile (config-linux.md, "Seccomp") to the program that the kernel runs
//! before each system call. No C library: the compiler is ours, its meaning libseccomp's as
//! runc uses it.
//!
//! Per architecture the numbers fall into ranges with one outcome each; a balanced tree of
//! comparisons finds the range, and only there arguments are looked at.

mod arch;
mod assembler;
mod rules;
mod tables;
mod tree;

#[cfg(test)]
mod differential;
#[cfg(any(test, fuzzing))]
pub mod interpreter;
#[cfg(test)]
mod tests;

use crate::config::{
    self,
    seccomp::{Action, Flag, Seccomp},
};
use crate::error::{Code, Error, Result};
pub use crate::plan::process::{Delivery, Filter};
use crate::sys::seccomp::knows_flags;
use arch::Arch;
use rules::Profile;

/// The kernel's limit (`BPF_MAXINSNS`).
const MAX_INSTRUCTIONS: usize = 4096;

/// Compiles a profile.
///
/// # Errors
/// What the profile cannot say: see config-linux.md and the checks of runc.
pub fn compile(config: &Seccomp) -> Result<Filter> {
    let notifies = check_notify(config)?;
    let profile = Profile::new(config)?;
    let archs = Arch::of_profile(&config.architectures);
    let program = tree::program(&profile, &archs);
    if program.len() > MAX_INSTRUCTIONS {
        return Err(Error::new(
            Code::Unsupported,
            format!(
                "linux.seccomp: compiled it has {} instructions, and the kernel takes {MAX_INSTRUCTIONS}",
                program.len()
            ),
        )
        .hint("fewer rules with arguments, or fewer architectures"));
    }
    Ok(Filter {
        program,
        flags: flags(config.flags.as_deref(), notifies)?,
        listener: notifies.then(|| match archs.first() {
            Some(native) if profile.allows(native, "sendmsg") => Delivery::Message,
            _ => Delivery::Number,
        }),
    })
}

/// Whether the profile notifies, which it must not do where it would wait for itself: what
/// the agent needs to hear of this process is still to be written then.
fn check_notify(config: &Seccomp) -> Result<bool> {
    let refuse = |message: &str| {
        Err(Error::new(
            Code::InvalidConfig,
            format!("linux.seccomp: {message}"),
        ))
    };
    if config.default_action == Action::Notify {
        return refuse("SCMP_ACT_NOTIFY cannot be used as default action");
    }
    let mut notifying = config
        .syscalls
        .iter()
        .filter(|rule| rule.action == Action::Notify)
        .peekable();
    let notifies = notifying.peek().is_some();
    if notifying.any(|rule| rule.names.iter().any(|name| name == "write")) {
        return refuse("SCMP_ACT_NOTIFY cannot be used for the write syscall");
    }
    if notifies && config.listener_path.is_none() {
        return refuse("SCMP_ACT_NOTIFY needs a listenerPath");
    }
    Ok(notifies)
}

/// The flags that config.json may have and this kernel knows.
pub fn supported_flags() -> Vec<&'static str> {
    let known = config::words::<Flag>();
    let is_supported = |name: &&&str| {
        let flag: Option<Flag> = serde_json::from_value((**name).into()).ok();
        flag.is_some_and(|flag| {
            // The kernel takes WAIT_KILLABLE_RECV with a listener alone.
            flags(Some(&[flag]), flag == Flag::WaitKillableRecv).is_ok()
        })
    };
    known.iter().filter(is_supported).copied().collect()
}

/// The bits for seccomp(2).
fn flags(list: Option<&[Flag]>, notifies: bool) -> Result<u32> {
    let mut flags = 0;
    // runc's default, where the config does not even have an empty list.
    for flag in list.unwrap_or(&[Flag::SpecAllow]) {
        let (bit, name, since) = match flag {
            // There is one thread to synchronise.
            Flag::Tsync => continue,
            Flag::Log => (libc::SECCOMP_FILTER_FLAG_LOG, "LOG", "4.14"),
            Flag::SpecAllow => (libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW, "SPEC_ALLOW", "4.17"),
            // The kernel takes it with a listener alone.
            Flag::WaitKillableRecv if !notifies => continue,
            Flag::WaitKillableRecv => (
                libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                "WAIT_KILLABLE_RECV",
                "5.19",
            ),
        };
        flags |= bit as u32;
        if list.is_some() && !knows_flags(bit as u32) && *flag != Flag::WaitKillableRecv {
            return Err(unknown_flag(name, since));
        }
    }
    if notifies {
        flags |= libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32;
        if !knows_flags(flags) {
            return Err(unknown_flag("WAIT_KILLABLE_RECV", "5.19"));
        }
    }
    Ok(flags)
}

fn unknown_flag(name: &str, since: &str) -> Error {
    Error::new(
        Code::Unsupported,
        format!("linux.seccomp.flags: this kernel does not know SECCOMP_FILTER_FLAG_{name}"),
    )
    .hint(format!("it needs Linux {since} with seccomp filters"))
}
