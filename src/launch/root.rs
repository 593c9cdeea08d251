//! The container's root, where it is stacked from an image's layers.
//!
//! The mount is made by the parent, who knows bundle and store, and handed over. An ordinary
//! user may make it in the container's user namespace alone: there a process of ours does, which
//! lives no longer than that.

use crate::error::{Code, Context, Error, Result};
use crate::image::overlay::Overlay;
use crate::init::wire::Wire;
use crate::spawn::Child;
use crate::sys::clone::{Clone, Forked, fork};
use crate::sys::{exec, namespace};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Makes the mount, in this user namespace if one is given.
///
/// # Errors
/// A layer that is gone; what the kernel does not like.
pub fn mount(
    overlay: &Overlay,
    bundle: &Path,
    user_namespace: Option<&OwnedFd>,
) -> Result<OwnedFd> {
    let Some(namespace) = user_namespace else {
        return overlay.mount(bundle);
    };
    let doing = || "making the container's root";
    let (ours, theirs) = Wire::pair()?;
    match fork(&Clone::default()).context(doing)? {
        Forked::Child => {
            drop(ours);
            let result = mount_inside(overlay, bundle, namespace);
            let sent = match result {
                Ok(mount) => theirs.send(&Ok::<(), Error>(()), &[mount.as_fd()]),
                Err(error) => theirs.send(&Err::<(), Error>(error), &[]),
            };
            exec::exit_now(i32::from(sent.is_err()))
        }
        Forked::Parent { pidfd, .. } => {
            drop(theirs);
            let _ended_when_dropped = Child::new(pidfd);
            let gone = || Error::new(Code::Protocol, "it ended without a word");
            let (result, descriptors) = ours.receive::<Result<()>>()?.ok_or_else(gone)?;
            match (result, descriptors.into_iter().next()) {
                (Err(error), _) => Err(error),
                (Ok(()), Some(mount)) => Ok(mount),
                (Ok(()), None) => Err(gone().context(doing())),
            }
        }
    }
}

fn mount_inside(overlay: &Overlay, bundle: &Path, user_namespace: &OwnedFd) -> Result<OwnedFd> {
    namespace::join(user_namespace, libc::CLONE_NEWUSER as u64)
        .context(|| "entering the container's user namespace")?;
    // Only in a mount namespace of its own may one mount there.
    namespace::unshare(libc::CLONE_NEWNS as u64).context(|| "leaving the host's mounts")?;
    overlay.mount(bundle)
}
