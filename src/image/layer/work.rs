//! All of the work on one layer: two threads, one of which is the caller's.

use super::Layer;
use super::failure::{Attempt, Failure};
use super::feed;
use super::run::Run;
use super::stage::{Stage, Target, Under};
use crate::error::{Code, Context, Error, Result};
use crate::image::tar::{Entry, Reader};
use std::os::fd::OwnedFd;

/// A layer that is written and verified, but for its directories' attributes.
pub struct Staged<'a> {
    pub stage: Stage<'a>,
    pub entries: u64,
    pub bytes: u64,
}

/// Writes `layer` into the empty directory `root`. None where what is below has to be known.
///
/// # Errors
/// Where the layer is not what it should be, or cannot be written.
pub fn stage<'a>(
    layer: &Layer,
    root: OwnedFd,
    target: Target,
    under: Under<'a>,
    run: &'a Run<'a>,
) -> Result<Option<Staged<'a>>> {
    let (source, feed) = feed::pair(layer);
    let (decoded, written) = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("layer {}", layer.index + 1));
        match thread.spawn_scoped(scope, || source.run(layer, run)) {
            Ok(decoder) => {
                let written = write(layer, feed, root, target, under, run);
                let panicked = || Err(Error::new(Code::System, "the decompressing thread died"));
                (decoder.join().unwrap_or_else(|_| panicked()), written)
            }
            Err(error) => (
                Err(Error::system("starting a thread", error)),
                Err(Failure::Feed),
            ),
        }
    });
    let named = || match &layer.digest {
        Some(digest) => format!("layer {} ({digest})", layer.index + 1),
        None => format!("layer {} (DiffID {})", layer.index + 1, layer.diff_id),
    };
    match (decoded, written) {
        (decoded, Err(Failure::NeedsBelow)) => {
            run.give_back(decoded.unwrap_or(0), 0);
            Ok(None)
        }
        // Where the tar could not be read on, the reason is the other half's.
        (Err(error), Err(Failure::Feed)) | (Err(error), Ok(_)) => Err(error).context(named),
        (_, Err(failure)) => Err(failure.into_error()).context(named),
        (Ok(_), Ok(staged)) => Ok(Some(staged)),
    }
}

fn write<'a>(
    layer: &Layer,
    feed: feed::Feed,
    root: OwnedFd,
    target: Target,
    under: Under<'a>,
    run: &'a Run<'a>,
) -> Attempt<Staged<'a>> {
    let mut stage = Stage::new(root, target, under, run)?;
    let mut reader = Reader::new(feed);
    let mut entry = Entry::default();
    let mut entries = 0;
    let mut bytes = 0;
    let mut one = || -> Attempt<bool> {
        if !reader.next(&mut entry)? {
            return Ok(false);
        }
        run.take_entry()?;
        stage.apply(&mut entry, &mut reader, entries == 0)?;
        entries += 1;
        if entries % 64 == 0 {
            run.set_entries(layer, entries);
        }
        Ok(true)
    };
    let result = loop {
        match one() {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    let result = match result {
        Ok(()) => reader.finish().map_err(Failure::from).and_then(|feed| {
            bytes = feed.verify(layer)?;
            Ok(())
        }),
        Err(failure @ (Failure::Feed | Failure::NeedsBelow)) => Err(failure),
        Err(failure) => {
            let error = failure.into_error();
            let path = entry.path.escape_ascii();
            let context = match entry.path.is_empty() {
                true => format!("after {entries} entries"),
                false => format!("entry {path}"),
            };
            Err(Failure::Other(error.context(context)))
        }
    };
    run.set_entries(layer, entries);
    if matches!(result, Err(Failure::NeedsBelow)) {
        run.give_back(0, entries + 1);
    }
    result?;
    Ok(Staged {
        stage,
        entries,
        bytes,
    })
}
