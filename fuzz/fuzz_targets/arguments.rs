//! The command line in Go's forms and clap's: what is put into clap's forms once stays as it is.

#![no_main]

use clap::CommandFactory;
use libfuzzer_sys::fuzz_target;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use tare::arguments::normalised;
use tare::cli::Cli;

fuzz_target!(|line: &[u8]| {
    let words = line.split(|&byte| byte == b' ');
    let words: Vec<OsString> = words
        .map(|word| OsString::from_vec(word.to_owned()))
        .collect();
    let count = words.len();
    let once = normalised(Cli::command, words);
    assert!(once.len() <= count);
    let _ = Cli::command().try_get_matches_from(&once);
});
