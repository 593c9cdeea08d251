//! Builds the init stage's program, which tare carries in itself (`launch::program`).
//!
//! It is without std, and so needs a run of cargo of its own: in one with tare's, its
//! dependencies would have the features that tare's need.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the program is linked: no C library and none of its start files; at a fixed address, so
/// that nothing has to relocate it (docs/design.md, "Decisions"); and in as few pages as can be.
const RUSTFLAGS: [&str; 6] = [
    "-Ctarget-feature=+crt-static",
    "-Crelocation-model=static",
    "-Cforce-unwind-tables=no",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nodefaultlibs",
    "-Clink-arg=-Wl,-z,noseparate-code,-z,norelro,--build-id=none",
];

fn main() -> Result<(), Box<dyn Error>> {
    for input in ["build.rs", "init", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let variable = |name: &str| env::var(name).map_err(|error| format!("{name}: {error}"));
    let (target, out) = (variable("TARGET")?, PathBuf::from(variable("OUT_DIR")?));
    let built = build(&variable("CARGO")?, &target, &out.join("init"))?;
    println!("cargo::rustc-env=TARE_INIT_PROGRAM={}", built.display());
    Ok(())
}

/// Builds the program in `directory` and returns where it is.
fn build(cargo: &str, target: &str, directory: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--profile",
            "init",
            "--locked",
            "--package",
            "tare-init",
        ])
        .args(["--bin", "tare-init", "--features", "program"])
        .args(["--target", target, "--target-dir"])
        .arg(directory)
        // Not the flags of tare's own build: what they ask for, sanitizers or coverage, needs std.
        .env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS.join("\x1f"))
        // Clippy, which looks at the program by itself, or not at all.
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    let status = command
        .status()
        .map_err(|error| format!("{cargo}: {error}"))?;
    if !status.success() {
        return Err(format!("the init stage's program could not be built: {status}").into());
    }
    Ok(directory.join(target).join("init").join("tare-init"))
}
