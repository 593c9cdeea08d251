//! The `mounts` of config.json: each type and option, as the mount table in the container
//! shows it and as the kernel enforces it.

use crate::harness::{Container, Sandbox, host, skip, tests};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

tests![
    bind_directory,
    bind_file_creates_the_file,
    bind_makes_parents,
    bind_relative_source_is_in_the_bundle,
    bind_of_missing_source,
    bind_of_the_wrong_kind,
    bind_keeps_locked_flags,
    bind_of_a_device,
    bind_without_type,
    tmpfs_size_and_mode,
    tmpfs_takes_mode_of_the_directory,
    tmpcopyup,
    tmpcopyup_keeps_holes,
    tmpcopyup_crosses_mounts,
    tmpcopyup_keeps_the_mode_that_is_asked_for,
    relative_destination,
    mounts_in_order,
    mount_over_a_file,
    unknown_type_fails,
    unknown_option_goes_to_the_filesystem,
    proc_sysfs_devpts_mqueue,
    proc_options,
    overlay,
    cgroup_mount_in_cgroup_namespace,
    mount_below_proc,
    mount_leaves_nothing_when_it_fails,
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

fn bind_directory(t: &Sandbox) {
    let mut c = t.container();
    let source = source(t);
    c.mount("/tmp", "bind", &source, &["bind"]);
    c.script("cat /tmp/file; echo back >/tmp/new");
    c.run().ok().prints("from the host");
    assert_eq!(fs::read_to_string(t.path("source/new")).unwrap(), "back\n");
    assert!(!c.rootfs("tmp/new").exists());
}

fn bind_file_creates_the_file(t: &Sandbox) {
    let mut c = t.container();
    let file = t.file("hosts", "127.0.0.1 localhost\n");
    c.mount(
        "/etc/deep/hosts",
        "bind",
        file.to_str().unwrap(),
        &["bind", "ro"],
    );
    c.args(["cat", "/etc/deep/hosts"]);
    c.run().ok().prints("127.0.0.1 localhost");
    assert!(c.rootfs("etc/deep/hosts").is_file());
}

fn bind_makes_parents(t: &Sandbox) {
    let mut c = t.container();
    c.mount("/a/b/c", "bind", &source(t), &["bind"]);
    c.args(["cat", "/a/b/c/file"]).run().ok();
    let meta = fs::metadata(c.rootfs("a/b")).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o755, "parents are made 0755");
}

fn bind_relative_source_is_in_the_bundle(t: &Sandbox) {
    let mut c = t.container();
    fs::create_dir(c.bundle.join("data")).unwrap();
    fs::write(c.bundle.join("data/file"), "in the bundle").unwrap();
    c.mount("/tmp", "bind", "data", &["bind"]);
    c.args(["cat", "/tmp/file"]).save();
    let bundle = c.bundle.to_str().unwrap();
    t.tare(["run", "-b", bundle, &c.id])
        .cwd(&t.dir("else"))
        .run()
        .ok()
        .prints("in the bundle");
}

fn bind_of_missing_source(t: &Sandbox) {
    let mut c = t.container();
    c.mount("/tmp", "bind", "/no/such/source", &["bind"]);
    c.args(["true"])
        .run()
        .fails()
        .says("/no/such/source")
        .says("no such file or directory");
    t.assert_nothing_left();
}

/// In the word by which Docker explains it.
fn bind_of_the_wrong_kind(t: &Sandbox) {
    let dir = source(t);
    for (from, to) in [(format!("{dir}/file"), "/tmp"), (dir, "/file")] {
        let mut c = t.container();
        fs::write(c.rootfs("file"), "").unwrap();
        c.mount(to, "bind", &from, &["bind"]);
        c.args(["true"]).run().fails().says("not a directory");
    }
}

/// A remount that names other flags must not fail over those that came with the source.
fn bind_keeps_locked_flags(t: &Sandbox) {
    let mut c = t.container();
    let mapping = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    c.push("/linux/namespaces", json!({"type": "user"}));
    c.set("/linux/uidMappings", mapping.clone())
        .set("/linux/gidMappings", mapping);
    let source = source(t);
    c.mount("/tmp", "bind", &source, &["rbind", "ro"]);
    c.args(["cat", "/tmp/file"]).save();
    let script = format!(
        "mount -t tmpfs -o nosuid,nodev,noexec x {source} && echo in >{source}/file && \
         exec {} run -b {} {}",
        t.tare_words(),
        c.bundle.display(),
        c.id
    );
    t.command("unshare")
        .args(["-m", "sh", "-c", &script])
        .run()
        .ok()
        .prints("in");
}

fn bind_of_a_device(t: &Sandbox) {
    let mut c = t.container();
    c.mount("/etc/null", "bind", "/dev/null", &["bind"]);
    c.script("test -c /etc/null && echo device")
        .run()
        .ok()
        .prints("device");
}

fn bind_without_type(t: &Sandbox) {
    let mut c = t.container();
    let source = source(t);
    c.push(
        "/mounts",
        json!({"destination": "/tmp", "source": source, "options": ["bind"]}),
    );
    c.args(["cat", "/tmp/file"])
        .run()
        .ok()
        .prints("from the host");
    // "none", and any other, is no more than a word beside the option.
    let mut c = t.container();
    c.mount("/tmp", "none", &source, &["rbind"]);
    c.args(["cat", "/tmp/file"])
        .run()
        .ok()
        .prints("from the host");
}

fn tmpfs_size_and_mode(t: &Sandbox) {
    let mut c = t.container();
    c.mount(
        "/tmp",
        "tmpfs",
        "tmpfs",
        &["size=1m", "mode=1700", "uid=5", "gid=6"],
    );
    let (_, filesystem) = options(&mut c, "/tmp");
    assert!(
        filesystem.contains(&"size=1024k".to_owned()),
        "{filesystem:?}"
    );
    c.args(["stat", "-c", "%a %u %g", "/tmp"])
        .run()
        .ok()
        .prints("1700 5 6");
}

fn tmpfs_takes_mode_of_the_directory(t: &Sandbox) {
    use std::os::unix::fs::PermissionsExt;
    let mut c = t.container();
    fs::set_permissions(c.rootfs("tmp"), fs::Permissions::from_mode(0o1750)).unwrap();
    c.mount("/tmp", "tmpfs", "tmpfs", &["nosuid"]);
    c.args(["stat", "-c", "%a", "/tmp"])
        .run()
        .ok()
        .prints("1750");
}

fn tmpcopyup(t: &Sandbox) {
    let mut c = t.container();
    fs::create_dir(c.rootfs("tmp/dir")).unwrap();
    fs::write(c.rootfs("tmp/dir/file"), "copied").unwrap();
    symlink("dir/file", c.rootfs("tmp/link")).unwrap();
    c.mount("/tmp", "tmpfs", "tmpfs", &["tmpcopyup"]);
    c.script("cat /tmp/link; echo more >/tmp/dir/file");
    c.run().ok().prints("copied");
    assert_eq!(
        fs::read_to_string(c.rootfs("tmp/dir/file")).unwrap(),
        "copied"
    );
}

fn tmpcopyup_keeps_holes(t: &Sandbox) {
    use std::os::unix::fs::FileExt;
    let mut c = t.container();
    fs::create_dir(c.rootfs("scratch")).unwrap();
    let sparse = fs::File::create(c.rootfs("scratch/sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    sparse.write_at(b"in the middle", 1 << 29).unwrap();
    fs::write(c.rootfs("scratch/plain"), "plain").unwrap();
    fs::write(c.rootfs("scratch/empty"), "").unwrap();
    let hole = fs::File::create(c.rootfs("scratch/hole")).unwrap();
    hole.set_len(1 << 30).unwrap();
    // It has no room for anything else.
    c.mount("/scratch", "tmpfs", "tmpfs", &["tmpcopyup", "size=1m"]);
    c.script(
        "cd /scratch && stat -c '%n %s' empty hole plain sparse && cat plain \\
         && dd if=sparse bs=512 skip=1048576 count=1 2>/dev/null | head -c 13",
    );
    c.run()
        .ok()
        .prints("empty 0\nhole 1073741824\nplain 5\nsparse 1073741824\nplainin the middle");
}

/// As runc and crun: it is what the container would see there.
fn tmpcopyup_crosses_mounts(t: &Sandbox) {
    let mut c = t.container();
    fs::create_dir_all(c.rootfs("scratch/mounted")).unwrap();
    c.mount("/scratch/mounted", "bind", &source(t), &["bind"]);
    c.mount("/scratch", "tmpfs", "tmpfs", &["tmpcopyup"]);
    c.args(["cat", "/scratch/mounted/file"]);
    c.run().ok().prints("from the host");
}

/// Podman adds tmpcopyup to every --tmpfs, and to those with a mode too.
fn tmpcopyup_keeps_the_mode_that_is_asked_for(t: &Sandbox) {
    let mut c = t.container();
    fs::create_dir(c.rootfs("scratch")).unwrap();
    c.mount("/scratch", "tmpfs", "tmpfs", &["tmpcopyup", "mode=1777"]);
    c.args(["stat", "-c", "%a", "/scratch"]);
    c.run().ok().prints("1777");
}

/// The spec has it deprecated: relative to the root.
fn relative_destination(t: &Sandbox) {
    let mut c = t.container();
    c.mount("tmp", "bind", &source(t), &["bind"]);
    c.args(["cat", "/tmp/file"])
        .run()
        .ok()
        .prints("from the host");
}

fn mounts_in_order(t: &Sandbox) {
    let mut c = t.container();
    c.mount("/tmp", "tmpfs", "tmpfs", &[]);
    c.mount("/tmp/below", "bind", &source(t), &["bind"]);
    c.args(["cat", "/tmp/below/file"])
        .run()
        .ok()
        .prints("from the host");
    c.mount("/tmp", "tmpfs", "tmpfs", &[]);
    c.args(["ls", "/tmp"]).run().ok().prints("");
}

fn mount_over_a_file(t: &Sandbox) {
    let mut c = t.container();
    c.mount("/etc/passwd", "tmpfs", "tmpfs", &[]);
    c.args(["true"]).run().fails().says("/etc/passwd");
    t.assert_nothing_left();
}

fn unknown_type_fails(t: &Sandbox) {
    let mut c = t.container();
    c.mount("/tmp", "nosuchfs", "none", &[]);
    c.args(["true"]).run().fails().says("nosuchfs");
    t.assert_nothing_left();
}

fn unknown_option_goes_to_the_filesystem(t: &Sandbox) {
    let mut c = t.container();
    c.mount("/tmp", "tmpfs", "tmpfs", &["nr_inodes=77"]);
    let (_, filesystem) = options(&mut c, "/tmp");
    assert!(
        filesystem.contains(&"nr_inodes=77".to_owned()),
        "{filesystem:?}"
    );
    c.mount("/tmp", "tmpfs", "tmpfs", &["no_such_option=1"]);
    c.args(["true"]).run().fails();
    t.assert_nothing_left();
}

fn proc_sysfs_devpts_mqueue(t: &Sandbox) {
    let mut c = t.container();
    c.args(["cat", "/proc/self/mounts"]);
    let out = c.run().ok();
    for (point, kind) in [
        ("/proc", "proc"),
        ("/sys", "sysfs"),
        ("/dev/pts", "devpts"),
        ("/dev/mqueue", "mqueue"),
        ("/dev/shm", "tmpfs"),
    ] {
        assert!(
            out.stdout.contains(&format!(" {point} {kind} ")),
            "{point}: {out}"
        );
    }
    c.script("ls /proc | grep -c '^[0-9]*$'; touch /sys/x; stat -c %a /dev/shm /dev/pts/ptmx");
    let out = c.run().ok().says("ead-only file system");
    assert!(out.text().ends_with("1777\n666"), "{out}");
}

fn proc_options(t: &Sandbox) {
    let mut c = t.container();
    c.config["mounts"][0]["options"] = json!(["nosuid", "nodev", "noexec", "hidepid=2"]);
    let (own, filesystem) = options(&mut c, "/proc");
    assert!(own.contains(&"noexec".to_owned()), "{own:?}");
    let hidden = filesystem
        .iter()
        .any(|option| option.starts_with("hidepid="));
    assert!(hidden, "{filesystem:?}");
}

fn overlay(t: &Sandbox) {
    if !fs::read_to_string("/proc/filesystems")
        .unwrap()
        .contains("\toverlay")
    {
        skip("a kernel without overlayfs");
    }
    let mut c = t.container();
    for name in ["lower", "upper", "work"] {
        t.dir(name);
    }
    t.file("lower/file", "lower");
    let option = |key: &str, dir: &str| format!("{key}={}", t.path(dir).display());
    let (lower, upper, work) = (
        option("lowerdir", "lower"),
        option("upperdir", "upper"),
        option("workdir", "work"),
    );
    c.mount("/tmp", "overlay", "overlay", &[&lower, &upper, &work]);
    c.script("cat /tmp/file; echo upper >/tmp/file")
        .run()
        .ok()
        .prints("lower");
    assert_eq!(fs::read_to_string(t.path("upper/file")).unwrap(), "upper\n");
}

fn cgroup_mount_in_cgroup_namespace(t: &Sandbox) {
    let (line, dir) = match host::is_v2() {
        true => ("0::", "/sys/fs/cgroup"),
        false => ("pids:", "/sys/fs/cgroup/pids"),
    };
    if host::hierarchy("pids").is_none() {
        skip("this host has no pids controller");
    }
    let mut c = t.container();
    c.push("/linux/namespaces", json!({"type": "cgroup"}));
    c.script(&format!(
        "grep {line} /proc/self/cgroup | cut -d: -f3; cat {dir}/cgroup.procs"
    ));
    let out = c.run().ok();
    let mut lines = out.stdout.lines();
    assert_eq!(lines.next(), Some("/"), "{out}");
    assert_eq!(lines.next(), Some("1"), "{out}");
    // Not in a namespace, it is still the container's own cgroup that is mounted.
    let mut c = t.container();
    c.args(["cat", &format!("{dir}/cgroup.procs")]);
    let out = c.run().ok();
    assert_eq!(out.stdout.lines().next(), Some("1"), "{out}");
}

/// Those that lxcfs and Kubernetes rely on are fine.
fn mount_below_proc(t: &Sandbox) {
    let mut c = t.container();
    let file = t.file("meminfo", "MemTotal: 1 kB\n");
    c.mount("/proc/meminfo", "bind", file.to_str().unwrap(), &["bind"]);
    c.args(["cat", "/proc/meminfo"])
        .run()
        .ok()
        .prints("MemTotal: 1 kB");
    let mut c = t.container();
    c.mount("/proc/sys/kernel", "bind", &source(t), &["bind"]);
    c.args(["true"]).run().fails().says("/proc/sys/kernel");
}

fn mount_leaves_nothing_when_it_fails(t: &Sandbox) {
    let mut c = t.container();
    c.mount("/tmp/one", "tmpfs", "tmpfs", &[]);
    c.mount("/tmp/two", "bind", "/no/such", &["bind"]);
    c.create().fails();
    t.assert_nothing_left();
}
