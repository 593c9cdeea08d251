//! config.json: the runtime-spec's types, their reading and their checking.
pub mod resources;
