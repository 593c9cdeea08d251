//! SECURITY.md and the tests say the same.

use crate::harness::{Sandbox, tests};
use std::collections::BTreeSet;

tests![
    security_md_names_tests_that_exist,
    every_test_of_a_cve_is_in_security_md,
];

const SECURITY: &str = include_str!("../../SECURITY.md");

/// What stands there as `` `module::test` ``.
fn mentioned() -> BTreeSet<String> {
    let is_name = |word: &&str| {
        word.contains("::")
            && word.chars().all(|letter| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_:".contains(letter)
            })
    };
    let quoted = SECURITY.split('`').skip(1).step_by(2);
    quoted.filter(is_name).map(str::to_owned).collect()
}

fn existing() -> BTreeSet<String> {
    // Listing the tests lists this one too.
    let all = crate::all();
    all.iter()
        .flatten()
        .map(|trial| trial.name().to_owned())
        .collect()
}

fn security_md_names_tests_that_exist(_: &Sandbox) {
    let missing: Vec<_> = mentioned().difference(&existing()).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn every_test_of_a_cve_is_in_security_md(_: &Sandbox) {
    let mut missing = existing();
    missing.retain(|name| name.contains("::cve_"));
    assert!(missing.len() > 30, "{missing:?}");
    for name in mentioned() {
        missing.remove(&name);
    }
    assert!(missing.is_empty(), "{missing:?}");
}
