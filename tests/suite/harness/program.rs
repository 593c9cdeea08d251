//! Programs that a test puts down to have them executed.
//!
//! A child has the file open for writing in our place: another test's thread may fork while we
//! had, and until its child has executed something, the kernel refuses to execute the file
//! ("text file busy").

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program of this content, mode 0755; makes the directories it lies in.
#[track_caller]
pub fn write(path: &Path, content: impl AsRef<[u8]>) {
    let mut install = install("/dev/stdin".as_ref(), path);
    let mut child = install.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(content.as_ref()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success(), "writing {path:?}");
}

/// A shell script, and where it lies.
#[track_caller]
pub fn script(path: PathBuf, text: &str) -> PathBuf {
    write(&path, format!("#!/bin/sh\n{text}\n"));
    path
}

/// A copy of a program, mode 0755.
#[track_caller]
pub fn copy(from: &Path, to: &Path) {
    let status = install(from, to).status().unwrap();
    assert!(status.success(), "copying {from:?} to {to:?}");
}

fn install(from: &Path, to: &Path) -> Command {
    let mut command = Command::new("install");
    command.args(["-D", "--mode=755"]).args([from, to]);
    command
}
