//! More file descriptors for as long as an image is being unpacked: each of its layers' blobs is
//! open, and of each layer in work some directories.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit on descriptors is the hard one as long as this lives. It is low by default for
/// the sake of select(2), and a container is to find it as it was.
#[derive(Debug)]
pub struct MoreDescriptors {
    before: Option<Rlimit>,
}

impl MoreDescriptors {
    /// Raises it where that is possible; most images do without.
    pub fn allow() -> Self {
        let before = getrlimit(Resource::Nofile);
        let more = Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        };
        let raised = before.current != before.maximum && setrlimit(Resource::Nofile, more).is_ok();
        Self {
            before: raised.then_some(before),
        }
    }
}

impl Drop for MoreDescriptors {
    fn drop(&mut self) {
        if let Some(before) = self.before.take()
            && let Err(error) = setrlimit(Resource::Nofile, before)
        {
            log::warn!("the limit on descriptors stays raised: {error}");
        }
    }
}
