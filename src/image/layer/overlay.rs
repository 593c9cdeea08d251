//! One layer, as overlayfs will stack it.

use super::below::Stack;
use super::finish::Finish;
use super::run::Run;
use super::stage::{Target, Under};
use super::work;
use super::{Below, Layer, Options, Outcome, Progress};
use crate::error::{Context, Result};
use std::os::fd::BorrowedFd;

/// Unpacks `layer` into the empty directory `dir`, to be stacked by overlayfs on those `below`.
///
/// # Errors
/// As [`super::unpack_flat`].
pub fn unpack(
    layer: &Layer,
    dir: BorrowedFd<'_>,
    below: Below<'_>,
    options: &Options,
    progress: &Progress,
) -> Result<Outcome> {
    let run = Run::new(options, progress);
    let under = match below {
        Below::Unknown => Under::Unknown,
        Below::Known(layers) => Under::Known(Stack::layers(layers, options.overlay_xattrs)),
    };
    let root = super::root(dir)?;
    let part = run.part(layer);
    let Some(mut stage) = work::stage(part, root, Target::Overlay, under)? else {
        return Ok(Outcome::NeedsBelow);
    };
    let applied = stage.applied();
    Finish {
        implied: stage.implied.clone(),
        host: stage.host,
        tree: &mut stage.tree,
        marks: Some(options.overlay_xattrs),
    }
    .run()
    .context(|| format!("layer {}", layer.index + 1))?;
    part.set_done();
    Ok(Outcome::Applied(applied))
}
