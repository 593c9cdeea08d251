//! The kernel's side, for tests: runs a program on a system call, and refuses what the kernel
//! would (net/core/filter.c and kernel/seccomp.c, `seccomp_check_filter`).

use super::assembler::code;
use crate::sys::seccomp::Instruction;

/// `struct seccomp_data`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Data {
    pub number: u32,
    pub arch: u32,
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
