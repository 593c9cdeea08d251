//! What an attacker would try, against the real binary on a real kernel: the eight classes of
//! attack that the known CVEs of container runtimes fall into, one file each, and what is left
//! over. A test that stands for a CVE has it in its name; SECURITY.md has the list of both.
//!
//! The attacker owns the rootfs, the program in it, and a container beside this one that shares
//! a volume; config.json is not the attacker's. Some attacks are too quick for a shell: then
//! this very program, which is static, is mounted into the container and run there ([`inside`]).

// A test says what it expects by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

// Another suite's, which uses what this one does not.
#[allow(dead_code, unused_imports)]
#[path = "../suite/harness/mod.rs"]
mod harness;

mod canary;
mod inside;

// T1 to T8.
mod capabilities;
mod cgroup_write;
mod descriptors;
mod exchange;
mod own_binary;
mod procfs;
mod seccomp;
mod symlinks;

mod config;
mod delete;
mod documented;
mod ids;
mod labels;
mod nesting;
mod reading;
mod resolution;
mod rootless;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(program) = inside::requested() {
        return program();
    }
    harness::run(all())
}

fn all() -> [Vec<libtest_mimic::Trial>; 17] {
    [
        symlinks::tests(),
        exchange::tests(),
        descriptors::tests(),
        own_binary::tests(),
        capabilities::tests(),
        procfs::tests(),
        cgroup_write::tests(),
        seccomp::tests(),
        ids::tests(),
        config::tests(),
        delete::tests(),
        reading::tests(),
        rootless::tests(),
        resolution::tests(),
        labels::tests(),
        nesting::tests(),
        documented::tests(),
    ]
}
