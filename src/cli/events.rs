//! Flags of events.

use clap::Args;
use std::time::Duration;

/// `events`
#[derive(Debug, Args)]
pub struct Events {
    /// The time between two statistics, as in 500ms, 5s, 1m30s
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub interval: Duration,
    /// Print the statistics once
    #[arg(long)]
    pub stats: bool,
    /// Print the container's status whenever it changes, until it is deleted
    #[arg(long, conflicts_with_all = ["stats", "interval"])]
    pub lifecycle: bool,
    /// The container's id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}

/// A time as Go writes it: numbers with units ("1h2m3.5s"), and more than none.
fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    let mut seconds = 0.0;
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    while !rest.is_empty() && rest != "0" {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        match (number.parse::<f64>(), unit) {
            (Ok(number), Some((_, factor))) => seconds += number * factor,
            _ => return Err("not a time as in 500ms, 5s, 1m30s".into()),
        }
        rest = after;
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        // runc's words.
        Ok(_) => Err("duration interval must be greater than 0".into()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_go_reads_them() {
        for (text, milliseconds) in [
            ("5s", 5000),
            ("100ms", 100),
            ("1m30s", 90_000),
            ("1.5s", 1500),
            (".5s", 500),
            ("1h", 3_600_000),
            ("+2000us", 2),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(duration(text).unwrap(), expected, "{text}");
        }
        for bad in [
            "", "0", "0s", "-1s", "5", "s", "5 s", "1d", "1..5s", "inf", "1e3s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
