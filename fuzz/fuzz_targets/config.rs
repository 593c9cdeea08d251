//! config.json, from bytes to a checked config: it is refused, or it means the same when it is
//! written out and read again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tare::config::{self, Config, Document};

fn read(text: &[u8]) -> Option<Config> {
    config::checked(&Document::new("config.json", text.to_owned())).ok()
}

fuzz_target!(|text: &[u8]| {
    if let Some(config) = read(text) {
        let written = serde_json::to_vec(&config).expect("what was read can be written");
        let again = read(&written).expect("what was accepted is accepted again");
        assert_eq!(again, config);
    }
});
