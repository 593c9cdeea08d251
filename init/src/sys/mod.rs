//! The system calls that rustix lacks, how the program begins, and its memory: all of the
//! `unsafe`, one file per family.
//!
//! What is here is safe to call; nothing outside this folder may say `unsafe`.

#[cfg(feature = "program")]
mod bytes;
mod call;
pub mod clock;
pub mod clone;
pub mod exec;
pub mod keyring;
#[cfg(feature = "program")]
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod network;
pub mod schedule;
pub mod seccomp;
pub mod signals;
#[cfg(feature = "program")]
mod start;
pub mod stdio;
#[cfg(feature = "program")]
mod unwind;
