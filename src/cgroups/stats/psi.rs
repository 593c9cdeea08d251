//! Pressure stall information: for how long tasks waited for CPU, memory and I/O (Linux 4.20,
//! Documentation/accounting/psi.rst).

use super::values;
use crate::error::Result;
use serde::Serialize;
use std::path::Path;

/// One `*.pressure` file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Psi {
    /// Some task waited.
    pub some: Line,
    /// No task did anything but wait.
    pub full: Line,
}

/// One of its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Line {
    /// Percent of the time, over 10 seconds.
    pub avg10: f64,
    /// Percent of the time, over a minute.
    pub avg60: f64,
    /// Percent of the time, over five minutes.
    pub avg300: f64,
    /// Microseconds, ever.
    pub total: u64,
}

/// Reads a file; none where the kernel has no PSI, or has it switched off.
pub(super) fn read(dir: &Path, file: &str) -> Result<Option<Psi>> {
    Ok(values::text(dir, file)?.map(|text| parse(&text)))
}

fn parse(text: &str) -> Psi {
    let mut psi = Psi::default();
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("some", rest)) => psi.some = parse_line(rest),
            Some(("full", rest)) => psi.full = parse_line(rest),
            _ => {}
        }
    }
    psi
}

/// "avg10=0.00 avg60=0.00 avg300=0.00 total=0"
fn parse_line(text: &str) -> Line {
    let mut line = Line::default();
    for (key, value) in text.split(' ').filter_map(|field| field.split_once('=')) {
        let percent = || value.parse().unwrap_or_default();
        match key {
            "avg10" => line.avg10 = percent(),
            "avg60" => line.avg60 = percent(),
            "avg300" => line.avg300 = percent(),
            "total" => line.total = value.parse().unwrap_or_default(),
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_by_names() {
        let psi = parse(
            "some avg10=1.50 avg60=0.25 avg300=0.00 total=12345\n\
             full avg10=0.00 new=7 avg60=x avg300=0.75 total=6\nodd\n",
        );
        assert_eq!((psi.some.avg10, psi.some.avg60), (1.5, 0.25));
        assert_eq!(psi.some.total, 12345);
        assert_eq!((psi.full.avg60, psi.full.avg300), (0.0, 0.75));
        assert_eq!(psi.full.total, 6);
        // Before Linux 5.13 there is no "full" for CPUs.
        assert_eq!(parse("some avg10=1.00 total=1\n").full, Line::default());
    }
}
