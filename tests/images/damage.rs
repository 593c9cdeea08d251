//! Blobs and archives that are not what they should be: each is refused, by an error that says
//! why; or, where they are only old or odd, read.

use crate::corpus::blob::{blob, gzip};
use crate::corpus::{Member, Packed, Tar, layer};
use crate::listing;
use crate::unpack::{self, Place};
use libtest_mimic::{Failed, Trial};
use tare::image::digest::{Algorithm, Digest};
use tare::image::layer::{Compression, Layer, Limits, Options};

pub fn tests() -> Vec<Trial> {
    let refused = blobs().into_iter().chain(archives());
    let refused = refused.map(|(name, layer, words)| {
        Trial::test(format!("damage::{name}"), move || {
            refuse(&layer, &Options::default(), words)
        })
    });
    let others = [
        (
            "every compression is read",
            every_compression as fn() -> Result<(), Failed>,
        ),
        ("a wrong label is read by its magic number", wrong_labels),
        ("an archive without its end is read", without_end),
        ("what comes after the end is hashed", after_end),
        ("limits", limits),
        ("sha512", sha512),
        ("an image without layers", no_layers),
    ];
    let others = others.map(|(name, test)| Trial::test(format!("damage::{name}"), test));
    refused.chain(others).collect()
}

fn refuse(layer: &Layer, options: &Options, words: &str) -> Result<(), Failed> {
    let place = Place::new();
    let layers = std::slice::from_ref(layer);
    let flat = unpack::flat(&place, layers, options).err();
    let overlay = unpack::overlay(&place, layers, options).err();
    place.check_canary();
    for error in [flat, overlay] {
        let error = error.ok_or("not refused")?.to_string();
        if !error.contains(words) || !error.contains("layer 1") {
            return Err(format!("the error is: {error}").into());
        }
    }
    Ok(())
}

fn good() -> Vec<u8> {
    let text = "some text, again and again; ".repeat(4000);
    Tar::of([
        Member::dir("d/"),
        Member::file("d/f", text),
        Member::symlink("l", "d"),
    ])
}

type Damage = (&'static str, Layer, &'static str);

/// The layer of a good tar in these bytes, everything else being right.
fn of_bytes(bytes: &[u8]) -> Layer {
    Layer {
        digest: Some(Digest::of(Algorithm::Sha256, bytes)),
        size: bytes.len() as u64,
        blob: blob(bytes),
        ..layer(0, &good(), Packed::Gzip)
    }
}

fn blobs() -> Vec<Damage> {
    let zeros = Digest::of(Algorithm::Sha256, b"something else");
    let good_gzip = gzip(&good());
    let cut = |bytes: &[u8], by: usize| of_bytes(&bytes[..bytes.len() - by]);
    let mut crc = good_gzip.clone();
    let at = crc.len() - 6;
    crc[at] ^= 1;
    let mut inside = good_gzip.clone();
    let middle = inside.len() / 2;
    inside[middle..middle + 20].fill(0xff);
    let zstd = zstd::encode_all(&good()[..], 3).unwrap();
    let mut list = vec![
        (
            "a size too large",
            Layer {
                size: good_gzip.len() as u64 + 1,
                ..of_bytes(&good_gzip)
            },
            "its descriptor says",
        ),
        (
            "a size too small",
            Layer {
                size: good_gzip.len() as u64 - 1,
                ..of_bytes(&good_gzip)
            },
            "its descriptor says",
        ),
        (
            "a wrong digest",
            Layer {
                digest: Some(zeros.clone()),
                ..of_bytes(&good_gzip)
            },
            "its digest should be",
        ),
        (
            "a wrong DiffID",
            Layer {
                diff_id: zeros.clone(),
                ..of_bytes(&good_gzip)
            },
            "its DiffID should be",
        ),
        (
            "a truncated gzip stream",
            cut(&good_gzip, 100),
            "the gzip stream is truncated",
        ),
        (
            "a gzip stream without its trailer",
            cut(&good_gzip, 8),
            "the gzip stream is truncated",
        ),
        (
            "a gzip stream without all of its trailer",
            cut(&good_gzip, 1),
            "the gzip stream is truncated",
        ),
        ("a wrong CRC", of_bytes(&crc), "the gzip stream is corrupt"),
        (
            "a corrupt gzip stream",
            of_bytes(&inside),
            "the gzip stream is corrupt",
        ),
        (
            "garbage after gzip",
            of_bytes(&[&good_gzip[..], b"garbage"].concat()),
            "garbage after the gzip stream",
        ),
        (
            "zeros after gzip",
            of_bytes(&[&good_gzip[..], &[0; 512]].concat()),
            "garbage after the gzip stream",
        ),
        (
            "a truncated Zstandard stream",
            cut(&zstd, 10),
            "the Zstandard stream is truncated",
        ),
        (
            "garbage after Zstandard",
            of_bytes(&[&zstd[..], b"garbage"].concat()),
            "has garbage after it",
        ),
        (
            "xz",
            of_bytes(b"\xfd7zXZ\0 and so on"),
            "compressed with xz",
        ),
        (
            "bzip2",
            of_bytes(b"BZh91AY&SY and so on"),
            "compressed with bzip2",
        ),
    ];
    let raw = layer(0, &good(), Packed::Raw);
    list.push((
        "a wrong digest of a raw layer",
        Layer {
            digest: Some(zeros.clone()),
            ..raw.clone()
        },
        "its digest should be",
    ));
    list.push((
        "a wrong DiffID of a raw layer",
        Layer {
            diff_id: zeros,
            digest: None,
            ..raw
        },
        "its DiffID should be",
    ));
    list
}

fn archives() -> Vec<Damage> {
    let of = |tar: Vec<u8>| layer(0, &tar, Packed::Gzip);
    let one = |member: Member| of(Tar::of([member]));
    let file = || Member::file("f", "data");
    let raw = |members: &[Member]| {
        let mut tar = Tar::new();
        members.iter().for_each(|member| tar.raw(member));
        of(tar.end())
    };
    let extension = |flag, data: &[u8]| Member {
        data: data.to_vec(),
        ..Member::new(flag, "x")
    };
    let record = crate::corpus::tar::record;
    let cut = |by: usize| {
        let mut tar = Tar::new();
        tar.add(&Member::file("f", [1; 2000]));
        let mut tar = tar.without_end();
        tar.truncate(tar.len() - by);
        of(tar)
    };
    let mut lone = Tar::new();
    lone.add(&file());
    lone.bytes(&[0; 512]);
    lone.add(&file());
    vec![
        (
            "a bad checksum",
            one(file().spoil_checksum()),
            "a header's checksum is wrong",
        ),
        (
            "not a tar at all",
            of(b"#!/bin/sh\n".repeat(200)),
            "checksum",
        ),
        (
            "a block of zeros in the middle",
            of(lone.end()),
            "a block of zeros between entries",
        ),
        (
            "cut in a header",
            cut(2048 + 100),
            "ends in the middle of an entry",
        ),
        (
            "cut in the data",
            cut(1000),
            "ends in the middle of an entry",
        ),
        (
            "cut in the padding",
            cut(20),
            "ends in the middle of an entry",
        ),
        (
            "an unknown type",
            one(Member::new(b'Z', "f")),
            "unknown type 'Z'",
        ),
        (
            "a multi-volume archive",
            one(Member::new(b'M', "f")),
            "unknown type 'M'",
        ),
        (
            "a size less than 0",
            one(file().patch(124, [0xff; 12])),
            "the size is less than 0",
        ),
        (
            "a size out of range",
            one(file().patch(
                124,
                [
                    0x80, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                ],
            )),
            "the size is out of range",
        ),
        (
            "a size of letters",
            one(file().patch(124, b"letters\0\0\0\0\0")),
            "the size is not an octal number",
        ),
        (
            "a user id out of range",
            one(file().owner(1 << 32, 0)),
            "the user id is out of range",
        ),
        (
            "a group id that means none",
            one(file().owner(0, u64::from(u32::MAX))),
            "the group id is out of range",
        ),
        (
            "a user id less than 0",
            one(file().pax("uid", "-1")),
            "uid is not a number",
        ),
        (
            "a NUL in a pax path",
            one(file().pax("path", b"a\0b")),
            "path has a NUL in it",
        ),
        (
            "a NUL in a pax link",
            one(Member::symlink("l", "x").pax("linkpath", b"a\0b")),
            "linkpath has a NUL in it",
        ),
        (
            "a NUL in a long name",
            raw(&[extension(b'L', b"a\0b\0"), file()]),
            "a long name has a NUL in it",
        ),
        (
            "a NUL in an xattr's name",
            one(file().pax(b"SCHILY.xattr.user.a\0b", "x")),
            "NUL in a key",
        ),
        (
            "a pax header over 1 MiB",
            one(file().pax("comment", vec![b'x'; 1 << 20])),
            "more than 1048576",
        ),
        (
            "a long name over 1 MiB",
            raw(&[extension(b'L', &vec![b'x'; (1 << 20) + 1]), file()]),
            "more than 1048576",
        ),
        (
            "a pax record too long",
            raw(&[extension(b'x', b"99 path=x\n"), file()]),
            "records are malformed",
        ),
        (
            "a pax record too short",
            raw(&[extension(b'x', b"3 path=x\n"), file()]),
            "records are malformed",
        ),
        (
            "a pax record without its end",
            raw(&[extension(b'x', b"9 path=xy"), file()]),
            "records are malformed",
        ),
        (
            "a pax record without a key",
            raw(&[extension(b'x', b"5 =x\n"), file()]),
            "records are malformed",
        ),
        (
            "a pax header without an entry",
            raw(&[extension(b'x', &record(b"path", b"x"))]),
            "without its entry",
        ),
        (
            "two pax headers",
            raw(&[
                extension(b'x', &record(b"path", b"x")),
                extension(b'x', &record(b"path", b"y")),
                file(),
            ]),
            "two extended headers",
        ),
        (
            "two long names",
            raw(&[extension(b'L', b"x\0"), extension(b'L', b"y\0"), file()]),
            "two extended headers",
        ),
        (
            "two names that differ",
            raw(&[
                extension(b'L', b"x\0"),
                extension(b'x', &record(b"path", b"y")),
                file(),
            ]),
            "two different long names",
        ),
        (
            "a global size",
            raw(&[extension(b'g', &record(b"size", b"1")), file()]),
            "a global header sets size",
        ),
        (
            "a global path",
            raw(&[extension(b'g', &record(b"path", b"x")), file()]),
            "a global header sets path",
        ),
        (
            "an mtime of letters",
            one(file().pax("mtime", "now")),
            "mtime is not a time",
        ),
        (
            "a pax size against the header's",
            one(Member::file("f", [b'x'; 1024]).pax("size", "512")),
            "checksum",
        ),
        (
            "a sparse map out of order",
            one(file()
                .pax("GNU.sparse.major", "0")
                .pax("GNU.sparse.minor", "1")
                .pax("GNU.sparse.size", "100")
                .pax("GNU.sparse.map", "50,2,10,2")),
            "a sparse map is out of order",
        ),
        (
            "a sparse map beyond the file",
            one(file()
                .pax("GNU.sparse.size", "10")
                .pax("GNU.sparse.map", "8,4")),
            "beyond the file",
        ),
        (
            "a sparse map of another length",
            one(file()
                .pax("GNU.sparse.size", "100")
                .pax("GNU.sparse.map", "8,40")),
            "not of the same length",
        ),
        (
            "a sparse file of the future",
            one(file()
                .pax("GNU.sparse.major", "2")
                .pax("GNU.sparse.minor", "0")
                .pax("GNU.sparse.realsize", "4")),
            "an unknown format",
        ),
        (
            "a sparse offset that wraps",
            one(file()
                .pax("GNU.sparse.size", "100")
                .pax("GNU.sparse.map", "18446744073709551615,4")),
            "beyond the file",
        ),
        (
            "an xattr over the kernel's limit",
            one(file().xattr("user.x", vec![0; 65537])),
            "an xattr of more than 65536 bytes",
        ),
    ]
}

fn every_compression() -> Result<(), Failed> {
    let place = Place::new();
    let want = unpack::flat(
        &place,
        &[layer(0, &good(), Packed::Raw)],
        &Options::default(),
    )?;
    for packed in Packed::ALL {
        let place = Place::new();
        let flat = unpack::flat(&place, &[layer(0, &good(), packed)], &Options::default())?;
        assert_eq!(listing::full(&flat), listing::full(&want), "{packed:?}");
    }
    Ok(())
}

fn wrong_labels() -> Result<(), Failed> {
    for packed in Packed::ALL {
        for compression in [
            Compression::None,
            Compression::Gzip,
            Compression::Zstd,
            Compression::Unlabelled,
        ] {
            let layer = Layer {
                compression,
                ..layer(0, &good(), packed)
            };
            let place = Place::new();
            let rootfs = unpack::flat(&place, &[layer], &Options::default())?;
            assert!(
                rootfs.join("d/f").exists(),
                "{packed:?} labelled {compression:?}"
            );
        }
    }
    Ok(())
}

fn without_end() -> Result<(), Failed> {
    let mut tar = Tar::new();
    tar.add(&Member::file("f", "data"));
    let mut half = tar.clone();
    half.bytes(&[0; 512]);
    for tar in [tar.without_end(), half.without_end()] {
        let place = Place::new();
        let rootfs = unpack::flat(&place, &[layer(0, &tar, Packed::Gzip)], &Options::default())?;
        assert_eq!(listing::brief(&rootfs), ["f=data"]);
    }
    Ok(())
}

fn after_end() -> Result<(), Failed> {
    let mut tar = Tar::of([Member::file("f", "data")]);
    tar.resize(1 << 20, 0);
    tar.extend_from_slice(&Tar::of([Member::file("g", "never seen")]));
    let place = Place::new();
    let rootfs = unpack::flat(&place, &[layer(0, &tar, Packed::Gzip)], &Options::default())?;
    assert_eq!(listing::brief(&rootfs), ["f=data"]);
    Ok(())
}

fn limits() -> Result<(), Failed> {
    let big = Tar::of([Member::file("f", vec![0; 300 << 20])]);
    let big = layer(0, &big, Packed::Gzip);
    let with = |limits: Limits| Options {
        limits,
        ..Options::default()
    };
    let default = Limits::default();
    refuse(
        &big,
        &with(Limits {
            ratio: 100,
            ..default
        }),
        "compressed more than 100 times",
    )?;
    refuse(
        &big,
        &with(Limits {
            bytes: 1 << 20,
            ..default
        }),
        "more than 1048576 bytes, the limit",
    )?;
    let many = Tar::of((0..20).map(|n| Member::file(format!("f{n}"), "")));
    let many = layer(0, &many, Packed::Gzip);
    refuse(
        &many,
        &with(Limits {
            entries: 19,
            ..default
        }),
        "more than 19 entries, the limit",
    )?;
    let place = Place::new();
    unpack::flat(
        &place,
        &[many],
        &with(Limits {
            entries: 20,
            ..default
        }),
    )?;
    let deep = layer(0, &Tar::of([Member::file("1/2/3/f", "")]), Packed::Gzip);
    refuse(
        &deep,
        &with(Limits {
            depth: 2,
            ..default
        }),
        "more than 2 directories deep",
    )?;
    let place = Place::new();
    unpack::flat(
        &place,
        &[deep],
        &with(Limits {
            depth: 3,
            ..default
        }),
    )?;
    Ok(())
}

fn sha512() -> Result<(), Failed> {
    let tar = good();
    let bytes = gzip(&tar);
    let layer = Layer {
        digest: Some(Digest::of(Algorithm::Sha512, &bytes)),
        diff_id: Digest::of(Algorithm::Sha512, &tar),
        ..of_bytes(&bytes)
    };
    let place = Place::new();
    unpack::flat(&place, std::slice::from_ref(&layer), &Options::default())?;
    let wrong = Layer {
        diff_id: Digest::of(Algorithm::Sha512, b""),
        ..layer
    };
    refuse(&wrong, &Options::default(), "its DiffID should be sha512:")
}

fn no_layers() -> Result<(), Failed> {
    let place = Place::new();
    let rootfs = unpack::flat(&place, &[], &Options::default())?;
    assert_eq!(listing::full(&rootfs), [" 040755 0:0 0.000000000 {} "]);
    Ok(())
}
