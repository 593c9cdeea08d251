//! What is the same on v1 and on v2.

use crate::host::{Cgroup, resources, wait_until};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use serde_json::json;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use tare::cgroups::Manager;
use tare::config::resources::Resources;
use tare::error::Code;

#[test]
fn no_fork_escapes_a_signal() {
    let Some(cgroup) = Cgroup::made("forks") else {
        return;
    };
    let mut process = cgroup.spawn("while true; do (sleep 60 &) ; done");
    wait_until("forks", || cgroup.manager.processes().unwrap().len() > 30);
    cgroup.manager.signal_all(libc::SIGTERM).unwrap();
    process.0.wait().unwrap();
    wait_until("all to be gone", || {
        cgroup.manager.processes().unwrap().is_empty()
    });
    cgroup.manager.remove().unwrap();
}

#[test]
fn frozen_processes_stand_still_until_thawed_and_can_be_killed() {
    let Some(cgroup) = Cgroup::made("freeze") else {
        return;
    };
    let mut process = cgroup.spawn_after("trap 'exit 7' TERM", "while true; do :; done");
    assert!(!cgroup.manager.is_frozen().unwrap());
    cgroup.manager.freeze().unwrap();
    assert!(cgroup.manager.is_frozen().unwrap());
    cgroup.manager.signal_all(libc::SIGTERM).unwrap();
    assert!(cgroup.manager.is_frozen().unwrap(), "a signal resumed it");
    assert_eq!(process.0.try_wait().unwrap(), None);
    cgroup.manager.thaw().unwrap();
    assert_eq!(process.0.wait().unwrap().code(), Some(7));

    let mut process = cgroup.spawn("sleep 60");
    cgroup.manager.freeze().unwrap();
    cgroup.manager.signal_all(libc::SIGKILL).unwrap();
    process.0.wait().unwrap();
    cgroup.manager.remove().unwrap();
}

#[test]
fn a_cgroup_in_use_or_frozen_is_refused() {
    let Some(mut cgroup) = Cgroup::made("refuse") else {
        return;
    };
    let none = Resources::default();
    // Empty and thawed: welcome.
    cgroup.create(&none).unwrap();
    let process = cgroup.spawn("sleep 60");
    let error = cgroup.create(&none).unwrap_err();
    assert_eq!(error.code(), Code::WrongState);
    let message = error.to_string();
    assert!(
        message.contains("container's cgroup is not empty: 1 process(es) found"),
        "{message}"
    );
    drop(process);
    wait_until("the process to leave", || {
        cgroup.manager.processes().unwrap().is_empty()
    });

    cgroup.manager.freeze().unwrap();
    let message = cgroup.create(&none).unwrap_err().to_string();
    assert!(
        message.contains("container's cgroup unexpectedly frozen"),
        "{message}"
    );
    assert!(cgroup.manager.exists(), "what was there before was removed");
    cgroup.manager.thaw().unwrap();
}

#[test]
fn what_cannot_be_removed_is_named() {
    let Some(cgroup) = Cgroup::made("busy") else {
        return;
    };
    let process = cgroup.spawn("sleep 60");
    let error = cgroup.manager.remove().unwrap_err().to_string();
    assert!(
        error.contains(&format!("still in it: pid {}", process.0.id())),
        "{error}"
    );
}

/// As it is when systemd was faster.
#[test]
fn what_is_gone_is_thawed_and_killed() {
    let Some(cgroup) = Cgroup::made("gone") else {
        return;
    };
    cgroup.manager.remove().unwrap();
    cgroup.manager.thaw().unwrap();
    for signal in [libc::SIGTERM, libc::SIGKILL] {
        cgroup.manager.signal_all(signal).unwrap();
    }
    assert!(!cgroup.manager.is_frozen().unwrap());
}

/// Where the container may make cgroups, the kernel has no limit for how deep they are nested.
#[test]
fn nested_deeper_than_a_path_is_long() {
    let Some(cgroup) = Cgroup::made("deep") else {
        return;
    };
    let mut process = cgroup.spawn("sleep 60");
    for top in cgroup.manager.paths() {
        let mut dir = open_in(CWD, top);
        for _ in 0..1000 {
            mkdirat(&dir, NAME, Mode::RWXU).unwrap();
            dir = open_in(&dir, Path::new(NAME));
        }
        // On v1 a cpuset without CPUs takes nobody.
        if !top.to_string_lossy().contains("cpuset") {
            let procs = openat(&dir, "cgroup.procs", OFlags::WRONLY, Mode::empty()).unwrap();
            rustix::io::write(&procs, process.0.id().to_string().as_bytes()).unwrap();
        }
    }
    let found = cgroup.manager.processes().unwrap();
    let found: Vec<u32> = found
        .iter()
        .map(|pid| pid.as_raw_nonzero().get().cast_unsigned())
        .collect();
    assert_eq!(found, [process.0.id()]);
    cgroup.manager.signal_all(libc::SIGKILL).unwrap();
    process.0.wait().unwrap();
    cgroup.manager.remove().unwrap();
    assert!(!cgroup.manager.exists());
}

/// Some 65 of them are more than a path can be long (PATH_MAX).
const NAME: &str = "a-cgroup-with-a-name-that-is-as-long-as-the-names-of-containers";

fn open_in(dir: impl AsFd, path: &Path) -> OwnedFd {
    openat(dir, path, OFlags::DIRECTORY, Mode::empty()).unwrap()
}

#[test]
fn memory_events_count_kills() {
    let Some(cgroup) = Cgroup::made("oom") else {
        return;
    };
    if cgroup.manager.memory_events().unwrap().is_none() {
        eprintln!("skipped: no memory controller");
        return;
    }
    let limit = json!({"memory": {"limit": 8 << 20, "swap": 8 << 20}});
    cgroup.manager.apply(&resources(limit)).unwrap();
    let mut process = cgroup.spawn("x=$(head -c 90000000 /dev/zero | tr '\\0' x)");
    process.0.wait().unwrap();
    let events = cgroup.manager.memory_events().unwrap().unwrap();
    assert!(events.oom_kills > 0);
    assert_eq!(events.limit, Some(8 << 20));
}

#[test]
fn state_survives_json_and_deletes_from_it() {
    let Some(cgroup) = Cgroup::made("json") else {
        return;
    };
    let text = serde_json::to_string(&cgroup.manager).unwrap();
    let again: Manager = serde_json::from_str(&text).unwrap();
    assert_eq!(again, cgroup.manager);
    again.remove().unwrap();
    assert!(!cgroup.manager.exists());
}

#[test]
fn a_cgroup_is_one_creates_at_a_time() {
    let Some(mut first) = Cgroup::new("claim") else {
        return;
    };
    let mut second = first.manager.clone();
    let none = Resources::default();
    let claim = first.manager.create(&none).unwrap();
    let error = second.create(&none).unwrap_err();
    assert_eq!(error.code(), Code::WrongState);
    assert!(error.to_string().contains("container's cgroup is not free"));
    second.remove_unused().unwrap();
    assert!(first.manager.exists(), "what is claimed was removed");
    drop(claim);
    first.create(&none).unwrap();

    let process = first.spawn("sleep 60");
    second.remove_unused().unwrap();
    assert!(first.manager.exists(), "what is in use was removed");
    drop(process);
    wait_until("the process to leave", || {
        first.manager.processes().unwrap().is_empty()
    });
    wait_until("it to be removed", || {
        second.remove_unused().unwrap();
        !first.manager.exists()
    });
    second.remove_unused().unwrap();
}
