//! Waiting for flock(2), which by itself waits for ever.

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Between two looks at a lock that somebody else has.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Locks the file for nobody else, waiting at most `patience`.
///
/// # Errors
/// Those of flock(2); at the deadline, [`Errno::WOULDBLOCK`].
pub fn exclusive(file: impl AsFd, patience: Duration) -> rustix::io::Result<()> {
    let deadline = Instant::now() + patience;
    // Mostly it is somebody who is just letting go.
    let mut pause = Duration::from_micros(50);
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}
