//! The messages of the wire. A process that has been taken over may send anything; the plan it
//! never gets to write, but is decoded by the same means.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tare::init::wire::{FromInit, FromParent, decode};

fuzz_target!(|frame: &[u8]| {
    if let Ok(FromInit::Failed(error)) = decode::<FromInit>(frame) {
        // Whatever it says, it is logged as one line of a length that can be borne.
        assert!(error.truncated(1000).to_string().len() < 10_000);
    }
    let _ = decode::<FromParent>(frame);
});
