//! Whose the files are: ids as they are, mapped, or all the caller's; as root, as an ordinary
//! user, and as root of a user namespace.

use crate::corpus::{Member, Packed, Tar, layer};
use crate::fidelity::{acl, net_raw};
use crate::listing;
use crate::unpack::{self, Place};
use libtest_mimic::{Failed, Trial};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use tare::image::layer::{Devices, IdRange, Options, Owner, unpack_flat};

pub fn tests() -> Vec<Trial> {
    let tests = [
        ("mapped ids", mapped as fn() -> Result<(), Failed>),
        ("an id outside of the mapping", outside),
        ("an ordinary user", ordinary),
        ("root of a user namespace", namespace),
        ("devices are refused or made placeholders", devices),
    ];
    tests
        .map(|(name, test)| Trial::test(format!("owners::{name}"), test))
        .into()
}

fn mapping() -> Options {
    let ranges = vec![
        IdRange {
            inside: 0,
            outside: 100_000,
            size: 1000,
        },
        IdRange {
            inside: 65_534,
            outside: 165_534,
            size: 1,
        },
    ];
    Options {
        owner: Owner::Map {
            uids: ranges.clone(),
            gids: ranges,
        },
        ..Options::default()
    }
}

fn mapped() -> Result<(), Failed> {
    let none = u32::MAX;
    let list = |user, group| {
        acl(&[
            (1, 6, none),
            (2, 4, user),
            (4, 4, none),
            (8, 4, group),
            (16, 4, none),
            (32, 0, none),
        ])
    };
    let tar = Tar::of([
        Member::file("a", "").owner(0, 999),
        Member::dir("d/").owner(65_534, 0),
        Member::symlink("d/l", "x").owner(5, 5),
        Member::file("i/x", "")
            .mode(0o4755)
            .xattr("security.capability", net_raw()),
        Member::file("acl", "")
            .mode(0o640)
            .xattr("system.posix_acl_access", list(3, 4)),
    ]);
    let place = Place::new();
    let rootfs = unpack::flat(&place, &[layer(0, &tar, Packed::Gzip)], &mapping())?;
    let lines = listing::full(&rootfs);
    let expect = |name: &str, owner: &str| {
        let found = lines
            .iter()
            .any(|line| line.starts_with(&format!("{name} ")) && line.contains(owner));
        assert!(found, "{name} {owner}: {lines:#?}");
    };
    expect("", " 040755 100000:100000 ");
    expect("a", " 100000:100999 ");
    expect("d", " 165534:100000 ");
    expect("d/l", " 100005:100005 ");
    expect("i", " 100000:100000 ");
    expect("i/x", "104755 100000:100000 ");
    let mut value = [0; 64];
    let len = rustix::fs::getxattr(
        rootfs.join("acl"),
        "system.posix_acl_access",
        &mut value[..],
    )?;
    assert_eq!(value[..len], list(100_003, 100_004));
    // The kernel shows a namespaced capability only as its own root sees it; ours is not that.
    let got = rustix::fs::getxattr(rootfs.join("i/x"), "security.capability", &mut value[..]);
    let third = [
        &[1, 0, 0, 3][..],
        &net_raw()[4..],
        &100_000u32.to_le_bytes(),
    ]
    .concat();
    assert_eq!(value[..got?], third);
    Ok(())
}

fn outside() -> Result<(), Failed> {
    for (member, words) in [
        (
            Member::file("f", "").owner(1000, 0),
            "user id 1000 is outside of the mapping",
        ),
        (
            Member::dir("d/").owner(0, 5000),
            "group id 5000 is outside of the mapping",
        ),
    ] {
        let place = Place::new();
        let layer = layer(0, &Tar::of([member]), Packed::Gzip);
        let error = unpack::flat(&place, &[layer], &mapping())
            .err()
            .ok_or("not refused")?;
        assert!(error.to_string().contains(words), "{error}");
    }
    Ok(())
}

fn devices() -> Result<(), Failed> {
    let tar = Tar::of([
        Member::new(b'3', "null")
            .device(1, 3)
            .mode(0o666)
            .owner(1, 2),
        Member::file("f", ""),
    ]);
    let layers = [layer(0, &tar, Packed::Gzip)];
    let with = |devices| Options {
        devices,
        ..Options::default()
    };
    let error = unpack::flat(&Place::new(), &layers, &with(Devices::Refuse))
        .err()
        .ok_or("not refused")?;
    assert!(
        error.to_string().contains("entry null: a device node"),
        "{error}"
    );
    let place = Place::new();
    let rootfs = unpack::flat(&place, &layers, &with(Devices::Placeholder))?;
    assert_eq!(listing::brief(&rootfs), ["f=", "null="]);
    let lines = listing::full(&rootfs);
    assert!(lines[2].starts_with("null 100666 1:2 "), "{lines:?}");
    Ok(())
}

/// Modes that shut their owner out, read-only files with xattrs, and several layers of them.
fn rootless_layers() -> Vec<tare::image::layer::Layer> {
    let tars = [
        Tar::of([
            Member::dir("locked/").mode(0o000).owner(10, 10),
            Member::dir("locked/in/").mode(0o500),
            Member::file("locked/in/file", "1").mode(0o000),
            Member::dir("gone/").mode(0o000),
            Member::dir("gone/sub/").mode(0o000),
            Member::file("gone/sub/f", "x"),
            Member::file("ro", "x").mode(0o444).xattr("user.x", "y"),
            Member::file("suid", "x").mode(0o4755).owner(3, 4),
        ]),
        Tar::of([
            Member::dir("locked/").mode(0o000).owner(20, 20),
            Member::file("locked/in/second", "2").mode(0o400),
            Member::file(".wh.gone", ""),
            Member::dir("moved/").mode(0o000),
            Member::dir("moved/sub/").mode(0o111),
            Member::file("moved/sub/f", "y"),
        ]),
    ];
    tars.iter()
        .enumerate()
        .map(|(index, tar)| layer(index, tar, Packed::Gzip))
        .collect()
}

/// The process that an ordinary user is. Its images are made by itself.
pub fn as_child() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    if args.next()? != "--as-child" {
        return None;
    }
    let (kind, base) = (args.next()?, args.next()?);
    let place = Path::new(&base);
    let owner = match kind.as_str() {
        "caller" => Owner::Caller,
        _ => Owner::Keep,
    };
    let options = Options {
        owner,
        ..Options::default()
    };
    let layers = rootless_layers();
    let (rootfs, scratch) = (
        unpack::open(&place.join("rootfs")),
        unpack::open(&place.join("scratch")),
    );
    let progress = unpack::progress(&layers);
    match unpack_flat(
        &layers,
        rootfs.as_fd(),
        scratch.as_fd(),
        &options,
        &progress,
    ) {
        Ok(_) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// A place for user 1000, with the program in it.
fn place_of_user() -> Result<Place, Failed> {
    let place = Place::new();
    for name in ["rootfs", "scratch"] {
        place.dir(name);
        std::os::unix::fs::chown(place.path.join(name), Some(1000), Some(1000))?;
    }
    place.copy_program(&std::env::current_exe()?, "images");
    Ok(place)
}

fn check_rootless(lines: &[String], expect: &[(&str, &str)]) {
    for (name, rest) in expect {
        let found = lines
            .iter()
            .any(|line| line.starts_with(&format!("{name} {rest}")));
        assert!(found, "{name} {rest}: {lines:#?}");
    }
    assert!(
        !lines.iter().any(|line| line.starts_with("gone")),
        "{lines:#?}"
    );
}

fn succeeded(output: &std::process::Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

fn ordinary() -> Result<(), Failed> {
    let place = place_of_user()?;
    let output = Command::new("setpriv")
        .args([
            "--reuid=1000",
            "--regid=1000",
            "--clear-groups",
            "--inh-caps=-all",
            "--",
        ])
        .arg(place.path.join("images"))
        .args(["--as-child", "caller"])
        .arg(&place.path)
        .output()?;
    succeeded(&output);
    check_rootless(
        &listing::full(&place.path.join("rootfs")),
        &[
            ("", "040755 1000:1000 "),
            ("locked", "040000 1000:1000 1700000000."),
            ("locked/in", "040500 1000:1000 1700000000."),
            ("locked/in/file", "100000 1000:1000 "),
            ("locked/in/second", "100400 1000:1000 "),
            ("moved", "040000 1000:1000 "),
            ("moved/sub", "040111 1000:1000 "),
            ("moved/sub/f", "100644 1000:1000 "),
            ("ro", "100444 1000:1000 1700000000.000000000 {user.x=y}"),
            ("suid", "104755 1000:1000 "),
        ],
    );
    Ok(())
}

/// Ids 0 to 99 of the namespace are 1000 and then 200001 to 200099.
fn namespace() -> Result<(), Failed> {
    let place = place_of_user()?;
    // It waits for its mapping, by which it is root in there.
    let script = "echo; read -r go && exec \"$@\"";
    let mut child = Command::new("setpriv")
        .args(["--reuid=1000", "--regid=1000", "--clear-groups", "--"])
        .args(["unshare", "--user", "sh", "-c", script, "sh"])
        .arg(place.path.join("images"))
        .args(["--as-child", "keep"])
        .arg(&place.path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut ready = [0];
    child
        .stdout
        .as_mut()
        .ok_or("no pipe")?
        .read_exact(&mut ready)?;
    for map in ["uid_map", "gid_map"] {
        std::fs::write(
            format!("/proc/{}/{map}", child.id()),
            "0 1000 1\n1 200001 99\n",
        )?;
    }
    child.stdin.take().ok_or("no pipe")?.write_all(b"go\n")?;
    let output = child.wait_with_output()?;
    succeeded(&output);
    check_rootless(
        &listing::full(&place.path.join("rootfs")),
        &[
            ("", "040755 1000:1000 "),
            ("locked", "040000 200020:200020 1700000000."),
            ("locked/in", "040500 1000:1000 1700000000."),
            ("locked/in/file", "100000 1000:1000 "),
            ("moved/sub", "040111 1000:1000 "),
            ("ro", "100444 1000:1000 1700000000.000000000 {user.x=y}"),
            ("suid", "104755 200003:200004 "),
        ],
    );
    Ok(())
}
