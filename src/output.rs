//! What commands print: JSON, and tables as runc's.

use crate::error::{Code, Context, Error, Result};
use serde::Serialize;
use std::io::Write;

/// Prints a value as runc prints JSON for people: indented by two spaces, no newline after it.
///
/// # Errors
/// Those of writing to stdout.
pub fn json_pretty<T: Serialize>(value: &T) -> Result<()> {
    text(&serde_json::to_string_pretty(value).map_err(encoding)?)
}

/// Prints a value as JSON on one line.
///
/// # Errors
/// Those of writing to stdout.
pub fn json_line<T: Serialize>(value: &T) -> Result<()> {
    text(&(serde_json::to_string(value).map_err(encoding)? + "\n"))
}

fn encoding(error: serde_json::Error) -> Error {
    Error::new(Code::System, format!("writing JSON: {error}"))
}

/// Prints text.
///
/// # Errors
/// Those of writing to stdout.
pub fn text(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .context(|| "writing to stdout")
}

/// Prints rows in columns as wide as their widest cell and three spaces more, at least 12.
///
/// # Errors
/// Those of writing to stdout.
pub fn table<const N: usize>(rows: &[[String; N]]) -> Result<()> {
    let width = |column: usize| {
        let widest = rows
            .iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0);
        (widest + 3).max(12)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut lines = String::new();
    for row in rows {
        for (cell, width) in row.iter().zip(&widths).take(N - 1) {
            lines.push_str(&format!("{cell:width$}"));
        }
        lines.push_str(&row[N - 1]);
        lines.push('\n');
    }
    text(&lines)
}
