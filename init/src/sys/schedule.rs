//! Scheduling, I/O priority, memory policy and personality of this process.

use super::call::call;
use linux_raw_sys::general::{
    __NR_ioprio_set, __NR_personality, __NR_prlimit64, __NR_sched_setaffinity, __NR_sched_setattr,
    __NR_set_mempolicy, SCHED_DEADLINE, SCHED_FLAG_RESET_ON_FORK, rlimit64,
};
use rustix::io::Result;

/// `struct sched_attr` of sched_setattr(2), version 1 of the kernel's ABI.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct SchedAttr {
    /// Its own size, in bytes.
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For the normal policies.
    pub nice: i32,
    /// For the real-time policies.
    pub priority: u32,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub runtime: u64,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub deadline: u64,
    /// For `SCHED_DEADLINE`, nanoseconds.
    pub period: u64,
}

impl SchedAttr {
    /// Whether fork(2) is refused under it, or takes it back (sched(7)).
    pub fn bars_fork(&self) -> bool {
        self.policy == SCHED_DEADLINE || self.flags & u64::from(SCHED_FLAG_RESET_ON_FORK) != 0
    }
}

/// Sets the scheduling of a process, this one for 0.
///
/// # Errors
/// Those of sched_setattr(2).
pub fn set_scheduler(pid: i32, mut attr: SchedAttr) -> Result<()> {
    attr.size = size_of::<SchedAttr>() as u32;
    let attr = (&raw const attr).expose_provenance();
    // SAFETY: `attr` is a C struct with its size in its first field, and outlives the call.
    unsafe { call(__NR_sched_setattr, [pid as usize, attr, 0]) }.map(drop)
}

/// Sets the CPUs that this process may run on: bit n of the words is CPU n.
///
/// # Errors
/// `EINVAL` where none of them is to be had.
pub fn set_affinity(mask: &[u64]) -> Result<()> {
    let words = mask.as_ptr().expose_provenance();
    // SAFETY: the mask outlives the call, which gets its size in bytes. The kernel's words are
    // `unsigned long`s in native order, which on 64-bit machines are these.
    unsafe { call(__NR_sched_setaffinity, [0, size_of_val(mask), words]) }.map(drop)
}

/// Sets this process's I/O priority to `class << 13 | level`.
///
/// # Errors
/// Those of ioprio_set(2).
pub fn set_io_priority(value: i32) -> Result<()> {
    const IOPRIO_WHO_PROCESS: usize = 1;
    // SAFETY: no memory is passed.
    unsafe { call(__NR_ioprio_set, [IOPRIO_WHO_PROCESS, 0, value as usize]) }.map(drop)
}

/// Sets this process's NUMA policy: `mode` with its flags, and the bits of its nodes.
///
/// # Errors
/// Those of set_mempolicy(2).
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> Result<()> {
    // The kernel reads one bit less than it is told (man set_mempolicy, "maxnode"), and takes no
    // nodes for a null pointer alone.
    let (words, bits) = match nodes {
        [] => (0, 0),
        nodes => (nodes.as_ptr().expose_provenance(), nodes.len() * 64 + 1),
    };
    // SAFETY: the mask holds at least `bits - 1` bits and outlives the call.
    unsafe { call(__NR_set_mempolicy, [mode as usize, words, bits]) }.map(drop)
}

/// Sets this process's execution domain.
///
/// # Errors
/// Those of personality(2).
pub fn set_personality(persona: u64) -> Result<()> {
    // SAFETY: no memory is passed.
    unsafe { call(__NR_personality, [persona as usize]) }.map(drop)
}

/// Sets a resource limit of this process by number; `u64::MAX` is unlimited.
///
/// # Errors
/// Those of prlimit(2).
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    let new = (&raw const limit).expose_provenance();
    // SAFETY: the new limit outlives the call; the old one is not asked for.
    unsafe { call(__NR_prlimit64, [0, resource as usize, new, 0]) }.map(drop)
}

/// A resource limit of this process by number: soft and hard; `u64::MAX` is unlimited.
///
/// # Errors
/// Those of prlimit(2).
pub fn rlimit(resource: u32) -> Result<(u64, u64)> {
    let mut limit = rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let old = (&raw mut limit).expose_provenance();
    // SAFETY: nothing is set; the kernel fills `limit`, which outlives the call.
    unsafe { call(__NR_prlimit64, [0, resource as usize, 0, old]) }?;
    Ok((limit.rlim_cur, limit.rlim_max))
}
