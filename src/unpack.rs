//! `unpack`: from an image to a bundle.

use crate::cli::{self, Devices, Mode, Unpacking};
use crate::config::linux::IdMapping;
use crate::context::is_rootless;
use crate::error::{Context, Result};
use crate::image::bundle::Wishes;
use crate::image::layer::{self, Limits, Options, OverlayXattrs, Owner, Progress};
use crate::image::source::{self, Choice, Image, Reference};
use crate::image::store::Store;
use crate::image::unpack::{self, Request};
use crate::output;
use crate::progress;
use crate::user_namespace::{IdMappings, as_root};
use serde::Serialize;
use std::ffi::OsStr;
use std::path::Path;

/// What was made, for machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    bundle: &'a Path,
    mode: &'a str,
    digest: String,
    id: String,
    platform: String,
    layers: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with the image, or in the way; nothing is left then.
pub fn run(args: &cli::Unpack) -> Result<()> {
    let flags = &args.unpacking;
    let wishes = Wishes {
        args: args.args.clone(),
        terminal: !args.no_terminal,
        rootless: rootless(args.rootless),
        ..wishes(flags)
    };
    let image = find(&args.image, flags)?;
    let store = store(flags.store.as_deref())?;
    let progress = Progress::new(image.layers.iter().map(|layer| layer.size));
    let mode = as_root(|| {
        let request = Request {
            image: &image,
            wishes: &wishes,
            options: &options(flags)?,
            mode: mode(flags),
            store: &store,
            progress: &progress,
            is_temporary: false,
        };
        progress::shown(&progress, || unpack::to(&request, &args.bundle))
    })?;
    if args.json {
        report(&image, mode, &args.bundle)?;
    }
    Ok(())
}

fn report(image: &Image, mode: unpack::Mode, bundle: &Path) -> Result<()> {
    let layers = image.config.rootfs.diff_ids.iter();
    output::json_line(&Report {
        bundle,
        mode: match mode {
            unpack::Mode::Flat => "flat",
            unpack::Mode::Overlay => "overlay",
        },
        digest: image.digest.to_string(),
        id: image.id.to_string(),
        platform: image.config.platform.to_string(),
        layers: layers.map(ToString::to_string).collect(),
    })
}

/// The image that is meant.
///
/// # Errors
/// Where there is none such.
pub fn find(image: &OsStr, flags: &Unpacking) -> Result<Image> {
    let choice = Choice {
        platform: flags.platform.clone(),
        json_limit: flags.max_json,
        limits: limits(flags),
    };
    source::find(&Reference::parse(image)?, &choice)
}

/// The store that is meant.
///
/// # Errors
/// Where an ordinary user has no home.
pub fn store(path: Option<&Path>) -> Result<Store> {
    Store::new(path, is_rootless())
}

/// What the flags say about the config.
pub fn wishes(flags: &Unpacking) -> Wishes {
    Wishes {
        user: flags.user.clone(),
        cwd: flags.cwd.clone(),
        entrypoint: flags.entrypoint.clone(),
        env: flags.env.clone(),
        capabilities: flags.cap.clone(),
        read_only: flags.read_only,
        ..Wishes::default()
    }
}

/// The mode that is asked for.
pub fn mode(flags: &Unpacking) -> Option<unpack::Mode> {
    flags.mode.map(|mode| match mode {
        Mode::Flat => unpack::Mode::Flat,
        Mode::Overlay => unpack::Mode::Overlay,
    })
}

/// The mappings of a container that an ordinary user runs, if that is what we are or what is
/// asked for.
pub fn rootless(is_asked_for: bool) -> Option<(Vec<IdMapping>, Vec<IdMapping>)> {
    if !is_asked_for && rustix::process::geteuid().is_root() {
        return None;
    }
    let IdMappings { uids, gids } = IdMappings::of_caller();
    Some((uids, gids))
}

/// What the flags say about layers, and what our privileges do. We are root, if only of a user
/// namespace.
///
/// # Errors
/// Those of reading /proc.
pub fn options(flags: &Unpacking) -> Result<Options> {
    let rootless = is_rootless();
    Ok(Options {
        limits: limits(flags),
        owner: if rootless && has_one_id()? {
            Owner::Caller
        } else {
            Owner::Keep
        },
        devices: match flags.devices {
            Some(Devices::Make) => layer::Devices::Make,
            Some(Devices::Refuse) => layer::Devices::Refuse,
            Some(Devices::Placeholder) => layer::Devices::Placeholder,
            None if rootless => layer::Devices::Placeholder,
            None => layer::Devices::Make,
        },
        overlay_xattrs: if rootless {
            OverlayXattrs::User
        } else {
            OverlayXattrs::Trusted
        },
    })
}

fn limits(flags: &Unpacking) -> Limits {
    Limits {
        bytes: flags.max_bytes,
        entries: flags.max_entries,
        ratio: flags.max_ratio,
        depth: flags.max_depth,
    }
}

/// Whether our user namespace has no other ids than ours.
fn has_one_id() -> Result<bool> {
    let path = "/proc/self/uid_map";
    let map = std::fs::read_to_string(path).context(|| format!("reading {path}"))?;
    let sizes = map
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2));
    Ok(sizes
        .filter_map(|size| size.parse::<u64>().ok())
        .sum::<u64>()
        <= 1)
}
