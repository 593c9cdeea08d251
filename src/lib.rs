//! tare, an OCI container runtime.
//!
//! The library exists for the binary, the fuzz targets and the benchmark; it promises
//! nothing to anyone else. Dependencies point one way:
//! `sys <- config, seccomp <- cgroups, init, image <- commands <- main`.

#![deny(unsafe_code)]

pub mod cgroups;
pub mod config;
pub mod container;
pub mod error;
pub mod hooks;
pub mod init;
pub mod net_devices;
pub mod plan;
pub mod spawn;
pub mod spec;
#[allow(unsafe_code)]
pub mod sys;
