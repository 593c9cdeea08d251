//! Reading the files: what is missing is none, and what is not understood is an error that
//! names it, or, of one line among others, passed over: a newer kernel's must not hide the rest.

use super::super::files;
use crate::error::{Code, Error, Result};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::path::Path;

/// The whole file.
pub(super) fn text(dir: &Path, file: &str) -> Result<Option<String>> {
    let path = dir.join(file);
    match files::read(&path) {
        Ok(text) => Ok(Some(text)),
        // No such controller, or its cgroup has gone; PSI needs "psi=1" on some kernels.
        Err(errno) if files::is_gone(errno) || errno == Errno::OPNOTSUPP => Ok(None),
        Err(errno) => Err(Error::system(format!("reading {}", path.display()), errno)),
    }
}

/// A file of one number; "max" is the largest.
pub(super) fn number(dir: &Path, file: &str) -> Result<Option<u64>> {
    let Some(text) = text(dir, file)? else {
        return Ok(None);
    };
    match parse(text.trim()) {
        Some(number) => Ok(Some(number)),
        None => Err(not_a_number(dir, file, &text)),
    }
}

/// A file of one number; 0 where it is missing.
pub(super) fn number_or_zero(dir: &Path, file: &str) -> Result<u64> {
    Ok(number(dir, file)?.unwrap_or(0))
}

/// A file of one number with a sign; 0 where it is missing.
pub(super) fn signed(dir: &Path, file: &str) -> Result<i64> {
    match text(dir, file)? {
        None => Ok(0),
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| not_a_number(dir, file, &text)),
    }
}

fn not_a_number(dir: &Path, file: &str, text: &str) -> Error {
    let path = dir.join(file);
    let message = format!("reading {}: {:?} is no number", path.display(), text.trim());
    Error::new(Code::System, message)
}

/// A number as cgroup files have it. v1's limits below 0 mean what 0 does to runc.
pub(super) fn parse(text: &str) -> Option<u64> {
    match text {
        "max" => Some(u64::MAX),
        text => match text.strip_prefix('-') {
            Some(digits) => digits.parse::<u64>().ok().map(|_| 0),
            None => text.parse().ok(),
        },
    }
}

/// A file of "key number" lines; empty where it is missing.
pub(super) fn keyed(dir: &Path, file: &str) -> Result<BTreeMap<String, u64>> {
    let text = text(dir, file)?.unwrap_or_default();
    let pairs = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), parse(value.trim())?))
    });
    Ok(pairs.collect())
}

/// A line "name key=number key=number": the name, and the pairs.
pub(super) type Nested = (String, Vec<(String, u64)>);

/// A file of such lines; empty where it is missing.
pub(super) fn nested(dir: &Path, file: &str) -> Result<Vec<Nested>> {
    let text = text(dir, file)?.unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let name = fields.next()?.to_owned();
        let pairs = fields.filter_map(|field| {
            let (key, value) = field.split_once('=')?;
            Some((key.to_owned(), parse(value)?))
        });
        Some((name, pairs.collect()))
    });
    Ok(lines.collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    /// A directory with one file in it, removed with the value.
    struct Dir(PathBuf);

    impl Dir {
        fn with(name: &str, text: &str) -> Self {
            let unique = format!("tare-stats-{}-{name}", std::process::id());
            let dir = std::env::temp_dir().join(unique);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("file"), text).unwrap();
            Self(dir)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn odd_content_is_an_error_that_names_the_file_or_is_passed_over() {
        let dir = Dir::with("odd", "no number\nkey 7\nkey\nother x\nlast max\n\n");
        let error = number(&dir.0, "file").unwrap_err().to_string();
        assert!(error.contains("/file: \"no number"), "{error}");
        assert!(signed(&dir.0, "file").is_err());
        let keyed = keyed(&dir.0, "file").unwrap();
        assert_eq!(keyed.get("key"), Some(&7));
        assert_eq!(keyed.get("last"), Some(&u64::MAX));
        assert_eq!(keyed.len(), 2);
        assert_eq!(nested(&dir.0, "file").unwrap()[0].1, []);
    }

    #[test]
    fn what_is_missing_is_none() {
        let dir = Dir::with("none", "-1\n");
        assert_eq!(number(&dir.0, "missing").unwrap(), None);
        assert_eq!(number(&dir.0, "file").unwrap(), Some(0));
        assert_eq!(signed(&dir.0, "file").unwrap(), -1);
        assert!(keyed(&dir.0, "missing").unwrap().is_empty());
        assert!(nested(&dir.0, "missing").unwrap().is_empty());
    }
}
