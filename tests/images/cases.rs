//! The edge cases in which unpackers differ, and what is right: the same tree, flat and as
//! overlayfs shows it; or a refusal that names layer, entry and rule.

use crate::corpus::{Member, Packed, Tar};
use crate::listing;
use crate::unpack::{self, Place, layers};
use libtest_mimic::{Failed, Trial};
use tare::image::layer::Options;

/// What an image is to become.
enum Want {
    /// This tree, as [`listing::brief`] shows it.
    Tree(&'static [&'static str]),
    /// An error that has all of these words.
    Refused(&'static [&'static str]),
}

use Want::{Refused, Tree};

struct Case {
    name: &'static str,
    layers: Vec<Vec<u8>>,
    want: Want,
}

fn case<const N: usize>(name: &'static str, layers: [Vec<Member>; N], want: Want) -> Case {
    let layers = layers.into_iter().map(Tar::of).collect();
    Case { name, layers, want }
}

pub fn tests() -> Vec<Trial> {
    let all = [
        whiteouts(),
        links(),
        parents(),
        replaced(),
        hostile(),
        names(),
    ];
    all.into_iter()
        .flatten()
        .map(|case| Trial::test(format!("case::{}", case.name), move || run(&case)))
        .collect()
}

fn run(case: &Case) -> Result<(), Failed> {
    let options = Options::default();
    for packed in [Packed::Gzip, Packed::Zstd] {
        let layers = layers(&case.layers, packed);
        let (flat_place, overlay_place) = (Place::new(), Place::new());
        let flat = unpack::flat(&flat_place, &layers, &options);
        let overlay = unpack::overlay(&overlay_place, &layers, &options);
        flat_place.check_canary();
        overlay_place.check_canary();
        match &case.want {
            Tree(want) => {
                let (flat, overlay) = (flat?, overlay?);
                assert_eq!(listing::brief(&flat), *want, "flat");
                assert_eq!(
                    listing::full(&overlay.path),
                    listing::full(&flat),
                    "overlay and flat"
                );
            }
            Refused(words) => {
                for (mode, error) in [("flat", flat.err()), ("overlay", overlay.err())] {
                    let error = error
                        .unwrap_or_else(|| panic!("{mode}: not refused"))
                        .to_string();
                    assert!(
                        words.iter().all(|word| error.contains(word)),
                        "{mode}: {error}"
                    );
                }
            }
        }
    }
    Ok(())
}

fn f(name: &str, data: &str) -> Member {
    Member::file(name, data)
}

fn d(name: &str) -> Member {
    Member::dir(name)
}

/// A whiteout of `name`, which is the last part of a path.
fn wh(path: &str) -> Member {
    match path.rsplit_once('/') {
        Some((dir, name)) => f(&format!("{dir}/.wh.{name}"), ""),
        None => f(&format!(".wh.{path}"), ""),
    }
}

fn opaque(dir: &str) -> Member {
    f(&format!("{dir}/.wh..wh..opq"), "")
}

fn whiteouts() -> Vec<Case> {
    let below = || {
        vec![
            d("a/").mode(0o750),
            f("a/old", "old"),
            d("a/sub/"),
            f("a/sub/x", "x"),
            f("b", "b"),
        ]
    };
    vec![
        case(
            "a whiteout of a file",
            [below(), vec![wh("b")]],
            Tree(&["a/", "a/old=old", "a/sub/", "a/sub/x=x"]),
        ),
        case(
            "a whiteout of a directory",
            [below(), vec![wh("a")]],
            Tree(&["b=b"]),
        ),
        case(
            "a whiteout in a directory",
            [below(), vec![d("a/"), wh("a/sub")]],
            Tree(&["a/", "a/old=old", "b=b"]),
        ),
        case(
            "a whiteout in an implied directory",
            [below(), vec![wh("a/old")]],
            Tree(&["a/", "a/sub/", "a/sub/x=x", "b=b"]),
        ),
        case(
            "opaque first",
            [below(), vec![d("a/"), opaque("a"), f("a/new", "new")]],
            Tree(&["a/", "a/new=new", "b=b"]),
        ),
        case(
            "opaque last",
            [below(), vec![d("a/"), f("a/new", "new"), opaque("a")]],
            Tree(&["a/", "a/new=new", "b=b"]),
        ),
        case(
            "opaque without a directory",
            [below(), vec![opaque("a"), f("a/new", "new")]],
            Tree(&["a/", "a/new=new", "b=b"]),
        ),
        case(
            "opaque last without a directory",
            [below(), vec![f("a/new", "new"), opaque("a")]],
            Tree(&["a/", "a/new=new", "b=b"]),
        ),
        case(
            "opaque and nothing else",
            [below(), vec![opaque("a")]],
            Tree(&["a/", "b=b"]),
        ),
        case(
            "opaque keeps a subdirectory's own",
            [
                below(),
                vec![d("a/"), opaque("a"), d("a/sub/"), f("a/sub/y", "y")],
            ],
            Tree(&["a/", "a/sub/", "a/sub/y=y", "b=b"]),
        ),
        case(
            "opaque root",
            [below(), vec![f(".wh..wh..opq", ""), f("c", "c")]],
            Tree(&["c=c"]),
        ),
        case(
            "opaque of nothing",
            [below(), vec![opaque("none")]],
            Tree(&["a/", "a/old=old", "a/sub/", "a/sub/x=x", "b=b"]),
        ),
        case(
            "opaque of nothing, and something in it",
            [below(), vec![opaque("none"), f("none/x", "x")]],
            Tree(&[
                "a/",
                "a/old=old",
                "a/sub/",
                "a/sub/x=x",
                "b=b",
                "none/",
                "none/x=x",
            ]),
        ),
        case(
            "whiteout, then made again",
            [below(), vec![wh("a"), d("a/"), f("a/new", "new")]],
            Tree(&["a/", "a/new=new", "b=b"]),
        ),
        case(
            "made again, then whiteout",
            [below(), vec![d("a/"), f("a/new", "new"), wh("a")]],
            Tree(&["a/", "a/new=new", "b=b"]),
        ),
        case(
            "implied, then whiteout",
            [below(), vec![f("a/new", "new"), wh("a")]],
            Tree(&["a/", "a/new=new", "b=b"]),
        ),
        case(
            "whiteout, then implied",
            [below(), vec![wh("a"), f("a/new", "new")]],
            Tree(&["a/", "a/new=new", "b=b"]),
        ),
        case(
            "whiteout of the layer's own file",
            [below(), vec![d("a/"), f("a/new", "new"), wh("a/new")]],
            Tree(&["a/", "a/new=new", "a/old=old", "a/sub/", "a/sub/x=x", "b=b"]),
        ),
        case(
            "whiteout of a file of both",
            [below(), vec![f("b", "new"), wh("b")]],
            Tree(&["a/", "a/old=old", "a/sub/", "a/sub/x=x", "b=new"]),
        ),
        case(
            "whiteout of parent and child",
            [below(), vec![wh("a"), wh("a/sub"), wh("a/sub/x")]],
            Tree(&["b=b"]),
        ),
        case(
            "whiteout of child and parent",
            [below(), vec![wh("a/sub/x"), wh("a/sub"), wh("a")]],
            Tree(&["b=b"]),
        ),
        case(
            "whiteout of nothing",
            [below(), vec![wh("none"), wh("a/none"), wh("none/none")]],
            Tree(&["a/", "a/old=old", "a/sub/", "a/sub/x=x", "b=b"]),
        ),
        case(
            "whiteout of nothing in a new directory",
            [below(), vec![d("new/"), wh("new/none"), f("new/x", "x")]],
            Tree(&[
                "a/",
                "a/old=old",
                "a/sub/",
                "a/sub/x=x",
                "b=b",
                "new/",
                "new/x=x",
            ]),
        ),
        case(
            "whiteouts in the lowest layer",
            [vec![
                d("a/"),
                wh("a/x"),
                wh("y"),
                f("a/z", "z"),
                opaque("a"),
                opaque("q"),
            ]],
            Tree(&["a/", "a/z=z"]),
        ),
        case(
            "whiteout of nothing through a file",
            [below(), vec![wh("b/none")]],
            Tree(&["a/", "a/old=old", "a/sub/", "a/sub/x=x", "b=b"]),
        ),
        case(
            "whiteout through a link below",
            [
                vec![
                    d("usr/"),
                    f("usr/x", "x"),
                    f("usr/y", "y"),
                    Member::symlink("l", "usr"),
                ],
                vec![wh("l/x")],
            ],
            Tree(&["l->usr", "usr/", "usr/y=y"]),
        ),
        case(
            "hidden, then back again in a third layer",
            [below(), vec![wh("a")], vec![d("a/"), f("a/third", "3")]],
            Tree(&["a/", "a/third=3", "b=b"]),
        ),
        case(
            "hidden, then implied in a third layer",
            [below(), vec![wh("a")], vec![f("a/third", "3")]],
            Tree(&["a/", "a/third=3", "b=b"]),
        ),
        case(
            "opaque in the middle",
            [
                below(),
                vec![d("a/"), opaque("a"), f("a/m", "m")],
                vec![f("a/sub/t", "t")],
            ],
            Tree(&["a/", "a/m=m", "a/sub/", "a/sub/t=t", "b=b"]),
        ),
        case(
            "whiteout of an empty name",
            [below(), vec![f(".wh.", "")]],
            Refused(&["layer 2", "entry .wh.", "a whiteout of no file"]),
        ),
        case(
            "whiteout of dot",
            [below(), vec![f("a/.wh..", "")]],
            Refused(&["layer 2", "entry a/.wh..", "a whiteout of no file"]),
        ),
        case(
            "whiteout of dot dot",
            [below(), vec![f("a/.wh...", "")]],
            Refused(&["layer 2", "entry a/.wh...", "a whiteout of no file"]),
        ),
        case(
            "below a whiteout's name",
            [below(), vec![f(".wh.a/x", "x")]],
            Refused(&["layer 2", "entry .wh.a/x", "whiteout's"]),
        ),
        case(
            "AUFS's own",
            [
                below(),
                vec![
                    f(".wh..wh.aufs", ""),
                    d(".wh..wh.plnk/"),
                    f(".wh..wh.plnk/1.2", "x"),
                ],
            ],
            Tree(&["a/", "a/old=old", "a/sub/", "a/sub/x=x", "b=b"]),
        ),
    ]
}

fn links() -> Vec<Case> {
    let below = || {
        vec![
            d("etc/"),
            f("etc/a", "a"),
            Member::hard_link("etc/a2", "etc/a"),
            f("top", "top"),
        ]
    };
    vec![
        case(
            "a hard link",
            [vec![f("x", "x"), Member::hard_link("y", "x")]],
            Tree(&["x=x", "y==x"]),
        ),
        case(
            "a hard link by an absolute name",
            [vec![f("x", "x"), Member::hard_link("y", "/./x")]],
            Tree(&["x=x", "y==x"]),
        ),
        case(
            "a hard link to a link",
            [vec![
                Member::symlink("x", "/etc/passwd"),
                Member::hard_link("y", "x"),
            ]],
            Tree(&["x->/etc/passwd", "y==x"]),
        ),
        case(
            "a hard link to a file below",
            [below(), vec![Member::hard_link("z", "top")]],
            Tree(&["etc/", "etc/a=a", "etc/a2==etc/a", "top=top", "z==top"]),
        ),
        case(
            "a hard link to a file below that has two names",
            [below(), vec![Member::hard_link("z", "etc/a2")]],
            Tree(&["etc/", "etc/a=a", "etc/a2==etc/a", "top=top", "z==etc/a"]),
        ),
        case(
            "two hard links to a file below",
            [
                below(),
                vec![Member::hard_link("y", "top"), Member::hard_link("z", "top")],
            ],
            Tree(&[
                "etc/",
                "etc/a=a",
                "etc/a2==etc/a",
                "top=top",
                "y==top",
                "z==top",
            ]),
        ),
        case(
            "a chain of hard links from below",
            [
                below(),
                vec![Member::hard_link("y", "top"), Member::hard_link("z", "y")],
            ],
            Tree(&[
                "etc/",
                "etc/a=a",
                "etc/a2==etc/a",
                "top=top",
                "y==top",
                "z==top",
            ]),
        ),
        case(
            "a hard link to what is then replaced",
            [
                below(),
                vec![Member::hard_link("y", "top"), f("top", "new")],
            ],
            Tree(&["etc/", "etc/a=a", "etc/a2==etc/a", "top=new", "y=top"]),
        ),
        case(
            "a hard link to what was replaced",
            [
                below(),
                vec![f("top", "new"), Member::hard_link("y", "top")],
            ],
            Tree(&["etc/", "etc/a=a", "etc/a2==etc/a", "top=new", "y==top"]),
        ),
        case(
            "a hard link to what is hidden",
            [below(), vec![wh("top"), Member::hard_link("y", "top")]],
            Refused(&[
                "layer 2",
                "entry y",
                "a hard link to top, which is not there",
            ]),
        ),
        case(
            "a hard link to nothing",
            [vec![Member::hard_link("y", "none")]],
            Refused(&["layer 1", "entry y", "which is not there"]),
        ),
        case(
            "a hard link to a later file",
            [vec![Member::hard_link("y", "later"), f("later", "x")]],
            Refused(&["layer 1", "entry y", "which is not there"]),
        ),
        case(
            "a hard link to a directory",
            [below(), vec![Member::hard_link("y", "etc")]],
            Refused(&["layer 2", "entry y", "a hard link to a directory"]),
        ),
        case(
            "a hard link to itself",
            [vec![f("x", "x"), Member::hard_link("x", "x")]],
            Tree(&["x=x"]),
        ),
        case(
            "a hard link to itself, which is nothing",
            [vec![Member::hard_link("x", "x")]],
            Refused(&["layer 1", "entry x", "which is not there"]),
        ),
        case(
            "a hard link in place of a file",
            [vec![f("x", "x"), f("y", "y"), Member::hard_link("y", "x")]],
            Tree(&["x=x", "y==x"]),
        ),
        case(
            "a hard link in place of what it leads to",
            [vec![d("x/"), f("x/y", "y"), Member::hard_link("x", "x/y")]],
            Refused(&["layer 1", "entry x", "not there"]),
        ),
        case(
            "a hard link to the root",
            [vec![Member::hard_link("x", "/")]],
            Refused(&["layer 1", "entry x", "root"]),
        ),
        case(
            "a hard link upwards",
            [vec![Member::hard_link("x", "../canary/file")]],
            Refused(&["layer 1", "entry x", "with .. in it"]),
        ),
        case(
            "a hard link through a link upwards",
            [vec![
                Member::symlink("up", "../../../.."),
                Member::hard_link("x", "up/canary/file"),
            ]],
            Refused(&["layer 1", "entry x", "not there"]),
        ),
        case(
            "a hard link through an absolute link",
            [vec![
                Member::symlink("abs", "/tmp"),
                Member::hard_link("x", "abs/escaped"),
            ]],
            Refused(&["layer 1", "entry x", "not there"]),
        ),
        case(
            "a hard link below, through a link below",
            [
                vec![
                    d("usr/"),
                    d("usr/bin/"),
                    f("usr/bin/sh", "sh"),
                    Member::symlink("bin", "usr/bin"),
                ],
                vec![Member::hard_link("bin/dash", "bin/sh")],
            ],
            Tree(&[
                "bin->usr/bin",
                "usr/",
                "usr/bin/",
                "usr/bin/dash=sh",
                "usr/bin/sh==usr/bin/dash",
            ]),
        ),
        case(
            "a hard link to a fifo below",
            [
                vec![Member::new(b'6', "p")],
                vec![Member::hard_link("q", "p")],
            ],
            Tree(&["p|", "q==p"]),
        ),
        case(
            "a link to nothing at all",
            [vec![Member::symlink("x", "")]],
            Refused(&["layer 1", "entry x", "a link to nothing"]),
        ),
    ]
}

fn parents() -> Vec<Case> {
    let usr = || {
        vec![
            d("usr/"),
            d("usr/bin/").mode(0o711),
            f("usr/bin/old", "old"),
            Member::symlink("bin", "usr/bin"),
        ]
    };
    vec![
        case(
            "a link below as a parent",
            [usr(), vec![f("bin/foo", "foo")]],
            Tree(&[
                "bin->usr/bin",
                "usr/",
                "usr/bin/",
                "usr/bin/foo=foo",
                "usr/bin/old=old",
            ]),
        ),
        case(
            "a link below as a parent, replacing",
            [usr(), vec![f("bin/old", "new")]],
            Tree(&["bin->usr/bin", "usr/", "usr/bin/", "usr/bin/old=new"]),
        ),
        case(
            "a link below and the directory itself",
            [usr(), vec![f("usr/bin/foo", "1"), f("bin/foo", "2")]],
            Tree(&[
                "bin->usr/bin",
                "usr/",
                "usr/bin/",
                "usr/bin/foo=2",
                "usr/bin/old=old",
            ]),
        ),
        case(
            "the directory itself and a link below",
            [usr(), vec![f("bin/foo", "2"), f("usr/bin/foo", "1")]],
            Tree(&[
                "bin->usr/bin",
                "usr/",
                "usr/bin/",
                "usr/bin/foo=1",
                "usr/bin/old=old",
            ]),
        ),
        case(
            "a link two layers below",
            [usr(), vec![f("x", "x")], vec![f("bin/foo", "foo")]],
            Tree(&[
                "bin->usr/bin",
                "usr/",
                "usr/bin/",
                "usr/bin/foo=foo",
                "usr/bin/old=old",
                "x=x",
            ]),
        ),
        case(
            "a directory in place of a link below",
            [usr(), vec![d("bin/"), f("bin/foo", "foo")]],
            Tree(&["bin/", "bin/foo=foo", "usr/", "usr/bin/", "usr/bin/old=old"]),
        ),
        case(
            "a link in place of a directory below",
            [
                vec![d("bin/"), f("bin/x", "x")],
                vec![d("usr/"), Member::symlink("bin", "usr"), f("bin/y", "y")],
            ],
            Tree(&["bin->usr", "usr/", "usr/y=y"]),
        ),
        case(
            "a link to a link below",
            [
                usr(),
                vec![Member::symlink("sbin", "bin"), f("sbin/foo", "foo")],
            ],
            Tree(&[
                "bin->usr/bin",
                "sbin->bin",
                "usr/",
                "usr/bin/",
                "usr/bin/foo=foo",
                "usr/bin/old=old",
            ]),
        ),
        case(
            "a link that is hidden as a parent",
            [usr(), vec![wh("bin"), f("bin/foo", "foo")]],
            Tree(&["bin/", "bin/foo=foo", "usr/", "usr/bin/", "usr/bin/old=old"]),
        ),
        case(
            "implied directories below",
            [
                vec![
                    d("a/").mode(0o700).owner(7, 8).mtime(5),
                    d("a/b/").mode(0o1777).xattr("user.x", "y"),
                ],
                vec![f("a/b/c", "c")],
            ],
            Tree(&["a/", "a/b/", "a/b/c=c"]),
        ),
        case(
            "implied directories",
            [vec![f("a/b/c", "c")]],
            Tree(&["a/", "a/b/", "a/b/c=c"]),
        ),
        case(
            "implied directories made known later",
            [vec![
                f("a/b/c", "c"),
                d("a/b/").mode(0o700).mtime(3),
                d("a/").mode(0o711),
            ]],
            Tree(&["a/", "a/b/", "a/b/c=c"]),
        ),
        case(
            "implied, and a file below",
            [vec![f("a", "a")], vec![f("a/b", "b")]],
            Refused(&[
                "layer 2",
                "entry a/b",
                "a, where it is to be in, is no directory",
            ]),
        ),
        case(
            "implied, and a file of the layer",
            [vec![f("a", "a"), f("a/b", "b")]],
            Refused(&[
                "layer 1",
                "entry a/b",
                "a, where it is to be in, is no directory",
            ]),
        ),
        case(
            "a dangling link as a parent",
            [vec![Member::symlink("a", "b/c"), f("a/x", "x")]],
            Tree(&["a->b/c", "b/", "b/c/", "b/c/x=x"]),
        ),
        case(
            "a link to itself as a parent",
            [vec![Member::symlink("a", "a"), f("a/x", "x")]],
            Refused(&["layer 1", "entry a/x", "too many symbolic links"]),
        ),
        case(
            "a loop of links as a parent",
            [
                vec![Member::symlink("a", "b"), Member::symlink("b", "a")],
                vec![f("a/x", "x")],
            ],
            Refused(&["layer 2", "entry a/x", "too many symbolic links"]),
        ),
        case(
            "only the root's attributes",
            [
                vec![d("./").mode(0o711).owner(3, 4).mtime(9)],
                vec![f("x", "x")],
            ],
            Tree(&["x=x"]),
        ),
        case(
            "the root's attributes twice",
            [
                vec![d("./").mode(0o711)],
                vec![d("/").mode(0o755).mtime(77).xattr("user.r", "r")],
                vec![f("x", "x")],
            ],
            Tree(&["x=x"]),
        ),
        case(
            "no root's attributes",
            [vec![f("x", "x").mtime(12)], vec![f("y", "y")]],
            Tree(&["x=x", "y=y"]),
        ),
        case(
            "an empty layer",
            [vec![], vec![f("y", "y")], vec![]],
            Tree(&["y=y"]),
        ),
    ]
}

fn replaced() -> Vec<Case> {
    let below = || {
        vec![
            d("a/").mode(0o700).xattr("user.below", "1"),
            f("a/old", "old"),
            f("b", "b"),
            Member::symlink("l", "a"),
        ]
    };
    vec![
        case(
            "the same file twice",
            [vec![f("x", "1"), f("x", "22")]],
            Tree(&["x=22"]),
        ),
        case(
            "a file, then a directory",
            [vec![f("x", "1"), d("x/"), f("x/y", "y")]],
            Tree(&["x/", "x/y=y"]),
        ),
        case(
            "a directory, then a file",
            [vec![d("x/"), d("x/d/"), f("x/d/y", "y"), f("x", "1")]],
            Tree(&["x=1"]),
        ),
        case(
            "a directory, a file, a directory",
            [vec![
                d("x/"),
                f("x/y", "y"),
                f("x", "1"),
                d("x/"),
                f("x/z", "z"),
            ]],
            Tree(&["x/", "x/z=z"]),
        ),
        case(
            "a directory twice",
            [vec![
                d("x/").mode(0o700),
                f("x/y", "y"),
                d("x/").mode(0o711).mtime(5),
            ]],
            Tree(&["x/", "x/y=y"]),
        ),
        case(
            "a link, then a file through nothing",
            [vec![Member::symlink("x", "/tmp/escaped"), f("x", "1")]],
            Tree(&["x=1"]),
        ),
        case(
            "a link, then a directory",
            [vec![Member::symlink("x", "/tmp"), d("x/"), f("x/y", "y")]],
            Tree(&["x/", "x/y=y"]),
        ),
        case(
            "a directory below, then a file",
            [below(), vec![f("a", "now a file")]],
            Tree(&["a=now a file", "b=b", "l->a"]),
        ),
        case(
            "a file below, then a directory",
            [below(), vec![d("b/"), f("b/x", "x")]],
            Tree(&["a/", "a/old=old", "b/", "b/x=x", "l->a"]),
        ),
        case(
            "a link below, then a file",
            [below(), vec![f("l", "file")]],
            Tree(&["a/", "a/old=old", "b=b", "l=file"]),
        ),
        case(
            "a directory's attributes are replaced",
            [
                below(),
                vec![
                    d("a/")
                        .mode(0o1755)
                        .owner(5, 6)
                        .mtime(1)
                        .xattr("user.new", "2"),
                ],
            ],
            Tree(&["a/", "a/old=old", "b=b", "l->a"]),
        ),
        case(
            "a directory below, a file, a directory",
            [below(), vec![f("a", "x")], vec![d("a/"), f("a/z", "z")]],
            Tree(&["a/", "a/z=z", "b=b", "l->a"]),
        ),
        case(
            "a fifo",
            [vec![Member::new(b'6', "p").mode(0o622).owner(3, 4)]],
            Tree(&["p|"]),
        ),
        case(
            "a fifo in place of a directory below",
            [below(), vec![Member::new(b'6', "a")]],
            Tree(&["a|", "b=b", "l->a"]),
        ),
        case(
            "devices",
            [vec![
                Member::new(b'3', "null").device(1, 3).mode(0o666),
                Member::new(b'4', "sda")
                    .device(8, 1048575)
                    .mode(0o660)
                    .owner(0, 6),
            ]],
            Tree(&["null%1:3", "sda%8:1048575"]),
        ),
        case(
            "a socket is skipped",
            [vec![f("s", "").mode(0o140_755), f("x", "x")]],
            Tree(&["x=x"]),
        ),
    ]
}

fn hostile() -> Vec<Case> {
    vec![
        case(
            "an absolute link as a parent",
            [vec![Member::symlink("a", "/tmp"), f("a/escaped", "x")]],
            Tree(&["a->/tmp", "tmp/", "tmp/escaped=x"]),
        ),
        case(
            "a link upwards as a parent",
            [vec![
                Member::symlink("a", "../../../../../.."),
                f("a/escaped", "x"),
            ]],
            Tree(&["a->../../../../../..", "escaped=x"]),
        ),
        case(
            "a link upwards below as a parent",
            [
                vec![Member::symlink("a", "../../canary")],
                vec![f("a/file", "x")],
            ],
            Tree(&["a->../../canary", "canary/", "canary/file=x"]),
        ),
        case(
            "a chain of links upwards",
            [vec![
                d("d/"),
                Member::symlink("d/a", ".."),
                Member::symlink("d/a/b", "../.."),
                f("d/a/b/canary/file", "x"),
            ]],
            Tree(&["b->../..", "canary/", "canary/file=x", "d/", "d/a->.."]),
        ),
        case(
            "a link swapped for a directory",
            [vec![
                d("d/"),
                f("d/x", "1"),
                Member::symlink("d", "/canary"),
                f("d/file", "2"),
            ]],
            Tree(&["canary/", "canary/file=2", "d->/canary"]),
        ),
        case(
            "the root as a link",
            [vec![Member::symlink(".", "/canary"), f("file", "x")]],
            Refused(&["layer 1", "entry .", "the root directory as something else"]),
        ),
        case(
            "the root as a file",
            [vec![f("./", "x")]],
            Refused(&["layer 1", "the root directory as something else"]),
        ),
        case(
            "a name upwards",
            [vec![f("../escaped", "x")]],
            Refused(&["layer 1", "entry ../escaped", "a name with .. in it"]),
        ),
        case(
            "a name down and upwards",
            [vec![f("a/../../escaped", "x")]],
            Refused(&["layer 1", "entry a/../../escaped", "with .. in it"]),
        ),
        case(
            "an absolute name",
            [vec![f("/tmp/escaped", "x")]],
            Tree(&["tmp/", "tmp/escaped=x"]),
        ),
        case(
            "a whiteout of what is outside",
            [vec![f("../.wh.escaped", "")]],
            Refused(&["layer 1", "with .. in it"]),
        ),
        case(
            "a whiteout through a link upwards",
            [
                vec![Member::symlink("up", "..")],
                vec![f("up/.wh.escaped", "")],
            ],
            Tree(&["up->.."]),
        ),
        case(
            "opaque through a link upwards",
            [vec![Member::symlink("up", "../canary")], vec![opaque("up")]],
            Tree(&["up->../canary"]),
        ),
        case(
            "a set-user-ID file through a link",
            [
                vec![Member::symlink("x", "/canary/file")],
                vec![f("x", "new").mode(0o4755)],
            ],
            Tree(&["x=new"]),
        ),
        case(
            "overlayfs's own xattrs",
            [
                vec![d("a/"), f("a/x", "x"), f("a/y", "y")],
                vec![
                    d("a/")
                        .xattr("trusted.overlay.opaque", "y")
                        .xattr("user.overlay.opaque", "y"),
                    f("b", "").xattr("trusted.overlay.whiteout", ""),
                    d("c/").xattr("trusted.overlay.redirect", "/a"),
                    f("a/y", "").xattr("trusted.overlay.metacopy", ""),
                ],
            ],
            Tree(&["a/", "a/x=x", "a/y=", "b=", "c/"]),
        ),
        case(
            "overlayfs's whiteout as a device",
            [vec![f("a", "a")], vec![Member::new(b'3', "a")]],
            Refused(&["layer 2", "entry a", "character device 0:0"]),
        ),
        case(
            "a block device 0:0",
            [vec![f("a", "a")], vec![Member::new(b'4', "a")]],
            Tree(&["a%0:0"]),
        ),
        case(
            "a device out of range",
            [vec![Member::new(b'3', "a").device(4096, 0)]],
            Refused(&["layer 1", "entry a", "major number is out of range"]),
        ),
        case(
            "a device's minor out of range",
            [vec![Member::new(b'4', "a").device(1, 1 << 20)]],
            Refused(&["layer 1", "entry a", "minor number is out of range"]),
        ),
        case(
            "deeper than the limit",
            [vec![f(&"d/".repeat(600), "x")]],
            Refused(&["layer 1", "512 directories deep"]),
        ),
        case(
            "deeper than the limit by a link",
            [vec![Member::symlink("l", "d/".repeat(600)), f("l/x", "x")]],
            Refused(&["layer 1", "entry l/x", "512 directories deep"]),
        ),
    ]
}

fn names() -> Vec<Case> {
    vec![
        case(
            "names that are not UTF-8",
            [vec![
                Member::file(b"\xff\xfe", "1"),
                Member::file(b"d/\x80", "2"),
                Member::symlink("l", b"\xc3\x28"),
            ]],
            Tree(&["d/", "d/\\x80=2", "l->\\xc3(", "\\xff\\xfe=1"]),
        ),
        case(
            "names with everything",
            [vec![
                f("a b\n\t*?\"'", "1"),
                f("\\", "2"),
                f("...", "3"),
                f("..a", "4"),
                f(".wh", "5"),
                f("wh.", "6"),
            ]],
            Tree(&[
                "...=3",
                "..a=4",
                ".wh=5",
                "\\\\=2",
                "a b\\n\\t*?\\\"\\'=1",
                "wh.=6",
            ]),
        ),
        case(
            "a name in many ways",
            [vec![
                f("./a", "1"),
                f("/a", "2"),
                f("a/", "3"),
                f(".//./a", "4"),
            ]],
            Tree(&["a=4"]),
        ),
        case(
            "an empty name",
            [vec![f("", "1")]],
            Refused(&["layer 1", "without a name"]),
        ),
    ]
}
