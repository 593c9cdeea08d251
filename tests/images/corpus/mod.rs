//! Images made by code: tar archives, compressed into layers, malformed ones among them.

pub mod blob;
pub mod layout;
pub mod tar;

pub use blob::{Packed, layer};
pub use tar::{Member, Tar};
