//! tare, an OCI container runtime.
//!
//! The library exists for the binary, the fuzz targets and the benchmark; it promises
//! nothing to anyone else. Dependencies point one way:
//! `sys <- config <- seccomp, cgroups <- plan <- init <- container, net_devices, launch <-
//! commands <- main`.

#![deny(unsafe_code)]

pub mod amount;
pub mod arguments;
pub mod cgroups;
pub mod cli;
pub mod config;
pub mod container;
pub mod context;
pub mod create;
pub mod delete;
pub mod error;
pub mod events;
pub mod exec;
pub mod features;
pub mod flock;
pub mod foreground;
pub mod handover;
pub mod hooks;
pub mod host_mounts;
pub mod init;
pub mod intel_rdt;
pub mod kill;
pub mod launch;
pub mod list;
pub mod logger;
pub mod mountinfo;
pub mod net_devices;
pub mod notify;
pub mod output;
pub mod pause;
pub mod plan;
pub mod ps;
pub mod run;
pub mod seccomp;
pub mod spawn;
pub mod spec;
pub mod start;
pub mod state;
#[allow(unsafe_code)]
pub mod sys;
pub mod terminal;
pub mod update;
pub mod version;
