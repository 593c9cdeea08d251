//! Trees that are deeper than a process may have open directories.

use crate::corpus::layout::{Image, Layout};
use crate::corpus::{Member, Tar};
use crate::program::{Outcome, Running, Shop};
use libtest_mimic::{Failed, Trial};
use std::process::{Command, Stdio};

pub fn tests() -> Vec<Trial> {
    let test = |name: &str, run: fn()| {
        Trial::test(format!("deep::{name}"), move || {
            run();
            Ok::<(), Failed>(())
        })
    };
    vec![
        test("both_layers", both_layers),
        test("replaced_and_hidden", replaced_and_hidden),
        test("other_names", other_names),
    ]
}

/// Deeper than descriptors are allowed, and not so deep that the test cannot name it.
const DEPTH: usize = 1500;

fn path(depth: usize) -> String {
    "d/".repeat(depth)
}

/// All directories of a path, each with an entry of its own.
fn entries(depth: usize) -> impl Iterator<Item = Member> {
    (1..=depth).map(|depth| Member::dir(path(depth)).mode(0o711))
}

/// Runs with that many descriptors, soft and hard: nothing can be raised.
fn with_descriptors(shop: &Shop, descriptors: u32, args: &[&str]) -> Outcome {
    let inner = shop.command(args);
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""),
        ])
        .arg(inner.get_program())
        .args(inner.get_args())
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(&shop.place.path)
        .stdin(Stdio::null());
    Running::start(&mut command).finish()
}

fn unpack(shop: &Shop, mode: &str, bundle: &str) {
    let args = [
        "unpack",
        "--mode",
        mode,
        "--max-depth",
        "2000",
        "layout",
        bundle,
    ];
    let outcome = with_descriptors(shop, 256, &args);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

fn image(shop: &Shop, tars: Vec<Vec<u8>>) {
    let mut layout = Layout::new(shop.path("layout"));
    let descriptor = layout.image(&Image::of(tars));
    layout.top(descriptor);
}

fn both_layers() {
    let shop = Shop::new();
    let layer = |name: &str| {
        let file = Member::file(path(DEPTH) + name, name);
        Tar::of(entries(DEPTH).chain([file]))
    };
    image(&shop, vec![layer("below"), layer("above")]);
    for mode in ["flat", "overlay"] {
        unpack(&shop, mode, mode);
    }
    let bottom = shop.path("flat/rootfs").join(path(DEPTH));
    for name in ["below", "above"] {
        assert_eq!(std::fs::read_to_string(bottom.join(name)).unwrap(), name);
    }
    let mode = |depth| {
        let path = shop.path("flat/rootfs").join(path(depth));
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o7777
    };
    assert_eq!((mode(1), mode(DEPTH)), (0o711, 0o711));
    for command in [&["image", "gc", "--all"][..], &["image", "list"]] {
        assert_eq!(with_descriptors(&shop, 256, command).code, Some(0));
    }
}

/// A deep tree gives way: to a file, to a whiteout, to an opaque directory.
fn replaced_and_hidden() {
    let shop = Shop::new();
    let below = ["file/", "gone/", "opaque/"].into_iter().flat_map(|top| {
        let inner = entries(DEPTH).map(move |mut member| {
            member.name.splice(0..0, top.bytes());
            member
        });
        [Member::dir(top)].into_iter().chain(inner)
    });
    let above = [
        Member::file("file", "instead"),
        Member::file(".wh.gone", ""),
        Member::dir("opaque/"),
        Member::file("opaque/.wh..wh..opq", ""),
    ];
    image(&shop, vec![Tar::of(below), Tar::of(above)]);
    for mode in ["flat", "overlay"] {
        unpack(&shop, mode, mode);
    }
    assert_eq!(
        crate::listing::brief(&shop.path("flat/rootfs")),
        ["file=instead", "opaque/"]
    );
}

/// The other names of a file that is copied up are searched for in all that is below.
fn other_names() {
    let shop = Shop::new();
    let below = entries(DEPTH).chain([
        Member::file("file", "linked"),
        Member::hard_link(path(DEPTH) + "name", "file"),
    ]);
    let above = [Member::hard_link("another", "file")];
    image(&shop, vec![Tar::of(below), Tar::of(above)]);
    unpack(&shop, "overlay", "bundle");
    unpack(&shop, "flat", "flat");
    let text = std::fs::read_to_string(shop.path("flat/rootfs/another")).unwrap();
    assert_eq!(text, "linked");
}
