//! A hostile rootfs: links in every place that the runtime touches before the container
//! runs. Nothing outside the rootfs may change (class T1 of the known escapes: 14 of
//! runc's CVEs since 2017 are a path walked again after it was checked).

use crate::harness::{Container, DescriptorSocket, Sandbox, tests};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

tests![
    dev_is_a_link,
    dev_entries_are_links,
    dev_null_is_a_link,
    dev_null_is_a_fifo,
    dev_console_is_a_link,
    dev_pts_is_a_link,
    proc_is_a_link,
    sys_is_a_link,
    mount_destination_is_a_link,
    mount_parents_are_links,
    mount_file_destination_is_a_dangling_link,
    cwd_is_a_link,
    device_outside_dev_is_a_link,
    masked_and_readonly_paths_are_links,
    passwd_is_a_link,
    passwd_is_a_fifo,
    links_to_descriptors,
    symlinked_dev_in_exec_time,
    rootfs_entries_exchanged_while_creating,
];

/// A directory on the host that a link of the rootfs points to, and what it was like.
struct Canary {
    path: String,
    before: BTreeMap<String, String>,
}

impl Canary {
    fn new(t: &Sandbox) -> Self {
        let dir = t.dir(&format!("canary{}", t.number()));
        fs::write(dir.join("file"), "untouched").unwrap();
        fs::write(dir.join("ptmx"), "untouched").unwrap();
        fs::create_dir(dir.join("pts")).unwrap();
        let before = list(&dir);
        Self {
            path: dir.to_str().unwrap().into(),
            before,
        }
    }

    /// Its path with something below it.
    fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    #[track_caller]
    fn assert_untouched(&self, what: &str) {
        assert_eq!(list(Path::new(&self.path)), self.before, "{what}");
    }
}

/// All that is in a directory, with its owner, mode, times and content.
fn list(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_file() {
            fs::read_to_string(&path).unwrap()
        } else {
            String::new()
        };
        let said = format!(
            "{:o} {}:{} {} {} {content}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.ino(),
            meta.mtime_nsec()
        );
        found.insert(path.to_str().unwrap().into(), said);
        if meta.is_dir() {
            found.extend(list(&path));
        }
    }
    found
}

/// The three ways out that a link can try.
fn ways_out(canary: &str) -> [String; 3] {
    let up = "../".repeat(20);
    [
        canary.to_owned(),
        format!("{}{}", up, canary.trim_start_matches('/')),
        format!("/proc/1/root{canary}"),
    ]
}

/// Puts a link in place of whatever is at this path of the rootfs.
fn link(c: &Container, at: &str, to: &str) {
    let path = c.rootfs(at);
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir_all(&path).unwrap();
    } else {
        let _ = fs::remove_file(&path);
    }
    symlink(to, path).unwrap();
}

/// Creates, starts, executes in and deletes the container, whatever of it succeeds.
fn live(t: &Sandbox, c: &Container) {
    let socket = DescriptorSocket::new(t);
    let options = ["--console-socket", socket.path()];
    let wants = c.config["process"]["terminal"] == true;
    let options = if wants { &options[..] } else { &[] };
    if c.create_with(options).run().status == 0 {
        c.start();
        c.exec(&["true"]);
    }
    c.delete_force().ok();
}

/// Keeps the mounts of the default config but for those at or below a path.
fn without_mounts(c: &mut Container, path: &str) {
    let list = c.config["mounts"].as_array_mut().unwrap();
    list.retain(|mount| !mount["destination"].as_str().unwrap().starts_with(path));
}

/// For each way out: a rootfs with that link, a config changed by `edit`, a whole life.
#[track_caller]
fn matrix(t: &Sandbox, at: &str, below: &str, edit: impl Fn(&mut Container)) {
    let canary = Canary::new(t);
    for way in ways_out(&canary.below(below)) {
        let way = way.trim_end_matches('/');
        for readonly in [true, false] {
            let mut c = t.container();
            c.set("/root/readonly", json!(readonly));
            c.script("sleep 0.1");
            edit(&mut c);
            link(&c, at, way);
            live(t, &c);
            canary.assert_untouched(&format!("{at} -> {way}"));
            t.assert_nothing_left();
        }
    }
}

/// CVE-2026-41579 and CVE-2026-47766.
fn dev_is_a_link(t: &Sandbox) {
    matrix(t, "dev", "", |c| without_mounts(c, "/dev"));
    matrix(t, "dev", "", |_| ());
}

fn dev_entries_are_links(t: &Sandbox) {
    let entries = [
        "null", "zero", "full", "random", "urandom", "tty", "ptmx", "fd", "stdin", "core",
    ];
    for entry in entries {
        for target in ["file", "new"] {
            matrix(t, &format!("dev/{entry}"), target, |c| {
                without_mounts(c, "/dev")
            });
        }
    }
}

/// CVE-2025-31133: masks bind the container's /dev/null; CVE-2026-88265: so do the
/// standard streams.
fn dev_null_is_a_link(t: &Sandbox) {
    let canary = Canary::new(t);
    let mut c = t.container();
    without_mounts(&mut c, "/dev");
    link(&c, "dev/null", &canary.below("file"));
    fs::write(c.rootfs("etc/secret"), "secret").unwrap();
    c.push("/linux/maskedPaths", json!("/etc/secret"));
    c.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    c.script("cat /etc/secret; echo x >/proc/sys/kernel/core_pattern");
    let out = c.run();
    assert!(!out.stdout.contains("secret"), "{out}");
    let out = c.run_with(&[]).redirect("0<&- 1>&- 2>&-").run();
    assert!(!out.stdout.contains("secret"), "{out}");
    canary.assert_untouched("dev/null");
}

fn dev_null_is_a_fifo(t: &Sandbox) {
    let mut c = t.container();
    without_mounts(&mut c, "/dev");
    t.command("mkfifo")
        .arg(c.rootfs("dev/null").to_str().unwrap())
        .run()
        .ok();
    c.args(["true"]);
    // Fail or replace it, but do not hang on opening it.
    c.run();
    t.assert_nothing_left();
}

/// CVE-2025-52565 and CVE-2026-88264.
fn dev_console_is_a_link(t: &Sandbox) {
    for target in ["file", "new"] {
        matrix(t, "dev/console", target, |c| {
            without_mounts(c, "/dev");
            c.set("/process/terminal", json!(true));
        });
    }
}

fn dev_pts_is_a_link(t: &Sandbox) {
    matrix(t, "dev/pts", "pts", |c| {
        let list = c.config["mounts"].as_array_mut().unwrap();
        list.retain(|mount| mount["destination"] != "/dev");
    });
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2023-28642 and CVE-2025-54867.
fn proc_is_a_link(t: &Sandbox) {
    matrix(t, "proc", "", |_| ());
    for target in ["/tmp", "../tmp", "tmp", "/tmp/none"] {
        let mut c = t.container();
        link(&c, "proc", target);
        c.args(["true"]).run().fails().says("/proc");
        t.assert_nothing_left();
    }
}

fn sys_is_a_link(t: &Sandbox) {
    matrix(t, "sys", "", |_| ());
    let mut c = t.container();
    link(&c, "sys", "/tmp");
    c.args(["true"]).run().fails().says("/sys");
    t.assert_nothing_left();
}

/// CVE-2019-18837.
fn mount_destination_is_a_link(t: &Sandbox) {
    matrix(t, "link", "pts", |c| {
        c.mount("/link", "tmpfs", "tmpfs", &[]);
    });
    let source = t.file("source", "");
    for target in ["file", "new"] {
        matrix(t, "link", target, |c| {
            c.mount("/link", "bind", source.to_str().unwrap(), &["bind"]);
        });
    }
}

fn mount_parents_are_links(t: &Sandbox) {
    matrix(t, "link", "", |c| {
        c.mount("/link/made/up", "tmpfs", "tmpfs", &[]);
    });
    let source = t.file("source", "");
    matrix(t, "link", "", |c| {
        c.mount("/link/made/up", "bind", source.to_str().unwrap(), &["bind"]);
    });
}

fn mount_file_destination_is_a_dangling_link(t: &Sandbox) {
    let source = t.file("source", "");
    for target in ["/no/where", "no/where", "."] {
        let mut c = t.container();
        link(&c, "link", target);
        c.mount("/link", "bind", source.to_str().unwrap(), &["bind"]);
        c.args(["true"]).run();
        t.assert_nothing_left();
    }
    assert!(!Path::new("/no").exists());
}

fn cwd_is_a_link(t: &Sandbox) {
    matrix(t, "cwd", "made/up", |c| {
        c.set("/process/cwd", json!("/cwd"));
    });
    matrix(t, "cwd", "", |c| {
        c.set("/process/cwd", json!("/cwd/made/up"));
    });
}

fn device_outside_dev_is_a_link(t: &Sandbox) {
    for target in ["file", "new"] {
        matrix(t, "etc/device", target, |c| {
            let device = json!({"path": "/etc/device", "type": "c", "major": 1, "minor": 3,
                                "fileMode": 0o666, "uid": 1000, "gid": 1000});
            c.push("/linux/devices", device);
        });
    }
    matrix(t, "link", "", |c| {
        let device = json!({"path": "/link/made/up", "type": "c", "major": 1, "minor": 3});
        c.push("/linux/devices", device);
    });
}

fn masked_and_readonly_paths_are_links(t: &Sandbox) {
    for list in ["/linux/maskedPaths", "/linux/readonlyPaths"] {
        for below in ["", "file"] {
            matrix(t, "etc/link", below, |c| {
                c.push(list, json!("/etc/link"));
            });
        }
    }
}

fn passwd_is_a_link(t: &Sandbox) {
    let passwd = t.file("passwd", "root:x:0:0:root:/out/of/the/host:/bin/sh\n");
    for way in ways_out(passwd.to_str().unwrap()) {
        let mut c = t.container();
        link(&c, "etc/passwd", &way);
        let out = c.script("echo $HOME").run();
        assert!(!out.stdout.contains("/out/of/the/host"), "{out}");
    }
}

fn passwd_is_a_fifo(t: &Sandbox) {
    let mut c = t.container();
    fs::remove_file(c.rootfs("etc/passwd")).unwrap();
    t.command("mkfifo")
        .arg(c.rootfs("etc/passwd").to_str().unwrap())
        .run()
        .ok();
    // It may fail or go without, but it must end.
    c.args(["true"]).run();
    c.delete_force().ok();
    t.assert_nothing_left();
}

/// CVE-2024-21626 by way of links.
fn links_to_descriptors(t: &Sandbox) {
    for number in 3..20 {
        let mut c = t.container();
        link(&c, "cwd", &format!("/proc/self/fd/{number}"));
        c.set("/process/cwd", json!("/cwd"));
        c.script("ls -a; cat /cwd/../../../../etc/hostname");
        c.run().fails();
        t.assert_nothing_left();
    }
}

fn symlinked_dev_in_exec_time(t: &Sandbox) {
    let canary = Canary::new(t);
    let mut c = t.container();
    c.writable();
    without_mounts(&mut c, "/dev");
    c.run_sleeping();
    // The container turns hostile after it was made.
    let dev = c.rootfs("dev");
    let _ = fs::rename(&dev, c.rootfs("old"));
    symlink(&canary.path, &dev).unwrap();
    c.exec(&["true"]);
    c.verb(&["pause"]).run().ok();
    c.verb(&["resume"]).run().ok();
    c.delete_force().ok();
    canary.assert_untouched("dev");
}

/// CVE-2021-30465 and its kin (class T2): a directory on a shared volume is exchanged with
/// a link to the canary, over and over, while containers mount below it.
fn rootfs_entries_exchanged_while_creating(t: &Sandbox) {
    let canary = Canary::new(t);
    let mut c = t.container();
    c.args(["cat", "/proc/self/mountinfo"]);
    c.mount("/volume/dir/below", "tmpfs", "tmpfs", &[]);
    let source = t.file("source", "");
    c.mount(
        "/volume/dir/file",
        "bind",
        source.to_str().unwrap(),
        &["bind"],
    );
    fs::create_dir_all(c.rootfs("volume/dir")).unwrap();
    symlink(&canary.path, c.rootfs("volume/link")).unwrap();
    let (dir, link) = (c.rootfs("volume/dir"), c.rootfs("volume/link"));
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = renameat_with(CWD, &dir, CWD, &link, RenameFlags::EXCHANGE);
            }
        });
        let runs = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..150 {
                let out = c.run();
                // What is mounted is seen in the container alone, wherever it was found there.
                let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
                assert!(!host.contains(&canary.path), "{out}");
                canary.assert_untouched("exchanged while mounting below it");
            }
        }));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Err(panic) = runs {
            std::panic::resume_unwind(panic);
        }
    });
    t.assert_nothing_left();
}
