//! What a file has survives: compared with what GNU tar makes of the same archive, and where that
//! one has no say, with what went in.

use crate::corpus::tar::record;
use crate::corpus::{Member, Packed, Tar, layer};
use crate::listing;
use crate::unpack::{self, Place, layers};
use libtest_mimic::{Failed, Trial};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tare::image::layer::Options;

pub fn tests() -> Vec<Trial> {
    let tests = [
        (
            "as GNU tar reads it",
            like_tar as fn() -> Result<(), Failed>,
        ),
        ("as GNU tar writes it, in each format", written_by_tar),
        ("sparse files of each format", sparse),
        ("times", times),
        ("capabilities and access control lists", capabilities),
        ("access control lists as text", text_acls),
        ("access control lists that name somebody", named_acls),
        ("xattrs of libarchive", libarchive),
        ("xattrs of what cannot be opened", xattrs_of_others),
        ("global headers", global),
        ("old headers", old),
        ("set-group-ID directories", setgid),
        (
            "default access control lists are not inherited",
            default_acl,
        ),
        ("what the rootfs's place would hand down", inherited),
    ];
    tests
        .map(|(name, test)| Trial::test(format!("fidelity::{name}"), test))
        .into()
}

fn unpacked(place: &Place, tar: &[u8]) -> Result<std::path::PathBuf, Failed> {
    Ok(unpack::flat(
        place,
        &[layer(0, tar, Packed::Zstd)],
        &Options::default(),
    )?)
}

/// The same of a tar alone and of one on top of it, flat and as an overlay.
fn same_in_overlay(tars: &[Vec<u8>]) -> Result<(), Failed> {
    let (flat_place, overlay_place) = (Place::new(), Place::new());
    let layers = layers(tars, Packed::Raw);
    let flat = unpack::flat(&flat_place, &layers, &Options::default())?;
    let overlay = unpack::overlay(&overlay_place, &layers, &Options::default())?;
    assert_eq!(listing::full(&overlay.path), listing::full(&flat));
    Ok(())
}

fn tar_extract(archive: &[u8], into: &Path) {
    let mut child = Command::new("tar")
        .args([
            "--extract",
            "--numeric-owner",
            "--same-owner",
            "--preserve-permissions",
        ])
        .args([
            "--xattrs",
            "--xattrs-include=*",
            "--acls",
            "--delay-directory-restore",
            "--directory",
        ])
        .arg(into)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), archive).unwrap();
    assert!(child.wait().unwrap().success());
}

fn awkward() -> Vec<u8> {
    let long = format!("{}/{}", "long".repeat(30), "name".repeat(40));
    let big: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
    Tar::of([
        Member::dir("./").mode(0o751).owner(1, 2).mtime(1000),
        Member::dir("d/").mode(0o1777).mtime(5),
        Member::file("d/plain", "text").mode(0o640).owner(33, 44),
        Member::file("d/suid", "text")
            .mode(0o4755)
            .owner(65534, 65534),
        Member::file("d/sgid", "text").mode(0o2711),
        Member::file("d/both", "text").mode(0o6777).owner(1, 1),
        Member::file("d/none", "text").mode(0),
        Member::file("d/sticky", "").mode(0o1644),
        Member::file("d/wide", "x").mode(0o666),
        Member::file("big", big).pax("mtime", "1600000000.123456789"),
        Member::symlink("link", "d/plain").owner(7, 8).mtime(99),
        Member::symlink("dangling", "/nowhere/at/all"),
        Member::hard_link("hard", "big"),
        Member::new(b'6', "fifo").mode(0o622).owner(9, 10),
        Member::new(b'3', "char")
            .device(5, 1)
            .mode(0o620)
            .owner(0, 5),
        Member::new(b'4', "block").device(259, 70000).mode(0o660),
        Member::dir("locked/").mode(0o000).mtime(77),
        Member::file("locked/in", "in"),
        Member::dir("readonly/").mode(0o555).owner(5, 5),
        Member::file("readonly/in", "in").owner(0, 5),
        Member::dir(long.rsplit_once('/').unwrap().0),
        Member::file(&long, "long"),
        Member::symlink("to-long", &long),
        Member::file("large ids", "").owner(3_000_000, 4_000_000_000),
        Member::file(b"not \xff utf-8", "1"),
        Member::file("xattr", "x")
            .xattr("user.one", "1")
            .xattr("user.two", b"\0\n=\xff")
            .mode(0o444),
        Member::dir("xattr-dir/")
            .xattr("user.d", "")
            .mode(0o2775)
            .owner(0, 8),
        Member::file("contiguous", "c").patch(156, b"7"),
        Member::file("old", "o").patch(156, b"\0"),
    ])
}

fn like_tar() -> Result<(), Failed> {
    let place = Place::new();
    let ours = unpacked(&place, &awkward())?;
    place.dir("tar");
    tar_extract(&awkward(), &place.path.join("tar"));
    let theirs = place.path.join("tar");
    assert_eq!(listing::full(&ours), listing::full(&theirs));
    same_in_overlay(&[awkward()])?;
    same_in_overlay(&[awkward(), awkward(), Tar::of([Member::file("d/new", "")])])
}

fn written_by_tar() -> Result<(), Failed> {
    let place = Place::new();
    let source = unpacked(&place, &awkward())?;
    for format in ["gnu", "oldgnu", "posix", "ustar", "v7"] {
        let mut tar = Command::new("tar");
        tar.args(["--create", "--sort=name", "--numeric-owner"])
            .arg(format!("--format={format}"));
        match format {
            "posix" => drop(tar.args(["--sparse", "--xattrs", "--xattrs-include=*"])),
            "gnu" | "oldgnu" => drop(tar.arg("--sparse")),
            _ => {}
        }
        // What the older formats cannot say.
        if matches!(format, "ustar" | "v7") {
            tar.args([
                "--exclude=long*",
                "--exclude=to-long",
                "--exclude=large ids",
            ]);
        }
        if format == "v7" {
            tar.args(["--exclude=char", "--exclude=block", "--exclude=fifo"]);
        }
        let archive = tar.arg("--directory").arg(&source).arg(".").output()?;
        assert!(
            archive.status.success(),
            "{}",
            String::from_utf8_lossy(&archive.stderr)
        );
        let place = Place::new();
        let ours = unpacked(&place, &archive.stdout)?;
        place.dir("tar");
        tar_extract(&archive.stdout, &place.path.join("tar"));
        assert_eq!(
            listing::full(&ours),
            listing::full(&place.path.join("tar")),
            "{format}"
        );
    }
    Ok(())
}

/// Holes are where they were, and each of the formats says so in its own way.
fn sparse() -> Result<(), Failed> {
    let place = Place::new();
    place.dir("source");
    let path = place.path.join("source/holes");
    let file = std::fs::File::create(&path)?;
    // More than fit into a header, and one more block of them.
    for n in 0..60u64 {
        std::os::unix::fs::FileExt::write_all_at(
            &file,
            format!("data {n}").as_bytes(),
            n * 300_000,
        )?;
    }
    file.set_len(40_000_000)?;
    std::fs::File::create(place.path.join("source/empty"))?.set_len(5_000_000)?;
    let want = listing::full(&place.path.join("source"));
    for format in [
        ["--format=gnu"; 1].as_slice(),
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let archive = Command::new("tar")
            .args(["--create", "--sparse", "--numeric-owner", "--directory"])
            .arg(place.path.join("source"))
            .args(format)
            .arg(".")
            .output()?;
        assert!(
            archive.stdout.len() < 1_000_000,
            "{format:?}: tar found no holes"
        );
        let place = Place::new();
        let ours = unpacked(&place, &archive.stdout)?;
        let without_fraction = |lines: Vec<String>| -> Vec<String> {
            lines
                .iter()
                .map(|line| {
                    line.split(' ')
                        .filter(|word| !word.contains('.'))
                        .collect::<Vec<_>>()
                        .join(" ")
                })
                .collect()
        };
        assert_eq!(
            without_fraction(listing::full(&ours)),
            without_fraction(want.clone()),
            "{format:?}"
        );
        let blocks = std::fs::metadata(ours.join("holes"))?.blocks();
        assert!(blocks * 512 < 1_000_000, "{format:?}: {blocks} blocks");
        assert_eq!(std::fs::metadata(ours.join("empty"))?.blocks(), 0);
    }
    Ok(())
}

fn times() -> Result<(), Failed> {
    let with = |name: &str, time: &str| Member::file(name, "").pax("mtime", time);
    let place = Place::new();
    let rootfs = unpacked(
        &place,
        &Tar::of([
            Member::file("negative", "").mtime(-1000),
            with("fraction", "12.5"),
            with("nanoseconds", "1700000000.123456789999"),
            with("before", "-1.25"),
            with("minus a little", "-0.000000001"),
            with("whole and negative", "-7"),
            Member::dir("dir/").pax("mtime", "3.000000007"),
            Member::file("dir/in", "later"),
            Member::symlink("link", "x").pax("mtime", "4.5"),
            Member::file("implied/in", "").mtime(123),
        ]),
    )?;
    let time = |name: &str| {
        let data = std::fs::symlink_metadata(rootfs.join(name)).unwrap();
        (data.mtime(), data.mtime_nsec())
    };
    assert_eq!(time("negative"), (-1000, 0));
    assert_eq!(time("fraction"), (12, 500_000_000));
    assert_eq!(time("nanoseconds"), (1_700_000_000, 123_456_789));
    assert_eq!(time("before"), (-2, 750_000_000));
    assert_eq!(time("minus a little"), (-1, 999_999_999));
    assert_eq!(time("whole and negative"), (-7, 0));
    assert_eq!(time("dir"), (3, 7));
    assert_eq!(time("link"), (4, 500_000_000));
    assert_eq!(time("implied"), (123, 0));
    Ok(())
}

/// cap_net_raw+ep, as the kernel stores it.
pub fn net_raw() -> Vec<u8> {
    let words: [u32; 5] = [0x0200_0001, 1 << 13, 0, 0, 0];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// An access control list of these entries: tag, permissions, id.
pub fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let entry = |(tag, bits, id): &(u16, u16, u32)| {
        [
            &tag.to_le_bytes()[..],
            &bits.to_le_bytes(),
            &id.to_le_bytes(),
        ]
        .concat()
    };
    2u32.to_le_bytes()
        .into_iter()
        .chain(entries.iter().flat_map(entry))
        .collect()
}

fn some_acl() -> Vec<u8> {
    let none = u32::MAX;
    acl(&[
        (1, 6, none),
        (2, 4, 1000),
        (4, 4, none),
        (16, 4, none),
        (32, 0, none),
    ])
}

fn capabilities() -> Result<(), Failed> {
    let tar = Tar::of([
        Member::file("ping", "program")
            .mode(0o755)
            .owner(0, 5)
            .xattr("security.capability", net_raw()),
        Member::file("suid", "program")
            .mode(0o4755)
            .owner(5, 5)
            .xattr("security.capability", net_raw()),
        Member::file("acl", "")
            .mode(0o640)
            .owner(4, 4)
            .xattr("system.posix_acl_access", some_acl()),
    ]);
    let place = Place::new();
    let rootfs = unpacked(&place, &tar)?;
    let xattr = |name: &str, attribute: &str| {
        let mut value = vec![0; 100];
        let len = rustix::fs::lgetxattr(rootfs.join(name), attribute, &mut value[..]).unwrap();
        value.truncate(len);
        value
    };
    assert_eq!(xattr("ping", "security.capability"), net_raw());
    assert_eq!(xattr("suid", "security.capability"), net_raw());
    assert_eq!(xattr("acl", "system.posix_acl_access"), some_acl());
    assert_eq!(
        std::fs::metadata(rootfs.join("suid"))?.mode() & 0o7777,
        0o4755
    );
    assert_eq!(
        std::fs::metadata(rootfs.join("acl"))?.mode() & 0o7777,
        0o640
    );
    same_in_overlay(&[
        tar.clone(),
        Tar::of([
            Member::hard_link("ping2", "ping"),
            Member::hard_link("suid2", "suid"),
        ]),
    ])
}

/// GNU tar looks names up on this machine; what it makes of numbers, and of root, is right.
fn text_acls() -> Result<(), Failed> {
    let access = "user::rw-\nuser:root:r--\nuser:12345:r-x\ngroup::r--\ngroup:54321:---\nmask::rw-\nother::r--\n";
    let default = "user::rwx\nuser:12345:r--\ngroup::r--\nmask::rwx\nother::---\n";
    let minimal = "user::rw-\ngroup::r--\nother::---\n";
    let tar = Tar::of([
        Member::file("file", "")
            .mode(0o664)
            .pax("SCHILY.acl.access", access),
        Member::file("minimal", "")
            .mode(0o640)
            .pax("SCHILY.acl.access", minimal),
        Member::dir("dir/")
            .mode(0o764)
            .pax(
                "SCHILY.acl.access",
                access.replace("user::rw-", "user::rwx"),
            )
            .pax("SCHILY.acl.default", default),
        Member::file("dir/inner", "").mode(0o600),
        // Only a directory hands anything down.
        Member::file("plain", "").pax("SCHILY.acl.default", default),
    ]);
    let place = Place::new();
    let ours = unpacked(&place, &tar)?;
    let theirs = place.path.join("theirs");
    std::fs::create_dir(&theirs)?;
    tar_extract(&tar, &theirs);
    for (path, has) in [
        ("file", true),
        ("dir", true),
        ("dir/inner", false),
        ("minimal", false),
    ] {
        for name in ["system.posix_acl_access", "system.posix_acl_default"] {
            let of = |root: &Path| {
                let mut value = [0; 256];
                let read = rustix::fs::getxattr(root.join(path), name, &mut value[..]);
                read.map(|len| value[..len].to_vec())
            };
            assert_eq!(of(&ours), of(&theirs), "{path} {name}");
            assert!(!has || path == "file" || of(&ours).is_ok(), "{path} {name}");
        }
        let mode = |root: &Path| std::fs::metadata(root.join(path)).unwrap().mode();
        assert_eq!(mode(&ours), mode(&theirs), "{path}");
    }
    same_in_overlay(&[tar.clone(), tar])
}

fn named_acls() -> Result<(), Failed> {
    let list = |who: &str| format!("user::rw-,{who},group::r--,mask::r--,other::---");
    let of = |text: &str| -> Result<Option<Vec<u8>>, Failed> {
        let place = Place::new();
        let member = Member::file("file", "")
            .mode(0o640)
            .pax("SCHILY.acl.access", text);
        let ours = unpacked(&place, &Tar::of([member]))?;
        let mut value = [0; 256];
        match rustix::fs::getxattr(ours.join("file"), "system.posix_acl_access", &mut value[..]) {
            Err(rustix::io::Errno::NODATA) => Ok(None),
            read => Ok(Some(value[..read?].to_vec())),
        }
    };
    // With its number, as star and bsdtar write it, whatever the name is here.
    assert_eq!(
        of(&list("user:root:r--:12345"))?,
        of(&list("user:12345:r--"))?
    );
    assert!(of(&list("group:adm:r--:54321"))?.is_some());
    // Without, it is as if nobody had said it.
    assert_eq!(of(&list("group:adm:r--"))?, None);
    let error = of("nonsense").unwrap_err();
    assert!(
        format!("{error:?}").contains("access control list"),
        "{error:?}"
    );
    Ok(())
}

fn libarchive() -> Result<(), Failed> {
    let place = Place::new();
    let rootfs = unpacked(
        &place,
        &Tar::of([Member::file("f", "")
            .pax("LIBARCHIVE.xattr.user.a%3Db", "aGVsbG8")
            .pax("LIBARCHIVE.xattr.user.c", "/+8=")]),
    )?;
    let lines = listing::full(&rootfs);
    assert!(
        lines[1].contains("{user.a=b=hello,user.c=\\xff\\xef}"),
        "{lines:?}"
    );
    Ok(())
}

fn xattrs_of_others() -> Result<(), Failed> {
    let place = Place::new();
    let rootfs = unpacked(
        &place,
        &Tar::of([
            Member::symlink("link", "nowhere").xattr("trusted.t", "1"),
            Member::new(b'6', "fifo").xattr("trusted.t", "2"),
            Member::new(b'3', "null")
                .device(1, 3)
                .xattr("trusted.t", "3"),
            // The kernel allows these of files and directories alone.
            Member::symlink("odd", "nowhere").xattr("user.t", "4"),
        ]),
    )?;
    let lines = listing::full(&rootfs);
    let has = |name: &str, text: &str| {
        lines
            .iter()
            .any(|line| line.starts_with(name) && line.contains(text))
    };
    assert!(
        has("link ", "{trusted.t=1}")
            && has("fifo ", "{trusted.t=2}")
            && has("null ", "{trusted.t=3}"),
        "{lines:?}"
    );
    assert!(has("odd ", "{}"), "{lines:?}");
    Ok(())
}

fn global() -> Result<(), Failed> {
    let mut tar = Tar::new();
    let header = |records: Vec<u8>| Member {
        data: records,
        ..Member::new(b'g', "global")
    };
    tar.raw(&header(
        [
            record(b"comment", b"0123"),
            record(b"uid", b"7"),
            record(b"mtime", b"5.5"),
        ]
        .concat(),
    ));
    tar.add(&Member::file("a", ""));
    tar.add(&Member::file("b", "").pax("uid", "8").pax("mtime", "6"));
    tar.raw(&header(record(b"uid", b"")));
    tar.add(&Member::file("c", "").owner(9, 0));
    let place = Place::new();
    let lines = listing::full(&unpacked(&place, &tar.end())?);
    assert!(
        lines[1].starts_with("a 100644 7:0 5.500000000"),
        "{lines:?}"
    );
    assert!(
        lines[2].starts_with("b 100644 8:0 6.000000000"),
        "{lines:?}"
    );
    assert!(
        lines[3].starts_with("c 100644 9:0 5.500000000"),
        "{lines:?}"
    );
    Ok(())
}

fn old() -> Result<(), Failed> {
    let v7 = |mut member: Member| {
        member.magic = [0; 8];
        member
    };
    let star = Member::file("name", "star")
        .patch(345, b"in/star")
        .patch(476, b"12345670123 12345670123 ")
        .patch(508, b"tar\0");
    let mut gnu = Tar::new();
    gnu.raw(&Member {
        data: b"a/long/name\0".to_vec(),
        ..Member::new(b'L', "././@LongLink").gnu()
    });
    gnu.raw(&Member {
        data: b"a/long/target\0".to_vec(),
        ..Member::new(b'K', "././@LongLink").gnu()
    });
    gnu.raw(&Member::symlink("a/lo", "a/l").gnu());
    gnu.add(&v7(Member::new(0, "old/")));
    gnu.add(&v7(Member {
        data: b"x".to_vec(),
        ..Member::new(0, "old/file")
    }));
    gnu.add(&Member {
        prefix: b"pre/fix".to_vec(),
        ..Member::file("name", "ustar")
    });
    gnu.add(&star);
    gnu.add(&Member::new(b'V', "the label").gnu());
    // Old writers gave directories a size, and no data.
    gnu.add(&Member::dir("sized/").size(4096));
    let place = Place::new();
    let rootfs = unpacked(&place, &gnu.end())?;
    assert_eq!(
        listing::brief(&rootfs),
        [
            "a/",
            "a/long/",
            "a/long/name->a/long/target",
            "in/",
            "in/star/",
            "in/star/name=star",
            "old/",
            "old/file=x",
            "pre/",
            "pre/fix/",
            "pre/fix/name=ustar",
            "sized/",
        ]
    );
    Ok(())
}

/// What is in a set-group-ID directory has the group that its entry says.
fn setgid() -> Result<(), Failed> {
    let tars = [
        Tar::of([
            Member::dir("mail/").mode(0o2775).owner(0, 8),
            Member::file("mail/a", "").owner(0, 0),
            Member::dir("mail/d/").owner(0, 0),
        ]),
        Tar::of([
            Member::file("mail/b", "").owner(0, 0),
            Member::dir("mail/e/"),
            Member::dir("mail/d/").mode(0o2755).owner(3, 3),
            Member::file("mail/d/f", ""),
        ]),
    ];
    let place = Place::new();
    let rootfs = unpack::flat(&place, &layers(&tars, Packed::Gzip), &Options::default())?;
    for (name, mode, gid) in [
        ("mail", 0o2775, 8),
        ("mail/a", 0o644, 0),
        ("mail/b", 0o644, 0),
        ("mail/d", 0o2755, 3),
        ("mail/d/f", 0o644, 0),
        ("mail/e", 0o755, 0),
    ] {
        let data = std::fs::metadata(rootfs.join(name))?;
        assert_eq!((data.mode() & 0o7777, data.gid()), (mode, gid), "{name}");
    }
    same_in_overlay(&tars)
}

fn default_acl() -> Result<(), Failed> {
    let tars = [
        Tar::of([
            Member::dir("d/").xattr("system.posix_acl_default", some_acl()),
            Member::file("d/a", "").mode(0o666),
            Member::dir("d/s/").mode(0o777),
        ]),
        Tar::of([Member::file("d/b", "").mode(0o666)]),
    ];
    let place = Place::new();
    let rootfs = unpack::flat(&place, &layers(&tars, Packed::Gzip), &Options::default())?;
    let lines = listing::full(&rootfs);
    assert!(lines[1].contains("posix_acl_default"), "{lines:?}");
    assert!(
        lines[2..].iter().all(|line| line.contains("{}")),
        "{lines:?}"
    );
    assert!(
        lines[2].starts_with("d/a 100666") && lines[4].starts_with("d/s 040777"),
        "{lines:?}"
    );
    same_in_overlay(&tars)
}

/// A rootfs in a set-group-ID directory with a default list is as one anywhere else.
fn inherited() -> Result<(), Failed> {
    let place = Place::new();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&place.path, "system.posix_acl_default", &some_acl(), flags)?;
    std::os::unix::fs::chown(&place.path, None, Some(50))?;
    std::fs::set_permissions(
        &place.path,
        std::os::unix::fs::PermissionsExt::from_mode(0o2777),
    )?;
    let ours = unpacked(&place, &awkward())?;
    let elsewhere = Place::new();
    let want = unpacked(&elsewhere, &awkward())?;
    assert_eq!(listing::full(&ours), listing::full(&want));
    Ok(())
}
