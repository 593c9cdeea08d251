//! The options of mounts: flags, their recursive forms and propagation.

use crate::harness::{Container, Sandbox, tests};
use std::fs;
use std::os::unix::fs::symlink;

tests![
    flags_of_tmpfs,
    negative_flags,
    atime_flags,
    last_option_wins,
    bind_read_only,
    bind_read_only_is_not_recursive,
    recursive_read_only,
    recursive_flags,
    recursive_flags_can_be_taken_back,
    rbind_takes_what_is_below,
    bind_keeps_flags_not_named,
    propagation_of_a_mount,
    nosymfollow,
];

/// The options that the mount table gives for a mount point: the mount's own, then the
/// filesystem's.
fn options(c: &mut Container, point: &str) -> (Vec<String>, Vec<String>) {
    c.args(["cat", "/proc/self/mountinfo"]);
    let out = c.run().ok();
    let line = out
        .stdout
        .lines()
        .rfind(|line| line.split(' ').nth(4) == Some(point))
        .unwrap_or_else(|| panic!("no mount on {point}: {out}"));
    let split = |text: &str| text.split(',').map(Into::into).collect();
    let own = split(line.split(' ').nth(5).unwrap());
    (own, split(line.rsplit(' ').next().unwrap()))
}

/// A directory on the host with a file in it.
fn source(t: &Sandbox) -> String {
    let dir = t.dir("source");
    fs::write(dir.join("file"), "from the host").unwrap();
    dir.to_str().unwrap().into()
}

#[track_caller]
fn assert_options(t: &Sandbox, given: &[&str], has: &[&str], lacks: &[&str]) {
    let mut c = t.container();
    c.mount("/tmp", "tmpfs", "tmpfs", given);
    let (found, _) = options(&mut c, "/tmp");
    for option in has {
        assert!(
            found.iter().any(|f| f == option),
            "{given:?} gave {found:?}"
        );
    }
    for option in lacks {
        assert!(
            !found.iter().any(|f| f == option),
            "{given:?} gave {found:?}"
        );
    }
}

fn flags_of_tmpfs(t: &Sandbox) {
    assert_options(t, &[], &["rw", "relatime"], &["nosuid", "nodev", "noexec"]);
    let all = ["ro", "nosuid", "nodev", "noexec"];
    assert_options(t, &all, &all, &["rw"]);
    assert_options(t, &["nodiratime"], &["nodiratime"], &[]);
}

fn negative_flags(t: &Sandbox) {
    assert_options(
        t,
        &["rw", "suid", "dev", "exec", "async", "diratime", "defaults"],
        &["rw"],
        &["nosuid", "nodev", "noexec", "nodiratime"],
    );
    // Flags to runc, which no tmpfs knows by these names.
    assert_options(t, &["acl", "noacl", "iversion"], &["rw"], &[]);
}

fn atime_flags(t: &Sandbox) {
    assert_options(t, &["noatime"], &["noatime"], &["relatime"]);
    assert_options(t, &["relatime"], &["relatime"], &[]);
    assert_options(t, &["strictatime"], &[], &["relatime", "noatime"]);
}

fn last_option_wins(t: &Sandbox) {
    assert_options(
        t,
        &["ro", "nosuid", "rw", "suid"],
        &["rw"],
        &["ro", "nosuid"],
    );
    assert_options(t, &["rw", "ro"], &["ro"], &["rw"]);
    assert_options(
        t,
        &["noatime", "strictatime"],
        &[],
        &["noatime", "relatime"],
    );
}

fn bind_read_only(t: &Sandbox) {
    let mut c = t.container();
    c.mount(
        "/tmp",
        "bind",
        &source(t),
        &["rbind", "ro", "nosuid", "nodev", "noexec"],
    );
    c.script("touch /tmp/new");
    c.run().fails().says("Read-only file system");
    let (found, _) = options(&mut c, "/tmp");
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(found.iter().any(|f| f == option), "{found:?}");
    }
}

/// Runs the test's container in a mount namespace whose source has a mount below it.
fn run_with_submount(t: &Sandbox, c: &Container) -> crate::harness::Output {
    c.save();
    let script = format!(
        "mount -t tmpfs sub {}/sub && exec {} run -b {} {}",
        t.path("source").display(),
        t.tare_words(),
        c.bundle.display(),
        c.id
    );
    t.command("unshare").args(["-m", "sh", "-c", &script]).run()
}

fn with_submount<'s>(t: &'s Sandbox, options: &[&str]) -> Container<'s> {
    let mut c = t.container();
    let source = source(t);
    t.dir("source/sub");
    c.mount("/tmp", "bind", &source, options);
    c
}

fn bind_read_only_is_not_recursive(t: &Sandbox) {
    let mut c = with_submount(t, &["rbind", "ro"]);
    c.script("touch /tmp/new 2>/dev/null || touch /tmp/sub/new && echo below is writable");
    run_with_submount(t, &c).ok().prints("below is writable");
}

fn recursive_read_only(t: &Sandbox) {
    let mut c = with_submount(t, &["rbind", "rro"]);
    c.script("touch /tmp/new /tmp/sub/new");
    let out = run_with_submount(t, &c).fails();
    assert_eq!(
        out.stderr.matches("Read-only file system").count(),
        2,
        "{out}"
    );
}

fn recursive_flags(t: &Sandbox) {
    let given = [
        "rbind",
        "rro",
        "rnosuid",
        "rnodev",
        "rnoexec",
        "rnoatime",
        "rnodiratime",
    ];
    let mut c = with_submount(t, &given);
    c.script("awk '$5 ~ \"^/tmp\"' /proc/self/mountinfo");
    let out = run_with_submount(t, &c).ok();
    assert_eq!(out.stdout.lines().count(), 2, "{out}");
    for line in out.stdout.lines() {
        let own = line.split(' ').nth(5).unwrap();
        assert_eq!(own, "ro,nosuid,nodev,noexec,noatime,nodiratime", "{out}");
    }
}

fn recursive_flags_can_be_taken_back(t: &Sandbox) {
    // The mount itself is read-only, what is below it is not.
    let mut c = with_submount(t, &["rbind", "ro", "rrw"]);
    c.script("touch /tmp/sub/new && echo written");
    run_with_submount(t, &c).ok().prints("written");
}

fn rbind_takes_what_is_below(t: &Sandbox) {
    let mut c = with_submount(t, &["rbind"]);
    c.script("cut -d' ' -f5 /proc/self/mountinfo | grep -c ^/tmp");
    run_with_submount(t, &c).ok().prints("2");
    let mut c = with_submount(t, &["bind"]);
    c.script("cut -d' ' -f5 /proc/self/mountinfo | grep -c ^/tmp");
    run_with_submount(t, &c).ok().prints("1");
}

fn bind_keeps_flags_not_named(t: &Sandbox) {
    let mut c = with_submount(t, &["bind", "nosuid"]);
    let source = t.path("source");
    c.args(["grep", " /tmp ", "/proc/self/mountinfo"]).save();
    let script = format!(
        "mount -t tmpfs -o noatime,nodev x {} && exec {} run -b {} {}",
        source.display(),
        t.tare_words(),
        c.bundle.display(),
        c.id
    );
    let out = t
        .command("unshare")
        .args(["-m", "sh", "-c", &script])
        .run()
        .ok();
    let own = out.text().split(' ').nth(5).unwrap();
    assert!(own.contains("nosuid"), "{out}");
}

fn propagation_of_a_mount(t: &Sandbox) {
    let source = source(t);
    for (option, expected) in [
        ("shared", "shared:"),
        ("rshared", "shared:"),
        ("unbindable", "unbindable"),
        ("private", ""),
        ("rprivate", ""),
    ] {
        let mut c = t.container();
        c.mount("/tmp", "bind", &source, &["rbind", option]);
        c.args(["grep", " /tmp ", "/proc/self/mountinfo"]);
        let out = c.run().ok();
        let (before, _) = out.text().split_once(" - ").unwrap();
        let found = before.split(' ').skip(6).collect::<Vec<_>>().join(" ");
        let fits = if expected.is_empty() {
            found.is_empty()
        } else {
            found.contains(expected)
        };
        assert!(fits, "{option} gave {found:?}");
    }
}

fn nosymfollow(t: &Sandbox) {
    let mut c = t.container();
    let source = source(t);
    symlink("file", t.path("source/link")).unwrap();
    c.mount("/tmp", "bind", &source, &["bind", "nosymfollow"]);
    c.script("cat /tmp/file && cat /tmp/link")
        .run()
        .fails()
        .prints("from the host");
}
