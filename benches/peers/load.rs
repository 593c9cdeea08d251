//! Many at a time, many alive, and what one run costs in memory and system calls.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::bundle::Bundles;
use crate::report::{Results, Unit};
use crate::runtime::{Cost, Runtime, find, has_ended};
use tare::error::{Code, Context, Error, Result};

const ALIVE: usize = 300;

/// `200 x run, 20 at a time` and `500 x exec, 16 at a time`.
pub fn crowds(
    runtimes: &[Runtime],
    bundles: &Bundles,
    rounds: usize,
    results: &mut Results,
) -> Result<()> {
    let (short, long) = (bundles.short.to_string_lossy(), &bundles.long);
    for _ in 0..rounds {
        for (index, runtime) in runtimes.iter().enumerate() {
            let mut note = |what: &str, times| results.add_times(what, Unit::Seconds, index, times);
            let runs = crowd(200, 20, |number| {
                runtime.time(&["run", "--bundle", &short, &format!("tare-bench-{number}")])
            })?;
            note("200 x run, 20 at a time", runs);

            let (_, pid) = runtime.create(long, "tare-bench-crowded")?;
            runtime.time(&["start", "tare-bench-crowded"])?;
            let execs = crowd(500, 16, |_| {
                runtime.time(&["exec", "tare-bench-crowded", "true"])
            });
            runtime.remove("tare-bench-crowded");
            has_ended(pid)?;
            note("500 x exec, 16 at a time", execs?);
        }
    }
    Ok(())
}

/// Does `count` jobs, `width` at a time; tells the time it took and all the CPU time.
fn crowd(
    count: usize,
    width: usize,
    job: impl Fn(usize) -> Result<Cost> + Sync,
) -> Result<(Duration, Duration)> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut cpu = Duration::ZERO;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(cpu);
            }
            cpu += job(number)?.usage.cpu;
        }
    };
    let start = Instant::now();
    let workers: Vec<Result<Duration>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..width).map(|_| scope.spawn(work)).collect();
        let joined = handles.into_iter().map(|handle| handle.join());
        joined
            .map(|done| done.unwrap_or_else(|_| Err(Error::new(Code::System, "a thread died"))))
            .collect()
    });
    let wall = start.elapsed();
    let cpu = workers.into_iter().sum::<Result<Duration>>()?;
    Ok((wall, cpu))
}

/// `list` of many containers, and `create` among as many.
pub fn many_alive(
    runtimes: &[Runtime],
    bundles: &Bundles,
    rounds: usize,
    results: &mut Results,
) -> Result<()> {
    for (index, runtime) in runtimes.iter().enumerate() {
        let ids: Vec<_> = (0..ALIVE)
            .map(|number| format!("tare-bench-{number}"))
            .collect();
        let outcome = ids
            .iter()
            .try_for_each(|id| runtime.create(&bundles.long, id).map(|_| ()))
            .and_then(|()| among_many(runtime, index, bundles, rounds, results));
        for id in &ids {
            runtime.remove(id);
        }
        outcome?;
    }
    Ok(())
}

fn among_many(
    runtime: &Runtime,
    index: usize,
    bundles: &Bundles,
    rounds: usize,
    results: &mut Results,
) -> Result<()> {
    for _ in 0..rounds {
        let list = runtime.time(&["list"])?.wall.as_secs_f64() * 1e3;
        results.add("list of 300", Unit::Milliseconds, index, list);
        let (create, pid) = runtime.create(&bundles.long, "tare-bench-one-more")?;
        runtime.remove("tare-bench-one-more");
        has_ended(pid)?;
        let create = create.wall.as_secs_f64() * 1e3;
        results.add("create, 300 alive", Unit::Milliseconds, index, create);
    }
    Ok(())
}

/// The smallest memory limit, a power of two in KiB, under which `true` runs every time.
pub fn smallest_limit(
    runtimes: &[Runtime],
    bundles: &Bundles,
    results: &mut Results,
) -> Result<()> {
    for (index, runtime) in runtimes.iter().enumerate() {
        for kib in (4..=18).map(|power| 1 << power) {
            let bundle = bundles.with_memory(kib)?;
            let bundle = bundle.to_string_lossy();
            let runs = || runtime.attempt(&["run", "--bundle", &bundle, "tare-bench-limited"]);
            let mut enough = true;
            for _ in 0..5 {
                enough = enough && runs()?.0.success();
                if !enough {
                    runtime.remove("tare-bench-limited");
                    break;
                }
            }
            if enough {
                let label = "smallest memory limit that runs true";
                results.add(label, Unit::Kibibytes, index, kib as f64);
                break;
            }
        }
    }
    Ok(())
}

/// Peak memory of `run true`, through a small process of our own: a child starts with the
/// resident set of whoever spawned it.
pub fn peak_memory(
    runtimes: &[Runtime],
    bundles: &Bundles,
    rounds: usize,
    results: &mut Results,
) -> Result<()> {
    let bundle = bundles.short.to_string_lossy();
    for _ in 0..rounds {
        for (index, runtime) in runtimes.iter().enumerate() {
            let output = Command::new("/proc/self/exe")
                .arg(crate::LAUNCH)
                .args(runtime.words(&["run", "--bundle", &bundle, "tare-bench-peak"]))
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .output()
                .context(|| "measuring peak memory")?;
            let kib = String::from_utf8_lossy(&output.stdout).trim().parse();
            let kib: f64 = kib.map_err(|_| {
                Error::new(Code::System, format!("no peak memory of {}", runtime.name))
            })?;
            results.add("peak memory of run", Unit::Kibibytes, index, kib);
        }
    }
    Ok(())
}

/// System calls of `run true`, the container's own few among them, where strace is.
pub fn system_calls(
    runtimes: &[Runtime],
    bundles: &Bundles,
    directory: &Path,
    results: &mut Results,
) -> Result<()> {
    let Some(strace) = find("strace") else {
        eprintln!("strace is not installed: system calls are not counted");
        return Ok(());
    };
    let bundle = bundles.short.to_string_lossy();
    let table = directory.join("strace");
    for (index, runtime) in runtimes.iter().enumerate() {
        Command::new(&strace)
            .args(["-f", "-c", "-o"])
            .arg(&table)
            .args(runtime.words(&["run", "--bundle", &bundle, "tare-bench-traced"]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context(|| "running strace")?;
        let table = fs::read_to_string(&table).context(|| "reading strace's table")?;
        match total_calls(&table) {
            Some(calls) => results.add("system calls of run", Unit::Count, index, calls),
            None => eprintln!("strace counted nothing for {}", runtime.name),
        }
    }
    Ok(())
}

/// The fourth column of the last line: `100.00 0.005 4 1174 120 total`.
fn total_calls(table: &str) -> Option<f64> {
    let total = table.lines().find(|line| line.ends_with(" total"))?;
    total.split_whitespace().nth(3)?.parse().ok()
}
