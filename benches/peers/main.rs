//! Compares tare with the other runtimes of the machine, in one run: see ../README.md.

mod bundle;
mod host;
mod load;
mod report;
mod runtime;
mod verbs;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use bundle::Bundles;
use clap::Parser;
use report::Results;
use runtime::Runtime;
use tare::error::{Context, Error, Result};

/// The first argument of the small process that measures peak memory.
const LAUNCH: &str = "launch";
/// Says that scripts/private-mounts has been through.
const INSIDE: &str = "TARE_BENCH_INSIDE";

/// Compares tare with the other container runtimes of this machine.
#[derive(Parser)]
struct Options {
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Rounds back to back; a third as many with pauses
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure only the verbs
    #[arg(long)]
    verbs_only: bool,
    /// Measure the verbs only back to back
    #[arg(long)]
    back_to_back: bool,
    /// Leave out CPU time, as where the kernel counts it in ticks
    #[arg(long)]
    wall_only: bool,
    /// Have all runtimes drive cgroups by systemd
    #[arg(long)]
    systemd_cgroup: bool,
    /// Measure a runtime more, or another of that name
    #[arg(long, value_name = "NAME=PATH", value_parser = named_path)]
    runtime: Vec<(String, PathBuf)>,
    /// What cargo passes to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn named_path(text: &str) -> std::result::Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("expected NAME=PATH")?;
    let path = Path::new(path).canonicalize();
    Ok((name.to_owned(), path.map_err(|error| error.to_string())?))
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(LAUNCH) {
        return launch();
    }
    let options = Options::parse();
    let outcome = match std::env::var_os(INSIDE) {
        None => Err(enter()),
        Some(_) => compare(&options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this program again where the host's mounts are out of reach; does not return
/// unless that fails.
fn enter() -> Error {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/private-mounts");
    let program = std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into());
    let failure = Command::new(script)
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Error::system(format!("running {script}"), failure)
}

/// Runs the rest of the command line and prints its peak memory in KiB.
fn launch() -> ExitCode {
    let mut words = std::env::args_os().skip(2);
    let Some(program) = words.next() else {
        return ExitCode::FAILURE;
    };
    let child = Command::new(program)
        .args(words)
        .stdout(Stdio::null())
        .spawn();
    match child.and_then(tare::sys::usage::wait) {
        Ok((status, usage)) if status.success() => {
            println!("{}", usage.peak_kib);
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

fn compare(options: &Options) -> Result<()> {
    // The state lies on a tmpfs, as it does in life; the rootfs on a disk.
    let state = Path::new("/run/bench");
    let directory = std::env::temp_dir().join(format!("tare-bench-{}", std::process::id()));
    std::fs::create_dir(&directory).context(|| format!("making {}", directory.display()))?;
    let outcome = measure(options, state, &directory);
    if let Err(error) = std::fs::remove_dir_all(&directory) {
        eprintln!("removing {}: {error}", directory.display());
    }
    outcome
}

fn measure(options: &Options, state: &Path, directory: &Path) -> Result<()> {
    let bundles = Bundles::new(directory)?;
    let runtimes = runtimes(options, state, &bundles)?;
    let mut results = Results::new(runtimes.len(), !options.wall_only);
    let rounds = options.rounds as usize;
    let (few, spaced) = (rounds.div_ceil(20), rounds.div_ceil(3));

    eprintln!("verbs, {rounds} rounds back to back");
    verbs::measure(&runtimes, &bundles, rounds, Duration::ZERO, &mut results)?;
    if !options.back_to_back {
        eprintln!("verbs, {spaced} rounds spaced");
        let pause = Duration::from_millis(400);
        verbs::measure(&runtimes, &bundles, spaced, pause, &mut results)?;
    }
    if !options.verbs_only {
        eprintln!("memory and system calls");
        load::peak_memory(&runtimes, &bundles, spaced, &mut results)?;
        load::smallest_limit(&runtimes, &bundles, &mut results)?;
        load::system_calls(&runtimes, &bundles, directory, &mut results)?;
        eprintln!("crowds, {few} rounds");
        load::crowds(&runtimes, &bundles, few, &mut results)?;
        eprintln!("among 300 containers, {spaced} rounds");
        load::many_alive(&runtimes, &bundles, spaced, &mut results)?;
    }
    let host = host::describe(options.systemd_cgroup);
    if options.json {
        println!("{:#}", results.json(&runtimes, &host));
        return Ok(());
    }
    let versions: Vec<_> = runtimes
        .iter()
        .map(|runtime| format!("{} {}", runtime.name, runtime.version))
        .collect();
    println!("{host}; {}\n", versions.join(", "));
    print!("{}", results.table(&runtimes));
    Ok(())
}

/// tare as it was just built, the peers on PATH, and those named; without the ones that
/// cannot run the bundle here.
fn runtimes(options: &Options, state: &Path, bundles: &Bundles) -> Result<Vec<Runtime>> {
    let tare = Some(PathBuf::from(env!("CARGO_BIN_EXE_tare")));
    let mut paths = vec![("tare".to_owned(), tare)];
    for peer in ["crun", "runc", "youki"] {
        paths.push((peer.to_owned(), runtime::find(peer)));
    }
    for (name, path) in &options.runtime {
        match paths.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = Some(path.clone()),
            None => paths.push((name.clone(), Some(path.clone()))),
        }
    }
    let bundle = bundles.short.to_string_lossy();
    let mut usable = Vec::new();
    for (name, path) in paths {
        let Some(path) = path else { continue };
        let runtime = Runtime::new(&name, &path, state, options.systemd_cgroup)?;
        match runtime.time(&["run", "--bundle", &bundle, "probe"]) {
            Ok(_) => usable.push(runtime),
            Err(error) => eprintln!("{name} is left out: {error}"),
        }
    }
    if usable.is_empty() {
        return Err(Error::new(
            tare::error::Code::NotFound,
            "no runtime to measure",
        ));
    }
    Ok(usable)
}
