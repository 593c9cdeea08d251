//! Layouts and Docker's archives: whatever their documents say, an image is found or refused.
//!
//! The input is documents between bytes of 0xff. In each of them "#1" stands for a descriptor of
//! the one after it, "#2" for the next but one, and so on: so that digests and sizes are right
//! where the fuzzer does not want them wrong. The first document is index.json or manifest.json;
//! and all of the input is also taken for an archive by itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use tare::image::digest::{Algorithm, Digest};
use tare::image::document::{Config, Index, Manifest};
use tare::image::source::{self, Choice, Reference};

const KINDS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar",
];

fuzz_target!(|input: &[u8]| {
    let _ = (
        Index::read(input),
        Manifest::read(input),
        Config::read(input, 1),
    );
    find(input);
    let documents: Vec<&[u8]> = input.split(|&byte| byte == 0xff).take(16).collect();
    for first in ["index.json", "manifest.json"] {
        find(&archive(&documents, first));
    }
});

/// Looks for the one image of an archive.
fn find(archive: &[u8]) {
    let file = memfd(archive);
    let path = OsString::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let reference = Reference::parse(&path).expect("it is there");
    if let Ok(image) = source::find(&reference, &Choice::default()) {
        assert_eq!(image.layers.len(), image.config.rootfs.diff_ids.len());
    }
}

fn memfd(bytes: &[u8]) -> File {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::memfd_create("archive", flags).expect("a memfd"));
    file.write_all(bytes).expect("memory");
    file
}

/// An archive of these documents, the last of which is made first.
fn archive(documents: &[&[u8]], first: &str) -> Vec<u8> {
    let mut descriptors: Vec<String> = Vec::new();
    let mut tar = member("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    for (index, document) in documents.iter().enumerate().rev() {
        let mut text = String::from_utf8_lossy(document).into_owned();
        for (distance, descriptor) in descriptors.iter().rev().enumerate() {
            text = text.replace(&format!("\"#{}\"", distance + 1), descriptor);
        }
        // "#1" and "#11" in turn would grow without bounds.
        text.truncate(
            (0..=1 << 16)
                .rev()
                .find(|&end| text.is_char_boundary(end))
                .unwrap_or(0),
        );
        let digest = Digest::of(Algorithm::Sha256, text.as_bytes());
        let name = match index {
            0 => first.to_owned(),
            _ => format!("blobs/sha256/{}", digest.hex()),
        };
        tar.extend(member(&name, text.as_bytes()));
        let kind = KINDS[index.min(KINDS.len() - 1)];
        let size = text.len();
        descriptors.push(format!(
            r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#
        ));
    }
    tar.extend([0; 1024]);
    tar
}

/// A file in an archive (POSIX ustar).
fn member(name: &str, data: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", data.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let mut member = header.to_vec();
    member.extend(data);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}
