//! The one error type: what we were doing, to what, why it failed, and what to do about it.
//!
//! An error is built where the failure is known, gains context on its way up, and is
//! printed once, by `main`. It crosses the wire from the init stage unchanged: the kernel's
//! reason as a number, which only the command turns into words.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Result with tare's error.
pub type Result<T> = core::result::Result<T, Error>;

/// What kind of failure it was: the stable, machine-readable part of an error.
///
/// Printed as `code` in JSON logs, so that callers need not match English text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    /// config.json, process.json or a flag holds something that cannot be.
    InvalidConfig,
    /// An image is malformed, is not what its digests say, or goes beyond a limit.
    InvalidImage,
    /// The command line itself is wrong.
    Usage,
    /// There is no container of that id.
    NotFound,
    /// There is one of that id already.
    Exists,
    /// The container is not in a state that allows the operation.
    WrongState,
    /// The program to run is not in the container.
    ProgramNotFound,
    /// The program to run is there, but cannot be executed.
    ProgramNotExecutable,
    /// A wait came to its deadline.
    Timeout,
    /// This kernel, machine or build cannot do what was asked.
    Unsupported,
    /// A hook failed.
    Hook,
    /// A system call failed.
    System,
    /// A message on the wire was not the one expected, or the peer went away.
    Protocol,
}

impl Code {
    /// The name in JSON logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidConfig => "invalid-config",
            Self::InvalidImage => "invalid-image",
            Self::Usage => "usage",
            Self::NotFound => "not-found",
            Self::Exists => "exists",
            Self::WrongState => "wrong-state",
            Self::ProgramNotFound => "program-not-found",
            Self::ProgramNotExecutable => "program-not-executable",
            Self::Timeout => "timeout",
            Self::Unsupported => "unsupported",
            Self::Hook => "hook",
            Self::System => "system",
            Self::Protocol => "protocol",
        }
    }
}

/// A failure with its context. See the module's description.
///
/// In a box, so that results of what hardly ever fails stay small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Parts {
    code: Code,
    /// From the outermost context to the root cause, without what the errno says.
    message: String,
    /// The errno at the root, where there was one.
    errno: Option<i32>,
    /// What went wrong besides.
    more: Option<String>,
    /// What the user can do about it.
    hint: Option<String>,
}

impl Error {
    /// An error that says `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::made(code, message.into(), None)
    }

    #[cold]
    #[inline(never)]
    fn made(code: Code, message: String, errno: Option<Errno>) -> Self {
        Self(Box::new(Parts {
            code,
            message,
            errno: errno.map(Errno::raw_os_error),
            more: None,
            hint: None,
        }))
    }

    /// A failed system call: `doing` is what it was for ("opening /proc/1/stat").
    pub fn system(doing: impl fmt::Display, cause: impl Into<Cause>) -> Self {
        Self::caused(&doing, cause.into())
    }

    #[cold]
    #[inline(never)]
    fn caused(doing: &dyn fmt::Display, cause: Cause) -> Self {
        match cause {
            Cause::Errno(errno) => Self::made(Code::System, format!("{doing}"), Some(errno)),
            Cause::Words(words) => Self::made(Code::System, format!("{doing}: {words}"), None),
        }
    }

    /// The same error, with what was being done put before it.
    #[must_use]
    pub fn context(self, doing: impl fmt::Display) -> Self {
        self.within(&doing)
    }

    #[cold]
    #[inline(never)]
    fn within(mut self, doing: &dyn fmt::Display) -> Self {
        self.0.message = format!("{doing}: {}", self.0.message);
        self
    }

    /// The same error, with what went wrong besides put behind it.
    #[must_use]
    pub fn followed_by(mut self, more: impl fmt::Display) -> Self {
        self.0.more = Some(match self.0.more {
            Some(already) => format!("{already}; {more}"),
            None => format!("{more}"),
        });
        self
    }

    /// The same error, with advice; the first advice given stays, being the closest.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same error under another code.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Self {
        self.0.code = code;
        self
    }

    /// The same error, its text cut to at most `limit` bytes.
    #[must_use]
    pub fn truncated(mut self, limit: usize) -> Self {
        let parts = &mut *self.0;
        for text in [Some(&mut parts.message), parts.hint.as_mut()]
            .into_iter()
            .flatten()
        {
            if text.len() > limit {
                let end = (0..=limit).rev().find(|&end| text.is_char_boundary(end));
                text.truncate(end.unwrap_or(0));
            }
        }
        self
    }

    /// What kind of failure it was.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The errno at the root, where a system call failed.
    pub fn errno(&self) -> Option<Errno> {
        self.0.errno.map(Errno::from_raw_os_error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(errno) = self.0.errno {
            write!(f, ": {}", Words(errno))?;
        }
        if let Some(more) = &self.0.more {
            write!(f, "; {more}")?;
        }
        match &self.0.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for Error {}

/// Why a call failed.
#[derive(Debug)]
pub enum Cause {
    /// The kernel's reason.
    Errno(Errno),
    /// Another one: of a library, which never got to the kernel.
    Words(String),
}

impl From<Errno> for Cause {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

#[cfg(not(feature = "program"))]
impl From<std::io::Error> for Cause {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::Errno(Errno::from_raw_os_error(errno)),
            None => Self::Words(format!("{error}")),
        }
    }
}

/// An errno in the kernel's words, in lower case and without "(os error N)": engines match
/// "no such file or directory" and "permission denied" as runc writes them.
struct Words(i32);

impl fmt::Display for Words {
    #[cfg(not(feature = "program"))]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(errno) = self;
        let text = format!("{}", std::io::Error::from_raw_os_error(*errno));
        let text = text
            .strip_suffix(&format!(" (os error {errno})"))
            .unwrap_or(&text);
        let mut chars = text.chars();
        match chars.next() {
            Some(first) => write!(f, "{}{}", first.to_lowercase(), chars.as_str()),
            None => write!(f, "errno {errno}"),
        }
    }

    /// The init stage, which prints no error, has no words for them.
    #[cfg(feature = "program")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "errno {}", self.0)
    }
}

/// Gives any result its context.
pub trait Context<T> {
    /// Says what was being done, where it failed.
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T>;
}

#[cfg(not(feature = "program"))]
impl<T> Context<T> for std::io::Result<T> {
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|cause| Error::system(doing(), cause))
    }
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|cause| Error::system(doing(), cause))
    }
}

impl<T> Context<T> for Result<T> {
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.context(doing()))
    }
}
