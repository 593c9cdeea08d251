//! From verdicts to the program: a tree of comparisons over ranges of system call numbers.

use super::arch::{Arch, Width, X32_BIT};
use super::assembler::{Assembler, Instruction, Target, code};
use super::rules::{BAD_ARCH, Condition, ENOSYS, Profile, Rule, Test, Verdict};
use crate::config::seccomp::Arch as Name;

/// Where things are in `struct seccomp_data` (include/uapi/linux/seccomp.h).
mod offset {
    pub const NUMBER: u32 = 0;
    pub const ARCH: u32 = 4;
    const ARGUMENTS: u32 = 16;

    /// The low half of an argument.
    pub fn low(index: u8) -> u32 {
        ARGUMENTS + 8 * u32::from(index) + if cfg!(target_endian = "big") { 4 } else { 0 }
    }

    /// Its high half.
    pub fn high(index: u8) -> u32 {
        ARGUMENTS + 8 * u32::from(index) + if cfg!(target_endian = "big") { 0 } else { 4 }
    }
}

/// Numbers from `start` up, until the next range, have one outcome.
#[derive(Clone, Copy, Debug)]
struct Interval<'a> {
    start: u32,
    outcome: Outcome<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Outcome<'a> {
    Return(u32),
    Rules(&'a Verdict, Width),
}

impl Outcome<'_> {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Return(one), Self::Return(other)) => one == other,
            (Self::Rules(one, _), Self::Rules(other, _)) => std::ptr::eq(*one, *other),
            _ => false,
        }
    }
}

/// The whole program.
pub fn program(profile: &Profile, archs: &[&Arch]) -> Vec<Instruction> {
    let mut assembler = Assembler::default();
    let mut dispatch = Target::Return(BAD_ARCH);
    let verdicts: Vec<Vec<Verdict>> = archs.iter().map(|arch| profile.verdicts(arch)).collect();
    // The native one comes last here, and so first in the program.
    let mut blocks = Vec::new();
    for (index, arch) in archs.iter().enumerate().rev() {
        // With x86_64, whose value of `arch` it has.
        if arch.name == Name::X32 {
            continue;
        }
        let mut intervals = intervals(profile, arch, &verdicts[index]);
        if arch.name == Name::X86_64 {
            intervals.retain(|interval| interval.start < X32_BIT);
            match archs.iter().position(|arch| arch.name == Name::X32) {
                Some(x32) => {
                    intervals.extend(self::intervals(profile, archs[x32], &verdicts[x32]));
                }
                None => intervals.push(Interval {
                    start: X32_BIT,
                    outcome: Outcome::Return(BAD_ARCH),
                }),
            }
        }
        let tree = assembler.tree(&intervals);
        assembler.next(tree);
        blocks.push((arch.audit, assembler.load(offset::NUMBER)));
    }
    for (audit, block) in blocks {
        dispatch = Target::At(assembler.branch(code::EQUAL, audit, Target::At(block), dispatch));
    }
    assembler.next(dispatch);
    assembler.load(offset::ARCH);
    assembler.finish()
}

/// The ranges of one architecture, from 0 (from the mark, for x32) to the end of numbers.
fn intervals<'a>(profile: &Profile, arch: &Arch, verdicts: &'a [Verdict]) -> Vec<Interval<'a>> {
    let last = profile.last(arch).filter(|_| profile.hides_newer);
    let default = Outcome::Return(profile.default);
    let mut list = vec![Interval {
        start: arch.mark(),
        outcome: default,
    }];
    // On s390 the kernel shows a call that it does not know as number 0.
    if last.is_some() && matches!(arch.name, Name::S390 | Name::S390x) {
        add(&mut list, 0, Outcome::Return(ENOSYS));
        add(&mut list, 1, default);
    }
    for verdict in verdicts {
        let outcome = match verdict.rules.as_slice() {
            [] => Outcome::Return(verdict.otherwise),
            _ => Outcome::Rules(verdict, arch.width),
        };
        add(&mut list, verdict.number, outcome);
        add(&mut list, verdict.number + 1, default);
    }
    if let Some(last) = last {
        list.retain(|interval| interval.start <= last);
        add(&mut list, last + 1, Outcome::Return(ENOSYS));
    }
    list
}

/// Puts an interval after the others, of which it may replace or continue the last.
fn add<'a>(list: &mut Vec<Interval<'a>>, start: u32, outcome: Outcome<'a>) {
    if list.last().is_some_and(|last| last.start == start) {
        list.pop();
    }
    if !list
        .last()
        .is_some_and(|last| last.outcome.is_same(&outcome))
    {
        list.push(Interval { start, outcome });
    }
}

impl Assembler {
    /// Writes what finds the range of the number that was loaded.
    fn tree(&mut self, intervals: &[Interval<'_>]) -> Target {
        match intervals {
            [] => Target::Return(BAD_ARCH),
            [one] => self.outcome(one.outcome),
            // One number among others, on both sides of which the same happens.
            [before, one, after]
                if before.outcome.is_same(&after.outcome) && after.start == one.start + 1 =>
            {
                let others = self.outcome(before.outcome);
                let this = self.outcome(one.outcome);
                Target::At(self.branch(code::EQUAL, one.start, this, others))
            }
            _ => {
                let (below, above) = intervals.split_at(intervals.len() / 2);
                let from = above[0].start;
                let above = self.tree(above);
                let below = self.tree(below);
                Target::At(self.branch(code::GREATER_OR_EQUAL, from, above, below))
            }
        }
    }

    fn outcome(&mut self, outcome: Outcome<'_>) -> Target {
        match outcome {
            Outcome::Return(value) => Target::Return(value),
            Outcome::Rules(verdict, width) => {
                let none = Target::Return(verdict.otherwise);
                verdict
                    .rules
                    .iter()
                    .rev()
                    .fold(none, |otherwise, rule| self.rule(rule, width, otherwise))
            }
        }
    }

    fn rule(&mut self, rule: &Rule, width: Width, otherwise: Target) -> Target {
        let all_hold = Target::Return(rule.value);
        rule.conditions
            .iter()
            .rev()
            .fold(all_hold, |holds, condition| {
                self.condition(condition, width, holds, otherwise)
            })
    }

    fn condition(
        &mut self,
        condition: &Condition,
        width: Width,
        holds: Target,
        fails: Target,
    ) -> Target {
        let argument = Argument {
            index: condition.index,
            width,
        };
        match condition.test {
            Test::Equal(value) => self.equal(argument, u64::MAX, value, holds, fails),
            Test::NotEqual(value) => self.equal(argument, u64::MAX, value, fails, holds),
            Test::MaskedEqual { mask, value } => self.equal(argument, mask, value, holds, fails),
            Test::Greater(value) => self.order(argument, code::GREATER, value, holds, fails),
            Test::LessOrEqual(value) => self.order(argument, code::GREATER, value, fails, holds),
            Test::GreaterOrEqual(value) => {
                self.order(argument, code::GREATER_OR_EQUAL, value, holds, fails)
            }
            Test::Less(value) => self.order(argument, code::GREATER_OR_EQUAL, value, fails, holds),
        }
    }

    fn equal(
        &mut self,
        argument: Argument,
        mask: u64,
        value: u64,
        holds: Target,
        fails: Target,
    ) -> Target {
        let low = self.half(
            offset::low(argument.index),
            mask as u32,
            value as u32,
            holds,
            fails,
        );
        match argument.width {
            Width::Bits32 => low,
            Width::Bits64 => self.half(
                offset::high(argument.index),
                (mask >> 32) as u32,
                (value >> 32) as u32,
                low,
                fails,
            ),
        }
    }

    fn half(&mut self, offset: u32, mask: u32, value: u32, holds: Target, fails: Target) -> Target {
        if mask == 0 {
            return holds;
        }
        self.branch(code::EQUAL, value, holds, fails);
        if mask != u32::MAX {
            self.and(mask);
        }
        Target::At(self.load(offset))
    }

    fn order(
        &mut self,
        argument: Argument,
        low_comparison: u16,
        value: u64,
        holds: Target,
        fails: Target,
    ) -> Target {
        self.branch(low_comparison, value as u32, holds, fails);
        let low = self.load(offset::low(argument.index));
        match argument.width {
            Width::Bits32 => Target::At(low),
            Width::Bits64 => {
                let high = (value >> 32) as u32;
                let equal = self.branch(code::EQUAL, high, Target::At(low), fails);
                self.branch(code::GREATER, high, holds, Target::At(equal));
                Target::At(self.load(offset::high(argument.index)))
            }
        }
    }
}

/// Which argument, and how much of it there is.
#[derive(Clone, Copy, Debug)]
struct Argument {
    index: u8,
    width: Width,
}
