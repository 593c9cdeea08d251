//! The store: layers that are unpacked once, used by many, and removed when nobody does.

use crate::corpus::layout::{Image, Layout};
use crate::corpus::{Member, Tar};
use crate::listing;
use crate::program::{Shop, names};
use libtest_mimic::{Failed, Trial};
use rustix::mount::{MountFlags, UnmountFlags};
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

pub fn tests() -> Vec<Trial> {
    let test = |name: &str, run: fn()| {
        Trial::test(format!("store::{name}"), move || {
            run();
            Ok::<(), Failed>(())
        })
    };
    vec![
        test("layers_are_shared", layers_are_shared),
        test(
            "what_depends_on_below_is_not_shared",
            what_depends_on_below_is_not_shared,
        ),
        test("modes", modes),
        test("the_target_must_be_free", the_target_must_be_free),
        test("without_overlay", without_overlay),
        test(
            "a_bad_layer_leaves_the_good_ones",
            a_bad_layer_leaves_the_good_ones,
        ),
        test("at_the_same_time", at_the_same_time),
        test("killed", killed),
        test("killed_in_flat_mode", killed_in_flat_mode),
        test("collecting", collecting),
        test("removing", removing),
        test("a_bundle_that_moves", a_bundle_that_moves),
        test("a_crash_of_the_machine", a_crash_of_the_machine),
        test(
            "a_store_that_is_open_to_others",
            a_store_that_is_open_to_others,
        ),
        test("what_an_image_claims_to_have", what_an_image_claims_to_have),
        test("limits", limits),
        test("limits_are_the_image_s", limits_are_the_image_s),
        test("what_is_copied_counts", what_is_copied_counts),
    ]
}

fn base() -> Vec<u8> {
    Tar::of([
        Member::dir("./").mode(0o751),
        Member::dir("etc/"),
        Member::file("etc/base", "base"),
        Member::dir("gone/"),
        Member::file("gone/file", ""),
    ])
}

fn top(name: &str) -> Vec<u8> {
    Tar::of([
        Member::dir("etc/"),
        Member::file("etc/top", name),
        Member::file(".wh.gone", ""),
    ])
}

/// Images of the same base, tagged by name.
fn images(shop: &Shop, tops: &[&str]) {
    let mut layout = Layout::new(shop.path("layout"));
    for name in tops {
        let descriptor = layout.image(&Image::of(vec![base(), top(name)]));
        layout.tag(name, descriptor);
    }
}

fn layers(shop: &Shop) -> Vec<String> {
    names(&shop.store().join("layers"))
}

fn layers_are_shared() {
    let shop = Shop::new();
    images(&shop, &["a", "b"]);
    shop.ok(&["unpack", "--mode", "flat", "layout:a", "flat"]);
    assert!(!shop.store().exists());
    for bundle in ["one", "two"] {
        shop.ok(&["unpack", "layout:a", bundle]);
    }
    assert_eq!(layers(&shop).len(), 2);
    let inode = || {
        let tree = shop
            .store()
            .join("layers")
            .join(&layers(&shop)[0])
            .join("tree");
        std::fs::metadata(tree).unwrap().ino()
    };
    let before = inode();
    shop.ok(&["unpack", "layout:b", "three"]);
    assert_eq!(layers(&shop).len(), 3);
    assert_eq!(inode(), before, "it was unpacked again");
    // The bundle has nothing but its own.
    let own = names(&shop.path("one"));
    assert_eq!(
        own,
        ["config.json", "overlay.json", "rootfs", "upper", "work"]
    );
    assert!(names(&shop.path("one/upper")).is_empty());
    assert_eq!(
        std::fs::metadata(shop.path("one/upper")).unwrap().mode() & 0o7777,
        0o751
    );
    let listed = shop.json(&["image", "list", "--json"]);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let of = |tag: &str| {
        let is_it = |image: &&Value| image["tags"][0] == tag;
        listed.as_array().unwrap().iter().find(is_it).unwrap()["bundles"].clone()
    };
    assert_eq!(of("b"), json!([shop.path("three")]));
    assert_eq!(of("a").as_array().unwrap().len(), 2);
    // As the flat one has it.
    let merged = stacked(&shop, "one");
    assert_eq!(
        listing::full(&merged.0),
        listing::full(&shop.path("flat/rootfs"))
    );
}

/// A bundle's root, mounted as the kernel's own tools would.
struct Merged(std::path::PathBuf);

impl Drop for Merged {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

fn stacked(shop: &Shop, bundle: &str) -> Merged {
    let bundle = shop.path(bundle);
    let overlay: Value =
        serde_json::from_slice(&std::fs::read(bundle.join("overlay.json")).unwrap()).unwrap();
    let layers = overlay["layers"].as_array().unwrap().iter();
    let layers: Vec<String> = layers
        .map(|layer| {
            shop.store()
                .join(layer.as_str().unwrap())
                .display()
                .to_string()
        })
        .collect();
    let at = bundle.display();
    let layers = layers.join(":");
    let options = format!("lowerdir={layers},upperdir={at}/upper,workdir={at}/work");
    let options = std::ffi::CString::new(options).unwrap();
    let target = bundle.join("rootfs");
    let none = MountFlags::empty();
    rustix::mount::mount(
        "overlay",
        &target,
        "overlay",
        none,
        Some(options.as_c_str()),
    )
    .unwrap();
    Merged(target)
}

/// Where a layer's content hangs on what is below, it has a place for each such stack.
fn what_depends_on_below_is_not_shared() {
    let shop = Shop::new();
    let mut layout = Layout::new(shop.path("layout"));
    let dependent = Tar::of([Member::file("bin/tool", "tool")]);
    let link = Tar::of([
        Member::dir("usr/"),
        Member::dir("usr/bin/"),
        Member::symlink("bin", "usr/bin"),
    ]);
    let plain = Tar::of([Member::dir("bin/").mode(0o700)]);
    for (name, below) in [("link", link), ("plain", plain), ("alone", Vec::new())] {
        let tars = [below, dependent.clone()]
            .into_iter()
            .filter(|tar| !tar.is_empty());
        let descriptor = layout.image(&Image::of(tars.collect()));
        layout.tag(name, descriptor);
        shop.ok(&["unpack", &layout.reference(&format!(":{name}")), name]);
        shop.ok(&[
            "unpack",
            "--mode",
            "flat",
            &format!("layout:{name}"),
            &format!("{name}-flat"),
        ]);
    }
    assert_eq!(layers(&shop).len(), 5);
    for name in ["link", "plain", "alone"] {
        let merged = stacked(&shop, name);
        let flat = shop.path(&format!("{name}-flat/rootfs"));
        let of = |root: &Path| {
            // Nobody says what the root directory's times are: a space stands before its line.
            let lines = listing::full(root).into_iter();
            lines
                .filter(|line| !line.starts_with(' '))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(&merged.0), of(&flat), "{name}");
    }
    assert!(shop.path("link-flat/rootfs/usr/bin/tool").exists());
}

/// CVE-2024-25621.
fn modes() {
    let shop = Shop::new();
    images(&shop, &["a"]);
    for mode in ["flat", "overlay"] {
        shop.ok(&["unpack", "--mode", mode, "layout", mode]);
        let mode = std::fs::metadata(shop.path(mode)).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o700);
    }
    let mode = std::fs::metadata(shop.store()).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o700);
}

fn the_target_must_be_free() {
    let shop = Shop::new();
    images(&shop, &["a"]);
    std::fs::create_dir(shop.path("empty")).unwrap();
    shop.ok(&["unpack", "layout", "empty"]);
    shop.fails(&["unpack", "layout", "empty"], &["exists and is not empty"]);
    std::fs::write(shop.path("file"), "").unwrap();
    shop.fails(&["unpack", "layout", "file"], &["file exists"]);
    std::os::unix::fs::symlink("nowhere", shop.path("link")).unwrap();
    shop.fails(&["unpack", "layout", "link"], &["link exists"]);
    shop.fails(&["unpack", "layout", "no/such/parent"], &["no such file"]);
}

/// overlayfs takes no writable layer that is itself on overlayfs.
fn without_overlay() {
    let shop = Shop::new();
    images(&shop, &["a"]);
    let over = over(&shop.place.path);
    shop.ok(&["unpack", "layout", "over/flat"]);
    assert!(over.0.join("flat/rootfs/etc/base").exists());
    shop.fails(
        &["unpack", "--mode", "overlay", "layout", "over/overlay"],
        &["overlay"],
    );
    assert_eq!(names(&over.0), ["flat"]);
}

/// An overlay in a directory.
fn over(directory: &Path) -> Merged {
    for name in ["lower", "upper", "work", "over"] {
        std::fs::create_dir(directory.join(name)).unwrap();
    }
    let at = directory.display();
    let options = format!("lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work");
    let options = std::ffi::CString::new(options).unwrap();
    let over = directory.join("over");
    let none = MountFlags::empty();
    rustix::mount::mount("overlay", &over, "overlay", none, Some(options.as_c_str())).unwrap();
    Merged(over)
}

fn a_bad_layer_leaves_the_good_ones() {
    let shop = Shop::new();
    let mut layout = Layout::new(shop.path("layout"));
    let mut image = Image::of(vec![base(), top("a")]);
    image.config["rootfs"]["diff_ids"][1] = format!("sha256:{}", "0".repeat(64)).into();
    let descriptor = layout.image(&image);
    layout.top(descriptor);
    for mode in ["flat", "overlay"] {
        shop.fails(
            &["unpack", "--mode", mode, "layout", "bundle"],
            &["layer 2"],
        );
        assert!(!shop.path("bundle").exists());
    }
    assert!(layers(&shop).len() <= 1);
    for directory in ["staging", "images", "bundles"] {
        assert!(names(&shop.store().join(directory)).is_empty());
    }
    let hidden = names(&shop.place.path)
        .into_iter()
        .find(|name| name.starts_with('.'));
    assert_eq!(hidden, None);
}

/// A layer that takes a moment.
fn large() -> Vec<u8> {
    let content = |file: u32| (0..20_000_u32).flat_map(move |n| (n * file).to_le_bytes());
    let files = (1..200_u32).map(|file| {
        let data: Vec<u8> = content(file).collect();
        Member::file(format!("large/{file}"), data)
    });
    let dir = [Member::dir("large/")];
    Tar::of(dir.into_iter().chain(files))
}

fn large_image(shop: &Shop) {
    let mut layout = Layout::new(shop.path("layout"));
    let descriptor = layout.image(&Image::of(vec![base(), large(), top("a")]));
    layout.top(descriptor);
}

fn at_the_same_time() {
    let shop = Shop::new();
    large_image(&shop);
    let bundles: Vec<String> = (0..6).map(|n| format!("bundle{n}")).collect();
    let started: Vec<_> = bundles
        .iter()
        .map(|bundle| shop.start(&["--debug", "unpack", "layout", bundle]))
        .collect();
    let mut waited = 0;
    for child in started {
        let outcome = child.finish();
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        waited += outcome
            .stderr
            .matches("another process is unpacking it")
            .count();
    }
    assert!(waited > 0, "nobody had to wait");
    assert_eq!(layers(&shop).len(), 3);
    assert!(names(&shop.store().join("staging")).is_empty());
    for bundle in &bundles {
        let merged = stacked(&shop, bundle);
        assert_eq!(names(&merged.0.join("large")).len(), 199);
    }
}

/// Kills unpacks at moments that come later and later; then the next one succeeds, and of the
/// killed ones nothing is left.
fn kill_many(mode: &str) {
    let shop = Shop::new();
    large_image(&shop);
    let mut killed = 0;
    for round in 0..25_u64 {
        let mut child = shop.start(&["unpack", "--mode", mode, "layout", "bundle"]);
        std::thread::sleep(Duration::from_millis(round * 8));
        killed += u32::from(child.child.try_wait().unwrap().is_none());
        child.kill();
        if shop.path("bundle").exists() {
            check(&shop, mode);
            std::fs::remove_dir_all(shop.path("bundle")).unwrap();
        }
        // What is in the store is whole, at any time.
        let kept = shop.store().join("layers");
        let whole = if kept.exists() {
            names(&kept)
        } else {
            Vec::new()
        };
        for layer in whole {
            assert!(kept.join(&layer).join("layer.json").exists(), "{layer}");
        }
    }
    assert!(killed > 3, "hardly any was killed: {killed}");
    shop.ok(&["unpack", "--mode", mode, "layout", "bundle"]);
    check(&shop, mode);
    let hidden = names(&shop.place.path)
        .into_iter()
        .find(|name| name.starts_with('.'));
    assert_eq!(hidden, None);
    if mode == "overlay" {
        shop.ok(&["image", "gc"]);
        assert!(names(&shop.store().join("staging")).is_empty());
        // Nobody locks the dead bundles' directories, and so they were removed.
        assert_eq!(names(&shop.store().join("bundles")).len(), 1);
        assert_eq!(layers(&shop).len(), 3);
    }
}

fn check(shop: &Shop, mode: &str) {
    let bundle = shop.path("bundle");
    assert!(bundle.join("config.json").exists());
    let merged = (mode == "overlay").then(|| stacked(shop, "bundle"));
    assert_eq!(names(&bundle.join("rootfs/large")).len(), 199);
    assert_eq!(
        std::fs::metadata(bundle.join("rootfs/large/199"))
            .unwrap()
            .len(),
        80_000
    );
    assert_eq!(std::fs::read(bundle.join("rootfs/etc/top")).unwrap(), b"a");
    drop(merged);
}

fn killed() {
    kill_many("overlay");
}

fn killed_in_flat_mode() {
    kill_many("flat");
}

fn collecting() {
    let shop = Shop::new();
    images(&shop, &["a", "b"]);
    assert_eq!(shop.json(&["image", "gc", "--json"])["layers"], json!([]));
    shop.ok(&["unpack", "layout:a", "one"]);
    shop.ok(&["unpack", "layout:b", "two"]);
    let nothing = shop.json(&["image", "gc", "--json"]);
    assert_eq!(
        (&nothing["layers"], &nothing["images"]),
        (&json!([]), &json!([]))
    );
    std::fs::remove_dir_all(shop.path("two")).unwrap();
    // Without --all, images are kept for the next time.
    assert_eq!(shop.json(&["image", "gc", "--json"])["layers"], json!([]));
    let collected = shop.json(&["image", "gc", "--all", "--json"]);
    assert_eq!(collected["layers"].as_array().unwrap().len(), 1);
    assert_eq!(collected["images"].as_array().unwrap().len(), 1);
    assert!(collected["bytes"].as_u64().unwrap() > 1000);
    assert_eq!(layers(&shop).len(), 2);
    let merged = stacked(&shop, "one");
    assert!(merged.0.join("etc/base").exists());
    drop(merged);
    std::fs::remove_dir_all(shop.path("one")).unwrap();
    shop.ok(&["image", "gc", "--all"]);
    for directory in ["layers", "locks", "staging", "images", "bundles", "run"] {
        assert!(
            names(&shop.store().join(directory)).is_empty(),
            "{directory}"
        );
    }
}

fn removing() {
    let shop = Shop::new();
    images(&shop, &["a", "b"]);
    shop.ok(&["unpack", "layout:a", "one"]);
    shop.ok(&["unpack", "layout:b", "two"]);
    shop.fails(&["image", "rm", "c"], &["no image \"c\"", "image list"]);
    std::fs::remove_dir_all(shop.path("two")).unwrap();
    shop.ok(&["image", "rm", "b"]);
    assert_eq!(layers(&shop).len(), 2);
    // In use: it is forgotten, but the bundle keeps what it needs.
    let listed = shop.json(&["image", "list", "--json"]);
    let digest = listed[0]["digest"].as_str().unwrap().to_owned();
    let said = shop.run(&["image", "rm", &digest[..20]]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("one keeps its layers"), "{said:?}");
    assert_eq!(layers(&shop).len(), 2);
    assert_eq!(shop.json(&["image", "list", "--json"]), json!([]));
    std::fs::remove_dir_all(shop.path("one")).unwrap();
    shop.ok(&["image", "gc"]);
    assert!(layers(&shop).is_empty());
}

fn a_bundle_that_moves() {
    let shop = Shop::new();
    images(&shop, &["a"]);
    shop.ok(&["unpack", "layout", "one"]);
    std::fs::rename(shop.path("one"), shop.path("other")).unwrap();
    shop.ok(&["image", "gc", "--all"]);
    assert_eq!(layers(&shop).len(), 2);
    // On another file system it cannot be told by a link.
    std::fs::create_dir(shop.path("disk")).unwrap();
    let none = MountFlags::empty();
    rustix::mount::mount("tmpfs", shop.path("disk"), "tmpfs", none, None).unwrap();
    let disk = Merged(shop.path("disk"));
    shop.ok(&["unpack", "layout", "disk/one"]);
    std::fs::remove_dir_all(shop.path("other")).unwrap();
    shop.ok(&["image", "gc", "--all"]);
    assert_eq!(layers(&shop).len(), 2);
    std::fs::remove_dir_all(shop.path("disk/one")).unwrap();
    shop.ok(&["image", "gc", "--all"]);
    assert!(layers(&shop).is_empty());
    drop(disk);
}

/// What was not on the disk when the machine went down is not believed.
fn a_crash_of_the_machine() {
    let shop = Shop::new();
    images(&shop, &["a"]);
    shop.ok(&["unpack", "layout", "one"]);
    let key = layers(&shop)[0].clone();
    let layer = shop.store().join("layers").join(&key);
    let record = std::fs::read_to_string(layer.join("layer.json")).unwrap();
    let mut changed: Value = serde_json::from_str(&record).unwrap();
    changed["unsyncedSinceBoot"] = "another".into();
    std::fs::write(layer.join("layer.json"), changed.to_string()).unwrap();
    std::fs::remove_dir_all(layer.join("tree/etc")).unwrap();
    shop.ok(&["unpack", "layout", "two"]);
    assert_eq!(
        std::fs::read_to_string(layer.join("layer.json")).unwrap(),
        record
    );
    assert!(layer.join("tree/etc").exists());
}

fn a_store_that_is_open_to_others() {
    let shop = Shop::new();
    images(&shop, &["a"]);
    std::fs::create_dir(shop.store()).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(shop.store(), open).unwrap();
    let command = ["unpack", "--mode", "overlay", "layout", "refused"];
    shop.fails(&command, &["open to others", "0700"]);
}

/// A layer of the store is an image's own where its blob is known to unpack to it, or does.
fn what_an_image_claims_to_have() {
    let shop = Shop::new();
    images(&shop, &["a"]);
    shop.ok(&["unpack", "layout:a", "one"]);
    let store = listing::full(&shop.store().join("layers"));
    // Another's DiffID, and another blob.
    let mut liar = Layout::new(shop.path("liar"));
    let mut image = Image::of(vec![base()]);
    image.tars = vec![top("not the base")];
    let descriptor = liar.image(&image);
    liar.top(descriptor);
    shop.fails(
        &["unpack", "--mode", "overlay", "liar", "refused"],
        &["layer 1", "DiffID should be"],
    );
    shop.nothing_is_left_of("refused");
    assert_eq!(listing::full(&shop.store().join("layers")), store);
    // The same layer, compressed otherwise: it is read once, and known then.
    let mut other = Layout::new(shop.path("other"));
    let mut image = Image::of(vec![base()]);
    image.packed = crate::corpus::Packed::Zstd;
    let manifest = other.manifest(&image);
    let descriptor = other.image(&image);
    other.top(descriptor);
    shop.ok(&["unpack", "other", "two"]);
    assert_eq!(layers(&shop).len(), 2);
    let blob = other.blob_path(&manifest["layers"][0]);
    let length = std::fs::metadata(&blob).unwrap().len();
    std::fs::write(&blob, vec![0; usize::try_from(length).unwrap()]).unwrap();
    shop.ok(&["unpack", "other", "three"]);
    // What is not even as long is not that blob.
    std::fs::write(&blob, "").unwrap();
    shop.fails(
        &["unpack", "--mode", "overlay", "other", "refused"],
        &["layer 1", "its descriptor says"],
    );
}

fn limits_are_the_image_s() {
    let shop = Shop::new();
    // Of five entries and three.
    images(&shop, &["a"]);
    let bytes = (base().len() + top("a").len()).to_string();
    let fewer = (base().len() + top("a").len() - 1).to_string();
    for round in ["at first", "with all layers in the store"] {
        for mode in ["flat", "overlay"] {
            let with = |limit: &str, value: &str, bundle: &str| {
                let command = ["unpack", "--mode", mode, limit, value, "layout", bundle];
                command.map(str::to_owned)
            };
            for (flag, value) in [("--max-entries", "7"), ("--max-bytes", &fewer)] {
                let command = with(flag, value, "refused");
                shop.fails(
                    &command.each_ref().map(String::as_str),
                    &["the limit", flag],
                );
                shop.nothing_is_left_of("refused");
            }
            for (flag, value) in [("--max-entries", "8"), ("--max-bytes", &bytes)] {
                let bundle = format!("{mode}{flag}{round}");
                shop.ok(&with(flag, value, &bundle).each_ref().map(String::as_str));
            }
        }
    }
}

/// overlayfs has a hard link to a file below as a copy of it.
fn what_is_copied_counts() {
    let shop = Shop::new();
    let below = Tar::of([Member::file("file", vec![b'x'; 100_000])]);
    let link = Tar::of([Member::hard_link("link", "file")]);
    let bytes = below.len() + link.len();
    let mut layout = Layout::new(shop.path("layout"));
    let descriptor = layout.image(&Image::of(vec![below, link]));
    layout.top(descriptor);
    let unpack = |mode: &str, bytes: usize, entries: &str| {
        let bytes = bytes.to_string();
        let bundle = format!("{mode}{bytes}{entries}");
        let limits = ["--max-bytes", &bytes, "--max-entries", entries];
        shop.run(
            &[
                &["unpack", "--mode", mode],
                &limits[..],
                &["layout", &bundle],
            ]
            .concat(),
        )
    };
    assert_eq!(unpack("flat", bytes, "2").code, Some(0));
    for (bytes, entries, is_enough) in [
        (bytes, "3", false),
        (bytes + 99_999, "3", false),
        (bytes + 100_000, "2", false),
        (bytes + 100_000, "3", true),
        (bytes + 99_999, "9", false),
    ] {
        let outcome = unpack("overlay", bytes, entries);
        assert_eq!(outcome.code == Some(0), is_enough, "{outcome:?}");
        assert!(
            is_enough || outcome.stderr.contains("the limit"),
            "{outcome:?}"
        );
    }
}

fn limits() {
    let shop = Shop::new();
    images(&shop, &["a"]);
    for mode in ["flat", "overlay"] {
        for (limit, value) in [
            ("--max-entries", "3"),
            ("--max-depth", "0"),
            ("--max-bytes", "1K"),
        ] {
            let command = ["unpack", "--mode", mode, limit, value, "layout", "refused"];
            shop.fails(&command, &["layer"]);
            shop.nothing_is_left_of("refused");
        }
    }
    shop.ok(&[
        "unpack",
        "--max-entries",
        "1K",
        "--max-depth",
        "3",
        "layout",
        "fine",
    ]);
}
