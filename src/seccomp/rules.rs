//! From the profile to what becomes of each system call of an architecture.

use super::arch::{Arch, Call, Width};
use crate::config::seccomp::{Action, Arg, Op, Seccomp};
use crate::error::{Code, Error, Result};

/// `SECCOMP_RET_*` (include/uapi/linux/seccomp.h).
mod value {
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    pub const KILL_THREAD: u32 = 0x0000_0000;
    pub const TRAP: u32 = 0x0003_0000;
    pub const ERRNO: u32 = 0x0005_0000;
    pub const NOTIFY: u32 = 0x7fc0_0000;
    pub const TRACE: u32 = 0x7ff0_0000;
    pub const LOG: u32 = 0x7ffc_0000;
    pub const ALLOW: u32 = 0x7fff_0000;
}

/// What an architecture gets that the profile does not name, as libseccomp has it.
pub const BAD_ARCH: u32 = value::KILL_THREAD;

/// "There is no such system call."
pub const ENOSYS: u32 = value::ERRNO | libc::ENOSYS as u32;

/// How many arguments a system call has.
const ARGUMENTS: u32 = 6;

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Which argument, from 0.
    pub index: u8,
    /// How it is compared.
    pub test: Test,
}

/// A comparison, without sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Test {
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Equal(u64),
    GreaterOrEqual(u64),
    Greater(u64),
    MaskedEqual { mask: u64, value: u64 },
}

/// A rule for one system call: where all conditions hold, this is returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// The filter's value.
    pub value: u32,
}

/// What the profile says, apart from any architecture.
#[derive(Debug)]
pub struct Profile {
    /// For system calls without a rule.
    pub default: u32,
    /// Whether calls beyond the last that the profile names are ENOSYS.
    pub hides_newer: bool,
    rules: Vec<(Rule, Vec<Call>)>,
    /// Named, though their rule may have been the default action and so none.
    named: Vec<Call>,
}

/// What becomes of one system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Its number.
    pub number: u32,
    /// The first whose conditions hold.
    pub rules: Vec<Rule>,
    /// Where none does.
    pub otherwise: u32,
}

impl Test {
    /// With the low half of its values.
    fn low(self) -> Self {
        let low = |value| value & u64::from(u32::MAX);
        match self {
            Self::NotEqual(value) => Self::NotEqual(low(value)),
            Self::Less(value) => Self::Less(low(value)),
            Self::LessOrEqual(value) => Self::LessOrEqual(low(value)),
            Self::Equal(value) => Self::Equal(low(value)),
            Self::GreaterOrEqual(value) => Self::GreaterOrEqual(low(value)),
            Self::Greater(value) => Self::Greater(low(value)),
            Self::MaskedEqual { mask, value } => Self::MaskedEqual {
                mask: low(mask),
                value: low(value),
            },
        }
    }
}

impl Rule {
    /// The rule for arguments of this width.
    fn of_width(&self, width: Width) -> Self {
        let mut rule = self.clone();
        if width == Width::Bits32 {
            for condition in &mut rule.conditions {
                condition.test = condition.test.low();
            }
        }
        // What compares no bit is no condition.
        rule.conditions
            .retain(|condition| !matches!(condition.test, Test::MaskedEqual { mask: 0, .. }));
        rule
    }
}

impl Profile {
    /// Reads the profile.
    ///
    /// # Errors
    /// A condition on an argument that there is not.
    pub fn new(config: &Seccomp) -> Result<Self> {
        let default = value(config.default_action, config.default_errno_ret);
        let mut profile = Self {
            default,
            // As runc: where the default is to let pass, or to ask a tracer, new calls are none
            // of our business.
            hides_newer: !matches!(
                config.default_action,
                Action::Allow | Action::Log | Action::Trace
            ),
            rules: Vec::new(),
            named: Vec::new(),
        };
        for (index, entry) in config.syscalls.iter().enumerate() {
            let calls: Vec<Call> = entry.names.iter().filter_map(|name| known(name)).collect();
            profile.named.extend(&calls);
            let value = value(entry.action, entry.errno_ret);
            // As runc, and as libseccomp demands: a rule that does what is done anyway is none,
            // not even where another rule of the same call follows.
            if value == default {
                continue;
            }
            for conditions in alternatives(&entry.args, index)? {
                profile
                    .rules
                    .push((Rule { conditions, value }, calls.clone()));
            }
        }
        Ok(profile)
    }

    /// What becomes of the architecture's system calls that the profile names, by number.
    pub fn verdicts(&self, arch: &Arch) -> Vec<Verdict> {
        let mut all: Vec<(u32, Rule)> = Vec::with_capacity(self.named.len());
        for (rule, calls) in &self.rules {
            let rule = &rule.of_width(arch.width);
            for call in calls {
                let route = arch.route(*call);
                all.extend(route.direct.map(|number| (number, rule.clone())));
                all.extend(
                    route
                        .multiplexed
                        .map(|(number, which)| (number, multiplexed(rule, which))),
                );
            }
        }
        // Stable: rules of one call stay in the profile's order.
        all.sort_by_key(|(number, _)| *number);
        all.chunk_by(|(one, _), (other, _)| one == other)
            .map(|rules| self.verdict(rules, arch.width))
            .collect()
    }

    /// A rule without conditions is for the whole call; of several the first counts.
    fn verdict(&self, rules: &[(u32, Rule)], width: Width) -> Verdict {
        let number = rules[0].0;
        let unconditional = rules.iter().find(|(_, rule)| rule.conditions.is_empty());
        match unconditional {
            Some((_, rule)) => Verdict {
                number,
                rules: Vec::new(),
                otherwise: rule.value,
            },
            None => Verdict {
                number,
                rules: arranged(rules, width),
                otherwise: self.default,
            },
        }
    }

    /// Whether a system call passes, whatever its arguments.
    pub fn allows(&self, arch: &Arch, name: &str) -> bool {
        let number = Call::named(name).and_then(|call| arch.route(call).direct);
        let verdicts = self.verdicts(arch);
        let verdict = verdicts.iter().find(|one| Some(one.number) == number);
        let value = match verdict {
            Some(verdict) if !verdict.rules.is_empty() => return false,
            Some(verdict) => verdict.otherwise,
            None => self.default,
        };
        matches!(value, value::ALLOW | value::LOG)
    }

    /// The greatest number that the profile names on this architecture. What is reached by a
    /// multiplexer does not count, as libseccomp gives runc no number for it.
    pub fn last(&self, arch: &Arch) -> Option<u32> {
        self.named
            .iter()
            .map(|call| arch.route(*call))
            .filter(|route| route.multiplexed.is_none())
            .filter_map(|route| route.direct)
            .max()
    }
}

/// The rules of a call in the order in which they are tried, which matters where several hold
/// and do different things. As libseccomp: first those whose first condition is on the later
/// argument; of conditions on the same, equality before order, and of orders the narrower.
fn arranged(rules: &[(u32, Rule)], width: Width) -> Vec<Rule> {
    let rules = rules.iter().map(|(_, rule)| rule);
    let values: Vec<u32> = rules.clone().map(|rule| rule.value).collect();
    if values.windows(2).all(|pair| pair[0] == pair[1]) {
        return rules.cloned().collect();
    }
    let mut list: Vec<(Vec<Node>, &Rule)> = Vec::new();
    for rule in rules {
        let nodes = nodes(rule, width);
        let place = list
            .iter()
            .position(|(other, _)| precedes(&nodes, other))
            .unwrap_or(list.len());
        list.insert(place, (nodes, rule));
    }
    list.into_iter().map(|(_, rule)| rule.clone()).collect()
}

/// A comparison of 32 bits, as a condition is put together of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    /// The argument's half, the kind of comparison, the value: the greatest is tried first.
    rank: (u8, u8, u32),
    mask: u32,
    /// Of the two halves of an order, only the lower one tells the strict from the other.
    is_strict: bool,
    is_masked: bool,
}

fn nodes(rule: &Rule, width: Width) -> Vec<Node> {
    let halves: &[u8] = match width {
        Width::Bits32 => &[0],
        Width::Bits64 => &[1, 0],
    };
    let of_half = |condition: &Condition, half: u8| {
        let (kind, value, mask) = match condition.test {
            Test::Equal(value) | Test::NotEqual(value) => (3, value, u64::MAX),
            Test::MaskedEqual { mask, value } => (3, value, mask),
            Test::Less(value) | Test::LessOrEqual(value) => (2, !value, u64::MAX),
            Test::Greater(value) | Test::GreaterOrEqual(value) => (1, value, u64::MAX),
        };
        let part = |bits: u64| (bits >> (32 * half)) as u32;
        Node {
            rank: (2 * condition.index + half, kind, part(value)),
            mask: part(mask),
            is_strict: half == 0 && matches!(condition.test, Test::Greater(_) | Test::Less(_)),
            is_masked: matches!(condition.test, Test::MaskedEqual { .. }),
        }
    };
    rule.conditions
        .iter()
        .flat_map(|condition| halves.iter().map(move |half| of_half(condition, *half)))
        .collect()
}

/// Whether a rule is tried before another that was there first.
fn precedes(new: &[Node], other: &[Node]) -> bool {
    match new.iter().zip(other).find(|(new, other)| new != other) {
        Some((new, other)) => new.rank > other.rank,
        None => new.len() < other.len(),
    }
}

fn known(name: &str) -> Option<Call> {
    let call = Call::named(name);
    if call.is_none() {
        log::debug!("linux.seccomp: unknown system call {name:?} ignored");
    }
    call
}

/// What the filter returns for an action.
pub fn value(action: Action, errno: Option<u32>) -> u32 {
    let data = errno.unwrap_or(libc::EPERM as u32) & 0xffff;
    match action {
        Action::Kill | Action::KillThread => value::KILL_THREAD,
        Action::KillProcess => value::KILL_PROCESS,
        Action::Trap => value::TRAP,
        Action::Errno => value::ERRNO | data,
        Action::Trace => value::TRACE | data,
        Action::Allow => value::ALLOW,
        Action::Log => value::LOG,
        Action::Notify => value::NOTIFY,
    }
}

/// The sets of conditions, any of which makes the rule. One set with all of them; but where an
/// argument comes up twice, a set for each, as runc has always done.
fn alternatives(args: &[Arg], entry: usize) -> Result<Vec<Vec<Condition>>> {
    let mut seen = 0_u8;
    let mut twice = false;
    let mut conditions = Vec::with_capacity(args.len());
    for (index, arg) in args.iter().enumerate() {
        if arg.index >= ARGUMENTS {
            return Err(Error::new(
                Code::InvalidConfig,
                format!(
                    "linux.seccomp.syscalls[{entry}].args[{index}].index: {} is not below {ARGUMENTS}",
                    arg.index
                ),
            ));
        }
        twice |= seen & (1 << arg.index) != 0;
        seen |= 1 << arg.index;
        conditions.push(condition(arg));
    }
    // Rules are compared condition by condition.
    conditions.sort_by_key(|condition| condition.index);
    Ok(if twice {
        conditions.into_iter().map(|one| vec![one]).collect()
    } else {
        vec![conditions]
    })
}

fn condition(arg: &Arg) -> Condition {
    Condition {
        index: arg.index as u8,
        test: match arg.op {
            Op::NotEqual => Test::NotEqual(arg.value),
            Op::Less => Test::Less(arg.value),
            Op::LessOrEqual => Test::LessOrEqual(arg.value),
            Op::Equal => Test::Equal(arg.value),
            Op::GreaterOrEqual => Test::GreaterOrEqual(arg.value),
            Op::Greater => Test::Greater(arg.value),
            Op::MaskedEqual => Test::MaskedEqual {
                mask: arg.value,
                // Bits outside the mask are not compared.
                value: arg.value_two & arg.value,
            },
        },
    }
}

/// The rule as it is for the multiplexer: libseccomp puts the number of the part in the place
/// of what the rule says about the first argument, and leaves the rest.
fn multiplexed(rule: &Rule, which: u32) -> Rule {
    let is_part = Condition {
        index: 0,
        test: Test::Equal(which.into()),
    };
    let rest = rule.conditions.iter().filter(|one| one.index != 0);
    Rule {
        conditions: std::iter::once(is_part).chain(rest.copied()).collect(),
        value: rule.value,
    }
}
