//! Cgroups on the running kernel: made, limited, entered, frozen, killed and removed.
//!
//! What the machine lacks is skipped with the reason on stderr. Every test has a cgroup of
//! its own, removed when the test ends, however it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod both;
mod host;
mod v1;
mod v2;
