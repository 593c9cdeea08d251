//! Progress of long work on a terminal: one line per layer, and none elsewhere.

use crate::image::layer::{LayerProgress, Progress};
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Work that is done by then needs no display.
const PATIENCE: Duration = Duration::from_millis(400);

/// Between two pictures.
const INTERVAL: Duration = Duration::from_millis(100);

/// The layers that are shown at once; of the others there is a count.
const LINES: usize = 16;

/// Does `work`, and shows how far it is if stderr is a terminal and it takes a while.
pub fn shown<T>(progress: &Progress, work: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    let (done, is_done) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || show(progress, &is_done));
        let result = work();
        // The channel's end is what the other thread waits for.
        drop(done);
        result
    })
}

fn show(progress: &Progress, is_done: &mpsc::Receiver<()>) {
    let start = Instant::now();
    let goes_on = |time| is_done.recv_timeout(time) == Err(mpsc::RecvTimeoutError::Timeout);
    if !goes_on(PATIENCE) {
        return;
    }
    let mut lines = 0;
    loop {
        let picture = picture(progress.layers(), start.elapsed());
        // Back to where the last picture begins, and over it; "K" clears what it had besides.
        let up = match lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}A"),
        };
        lines = picture.len();
        let text: String = picture
            .iter()
            .map(|line| format!("\r{line}\x1b[K\n"))
            .collect();
        // Whoever cannot be shown anything is none the worse for it.
        let _ = write!(std::io::stderr().lock(), "{up}{text}");
        if !goes_on(INTERVAL) {
            break;
        }
    }
    // The picture has served its purpose.
    let _ = write!(std::io::stderr().lock(), "\x1b[{lines}A\x1b[J");
}

/// The lines of a picture: the layers, then all of them together.
fn picture(layers: &[LayerProgress], elapsed: Duration) -> Vec<String> {
    let total: u64 = layers.iter().map(LayerProgress::size).sum();
    let read: u64 = layers.iter().map(LayerProgress::read).sum();
    let is_open = |layer: &&LayerProgress| !layer.is_done();
    let hidden = layers.len().saturating_sub(LINES);
    let mut lines = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        // What is shown of many are those that are not done.
        if hidden == 0 || (is_open(&layer) && lines.len() < LINES) {
            lines.push(line(index, layer));
        }
    }
    let done = layers.iter().filter(|layer| layer.is_done()).count();
    let mut sum = format!(
        "{done} of {} layers, {} of {}",
        layers.len(),
        bytes(read),
        bytes(total)
    );
    if let Some(left) = time_left(read, total, elapsed) {
        // Writing to a String cannot fail.
        let _ = write!(sum, ", {} left", seconds(left));
    }
    lines.push(sum);
    lines
}

fn line(index: usize, layer: &LayerProgress) -> String {
    const WIDTH: u64 = 24;
    let share = (layer.read() * WIDTH)
        .checked_div(layer.size())
        .unwrap_or(WIDTH);
    let share = share.min(WIDTH) as usize;
    let bar = "=".repeat(share) + &" ".repeat(WIDTH as usize - share);
    let state = if layer.is_done() {
        "done".to_owned()
    } else {
        format!("{} of {}", bytes(layer.read()), bytes(layer.size()))
    };
    format!(
        "layer {:3} [{bar}] {state}, {} files",
        index + 1,
        layer.entries()
    )
}

/// How long the rest takes, if it goes on like this.
fn time_left(read: u64, total: u64, elapsed: Duration) -> Option<Duration> {
    if read == 0 || elapsed < Duration::from_secs(1) {
        return None;
    }
    let left = total.saturating_sub(read) as f64 / read as f64;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * left).ok()
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// A number of bytes for people: "512 B", "1.5 MB".
pub fn bytes(count: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 9.95 {
        format!("{value:.1} {}", units[unit])
    } else {
        format!("{value:.0} {}", units[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_rounded_for_people() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (12_345, "12 kB"),
            (999_999, "1.0 MB"),
            (1_500_000_000, "1.5 GB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn the_picture_has_a_line_per_layer_and_a_sum() {
        let progress = Progress::new([1000, 3000]);
        progress.layers()[0].set_done();
        let lines = picture(progress.layers(), Duration::from_secs(2));
        assert_eq!(lines.len(), 3);
        assert!(
            lines[0].contains("[========================] done"),
            "{lines:?}"
        );
        assert_eq!(lines[2], "1 of 2 layers, 1.0 kB of 4.0 kB, 6 s left");
        let many = Progress::new(vec![1; 200]);
        assert_eq!(picture(many.layers(), Duration::ZERO).len(), LINES + 1);
    }
}
