//! An ordinary user, who has ranges of ids and, if it is asked for, cgroups.

use super::{Command, Container, Sandbox, host, runtime, skip};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The user, and the first of the ids that /etc/subuid gives to them.
pub const USER: u32 = 23456;
pub const RANGE: u32 = 300_000;

/// A container for the user, whose ranges are mapped.
pub fn container(t: &Sandbox) -> Container<'_> {
    for helper in ["/usr/bin/newuidmap", "/usr/bin/newgidmap"] {
        if !Path::new(helper).exists() {
            skip("no newuidmap (try: apt-get install uidmap)");
        }
    }
    let mut c = t.container();
    c.unset("/linux/cgroupsPath").unset("/linux/resources");
    let list = c.config["mounts"].as_array_mut().unwrap();
    list.retain(|mount| mount["type"] != "cgroup");
    c.push("/linux/namespaces", json!({"type": "user"}));
    let ids = json!([{"containerID": 0, "hostID": USER, "size": 1},
                     {"containerID": 1, "hostID": RANGE, "size": 65536}]);
    c.set("/linux/uidMappings", ids.clone())
        .set("/linux/gidMappings", ids);
    c
}

/// One id, which a user may map without help, and so what goes with it.
pub fn with_one_id(c: &mut Container) {
    let own = json!([{"containerID": 0, "hostID": USER, "size": 1}]);
    c.set("/linux/uidMappings", own.clone())
        .set("/linux/gidMappings", own);
    for mount in c.config["mounts"].as_array_mut().unwrap() {
        if let Some(Value::Array(options)) = mount.get_mut("options") {
            options.retain(|option| option != "gid=5");
        }
    }
}

/// The runtime as that user runs it, on a machine that knows them, after root has run `before`.
pub fn tare(t: &Sandbox, c: &Container, path: &str, before: &str, args: &[&str]) -> Command {
    c.save();
    let root = t.dir("users");
    let etc = t.dir("etc");
    for (name, text) in [
        (
            "passwd",
            format!("root:x:0:0::/:/bin/sh\nuser:x:{USER}:{USER}::/:/bin/sh\n"),
        ),
        ("group", format!("root:x:0:\nuser:x:{USER}:\n")),
        ("subuid", format!("user:{RANGE}:65536\n")),
        ("subgid", format!("user:{RANGE}:65536\n")),
    ] {
        fs::write(etc.join(name), text).unwrap();
    }
    let owner = format!("{USER}:{USER}");
    for path in [&root, &c.bundle] {
        let given = t
            .command("chown")
            .args(["-R", "-h", &owner, path.to_str().unwrap()])
            .run();
        given.ok();
    }
    let script = format!(
        "mount --bind {} /etc || exit 9; {before}
PATH={path} exec /usr/bin/setpriv \
         --reuid {USER} --regid {USER} --clear-groups \"$@\"",
        etc.display(),
    );
    t.command("unshare")
        .args([
            "--mount",
            "/bin/sh",
            "-c",
            &script,
            "sh",
            runtime(),
            "--root",
        ])
        .arg(root.to_str().unwrap())
        .args(args)
}

/// Where the user's programs are.
pub const PATH: &str = "/usr/bin:/bin";

/// Cgroups that are the user's in all hierarchies, removed with this.
pub struct Delegated {
    dirs: Vec<PathBuf>,
    /// For a container below them.
    pub cgroups_path: String,
    /// What makes the runtime start in them, as v2 wants it: no process may be moved by whoever
    /// cannot write to where both its cgroups are.
    pub enter: String,
}

impl Delegated {
    /// Where the container's are to be.
    pub fn to(c: &Container) -> Self {
        let name = format!("{}-user", c.id);
        let roots: Vec<PathBuf> = match host::is_v2() {
            true => vec![host::ROOT.into()],
            false => fs::read_dir(host::ROOT)
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| !path.is_symlink() && path.join("cgroup.procs").exists())
                .collect(),
        };
        let mut delegated = Self {
            dirs: Vec::new(),
            cgroups_path: format!("/{name}/{}", c.id),
            enter: String::new(),
        };
        for root in roots {
            let dir = root.join(&name);
            for made in [dir.clone(), dir.join("runtime")] {
                fs::create_dir(&made).unwrap();
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    // v1 copies them from nowhere, and without them no process gets in.
                    if !host::is_v2() && made.join(file).exists() {
                        let of_parent = fs::read(made.parent().unwrap().join(file)).unwrap();
                        fs::write(made.join(file), of_parent).unwrap();
                    }
                }
                let owner = Some(USER);
                std::os::unix::fs::chown(&made, owner, owner).unwrap();
                for entry in fs::read_dir(&made).unwrap() {
                    std::os::unix::fs::chown(entry.unwrap().path(), owner, owner).unwrap();
                }
                delegated.dirs.push(made);
            }
            let file = dir.join("runtime/cgroup.procs");
            delegated.enter += &format!("echo $$ >{} || exit 8; ", file.display());
        }
        delegated
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for dir in self.dirs.iter().rev() {
            // What is left in it shows as the test's leftovers.
            let _ = fs::remove_dir(dir);
        }
    }
}
