//! The pure parts: numbers, texts, and archives as byte strings. What becomes of them on disk is
//! tested in tests/images/.

use super::fields::{base64, decimal, number, percent, time, unsigned};
use super::{Entry, Kind, Reader, Segment, Time};

fn header(flag: u8, name: &[u8], size: usize) -> [u8; 512] {
    let mut block = [0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..107].copy_from_slice(b"0000644");
    block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    sealed(block)
}

fn sealed(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

/// One member after the other, each with its data, and the end.
fn archive(members: &[(u8, &[u8], &[u8])]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (flag, name, data) in members {
        tar.extend_from_slice(&header(*flag, name, data.len()));
        tar.extend_from_slice(data);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// A record of a sparse file, of less than 100 bytes.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" GNU.sparse.{key}={value}\n");
    format!("{}{rest}", rest.len() + 2).into_bytes()
}

/// All entries with their data; the rule that is broken comes last.
fn read(tar: &[u8]) -> (Vec<(Entry, Vec<u8>)>, Option<String>) {
    // Blocks of an odd size: nothing may depend on where they end.
    let mut reader = Reader::new(std::io::BufReader::with_capacity(97, tar));
    let mut all = Vec::new();
    loop {
        let mut entry = Entry::default();
        match reader.next(&mut entry) {
            Ok(false) => return (all, None),
            Err(fault) => return (all, Some(fault.to_string())),
            Ok(true) => {}
        }
        let mut data = Vec::new();
        loop {
            match reader.data() {
                Ok([]) => break,
                Err(fault) => return (all, Some(fault.to_string())),
                Ok(bytes) => {
                    data.extend_from_slice(bytes);
                    let len = bytes.len();
                    reader.consume(len);
                }
            }
        }
        all.push((entry, data));
    }
}

#[test]
fn numbers_are_octal_or_base_256() {
    let cases: [(&[u8], Option<i64>); 14] = [
        (b"0000644\0", Some(0o644)),
        (b"   644 \0", Some(0o644)),
        (b"\0\0 12 ", Some(0o12)),
        (b"\0\0\0\0", Some(0)),
        (b"77777777777", Some(0o77_777_777_777)),
        (b"12 34", None),
        (b"8", None),
        (b"-1", None),
        (b"7777777777777777777777777", None),
        (b"\x80\0\0\x01\0", Some(256)),
        (b"\xff\xff\xff\xfe", Some(-2)),
        (b"\xc0\0\0\0", Some(-(1 << 30))),
        (
            b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff",
            Some(i64::MAX),
        ),
        (b"\x80\0\0\0\x80\0\0\0\0\0\0\0", None),
    ];
    for (field, want) in cases {
        assert_eq!(
            number(field, "x").ok(),
            want,
            "{:?}",
            field.escape_ascii().to_string()
        );
    }
    assert!(unsigned(b"\xff\xff", "x").is_err());
    assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
    assert_eq!(decimal(b"18446744073709551616"), None);
    assert_eq!(decimal(b""), None);
    assert_eq!(decimal(b"+1"), None);
}

#[test]
fn times_have_fractions_and_signs() {
    let at = |seconds, nanoseconds| {
        Some(Time {
            seconds,
            nanoseconds,
        })
    };
    let cases: [(&[u8], Option<Time>); 10] = [
        (b"0", at(0, 0)),
        (b"1.5", at(1, 500_000_000)),
        (b"1.", at(1, 0)),
        (b"1.0000000019", at(1, 1)),
        (b"-1.5", at(-2, 500_000_000)),
        (b"-0.1", at(-1, 900_000_000)),
        (b"-3", at(-3, 0)),
        (b".5", None),
        (b"1.5x", None),
        (b"99999999999999999999", None),
    ];
    for (text, want) in cases {
        assert_eq!(time(text), want, "{:?}", text.escape_ascii().to_string());
    }
}

#[test]
fn encoded_texts() {
    assert_eq!(base64(b"aGVsbG8="), Some(b"hello".to_vec()));
    assert_eq!(base64(b"aGVsbG8"), Some(b"hello".to_vec()));
    assert_eq!(base64(b""), Some(vec![]));
    assert_eq!(base64(b"a"), None);
    assert_eq!(base64(b"a*bc"), None);
    assert_eq!(percent(b"user.%41%20"), Some(b"user.A ".to_vec()));
    assert_eq!(percent(b"%4"), None);
    assert_eq!(percent(b"%zz"), None);
}

#[test]
fn entries_come_in_order_with_their_data() {
    let long = vec![7; 1300];
    let (all, rule) = read(&archive(&[
        (b'5', b"d/", b""),
        (b'0', b"d/f", &long),
        (b'0', b"empty", b""),
        (b'x', b"pax", b"13 path=real\n12 uid=1000\n"),
        (b'0', b"made up", b"data"),
        (0, b"old/", b""),
    ]));
    assert_eq!(rule, None);
    let seen: Vec<_> = all
        .iter()
        .map(|(entry, data)| (entry.kind, &entry.path[..], entry.uid, data.len()))
        .collect();
    assert_eq!(
        seen,
        [
            (Kind::Directory, &b"d/"[..], 0, 0),
            (Kind::File, b"d/f", 0, 1300),
            (Kind::File, b"empty", 0, 0),
            (Kind::File, b"real", 1000, 4),
            (Kind::Directory, b"old/", 0, 0),
        ]
    );
}

#[test]
fn what_was_not_read_is_skipped() {
    let tar = archive(&[(b'0', b"a", &[1; 5000]), (b'0', b"b", b"2")]);
    let mut reader = Reader::new(&tar[..]);
    let mut entry = Entry::default();
    assert!(reader.next(&mut entry).unwrap());
    let some = reader.data().unwrap().len().min(700);
    reader.consume(some);
    assert!(reader.next(&mut entry).unwrap());
    assert_eq!(entry.path, b"b");
    assert!(!reader.next(&mut entry).unwrap());
    assert!(reader.finish().unwrap().is_empty());
}

#[test]
fn a_pax_size_counts_and_not_the_headers() {
    // CVE-2025-62518: with the header's size, what is data here would be read as a header.
    let inner = header(b'0', b"smuggled", 0);
    let mut tar = archive(&[(b'x', b"pax", b"12 size=512\n")]);
    tar.truncate(1024);
    tar.extend_from_slice(&header(b'0', b"outer", 0));
    tar.extend_from_slice(&inner);
    tar.resize(tar.len() + 1024, 0);
    let (all, rule) = read(&tar);
    assert_eq!(rule, None);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].1, inner);
}

#[test]
fn sparse_maps_of_each_format() {
    let want = vec![Segment { offset: 1, len: 2 }, Segment { offset: 9, len: 3 }];
    let mut map = b"2\n1\n2\n9\n3\n".to_vec();
    map.resize(512, 0);
    map.extend_from_slice(b"abcde");
    type Records = [(&'static str, &'static str)];
    let formats: [(&Records, &[u8]); 3] = [
        (
            &[
                ("size", "20"),
                ("numblocks", "2"),
                ("offset", "1"),
                ("numbytes", "2"),
                ("offset", "9"),
                ("numbytes", "3"),
            ],
            b"abcde",
        ),
        (
            &[("size", "20"), ("map", "1,2,9,3"), ("name", "f")],
            b"abcde",
        ),
        (
            &[
                ("major", "1"),
                ("minor", "0"),
                ("realsize", "20"),
                ("name", "f"),
            ],
            &map,
        ),
    ];
    for (records, data) in formats {
        let pax: Vec<u8> = records
            .iter()
            .flat_map(|(key, value)| record(key, value))
            .collect();
        let (all, rule) = read(&archive(&[(b'x', b"pax", &pax), (b'0', b"f", data)]));
        assert_eq!(rule, None);
        let (entry, data) = &all[0];
        assert_eq!(
            (entry.size, &entry.sparse, &data[..]),
            (20, &Some(want.clone()), &b"abcde"[..])
        );
        assert_eq!(entry.path, b"f");
    }
}

#[test]
fn the_end_is_two_blocks_of_zeros_or_where_it_ends() {
    let whole = archive(&[(b'0', b"a", b"1")]);
    for end in [1024, 1536, 2048] {
        let (all, rule) = read(&whole[..end]);
        assert_eq!((all.len(), rule), (1, None), "cut at {end}");
    }
    for end in [1, 511, 513, 1023, 1025] {
        let (_, rule) = read(&whole[..end]);
        assert_eq!(
            rule.as_deref(),
            Some("the archive ends in the middle of an entry"),
            "{end}"
        );
    }
}

#[test]
fn a_checksum_may_be_of_signed_bytes() {
    let mut block = header(b'0', b"\xff\xfe", 0);
    let mut others = block;
    others[148..156].copy_from_slice(b"        ");
    let sum: i32 = others
        .iter()
        .map(|byte| i32::from(byte.cast_signed()))
        .sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let (all, rule) = read(&block);
    assert_eq!((all.len(), rule), (1, None));
    block[0] = b'x';
    assert_eq!(
        read(&block).1.as_deref(),
        Some("a header's checksum is wrong")
    );
}
