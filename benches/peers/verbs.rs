//! Each verb as its own process, round-robin among the runtimes.

use std::thread;
use std::time::Duration;

use crate::bundle::Bundles;
use crate::report::{Results, Unit};
use crate::runtime::{Cost, Runtime, has_ended};
use tare::error::Result;

const ID: &str = "tare-bench-verbs";
const VERBS: [&str; 8] = [
    "run",
    "run with Docker's seccomp profile",
    "create",
    "start",
    "state",
    "exec",
    "kill",
    "delete",
];

/// Measures `rounds` rounds with `pause` before each command. Attaching to a cgroup costs
/// more on a machine that has not just done the same, so `pause` tells two stories.
pub fn measure(
    runtimes: &[Runtime],
    bundles: &Bundles,
    rounds: usize,
    pause: Duration,
    results: &mut Results,
) -> Result<()> {
    let how = match pause.is_zero() {
        true => "back to back".to_owned(),
        false => format!("{} s apart", pause.as_secs_f64()),
    };
    for _ in 0..rounds {
        for (index, runtime) in runtimes.iter().enumerate() {
            let costs = round(runtime, bundles, pause).inspect_err(|_| runtime.remove(ID))?;
            for (verb, cost) in VERBS.iter().zip(costs) {
                let times = (cost.wall, cost.usage.cpu);
                results.add_times(&format!("{verb}, {how}"), Unit::Milliseconds, index, times);
            }
        }
    }
    Ok(())
}

/// One life of a container, in the order of VERBS.
fn round(runtime: &Runtime, bundles: &Bundles, pause: Duration) -> Result<[Cost; 8]> {
    let short = bundles.short.to_string_lossy();
    let timed = |args: &[&str]| {
        thread::sleep(pause);
        runtime.time(args)
    };
    let run = timed(&["run", "--bundle", &short, ID])?;
    let filtered = timed(&["run", "--bundle", &bundles.filtered.to_string_lossy(), ID])?;
    thread::sleep(pause);
    let (create, pid) = runtime.create(&bundles.long, ID)?;
    let start = timed(&["start", ID])?;
    let state = timed(&["state", ID])?;
    let exec = timed(&["exec", ID, "true"])?;
    let kill = timed(&["kill", ID, "KILL"])?;
    has_ended(pid)?;
    let delete = timed(&["delete", ID])?;
    Ok([run, filtered, create, start, state, exec, kill, delete])
}
