//! A place to unpack in, and the two ways of unpacking.

use crate::corpus::{Packed, layer};
use crate::listing;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use tare::error::Error;
use tare::image::layer::{
    Below, Layer, Options, Outcome, Progress, copy_root, unpack_flat, unpack_overlay,
};

/// Where everything is, on a tmpfs of this process's own.
const WORKSHOP: &str = "/tmp";

/// Leaves the host's mounts, and hides its /tmp.
pub fn private_mounts() -> Result<(), String> {
    let step = |what: &str, error: std::io::Error| format!("{what}: {error}");
    let kinds = rustix::thread::UnshareFlags::NEWNS.bits();
    tare::sys::namespace::unshare(kinds.into()).map_err(|e| step("a mount namespace", e.into()))?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).map_err(|e| step("private mounts", e.into()))?;
    rustix::mount::mount("tmpfs", WORKSHOP, "tmpfs", MountFlags::empty(), None)
        .map_err(|e| step("a tmpfs", e.into()))
}

/// A directory with a canary in it, removed at the end.
pub struct Place {
    pub path: PathBuf,
    canary: Vec<String>,
}

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(WORKSHOP).join(format!("place{}-{number}", std::process::id()));
        let canary = path.join("canary");
        std::fs::create_dir_all(canary.join("etc")).unwrap();
        std::fs::write(canary.join("etc/passwd"), "untouched").unwrap();
        std::fs::write(path.join("escaped"), "untouched").unwrap();
        std::fs::write(canary.join("file"), "untouched").unwrap();
        let canary = listing::full(&canary);
        Self { path, canary }
    }

    pub fn dir(&self, name: &str) -> OwnedFd {
        let path = self.path.join(name);
        std::fs::create_dir(&path).unwrap();
        open(&path)
    }

    /// Puts a program down. A child copies it: were the file open in this process, another test's
    /// fork could keep it so, and the kernel refuse to execute it ("text file busy").
    pub fn copy_program(&self, from: &Path, name: &str) {
        let to = self.path.join(name);
        let status = Command::new("cp").args([from, &to]).status().unwrap();
        assert!(status.success(), "copying {from:?} to {to:?}");
    }

    /// Nothing beside the rootfs was changed.
    pub fn check_canary(&self) {
        assert_eq!(listing::full(&self.path.join("canary")), self.canary);
        assert_eq!(
            std::fs::read(self.path.join("escaped")).unwrap(),
            b"untouched"
        );
        for outside in ["/escaped", "/tmp/escaped", "/etc/escaped"] {
            assert!(!Path::new(outside).exists(), "{outside} was made");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

pub fn open(path: &Path) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).unwrap()
}

pub fn layers(tars: &[Vec<u8>], packed: Packed) -> Vec<Layer> {
    let layer = |(index, tar): (usize, &Vec<u8>)| layer(index, tar, packed);
    tars.iter().enumerate().map(layer).collect()
}

pub fn progress(layers: &[Layer]) -> Progress {
    Progress::new(layers.iter().map(|layer| layer.size))
}

/// All layers in one directory, which is `rootfs` in `place`.
pub fn flat(place: &Place, layers: &[Layer], options: &Options) -> Result<PathBuf, Error> {
    let (rootfs, scratch) = (place.dir("rootfs"), place.dir("scratch"));
    let progress = progress(layers);
    unpack_flat(layers, rootfs.as_fd(), scratch.as_fd(), options, &progress)?;
    let left = std::fs::read_dir(place.path.join("scratch"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "the scratch directory is not empty");
    assert!(progress.layers().iter().all(|layer| layer.is_done()));
    Ok(place.path.join("rootfs"))
}

/// A mount of all layers' own directories.
pub struct Overlay {
    pub path: PathBuf,
    /// How many layers did not need to know what is below.
    pub self_contained: usize,
}

/// Whether a layer is told at once what is below, which must make no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    AtOnce,
    WhereNeeded,
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.path, UnmountFlags::DETACH);
    }
}

/// As a store would do it: each layer by itself where that is possible.
pub fn overlay(place: &Place, layers: &[Layer], options: &Options) -> Result<Overlay, Error> {
    overlay_told(place, layers, options, Told::WhereNeeded)
}

pub fn overlay_told(
    place: &Place,
    layers: &[Layer],
    options: &Options,
    told: Told,
) -> Result<Overlay, Error> {
    let progress = progress(layers);
    // The topmost first.
    let mut below: Vec<(PathBuf, OwnedFd)> = Vec::new();
    let mut root = None;
    let mut self_contained = 0;
    for (index, layer) in layers.iter().enumerate() {
        let stack: Vec<_> = below.iter().map(|(_, dir)| dir.as_fd()).collect();
        let unpack = |name: &str, below: Below<'_>| {
            let dir = place.dir(name);
            let outcome = unpack_overlay(layer, dir.as_fd(), below, options, &progress)?;
            Ok::<_, Error>((place.path.join(name), dir, outcome))
        };
        let mut made = match told {
            Told::AtOnce => unpack(&format!("layer{index}"), Below::Known(&stack))?,
            Told::WhereNeeded => unpack(&format!("layer{index}"), Below::Unknown)?,
        };
        if made.2 == Outcome::NeedsBelow {
            made = unpack(&format!("layer{index}-again"), Below::Known(&stack))?;
        }
        let (path, dir, Outcome::Applied(applied)) = made else {
            panic!("it was told what is below");
        };
        self_contained += usize::from(applied.self_contained);
        if applied.opaque_root {
            below.clear();
        }
        if root.is_none() || applied.sets_root {
            root = Some(dir.try_clone().unwrap());
        }
        below.insert(0, (path, dir));
    }
    let (upper, path) = (place.dir("upper"), place.path.join("merged"));
    place.dir("work");
    place.dir("merged");
    if let Some(root) = root {
        copy_root(root.as_fd(), upper.as_fd())?;
    }
    let paths: Vec<_> = below
        .iter()
        .map(|(path, _)| path.to_str().unwrap())
        .collect();
    mount(place, &paths, &path);
    Ok(Overlay {
        path,
        self_contained,
    })
}

fn mount(place: &Place, lower: &[&str], at: &Path) {
    let base = place.path.to_str().unwrap();
    let options = format!(
        "lowerdir={},upperdir={base}/upper,workdir={base}/work",
        lower.join(":")
    );
    let options = std::ffi::CString::new(options).unwrap();
    rustix::mount::mount(
        "overlay",
        at,
        "overlay",
        MountFlags::empty(),
        Some(options.as_c_str()),
    )
    .unwrap();
}
