//! The integration tests: they drive the binary as a user does, on a real kernel.
//!
//! `TARE_TEST_RUNTIME=/usr/sbin/runc` runs them against another runtime, to see where
//! the two differ. Never give it crun: it takes a hostile id for a path and deletes that. A test that cannot run on this machine says why and counts as ignored.

// A test says what it expects by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

mod cgroups;
mod config;
mod descriptors;
mod devices;
mod dry_run;
mod events;
mod exec;
mod exec_process;
mod features;
mod gc;
mod hooks;
mod idmap;
mod kill;
mod lifecycle;
mod limits;
mod mount_options;
mod mounts;
mod namespaces;
mod output;
mod process;
mod program;
mod robust;
mod rootfs;
mod rootless;
mod run;
mod seccomp;
mod systemd;
mod tty;
mod update;
mod user_namespaces;
mod validate;

use std::process::ExitCode;

fn main() -> ExitCode {
    harness::run([
        lifecycle::tests(),
        run::tests(),
        seccomp::tests(),
        kill::tests(),
        output::tests(),
        process::tests(),
        program::tests(),
        rootfs::tests(),
        mounts::tests(),
        mount_options::tests(),
        idmap::tests(),
        devices::tests(),
        namespaces::tests(),
        user_namespaces::tests(),
        rootless::tests(),
        hooks::tests(),
        exec::tests(),
        exec_process::tests(),
        tty::tests(),
        descriptors::tests(),
        cgroups::tests(),
        systemd::tests(),
        limits::tests(),
        update::tests(),
        events::tests(),
        dry_run::tests(),
        features::tests(),
        validate::tests(),
        gc::tests(),
        config::tests(),
        robust::tests(),
    ])
}
