//! Running images, and bundles whose root is stacked from layers.

use crate::corpus::layout::{Image, Layout};
use crate::corpus::{Member, Tar};
use crate::program::{Outcome, Running, Shop, names};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const BUSYBOX: &str = "/bin/busybox";

pub fn tests() -> Vec<Trial> {
    let test = |name: &str, run: fn()| {
        let trial = Trial::test(format!("running::{name}"), move || {
            run();
            Ok::<(), Failed>(())
        });
        if Path::new(BUSYBOX).exists() {
            return trial;
        }
        eprintln!("{name} is skipped: no {BUSYBOX} (try: apt-get install busybox-static)");
        trial.with_ignored_flag(true)
    };
    vec![
        test("an_image", an_image),
        test("an_image_in_flat_mode", an_image_in_flat_mode),
        test("a_stacked_bundle", a_stacked_bundle),
        test(
            "a_stacked_bundle_with_a_user_namespace",
            a_stacked_bundle_with_a_user_namespace,
        ),
        test("one_container_at_a_time", one_container_at_a_time),
        test("detached", detached),
        test("killed", killed),
        test("a_failed_create", a_failed_create),
        test("a_layer_that_is_gone", a_layer_that_is_gone),
        test(
            "volumes_have_what_the_image_has",
            volumes_have_what_the_image_has,
        ),
        test("an_ordinary_user", an_ordinary_user),
    ]
}

/// An image with a shell, in two layers.
fn image(shop: &Shop) {
    let applets = [
        "sh", "id", "ls", "cat", "sleep", "mount", "touch", "chown", "rm", "true",
    ];
    let links = applets.map(|applet| Member::symlink(format!("bin/{applet}"), "busybox"));
    let mut members = vec![
        Member::dir("./"),
        Member::dir("bin/"),
        Member::file("bin/busybox", std::fs::read(BUSYBOX).unwrap()).mode(0o755),
        Member::dir("etc/"),
        Member::file(
            "etc/passwd",
            "root:x:0:0::/root:/bin/sh\nalice:x:7:8::/:/bin/sh\n",
        ),
        Member::dir("data/").mode(0o1777),
        Member::file("data/seed", "seed"),
        Member::file("lower", "lower"),
    ];
    members.extend(links);
    let top = Tar::of([Member::file("top", "top"), Member::file(".wh.lower", "")]);
    let image = Image::of(vec![Tar::of(members), top]).config(json!({
        "Cmd": ["/bin/sh"], "Volumes": {"/data": {}}, "Env": ["FROM=image"],
    }));
    let mut layout = Layout::new(shop.path("layout"));
    let descriptor = layout.image(&image);
    layout.tag("x", descriptor);
}

/// Of containers and their bundles nothing is left.
fn nothing_is_left(shop: &Shop) {
    let root = shop.path("root");
    assert!(
        !root.exists() || names(&root).is_empty(),
        "{:?}",
        names(&root)
    );
    assert!(names(&shop.store().join("run")).is_empty());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(" - overlay tare "), "{mounts}");
}

fn shell(shop: &Shop, flags: &[&str], script: &str) -> Outcome {
    let tail = ["--", "/bin/sh", "-c", script];
    shop.run(&[&["run", "--image", "layout"], flags, &tail].concat())
}

fn an_image() {
    let shop = Shop::new();
    image(&shop);
    let script = "id -u; cat top; ls /lower; echo $FROM; echo more > /etc/more; rm /top; mount";
    let outcome = shell(&shop, &[], script);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.starts_with("0\ntopimage\n"), "{outcome:?}");
    assert!(
        outcome.stdout.contains("tare on / type overlay"),
        "{outcome:?}"
    );
    nothing_is_left(&shop);
    // Nothing of what it did is there the next time.
    let outcome = shell(
        &shop,
        &["--user", "alice"],
        "id -u; id -g; cat /top; ls /etc; exit 7",
    );
    assert_eq!(outcome.code, Some(7), "{outcome:?}");
    assert_eq!(outcome.stdout, "7\n8\ntoppasswd\n");
    nothing_is_left(&shop);
    let start = Instant::now();
    let again = shell(&shop, &["--read-only"], "touch /x");
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(
        shop.json(&["image", "list", "--json"])
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

fn an_image_in_flat_mode() {
    let shop = Shop::new();
    image(&shop);
    let outcome = shell(&shop, &["--mode", "flat"], "cat top; ls /lower");
    assert_eq!(outcome.stdout, "top", "{outcome:?}");
    nothing_is_left(&shop);
    assert!(names(&shop.store().join("layers")).is_empty());
}

/// Unpacks the image to be run without a terminal.
fn bundle(shop: &Shop, name: &str, script: &str) {
    let tail = ["layout", name, "--", "/bin/sh", "-c", script];
    shop.ok(&[&["unpack", "--no-terminal", "--mode", "overlay"], &tail[..]].concat());
}

fn a_stacked_bundle() {
    let shop = Shop::new();
    image(&shop);
    bundle(&shop, "one", "cat /top; echo x >> /top; ls /lower");
    let run = |bundle: &str| shop.run(&["run", "--bundle", bundle, &shop.id("a")]).stdout;
    assert_eq!(run("one"), "top");
    // The bundle keeps what was written, the layer is as it was, and no mount is left.
    assert_eq!(run("one"), "topx\n");
    assert_eq!(
        names(&shop.path("one/upper")),
        ["dev", "proc", "sys", "top"]
    );
    bundle(&shop, "two", "cat /top");
    assert_eq!(run("two"), "top");
    nothing_is_left(&shop);
    // Somewhere else, it is still the store's.
    std::fs::rename(shop.path("one"), shop.path("moved")).unwrap();
    assert_eq!(run("moved"), "topx\nx\n");
    // A rootfs of the user's own choice stays just that.
    std::fs::create_dir(shop.path("two/mine")).unwrap();
    let config = shop.path("two/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"rootfs\"", "\"mine\"")).unwrap();
    shop.fails(&["run", "--bundle", "two", &shop.id("a")], &["/bin/sh"]);
}

fn a_stacked_bundle_with_a_user_namespace() {
    let shop = Shop::new();
    image(&shop);
    bundle(&shop, "one", "cat /top; id -u");
    let config = shop.path("one/config.json");
    let text = std::fs::read(&config).unwrap();
    let mut value: Value = serde_json::from_slice(&text).unwrap();
    value["linux"]["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "user"}));
    let mapping = json!([{"containerID": 0, "hostID": 0, "size": 1000}]);
    value["linux"]["uidMappings"] = mapping.clone();
    value["linux"]["gidMappings"] = mapping;
    std::fs::write(&config, value.to_string()).unwrap();
    let outcome = shop.run(&["run", "--bundle", "one", &shop.id("a")]);
    assert_eq!(outcome.stdout, "top0\n", "{outcome:?}");
}

/// The kernel leaves undefined what two overlays on one writable layer do.
fn one_container_at_a_time() {
    let shop = Shop::new();
    image(&shop);
    bundle(&shop, "one", "sleep 100");
    let (one, other) = (shop.id("one"), shop.id("other"));
    shop.ok(&["create", "--bundle", "one", &one]);
    let why = format!("of the container {one}");
    shop.fails(
        &["create", "--bundle", "one", &other],
        &[&why, "unpack the image"],
    );
    shop.ok(&["delete", "--force", &one]);
    shop.ok(&["create", "--bundle", "one", &other]);
    shop.ok(&["delete", "--force", &other]);
    nothing_is_left(&shop);
}

fn detached() {
    let shop = Shop::new();
    image(&shop);
    let id = shop.id("a");
    let command = [
        "run",
        "--detach",
        "--image",
        "layout",
        &id,
        "--",
        "/bin/sleep",
        "100",
    ];
    shop.ok(&command);
    let state = shop.json(&["state", &id]);
    let bundle = state["bundle"].as_str().unwrap().to_owned();
    assert!(Path::new(&bundle).join("upper").exists());
    // Nobody takes it away meanwhile, nor its layers.
    shop.ok(&["image", "gc", "--all"]);
    assert_eq!(names(&shop.store().join("layers")).len(), 2);
    assert_eq!(shell(&shop, &[], "true").code, Some(0));
    assert!(Path::new(&bundle).exists());
    shop.ok(&["exec", &id, "/bin/ls", "/top"]);
    shop.ok(&["delete", "--force", &id]);
    nothing_is_left(&shop);
}

fn killed() {
    let shop = Shop::new();
    image(&shop);
    assert_eq!(shell(&shop, &[], "true").code, Some(0));
    for round in 0..20_u64 {
        let id = shop.id(&round.to_string());
        let command = ["run", "--image", "layout", &id, "--", "/bin/sleep", "100"];
        let running = shop.start(&command);
        std::thread::sleep(Duration::from_millis(round * 10));
        running.kill();
        shop.ok(&["delete", "--force", &id]);
    }
    // The next one tidies up.
    assert_eq!(shell(&shop, &[], "true").code, Some(0));
    nothing_is_left(&shop);
}

fn a_failed_create() {
    let shop = Shop::new();
    image(&shop);
    let id = shop.id("a");
    let command = ["run", "--image", "layout", &id, "--", "/no/such/program"];
    shop.fails(&command, &["/no/such/program"]);
    nothing_is_left(&shop);
    shop.fails(&["run", "--image", "layout", "--", "-c"], &["-c"]);
    nothing_is_left(&shop);
}

fn a_layer_that_is_gone() {
    let shop = Shop::new();
    image(&shop);
    bundle(&shop, "one", "true");
    let layers = shop.store().join("layers");
    std::fs::remove_dir_all(layers.join(&names(&layers)[0])).unwrap();
    shop.fails(
        &["run", "--bundle", "one", &shop.id("a")],
        &["gone from the store", "unpack"],
    );
    nothing_is_left(&shop);
}

fn volumes_have_what_the_image_has() {
    let shop = Shop::new();
    image(&shop);
    let outcome = shell(&shop, &[], "cat /data/seed; mount; ls -ld /data");
    assert!(outcome.stdout.starts_with("seed"), "{outcome:?}");
    assert!(
        outcome.stdout.contains("tmpfs on /data type tmpfs"),
        "{outcome:?}"
    );
    assert!(outcome.stdout.contains("drwxrwxrwt"), "{outcome:?}");
}

/// Stacked in a user namespace of their own.
fn an_ordinary_user() {
    let shop = Shop::new();
    image(&shop);
    let home = shop.path("home");
    std::fs::create_dir(&home).unwrap();
    for path in [&home, &shop.place.path] {
        std::os::unix::fs::chown(path, Some(4242), Some(4242)).unwrap();
    }
    // The program's own directory may be closed to others.
    let program = shop.path("tare");
    shop.place
        .copy_program(env!("CARGO_BIN_EXE_tare").as_ref(), "tare");
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new("setpriv");
        command
            .args(["--reuid=4242", "--regid=4242", "--clear-groups", "--"])
            .arg(&program)
            .args(args)
            .current_dir(&home)
            .env("XDG_RUNTIME_DIR", &home)
            .env("HOME", &home)
            .stdin(std::process::Stdio::null());
        Running::start(&mut command).finish()
    };
    for round in 0..2 {
        let script = "id -u; cat /top; ls /lower; touch /etc/new; mount";
        let outcome = run(&[
            "run",
            "--image",
            "oci:../layout",
            "--",
            "/bin/sh",
            "-c",
            script,
        ]);
        assert_eq!(outcome.code, Some(0), "{round}: {outcome:?}");
        assert!(outcome.stdout.starts_with("0\ntop"), "{outcome:?}");
        assert!(outcome.stdout.contains("on / type overlay"), "{outcome:?}");
    }
    let store = home.join(".local/share/tare");
    assert!(names(&store.join("run")).is_empty());
    assert_eq!(names(&store.join("layers")).len(), 2);
    let tail = ["oci:../layout", "flat", "--", "/bin/ls", "/top"];
    let unpacked = run(&[&["unpack", "--no-terminal", "--mode", "flat"], &tail[..]].concat());
    assert_eq!(unpacked.code, Some(0), "{unpacked:?}");
    let outcome = run(&["run", "flat"]);
    assert_eq!(outcome.stdout, "/top\n", "{outcome:?}");
    assert_eq!(run(&["image", "gc", "--all"]).code, Some(0));
    assert!(names(&store.join("layers")).is_empty());
}
