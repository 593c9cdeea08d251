//! T8, what seccomp filters mean: real processes make system calls with the arguments where
//! comparisons go wrong, and get the answer that a plain reading of the profile gives.
//!
//! All over the numbers, and against libseccomp, the same is done where filters are compiled.

use crate::harness::{Container, Sandbox, skip, tests};
use crate::inside;
use serde_json::{Value, json};
use std::fmt::Write;

tests![
    cve_2017_18367_conditions_of_a_rule_are_all_to_hold,
    cve_2019_9893_comparisons_are_of_64_bits,
    one_argument_twice_is_either,
    generated_profiles,
    interface_of_x32,
    interface_of_x86,
];

/// System calls that look at no argument, and that a program can do without.
const CALLS: [(&str, libc::c_long); 4] = [
    ("getppid", libc::SYS_getppid),
    ("getegid", libc::SYS_getegid),
    ("geteuid", libc::SYS_geteuid),
    ("sched_yield", libc::SYS_sched_yield),
];

/// The errno that the rules return, which none of these calls does by itself.
const REFUSED: &str = "errno 99";

/// A rule for a call.
fn rule(name: &str, args: &Value) -> Value {
    json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, "args": args})
}

fn argument(index: usize, op: &str, value: u64, two: u64) -> Value {
    json!({"index": index, "op": format!("SCMP_CMP_{op}"), "value": value, "valueTwo": two})
}

/// What becomes of these calls ("NUMBER ARG...") under these rules.
#[track_caller]
fn outcomes(t: &Sandbox, c: &mut Container, rules: &[Value], calls: &str) -> Vec<String> {
    c.set("/linux/seccomp/defaultAction", json!("SCMP_ACT_ALLOW"));
    c.set("/linux/seccomp/syscalls", json!(rules));
    let list = t.file("calls", calls);
    c.mount("/calls", "bind", list.to_str().unwrap(), &["bind", "ro"]);
    inside::run(c, &["call", "/calls"]);
    let out = c.run().ok();
    let lines: Vec<_> = out.stdout.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), calls.lines().count(), "{out}");
    lines
}

fn cve_2017_18367_conditions_of_a_rule_are_all_to_hold(t: &Sandbox) {
    let (name, number) = CALLS[0];
    let args = json!([argument(0, "EQ", 1, 0), argument(1, "EQ", 2, 0)]);
    let calls = format!("{number} 1 2\n{number} 1 3\n{number} 2 2\n{number} 0 0\n{number} 2 1\n");
    let found = outcomes(t, &mut t.container(), &[rule(name, &args)], &calls);
    assert_eq!(found, [REFUSED, "0", "0", "0", "0"]);
}

fn one_argument_twice_is_either(t: &Sandbox) {
    let (name, number) = CALLS[0];
    let args = json!([argument(0, "EQ", 1, 0), argument(0, "EQ", 2, 0)]);
    let calls = format!("{number} 1\n{number} 2\n{number} 3\n");
    let found = outcomes(t, &mut t.container(), &[rule(name, &args)], &calls);
    assert_eq!(found, [REFUSED, REFUSED, "0"]);
}

/// Values on both sides of where signs and halves change.
fn edges() -> Vec<u64> {
    let centres = [0, 1 << 31, 1 << 32, (1 << 32) + (1 << 31), 1 << 63];
    let around = |centre: u64| [centre.wrapping_sub(1), centre, centre.wrapping_add(1)];
    centres.into_iter().flat_map(around).collect()
}

fn holds(op: &str, argument: u64, value: u64, two: u64) -> bool {
    match op {
        "NE" => argument != value,
        "LT" => argument < value,
        "LE" => argument <= value,
        "EQ" => argument == value,
        "GE" => argument >= value,
        "GT" => argument > value,
        "MASKED_EQ" => argument & value == two & value,
        _ => panic!("{op}"),
    }
}

const OPERATORS: [&str; 7] = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"];

/// Fails where a call's outcome is not what the rules, one for each of [`CALLS`], say.
#[track_caller]
fn assert_read_plainly(
    t: &Sandbox,
    conditions: &[Vec<(usize, &str, u64, u64)>],
    args: &[[u64; 6]],
) {
    let mut rules = Vec::new();
    let mut calls = String::new();
    let mut expected = Vec::new();
    for ((name, number), conditions) in CALLS.iter().zip(conditions) {
        let list: Vec<_> = conditions
            .iter()
            .map(|&(index, op, value, two)| argument(index, op, value, two))
            .collect();
        rules.push(rule(name, &json!(list)));
        for args in args {
            let words: Vec<String> = args.iter().map(u64::to_string).collect();
            writeln!(calls, "{number} {}", words.join(" ")).unwrap();
            let refused = conditions
                .iter()
                .all(|&(index, op, value, two)| holds(op, args[index], value, two));
            expected.push(if refused { REFUSED } else { "0" });
        }
    }
    let found = outcomes(t, &mut t.container(), &rules, &calls);
    for ((call, found), expected) in calls.lines().zip(found).zip(expected) {
        assert_eq!(found, expected, "{call} of {conditions:?}");
    }
}

/// libseccomp compared the halves in an order that was wrong for all but equality.
fn cve_2019_9893_comparisons_are_of_64_bits(t: &Sandbox) {
    let arguments: Vec<_> = edges()
        .iter()
        .map(|&value| [7, value, 0, 0, 0, 0])
        .collect();
    let mut cases = Vec::new();
    for op in OPERATORS {
        for value in edges() {
            cases.push(vec![(1, op, value, value.rotate_left(1))]);
        }
    }
    for cases in cases.chunks(CALLS.len()) {
        assert_read_plainly(t, cases, &arguments);
    }
}

fn generated_profiles(t: &Sandbox) {
    // xorshift: other numbers in each place, and the same in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % limit
    };
    let edges = edges();
    for _ in 0..40 {
        let conditions: Vec<Vec<_>> = CALLS
            .iter()
            .map(|_| {
                let first = below(4);
                (first..first + 1 + below(3))
                    .map(|index| {
                        let op = OPERATORS[below(OPERATORS.len())];
                        (
                            index,
                            op,
                            edges[below(edges.len())],
                            edges[below(edges.len())],
                        )
                    })
                    .collect()
            })
            .collect();
        let arguments: Vec<[u64; 6]> = (0..40)
            .map(|_| std::array::from_fn(|_| edges[below(edges.len())]))
            .collect();
        assert_read_plainly(t, &conditions, &arguments);
    }
}

/// Of x86 (arch/x86/entry/syscalls/syscall_32.tbl).
const GETPPID_OF_X86: u32 = 64;

/// A filter that forgets the ways of other programs can be walked around by them.
fn interface_of_x32(t: &Sandbox) {
    const X32_BIT: libc::c_long = 0x4000_0000;
    if !cfg!(target_arch = "x86_64") {
        skip("only x86_64 has this interface");
    }
    let call = format!("{}\n", libc::SYS_getppid | X32_BIT);
    assert_eq!(
        with_architectures(t, &["SCMP_ARCH_X86_64"], &call),
        "signal 31"
    );
    let both = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"];
    assert_eq!(with_architectures(t, &both, &call), REFUSED);
}

fn interface_of_x86(t: &Sandbox) {
    if !cfg!(target_arch = "x86_64") {
        skip("only x86_64 has this interface");
    }
    let call = format!("i386 {GETPPID_OF_X86}\n");
    if outcomes(t, &mut t.container(), &[], &call) != ["0"] {
        skip("this kernel runs no 32-bit programs");
    }
    assert_eq!(
        with_architectures(t, &["SCMP_ARCH_X86_64"], &call),
        "signal 31"
    );
    let both = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"];
    assert_eq!(with_architectures(t, &both, &call), REFUSED);
}

/// What becomes of a call where getppid is forbidden on these architectures.
fn with_architectures(t: &Sandbox, names: &[&str], call: &str) -> String {
    let mut c = t.container();
    c.set("/linux/seccomp/architectures", json!(names));
    outcomes(t, &mut c, &[rule("getppid", &json!([]))], call).remove(0)
}
