//! The kernel's side, for tests and fuzz targets: runs a program on a system call, and refuses
//! what the kernel would (net/core/filter.c and kernel/seccomp.c, `seccomp_check_filter`). And
//! what a profile means, read plainly, to compare that with.

use super::MAX_INSTRUCTIONS;
use super::arch::{Arch, Call, Width, X32_BIT};
use super::assembler::code;
use super::rules;
use crate::config::seccomp::{Arch as Name, Arg, Op, Seccomp, Syscall};
use crate::sys::seccomp::Instruction;

/// `struct seccomp_data`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Data {
    /// Of the system call.
    pub number: u32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Its arguments.
    pub args: [u64; 6],
}

impl Data {
    fn word(&self, offset: u32) -> u32 {
        let half = |value: u64, second: bool| {
            let high = second != cfg!(target_endian = "big");
            (if high { value >> 32 } else { value }) as u32
        };
        match offset {
            0 => self.number,
            4 => self.arch,
            16..64 if offset.is_multiple_of(4) => {
                let words = (offset - 16) / 4;
                half(self.args[words as usize / 2], words % 2 == 1)
            }
            _ => panic!("a load from {offset}"),
        }
    }
}

/// Whether the kernel would take the program.
///
/// # Errors
/// The first instruction that it would not.
pub fn check(program: &[Instruction]) -> Result<(), String> {
    let length = program.len();
    if length == 0 || length > MAX_INSTRUCTIONS {
        return Err(format!("{length} instructions"));
    }
    if program[length - 1].code != code::RETURN {
        return Err("the last instruction does not return".into());
    }
    for (at, instruction) in program.iter().enumerate() {
        let Instruction { code, jt, jf, k } = *instruction;
        let reaches = |skipped: usize| at + 1 + skipped < length;
        let is_fine = match code {
            code::LOAD => k.is_multiple_of(4) && k < 64,
            code::AND | code::RETURN => true,
            code::JUMP => usize::try_from(k).is_ok_and(reaches),
            code::EQUAL | code::GREATER | code::GREATER_OR_EQUAL => {
                reaches(jt.into()) && reaches(jf.into())
            }
            _ => false,
        };
        if !is_fine {
            return Err(format!("instruction {at} of {length}: {instruction:?}"));
        }
    }
    Ok(())
}

/// What the program returns, and in how many steps.
pub fn run(program: &[Instruction], data: &Data) -> (u32, usize) {
    let (mut at, mut accumulator) = (0, 0_u32);
    for step in 1.. {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let holds = match code {
            code::LOAD => {
                accumulator = data.word(k);
                continue;
            }
            code::AND => {
                accumulator &= k;
                continue;
            }
            code::RETURN => return (k, step),
            code::JUMP => {
                at += k as usize;
                continue;
            }
            code::EQUAL => accumulator == k,
            code::GREATER => accumulator > k,
            code::GREATER_OR_EQUAL => accumulator >= k,
            // Of libseccomp's programs.
            0x45 => accumulator & k != 0,
            _ => panic!("instruction {code:#x}"),
        };
        at += usize::from(if holds { jt } else { jf });
    }
    unreachable!("a program without jumps back ends")
}

/// What a profile of one action beside the default says of a call, read plainly: where all
/// arguments of a rule hold it decides, else the default. Nothing where the call is none of the
/// profile's architectures, or stands for several calls, as socketcall(2) does.
pub fn plain_reading(profile: &Seccomp, data: &Data) -> Option<u32> {
    let archs = Arch::of_profile(&profile.architectures);
    // x32 has its mark in the number, and x86_64 no number as high as that.
    let of_arch = archs.iter().filter(|arch| arch.audit == data.arch);
    let arch = of_arch
        .filter(|arch| arch.name != Name::X86_64 || data.number < X32_BIT)
        .find(|arch| data.number >= arch.mark())?;
    let default = rules::value(profile.default_action, profile.default_errno_ret);
    let mut found = default;
    for rule in profile.syscalls.iter().rev() {
        let value = rules::value(rule.action, rule.errno_ret);
        let mut is_this = false;
        for call in rule.names.iter().filter_map(|name| Call::named(name)) {
            let route = arch.route(call);
            if route
                .multiplexed
                .is_some_and(|(number, _)| number == data.number)
            {
                return None;
            }
            is_this |= route.direct == Some(data.number);
        }
        if is_this && rule_holds(rule, arch.width, data) && value != default {
            found = value;
        }
    }
    Some(found)
}

fn rule_holds(rule: &Syscall, width: Width, data: &Data) -> bool {
    let mut indices: Vec<u32> = rule.args.iter().map(|arg| arg.index).collect();
    indices.sort_unstable();
    let twice = indices.windows(2).any(|pair| pair[0] == pair[1]);
    let holds = |arg: &Arg| argument_holds(arg, width, data);
    if twice {
        rule.args.iter().any(holds)
    } else {
        rule.args.iter().all(holds)
    }
}

fn argument_holds(arg: &Arg, width: Width, data: &Data) -> bool {
    let of_width = |value: u64| match width {
        Width::Bits32 => value & 0xffff_ffff,
        Width::Bits64 => value,
    };
    let argument = of_width(data.args[arg.index as usize]);
    let (value, two) = (of_width(arg.value), of_width(arg.value_two));
    match arg.op {
        Op::NotEqual => argument != value,
        Op::Less => argument < value,
        Op::LessOrEqual => argument <= value,
        Op::Equal => argument == value,
        Op::GreaterOrEqual => argument >= value,
        Op::Greater => argument > value,
        Op::MaskedEqual => argument & value == two & value,
    }
}
