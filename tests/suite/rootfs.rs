//! The root filesystem: read-only, propagation, masked and read-only paths.

use crate::harness::{Sandbox, tests};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;

tests![
    root_is_read_only,
    root_is_writable,
    root_by_absolute_path,
    root_that_is_missing,
    root_by_a_symlink_is_resolved,
    host_is_not_visible,
    old_root_is_not_mounted,
    no_pivot,
    no_pivot_leaves_no_procfs_of_the_host,
    masked_file_and_directory,
    masked_once,
    masked_paths_stay_masked,
    masked_path_that_is_missing,
    many_masked_paths,
    readonly_paths,
    readonly_paths_stay_read_only,
    no_masks_at_all,
    rootfs_propagation_of_the_container,
    mounts_do_not_reach_the_host,
    rootfs_propagation_unknown,
    rootfs_is_not_changed_by_a_read_only_run,
];

fn root_is_read_only(t: &Sandbox) {
    let mut c = t.container();
    c.script("touch /file");
    c.run().fails().says("Read-only file system");
    assert!(!c.rootfs("file").exists());
}

fn root_is_writable(t: &Sandbox) {
    let mut c = t.container();
    c.writable().script("touch /file").run().ok();
    assert!(c.rootfs("file").exists());
}

fn root_by_absolute_path(t: &Sandbox) {
    let mut c = t.container();
    let rootfs = c.rootfs("").to_str().unwrap().to_owned();
    c.set("/root/path", json!(rootfs));
    c.args(["true"]).run().ok();
}

fn root_that_is_missing(t: &Sandbox) {
    let mut c = t.container();
    c.set("/root/path", json!("no-such-rootfs"));
    c.args(["true"]).run().fails().says("no-such-rootfs");
    t.assert_nothing_left();
    c.unset("/root");
    c.run().fails();
    t.assert_nothing_left();
}

fn root_by_a_symlink_is_resolved(t: &Sandbox) {
    let mut c = t.container();
    symlink("rootfs", c.bundle.join("link")).unwrap();
    c.set("/root/path", json!("link"));
    // runc refuses a link here since 1.0; crun and the spec take it.
    c.args(["echo", "ran"]).run().ok().prints("ran");
}

fn host_is_not_visible(t: &Sandbox) {
    let mut c = t.container();
    let canary = t.file("canary", "");
    c.script(&format!("test ! -e {} && ls /", canary.display()));
    c.run().ok().prints("bin\ndev\netc\nproc\nroot\nsys\ntmp");
}

fn old_root_is_not_mounted(t: &Sandbox) {
    let mut c = t.container();
    c.args(["cat", "/proc/self/mountinfo"]);
    let out = c.run().ok();
    let points: Vec<_> = out
        .stdout
        .lines()
        .map(|line| line.split(' ').nth(4).unwrap())
        .collect();
    assert_eq!(
        points.iter().filter(|point| **point == "/").count(),
        1,
        "{out}"
    );
    let known = ["/", "/proc", "/dev", "/sys"];
    for point in points {
        let top = point.split('/').nth(1).unwrap();
        assert!(
            known.contains(&format!("/{top}").as_str()),
            "{point} in {out}"
        );
    }
}

/// The kernel lets a user namespace mount a procfs that shows no more than one that is there: the
/// host's must not be, however it is shared with the host, and must stay in the host.
fn no_pivot_leaves_no_procfs_of_the_host(t: &Sandbox) {
    for propagation in ["rprivate", "rslave", "rshared"] {
        let mut c = t.container();
        c.set("/linux/rootfsPropagation", json!(propagation))
            .set("/linux/maskedPaths", json!(["/proc/keys"]));
        for set in ["bounding", "permitted", "effective"] {
            c.push(
                &format!("/process/capabilities/{set}"),
                json!("CAP_SETFCAP"),
            );
        }
        c.script(
            "unshare -mrpf sh -c 'echo in; mount -t proc none /proc && echo proc; \
             mount -t sysfs none /sys && echo sys'",
        );
        c.save();
        let script = format!(
            "mount --make-rshared /; cp /proc/self/mounts {before}; {} run --no-pivot -b {} {}; \
             cmp /proc/self/mounts {before} || echo mounts changed",
            t.tare_words(),
            c.bundle.display(),
            c.id,
            before = t.path("before").display(),
        );
        let out = t.command("unshare").args(["-m", "sh", "-c", &script]).run();
        assert_eq!(out.stdout, "in\n", "{propagation}: {out}");
    }
    t.assert_nothing_left();
}

fn no_pivot(t: &Sandbox) {
    let mut c = t.container();
    c.script("ls / && test ! -e /work");
    let out = c.run_with(&["--no-pivot"]).run().ok();
    assert!(out.stdout.starts_with("bin\n"), "{out}");
    t.assert_nothing_left();
}

fn masked_file_and_directory(t: &Sandbox) {
    let mut c = t.container();
    fs::write(c.rootfs("etc/secret"), "secret").unwrap();
    fs::create_dir(c.rootfs("etc/dir")).unwrap();
    fs::write(c.rootfs("etc/dir/secret"), "secret").unwrap();
    c.writable();
    c.set(
        "/linux/maskedPaths",
        json!(["/etc/secret", "/etc/dir", "/proc/kcore"]),
    );
    c.script(
        "cat /etc/secret; ls -A /etc/dir; cat /proc/kcore; \
         touch /etc/dir/new 2>/dev/null && echo written; \
         test -c /etc/secret && echo device; test -d /etc/dir && echo directory",
    );
    c.run().ok().prints("device\ndirectory");
    c.run_sleeping();
    c.exec(&["cat", "/etc/secret"]).ok().prints("");
}

/// With all of root's power in the container, but in no position to unmount.
fn masked_once(t: &Sandbox) {
    let mut c = t.container();
    let paths = json!(["/proc/keys", "/proc/keys", "/proc/./keys"]);
    c.set("/linux/maskedPaths", paths)
        .args(["grep", "-c", " /proc/keys ", "/proc/self/mounts"]);
    c.run().ok().prints("1");
}

fn masked_paths_stay_masked(t: &Sandbox) {
    let mut c = t.container();
    fs::create_dir(c.rootfs("etc/dir")).unwrap();
    fs::write(c.rootfs("etc/dir/secret"), "secret").unwrap();
    c.writable().set("/linux/maskedPaths", json!(["/etc/dir"]));
    c.script(
        "umount /etc/dir 2>/dev/null; umount -l /etc/dir 2>/dev/null; \
         rmdir /etc/dir 2>/dev/null; mv /etc/dir /etc/other 2>/dev/null; \
         mount -o remount,rw /etc/dir 2>/dev/null; cat /etc/dir/secret /etc/other/secret",
    );
    let out = c.run().fails();
    assert!(!out.stdout.contains("secret"), "{out}");
    assert!(c.rootfs("etc/dir/secret").exists());
}

fn masked_path_that_is_missing(t: &Sandbox) {
    let mut c = t.container();
    c.set("/linux/maskedPaths", json!(["/no/such", "/etc/no/such"]));
    c.set("/linux/readonlyPaths", json!(["/no/such", "/etc/no/such"]));
    c.args(["true"]).run().ok();
    assert!(!c.rootfs("no").exists());
}

/// Kubernetes masks a path for each CPU; they must not cost a mount of their own each.
fn many_masked_paths(t: &Sandbox) {
    let mut c = t.container();
    let paths: Vec<_> = (0..300).map(|n| format!("/etc/dir{n}")).collect();
    for path in &paths {
        fs::create_dir(c.rootfs(path)).unwrap();
        fs::write(c.rootfs(path).join("secret"), "secret").unwrap();
    }
    c.set("/linux/maskedPaths", json!(paths));
    c.script("ls -A /etc/dir0 /etc/dir299 | grep secret; grep -c /etc/dir /proc/self/mountinfo");
    c.run().ok().prints("300");
    c.script("grep /etc/dir /proc/self/mountinfo | cut -d' ' -f3 | sort -u | wc -l");
    c.run().ok().prints("1");
}

fn readonly_paths(t: &Sandbox) {
    let mut c = t.container();
    fs::create_dir(c.rootfs("etc/dir")).unwrap();
    fs::write(c.rootfs("etc/file"), "text").unwrap();
    c.writable();
    c.set(
        "/linux/readonlyPaths",
        json!(["/etc/dir", "/etc/file", "/proc/sys"]),
    );
    c.script(
        "cat /etc/file; touch /etc/dir/new; echo x >/etc/file; \
         echo x >/proc/sys/kernel/domainname; touch /etc/works",
    );
    let out = c.run().ok().prints("text");
    assert_eq!(
        out.stderr.matches("ead-only file system").count(),
        3,
        "{out}"
    );
}

fn readonly_paths_stay_read_only(t: &Sandbox) {
    let mut c = t.container();
    fs::create_dir(c.rootfs("etc/dir")).unwrap();
    c.writable()
        .set("/linux/readonlyPaths", json!(["/etc/dir"]));
    c.script(
        "mount -o remount,bind,rw /etc/dir 2>/dev/null; umount /etc/dir 2>/dev/null; \
         touch /etc/dir/new",
    );
    c.run().fails();
    assert!(!c.rootfs("etc/dir/new").exists());
}

fn no_masks_at_all(t: &Sandbox) {
    let mut c = t.container();
    c.unset("/linux/maskedPaths").unset("/linux/readonlyPaths");
    c.script("echo seen >/proc/sys/kernel/domainname; cat /proc/sys/kernel/domainname");
    c.capabilities(&["CAP_SYS_ADMIN"]);
    c.run().ok().prints("seen");
}

/// The optional fields of the root's line in the mount table.
fn propagation_of_root(t: &Sandbox, propagation: Option<&str>) -> String {
    let mut c = t.container();
    if let Some(propagation) = propagation {
        c.set("/linux/rootfsPropagation", json!(propagation));
    }
    c.script("grep ' / / \\|rootfs / ' /proc/self/mountinfo");
    let out = c.run().ok();
    let line = out.text();
    let (before, _) = line.split_once(" - ").unwrap();
    before.split(' ').skip(6).collect::<Vec<_>>().join(" ")
}

fn rootfs_propagation_of_the_container(t: &Sandbox) {
    assert_eq!(propagation_of_root(t, Some("private")), "");
    assert_eq!(propagation_of_root(t, Some("rprivate")), "");
    let shared = propagation_of_root(t, Some("shared"));
    assert!(shared.contains("shared:"), "{shared}");
    let shared = propagation_of_root(t, Some("rshared"));
    assert!(shared.contains("shared:"), "{shared}");
    let unbindable = propagation_of_root(t, Some("unbindable"));
    assert!(unbindable.contains("unbindable"), "{unbindable}");
    // The default is rslave, of a parent that may be private itself.
    let default = propagation_of_root(t, None);
    assert!(!default.contains("shared"), "{default}");
}

fn mounts_do_not_reach_the_host(t: &Sandbox) {
    let mut c = t.container();
    c.capabilities(&["CAP_SYS_ADMIN"]);
    c.script("mount -t tmpfs tmpfs /tmp && grep -c ' /tmp ' /proc/self/mountinfo");
    c.run().ok().prints("1");
    t.assert_nothing_left();
}

fn rootfs_propagation_unknown(t: &Sandbox) {
    let mut c = t.container();
    c.set("/linux/rootfsPropagation", json!("sideways"));
    c.args(["true"]).run().fails().says("sideways");
    t.assert_nothing_left();
}

fn rootfs_is_not_changed_by_a_read_only_run(t: &Sandbox) {
    let mut c = t.container();
    let list = |c: &crate::harness::Container| {
        let mut names: Vec<_> = fs::read_dir(c.rootfs(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = list(&c);
    c.args(["true"]).run().ok();
    assert_eq!(list(&c), before);
    assert_eq!(fs::read_dir(c.rootfs("dev")).unwrap().count(), 0);
}
