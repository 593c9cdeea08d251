//! What the runtime reads of the rootfs, before it has given its privileges up: it may not read
//! for the container what the container may not, nor spend on it what is the host's.

use crate::canary::link;
use crate::harness::{Sandbox, host, skip, tests};
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};

tests![
    tmpfs_that_copies_up_what_the_kernel_says,
    tmpfs_that_copies_up_more_than_the_container_may_have,
    passwd_is_the_kernels,
    passwd_is_one_line,
];

/// The runtime may read in sysfs what the container may not, as the kernel's addresses.
fn tmpfs_that_copies_up_what_the_kernel_says(t: &Sandbox) {
    let mut c = t.container();
    link(&c, "copied", "/sys/kernel/cgroup");
    c.mount("/copied", "tmpfs", "tmpfs", &["tmpcopyup"]);
    c.script("ls -A /copied/; echo done");
    assert_eq!(c.run().ok().text(), "done");
    t.assert_nothing_left();
}

/// What is copied into a tmpfs takes memory: the container's, not the host's. A sparse file of an
/// image takes none there, and so none here.
fn tmpfs_that_copies_up_more_than_the_container_may_have(t: &Sandbox) {
    if host::hierarchy("memory").is_none() {
        skip("no memory controller");
    }
    let mut c = t.container();
    fs::create_dir(c.rootfs("copied")).unwrap();
    let sparse = fs::File::create(c.rootfs("copied/sparse")).unwrap();
    sparse.set_len(256 << 20).unwrap();
    c.mount("/copied", "tmpfs", "tmpfs", &["tmpcopyup", "size=512m"]);
    let memory = json!({"limit": 32 << 20, "swap": 32 << 20});
    c.set("/linux/resources", json!({"memory": memory}));
    c.args(["true"]);
    c.run().ok();
    fs::write(c.rootfs("copied/full"), vec![b'x'; 64 << 20]).unwrap();
    c.run().fails().says("memory");
    t.assert_nothing_left();
}

/// Files of the kernel's are read with the privileges of who opens them: to read /proc/kmsg is
/// to take its messages away from the host's logger.
fn passwd_is_the_kernels(t: &Sandbox) {
    let mut c = t.container();
    link(&c, "etc/passwd", "/proc/sys/kernel/hostname");
    c.set("/hostname", json!("root:x:0:0::/of/the/kernel:"));
    assert_eq!(c.script("echo $HOME").run().ok().text(), "/");
    t.assert_nothing_left();
}

/// One line as long as the file may be read, of fields without end: that may take neither the
/// host's memory nor its time.
fn passwd_is_one_line(t: &Sandbox) {
    let mut c = t.container();
    fs::write(c.rootfs("etc/passwd"), vec![b':'; 20 << 20]).unwrap();
    c.script("echo $HOME");
    let begin = Instant::now();
    assert_eq!(c.run().ok().text(), "/");
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
