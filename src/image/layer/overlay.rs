//! One layer, as overlayfs will stack it.

use super::below::Stack;
use super::finish::Finish;
use super::run::Run;
use super::stage::{Target, Under};
use super::tree::ROOT;
use super::work;
use super::{Applied, Below, Layer, Options, Outcome, Progress};
use crate::error::{Context, Result};
use std::os::fd::BorrowedFd;

/// See [`super::unpack_overlay`].
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
    let Some(staged) = work::stage(layer, root, Target::Overlay, under, &run)? else {
        return Ok(Outcome::NeedsBelow);
    };
    let mut stage = staged.stage;
    let applied = Applied {
        entries: staged.entries,
        bytes: staged.bytes,
        self_contained: stage.self_contained,
        sets_root: stage.sets_root,
        opaque_root: stage.tree[ROOT].opaque,
    };
    Finish {
        implied: stage.implied.clone(),
        host: stage.host,
        tree: &mut stage.tree,
        marks: Some(options.overlay_xattrs),
    }
    .run()
    .context(|| format!("layer {}", layer.index + 1))?;
    run.set_done(layer);
    Ok(Outcome::Applied(applied))
}
