//! Container ids.

use crate::error::{Code, Error, Result};
use std::path::Path;

/// A container's id: a file name that stays inside `--root`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContainerId(String);

impl ContainerId {
    /// Checks `text` by runc's rule.
    ///
    /// # Errors
    /// Where it is empty, "." or "..", or has a character other than those of runc's ids.
    pub fn new(text: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
        if text.is_empty() || text == "." || text == ".." || !text.chars().all(allowed) {
            return Err(Error::new(
                Code::Usage,
                format!("invalid container ID format: {text:?}"),
            )
            .hint("letters, digits and _ + - . are allowed"));
        }
        Ok(Self(text.to_owned()))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for ContainerId {
    fn as_ref(&self) -> &Path {
        self.0.as_ref()
    }
}

impl std::fmt::Display for ContainerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_be_a_path() {
        for bad in ["", ".", "..", "a/b", "../a", "a b", "a\0b", "ä", "a\n"] {
            assert!(ContainerId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "A-b_c.d+1", "...", "-x"] {
            assert!(ContainerId::new(good).is_ok(), "{good:?}");
        }
    }
}
