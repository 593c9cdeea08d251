//! From config.json to the plan, whose types are the init stage's.

pub mod build;
pub mod capabilities;
pub mod options;

pub use crate::init::plan::{Hooks, Plan, Sysctl, Terminal, mounts, namespaces, process, rootfs};
