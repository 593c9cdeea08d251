//! All layers into one directory: written at the same time, each into a directory of its own, and
//! brought together in their order.

use super::below::Stack;
use super::failure::Failure;
use super::finish::Finish;
use super::merge::Merge;
use super::run::Run;
use super::stage::{Stage, Target, Under};
use super::work;
use super::{Applied, Layer, Options, Progress};
use crate::directories;
use crate::error::{Context, Error, Result};
use crate::image::remove;
use rustix::fs::Mode;
use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Unpacks all `layers`, the lowest first, into the empty directory `rootfs`, several at a time.
///
/// `scratch` is an empty directory of the same filesystem, for the layers on their way; it is
/// empty again at the end. After an error, both hold a part of the image.
///
/// # Errors
/// The first layer that is not what it claims, malformed, hostile, or beyond a limit; or the
/// file that cannot be written.
pub fn unpack(
    layers: &[Layer],
    rootfs: BorrowedFd<'_>,
    scratch: BorrowedFd<'_>,
    options: &Options,
    progress: &Progress,
) -> Result<Vec<Applied>> {
    let run = Run::new(options, progress);
    let work = Work {
        layers,
        rootfs,
        scratch,
        run: &run,
        state: Mutex::new(State::new(layers)),
        changed: Condvar::new(),
    };
    std::thread::scope(|scope| {
        let threads = super::at_once().min(layers.len());
        for _ in 0..threads {
            let thread = std::thread::Builder::new().name("layers".into());
            let spawned = thread.spawn_scoped(scope, || work.stage_layers());
            spawned
                .context(|| "starting a thread")
                .inspect_err(|_| run.fail())?;
        }
        let result = work.bring_together();
        if result.is_err() {
            run.fail();
        }
        result
    })
}

struct Work<'a> {
    layers: &'a [Layer],
    rootfs: BorrowedFd<'a>,
    scratch: BorrowedFd<'a>,
    run: &'a Run<'a>,
    state: Mutex<State<'a>>,
    changed: Condvar,
}

struct State<'a> {
    /// Which layers are to be begun, the last one first.
    waiting: Vec<usize>,
    /// Those that are written, or, where it is None, have to wait for those below.
    staged: BTreeMap<usize, Option<Stage<'a>>>,
    /// Why nobody goes on. Those that were stopped because of it come later.
    failure: Option<Error>,
}

impl State<'_> {
    /// The longest first, so that no long one is left to the end when nothing is left beside it.
    fn new(layers: &[Layer]) -> Self {
        let mut waiting: Vec<usize> = (0..layers.len()).collect();
        waiting.sort_by_key(|index| layers[*index].size);
        Self {
            waiting,
            staged: BTreeMap::new(),
            failure: None,
        }
    }
}

impl<'a> Work<'a> {
    fn state(&self) -> MutexGuard<'_, State<'a>> {
        // What a thread that died has left there is consistent: it is a list.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each thread does.
    fn stage_layers(&self) {
        loop {
            let Some(index) = self.state().waiting.pop() else {
                return;
            };
            if self.run.has_failed() {
                return;
            }
            // The lowest has nothing to be brought together with.
            let (root, under) = match index {
                0 => (
                    super::root(self.rootfs),
                    Under::Known(Stack::layers(&[], Default::default())),
                ),
                _ => (self.directory(index), Under::Assumed),
            };
            let staged = root.and_then(|root| {
                let part = self.run.part(&self.layers[index]);
                work::stage(part, root, Target::Flat, under)
            });
            let mut state = self.state();
            match staged {
                Ok(staged) => {
                    state.staged.insert(index, staged);
                }
                Err(error) => {
                    state.failure.get_or_insert(error);
                    self.run.fail();
                }
            }
            self.changed.notify_all();
        }
    }

    fn directory(&self, index: usize) -> Result<OwnedFd> {
        let name = index.to_string();
        rustix::fs::mkdirat(self.scratch, &name, Mode::RWXU)
            .context(|| format!("making a directory for layer {}", index + 1))?;
        directories::open_at(self.scratch, &*name)
            .context(|| format!("opening the directory of layer {}", index + 1))
    }

    fn remove_directory(&self, index: usize) -> Result<()> {
        remove::entry(self.scratch, &*index.to_string())
            .context(|| format!("removing the directory of layer {}", index + 1))
    }

    /// Takes the layers in their order as they come.
    fn bring_together(&self) -> Result<Vec<Applied>> {
        let mut below: Option<Stage<'a>> = None;
        let mut all = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let staged = self.wait_for(index)?;
            let applied = match below.as_mut() {
                None => {
                    let staged = staged.ok_or_else(|| Failure::NeedsBelow.into_error())?;
                    let applied = staged.applied();
                    below = Some(staged);
                    applied
                }
                Some(below) => self.put_on_top(below, index, staged)?,
            };
            all.push(applied);
            self.run.part(layer).set_done();
        }
        match below.as_mut() {
            Some(stage) => Finish {
                implied: stage.implied.clone(),
                host: stage.host,
                tree: &mut stage.tree,
                marks: None,
            }
            .run()
            .context(|| "finishing the rootfs")?,
            None => super::bare_root(self.rootfs, self.run)?,
        }
        Ok(all)
    }

    /// The layer, when it is written; or why no layer is written any more.
    fn wait_for(&self, index: usize) -> Result<Option<Stage<'a>>> {
        let mut state = self.state();
        loop {
            if let Some(error) = state.failure.take() {
                return Err(error);
            }
            if let Some(staged) = state.staged.remove(&index) {
                return Ok(staged);
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put_on_top(
        &self,
        below: &mut Stage<'a>,
        index: usize,
        staged: Option<Stage<'a>>,
    ) -> Result<Applied> {
        let layer = &self.layers[index];
        let named = || format!("layer {}", index + 1);
        if let Some(mut staged) = staged {
            let applied = staged.applied();
            let merged = Merge {
                below: &mut below.tree,
                layer: &mut staged.tree,
                links_below: false,
            }
            .run();
            match merged {
                Ok(()) => {
                    self.remove_directory(index)?;
                    return Ok(applied);
                }
                Err(Failure::NeedsBelow) => self.run.part(layer).give_back(),
                Err(failure) => return Err(failure.into_error()).context(named),
            }
        }
        // Once more, and with what is below before its eyes.
        self.remove_directory(index)?;
        let root = self.directory(index)?;
        let under = Under::Known(Stack::plain(self.rootfs));
        let mut staged = work::stage(self.run.part(layer), root, Target::Flat, under)?
            .ok_or_else(|| Failure::NeedsBelow.into_error())
            .context(named)?;
        let applied = staged.applied();
        Merge {
            below: &mut below.tree,
            layer: &mut staged.tree,
            links_below: true,
        }
        .run()
        .map_err(Failure::into_error)
        .context(named)?;
        self.remove_directory(index)?;
        Ok(applied)
    }
}
