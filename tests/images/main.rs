//! From layers to a tree: images made by code, unpacked flat and as overlayfs stacks them.
//!
//! Everything happens in a mount namespace of its own, on a tmpfs. Beside each rootfs lies
//! a canary that no image may touch.

// A test says what it expects by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cases;
mod conversion;
mod corpus;
mod damage;
mod deep;
mod fidelity;
mod listing;
mod owners;
mod parallel;
mod program;
mod running;
mod sources;
mod store;
mod unpack;

use libtest_mimic::Arguments;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = owners::as_child() {
        return code;
    }
    let args = Arguments::from_args();
    if let Err(why) = unpack::private_mounts() {
        eprintln!("these tests cannot run here: {why}");
        return ExitCode::FAILURE;
    }
    let tests = [
        cases::tests(),
        damage::tests(),
        deep::tests(),
        fidelity::tests(),
        owners::tests(),
        parallel::tests(),
        sources::tests(),
        conversion::tests(),
        store::tests(),
        running::tests(),
    ];
    libtest_mimic::run(&args, tests.into_iter().flatten().collect()).exit_code()
}
