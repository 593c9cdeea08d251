//! T6, the false procfs: whatever the config, the image or a neighbour puts at /proc, kernel
//! parameters and security labels are written to the kernel's own files, or there is no
//! container; a decoy is never written to.

use crate::harness::{Container, Sandbox, tests};
use serde_json::json;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

tests![
    cve_2019_16884_volume_over_proc,
    cve_2019_16884_volume_below_proc,
    cve_2025_52881_parameters_beside_a_racing_neighbour,
    cve_2025_62596_another_file_of_procfs_for_a_label,
    mount_through_a_link_into_proc,
    mounts_below_proc_that_give_no_power,
];

/// A procfs that is none: what the runtime writes, and would not notice.
fn decoy(t: &Sandbox) -> String {
    let dir = t.dir(&format!("decoy{}", t.number()));
    for file in [
        "self/attr/exec",
        "self/attr/apparmor/exec",
        "self/attr/keycreate",
        "sys/net/ipv4/ip_forward",
        "sys/kernel/domainname",
        "exec",
        "ip_forward",
    ] {
        fs::create_dir_all(dir.join(file).parent().unwrap()).unwrap();
        fs::write(dir.join(file), "untouched").unwrap();
    }
    dir.to_str().unwrap().into()
}

#[track_caller]
fn assert_untouched(decoy: &str) {
    fn walk(dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path),
                false => assert_eq!(fs::read_to_string(&path).unwrap(), "untouched"),
            }
        }
    }
    walk(Path::new(decoy));
}

/// A container that sets a parameter of its network.
fn forwarding(t: &Sandbox) -> Container<'_> {
    let mut c = t.container();
    c.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    c.args(["sleep", "1000"]);
    c
}

/// What the kernel says, asked from outside: in the container /proc may be anything.
fn forwards(t: &Sandbox, c: &Container) -> bool {
    let pid = c.pid().to_string();
    let ask = [
        "--target",
        &pid,
        "--net",
        "cat",
        "/proc/sys/net/ipv4/ip_forward",
    ];
    t.command("nsenter").args(ask).run().ok().text() == "1"
}

/// Either it is refused, or what was asked for is really so.
#[track_caller]
fn refused_or_set(t: &Sandbox, c: &Container, decoy: &str) -> bool {
    let made = c.create().status == 0;
    if made {
        assert!(forwards(t, c), "created, and the parameter is not set");
    }
    c.delete_force().ok();
    assert_untouched(decoy);
    made
}

fn cve_2019_16884_volume_over_proc(t: &Sandbox) {
    let decoy = decoy(t);
    for (kind, from, options) in [
        ("bind", decoy.as_str(), &["bind"][..]),
        ("bind", &decoy, &["rbind", "rslave"]),
        ("tmpfs", "tmpfs", &[]),
        ("tmpfs", "tmpfs", &["tmpcopyup"]),
        ("bind", "/sys", &["rbind"]),
    ] {
        for instead in [true, false] {
            let mut c = forwarding(t);
            if instead {
                let list = c.config["mounts"].as_array_mut().unwrap();
                list.retain(|mount| mount["destination"] != "/proc");
            }
            c.mount("/proc", kind, from, options);
            c.create().fails().says("/proc");
            t.assert_nothing_left();
        }
    }
    assert_untouched(&decoy);
}

fn cve_2019_16884_volume_below_proc(t: &Sandbox) {
    let decoy = decoy(t);
    for destination in [
        "/proc/self",
        "/proc/self/attr",
        "/proc/self/attr/exec",
        "/proc/1/attr",
        "/proc/thread-self/attr",
        "/proc/sys",
        "/proc/sys/net",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sysrq-trigger",
        "/proc/../proc/sys",
        "//proc/./sys",
        "/tmp/../proc/sys/kernel",
    ] {
        for (kind, from) in [("bind", decoy.as_str()), ("tmpfs", "tmpfs")] {
            let mut c = forwarding(t);
            c.mount(
                destination,
                kind,
                from,
                &["bind"][..usize::from(kind == "bind")],
            );
            c.create().fails().says("/proc");
            t.assert_nothing_left();
        }
    }
    assert_untouched(&decoy);
}

/// A write to the file of another attribute is a write to procfs, and yet to the wrong file.
fn cve_2025_62596_another_file_of_procfs_for_a_label(t: &Sandbox) {
    for (destination, source) in [
        ("/proc/self/attr/exec", "/proc/self/sched"),
        ("/proc/self/attr/exec", "/proc/self/attr/current"),
        ("/proc/sys/net/ipv4/ip_forward", "/proc/self/oom_score_adj"),
        ("/proc/meminfo", "/proc/sysrq-trigger"),
        ("/proc/uptime", "/proc/version"),
        ("/proc/sys", "/proc/sys/net"),
    ] {
        let mut c = forwarding(t);
        c.mount(destination, "bind", source, &["bind"]);
        c.create().fails().says("/proc");
        t.assert_nothing_left();
    }
}

/// The name of the destination says nothing of /proc; the rootfs sees to that.
fn mount_through_a_link_into_proc(t: &Sandbox) {
    let decoy = decoy(t);
    for target in ["/proc/sys", "proc/self/attr", "/proc", "../../proc/sys/net"] {
        let mut c = forwarding(t);
        std::os::unix::fs::symlink(target, c.rootfs("link")).unwrap();
        c.mount("/link", "bind", &decoy, &["bind"]);
        c.create().fails().says("proc");
        let mut c = forwarding(t);
        std::os::unix::fs::symlink(target, c.rootfs("link")).unwrap();
        c.mount("/link", "cgroup", "cgroup", &[]);
        c.create().fails().says("proc");
        t.assert_nothing_left();
    }
    assert_untouched(&decoy);
}

/// Those that lxcfs and Kubernetes rely on are fine.
fn mounts_below_proc_that_give_no_power(t: &Sandbox) {
    let file = t.file("meminfo", "MemTotal: 1 kB\n");
    let mut c = forwarding(t);
    c.mount("/proc/meminfo", "bind", file.to_str().unwrap(), &["bind"]);
    c.create().ok();
    assert!(forwards(t, &c));
}

/// The neighbour has the rootfs on a volume whose mounts propagate, and mounts over the names
/// that matter as fast as it can.
fn cve_2025_52881_parameters_beside_a_racing_neighbour(t: &Sandbox) {
    let decoy = decoy(t);
    let mut c = forwarding(t);
    let rootfs = c.rootfs("");
    let rootfs = rootfs.to_str().unwrap().trim_end_matches('/');
    let mount = |args: &[&str]| t.command("mount").args(args).run().ok();
    mount(&["--bind", rootfs, rootfs]);
    mount(&["--make-shared", rootfs]);
    let proc = c.rootfs("proc");
    let done = AtomicBool::new(false);
    let mut made = 0;
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            use rustix::mount::{UnmountFlags, mount_bind, unmount};
            while !done.load(Ordering::Relaxed) {
                mount_bind(&decoy, &proc).unwrap();
                unmount(&proc, UnmountFlags::DETACH).unwrap();
            }
        });
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for propagation in ["rslave", "slave", "rprivate"] {
                c.set("/linux/rootfsPropagation", json!(propagation));
                for _ in 0..60 {
                    made += u32::from(refused_or_set(t, &c, &decoy));
                }
            }
        }));
        done.store(true, Ordering::Relaxed);
        outcome
    });
    t.command("umount").args(["--lazy", rootfs]).run().ok();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
    assert!(made > 0, "not one container was made");
    t.assert_nothing_left();
}
