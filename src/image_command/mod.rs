//! `image`: looking at images, and at the layers that the store keeps.

mod inspect;

use crate::cli::{Image as Command, ImageCollect, ImageList, ImageRemove};
use crate::error::{Code, Error, Result};
use crate::image::store::{Bundle, StoredImage};
use crate::output;
use crate::progress::bytes;
use crate::user_namespace::as_root;
use crate::{temporary, unpack};
use serde::Serialize;
use std::collections::BTreeSet;

/// Runs the command.
///
/// # Errors
/// Those of reading or changing the store; what is wrong with the image.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Inspect(args) => inspect::run(args),
        // What an ordinary user's images have made belongs to other ids, too.
        Command::List(args) => as_root(|| list(args)),
        Command::Rm(args) => as_root(|| remove(args)),
        Command::Gc(args) => as_root(|| collect(args)),
    }
}

/// An image of the store, for machines.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(flatten)]
    image: StoredImage,
    used: String,
    bundles: Vec<std::path::PathBuf>,
}

fn list(args: &ImageList) -> Result<()> {
    let store = unpack::store(args.store.store.as_deref())?;
    temporary::clean(&store)?;
    let bundles = store.bundles()?;
    let listed = store.images()?.into_iter().map(|image| Listed {
        used: humantime::format_rfc3339_seconds(image.used).to_string(),
        bundles: bundles
            .iter()
            .filter(|bundle| image.is_used_by(bundle))
            .map(|bundle| bundle.path.clone())
            .collect(),
        image,
    });
    let listed: Vec<Listed> = listed.collect();
    if args.json {
        return output::json_line(&listed);
    }
    let head = [
        "IMAGE",
        "DIGEST",
        "PLATFORM",
        "LAYERS",
        "SIZE",
        "BUNDLES",
        "LAST USED",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for one in &listed {
        rows.push([
            one.image.reference.clone(),
            one.image.digest.hex()[..12].to_owned(),
            one.image.platform.to_string(),
            one.image.layers.len().to_string(),
            bytes(one.image.bytes),
            one.bundles.len().to_string(),
            one.used.clone(),
        ]);
    }
    output::table(&rows)
}

fn remove(args: &ImageRemove) -> Result<()> {
    let store = unpack::store(args.store.store.as_deref())?;
    temporary::clean(&store)?;
    let images = store.images()?;
    let mut digests = BTreeSet::new();
    for name in &args.images {
        let found: Vec<_> = images
            .iter()
            .filter(|image| image.is_called(name))
            .collect();
        match found[..] {
            [] => {
                let message = format!("the store has no image {name:?}");
                return Err(Error::new(Code::NotFound, message).hint("see: tare image list"));
            }
            [image] => digests.insert(image.digest.clone()),
            _ => {
                let message = format!("the store has several images {name:?}");
                return Err(Error::new(Code::Usage, message).hint("name it by its digest"));
            }
        };
    }
    let bundles = store.bundles()?;
    let collected = store.collect(|image, _| digests.contains(&image.digest))?;
    for image in images
        .iter()
        .filter(|image| digests.contains(&image.digest))
    {
        let users = bundles.iter().filter(|bundle| image.is_used_by(bundle));
        for bundle in users {
            log::info!("{} keeps its layers", bundle.path.display());
        }
    }
    log::debug!("removed {} layers", collected.layers.len());
    Ok(())
}

fn collect(args: &ImageCollect) -> Result<()> {
    let store = unpack::store(args.store.store.as_deref())?;
    temporary::clean(&store)?;
    let is_unused = |image: &StoredImage, bundles: &[Bundle]| {
        args.all && !bundles.iter().any(|bundle| image.is_used_by(bundle))
    };
    let collected = store.collect(is_unused)?;
    if args.json {
        return output::json_line(&collected);
    }
    output::text(&format!(
        "removed {} images and {} layers, {}\n",
        collected.images.len(),
        collected.layers.len(),
        bytes(collected.bytes)
    ))
}
