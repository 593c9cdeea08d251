//! `--timing`: how long each phase of a command takes, one line of the log for each.
//!
//! A phase is named when it is over, by [`phase`]: it is the time since the phase before. Without
//! the flag that is a look at one variable.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// What switches it on where no flag can be added, as under an engine.
const VARIABLE: &str = "TARE_TIMING";

#[derive(Clone, Copy)]
struct Clock {
    began: Instant,
    last: Instant,
}

thread_local! {
    /// tare has one thread.
    static CLOCK: Cell<Option<Clock>> = const { Cell::new(None) };
}

/// Begins to take the time, if that is asked for, of a command that began at `began`.
pub fn start(flag: bool, began: Instant) {
    let is_asked_for = || std::env::var_os(VARIABLE).is_some_and(|value| value == "1");
    if flag || is_asked_for() {
        CLOCK.set(Some(Clock { began, last: began }));
        phase("starting tare");
    }
}

/// Says that a phase is over.
pub fn phase(name: &str) {
    let Some(clock) = CLOCK.get() else { return };
    let now = Instant::now();
    say(name, now - clock.last);
    // What the line itself cost belongs to nobody.
    let last = Instant::now();
    CLOCK.set(Some(Clock { last, ..clock }));
}

/// Says that the command is over.
pub fn end() {
    if let Some(clock) = CLOCK.take() {
        say("all of it", clock.began.elapsed());
    }
}

fn say(name: &str, time: Duration) {
    log::info!("timing: {name}: {:.3} ms", time.as_secs_f64() * 1000.0);
}
