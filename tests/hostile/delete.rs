//! Removing trees while somebody changes them: the state directory holds a directory that is
//! mounted into the container, and cgroups have names that others give.

use crate::canary::Canary;
use crate::harness::{Sandbox, tests};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

tests![
    cve_2022_21658_directory_exchanged_while_it_is_removed,
    cve_2022_21658_state_directory_is_a_link,
    notify_directory_is_the_hosts,
];

/// A part of the state directory is mounted into the container, to reach a socket there: not to
/// fill the host's /run, nor to put a link where the socket is to be.
fn notify_directory_is_the_hosts(t: &Sandbox) {
    let path = t.path("notify.sock");
    let _manager = UnixDatagram::bind(&path).unwrap();
    let mut c = t.container();
    c.script(
        "cd /run/notify && for way in 'touch x' 'ln -s / x' 'mkdir x' 'rm notify.sock'; do \
              $way && echo $way; done; echo done",
    );
    let run = c.run_with(&[]).env("NOTIFY_SOCKET", path.to_str().unwrap());
    assert_eq!(run.run().ok().text(), "done");
    t.assert_nothing_left();
}

/// Rust's own `remove_dir_all` looked twice, and followed a link the second time.
fn cve_2022_21658_directory_exchanged_while_it_is_removed(t: &Sandbox) {
    let canary = Canary::new(t);
    for round in 0..200 {
        let c = t.container();
        c.create().ok();
        let state = t.root().join(&c.id);
        let (dir, link) = (state.join("dir"), state.join("link"));
        for below in 0..10 {
            fs::create_dir_all(dir.join(format!("{below}/pts/deep"))).unwrap();
        }
        fs::write(dir.join("file"), "").unwrap();
        symlink(canary.path(), &link).unwrap();
        let done = AtomicBool::new(false);
        let outcome = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = renameat_with(CWD, &dir, CWD, &link, RenameFlags::EXCHANGE);
                }
            });
            let outcome = catch_unwind(AssertUnwindSafe(|| c.delete_force()));
            done.store(true, Ordering::Relaxed);
            outcome
        });
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
        canary.assert_untouched(&format!("round {round}"));
        c.delete_force().ok();
        assert!(!state.exists());
    }
    t.assert_nothing_left();
}

/// What stands in the place of a state directory is no container.
fn cve_2022_21658_state_directory_is_a_link(t: &Sandbox) {
    let canary = Canary::new(t);
    let c = t.container();
    c.create().ok();
    let state = t.root().join(&c.id);
    let other = t.root().join(format!("{}-link", c.id));
    symlink(canary.path(), &other).unwrap();
    let id = other.file_name().unwrap().to_str().unwrap();
    for verb in [
        &["delete"][..],
        &["delete", "--force"],
        &["kill"],
        &["state"],
        &["start"],
    ] {
        t.tare(verb.iter().copied().chain([id])).run();
        canary.assert_untouched(&format!("{verb:?}"));
    }
    fs::remove_file(&other).unwrap();
    assert!(state.exists());
}
