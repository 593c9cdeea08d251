use super::arch::X32_BIT;
use super::interpreter::{Data, run};
use super::rules::{BAD_ARCH, ENOSYS};
use super::*;
use serde_json::{Value, json};

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const AARCH64: u32 = 0xc000_00b7;
const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;

/// Numbers of x86_64.
const WRITE: u32 = 1;
const GETPID: u32 = 39;
const KILL: u32 = 62;

fn filter(profile: Value) -> Filter {
    compile(&serde_json::from_value(profile).unwrap()).unwrap()
}

fn on(filter: &Filter, arch: u32, number: u32, args: &[u64]) -> u32 {
    let mut data = Data {
        number,
        arch,
        args: [0; 6],
    };
    data.args[..args.len()].copy_from_slice(args);
    run(&filter.program, &data).0
}

/// What the filter answers to a call of x86_64.
fn answer(filter: &Filter, number: u32, args: &[u64]) -> u32 {
    on(filter, X86_64, number, args)
}

/// A profile for x86_64 on whatever machine, with these rules for kill.
fn on_kill(rules: &[Value]) -> Value {
    let rules: Vec<Value> = rules
        .iter()
        .map(|rule| {
            let mut rule = rule.clone();
            rule["names"] = json!(["kill"]);
            rule
        })
        .collect();
    json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
           "syscalls": rules})
}

/// Values on both sides of where signs and halves change.
fn edges() -> Vec<u64> {
    let centres = [
        0,
        1 << 31,
        1 << 32,
        (1 << 32) + (1 << 31),
        1 << 63,
        u64::MAX,
    ];
    centres
        .iter()
        .flat_map(|&centre: &u64| (0..5).map(move |step| centre.wrapping_add(step).wrapping_sub(2)))
        .collect()
}

#[test]
fn comparisons_are_of_64_bits_without_sign() {
    type Compare = fn(&u64, &u64) -> bool;
    let operators: [(&str, Compare); 6] = [
        ("NE", u64::ne),
        ("LT", u64::lt),
        ("LE", u64::le),
        ("EQ", u64::eq),
        ("GE", u64::ge),
        ("GT", u64::gt),
    ];
    for (name, compare) in operators {
        for value in edges() {
            let filter = filter(on_kill(&[json!({
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 1, "value": value, "op": format!("SCMP_CMP_{name}")}],
            })]));
            for argument in edges() {
                let expected = if compare(&argument, &value) {
                    EPERM
                } else {
                    ALLOW
                };
                let found = answer(&filter, KILL, &[7, argument]);
                assert_eq!(found, expected, "{argument:#x} {name} {value:#x}");
            }
        }
    }
}

#[test]
fn masks_are_of_64_bits() {
    for mask in edges()
        .into_iter()
        .chain([0x7e02_0000, 0xff00_0000_0000, 0xff])
    {
        for value in edges() {
            let filter = filter(on_kill(&[json!({
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 5, "value": mask, "valueTwo": value,
                          "op": "SCMP_CMP_MASKED_EQ"}],
            })]));
            for argument in edges() {
                let holds = argument & mask == value & mask;
                let expected = if holds { EPERM } else { ALLOW };
                let found = answer(&filter, KILL, &[0, 0, 0, 0, 0, argument]);
                assert_eq!(found, expected, "{argument:#x} & {mask:#x} == {value:#x}");
            }
        }
    }
}

/// CVE-2017-18367: they were ORed.
#[test]
fn conditions_on_two_arguments_must_both_hold() {
    let filter = filter(on_kill(&[json!({
        "action": "SCMP_ACT_ERRNO",
        "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                 {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}],
    })]));
    assert_eq!(answer(&filter, KILL, &[1, 2]), EPERM);
    for args in [[1, 3], [2, 2], [0, 0], [1, 2 + (1 << 32)]] {
        assert_eq!(answer(&filter, KILL, &args), ALLOW, "{args:?}");
    }
}

#[test]
fn conditions_on_one_argument_need_not_all_hold() {
    let filter = filter(on_kill(&[json!({
        "action": "SCMP_ACT_ERRNO",
        "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"},
                 {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"},
                 {"index": 1, "value": 9, "op": "SCMP_CMP_EQ"}],
    })]));
    for args in [[1, 0], [2, 0], [0, 9]] {
        assert_eq!(answer(&filter, KILL, &args), EPERM, "{args:?}");
    }
    assert_eq!(answer(&filter, KILL, &[3, 8]), ALLOW);
}

#[test]
fn actions_have_the_kernels_values() {
    let with = |action: &str| {
        let profile = on_kill(&[json!({"action": action, "errnoRet": 7})]);
        answer(&filter(profile), KILL, &[])
    };
    assert_eq!(with("SCMP_ACT_KILL"), 0);
    assert_eq!(with("SCMP_ACT_KILL_THREAD"), 0);
    assert_eq!(with("SCMP_ACT_KILL_PROCESS"), 0x8000_0000);
    assert_eq!(with("SCMP_ACT_TRAP"), 0x0003_0000);
    assert_eq!(with("SCMP_ACT_ERRNO"), 0x0005_0007);
    assert_eq!(with("SCMP_ACT_TRACE"), 0x7ff0_0007);
    assert_eq!(with("SCMP_ACT_LOG"), 0x7ffc_0000);
}

#[test]
fn a_rule_without_conditions_wins_and_of_two_the_first() {
    let conditional = json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 2,
                             "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]});
    let first = json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 3});
    let second = json!({"action": "SCMP_ACT_ERRNO", "errnoRet": 4});
    let filter = filter(on_kill(&[conditional, first, second]));
    assert_eq!(answer(&filter, KILL, &[1]), 0x0005_0003);
    assert_eq!(answer(&filter, KILL, &[2]), 0x0005_0003);
}

#[test]
fn a_rule_that_is_the_default_is_no_rule() {
    let filter = filter(on_kill(&[
        json!({"action": "SCMP_ACT_ALLOW"}),
        json!({"action": "SCMP_ACT_ERRNO"}),
    ]));
    assert_eq!(answer(&filter, KILL, &[]), EPERM);
}

fn allow_list(default: &str, archs: &[&str], names: &[&str]) -> Filter {
    filter(json!({
        "defaultAction": default,
        "architectures": archs,
        "syscalls": [{"names": names, "action": "SCMP_ACT_ALLOW"}],
    }))
}

#[test]
fn numbers_beyond_the_last_named_do_not_exist() {
    let archs = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"];
    for default in ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_TRAP"] {
        let filter = allow_list(default, &archs, &["getpid", "write", "kill"]);
        assert_eq!(answer(&filter, GETPID, &[]), ALLOW);
        assert_ne!(answer(&filter, GETPID + 1, &[]), ENOSYS);
        assert_eq!(answer(&filter, KILL + 1, &[]), ENOSYS);
        assert_eq!(answer(&filter, 1 << 29, &[]), ENOSYS);
        // 37 is kill of x86.
        assert_eq!(on(&filter, X86, 37, &[]), ALLOW);
        assert_eq!(on(&filter, X86, 38, &[]), ENOSYS);
    }
    for default in ["SCMP_ACT_LOG", "SCMP_ACT_TRACE"] {
        let filter = allow_list(default, &archs, &["write"]);
        assert_ne!(answer(&filter, 500, &[]), ENOSYS);
    }
}

#[test]
fn other_architectures_are_killed() {
    let filter = allow_list("SCMP_ACT_ERRNO", &["SCMP_ARCH_X86_64"], &["write"]);
    assert_eq!(on(&filter, 0x1234, WRITE, &[]), BAD_ARCH);
    assert_eq!(on(&filter, X86, WRITE, &[]), BAD_ARCH);
    assert_eq!(answer(&filter, X32_BIT | WRITE, &[]), BAD_ARCH);
}

#[test]
fn x32_has_its_own_numbers_and_arguments_of_32_bits() {
    let filter = filter(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": ["ioctl", "getpid"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["kill"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 5, "op": "SCMP_CMP_EQ"}]},
        ],
    }));
    assert_eq!(answer(&filter, X32_BIT | GETPID, &[]), ALLOW);
    assert_eq!(answer(&filter, X32_BIT | WRITE, &[]), EPERM);
    // ioctl is 16 on x86_64 and 514 on x32.
    assert_eq!(answer(&filter, 16, &[]), ALLOW);
    assert_eq!(answer(&filter, X32_BIT | 16, &[]), EPERM);
    assert_eq!(answer(&filter, X32_BIT | 514, &[]), ALLOW);
    let wide = 5 + (1 << 32);
    assert_eq!(answer(&filter, X32_BIT | KILL, &[wide]), ALLOW);
    assert_eq!(answer(&filter, KILL, &[wide]), EPERM);
}

/// x86 has most of these calls twice, and some as a part of socketcall(2) or ipc(2) alone.
#[test]
fn multiplexed_calls_are_ruled_both_ways() {
    const SOCKETCALL: u32 = 102;
    const IPC: u32 = 117;
    let filter = allow_list(
        "SCMP_ACT_ERRNO",
        &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        &[
            "socket",
            "send",
            "semop",
            "shmget",
            "landlock_create_ruleset",
        ],
    );
    for (number, first, expected) in [
        (359, 0, ALLOW),
        (SOCKETCALL, 1, ALLOW),
        (SOCKETCALL, 9, ALLOW),
        (SOCKETCALL, 2, EPERM),
        (IPC, 1, ALLOW),
        (IPC, 23, ALLOW),
        (IPC, 24, EPERM),
        (395, 0, ALLOW),
        (396, 0, EPERM),
    ] {
        assert_eq!(
            on(&filter, X86, number, &[first]),
            expected,
            "{number} {first}"
        );
    }
}

#[test]
fn arm_has_private_calls() {
    let filter = allow_list(
        "SCMP_ACT_ERRNO",
        &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        &["set_tls", "openat", "clone3"],
    );
    assert_eq!(on(&filter, 0x4000_0028, 0xf_0005, &[]), ALLOW);
    assert_eq!(on(&filter, 0x4000_0028, 0xf_0004, &[]), EPERM);
    assert_eq!(on(&filter, 0x4000_0028, 0xf_0006, &[]), ENOSYS);
    assert_eq!(on(&filter, AARCH64, 56, &[]), ALLOW);
}

#[test]
fn far_targets_are_reached() {
    let rules: Vec<Value> = (0..700)
        .map(|value| {
            json!({"action": "SCMP_ACT_ERRNO", "errnoRet": value + 1,
                   "args": [{"index": 0, "value": value, "op": "SCMP_CMP_EQ"}]})
        })
        .collect();
    let filter = filter(on_kill(&rules));
    for value in [0, 1, 254, 255, 256, 699] {
        assert_eq!(answer(&filter, KILL, &[value]), 0x0005_0001 + value as u32);
    }
    assert_eq!(answer(&filter, KILL, &[700]), ALLOW);
}

#[test]
fn flags_default_to_spec_allow() {
    let with = |flags: Value| {
        let mut profile = on_kill(&[]);
        profile["flags"] = flags;
        filter(profile).flags
    };
    assert_eq!(filter(on_kill(&[])).flags, 4);
    assert_eq!(with(json!([])), 0);
    assert_eq!(with(json!(["SECCOMP_FILTER_FLAG_TSYNC"])), 0);
    assert_eq!(
        with(json!([
            "SECCOMP_FILTER_FLAG_LOG",
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW"
        ])),
        6
    );
}
