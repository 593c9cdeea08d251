//! The log, as engines read runc's: one line per record, text or JSON, to a file or to stderr.

use crate::cli::{Global, LogFormat, LogLevel};
use crate::error::{Context, Error, Result};
use log::{Level, LevelFilter, Log, Metadata, Record};
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::time::SystemTime;

struct Logger {
    file: Option<File>,
    format: LogFormat,
}

/// A record as JSON. `code` is tare's own: the kind of an error, which needs no matching of text.
#[derive(Serialize)]
struct Json<'a> {
    level: &'a str,
    msg: &'a str,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

/// Begins logging as the flags say.
///
/// # Errors
/// Where the log file cannot be opened.
pub fn start(flags: &Global) -> Result<()> {
    let open = |path| File::options().append(true).create(true).open(path);
    let file = match &flags.log {
        Some(path) => Some(open(path).context(|| format!("--log: opening {}", path.display()))?),
        None => None,
    };
    let level = match (flags.debug, flags.log_level) {
        (true, LogLevel::Trace) | (false, LogLevel::Trace) => LevelFilter::Trace,
        (true, _) | (_, LogLevel::Debug) => LevelFilter::Debug,
        (_, LogLevel::Info) => LevelFilter::Info,
        (_, LogLevel::Warning) => LevelFilter::Warn,
        (_, LogLevel::Error) => LevelFilter::Error,
    };
    log::set_max_level(level);
    // It fails only where a logger is set already, and this is the one place that sets one.
    let _ = log::set_boxed_logger(Box::new(Logger {
        file,
        format: flags.log_format,
    }));
    Ok(())
}

/// Logs the failure of a command: once, and where the log is a file on stderr as well, for
/// whoever sits there.
pub fn failure(error: &Error, flags: &Global) {
    log::error!(target: error.code().as_str(), "{error}");
    if flags.log.is_some() {
        let _ = writeln!(std::io::stderr(), "{error}");
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = self.line(record);
        // One write, so that lines of several processes do not mix. A log that cannot be
        // written has nowhere to say so.
        let _ = match &self.file {
            Some(file) => (&*file).write_all(line.as_bytes()),
            None => std::io::stderr().write_all(line.as_bytes()),
        };
    }

    fn flush(&self) {}
}

impl Logger {
    fn line(&self, record: &Record<'_>) -> String {
        let level = match record.level() {
            Level::Error => "error",
            Level::Warn => "warning",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        };
        let message = record.args().to_string();
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        match self.format {
            LogFormat::Text => format!("time={time:?} level={level} msg={message:?}\n"),
            LogFormat::Json => {
                let is_failure = record.level() == Level::Error && !record.target().contains("::");
                let code = is_failure.then(|| record.target());
                let json = serde_json::to_string(&Json {
                    level,
                    msg: &message,
                    time,
                    code,
                });
                // Strings always serialise.
                json.unwrap_or_default() + "\n"
            }
        }
    }
}
