//! The results, as a Markdown table and as JSON.

use crate::runtime::Runtime;
use serde_json::{Value, json};
use std::time::Duration;

/// What a figure counts.
#[derive(Clone, Copy)]
pub enum Unit {
    Milliseconds,
    Seconds,
    Kibibytes,
    Count,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Kibibytes => "KiB",
            Self::Count => "",
        }
    }

    fn of(self, time: Duration) -> f64 {
        let seconds = time.as_secs_f64();
        match self {
            Self::Milliseconds => seconds * 1e3,
            _ => seconds,
        }
    }

    fn show(self, value: f64) -> String {
        match self {
            Self::Milliseconds | Self::Seconds => format!("{value:.2}"),
            Self::Kibibytes | Self::Count => format!("{value:.0}"),
        }
    }
}

struct Row {
    label: String,
    unit: Unit,
    /// By runtime.
    samples: Vec<Vec<f64>>,
}

/// What was measured, in the order in which it was.
pub struct Results {
    runtimes: usize,
    with_cpu: bool,
    rows: Vec<Row>,
}

impl Results {
    pub fn new(runtimes: usize, with_cpu: bool) -> Self {
        Self {
            runtimes,
            with_cpu,
            rows: Vec::new(),
        }
    }

    pub fn add(&mut self, label: &str, unit: Unit, runtime: usize, value: f64) {
        let known = self.rows.iter().position(|row| row.label == label);
        let at = known.unwrap_or_else(|| {
            self.rows.push(Row {
                label: label.to_owned(),
                unit,
                samples: vec![Vec::new(); self.runtimes],
            });
            self.rows.len() - 1
        });
        self.rows[at].samples[runtime].push(value);
    }

    /// What took `wall`, and `cpu` of all processors.
    pub fn add_times(
        &mut self,
        label: &str,
        unit: Unit,
        runtime: usize,
        (wall, cpu): (Duration, Duration),
    ) {
        self.add(label, unit, runtime, unit.of(wall));
        if self.with_cpu {
            self.add(&format!("{label}, CPU"), unit, runtime, unit.of(cpu));
        }
    }

    /// A column of medians and minima per runtime, and of ratios to crun, or to the first
    /// runtime where crun is not among them.
    pub fn table(&self, runtimes: &[Runtime]) -> String {
        let base = runtimes.iter().position(|runtime| runtime.name == "crun");
        let base = base.unwrap_or(0);
        let mut lines = vec![vec!["median / least".to_owned()]];
        for (index, runtime) in runtimes.iter().enumerate() {
            lines[0].push(runtime.name.clone());
            if index != base {
                lines[0].push(format!("of {}", runtimes[base].name));
            }
        }
        for row in &self.rows {
            let mut line = vec![match row.unit.name() {
                "" => row.label.clone(),
                unit => format!("{}, {unit}", row.label),
            }];
            for index in 0..runtimes.len() {
                line.push(row.cell(index));
                if index != base {
                    line.push(row.ratio(index, base));
                }
            }
            lines.push(line);
        }
        align(&lines)
    }

    /// All of it, for programs.
    pub fn json(&self, runtimes: &[Runtime], host: &str) -> Value {
        let versions = runtimes
            .iter()
            .map(|runtime| (runtime.name.clone(), json!(runtime.version)));
        let rows = self.rows.iter().map(|row| {
            let cells = runtimes.iter().zip(&row.samples).map(|(runtime, samples)| {
                let figures = json!({
                    "median": median(samples), "least": least(samples), "samples": samples.len()
                });
                (runtime.name.clone(), figures)
            });
            json!({
                "name": row.label,
                "unit": row.unit.name(),
                "runtimes": cells.collect::<serde_json::Map<_, _>>(),
            })
        });
        json!({
            "host": host,
            "versions": versions.collect::<serde_json::Map<_, _>>(),
            "results": rows.collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn cell(&self, runtime: usize) -> String {
        let samples = &self.samples[runtime];
        match (median(samples), least(samples)) {
            (Some(median), Some(_)) if samples.len() == 1 => self.unit.show(median),
            (Some(median), Some(least)) => {
                format!("{} / {}", self.unit.show(median), self.unit.show(least))
            }
            _ => "-".to_owned(),
        }
    }

    fn ratio(&self, runtime: usize, base: usize) -> String {
        match (median(&self.samples[runtime]), median(&self.samples[base])) {
            (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
            _ => "-".to_owned(),
        }
    }
}

fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

fn least(samples: &[f64]) -> Option<f64> {
    samples.iter().copied().min_by(f64::total_cmp)
}

/// A Markdown table whose columns line up, the first to the left, the others to the right.
fn align(lines: &[Vec<String>]) -> String {
    let widths: Vec<_> = (0..lines[0].len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].len())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            text += &match column {
                0 => format!("| {cell:<width$} "),
                _ => format!("| {cell:>width$} "),
            };
        }
        text += "|\n";
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                let rule = "-".repeat(width + 1);
                text += &match column {
                    0 => format!("|-{rule}"),
                    _ => format!("|{rule}:"),
                };
            }
            text += "|\n";
        }
    }
    text
}
