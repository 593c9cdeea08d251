//! System calls that the crates lack and the commands alone need; those that the init stage
//! needs as well are its own (`tare_init::sys`). There and here is all of the `unsafe`: one file
//! per family.
//!
//! What is here is safe to call; nothing outside these folders may say `unsafe`.

pub mod bpf;
pub mod network;
pub mod usage;

pub use crate::init::sys::{clone, exec, mount, namespace, schedule, seccomp, signals};
