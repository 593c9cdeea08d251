//! Flags and help: runc's command line, word for word, and what tare has besides.

mod container;
mod deferred;
mod events;
mod image;
mod update;

pub use container::{Create, DryRun, Exec, NewContainer, Run};
pub use deferred::Deferred;
pub use events::Events;
pub use image::{
    Devices, Image, ImageCollect, ImageInspect, ImageList, ImageRemove, Mode, StorePath, Unpack,
    Unpacking,
};
pub use update::Update;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A container runtime: runs containers as the OCI runtime specification says.
#[derive(Debug, Parser)]
// Of a flag given twice the last one counts, as with runc: engines add theirs to a user's.
#[command(
    name = "tare",
    disable_version_flag = true,
    max_term_width = 100,
    args_override_self = true
)]
pub struct Cli {
    /// Flags for all commands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags for all commands, given before the command.
#[derive(Debug, Args)]
pub struct Global {
    /// Log debug messages too
    #[arg(long)]
    pub debug: bool,
    /// Write the log to this file [default: stderr]
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// How log lines look
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// The least important level that is logged
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
    /// Where the state of containers is kept [default: /run/tare, or $XDG_RUNTIME_DIR/tare]
    #[arg(long, value_name = "DIR", value_parser = absolute())]
    pub root: Option<PathBuf>,
    /// Let systemd manage cgroups; cgroupsPath is "slice:prefix:name" then
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Whether a missing privilege over cgroups is forgiven
    #[arg(long, value_enum, default_value_t = Rootless::Auto, ignore_case = true)]
    pub rootless: Rootless,
    /// Log how long each phase takes; also by TARE_TIMING=1 in the environment
    #[arg(long)]
    pub timing: bool,
    /// Accepted for runc's sake, without effect
    #[arg(long, hide = true, value_name = "PATH")]
    pub criu: Option<PathBuf>,
    /// Print the version
    #[arg(short, long)]
    pub version: bool,
}

/// A path that stays what the caller meant when the bundle is entered.
fn absolute() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(std::path::absolute)
}

/// `--log-format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// key=value
    Text,
    /// One JSON object per line
    Json,
}

/// `--log-level`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    #[value(alias = "warn")]
    Warning,
    Info,
    Debug,
    Trace,
}

/// `--rootless`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Rootless {
    /// Where we are not root of the host.
    Auto,
    /// Yes.
    #[value(aliases = ["1", "t"])]
    True,
    /// No.
    #[value(aliases = ["0", "f"])]
    False,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant)] // made once, on the way to being taken apart
pub enum Command {
    /// Create a container, which waits for `start`
    Create(Deferred<Create>),
    /// Execute the program of a created container
    Start(Deferred<Id>),
    /// Print the state of a container as JSON
    State(Deferred<Id>),
    /// Create and start a container, and by default wait for it
    Run(Deferred<Run>),
    /// Execute one more process in a container
    Exec(Deferred<Exec>),
    /// Send a signal to a container's init (default SIGTERM)
    Kill(Deferred<Kill>),
    /// Delete a container and all that was made for it
    Delete(Deferred<Delete>),
    /// List the containers of this root
    List(Deferred<List>),
    /// Show the processes of a container
    Ps(Deferred<Ps>),
    /// Print what a container uses, and when it runs out of memory, as JSON lines
    Events(Deferred<Events>),
    /// Freeze all processes of a container
    Pause(Deferred<Id>),
    /// Let a paused container go on
    Resume(Deferred<Id>),
    /// Change the limits of a container
    Update(Deferred<Update>),
    /// Write a config.json to start from
    Spec(Deferred<Spec>),
    /// Unpack an image into a bundle
    Unpack(Deferred<Unpack>),
    /// Look at images, and at the layers that are kept
    #[command(subcommand, visible_alias = "images")]
    Image(Deferred<Image>),
    /// Print what this runtime can do, as JSON
    Features,
    /// Say everything that is wrong with a bundle, with line and column
    Validate(Deferred<Validate>),
    /// Remove what commands that were killed have left behind
    Gc(Deferred<Gc>),
}

/// A container's id.
#[derive(Debug, Args)]
pub struct Id {
    /// The container's id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}

/// `kill`
#[derive(Debug, Args)]
pub struct Kill {
    /// Signal all processes of the container
    #[arg(short, long)]
    pub all: bool,
    /// The container's id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
    /// A signal by name or number
    #[arg(default_value = "SIGTERM")]
    pub signal: String,
}

/// `delete`
#[derive(Debug, Args)]
pub struct Delete {
    /// Kill it first where it runs, and be content where there is none
    #[arg(short, long)]
    pub force: bool,
    /// The container's id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}

/// `list`
#[derive(Debug, Args)]
pub struct List {
    /// As a table or as JSON
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// The ids alone
    #[arg(short, long)]
    pub quiet: bool,
}

/// `ps`
#[derive(Debug, Args)]
pub struct Ps {
    /// As the table of ps(1), or the pids as JSON
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// The container's id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
    /// Options for ps(1) [default: -ef]
    #[arg(
        value_name = "PS-OPTIONS",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub options: Vec<String>,
}

/// `--format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Format {
    Table,
    Json,
}

/// `gc`
#[derive(Debug, Args)]
pub struct Gc {
    /// Remove nothing, and say what would be
    #[arg(long)]
    pub dry_run: bool,
    /// Delete stopped containers too
    #[arg(long)]
    pub stopped: bool,
    /// As a table or as JSON
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

/// `validate`
#[derive(Debug, Args)]
pub struct Validate {
    /// As lines, or as JSON
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// The bundle's directory, or its config.json [default: the current directory]
    #[arg(value_name = "BUNDLE")]
    pub bundle: Option<PathBuf>,
}

/// `spec`
#[derive(Debug, Args)]
pub struct Spec {
    /// Where to write config.json [default: the current directory]
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// Write to this file instead, from the bundle on
    #[arg(short, long, value_name = "FILE", default_value = "config.json")]
    pub file: PathBuf,
    /// For a container that an ordinary user runs
    #[arg(long)]
    pub rootless: bool,
}
