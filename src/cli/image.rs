//! Flags of unpack and image.

use super::absolute;
use crate::amount;
use crate::image::platform::Platform;
use clap::{Args, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

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
    /// The most bytes that a compressed archive may have
    #[arg(long, value_name = "BYTES", value_parser = size, default_value = "256G")]
    pub max_bytes: u64,
    /// How many times larger than compressed a large archive may be
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub max_ratio: u64,
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
