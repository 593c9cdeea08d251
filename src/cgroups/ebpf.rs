//! Device policies as eBPF: what cgroup v2 has in the place of v1's device controller.
//!
//! The kernel runs the program at each open and mknod of a device with what is wanted; it
//! answers 1 for yes. One program per cgroup, replaced atomically, so that an update never
//! leaves a moment without one and programs do not pile up.

use super::devices::{Exception, Policy};
use crate::config::resources::DeviceAccess;
use crate::error::{Context, Result};
use crate::sys::bpf::{Instruction, Program};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// By which our program is found again.
const NAME: &CStr = c"tare_devices";

/// Puts the policy in force for the cgroup.
pub(super) fn attach(dir: &Path, policy: &Policy) -> Result<()> {
    // BPF takes no O_PATH descriptor.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let cgroup = rustix::fs::open(dir, flags, Mode::empty())
        .context(|| format!("opening {}", dir.display()))?;
    let doing = |what: &'static str| move || format!("{what} of {}", dir.display());
    let program = load(&compile(policy)).context(doing("loading the device filter"))?;
    let attached = Program::attached_to(cgroup.as_fd());
    let mut ours = Vec::new();
    for other in attached.context(doing("looking at the device filters"))? {
        // Those of others, such as systemd's, can only restrict further.
        if other
            .is_named(NAME)
            .context(doing("looking at a device filter"))?
        {
            ours.push(other);
        }
    }
    program
        .attach(cgroup.as_fd(), ours.first())
        .context(doing("attaching the device filter"))?;
    for old in ours.iter().skip(1) {
        old.detach(cgroup.as_fd())
            .context(doing("detaching an old device filter"))?;
    }
    Ok(())
}

/// Before Linux 5.11 programs count as locked memory, of which the limit is often 64 KiB.
fn load(instructions: &[Instruction]) -> io::Result<Program> {
    let load = || Program::load_device_filter(instructions, NAME);
    match load() {
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => {
            let limit = rustix::process::getrlimit(Resource::Memlock);
            let unlimited = Rlimit {
                current: None,
                maximum: None,
            };
            if rustix::process::setrlimit(Resource::Memlock, unlimited).is_err() {
                return Err(error);
            }
            let result = load();
            rustix::process::setrlimit(Resource::Memlock, limit)?;
            result
        }
        result => result,
    }
}

// linux/bpf_common.h and linux/bpf.h.
const LOAD_WORD: u8 = 0x61;
const AND_32: u8 = 0x54;
const RIGHT_SHIFT_32: u8 = 0x74;
const MOVE_32: u8 = 0xb4;
const MOVE_REGISTER_32: u8 = 0xbc;
const JUMP_NOT_EQUAL_32: u8 = 0x56;
const JUMP_NOT_EQUAL_REGISTER: u8 = 0x5d;
const JUMP_EQUAL_32: u8 = 0x16;
const EXIT: u8 = 0x95;

/// `struct bpf_cgroup_dev_ctx`: the access and kind of device in one word, then the numbers.
const BLOCK: i32 = 1;
const CHAR: i32 = 2;
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;

/// Registers: the answer, the context, and what is wanted of which device.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 1;

fn immediate(code: u8, destination: u8, value: i32) -> Instruction {
    Instruction {
        code,
        registers: destination,
        offset: 0,
        immediate: value,
    }
}

fn register(code: u8, destination: u8, source: u8) -> Instruction {
    Instruction {
        code,
        registers: destination | source << 4,
        offset: 0,
        immediate: 0,
    }
}

fn load_word(destination: u8, offset: i16) -> Instruction {
    Instruction {
        offset,
        ..register(LOAD_WORD, destination, CONTEXT)
    }
}

fn compile(policy: &Policy) -> Vec<Instruction> {
    let mut program = vec![
        load_word(KIND, 0),
        immediate(AND_32, KIND, 0xffff),
        load_word(ACCESS, 0),
        immediate(RIGHT_SHIFT_32, ACCESS, 16),
        load_word(MAJOR, 4),
        load_word(MINOR, 8),
    ];
    for exception in &policy.exceptions {
        program.extend(clause(exception, !policy.allow));
    }
    program.extend(answer(policy.allow));
    program
}

fn answer(allow: bool) -> [Instruction; 2] {
    [
        immediate(MOVE_32, ANSWER, i32::from(allow)),
        immediate(EXIT, 0, 0),
    ]
}

/// Answers `allow` if the exception applies, and goes on behind itself if not. All that is
/// wanted must be allowed, but one of what is wanted being denied is enough: opening for
/// reading and writing asks for both at once.
fn clause(exception: &Exception, allow: bool) -> Vec<Instruction> {
    let devices = exception.devices;
    let kind = if devices.block { BLOCK } else { CHAR };
    let mut clause = vec![immediate(JUMP_NOT_EQUAL_32, KIND, kind)];
    // Device numbers are compared as the unsigned words they are.
    if let Some(major) = devices.major {
        clause.push(immediate(JUMP_NOT_EQUAL_32, MAJOR, major.cast_signed()));
    }
    if let Some(minor) = devices.minor {
        clause.push(immediate(JUMP_NOT_EQUAL_32, MINOR, minor.cast_signed()));
    }
    if exception.access != DeviceAccess::ALL {
        let access = bits(exception.access);
        clause.push(register(MOVE_REGISTER_32, SCRATCH, ACCESS));
        clause.push(immediate(AND_32, SCRATCH, access));
        clause.push(match allow {
            true => register(JUMP_NOT_EQUAL_REGISTER, SCRATCH, ACCESS),
            false => immediate(JUMP_EQUAL_32, SCRATCH, 0),
        });
    }
    clause.extend(answer(allow));
    let length = clause.len();
    for (index, instruction) in clause.iter_mut().enumerate() {
        let jumps = [JUMP_NOT_EQUAL_32, JUMP_NOT_EQUAL_REGISTER, JUMP_EQUAL_32];
        if jumps.contains(&instruction.code) {
            // Eight instructions at most.
            instruction.offset = (length - index - 1) as i16;
        }
    }
    clause
}

fn bits(access: DeviceAccess) -> i32 {
    let bit = |set: bool, bit: i32| if set { bit } else { 0 };
    bit(access.mknod, MKNOD) | bit(access.read, READ) | bit(access.write, WRITE)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::config::resources::DeviceRule;

    /// What the program answers: a machine for the instructions it uses.
    fn run(program: &[Instruction], context: [u32; 3]) -> bool {
        let mut registers = [0_u64; 11];
        let mut at = 0;
        loop {
            let Instruction {
                code,
                registers: both,
                offset,
                immediate,
            } = program[at];
            let (to, from) = (usize::from(both & 0xf), usize::from(both >> 4));
            let value = u64::from(immediate.cast_unsigned());
            let low = registers[to] & 0xffff_ffff;
            at += 1;
            let jump = match code {
                LOAD_WORD => {
                    registers[to] = u64::from(context[usize::try_from(offset / 4).unwrap()]);
                    false
                }
                AND_32 => {
                    registers[to] = low & value;
                    false
                }
                RIGHT_SHIFT_32 => {
                    registers[to] = low >> value;
                    false
                }
                MOVE_32 => {
                    registers[to] = value;
                    false
                }
                MOVE_REGISTER_32 => {
                    registers[to] = registers[from] & 0xffff_ffff;
                    false
                }
                JUMP_NOT_EQUAL_32 => low != value,
                JUMP_EQUAL_32 => low == value,
                JUMP_NOT_EQUAL_REGISTER => registers[to] != registers[from],
                EXIT => return registers[0] == 1,
                other => panic!("{other:#x}"),
            };
            if jump {
                at = at.checked_add_signed(offset.into()).unwrap();
            }
        }
    }

    fn answer(rules: &str, kind: i32, access: i32, major: u32, minor: u32) -> bool {
        let rules: Vec<DeviceRule> = serde_json::from_str(rules).unwrap();
        let program = compile(&Policy::new(&rules).unwrap());
        let word = (kind | access << 16).cast_unsigned();
        run(&program, [word, major, minor])
    }

    #[test]
    fn defaults() {
        let rules = r#"[{"allow":false,"access":"rwm"}]"#;
        assert!(answer(rules, CHAR, READ | WRITE, 1, 3));
        assert!(answer(rules, CHAR, READ, 136, 77));
        assert!(answer(rules, CHAR, MKNOD, 10, 229));
        assert!(answer(rules, BLOCK, MKNOD, 8, 0));
        assert!(!answer(rules, BLOCK, MKNOD | READ, 8, 0));
        assert!(!answer(rules, BLOCK, READ, 8, 0));
        assert!(!answer(rules, BLOCK, READ, 1, 3));
        assert!(!answer(rules, CHAR, READ, 1, 1));
    }

    #[test]
    fn allowed_devices_and_their_accesses() {
        let rules = r#"[{"allow":true,"type":"b","major":8,"access":"r"},
            {"allow":true,"type":"c","major":4294967295,"minor":4294967295,"access":"rw"}]"#;
        assert!(answer(rules, BLOCK, READ, 8, 5));
        assert!(!answer(rules, BLOCK, READ | WRITE, 8, 5));
        assert!(answer(rules, CHAR, READ | WRITE, u32::MAX, u32::MAX));
        assert!(!answer(rules, CHAR, READ, u32::MAX, 0));
    }

    #[test]
    fn denying_one_access_denies_asking_for_more() {
        let rules = r#"[{"allow":true,"access":"rwm"},
            {"allow":false,"type":"b","major":8,"minor":0,"access":"w"}]"#;
        assert!(answer(rules, BLOCK, READ, 8, 0));
        assert!(!answer(rules, BLOCK, WRITE, 8, 0));
        assert!(!answer(rules, BLOCK, READ | WRITE, 8, 0));
        assert!(answer(rules, BLOCK, READ | WRITE, 8, 1));
        assert!(answer(rules, CHAR, READ | WRITE, 8, 0));
    }

    #[test]
    fn allowing_all_needs_no_exceptions() {
        let all: Vec<DeviceRule> =
            serde_json::from_str(r#"[{"allow":true,"access":"rwm"}]"#).unwrap();
        let program = compile(&Policy::new(&all).unwrap());
        assert_eq!(program[6..], super::answer(true));
    }
}
