//! Finding the program in the container, executing it, and saying why it cannot be.

use crate::error::{Code, Error, Result};
use crate::plan::process::Process;
use crate::sys::exec;
use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

/// Finds the program that `args[0]` names: by itself where it has a slash, else in PATH.
///
/// # Errors
/// In runc's words, which dockerd matches for its exit codes 126 and 127.
pub fn find(process: &Process) -> Result<CString> {
    let name = &process.args[0];
    let quoted = name.to_string_lossy();
    if name.as_bytes().contains(&b'/') {
        return match usable(name) {
            Ok(()) => Ok(name.clone()),
            Err(error) => Err(unusable(&quoted, error)),
        };
    }
    let mut denied = false;
    for dir in search_path(&process.env) {
        let candidate = [
            if dir.is_empty() { b"." } else { dir },
            b"/",
            name.as_bytes(),
        ]
        .concat();
        let Ok(candidate) = CString::new(candidate) else {
            continue;
        };
        match usable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::ACCESS) => denied = true,
            Err(_) => {}
        }
    }
    if denied {
        return Err(unusable(&quoted, Errno::ACCESS));
    }
    Err(Error::new(
        Code::ProgramNotFound,
        format!("exec: {quoted:?}: executable file not found in $PATH"),
    ))
}

fn search_path(env: &[CString]) -> impl Iterator<Item = &[u8]> {
    env.iter()
        .find_map(|variable| variable.as_bytes().strip_prefix(b"PATH="))
        .into_iter()
        .flat_map(|path| path.split(|&byte| byte == b':'))
}

/// Whether `path` is a file that this process may execute.
fn usable(path: &CStr) -> rustix::io::Result<()> {
    let stat = rustix::fs::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::ISDIR);
    }
    if stat.st_mode & 0o111 == 0 {
        return Err(Errno::ACCESS);
    }
    rustix::fs::accessat(rustix::fs::CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
}

fn unusable(name: &str, error: Errno) -> Error {
    let code = match error {
        Errno::NOENT | Errno::NOTDIR => Code::ProgramNotFound,
        _ => Code::ProgramNotExecutable,
    };
    let error = match error {
        // As Go's os/exec puts it.
        Errno::NOENT | Errno::NOTDIR => {
            Error::system(format!("exec: {name:?}: stat {name}"), error)
        }
        // What execve(2) says, and what older versions of dockerd look for.
        Errno::ISDIR => Error::system(format!("exec: {name:?}"), Errno::ACCESS)
            .hint("it is a directory"),
        _ => Error::system(format!("exec: {name:?}"), error),
    };
    error.with_code(code)
}

/// Executes `path`. Returns only where it fails, with the reason as precise as can be had.
pub fn execute(path: &CStr, process: &Process) -> Error {
    let cause = exec::execve(path, &process.args, &process.env);
    let name = path.to_string_lossy();
    let code = match cause.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => Code::ProgramNotFound,
        _ => Code::ProgramNotExecutable,
    };
    let reason = reason(path, cause.raw_os_error());
    let error = Error::system(format!("exec {name}"), cause).with_code(code);
    match reason {
        Some(reason) => error.hint(reason),
        None => error,
    }
}

/// What execve(2) means by its errno, from the file's first bytes (runc#1773: "no such file or
/// directory" for a file that is there).
fn reason(path: &CStr, errno: Option<i32>) -> Option<String> {
    let head = read_head(path)?;
    match errno? {
        libc::ENOENT => interpreter(&head).map(|interpreter| {
            let carriage = if interpreter.ends_with('\r') {
                ": the script has DOS line ends"
            } else {
                ""
            };
            format!("its interpreter {interpreter:?} is not in the container{carriage}")
        }),
        libc::ENOEXEC if head.starts_with(b"\x7fELF") => {
            Some(format!("it is for another machine: {}", elf_machine(&head)))
        }
        libc::ENOEXEC if head.is_empty() => Some("it is empty".into()),
        libc::ENOEXEC => Some("it is neither a program nor a script with a #! line".into()),
        libc::EACCES => interpreter(&head)
            .map(|interpreter| {
                format!(
                    "it or its interpreter {interpreter:?} is not executable, or on a noexec mount"
                )
            })
            .or_else(|| Some("it is not executable, or on a noexec mount".into())),
        _ => None,
    }
}

/// The first bytes of the file, enough for its headers.
fn read_head(path: &CStr) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file: OwnedFd = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let mut head = vec![0; 4096];
    let length = rustix::io::read(&file, &mut head).ok()?;
    head.truncate(length);
    Some(head)
}

/// The interpreter that a script's first line or an ELF file's PT_INTERP names.
fn interpreter(head: &[u8]) -> Option<String> {
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|&byte| byte == b'\n').next()?;
        let line = String::from_utf8_lossy(line).into_owned();
        let trimmed = line.trim_start_matches([' ', '\t']);
        return Some(trimmed.split([' ', '\t']).next()?.to_owned());
    }
    elf_interpreter(head)
}

/// PT_INTERP of a 64-bit ELF file of this machine's byte order (elf(5)).
fn elf_interpreter(head: &[u8]) -> Option<String> {
    const CLASS_64: u8 = 2;
    const PT_INTERP: u32 = 3;
    if !head.starts_with(b"\x7fELF") || *head.get(4)? != CLASS_64 {
        return None;
    }
    let word = |at: usize| Some(u32::from_ne_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| {
        usize::try_from(u64::from_ne_bytes(head.get(at..at + 8)?.try_into().ok()?)).ok()
    };
    let short = |at: usize| {
        Some(usize::from(u16::from_ne_bytes(
            head.get(at..at + 2)?.try_into().ok()?,
        )))
    };
    let (table, entry, count) = (long(32)?, short(54)?, short(56)?);
    for index in 0..count {
        let header = table.checked_add(index.checked_mul(entry)?)?;
        if word(header)? == PT_INTERP {
            let (offset, size) = (long(header + 8)?, long(header + 32)?);
            let bytes = head.get(offset..offset.checked_add(size)?)?;
            return Some(
                String::from_utf8_lossy(bytes)
                    .trim_end_matches('\0')
                    .to_owned(),
            );
        }
    }
    None
}

/// The machine that an ELF file is for.
fn elf_machine(head: &[u8]) -> String {
    let machine = head
        .get(18..20)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_le_bytes);
    let name = match machine {
        Some(0x03) => "x86",
        Some(0x15) => "ppc64",
        Some(0x16) => "s390x",
        Some(0x28) => "arm",
        Some(0x3e) => "x86_64",
        Some(0xb7) => "aarch64",
        Some(0xf3) => "riscv",
        Some(0x102) => "loongarch",
        _ => return format!("ELF machine {}", machine.unwrap_or_default()),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_of_a_script_is_its_first_word() {
        assert_eq!(
            interpreter(b"#! /usr/bin/env -S x\n").as_deref(),
            Some("/usr/bin/env")
        );
        assert_eq!(interpreter(b"#!/bin/sh\r\n").as_deref(), Some("/bin/sh\r"));
        assert_eq!(interpreter(b"plain text"), None);
    }

    #[test]
    fn a_cut_elf_file_has_no_interpreter() {
        let head = std::fs::read("/bin/sh").unwrap();
        assert!(elf_interpreter(&head).is_some_and(|i| i.contains("ld-")));
        for length in 0..200 {
            let _ = elf_interpreter(&head[..length]);
        }
    }
}
