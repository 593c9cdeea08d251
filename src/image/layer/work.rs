//! All of the work on one layer: two threads, one of which is the caller's.

use super::failure::{Attempt, Failure};
use super::feed;
use super::run::Part;
use super::stage::{Stage, Target, Under};
use crate::error::{Code, Context, Error, Result};
use crate::image::tar::{Entry, Reader};
use std::os::fd::OwnedFd;

/// Writes a layer into the empty directory `root`, and verifies it; all but its directories'
/// attributes. None where what is below has to be known.
///
/// # Errors
/// Where the layer is not what it should be, or cannot be written.
pub fn stage<'a>(
    part: Part<'a>,
    root: OwnedFd,
    target: Target,
    under: Under<'a>,
) -> Result<Option<Stage<'a>>> {
    match both(part, |feed| write(part, feed, root, target, under)) {
        Err(Failure::NeedsBelow) => {
            part.give_back();
            Ok(None)
        }
        Err(failure) => Err(failure.into_error()).context(|| part.layer().to_string()),
        Ok(mut staged) => {
            // It may wait for long, and many with it.
            staged.tree.close();
            Ok(Some(staged))
        }
    }
}

/// Verifies a layer, and writes nothing. Nothing of it is counted at the end.
///
/// # Errors
/// Where it is not what is claimed.
pub fn verify(part: Part<'_>) -> Result<()> {
    let layer = part.layer();
    let result = both(part, |feed| {
        let feed = Reader::new(feed).finish().map_err(Failure::from)?;
        Ok(feed.verify(layer)?)
    });
    part.give_back();
    result
        .map_err(Failure::into_error)
        .context(|| layer.to_string())
}

/// Lets one thread decompress, and `work` have what it gives.
fn both<T>(part: Part<'_>, work: impl FnOnce(feed::Feed) -> Attempt<T>) -> Attempt<T> {
    let layer = part.layer();
    let (source, feed) = feed::pair(layer);
    let (decoded, done) = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(format!("layer {}", layer.index + 1));
        match thread.spawn_scoped(scope, || source.run(part)) {
            Ok(decoder) => {
                let done = work(feed);
                let panicked = || Err(Error::new(Code::System, "the decompressing thread died"));
                (decoder.join().unwrap_or_else(|_| panicked()), done)
            }
            Err(error) => (
                Err(Error::system("starting a thread", error)),
                Err(Failure::Feed),
            ),
        }
    });
    match (decoded, done) {
        // Where the tar could not be read on, the reason is the other half's.
        (Err(error), Err(Failure::Feed) | Ok(_)) => Err(error.into()),
        (_, done) => done,
    }
}

fn write<'a>(
    part: Part<'a>,
    feed: feed::Feed,
    root: OwnedFd,
    target: Target,
    under: Under<'a>,
) -> Attempt<Stage<'a>> {
    let mut stage = Stage::new(root, target, under, part)?;
    let mut reader = Reader::new(feed);
    let mut entry = Entry::default();
    let mut entries = 0;
    let mut one = || -> Attempt<bool> {
        if !reader.next(&mut entry)? {
            return Ok(false);
        }
        part.take_entry()?;
        stage.apply(&mut entry, &mut reader, entries == 0)?;
        entries += 1;
        Ok(true)
    };
    let result = loop {
        match one() {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    match result {
        Ok(()) => {
            let feed = reader.finish().map_err(Failure::from)?;
            feed.verify(part.layer())?;
            Ok(stage)
        }
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
    }
}
