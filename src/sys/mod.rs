//! Every system call the crates lack, and all of the `unsafe`: one file per family.
//!
//! What is here is safe to call; nothing outside this folder may say `unsafe`.

pub mod bpf;
