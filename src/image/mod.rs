//! Images: from an OCI layout or an archive to a bundle.

pub mod blob;
pub mod bundle;
mod descriptors;
pub mod digest;
pub mod document;
pub mod layer;
pub mod overlay;
pub mod platform;
pub mod remove;
pub mod source;
pub mod store;
pub mod tar;
pub mod unpack;
