//! What must be true of any moment: nothing is left by a killed runtime, no status is
//! lost, and containers made at the same time do not disturb each other.

use crate::harness::{Command, Container, Output, Running, Sandbox, host, runtime, tests};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

tests![
    killed_in_create,
    killed_in_start,
    killed_in_delete,
    two_hundred_that_exit_at_once,
    fifty_creates_at_the_same_time,
    same_id_at_the_same_time,
    start_and_delete_at_the_same_time,
    delete_at_the_same_time,
    delete_after_run_was_killed,
    delete_force_of_a_create_that_hangs,
    delete_force_of_a_start_that_hangs,
    delete_that_waited_spares_the_next,
    start_of_a_container_killed_meanwhile,
    deleted_under_a_run_in_the_foreground,
    sigchld_ignored_by_the_caller,
];

/// Delays that are other ones in each run; the seed is shown with a failure.
struct Delays {
    seed: u64,
    state: u64,
    below: u64,
}

impl Delays {
    /// Delays of less than so many microseconds.
    fn below(below: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = now.as_nanos() as u64 | 1;
        Self {
            seed,
            state: seed,
            below,
        }
    }

    /// xorshift is random enough here.
    fn next(&mut self) -> Duration {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        Duration::from_micros(self.state % self.below)
    }
}

/// How many microseconds the command takes here and now, which is when to kill it.
fn time(run: impl Fn() -> Output) -> u64 {
    let begin = std::time::Instant::now();
    run().ok();
    begin.elapsed().as_micros() as u64 + 500
}

/// Kills a runtime's process group after the delay; says whether it was still alive.
fn kill_after(running: Running, delay: Duration) -> bool {
    std::thread::sleep(delay);
    running.kill_group();
    running.wait().status == 128 + 9
}

/// What must hold after the kill: a forced delete removes every trace, and says so.
#[track_caller]
fn assert_deletable(t: &Sandbox, c: &Container, delays: &Delays, delay: Duration) {
    let out = c.delete_force();
    let when = format!("killed after {delay:?}, seed {}", delays.seed);
    assert!(out.status == 0, "{when}: {out}");
    let left = t.leftovers();
    assert!(left.is_empty(), "{when}, left behind: {left}");
}

fn killed_in_create(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    let took = time(|| c.create());
    c.delete_force().ok();
    let mut delays = Delays::below(took);
    let mut alive = 0;
    for _ in 0..80 {
        let delay = delays.next();
        alive += u32::from(kill_after(c.create_with(&[]).spawn(), delay));
        assert_deletable(t, &c, &delays, delay);
    }
    assert!(
        alive > 10,
        "only {alive} of 80 were killed before their end"
    );
}

fn killed_in_start(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    c.create().ok();
    let took = time(|| c.start());
    c.delete_force().ok();
    let mut delays = Delays::below(took);
    for _ in 0..60 {
        c.create().ok();
        let delay = delays.next();
        kill_after(c.verb(&["start"]).spawn(), delay);
        assert_deletable(t, &c, &delays, delay);
    }
}

fn killed_in_delete(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let took = time(|| c.delete_force());
    let mut delays = Delays::below(took);
    for _ in 0..60 {
        c.run_sleeping();
        let delay = delays.next();
        kill_after(c.verb(&["delete", "--force"]).spawn(), delay);
        assert_deletable(t, &c, &delays, delay);
    }
}

/// The SIGCHLD that comes before anyone waits: youki hung in 2 of 8.
fn two_hundred_that_exit_at_once(t: &Sandbox) {
    let containers: Vec<_> = (0..20)
        .map(|n| {
            let mut c = t.container();
            c.script(&format!("exit {n}"));
            c
        })
        .collect();
    for _ in 0..10 {
        let runs: Vec<_> = containers.iter().map(|c| c.run_with(&[]).spawn()).collect();
        for (status, run) in runs.into_iter().enumerate() {
            run.wait().exits(status as i32);
        }
    }
    t.assert_nothing_left();
}

fn fifty_creates_at_the_same_time(t: &Sandbox) {
    let containers: Vec<_> = (0..50).map(|_| t.container()).collect();
    let creates: Vec<_> = containers
        .iter()
        .map(|c| c.create_with(&[]).spawn())
        .collect();
    for create in creates {
        create.wait().ok();
    }
    let out = t.tare(["list", "-q"]).run().ok();
    assert_eq!(out.stdout.lines().count(), 50);
    let deletes: Vec<_> = containers
        .iter()
        .map(|c| c.verb(&["delete"]).spawn())
        .collect();
    for delete in deletes {
        delete.wait().ok();
    }
    t.assert_nothing_left();
}

fn same_id_at_the_same_time(t: &Sandbox) {
    for _ in 0..10 {
        let c = t.container();
        // All prepared before the first reads the config, which each of them writes out.
        let commands: Vec<_> = (0..4).map(|_| c.create_with(&[])).collect();
        let creates: Vec<_> = commands.into_iter().map(Command::spawn).collect();
        let ends: Vec<_> = creates.into_iter().map(Running::wait).collect();
        let won = ends.iter().filter(|end| end.status == 0).count();
        assert_eq!(won, 1, "{ends:?}");
        for lost in ends.into_iter().filter(|end| end.status != 0) {
            lost.says("already exists");
        }
        assert_eq!(c.status(), "created");
        c.start().ok();
        c.delete_force().ok();
        t.assert_nothing_left();
    }
}

fn start_and_delete_at_the_same_time(t: &Sandbox) {
    for _ in 0..20 {
        let mut c = t.container();
        c.args(["sleep", "1000"]);
        c.create().ok();
        let start = c.verb(&["start"]).spawn();
        let delete = c.verb(&["delete", "--force"]).spawn();
        start.wait();
        delete.wait().ok();
        c.delete_force().ok();
        t.assert_nothing_left();
    }
}

fn delete_at_the_same_time(t: &Sandbox) {
    for _ in 0..10 {
        let mut c = t.container();
        c.run_sleeping();
        let deletes: Vec<_> = (0..4)
            .map(|_| c.verb(&["delete", "--force"]).spawn())
            .collect();
        for delete in deletes {
            delete.wait().ok();
        }
        t.assert_nothing_left();
    }
}

/// Only the runtime is killed, not its group: the container is still there to be deleted.
fn delete_after_run_was_killed(t: &Sandbox) {
    let mut c = t.container();
    c.script("echo ready; sleep 1000");
    let run = c.run_with(&[]).spawn();
    crate::harness::wait_for("ready", || run.stdout().contains("ready"));
    run.signal(rustix::process::Signal::KILL);
    run.wait().exits(137);
    c.delete_force().ok();
    t.assert_nothing_left();
}

/// A hook that is at it for as long as any test may take.
fn endless() -> Value {
    json!({"path": "/bin/sleep", "args": ["sleep", "1000"]})
}

/// A container whose start waits for a hook.
fn hanging_start(t: &Sandbox) -> (Container<'_>, Running) {
    let mut c = t.container();
    c.push("/hooks/startContainer", endless());
    c.create().ok();
    let start = c.verb(&["start"]).spawn();
    std::thread::sleep(Duration::from_millis(300));
    (c, start)
}

/// The init stage holds the lock, and is deaf to the end of its creator while a hook runs.
fn delete_force_of_a_create_that_hangs(t: &Sandbox) {
    let mut c = t.container();
    c.push("/hooks/createContainer", endless());
    for kill_first in [true, false] {
        let create = c.create_with(&[]).spawn();
        std::thread::sleep(Duration::from_millis(300));
        if kill_first {
            create.signal(Signal::KILL);
        }
        c.delete_force().ok();
        create.wait().exits(137);
        t.assert_nothing_left();
    }
}

fn delete_force_of_a_start_that_hangs(t: &Sandbox) {
    let (c, start) = hanging_start(t);
    c.delete_force().ok();
    start.wait().fails();
    t.assert_nothing_left();
}

/// What it finds at the path, once the other delete is done, is the next container's.
fn delete_that_waited_spares_the_next(t: &Sandbox) {
    let mut c = t.container();
    c.args(["sleep", "1000"]);
    let hook = json!({"path": "/bin/sleep", "args": ["sleep", "0.4"]});
    c.set("/hooks/poststop", json!([hook]));
    c.create().ok();
    c.set("/hooks/poststop", json!([]));
    let first = c.verb(&["delete", "--force"]).spawn();
    std::thread::sleep(Duration::from_millis(100));
    let second = c.verb(&["delete", "--force"]).spawn();
    loop {
        let out = c.create();
        if !out.stderr.contains("already exists") {
            out.ok();
            break;
        }
    }
    first.wait().ok();
    second.wait().ok();
    assert_eq!(c.status(), "created");
    c.delete().ok();
    t.assert_nothing_left();
}

fn start_of_a_container_killed_meanwhile(t: &Sandbox) {
    let (c, start) = hanging_start(t);
    c.kill("KILL").ok();
    start.wait().fails().says("killed before it executed");
}

fn deleted_under_a_run_in_the_foreground(t: &Sandbox) {
    let mut c = t.container();
    c.script("echo ready; sleep 1000");
    let run = c.run_with(&[]).spawn();
    crate::harness::wait_for("ready", || run.stdout().contains("ready"));
    c.delete_force().ok();
    run.wait().exits(137);
    t.assert_nothing_left();
}

/// The kernel then forgets children as they end, and a wait for one never does.
fn sigchld_ignored_by_the_caller(t: &Sandbox) {
    let mut c = t.container();
    c.script("exit 7").save();
    let root = t.root();
    t.command("/bin/sh")
        .args(["-c", "trap '' CHLD; exec \"$@\"", "sh", runtime()])
        .args(host::flags())
        .args(["--root", root.to_str().unwrap(), "run", "--bundle"])
        .args([c.bundle.to_str().unwrap(), &c.id])
        .run()
        .exits(7);
}
