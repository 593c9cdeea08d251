//! Classic BPF, written from its end to its beginning: every jump goes forward, so when one is
//! written its target is there already and its distance known.
//!
//! A conditional jump reaches 255 instructions. Where its target is farther, what it needs is
//! put in its reach: another return of the same value, or a jump of any length.

pub use crate::sys::seccomp::Instruction;

/// The codes that a seccomp filter needs (include/uapi/linux/bpf_common.h and filter.h).
pub mod code {
    /// Load the word at an offset of `seccomp_data`.
    pub const LOAD: u16 = 0x20;
    /// And with a constant.
    pub const AND: u16 = 0x54;
    /// Jump always.
    pub const JUMP: u16 = 0x05;
    /// Jump where equal to a constant.
    pub const EQUAL: u16 = 0x15;
    /// Jump where greater, without sign.
    pub const GREATER: u16 = 0x25;
    /// Jump where greater or equal, without sign.
    pub const GREATER_OR_EQUAL: u16 = 0x35;
    /// Return a constant.
    pub const RETURN: u16 = 0x06;
}

/// A place in the program, counted from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// Where a jump goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a return of this value.
    Return(u32),
    /// To a place.
    At(Label),
}

/// How far a conditional jump reaches.
const REACH: usize = 255;

/// A program in the making.
#[derive(Debug, Default)]
pub struct Assembler {
    reversed: Vec<Instruction>,
    /// The latest return of each value.
    returns: Vec<(u32, Label)>,
}

impl Assembler {
    /// The program, from its beginning.
    pub fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }

    /// Puts a load before what there is.
    pub fn load(&mut self, offset: u32) -> Label {
        self.push(code::LOAD, 0, 0, offset)
    }

    /// Puts an AND before what there is.
    pub fn and(&mut self, mask: u32) -> Label {
        self.push(code::AND, 0, 0, mask)
    }

    /// Puts a conditional jump before what there is.
    pub fn branch(&mut self, code: u16, k: u32, holds: Target, fails: Target) -> Label {
        // The second may put one instruction between the first and the jump.
        let holds = self.near(holds, 1);
        let fails = self.near(fails, 0);
        let distance = |label: Label| (self.reversed.len() - label.0) as u8;
        self.push(code, distance(holds), distance(fails), k)
    }

    /// The target as a place that comes next.
    pub fn next(&mut self, target: Target) -> Label {
        match target {
            Target::At(label) if label.0 == self.reversed.len() => label,
            Target::At(label) => self.jump(label),
            Target::Return(value) => self.give(value),
        }
    }

    /// A place for the target that is in reach, with `margin` more instructions to come.
    fn near(&mut self, target: Target, margin: usize) -> Label {
        let here = self.reversed.len() + margin;
        let known = match target {
            Target::At(label) => Some(label),
            Target::Return(value) => self
                .returns
                .iter()
                .find(|(known, _)| *known == value)
                .map(|(_, label)| *label),
        };
        match (known, target) {
            (Some(label), _) if here - label.0 <= REACH => label,
            (_, Target::At(label)) => self.jump(label),
            (_, Target::Return(value)) => self.give(value),
        }
    }

    fn jump(&mut self, to: Label) -> Label {
        let distance = (self.reversed.len() - to.0) as u32;
        self.push(code::JUMP, 0, 0, distance)
    }

    fn give(&mut self, value: u32) -> Label {
        let label = self.push(code::RETURN, 0, 0, value);
        self.returns.retain(|(known, _)| *known != value);
        self.returns.push((value, label));
        label
    }

    fn push(&mut self, code: u16, jt: u8, jf: u8, k: u32) -> Label {
        self.reversed.push(Instruction { code, jt, jf, k });
        Label(self.reversed.len())
    }
}
