//! Id-mapped mounts: whose the files of the host seem to be inside, and whose those made inside
//! are outside.

use crate::harness::{Container, Output, Sandbox, runtime, skip, tests};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

tests![
    own_mapping,
    own_mapping_in_a_user_namespace,
    mapping_of_the_user_namespace,
    mapping_of_a_joined_user_namespace,
    files_made_inside,
    users_without_a_mapping,
    users_and_groups_apart,
    one_source_with_several_mappings,
    mapping_of_many_ranges,
    mapping_in_the_option,
    mapping_in_the_option_of_a_user_namespace,
    file,
    relative_paths,
    nested,
    read_only_and_shared,
    mounts_inside_stay_inside,
    recursive_or_not,
    refusing_file_system,
    refusing_file_system_below,
    half_a_mapping,
    nothing_to_map_by,
    new_file_system,
    ordinary_user,
];

const STAT: &[&str] = &["stat", "-c", "%u %g"];

/// A directory on the host with files of these owners in it, named for them.
fn source(t: &Sandbox, name: &str, owners: &[(u32, u32)]) -> String {
    let dir = t.dir(name);
    for (uid, gid) in owners {
        let path = dir.join(format!("{uid}-{gid}"));
        fs::write(&path, "from the host").unwrap();
        chown(&path, Some(*uid), Some(*gid)).unwrap();
    }
    dir.to_str().unwrap().into()
}

/// One range: from the ids of the files to those of the mount.
fn range(from: u32, to: u32, size: u32) -> Value {
    json!([{"containerID": from, "hostID": to, "size": size}])
}

/// Adds a bind mount with mappings of its own.
fn map(c: &mut Container, to: &str, from: &str, options: &[&str], uids: Value, gids: Value) {
    c.push(
        "/mounts",
        json!({"destination": to, "source": from, "options": options,
               "uidMappings": uids, "gidMappings": gids}),
    );
}

fn user_namespace(c: &mut Container) {
    c.push("/linux/namespaces", json!({"type": "user"}));
    c.set("/linux/uidMappings", range(0, 100_000, 65536))
        .set("/linux/gidMappings", range(0, 100_000, 65536));
    for dir in ["", "dev", "etc", "proc", "root", "sys", "tmp"] {
        chown(c.rootfs(dir), Some(100_000), Some(100_000)).unwrap();
    }
}

/// Runs it, where the file system of the tests can be id-mapped at all.
#[track_caller]
fn run(c: &Container) -> Output {
    runs(c.run())
}

#[track_caller]
fn runs(out: Output) -> Output {
    if out.stderr.contains("id-mapped since Linux") || out.stderr.contains("cannot be id-mapped") {
        skip("the file system of the tests cannot be id-mapped");
    }
    out.ok()
}

/// Runs a container in a mount namespace where `before` was done, and `after` is done then.
fn run_between(t: &Sandbox, c: &Container, before: &str, after: &str) -> Output {
    c.save();
    let script = format!(
        "{before} && {} run -b {} {} && {after}",
        t.tare_words(),
        c.bundle.display(),
        c.id
    );
    t.command("unshare").args(["-m", "sh", "-c", &script]).run()
}

fn own_mapping(t: &Sandbox) {
    let mut c = t.container();
    let from = source(t, "source", &[(0, 0), (7, 8)]);
    let range = range(0, 5000, 1000);
    map(&mut c, "/tmp", &from, &["bind"], range.clone(), range);
    c.args(STAT.iter().chain(&["/tmp/0-0", "/tmp/7-8"]));
    run(&c).prints("5000 5000\n5007 5008");
}

fn own_mapping_in_a_user_namespace(t: &Sandbox) {
    let mut c = t.container();
    user_namespace(&mut c);
    let from = source(t, "source", &[(0, 0)]);
    let range = range(0, 100_010, 1000);
    map(
        &mut c,
        "/tmp/mapped",
        &from,
        &["bind"],
        range.clone(),
        range,
    );
    c.mount("/tmp/plain", "bind", &from, &["bind"]);
    c.args(STAT.iter().chain(&["/tmp/mapped/0-0", "/tmp/plain/0-0"]));
    run(&c).prints("10 10\n65534 65534");
}

fn mapping_of_the_user_namespace(t: &Sandbox) {
    let mut c = t.container();
    user_namespace(&mut c);
    let from = source(t, "source", &[(7, 8)]);
    c.mount("/tmp/one", "bind", &from, &["bind", "idmap"]);
    c.mount("/tmp/all", "none", &from, &["rbind,ridmap"]);
    c.args(STAT.iter().chain(&["/tmp/one/7-8", "/tmp/all/7-8"]));
    run(&c).prints("7 8\n7 8");
}

fn mapping_of_a_joined_user_namespace(t: &Sandbox) {
    let mut first = t.container();
    user_namespace(&mut first);
    first.run_sleeping();
    let mut c = t.container();
    user_namespace(&mut c);
    c.without_namespace("user");
    let path = format!("/proc/{}/ns/user", first.pid());
    c.push("/linux/namespaces", json!({"type": "user", "path": path}));
    c.unset("/linux/uidMappings").unset("/linux/gidMappings");
    let from = source(t, "source", &[(7, 8)]);
    c.mount("/tmp", "bind", &from, &["bind", "idmap"]);
    c.args(STAT.iter().chain(&["/tmp/7-8"]));
    run(&c).prints("7 8");
}

fn files_made_inside(t: &Sandbox) {
    let mut c = t.container();
    user_namespace(&mut c);
    let from = source(t, "source", &[]);
    c.mount("/tmp", "bind", &from, &["bind", "idmap"]);
    c.script("touch /tmp/new && stat -c '%u %g' /tmp/new");
    run(&c).prints("0 0");
    let made = fs::metadata(t.path("source/new")).unwrap();
    assert_eq!((made.uid(), made.gid()), (0, 0));
}

/// A user that no file of the mount can be of makes none.
fn users_without_a_mapping(t: &Sandbox) {
    let mut c = t.container();
    let from = source(t, "source", &[]);
    let range = range(0, 5000, 1000);
    map(&mut c, "/tmp", &from, &["bind"], range.clone(), range);
    c.capabilities(&["CAP_DAC_OVERRIDE"]);
    c.script("echo text >/tmp/new || echo refused");
    run(&c).prints("refused").says("Value too large");
    assert!(!t.path("source/new").exists());
}

fn users_and_groups_apart(t: &Sandbox) {
    let mut c = t.container();
    let from = source(t, "source", &[(100, 211)]);
    let (uids, gids) = (range(100, 1100, 3), range(200, 1900, 50));
    map(&mut c, "/tmp", &from, &["bind"], uids, gids);
    c.args(STAT.iter().chain(&["/tmp/100-211"]));
    run(&c).prints("1100 1911");
}

fn one_source_with_several_mappings(t: &Sandbox) {
    let mut c = t.container();
    let from = source(t, "source", &[(1, 1)]);
    let other = source(t, "other", &[(2, 2)]);
    for (to, from, first) in [
        ("/tmp/a", &from, 5000),
        ("/tmp/b", &from, 6000),
        ("/tmp/c", &other, 5000),
    ] {
        let range = range(0, first, 1000);
        map(&mut c, to, from, &["bind"], range.clone(), range);
    }
    c.args(
        STAT.iter()
            .chain(&["/tmp/a/1-1", "/tmp/b/1-1", "/tmp/c/2-2"]),
    );
    run(&c).prints("5001 5001\n6001 6001\n5002 5002");
}

fn mapping_of_many_ranges(t: &Sandbox) {
    let mut c = t.container();
    let from = source(t, "source", &[(100, 211), (102, 233)]);
    let uids = json!([
        {"containerID": 100, "hostID": 1000, "size": 1},
        {"containerID": 102, "hostID": 3000, "size": 1},
    ]);
    let gids = json!([
        {"containerID": 210, "hostID": 1100, "size": 10},
        {"containerID": 230, "hostID": 3300, "size": 10},
    ]);
    map(&mut c, "/tmp", &from, &["bind"], uids, gids);
    c.args(STAT.iter().chain(&["/tmp/100-211", "/tmp/102-233"]));
    run(&c).prints("1000 1101\n3000 3303");
}

/// As crun has it, and podman's `--volume from:to:idmap=...` passes it on.
fn mapping_in_the_option(t: &Sandbox) {
    let mut c = t.container();
    let from = source(t, "source", &[(0, 100), (20, 100)]);
    let option = "idmap=uids=0-5000-10#20-6000-1;gids=100-700-10";
    c.mount("/tmp", "bind", &from, &["bind", option]);
    c.args(STAT.iter().chain(&["/tmp/0-100", "/tmp/20-100"]));
    run(&c).prints("5000 700\n6000 700");
    for (option, why) in [
        ("idmap=uids=0-5000-10", "both uids and gids"),
        ("idmap=uids=0-5000;gids=0-1-1", "0-5000"),
        ("idmap=uids=@0-1-1;gids=0-1-1", "user namespace"),
        ("ridmap=users=0-1-1", "users"),
    ] {
        let mut c = t.container();
        c.mount("/tmp", "bind", &from, &["bind", option]);
        c.args(["true"]).run().fails().says(why);
    }
    t.assert_nothing_left();
}

/// After "@" come ids of the container instead of the host's.
fn mapping_in_the_option_of_a_user_namespace(t: &Sandbox) {
    let mut c = t.container();
    user_namespace(&mut c);
    let from = source(t, "source", &[(0, 100)]);
    let option = "ridmap=uids=@0-5-10;gids=@100-7-10";
    c.mount("/tmp", "bind", &from, &["rbind", option]);
    c.args(STAT.iter().chain(&["/tmp/0-100"]));
    run(&c).prints("5 7");
}

fn file(t: &Sandbox) {
    let mut c = t.container();
    let from = source(t, "source", &[(7, 8)]) + "/7-8";
    let range = range(0, 5000, 1000);
    map(&mut c, "/etc/file", &from, &["bind"], range.clone(), range);
    c.args(STAT.iter().chain(&["/etc/file"]));
    run(&c).prints("5007 5008");
}

fn relative_paths(t: &Sandbox) {
    let mut c = t.container();
    fs::create_dir(c.bundle.join("data")).unwrap();
    fs::write(c.bundle.join("data/file"), "").unwrap();
    let range = range(0, 5000, 1000);
    map(&mut c, "tmp/to", "data", &["bind"], range.clone(), range);
    c.args(STAT.iter().chain(&["/tmp/to/file"]));
    run(&c).prints("5000 5000");
}

/// One in another, whose mount point is there already.
fn nested(t: &Sandbox) {
    let mut c = t.container();
    user_namespace(&mut c);
    let outer = source(t, "outer", &[(1, 1)]);
    let inner = source(t, "inner", &[(2, 2)]);
    t.dir("outer/inner");
    c.mount("/tmp", "bind", &outer, &["bind", "idmap"]);
    let range = range(0, 101_000, 1000);
    map(
        &mut c,
        "/tmp/inner",
        &inner,
        &["bind"],
        range.clone(),
        range,
    );
    c.mount("/tmp/made", "tmpfs", "tmpfs", &[]);
    c.args(
        STAT.iter()
            .chain(&["/tmp/1-1", "/tmp/inner/2-2", "/tmp/made"]),
    );
    run(&c).prints("1 1\n1002 1002\n0 0");
    assert_eq!(fs::metadata(t.path("outer/made")).unwrap().uid(), 0);
}

fn read_only_and_shared(t: &Sandbox) {
    let mut c = t.container();
    user_namespace(&mut c);
    let from = source(t, "source", &[]);
    c.mount(
        "/tmp",
        "bind",
        &from,
        &["bind", "idmap", "ro", "nodev", "shared"],
    );
    c.script("grep ' /tmp ' /proc/self/mountinfo; touch /tmp/new || true");
    let out = run(&c);
    assert!(out.stdout.contains(" ro,nodev,"), "{out}");
    assert!(out.stdout.contains("idmapped shared:"), "{out}");
    assert!(out.stderr.contains("ead-only file system"), "{out}");
}

/// The parent opens the source, in the host's mount namespace.
fn mounts_inside_stay_inside(t: &Sandbox) {
    let from = source(t, "source", &[]);
    t.dir("source/below");
    let setup =
        format!("mount -t tmpfs x {from} && mkdir {from}/below && mount --make-shared {from}");
    for options in [&["rbind"][..], &["rbind", "idmap"]] {
        let mut c = t.container();
        user_namespace(&mut c);
        c.capabilities(&["CAP_SYS_ADMIN"]);
        c.mount("/tmp", "bind", &from, options);
        c.script("mount -t tmpfs inside /tmp/below && echo mounted");
        let out = runs(run_between(t, &c, &setup, "cat /proc/self/mountinfo"));
        assert!(out.stdout.starts_with("mounted"), "{out}");
        assert!(!out.stdout.contains(" tmpfs inside "), "{out}");
    }
}

fn recursive_or_not(t: &Sandbox) {
    let mut c = t.container();
    let from = source(t, "source", &[(0, 0)]);
    t.dir("source/below");
    let range = range(0, 5000, 1000);
    for (to, options) in [
        ("/tmp/top", ["rbind", "idmap"]),
        ("/tmp/tree", ["rbind", "ridmap"]),
        ("/tmp/single", ["bind", "ridmap"]),
    ] {
        map(&mut c, to, &from, &options, range.clone(), range.clone());
    }
    c.args(STAT.iter().chain(&[
        "/tmp/top/0-0",
        "/tmp/top/below",
        "/tmp/tree/0-0",
        "/tmp/tree/below",
        "/tmp/single/below",
    ]));
    let setup = format!("mount -t tmpfs -o uid=3,gid=4 x {from}/below");
    let out = runs(run_between(t, &c, &setup, "true"));
    out.prints("5000 5000\n3 4\n5000 5000\n5003 5004\n5000 5000");
}

fn refusing_file_system(t: &Sandbox) {
    let mut c = t.container();
    let range = range(0, 5000, 1000);
    map(&mut c, "/tmp", "/proc/tty", &["bind"], range.clone(), range);
    c.args(["true"]);
    c.run()
        .fails()
        .says("mounts[7]")
        .says("/proc/tty")
        .says("proc, the file system at /proc, cannot be id-mapped");
    t.assert_nothing_left();
}

/// Of a tree, the mount that refuses is the one to know of.
fn refusing_file_system_below(t: &Sandbox) {
    let mut c = t.container();
    let from = source(t, "source", &[]);
    t.dir("source/be low");
    let range = range(0, 5000, 1000);
    let options = ["rbind", "ridmap"];
    map(&mut c, "/tmp", &from, &options, range.clone(), range);
    c.args(["true"]);
    let setup = format!("mount -t proc x '{from}/be low'");
    let out = run_between(t, &c, &setup, "true").fails();
    out.says(&format!("proc, the file system at {from}/be low, cannot"));
    t.assert_nothing_left();
}

fn half_a_mapping(t: &Sandbox) {
    for key in ["uidMappings", "gidMappings"] {
        let mut c = t.container();
        let from = source(t, "source", &[]);
        c.push(
            "/mounts",
            json!({"destination": "/tmp", "source": from, "options": ["bind"],
                   key: range(0, 5000, 1000)}),
        );
        c.args(["true"]).run().fails().says("both uid and gid");
    }
    t.assert_nothing_left();
}

fn nothing_to_map_by(t: &Sandbox) {
    let mut c = t.container();
    let from = source(t, "source", &[]);
    c.mount("/tmp", "bind", &from, &["bind", "idmap"]);
    c.args(["true"]).run().fails().says("user namespace");
    t.assert_nothing_left();
}

/// As runc has it.
fn new_file_system(t: &Sandbox) {
    let mut c = t.container();
    user_namespace(&mut c);
    c.mount("/tmp", "tmpfs", "tmpfs", &["idmap"]);
    c.args(["true"]).run().fails().says("bind-mounts");
    t.assert_nothing_left();
}

fn ordinary_user(t: &Sandbox) {
    let mut c = t.container();
    user_namespace(&mut c);
    c.mount(
        "/tmp",
        "bind",
        &source(t, "source", &[]),
        &["bind", "idmap"],
    );
    c.args(["true"]).save();
    chown(t.dir("root"), Some(1000), Some(1000)).unwrap();
    let (root, bundle) = (t.root(), c.bundle.to_str().unwrap());
    t.command("setpriv")
        .args(["--reuid=1000", "--regid=1000", "--clear-groups", runtime()])
        .args(["--root", root.to_str().unwrap(), "run", "-b", bundle, &c.id])
        .run()
        .fails()
        .says("not supported for rootless containers");
}
