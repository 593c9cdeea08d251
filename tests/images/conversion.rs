//! From an image's config to the bundle's.

use crate::corpus::layout::{Image, Layout};
use crate::corpus::{Member, Tar};
use crate::program::Shop;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};

pub fn tests() -> Vec<Trial> {
    let test = |name: &str, run: fn()| {
        Trial::test(format!("conversion::{name}"), move || {
            run();
            Ok::<(), Failed>(())
        })
    };
    vec![
        test("an_empty_config", an_empty_config),
        test("what_is_copied", what_is_copied),
        test("labels_win", labels_win),
        test("nulls", nulls),
        test("wishes", wishes),
        test("environment", environment),
        test("users", users),
        test("users_of_a_hostile_rootfs", users_of_a_hostile_rootfs),
        test("volumes", volumes),
        test("rootless", rootless),
        test("broken_configs", broken_configs),
    ]
}

/// The config.json of an image, which is the same in both modes.
fn converted(image: &Image, flags: &[&str]) -> Value {
    let shop = Shop::new();
    put(&shop, image);
    let mut configs = ["flat", "overlay"].map(|mode| {
        shop.ok(&[&["unpack", "--mode", mode], flags, &["layout", mode]].concat());
        read(&shop, mode)
    });
    assert_eq!(configs[0], configs[1]);
    configs[0].take()
}

/// As [`converted`], but `tail` comes last.
fn converted_with(image: &Image, flags: &[&str], tail: &[&str]) -> Value {
    let shop = Shop::new();
    put(&shop, image);
    shop.ok(&[
        &["unpack", "--mode", "flat"],
        flags,
        &["layout", "flat"],
        tail,
    ]
    .concat());
    read(&shop, "flat")
}

fn read(shop: &Shop, bundle: &str) -> Value {
    let text = std::fs::read(shop.path(bundle).join("config.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn put(shop: &Shop, image: &Image) {
    let mut layout = Layout::new(shop.path("layout"));
    let descriptor = layout.image(image);
    layout.top(descriptor);
}

fn an_empty_config() {
    let config = converted(&Image::small("x"), &[]);
    assert_eq!(config["process"]["args"], json!(["sh"]));
    assert_eq!(config["process"]["cwd"], "/");
    assert_eq!(config["process"]["user"], json!({"uid": 0, "gid": 0}));
    assert_eq!(config["root"], json!({"path": "rootfs"}));
    assert_eq!(
        config["annotations"],
        json!({
            "org.opencontainers.image.os": "linux",
            "org.opencontainers.image.architecture": "amd64",
        })
    );
}

fn what_is_copied() {
    let mut image = Image::small("x").config(json!({
        "User": "1000:1001",
        "Env": ["PATH=/bin", "A=b=c", "nothing"],
        "Entrypoint": ["/entry", "one"],
        "Cmd": ["two", "three"],
        "WorkingDir": "/work/../work/dir",
        "StopSignal": "SIGRTMIN+3",
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Healthcheck": {"Test": ["NONE"]},
        "OnBuild": null,
    }));
    image.config["author"] = "somebody".into();
    image.config["created"] = "2015-10-31T22:22:56.015925234Z".into();
    image.config["variant"] = "v1".into();
    image.config["os.version"] = "6.1".into();
    let config = converted(&image, &[]);
    let process = &config["process"];
    assert_eq!(process["user"], json!({"uid": 1000, "gid": 1001}));
    assert_eq!(process["args"], json!(["/entry", "one", "two", "three"]));
    assert_eq!(process["cwd"], "/work/dir");
    assert_eq!(process["env"], json!(["TERM=xterm", "PATH=/bin", "A=b=c"]));
    let annotation =
        |name: &str| &config["annotations"][format!("org.opencontainers.image.{name}")];
    assert_eq!(annotation("author"), "somebody");
    assert_eq!(annotation("created"), "2015-10-31T22:22:56.015925234Z");
    assert_eq!(annotation("variant"), "v1");
    assert_eq!(annotation("os.version"), "6.1");
    assert_eq!(annotation("stopSignal"), "SIGRTMIN+3");
    assert_eq!(annotation("exposedPorts"), "53/udp,80/tcp");
}

fn labels_win() {
    let image = Image::small("x").config(json!({"Labels": {
        "org.opencontainers.image.os": "mine",
        "com.example": "\u{1b}[31m",
        "org.systemd.property.ExecStart": "['/bin/evil']",
        "run.oci.hooks.stdout": "/etc/passwd",
    }}));
    let annotations = converted(&image, &[])["annotations"].take();
    assert_eq!(annotations["org.opencontainers.image.os"], "mine");
    assert_eq!(annotations["com.example"], "\u{1b}[31m");
    assert_eq!(annotations["org.systemd.property.ExecStart"], Value::Null);
    assert_eq!(annotations["run.oci.hooks.stdout"], Value::Null);
    let shop = Shop::new();
    put(&shop, &image);
    let said = shop.run(&["unpack", "layout", "bundle"]).stderr;
    assert_eq!(said.matches("level=warning").count(), 2, "{said}");
    // A terminal must not take what an image says for commands.
    let shown = shop.ok(&["image", "inspect", "layout"]);
    assert!(!shown.contains('\u{1b}'), "{shown}");
}

/// Go writes absent values so.
fn nulls() {
    let mut image = Image::small("x").config(json!({
        "User": null, "Env": null, "Entrypoint": null, "Cmd": null, "WorkingDir": null,
        "Labels": null, "Volumes": null, "ExposedPorts": null, "StopSignal": null,
    }));
    for key in [
        "author",
        "created",
        "history",
        "variant",
        "os.version",
        "os.features",
    ] {
        image.config[key] = Value::Null;
    }
    assert_eq!(converted(&image, &[])["process"]["args"], json!(["sh"]));
    image.config["config"] = Value::Null;
    assert_eq!(converted(&image, &[])["process"]["args"], json!(["sh"]));
}

fn wishes() {
    let image = Image::small("x").config(json!({
        "User": "nobody-knows-them", "Entrypoint": ["/entry"], "Cmd": ["cmd"], "WorkingDir": "/w",
    }));
    let flags = [
        "--user",
        "7:8",
        "--cwd",
        "/there",
        "--read-only",
        "--cap",
        "CAP_CHOWN",
    ];
    let config = converted(&image, &flags);
    assert_eq!(config["process"]["user"], json!({"uid": 7, "gid": 8}));
    assert_eq!(config["process"]["cwd"], "/there");
    assert_eq!(config["root"]["readonly"], true);
    let effective = config["process"]["capabilities"]["effective"]
        .as_array()
        .unwrap();
    assert!(effective.contains(&"CAP_CHOWN".into()));
    let args = |flags: &[&str], tail: &[&str]| {
        let config = converted_with(&image, &[&["--user", "0:0"], flags].concat(), tail);
        config["process"]["args"].clone()
    };
    assert_eq!(args(&[], &["--", "-x", "y"]), json!(["/entry", "-x", "y"]));
    assert_eq!(args(&["--entrypoint", "/other"], &[]), json!(["/other"]));
    assert_eq!(
        args(&["--entrypoint", "/other"], &["--", "z"]),
        json!(["/other", "z"])
    );
    let config = converted_with(&image, &["--user", "0:0", "--no-terminal"], &[]);
    assert_ne!(config["process"]["terminal"], true);
}

fn environment() {
    let image = Image::small("x").config(json!({"Env": ["A=1", "B=2", "A=3"]}));
    let env = |flags: &[&str]| converted(&image, flags)["process"]["env"].clone();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(env(&[]), json!([path, "TERM=xterm", "A=3", "B=2"]));
    let flags = ["--env", "TERM=dumb", "-e", "B=", "-e", "C=4"];
    assert_eq!(env(&flags), json!([path, "A=3", "B=", "TERM=dumb", "C=4"]));
    let shop = Shop::new();
    put(&shop, &image);
    shop.fails(
        &["unpack", "--env", "C", "layout", "refused"],
        &["NAME=VALUE"],
    );
}

/// An image with users, in layers of which the upper one counts.
fn with_users(user: &str) -> Image {
    let lower = Tar::of([
        Member::dir("etc/"),
        Member::file("etc/passwd", "alice:x:1:1::/:\n"),
        Member::file(
            "etc/group",
            "wheel:x:10:alice,bob\naudio:x:29:alice\nstaff:x:50:\n",
        ),
    ]);
    let upper = Tar::of([
        Member::dir("etc/"),
        Member::file(
            "etc/passwd",
            "root:x:0:0::/root:\nalice:x:1000:100::/home:/bin/sh\n",
        ),
    ]);
    Image::of(vec![lower, upper]).config(json!({"User": user}))
}

fn users() {
    for (user, expected) in [
        ("", json!({"uid": 0, "gid": 0})),
        (
            "alice",
            json!({"uid": 1000, "gid": 100, "additionalGids": [10, 29]}),
        ),
        ("alice:staff", json!({"uid": 1000, "gid": 50})),
        ("1000", json!({"uid": 1000, "gid": 100})),
        ("1001", json!({"uid": 1001, "gid": 0})),
        ("1001:wheel", json!({"uid": 1001, "gid": 10})),
    ] {
        assert_eq!(
            converted(&with_users(user), &[])["process"]["user"],
            expected,
            "{user:?}"
        );
    }
    for (user, why) in [
        ("bob", "no user \"bob\""),
        ("alice:bob", "no group \"bob\""),
    ] {
        let shop = Shop::new();
        put(&shop, &with_users(user));
        for mode in ["flat", "overlay"] {
            shop.fails(
                &["unpack", "--mode", mode, "layout", "refused"],
                &[why, "--user"],
            );
            assert!(!shop.path("refused").exists());
        }
    }
}

/// CVE-2024-9676 and what is like it.
fn users_of_a_hostile_rootfs() {
    for (member, why) in [
        (Member::new(b'6', "etc/passwd"), "no regular file"),
        (Member::dir("etc/passwd/"), "no regular file"),
        (Member::symlink("etc/passwd", "/dev/zero"), "no user"),
        (
            Member::symlink("etc/passwd", "../../../../../etc/passwd"),
            "reading the image's",
        ),
        (
            Member::file("etc/passwd", "x".repeat(17 << 20)),
            "larger than 16 MiB",
        ),
    ] {
        let image = Image::of(vec![Tar::of([Member::dir("etc/"), member])]);
        let shop = Shop::new();
        put(&shop, &image.config(json!({"User": "root"})));
        for mode in ["flat", "overlay"] {
            shop.fails(&["unpack", "--mode", mode, "layout", "refused"], &[why]);
            assert!(!shop.path("refused").exists());
        }
    }
}

fn volumes() {
    let image = Image::small("x").config(json!({"Volumes": {
        "/var/lib/data": {}, "relative": {}, "/": {}, "/../etc": {},
    }}));
    let config = converted(&image, &[]);
    let mounts = config["mounts"].as_array().unwrap();
    let destinations: Vec<_> = mounts
        .iter()
        .filter(|mount| mount["options"].to_string().contains("tmpcopyup"))
        .map(|mount| mount["destination"].as_str().unwrap())
        .collect();
    assert_eq!(destinations, ["/etc", "/var/lib/data", "/relative"]);
}

fn rootless() {
    let config = converted(&Image::small("x"), &["--rootless"]);
    let linux = &config["linux"];
    assert!(linux["namespaces"].to_string().contains("\"user\""));
    assert_eq!(
        linux["uidMappings"][0],
        json!({"containerID": 0, "hostID": 0, "size": 1})
    );
}

fn broken_configs() {
    for (change, why) in [
        (
            json!({"rootfs": {"type": "layer", "diff_ids": []}}),
            "rootfs.type \"layer\"",
        ),
        (
            json!({"rootfs": {"type": "layers", "diff_ids": []}}),
            "diff_ids are 0",
        ),
        (
            json!({"rootfs": {"type": "layers", "diff_ids": ["sha256:1"]}}),
            "digest",
        ),
        (json!({"config": {"Env": "A=1"}}), "invalid type"),
    ] {
        let mut image = Image::small("x");
        for (key, value) in change.as_object().unwrap() {
            image.config[key] = value.clone();
        }
        let shop = Shop::new();
        put(&shop, &image);
        shop.refused("layout", &["config sha256:", why]);
    }
}
