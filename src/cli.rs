//! Flags and help: runc's command line, word for word, and what tare has besides.

use crate::amount;
use crate::image::platform::Platform;
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

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
    Create(Create),
    /// Execute the program of a created container
    Start(Id),
    /// Print the state of a container as JSON
    State(Id),
    /// Create and start a container, and by default wait for it
    Run(Run),
    /// Execute one more process in a container
    Exec(Exec),
    /// Send a signal to a container's init (default SIGTERM)
    Kill(Kill),
    /// Delete a container and all that was made for it
    Delete(Delete),
    /// List the containers of this root
    List(List),
    /// Show the processes of a container
    Ps(Ps),
    /// Print what a container uses, and when it runs out of memory, as JSON lines
    Events(Events),
    /// Freeze all processes of a container
    Pause(Id),
    /// Let a paused container go on
    Resume(Id),
    /// Change the limits of a container
    Update(Update),
    /// Write a config.json to start from
    Spec(Spec),
    /// Unpack an image into a bundle
    Unpack(Unpack),
    /// Look at images, and at the layers that are kept
    #[command(subcommand, visible_alias = "images")]
    Image(Image),
    /// Print what this runtime can do, as JSON
    Features,
    /// Say everything that is wrong with a bundle, with line and column
    Validate(Validate),
    /// Remove what commands that were killed have left behind
    Gc(Gc),
}

/// A container's id.
#[derive(Debug, Args)]
pub struct Id {
    /// The container's id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}

/// What create and run have in common.
#[derive(Debug, Args)]
pub struct NewContainer {
    /// The bundle's directory [default: the current one]
    #[arg(short, long, value_name = "DIR")]
    pub bundle: Option<PathBuf>,
    /// The config's file, from the bundle on [default: config.json]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A unix socket that takes the master of the container's terminal
    #[arg(long, value_name = "PATH", value_parser = absolute())]
    pub console_socket: Option<PathBuf>,
    /// A unix socket that takes a pidfd of the container's init
    #[arg(long, value_name = "PATH", value_parser = absolute())]
    pub pidfd_socket: Option<PathBuf>,
    /// Write the pid of the container's init to this file
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    pub pid_file: Option<PathBuf>,
    /// Do not use pivot_root; for a root on ramfs
    #[arg(long)]
    pub no_pivot: bool,
    /// Keep the session keyring of the caller
    #[arg(long)]
    pub no_new_keyring: bool,
    /// Pass N descriptors besides stdio to the container, from 3 up
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Make nothing, and say what would be done, as text or JSON
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "text")]
    pub dry_run: Option<DryRun>,
}

/// `--dry-run`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum DryRun {
    Text,
    Json,
}

/// `create`
#[derive(Debug, Args)]
pub struct Create {
    #[allow(missing_docs)]
    #[command(flatten)]
    pub new: NewContainer,
    /// The new container's id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}

/// `run`
#[derive(Debug, Args)]
pub struct Run {
    #[allow(missing_docs)]
    #[command(flatten)]
    pub new: NewContainer,
    /// Do not wait for the container to end
    #[arg(short, long)]
    pub detach: bool,
    /// Do not delete the container when it ends
    #[arg(long)]
    pub keep: bool,
    /// Do not adopt the processes that the container orphans
    #[arg(long)]
    pub no_subreaper: bool,
    /// Run an image, in a bundle that goes when the container is deleted
    #[arg(long, value_name = "IMAGE", conflicts_with = "bundle")]
    pub image: Option<OsString>,
    #[allow(missing_docs)]
    #[command(flatten, next_help_heading = "With --image")]
    pub unpacking: Unpacking,
    /// The new container's id; or the path of a bundle, whose name is the id
    #[arg(value_name = "CONTAINER-ID|BUNDLE", required_unless_present = "image")]
    pub id: Option<String>,
    /// With --image: arguments in place of the image's own
    #[arg(value_name = "ARGS", last = true, requires = "image")]
    pub args: Vec<String>,
}

/// What unpack and `run --image` have in common.
#[derive(Debug, Args)]
pub struct Unpacking {
    /// A rootfs of the bundle's own, or layers that all bundles share [default: overlay where
    /// it can be]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Where layers are kept [default: /var/lib/tare, or $XDG_DATA_HOME/tare]
    #[arg(long, value_name = "DIR", env = "TARE_STORE", value_parser = absolute())]
    pub store: Option<PathBuf>,
    /// Which of an image's platforms [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
    /// Run as this user
    #[arg(short, long, value_name = "USER[:GROUP]", allow_hyphen_values = true)]
    pub user: Option<String>,
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// The working directory in the container
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<String>,
    /// The program, in place of the image's own and its arguments
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Give the process a capability more
    #[arg(short, long, value_name = "CAP")]
    pub cap: Vec<String>,
    /// Make the root read-only
    #[arg(long)]
    pub read_only: bool,
    /// What becomes of an image's device nodes [default: make; placeholder where we may not]
    #[arg(long, value_enum)]
    pub devices: Option<Devices>,
    /// The most bytes that an image may unpack to
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "256G", hide_short_help = true)]
    pub max_bytes: u64,
    /// The most files that an image may have
    #[arg(long, value_name = "N", value_parser = size, default_value = "16M", hide_short_help = true)]
    pub max_entries: u64,
    /// How many times larger than compressed a large layer may be
    #[arg(long, value_name = "N", default_value_t = 400, hide_short_help = true)]
    pub max_ratio: u64,
    /// How deep an image's directories may be nested
    #[arg(long, value_name = "N", default_value_t = 512, hide_short_help = true)]
    pub max_depth: usize,
    /// The largest JSON document that is read of an image
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "16M", hide_short_help = true)]
    pub max_json: u64,
}

/// How much of something at most; there is no "-1" for as much as there is.
fn size(text: &str) -> Result<u64, String> {
    let amount = amount::parse(text)?;
    u64::try_from(amount).map_err(|_| format!("{text:?} is less than nothing"))
}

/// `--mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// One rootfs directory, owned by the bundle; what other runtimes need
    Flat,
    /// Layers from the store, and a thin writable one of the bundle's own
    Overlay,
}

/// `--devices`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Devices {
    /// Make them
    Make,
    /// Refuse the image
    Refuse,
    /// Make empty files in their place
    Placeholder,
}

/// `unpack`
#[derive(Debug, Args)]
pub struct Unpack {
    #[allow(missing_docs)]
    #[command(flatten)]
    pub unpacking: Unpacking,
    /// For a container that an ordinary user runs
    #[arg(long)]
    pub rootless: bool,
    /// Give the process no terminal
    #[arg(long)]
    pub no_terminal: bool,
    /// Print what was made, as JSON
    #[arg(long)]
    pub json: bool,
    /// oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], or a path
    #[arg(value_name = "IMAGE")]
    pub image: OsString,
    /// The directory to make
    #[arg(value_name = "BUNDLE")]
    pub bundle: PathBuf,
    /// Arguments in place of the image's own
    #[arg(value_name = "ARGS", last = true)]
    pub args: Vec<String>,
}

/// `image`
#[derive(Debug, Subcommand)]
pub enum Image {
    /// List the images whose layers are kept
    #[command(visible_alias = "ls")]
    List(ImageList),
    /// Show what an image holds: its config, layers, history and platforms
    Inspect(ImageInspect),
    /// Forget images, and remove the layers that nothing else needs
    Rm(ImageRemove),
    /// Remove the layers that no image and no bundle needs
    Gc(ImageCollect),
}

/// The store, for commands about it.
#[derive(Debug, Args)]
pub struct StorePath {
    /// Where layers are kept [default: /var/lib/tare, or $XDG_DATA_HOME/tare]
    #[arg(long, value_name = "DIR", env = "TARE_STORE", value_parser = absolute())]
    pub store: Option<PathBuf>,
}

/// `image list`
#[derive(Debug, Args)]
pub struct ImageList {
    #[allow(missing_docs)]
    #[command(flatten)]
    pub store: StorePath,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `image inspect`
#[derive(Debug, Args)]
pub struct ImageInspect {
    /// Which of an image's platforms [default: this machine's]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,
    /// The largest JSON document that is read of an image
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "16M")]
    pub max_json: u64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME], or a path
    #[arg(value_name = "IMAGE")]
    pub image: OsString,
}

/// `image rm`
#[derive(Debug, Args)]
pub struct ImageRemove {
    #[allow(missing_docs)]
    #[command(flatten)]
    pub store: StorePath,
    /// Images as `image list` shows them: by reference, tag or digest
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
}

/// `image gc`
#[derive(Debug, Args)]
pub struct ImageCollect {
    #[allow(missing_docs)]
    #[command(flatten)]
    pub store: StorePath,
    /// Forget the images too that no bundle uses
    #[arg(short, long)]
    pub all: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `exec`
#[derive(Debug, Args)]
pub struct Exec {
    /// A unix socket that takes the master of the process's terminal
    #[arg(long, value_name = "PATH", value_parser = absolute())]
    pub console_socket: Option<PathBuf>,
    /// A unix socket that takes a pidfd of the process
    #[arg(long, value_name = "PATH", value_parser = absolute())]
    pub pidfd_socket: Option<PathBuf>,
    /// The working directory in the container
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// Set an environment variable
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Set the environment variables of a file: NAME=VALUE, or NAME for that of the caller
    #[arg(long, value_name = "FILE")]
    pub env_from: Vec<PathBuf>,
    /// Give the process a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Run as this user
    #[arg(short, long, value_name = "UID[:GID]", allow_hyphen_values = true)]
    pub user: Option<String>,
    /// Further groups
    #[arg(short = 'g', long, value_name = "GID")]
    pub additional_gids: Vec<u32>,
    /// Take the process from a JSON file
    #[arg(short, long, value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Do not wait for the process to end
    #[arg(short, long)]
    pub detach: bool,
    /// Write the process's pid to this file
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    pub pid_file: Option<PathBuf>,
    /// The SELinux label of the process
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// The AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(long)]
    pub no_new_privs: bool,
    /// Give the process a capability more
    #[arg(short, long, value_name = "CAP")]
    pub cap: Vec<String>,
    /// Pass N descriptors besides stdio to the process, from 3 up
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub preserve_fds: u32,
    /// Run in a sub-cgroup of the container's: PATH, or on cgroup v1 CONTROLLER[,...]:PATH
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<String>,
    /// Allow it in a paused container; the process starts when that is resumed
    #[arg(long)]
    pub ignore_paused: bool,
    /// The container's id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
    /// The program and its arguments
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub command: Vec<String>,
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

/// `update`
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Update {
    /// Take the limits from a JSON file, as linux.resources has them, or with - from stdin; the
    /// flags of other limits do not count then
    #[arg(short, long, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    /// Weight of block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
    /// CPU time: the period of the quota, in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_period: Option<u64>,
    /// CPU time per period, in microseconds; -1 for unlimited
    #[arg(long, value_name = "US")]
    pub cpu_quota: Option<i64>,
    /// CPU time saved up that may exceed the quota, in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_burst: Option<u64>,
    /// CPU time in relation to other containers', 2 to 262144
    #[arg(long, value_name = "SHARES")]
    pub cpu_share: Option<u64>,
    /// Realtime scheduling: the period, in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_rt_period: Option<u64>,
    /// Realtime scheduling: time per period, in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_rt_runtime: Option<i64>,
    /// CPUs to run on, as 0-3,7
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// 1 to run only when nobody else does, 0 for the default
    #[arg(long, value_name = "0|1")]
    pub cpu_idle: Option<i64>,
    /// Memory in bytes, or as 512M; -1 for unlimited, swap included
    #[arg(long, value_name = "BYTES", value_parser = amount::parse)]
    pub memory: Option<i64>,
    /// Memory that is left when others need some
    #[arg(long, value_name = "BYTES", value_parser = amount::parse)]
    pub memory_reservation: Option<i64>,
    /// Memory and swap together; -1 for unlimited swap
    #[arg(long, value_name = "BYTES", value_parser = amount::parse)]
    pub memory_swap: Option<i64>,
    /// Accepted for runc's sake, without effect
    #[arg(long, hide = true, value_name = "BYTES")]
    pub kernel_memory: Option<String>,
    /// Accepted for runc's sake, without effect
    #[arg(long, hide = true, value_name = "BYTES")]
    pub kernel_memory_tcp: Option<String>,
    /// Most processes and threads at a time; -1 for unlimited
    #[arg(long, value_name = "NUMBER")]
    pub pids_limit: Option<i64>,
    /// L3 cache, as in linux.intelRdt.l3CacheSchema
    #[arg(long, value_name = "SCHEMA")]
    pub l3_cache_schema: Option<String>,
    /// Memory bandwidth, as in linux.intelRdt.memBwSchema
    #[arg(long, value_name = "SCHEMA")]
    pub mem_bw_schema: Option<String>,
    /// The container's id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}

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
