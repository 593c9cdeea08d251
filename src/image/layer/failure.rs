//! Why an entry was not written, before it is known whose entry it was.

use crate::error::{Code, Error};
use crate::image::tar::Fault;
use std::borrow::Cow;

/// What came of an entry.
pub type Attempt<T> = Result<T, Failure>;

/// Why a layer is not unpacked any further.
#[derive(Debug)]
pub enum Failure {
    /// The image breaks this rule.
    Rule(Cow<'static, str>),
    /// The rest of the tar cannot be had; whoever decompresses knows why.
    Feed,
    /// What is below has to be known.
    NeedsBelow,
    /// Something on this side.
    Other(Error),
}

impl Failure {
    pub fn rule(rule: impl Into<Cow<'static, str>>) -> Self {
        Self::Rule(rule.into())
    }

    /// The error, where there is one.
    pub fn into_error(self) -> Error {
        match self {
            Self::Rule(rule) => Error::new(Code::InvalidImage, rule),
            Self::Feed => Error::new(Code::System, "the layer could not be read to its end"),
            Self::NeedsBelow => Error::new(Code::System, "what is below is not known"),
            Self::Other(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Read(_) => Self::Feed,
            Fault::Rule(rule) => Self::Rule(rule),
        }
    }
}
