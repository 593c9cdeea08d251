//! `ociVersion` (config.md, "Specification version").

use super::{Findings, at};

/// The newest minor version there is support for; the oldest is 1.0.
const NEWEST_MINOR: u64 = 3;

/// A newer minor is let pass: it adds to what there is (SemVer), an engine writes its own version
/// even where it uses nothing new, and each key that is not known is warned of by itself.
pub(super) fn check(version: &str, findings: &mut Findings) {
    match minor_of_1(version) {
        Ok(minor) if minor <= NEWEST_MINOR => {}
        Ok(_) => {
            let message = format!(
                "version {version:?} is newer than 1.{NEWEST_MINOR}: what it adds is not done"
            );
            findings.warning(at!["ociVersion"], message);
        }
        Err(why) => {
            let hint = format!(
                "versions 1.0.0 to 1.{NEWEST_MINOR} are, with or without -dev and the like"
            );
            findings.fault_with_hint(at!["ociVersion"], format!("{version:?} {why}"), &hint);
        }
    }
}

/// The minor version that a config is written for, where its major is 1.
pub fn minor(version: &str) -> Option<u64> {
    minor_of_1(version).ok()
}

/// The minor of a SemVer 2.0.0 version whose major is 1.
fn minor_of_1(version: &str) -> Result<u64, &'static str> {
    const MALFORMED: &str = "is not a version such as 1.0.2";
    let (version, build) = split(version, '+');
    let (core, prerelease) = split(version, '-');
    let are_labels = |labels: &str| {
        labels.split('.').all(|label| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !label.is_empty() && label.bytes().all(is_allowed)
        })
    };
    if !prerelease.is_none_or(are_labels) || !build.is_none_or(are_labels) {
        return Err(MALFORMED);
    }
    let numbers: Option<Vec<u64>> = core.split('.').map(number).collect();
    match numbers.as_deref() {
        Some([1, minor, _]) => Ok(*minor),
        Some([_, _, _]) => Err("is not supported"),
        _ => Err(MALFORMED),
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn number(text: &str) -> Option<u64> {
    let is_plain = text == "0" || !text.starts_with('0');
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain && is_number {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(version: &str) -> bool {
        let mut findings = Findings::default();
        check(version, &mut findings);
        findings.faults.is_empty()
    }

    #[test]
    fn versions_1_0_to_1_3_are_accepted() {
        for version in [
            "1.0.0",
            "1.0.0-rc5",
            "1.0.2",
            "1.0.2-dev",
            "1.1.0",
            "1.1.0+dev",
            "1.2.1",
            "1.3.0-rc.1",
            "1.3.0",
            "1.3.99",
            "1.2.0-a-b.7+x.y",
        ] {
            assert!(accepts(version), "{version}");
        }
    }

    #[test]
    fn a_newer_minor_is_warned_of() {
        for (version, warnings) in [("1.3.0", 0), ("1.4.0", 1), ("1.10.0-dev", 1)] {
            let mut findings = Findings::default();
            check(version, &mut findings);
            assert!(findings.faults.is_empty(), "{version}");
            assert_eq!(findings.warnings.len(), warnings, "{version}");
        }
    }

    #[test]
    fn all_others_are_refused() {
        for version in [
            "",
            "banana",
            "1",
            "1.0",
            "0.9",
            "0.9.0",
            "2.0.0",
            "1.0.0.0",
            "v1.0.0",
            "01.0.0",
            "1.00.0",
            "1.0.0-",
            "1.0.0+",
            "1.0.x",
            "1.-1.0",
            "1.+1.0",
            "1.0.0 ",
            "1.0.0-rc..1",
            "1.18446744073709551616.0",
        ] {
            assert!(!accepts(version), "{version}");
        }
    }
}
