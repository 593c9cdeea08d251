//! Flags of create, run and exec: what makes processes in containers.

use super::{Unpacking, absolute};
use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

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
    #[arg(value_name = "CONTAINER-ID|BUNDLE", required_unless_present_any = ["image", "args"])]
    pub id: Option<String>,
    /// With --image: arguments in place of the image's own
    #[arg(value_name = "ARGS", last = true)]
    pub args: Vec<String>,
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
    /// Set no_new_privs, or with "=false" leave it unset where the container has it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub no_new_privs: Option<bool>,
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
