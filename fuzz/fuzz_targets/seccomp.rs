//! Profiles: as JSON, which must compile to a program that the kernel would take or be refused;
//! and put together from the bytes, in which case the program must answer every call as a plain
//! reading of the profile does.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tare::config::seccomp::Seccomp;
use tare::seccomp::compile;
use tare::seccomp::interpreter::{Data, check, plain_reading, run};

const NAMES: [&str; 8] = [
    "getpid",
    "kill",
    "clone",
    "socket",
    "shmget",
    "personality",
    "openat2",
    "read",
];

const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];

/// `seccomp_data.arch` of x86_64, x32 with it, and x86.
const X86: [u32; 2] = [0xc000_003e, 0x4000_0003];

/// Takes numbers off the bytes; 0 where there are none left.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn below(&mut self, limit: usize) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        usize::from(*first) % limit
    }

    /// A number near one where comparisons go wrong, or any.
    fn value(&mut self) -> u64 {
        match self.below(6) {
            0 => self.below(256) as u64,
            1 => (1 << 31) + self.below(3) as u64 - 1,
            2 => (1 << 32) + self.below(3) as u64 - 1,
            3 => (1 << 63) + self.below(3) as u64 - 1,
            4 => u64::MAX - self.below(2) as u64,
            _ => (0..8).fold(0, |value, _| value << 8 | self.below(256) as u64),
        }
    }

    fn profile(&mut self) -> Value {
        let rules: Vec<Value> = (0..1 + self.below(6))
            .map(|_| {
                let args: Vec<Value> = (0..self.below(4))
                    .map(|_| {
                        json!({"index": self.below(6), "value": self.value(),
                               "valueTwo": self.value(),
                               "op": format!("SCMP_CMP_{}", OPERATORS[self.below(7)])})
                    })
                    .collect();
                // One action, so that it does not matter which of several rules comes first.
                json!({"names": [NAMES[self.below(8)]], "action": "SCMP_ACT_TRAP", "args": args})
            })
            .collect();
        let archs = [
            json!(["SCMP_ARCH_X86_64"]),
            json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]),
            json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
        ];
        json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": archs[self.below(3)],
               "syscalls": rules})
    }
}

fn means_what_it_says(bytes: &mut Bytes<'_>) {
    let profile: Seccomp = serde_json::from_value(bytes.profile()).expect("a profile");
    let filter = compile(&profile).expect("a program");
    assert_eq!(check(&filter.program), Ok(()));
    for _ in 0..20 {
        let data = Data {
            number: bytes.below(512) as u32 | (bytes.below(2) as u32) << 30,
            arch: X86[bytes.below(2)],
            args: std::array::from_fn(|_| bytes.value()),
        };
        // What is no call of an architecture of the profile has no plain reading.
        if let Some(meant) = plain_reading(&profile, &data) {
            assert_eq!(
                run(&filter.program, &data).0,
                meant,
                "{data:?} of {profile:?}"
            );
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(profile) = serde_json::from_slice::<Seccomp>(bytes) {
        if let Ok(filter) = compile(&profile) {
            assert_eq!(check(&filter.program), Ok(()));
        }
    } else {
        means_what_it_says(&mut Bytes(bytes));
    }
});
