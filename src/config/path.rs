//! Where in a config something is: `mounts[3].options[1]`.

use std::fmt;

/// The way from the top of a file to one value in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(pub Vec<Step>);

impl Path {
    /// The path of what is in the value.
    #[must_use]
    pub fn then(&self, step: impl Into<Step>) -> Self {
        let mut path = self.clone();
        path.0.push(step.into());
        path
    }

    /// Whether this is the path of a member or element of what is at `parent`.
    pub fn is_in(&self, parent: &Self) -> bool {
        self.0
            .split_last()
            .is_some_and(|(_, rest)| rest == parent.0)
    }
}

/// One step of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To an object's member.
    Key(String),
    /// To an array's element.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<&String> for Step {
    fn from(key: &String) -> Self {
        Self::Key(key.clone())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// `at!["mounts", 3, "options"]`
macro_rules! at {
    ($($step:expr),* $(,)?) => {
        $crate::config::path::Path(vec![$($crate::config::path::Step::from($step)),*])
    };
}
pub(crate) use at;

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if !is_word(key) => write!(f, "[{key:?}]")?,
                Step::Key(key) if depth == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// Whether a key needs no quotes. Names of annotations and sysctls have dots of their own.
fn is_word(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    #[test]
    fn paths_read_as_one_would_write_them() {
        assert_eq!(at![].to_string(), "");
        assert_eq!(
            at!["mounts", 3, "options", 1].to_string(),
            "mounts[3].options[1]"
        );
        assert_eq!(
            at!["linux", "sysctl", "net.ipv4.ip_forward"].to_string(),
            r#"linux.sysctl["net.ipv4.ip_forward"]"#
        );
    }
}
