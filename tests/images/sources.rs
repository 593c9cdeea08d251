//! Where images come from, and which one is meant.

use crate::corpus::layout::{INDEX, Image, Layout, MANIFEST, archive, on};
use crate::corpus::{Member, Packed, Tar, blob};
use crate::program::{Running, Shop};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use libtest_mimic::{Failed, Trial};
use rustix::fs::{CWD, FileType, Mode};
use serde_json::{Value, json};
use std::path::Path;

pub fn tests() -> Vec<Trial> {
    let test = |name: &str, run: fn()| {
        Trial::test(format!("sources::{name}"), move || {
            run();
            Ok::<(), Failed>(())
        })
    };
    vec![
        test("tags", tags),
        test("two_images_of_one_name", two_images_of_one_name),
        test("platforms", platforms),
        test("nested_indexes", nested_indexes),
        test("attestations_and_artifacts", attestations_and_artifacts),
        test(
            "a_single_image_of_another_platform",
            a_single_image_of_another_platform,
        ),
        test("docker_media_types", docker_media_types),
        test("layer_types", layer_types),
        test("manifest_and_index_at_once", manifest_and_index_at_once),
        test("schema_1", schema_1),
        test("digests_and_sizes", digests_and_sizes),
        test("embedded_data", embedded_data),
        test("what_is_missing", what_is_missing),
        test("large_json", large_json),
        test("files_that_are_none", files_that_are_none),
        test("kinds_are_recognised", kinds_are_recognised),
        test("archives_are_refused", archives_are_refused),
        test(
            "limits_of_a_compressed_archive",
            limits_of_a_compressed_archive,
        ),
        test("long_names_in_an_archive", long_names_in_an_archive),
        test("docker_archives", docker_archives),
        test(
            "docker_archives_that_lead_outside",
            docker_archives_that_lead_outside,
        ),
    ]
}

fn layout(shop: &Shop) -> Layout {
    Layout::new(shop.path("layout"))
}

/// What the image of that reference has in its file "name".
fn name_of(shop: &Shop, image: &str, more: &[&str]) -> String {
    let bundle = shop.path("bundle");
    let _ = std::fs::remove_dir_all(&bundle);
    shop.ok(&[&["unpack", "--mode", "flat", image, "bundle"], more].concat());
    std::fs::read_to_string(bundle.join("rootfs/name")).unwrap()
}

fn tags() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let one = layout.image(&Image::small("one"));
    layout.tag("one", one.clone());
    assert_eq!(name_of(&shop, &layout.reference(""), &[]), "one");
    let mut two = layout.image(&Image::small("two"));
    two["annotations"]["io.containerd.image.name"] = "docker.io/library/two:2".into();
    layout.tag("2", two);
    assert_eq!(name_of(&shop, &layout.reference(":one"), &[]), "one");
    assert_eq!(name_of(&shop, &layout.reference(":2"), &[]), "two");
    assert_eq!(
        name_of(&shop, &layout.reference(":docker.io/library/two:2"), &[]),
        "two"
    );
    let by_digest = layout.reference(&format!("@{}", one["digest"].as_str().unwrap()));
    assert_eq!(name_of(&shop, &by_digest, &[]), "one");
    shop.refused(&layout.reference(""), &["which image", "the tags 2, one"]);
    shop.refused(
        &layout.reference(":three"),
        &["no such image", "the tags 2, one"],
    );
    let other = layout.reference(&format!("@sha256:{}", "0".repeat(64)));
    shop.refused(&other, &["there is no sha256:000"]);
}

fn two_images_of_one_name() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let one = layout.image(&Image::small("one"));
    layout.tag("x", one.clone()).tag("x", one);
    assert_eq!(name_of(&shop, &layout.reference(":x"), &[]), "one");
    let two = layout.image(&Image::small("two"));
    layout.tag("x", two);
    shop.refused(&layout.reference(":x"), &["two of that name", "by digest"]);
}

fn platforms() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let image =
        |name: &str, architecture: &str| layout.image(&Image::small(name).platform(architecture));
    let index = layout.index(&[
        on("arm", "v6", image("v6", "arm")),
        on("arm", "v7", image("v7", "arm")),
        on("amd64", "", image("pc", "amd64")),
        on("amd64", "", image("the second of a kind", "amd64")),
        on("arm64", "v8", image("v8", "arm64")),
    ]);
    layout.tag("all", index);
    let reference = layout.reference("");
    for (platform, name) in [
        ("linux/amd64", "pc"),
        ("linux/arm64", "v8"),
        ("linux/arm/v6", "v6"),
        ("linux/arm", "v7"),
        ("linux/arm/v8", "v7"),
    ] {
        let flags = ["--platform", platform];
        assert_eq!(name_of(&shop, &reference, &flags), name, "{platform}");
    }
    let command = [
        "image",
        "inspect",
        &reference,
        "--platform",
        "linux/riscv64",
    ];
    shop.fails(
        &command,
        &[
            "none for linux/riscv64",
            "linux/arm/v6, linux/arm/v7, linux/arm64/v8",
        ],
    );
    let inspected = shop.inspect(&reference, &["--platform", "linux/arm64"]);
    assert_eq!(inspected["platform"]["architecture"], "arm64");
    assert_eq!(inspected["platforms"].as_array().unwrap().len(), 5);
}

fn nested_indexes() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let image = layout.image(&Image::small("deep"));
    let mut nested = layout.index(&[on("amd64", "", image.clone())]);
    for _ in 0..6 {
        nested = layout.index(&[nested]);
    }
    layout.tag("deep", nested.clone());
    assert_eq!(name_of(&shop, &layout.reference(":deep"), &[]), "deep");
    let by_digest = layout.reference(&format!("@{}", image["digest"].as_str().unwrap()));
    assert_eq!(name_of(&shop, &by_digest, &[]), "deep");
    for _ in 0..3 {
        nested = layout.index(&[nested]);
    }
    layout.tag("deeper", nested);
    shop.refused(&layout.reference(":deeper"), &["nested more than 8 deep"]);
    // One that is in itself can only be had with a digest that is wrong.
    let path = layout.path.join("blobs/sha256").join("1".repeat(64));
    let own =
        json!({"mediaType": INDEX, "digest": format!("sha256:{}", "1".repeat(64)), "size": 1});
    std::fs::write(
        path,
        json!({"schemaVersion": 2, "manifests": [own]}).to_string(),
    )
    .unwrap();
    layout.tag("cycle", own);
    shop.refused(&layout.reference(":cycle"), &["index sha256:111", "bytes"]);
    // Many small documents take time, too.
    let many: Vec<Value> = (0..1100).map(|n| layout.index(&[json!(n)])).collect();
    let many = layout.index(&many);
    layout.tag("many", many);
    shop.refused(&layout.reference(":many"), &["index sha256:"]);
}

fn attestations_and_artifacts() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let mut attestation = layout.image(&Image::small("attestation"));
    attestation["annotations"]["vnd.docker.reference.type"] = "attestation-manifest".into();
    attestation["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    let mut signature = layout.manifest(&Image::small("signature"));
    signature["config"]["mediaType"] = "application/vnd.dev.cosign.simplesigning.v1+json".into();
    let signature = layout.json(MANIFEST, &signature);
    let other = layout.json("application/spdx+json", &json!({}));
    let image = layout.image(&Image::small("image"));
    let index = layout.index(&[attestation, signature.clone(), other, image]);
    layout.tag("x", index).tag("signature", signature);
    assert_eq!(name_of(&shop, &layout.reference(":x"), &[]), "image");
    shop.refused(
        &layout.reference(":signature"),
        &["no image, but an artifact", "simplesigning"],
    );
}

fn a_single_image_of_another_platform() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let image = layout.image(&Image::small("s390x").platform("s390x"));
    layout.tag("x", image);
    let reference = layout.reference("");
    assert_eq!(name_of(&shop, &reference, &[]), "s390x");
    let said = shop.run(&["image", "inspect", &reference]).stderr;
    assert!(
        said.contains("level=warning") && said.contains("linux/s390x"),
        "{said}"
    );
    let flags = ["--platform", "linux/amd64"];
    shop.fails(
        &[&["image", "inspect", &reference], &flags[..]].concat(),
        &["for linux/s390x, not for linux/amd64"],
    );
}

fn docker_media_types() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let mut manifest = layout.manifest(&Image::small("docker"));
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    manifest["config"]["mediaType"] = "application/vnd.docker.container.image.v1+json".into();
    let layer = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    manifest["layers"][0]["mediaType"] = layer.into();
    // Docker's types in an OCI manifest, as some builders write them.
    let mixed = layout.json(MANIFEST, &manifest);
    manifest["mediaType"] = kind.into();
    let docker = layout.json(kind, &manifest);
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    let list = layout.json(
        list,
        &json!({"schemaVersion": 2, "mediaType": list, "manifests": [on("amd64", "", docker)]}),
    );
    layout.tag("mixed", mixed).tag("list", list);
    assert_eq!(name_of(&shop, &layout.reference(":mixed"), &[]), "docker");
    assert_eq!(name_of(&shop, &layout.reference(":list"), &[]), "docker");
}

fn layer_types() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    for (name, kind) in [
        ("unknown", "application/vnd.example.layer.v1.tar"),
        (
            "encrypted",
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        ),
    ] {
        let mut manifest = layout.manifest(&Image::small(name));
        manifest["layers"][0]["mediaType"] = kind.into();
        let manifest = layout.json(MANIFEST, &manifest);
        layout.tag(name, manifest);
        shop.refused(
            &layout.reference(&format!(":{name}")),
            &["layer 1", name, kind],
        );
    }
    for packed in Packed::ALL {
        let image = Image {
            packed,
            ..Image::small("packed")
        };
        let descriptor = layout.image(&image);
        let name = format!("{packed:?}");
        layout.tag(&name, descriptor);
        assert_eq!(
            name_of(&shop, &layout.reference(&format!(":{name}")), &[]),
            "packed"
        );
    }
}

/// CVE-2021-41190.
fn manifest_and_index_at_once() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let inner = layout.image(&Image::small("inner"));
    let manifest = layout.manifest(&Image::small("outer"));
    let mut both = manifest.clone();
    both["manifests"] = json!([inner]);
    both.as_object_mut().unwrap().remove("mediaType");
    let as_manifest = layout.json(MANIFEST, &both);
    let as_index = layout.json(INDEX, &both);
    layout.tag("manifest", as_manifest).tag("index", as_index);
    shop.refused(
        &layout.reference(":manifest"),
        &["a manifest and an index at once"],
    );
    shop.refused(
        &layout.reference(":index"),
        &["a manifest and an index at once"],
    );
    // Called one thing by its descriptor, and another by itself.
    let contrary = layout.json(INDEX, &manifest);
    layout.tag("contrary", contrary);
    shop.refused(&layout.reference(":contrary"), &["something else than"]);
    // Twice the same key: readers differ in which one counts.
    let text = both.to_string().replacen("{", r#"{"schemaVersion":2,"#, 1);
    let twice = layout.blob(MANIFEST, text.as_bytes());
    layout.tag("twice", twice);
    shop.refused(&layout.reference(":twice"), &["duplicate field"]);
}

fn schema_1() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let old = json!({"schemaVersion": 1, "fsLayers": [], "history": []});
    let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let named = layout.json(kind, &old);
    let disguised = layout.json(MANIFEST, &old);
    layout.tag("named", named).tag("disguised", disguised);
    shop.refused(&layout.reference(":named"), &["schema 1", "skopeo copy"]);
    shop.refused(
        &layout.reference(":disguised"),
        &["schemaVersion 1", "skopeo copy"],
    );
}

fn digests_and_sizes() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let manifest = layout.manifest(&Image::small("x"));
    let add = |layout: &mut Layout, name: &str, change: fn(&mut Value)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        let descriptor = layout.json(MANIFEST, &manifest);
        layout.tag(name, descriptor.clone());
        (layout.reference(&format!(":{name}")), descriptor)
    };
    let (reference, descriptor) = add(&mut layout, "manifest", |_| {});
    std::fs::write(layout.blob_path(&descriptor), "[]").unwrap();
    shop.refused(&reference, &["manifest sha256:", "2 bytes"]);
    let size = descriptor["size"].as_u64().unwrap() as usize;
    std::fs::write(layout.blob_path(&descriptor), " ".repeat(size)).unwrap();
    shop.refused(&reference, &["manifest sha256:", "its digest is sha256:"]);
    let (reference, _) = add(&mut layout, "size", |manifest| {
        manifest["config"]["size"] = 1.into();
    });
    shop.refused(&reference, &["config sha256:", "its descriptor says 1"]);
    // CVE-2024-3727.
    for (name, digest) in [
        ("path", "sha256:../../../../../../etc/passwd"),
        ("short", "sha256:abc"),
        ("other", "md5:d41d8cd98f00b204e9800998ecf8427e"),
        ("none", ""),
    ] {
        let mut manifest = manifest.clone();
        manifest["config"]["digest"] = digest.into();
        let descriptor = layout.json(MANIFEST, &manifest);
        layout.tag(name, descriptor);
        shop.refused(
            &layout.reference(&format!(":{name}")),
            &["digest", "manifest sha256:"],
        );
    }
    let (reference, _) = add(&mut layout, "negative", |manifest| {
        manifest["layers"][0]["size"] = (-1).into();
    });
    shop.refused(&reference, &["manifest sha256:", "invalid value"]);
    let (reference, _) = add(&mut layout, "count", |manifest| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"].as_array_mut().unwrap().push(layer);
    });
    shop.refused(&reference, &["diff_ids are 1", "layers are 2"]);
}

fn embedded_data() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let mut descriptor = layout.image(&Image::small("embedded"));
    let text = std::fs::read(layout.blob_path(&descriptor)).unwrap();
    std::fs::remove_file(layout.blob_path(&descriptor)).unwrap();
    descriptor["data"] = BASE64_STANDARD.encode(&text).into();
    layout.tag("good", descriptor.clone());
    assert_eq!(name_of(&shop, &layout.reference(":good"), &[]), "embedded");
    descriptor["data"] = BASE64_STANDARD.encode("something else").into();
    layout.tag("other", descriptor.clone());
    shop.refused(
        &layout.reference(":other"),
        &["manifest sha256:", "14 bytes"],
    );
    descriptor["data"] = "***".into();
    layout.tag("none", descriptor);
    shop.refused(&layout.reference(":none"), &["the data of"]);
}

/// `urls` may say where to have it: nobody asks there.
fn what_is_missing() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let mut manifest = layout.manifest(&Image::small("x"));
    std::fs::remove_file(layout.blob_path(&manifest["layers"][0])).unwrap();
    manifest["layers"][0]["urls"] = json!(["http://127.0.0.1:9/layer"]);
    let descriptor = layout.json(MANIFEST, &manifest);
    layout.tag("x", descriptor.clone());
    shop.refused(
        &layout.reference(""),
        &["layer 1", "blobs/sha256/", "is missing"],
    );
    std::fs::remove_file(layout.blob_path(&descriptor)).unwrap();
    shop.refused(&layout.reference(""), &["manifest sha256:", "is missing"]);
    std::fs::write(
        layout.path.join("oci-layout"),
        r#"{"imageLayoutVersion":"2.0.0"}"#,
    )
    .unwrap();
    shop.refused(&layout.reference(""), &["oci-layout", "\"2.0.0\""]);
    std::fs::remove_file(layout.path.join("oci-layout")).unwrap();
    shop.refused(&layout.reference(""), &["oci-layout is missing"]);
    shop.refused(
        "oci:no-such-directory",
        &["no-such-directory", "no such file"],
    );
}

/// CVE-2023-25153.
fn large_json() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let mut image = Image::small("large");
    image.config["config"]["Labels"] = json!({"long": "x".repeat(1 << 20)});
    let descriptor = layout.image(&image);
    layout.tag("x", descriptor);
    let reference = layout.reference("");
    assert_eq!(name_of(&shop, &reference, &[]), "large");
    let command = ["image", "inspect", "--max-json", "512K", &reference];
    shop.fails(&command, &["config sha256:", "524288", "--max-json"]);
    // Sparse, and larger than memory.
    let file = std::fs::File::create(layout.path.join("index.json")).unwrap();
    file.set_len(1 << 40).unwrap();
    shop.refused(&reference, &["index.json", "1099511627776 bytes are more"]);
}

fn files_that_are_none() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let descriptor = layout.image(&Image::small("x"));
    layout.tag("x", descriptor.clone());
    let fifo = |path: &Path| {
        std::fs::remove_file(path).unwrap();
        rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    };
    fifo(&layout.blob_path(&descriptor));
    shop.refused(&layout.reference(""), &["is no regular file"]);
    fifo(&layout.path.join("index.json"));
    shop.refused(&layout.reference(""), &["index.json is no regular file"]);
    shop.refused(
        "oci:layout/index.json",
        &["neither a directory nor a regular file"],
    );
    // What has no digest must be in the directory itself.
    std::fs::remove_file(layout.path.join("index.json")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", layout.path.join("index.json")).unwrap();
    shop.refused(&layout.reference(""), &["index.json"]);
}

fn kinds_are_recognised() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let descriptor = layout.image(&Image::small("x"));
    layout.tag("v1", descriptor);
    let tar = archive(&layout.path);
    std::fs::write(shop.path("a.tar"), &tar).unwrap();
    std::fs::write(shop.path("a.tar.gz"), blob::gzip(&tar)).unwrap();
    std::fs::write(shop.path("a:b.zst"), Packed::ZstdFrames.pack(&tar)).unwrap();
    for image in [
        "layout",
        "layout:v1",
        "./layout",
        "a.tar",
        "a.tar:v1",
        "oci-archive:a.tar",
        "oci-archive:a.tar:v1",
        "a.tar.gz",
        "a:b.zst",
        "oci-archive:a:b.zst:v1",
    ] {
        assert_eq!(name_of(&shop, image, &[]), "x", "{image}");
    }
    std::fs::create_dir(shop.path("empty")).unwrap();
    shop.refused("empty", &["neither an oci-layout nor a manifest.json"]);
    shop.refused("nowhere", &["is not there"]);
    shop.refused("docker://busybox", &["tare can fetch"]);
    shop.refused("docker-archive:a.tar", &["manifest.json is missing"]);
}

fn archives_are_refused() {
    let shop = Shop::new();
    let mut layout = layout(&shop);
    let descriptor = layout.image(&Image::small("x"));
    layout.tag("v1", descriptor);
    let tar = archive(&layout.path);
    std::fs::write(shop.path("short.tar"), &tar[..tar.len() - 2000]).unwrap();
    shop.refused("oci-archive:short.tar", &["short.tar"]);
    std::fs::write(shop.path("short.gz"), &blob::gzip(&tar)[..300]).unwrap();
    shop.refused("oci-archive:short.gz", &["decompressing the archive"]);
    std::fs::write(shop.path("text"), "This is no archive. ".repeat(100)).unwrap();
    shop.refused("oci-archive:text", &["no tar archive"]);
    let mut spoilt = tar;
    spoilt[0] ^= 1;
    std::fs::write(shop.path("spoilt"), spoilt).unwrap();
    shop.refused("oci-archive:spoilt", &["no tar archive", "checksum"]);
    let endless = [
        Member::symlink("oci-layout", "b"),
        Member::symlink("b", "oci-layout"),
    ];
    std::fs::write(shop.path("endless"), Tar::of(endless)).unwrap();
    shop.refused("oci-archive:endless", &["without end"]);
    let huge = Member::file("oci-layout", "").size(1 << 62);
    std::fs::write(shop.path("huge"), Tar::of([huge])).unwrap();
    shop.refused("oci-archive:huge", &["cut short"]);
}

/// Two images that share a layer, which is a link in the second one's directory.
fn limits_of_a_compressed_archive() {
    let shop = Shop::new();
    let mut layout = Layout::new(shop.path("layout"));
    let descriptor = layout.image(&Image::small("x"));
    layout.top(descriptor);
    let tar = archive(&layout.path);
    std::fs::write(shop.path("a.gz"), blob::gzip(&tar)).unwrap();
    let fewer = (tar.len() - 1).to_string();
    for command in [
        &["image", "inspect", "--max-bytes", &fewer, "a.gz"][..],
        &["unpack", "--max-bytes", &fewer, "a.gz", "refused"],
        &["run", "--max-bytes", &fewer, "--image", "a.gz", "refused"],
    ] {
        let words = ["decompressing the archive", "more than", "--max-bytes"];
        shop.fails(command, &words);
        shop.nothing_is_left();
    }
    let enough = tar.len().to_string();
    shop.ok(&["image", "inspect", "--max-bytes", &enough, "a.gz"]);
    let mut tar = Tar::new();
    tar.add(&Member::file("zeros", vec![0; 257 << 20]));
    let zeros = zstd::encode_all(&tar.end()[..], 1).unwrap();
    std::fs::write(shop.path("zeros.zst"), zeros).unwrap();
    let words = ["compressed more than 300 times", "--max-ratio"];
    shop.fails(
        &["image", "inspect", "--max-ratio", "300", "zeros.zst"],
        &words,
    );
}

/// Of names that nobody asks for, nothing is kept.
fn long_names_in_an_archive() {
    let shop = Shop::new();
    let mut layout = Layout::new(shop.path("layout"));
    let descriptor = layout.image(&Image::small("x"));
    layout.top(descriptor);
    let mut tar = Tar::new();
    for number in 0..300 {
        let name = format!("{number}{}", "long".repeat(125_000));
        tar.add(&Member::file(name, ""));
    }
    let long = [tar.without_end(), archive(&layout.path)].concat();
    std::fs::write(shop.path("a.tar"), &long).unwrap();
    let inner = shop.command(&["image", "inspect", "a.tar"]);
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", "ulimit -v 100000; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args())
        .current_dir(&shop.place.path);
    let outcome = Running::start(&mut command).finish();
    assert!(long.len() > 150_000_000);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

fn docker_archive() -> Vec<Member> {
    let base = Tar::of([Member::file("name", "base")]);
    let top = Tar::of([Member::file("name", "top")]);
    let config = |tars: &[&Vec<u8>]| {
        let image = Image::of(tars.iter().map(|tar| tar.to_vec()).collect());
        image.config.to_string()
    };
    let manifest = json!([
        {"Config": "one.json", "RepoTags": ["one:latest"], "Layers": ["a/layer.tar"]},
        {"Config": "two.json", "RepoTags": ["reg:5000/two:2", "two"],
         "Layers": ["b/layer.tar", "c/layer.tar"]},
    ]);
    vec![
        Member::dir("a/"),
        Member::file("a/layer.tar", &base),
        Member::file("c/layer.tar", blob::gzip(&top)),
        Member::symlink("b/layer.tar", "../a/layer.tar"),
        Member::file("one.json", config(&[&base])),
        Member::file("two.json", config(&[&base, &top])),
        Member::file("manifest.json", "an older one"),
        Member::file("manifest.json", manifest.to_string()),
    ]
}

fn docker_archives() {
    let shop = Shop::new();
    std::fs::write(shop.path("d.tar"), Tar::of(docker_archive())).unwrap();
    for (image, name) in [
        ("docker-archive:d.tar:one:latest", "base"),
        ("docker-archive:d.tar:one", "base"),
        ("d.tar:docker.io/library/one:latest", "base"),
        ("docker-archive:d.tar:reg:5000/two:2", "top"),
        ("docker-archive:d.tar:two", "top"),
    ] {
        assert_eq!(name_of(&shop, image, &[]), name, "{image}");
    }
    shop.refused("d.tar", &["which image", "one:latest, reg:5000/two:2, two"]);
    shop.refused("d.tar:three", &["no such image", "one:latest"]);
    // As a hard link, as podman writes it.
    let mut members = docker_archive();
    members[3] = Member::hard_link("b/layer.tar", "a/layer.tar");
    std::fs::write(shop.path("e.tar"), blob::gzip(&Tar::of(members))).unwrap();
    assert_eq!(name_of(&shop, "e.tar:two", &[]), "top");
    let inspected = shop.inspect("d.tar:two", &[]);
    assert_eq!(inspected["layers"].as_array().unwrap().len(), 2);
    assert_eq!(inspected["layers"][0]["digest"], Value::Null);
    assert_eq!(inspected["tags"][0], "reg:5000/two:2");
}

fn docker_archives_that_lead_outside() {
    let shop = Shop::new();
    let config = Image::small("x").config.to_string();
    for (layer, link) in [
        ("../../etc/passwd", None),
        ("/etc/passwd", None),
        ("layer", Some("../../../../etc/passwd")),
        ("layer", Some("/etc/passwd")),
    ] {
        let manifest = json!([{"Config": "c.json", "RepoTags": null, "Layers": [layer]}]);
        let mut members = vec![
            Member::file("manifest.json", manifest.to_string()),
            Member::file("c.json", &config),
        ];
        members.extend(link.map(|target| Member::symlink(layer, target)));
        std::fs::write(shop.path("d.tar"), Tar::of(members)).unwrap();
        shop.refused("docker-archive:d.tar", &["layer"]);
        // The same, extracted.
        let _ = std::fs::remove_dir_all(shop.path("d"));
        std::fs::create_dir(shop.path("d")).unwrap();
        std::fs::write(shop.path("d/manifest.json"), manifest.to_string()).unwrap();
        std::fs::write(shop.path("d/c.json"), &config).unwrap();
        if let Some(target) = link {
            std::os::unix::fs::symlink(target, shop.path("d").join(layer)).unwrap();
        }
        shop.refused("docker-archive:d", &["layer"]);
    }
}
