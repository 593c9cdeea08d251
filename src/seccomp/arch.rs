//! The architectures that a profile can name, and what their system calls are called.

use super::tables::{self, ABSENT, COUNT};
use crate::config::seccomp::Arch as Name;
use std::cmp::Ordering;
use std::ops::Range;

/// The bit that tells system calls of x32 from those of x86_64, with which it shares its
/// value of `seccomp_data.arch`.
pub const X32_BIT: u32 = 0x4000_0000;

/// How wide arguments are compared, as libseccomp does: those of 32-bit interfaces have a
/// low half alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// The low half.
    Bits32,
    /// Both halves.
    Bits64,
}

/// An architecture, or one of several interfaces to one kernel.
#[derive(Debug, PartialEq, Eq)]
pub struct Arch {
    /// libseccomp's name for it.
    pub name: Name,
    /// The value of `seccomp_data.arch` (include/uapi/linux/audit.h).
    pub audit: u32,
    /// How wide its arguments are.
    pub width: Width,
    numbers: &'static [u16; COUNT],
}

use Width::{Bits32, Bits64};

/// Bits of `audit` (include/uapi/linux/audit.h).
const LITTLE_ENDIAN: u32 = 0x4000_0000;

const fn arch(name: Name, audit: u32, width: Width, numbers: &'static [u16; COUNT]) -> Arch {
    Arch {
        name,
        audit,
        width,
        numbers,
    }
}

static ALL: [Arch; 23] = [
    arch(Name::X86_64, 0xc000_003e, Bits64, &tables::X86_64),
    arch(Name::X86, 0x4000_0003, Bits32, &tables::X86),
    arch(Name::X32, 0xc000_003e, Bits32, &tables::X32),
    arch(Name::Arm, 0x4000_0028, Bits32, &tables::ARM),
    arch(Name::Aarch64, 0xc000_00b7, Bits64, &tables::AARCH64),
    arch(Name::Mips, 0x0000_0008, Bits32, &tables::MIPS_O32),
    arch(Name::Mipsel, 0x4000_0008, Bits32, &tables::MIPS_O32),
    arch(Name::Mips64, 0x8000_0008, Bits64, &tables::MIPS_N64),
    arch(Name::Mipsel64, 0xc000_0008, Bits64, &tables::MIPS_N64),
    arch(Name::Mips64n32, 0xa000_0008, Bits32, &tables::MIPS_N32),
    arch(Name::Mipsel64n32, 0xe000_0008, Bits32, &tables::MIPS_N32),
    arch(Name::Ppc, 0x0000_0014, Bits32, &tables::PPC),
    arch(Name::Ppc64, 0x8000_0015, Bits64, &tables::PPC64),
    arch(Name::Ppc64le, 0xc000_0015, Bits64, &tables::PPC64),
    arch(Name::S390, 0x0000_0016, Bits32, &tables::S390),
    arch(Name::S390x, 0x8000_0016, Bits64, &tables::S390X),
    arch(Name::Parisc, 0x0000_000f, Bits32, &tables::PARISC),
    arch(Name::Parisc64, 0x8000_000f, Bits64, &tables::PARISC64),
    arch(Name::Riscv64, 0xc000_00f3, Bits64, &tables::RISCV64),
    arch(Name::Loongarch64, 0xc000_0102, Bits64, &tables::LOONGARCH64),
    arch(Name::M68k, 0x0000_0004, Bits32, &tables::M68K),
    arch(Name::Sh, 0x4000_002a, Bits32, &tables::SH),
    arch(Name::Sheb, 0x0000_002a, Bits32, &tables::SH),
];

/// The architecture that this binary is for.
const NATIVE: Option<Name> = if cfg!(target_arch = "x86_64") {
    Some(Name::X86_64)
} else if cfg!(target_arch = "x86") {
    Some(Name::X86)
} else if cfg!(target_arch = "aarch64") {
    Some(Name::Aarch64)
} else if cfg!(target_arch = "arm") {
    Some(Name::Arm)
} else if cfg!(target_arch = "riscv64") {
    Some(Name::Riscv64)
} else if cfg!(target_arch = "loongarch64") {
    Some(Name::Loongarch64)
} else if cfg!(target_arch = "s390x") {
    Some(Name::S390x)
} else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
    Some(Name::Ppc64le)
} else if cfg!(target_arch = "powerpc64") {
    Some(Name::Ppc64)
} else {
    None
};

/// A system call that some architecture has.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Its place in the tables.
    index: u16,
    /// What it is to socketcall(2) or ipc(2).
    part: Option<Part>,
}

/// What a multiplexing system call does where its first argument is this.
#[derive(Clone, Copy, Debug)]
enum Part {
    Socketcall(u32),
    Ipc(u32),
}

/// How a name reaches the kernel on an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// By a number of its own.
    pub direct: Option<u32>,
    /// By socketcall(2) or ipc(2): that one's number, and what its first argument is then.
    pub multiplexed: Option<(u32, u32)>,
}

impl Call {
    /// The system call of this name, on whatever architecture there is one.
    pub fn named(name: &str) -> Option<Self> {
        let (mut low, mut high) = (0, COUNT);
        while low < high {
            let middle = usize::midpoint(low, high);
            match name_at(middle).cmp(name) {
                Ordering::Equal => {
                    return Some(Self {
                        index: middle as u16,
                        part: part(name),
                    });
                }
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        None
    }
}

fn name_at(index: usize) -> &'static str {
    let range = Range {
        start: tables::STARTS[index].into(),
        end: tables::STARTS[index + 1].into(),
    };
    &tables::NAMES[range]
}

impl Arch {
    /// The architectures of a profile: the native one, which libseccomp never leaves out, then
    /// the others that this kernel could have. Those of the other byte order it cannot.
    pub fn of_profile(names: &[Name]) -> Vec<&'static Self> {
        let mut list: Vec<&Self> = Vec::new();
        for name in NATIVE.iter().chain(names) {
            for arch in ALL.iter().filter(|arch| arch.name == *name) {
                if !arch.has_our_byte_order() {
                    log::debug!("linux.seccomp: {name:?} cannot run on this machine");
                } else if !list.contains(&arch) {
                    list.push(arch);
                }
            }
        }
        list
    }

    /// Just these, of whatever machine.
    #[cfg(test)]
    pub fn named(names: &[Name]) -> Vec<&'static Self> {
        let all = names
            .iter()
            .flat_map(|name| ALL.iter().filter(move |arch| arch.name == *name));
        all.collect()
    }

    fn has_our_byte_order(&self) -> bool {
        (self.audit & LITTLE_ENDIAN != 0) == cfg!(target_endian = "little")
    }

    /// What tells apart numbers of interfaces that share `audit`.
    pub fn mark(&self) -> u32 {
        match self.name {
            Name::X32 => X32_BIT,
            _ => 0,
        }
    }

    fn number(&self, call: Call) -> Option<u32> {
        /// Where the tables have the private calls of ARM, and where ARM has them.
        const PRIVATE: (u32, u32) = (0xf000, 0xf_0000);
        match self.numbers[usize::from(call.index)] {
            ABSENT => None,
            number => match u32::from(number) {
                number if number >= PRIVATE.0 => Some(number - PRIVATE.0 + PRIVATE.1),
                number => Some(number | self.mark()),
            },
        }
    }

    /// The ways to the system call.
    pub fn route(&self, call: Call) -> Route {
        let multiplexed = call.part.and_then(|part| {
            let (multiplexer, which) = match part {
                Part::Socketcall(which) => ("socketcall", which),
                Part::Ipc(which) => ("ipc", which),
            };
            Some((self.number(Call::named(multiplexer)?)?, which))
        });
        Route {
            direct: self.number(call),
            multiplexed,
        }
    }
}

/// What a system call is to socketcall(2) (include/uapi/linux/net.h) or ipc(2)
/// (include/uapi/linux/ipc.h).
fn part(name: &str) -> Option<Part> {
    use Part::{Ipc, Socketcall};
    Some(match name {
        "socket" => Socketcall(1),
        "bind" => Socketcall(2),
        "connect" => Socketcall(3),
        "listen" => Socketcall(4),
        "accept" => Socketcall(5),
        "getsockname" => Socketcall(6),
        "getpeername" => Socketcall(7),
        "socketpair" => Socketcall(8),
        "send" => Socketcall(9),
        "recv" => Socketcall(10),
        "sendto" => Socketcall(11),
        "recvfrom" => Socketcall(12),
        "shutdown" => Socketcall(13),
        "setsockopt" => Socketcall(14),
        "getsockopt" => Socketcall(15),
        "sendmsg" => Socketcall(16),
        "recvmsg" => Socketcall(17),
        "accept4" => Socketcall(18),
        "recvmmsg" => Socketcall(19),
        "sendmmsg" => Socketcall(20),
        "semop" => Ipc(1),
        "semget" => Ipc(2),
        "semctl" => Ipc(3),
        "semtimedop" => Ipc(4),
        "msgsnd" => Ipc(11),
        "msgrcv" => Ipc(12),
        "msgget" => Ipc(13),
        "msgctl" => Ipc(14),
        "shmat" => Ipc(21),
        "shmdt" => Ipc(22),
        "shmget" => Ipc(23),
        "shmctl" => Ipc(24),
        _ => return None,
    })
}
