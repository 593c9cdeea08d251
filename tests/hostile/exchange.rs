//! T2, the exchange race: on a volume that containers share, one of them swaps a directory for
//! a link out of the volume and back, as fast as it can, while others are made whose mounts,
//! devices, masks and directories are below it. A path that is looked up twice leads to one
//! place the first time and to another the second.

use crate::canary::{Canary, without_mounts};
use crate::harness::{Container, DescriptorSocket, Sandbox, tests};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

tests![
    cve_2021_30465_mount_below_an_exchanged_directory,
    cve_2024_45310_target_made_below_an_exchanged_directory,
    cve_2025_52565_dev_exchanged_while_the_console_is_made,
    cve_2025_62161_mask_below_an_exchanged_directory,
];

/// How long one race may take: on a machine of its own all rounds are done in a sixth of that.
const LIMIT: Duration = Duration::from_secs(120);

/// How many rounds a race has, and for how long: `TARE_TEST_ROUNDS=2000` runs each to its end.
fn length(rounds: usize) -> (usize, Duration) {
    match std::env::var("TARE_TEST_ROUNDS") {
        Ok(rounds) => (rounds.parse().unwrap(), Duration::MAX),
        Err(_) => (rounds, LIMIT),
    }
}

/// Does `create` again and again while two names are exchanged. Tells how many succeeded.
#[track_caller]
fn race(one: PathBuf, other: PathBuf, rounds: usize, create: impl Fn() -> bool) -> usize {
    let (rounds, limit) = length(rounds);
    let done = AtomicBool::new(false);
    let exchanges = AtomicU64::new(0);
    let succeeded = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                exchanges.fetch_add(1, Ordering::Relaxed);
            }
        });
        let begin = Instant::now();
        let in_time = |round: &usize| {
            let in_time = begin.elapsed() < limit;
            if !in_time {
                eprintln!("{round} of {rounds} rounds in {limit:?}");
            }
            in_time
        };
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let rounds = (0..rounds).take_while(in_time);
            rounds.filter(|_| create()).count()
        }));
        done.store(true, Ordering::Relaxed);
        outcome
    });
    let succeeded = succeeded.unwrap_or_else(|panic| resume_unwind(panic));
    let exchanges = exchanges.into_inner();
    // Both sides of the race must have been there to be lost.
    assert!(exchanges > 10 * rounds as u64, "{exchanges} exchanges");
    succeeded
}

/// A container with /volume/dir, and /volume/link to the canary, for the race to exchange.
fn with_volume<'s>(t: &'s Sandbox, canary: &Canary) -> (Container<'s>, PathBuf, PathBuf) {
    let c = t.container();
    fs::create_dir_all(c.rootfs("volume/dir")).unwrap();
    symlink(canary.path(), c.rootfs("volume/link")).unwrap();
    let (dir, link) = (c.rootfs("volume/dir"), c.rootfs("volume/link"));
    (c, dir, link)
}

/// No mount may be of a part of the canary. What was mounted through the link is in the rootfs,
/// at the place that has the canary's name there.
#[track_caller]
fn assert_not_mounted(table: &str, canary: &Canary) {
    let name = canary.path().rsplit('/').next().unwrap();
    let mut roots = table.lines().filter_map(|line| line.split(' ').nth(3));
    assert!(!roots.any(|root| root.contains(name)), "{table}");
}

/// Whether the container ran; if so, it has printed its mount table.
#[track_caller]
fn run_and_look(c: &Container, canary: &Canary) -> bool {
    let out = c.run_with(&[]).run();
    assert_not_mounted(&out.stdout, canary);
    canary.assert_untouched("exchanged while a container was made");
    if out.status != 0 {
        c.delete_force().ok();
    }
    out.status == 0
}

/// The 2,000 rounds of the issue are here and in the next test.
fn cve_2021_30465_mount_below_an_exchanged_directory(t: &Sandbox) {
    let canary = Canary::new(t);
    let (mut c, dir, link) = with_volume(t, &canary);
    fs::create_dir(c.rootfs("volume/dir/below")).unwrap();
    c.mount("/volume/dir/below", "tmpfs", "tmpfs", &[]);
    let source = t.dir("source");
    c.mount(
        "/volume/dir/below",
        "bind",
        source.to_str().unwrap(),
        &["rbind"],
    );
    c.args(["cat", "/proc/self/mountinfo"]);
    let ran = race(dir, link, 1000, || run_and_look(&c, &canary));
    assert!(ran > 0, "not one container ran");
    t.assert_nothing_left();
}

fn cve_2024_45310_target_made_below_an_exchanged_directory(t: &Sandbox) {
    let canary = Canary::new(t);
    let (mut c, dir, link) = with_volume(t, &canary);
    let source = t.file("source", "");
    c.mount(
        "/volume/dir/made/up/file",
        "bind",
        source.to_str().unwrap(),
        &["bind"],
    );
    c.mount("/volume/dir/made/dir", "tmpfs", "tmpfs", &[]);
    let device = json!({"path": "/volume/dir/node", "type": "c", "major": 1, "minor": 3,
                        "uid": 1000, "gid": 1000, "fileMode": 0o600});
    c.push("/linux/devices", device);
    c.set("/process/cwd", json!("/volume/dir/made/cwd"));
    c.args(["cat", "/proc/self/mountinfo"]);
    let made = c.rootfs("volume/dir");
    let ran = race(dir, link, 1000, || {
        // Where it has been made before, it is not made.
        for made in [made.clone(), made.with_file_name("link")] {
            if fs::symlink_metadata(&made).is_ok_and(|meta| meta.is_dir()) {
                let _ = fs::remove_dir_all(made.join("made"));
                let _ = fs::remove_file(made.join("node"));
            }
        }
        run_and_look(&c, &canary)
    });
    assert!(ran > 0, "not one container ran");
    t.assert_nothing_left();
}

fn cve_2025_62161_mask_below_an_exchanged_directory(t: &Sandbox) {
    let canary = Canary::new(t);
    let (mut c, dir, link) = with_volume(t, &canary);
    fs::write(c.rootfs("volume/dir/file"), "").unwrap();
    fs::create_dir(c.rootfs("volume/dir/pts")).unwrap();
    c.set(
        "/linux/maskedPaths",
        json!(["/volume/dir/file", "/volume/dir/pts"]),
    );
    c.set(
        "/linux/readonlyPaths",
        json!(["/volume/dir", "/volume/dir/pts"]),
    );
    c.args(["cat", "/proc/self/mountinfo"]);
    let ran = race(dir, link, 300, || run_and_look(&c, &canary));
    assert!(ran > 0, "not one container ran");
    t.assert_nothing_left();
}

fn cve_2025_52565_dev_exchanged_while_the_console_is_made(t: &Sandbox) {
    let canary = Canary::new(t);
    let mut c = t.container();
    without_mounts(&mut c, "/dev");
    c.mount(
        "/dev/pts",
        "devpts",
        "devpts",
        &["newinstance", "ptmxmode=0666"],
    );
    c.set("/root/readonly", json!(false));
    c.set("/process/terminal", json!(true));
    symlink(canary.path(), c.rootfs("other")).unwrap();
    let socket = DescriptorSocket::new(t);
    c.args(["true"]);
    let ran = race(c.rootfs("dev"), c.rootfs("other"), 300, || {
        let out = c.create_with(&["--console-socket", socket.path()]).run();
        if out.status == 0 {
            let _terminal = socket.receive_terminal();
            let mounts = fs::read_to_string(c.proc("mountinfo")).unwrap();
            assert_not_mounted(&mounts, &canary);
        }
        c.delete_force().ok();
        canary.assert_untouched("/dev exchanged");
        out.status == 0
    });
    assert!(ran > 0, "not one container ran");
    t.assert_nothing_left();
}
