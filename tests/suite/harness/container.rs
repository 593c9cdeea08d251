//! A container and its bundle: busybox for a rootfs, and a config.json to be edited.

use super::{BUSYBOX, Command, Output, Sandbox, host, make_dir, skip, wait_for};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// The applets that tests execute directly; the shell finds all others by itself.
const APPLETS: &[&str] = &[
    "sh", "true", "false", "cat", "echo", "env", "id", "ls", "pwd", "sleep", "stat", "test", "tty",
    "stty", "touch", "mount", "umount", "readlink", "hostname", "grep", "nice", "ps", "mkdir",
];

const CAPABILITIES: &[&str] = &["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// A container by its id, with its bundle. Commands write the config out first.
pub struct Container<'s> {
    sandbox: &'s Sandbox,
    pub id: String,
    pub bundle: PathBuf,
    pub config: Value,
}

impl<'s> Container<'s> {
    pub(super) fn new(sandbox: &'s Sandbox, id: String) -> Self {
        let bundle = sandbox.path(&format!("{id}.bundle"));
        make_rootfs(&bundle.join("rootfs"));
        let config = default_config(&id);
        Self {
            sandbox,
            id,
            bundle,
            config,
        }
    }

    /// A path in the rootfs, seen from the host.
    pub fn rootfs(&self, path: &str) -> PathBuf {
        self.bundle
            .join("rootfs")
            .join(path.trim_start_matches('/'))
    }

    /// What the container runs.
    pub fn args<A: AsRef<str>>(&mut self, args: impl IntoIterator<Item = A>) -> &mut Self {
        let args: Vec<String> = args.into_iter().map(|a| a.as_ref().into()).collect();
        self.config["process"]["args"] = json!(args);
        self
    }

    /// A shell script for the container to run.
    pub fn script(&mut self, script: &str) -> &mut Self {
        self.args(["sh", "-c", script])
    }

    /// Sets the value at a JSON pointer ("/process/user/uid"), making what is missing.
    pub fn set(&mut self, pointer: &str, value: Value) -> &mut Self {
        let mut at = &mut self.config;
        for key in pointer.trim_start_matches('/').split('/') {
            at = match at {
                Value::Array(items) => &mut items[key.parse::<usize>().unwrap()],
                other => &mut other[key],
            };
        }
        *at = value;
        self
    }

    /// Removes the key at a JSON pointer.
    pub fn unset(&mut self, pointer: &str) -> &mut Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = self.config.pointer_mut(parent).unwrap();
        parent.as_object_mut().unwrap().remove(key);
        self
    }

    /// Adds to the list at a JSON pointer, which may not be there yet.
    pub fn push(&mut self, pointer: &str, value: Value) -> &mut Self {
        let mut list = match self.config.pointer(pointer) {
            Some(Value::Array(list)) => list.clone(),
            _ => Vec::new(),
        };
        list.push(value);
        self.set(pointer, json!(list))
    }

    /// Adds a mount.
    pub fn mount(&mut self, to: &str, kind: &str, from: &str, options: &[&str]) -> &mut Self {
        self.push(
            "/mounts",
            json!({"destination": to, "type": kind, "source": from, "options": options}),
        )
    }

    /// Removes the mount at this place.
    pub fn unset_mount(&mut self, to: &str) -> &mut Self {
        let mounts = self.config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != to);
        self
    }

    /// Makes the root writable.
    pub fn writable(&mut self) -> &mut Self {
        self.set("/root/readonly", json!(false))
    }

    /// Gives all five sets these capabilities.
    pub fn capabilities(&mut self, names: &[&str]) -> &mut Self {
        let sets = ["bounding", "effective", "permitted"];
        for set in sets {
            self.set(&format!("/process/capabilities/{set}"), json!(names));
        }
        self.set("/process/capabilities/ambient", json!([]))
    }

    /// Removes the namespace of this type.
    pub fn without_namespace(&mut self, kind: &str) -> &mut Self {
        let list = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        list.retain(|namespace| namespace["type"] != kind);
        self
    }

    /// Writes config.json.
    pub fn save(&self) -> &Self {
        let text = serde_json::to_string_pretty(&self.config).unwrap();
        fs::write(self.bundle.join("config.json"), text).unwrap();
        self
    }

    /// The command `verb --bundle BUNDLE`, still without the id.
    fn with_bundle(&self, verb: &str) -> Command {
        self.save();
        let bundle = self.bundle.to_str().unwrap();
        self.sandbox.tare([verb, "--bundle", bundle])
    }

    /// `create` with further options.
    pub fn create_with(&self, options: &[&str]) -> Command {
        self.with_bundle("create").args(options).arg(&self.id)
    }

    /// `run` with further options.
    pub fn run_with(&self, options: &[&str]) -> Command {
        self.with_bundle("run").args(options).arg(&self.id)
    }

    #[track_caller]
    pub fn create(&self) -> Output {
        self.create_with(&[]).run()
    }

    #[track_caller]
    pub fn run(&self) -> Output {
        self.run_with(&[]).run()
    }

    /// Runs it in the background with `sleep`, for tests of what can be done to it then.
    #[track_caller]
    pub fn run_sleeping(&mut self) -> &mut Self {
        self.args(["sleep", "1000"]);
        self.run_with(&["--detach"]).run().ok();
        self
    }

    /// Any command that takes the id as its last argument.
    pub fn verb(&self, args: &[&str]) -> Command {
        self.sandbox.tare(args).arg(&self.id)
    }

    #[track_caller]
    pub fn start(&self) -> Output {
        self.verb(&["start"]).run()
    }

    #[track_caller]
    pub fn delete(&self) -> Output {
        self.verb(&["delete"]).run()
    }

    #[track_caller]
    pub fn delete_force(&self) -> Output {
        self.verb(&["delete", "--force"]).run()
    }

    #[track_caller]
    pub fn kill(&self, signal: &str) -> Output {
        self.sandbox.tare(["kill", &self.id, signal]).run()
    }

    /// `exec` with options before the id.
    pub fn exec_with(&self, options: &[&str], args: &[&str]) -> Command {
        self.sandbox
            .tare(["exec"])
            .args(options)
            .arg(&self.id)
            .args(args)
    }

    #[track_caller]
    pub fn exec(&self, args: &[&str]) -> Output {
        self.exec_with(&[], args).run()
    }

    /// What `state` prints.
    #[track_caller]
    pub fn state(&self) -> Value {
        self.verb(&["state"]).run().ok().json()
    }

    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().into()
    }

    /// The pid of its init, seen from the host.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        self.state()["pid"].as_i64().unwrap() as i32
    }

    /// Its directory in the hierarchy of `controller`; skips the test where that is not there.
    pub fn cgroup(&self, controller: &str) -> PathBuf {
        match host::hierarchy(controller) {
            Some(mount) => mount.join(&host::cgroup(&self.id)[1..]),
            None => skip(&format!("this host has no {controller} controller")),
        }
    }

    /// A file of its init in /proc.
    #[track_caller]
    pub fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.pid())).join(name)
    }

    #[track_caller]
    pub fn wait_for_status(&self, status: &str) {
        wait_for(&format!("status {status}"), || self.status() == status);
    }
}

/// An empty system but for busybox.
fn make_rootfs(rootfs: &Path) {
    make_dir(rootfs.parent().unwrap());
    for dir in ["", "bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
        make_dir(&rootfs.join(dir));
    }
    fs::hard_link(BUSYBOX.get().unwrap(), rootfs.join("bin/busybox")).unwrap();
    for applet in APPLETS {
        symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
    }
    fs::write(
        rootfs.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
    )
    .unwrap();
    fs::write(rootfs.join("etc/group"), "root:x:0:\nuser:x:1000:\n").unwrap();
}

/// The config.json of `runc spec`, without a terminal.
fn default_config(id: &str) -> Value {
    let namespaces = ["pid", "network", "ipc", "uts", "mount"];
    json!({
        "ociVersion": "1.0.2-dev",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES,
                "effective": CAPABILITIES,
                "permitted": CAPABILITIES,
                "ambient": CAPABILITIES,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "tare",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
             "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
             "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]},
        ],
        "linux": {
            "cgroupsPath": host::cgroups_path(id),
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": namespaces.map(|kind| json!({"type": kind})),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
                "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}
