//! tare, an OCI container runtime.
//!
//! The library exists for the binary, the fuzz targets and the benchmark; it promises
//! nothing to anyone else. Dependencies point one way:
//! `init <- sys <- config <- seccomp, cgroups <- plan <- container, net_devices, launch <-
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
pub mod directories;
pub mod dry_run;
pub mod environment;
pub mod events;
pub mod exec;
pub mod features;
pub mod flock;
pub mod foreground;
pub mod gc;
pub mod handover;
pub mod host_mounts;
pub mod image;
pub mod image_command;
pub mod intel_rdt;
pub mod kill;
pub mod launch;
pub mod lifecycle;
pub mod list;
pub mod logger;
pub mod mountinfo;
pub mod net_devices;
pub mod notify;
pub mod output;
pub mod pause;
pub mod plan;
pub mod progress;
pub mod ps;
pub mod run;
pub mod seccomp;
pub mod spec;
pub mod stacked;
pub mod start;
pub mod state;
#[allow(unsafe_code)]
pub mod sys;
pub mod temporary;
pub mod terminal;
pub mod timing;
pub mod unpack;
pub mod update;
pub mod user_namespace;
pub mod validate;
pub mod version;

/// The init stage: its plan and wire, and what else the two sides share.
pub use tare_init as init;
pub use tare_init::{error, files, hooks, spawn};
