//! T1, T3 and T7 once more, for containers of an ordinary user: what an attacker can reach there
//! is not the host's root's but the user's, and that is enough.

use crate::canary::{Attack, Canary, LEFT_OPEN};
use crate::cgroup_write::WRITE;
use crate::harness::user::{PATH, USER, container, tare};
use crate::harness::{Container, Sandbox, host, tests};
use serde_json::json;
use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;

tests![
    symlinks,
    descriptors_and_directories,
    cgroups_that_are_the_users,
];

fn symlinks(t: &Sandbox) {
    let canary = Canary::of(t, USER);
    let careless = format!("{LEFT_OPEN}<{}", canary.path());
    for at in ["dev", "proc", "volume", "etc/passwd", "made"] {
        for attack in Attack::ALL {
            let mut c = container(t);
            c.mount("/volume/made", "tmpfs", "tmpfs", &[]);
            c.set("/process/cwd", json!("/made/up"));
            c.writable().args(["sleep", "1000"]);
            attack.plant(t, &c, at, &canary, "");
            let bundle = c.bundle.to_str().unwrap().to_owned();
            let does = |args: &[&str]| {
                let command = tare(t, &c, PATH, "", args);
                command.redirect(&careless).run()
            };
            if does(&["create", "-b", &bundle, &c.id]).status == 0 {
                does(&["start", &c.id]);
                does(&["exec", &c.id, "true"]);
            }
            does(&["delete", "--force", &c.id]).ok();
            canary.assert_untouched(&format!("{attack:?} at {at}"));
        }
    }
    t.assert_nothing_left();
}

/// A careless caller's, which lead to what is the user's.
fn descriptors_and_directories(t: &Sandbox) {
    let own = t.dir("own");
    let careless = format!("3</etc/hostname 4<{0} 9<{0}", own.display());
    let mut c = container(t);
    c.script("ls -l /proc/self/fd; readlink /proc/self/cwd");
    let bundle = c.bundle.to_str().unwrap().to_owned();
    let run = tare(t, &c, PATH, "", &["run", "-b", &bundle, &c.id]);
    let out = run.redirect(&careless).run().ok();
    assert!(!out.stdout.contains("own"), "{out}");
    assert!(!out.stdout.contains("hostname"), "{out}");
    for number in 3..16 {
        let mut c = container(t);
        c.set("/process/cwd", json!(format!("/proc/self/fd/{number}")));
        c.args(["cat", "../../etc/hostname"]);
        let bundle = c.bundle.to_str().unwrap().to_owned();
        let run = tare(t, &c, PATH, "", &["run", "-b", &bundle, &c.id]);
        run.redirect(&careless).run().fails();
    }
    t.assert_nothing_left();
}

/// Cgroups that are the user's in all hierarchies, removed with this.
struct Delegated {
    dirs: Vec<PathBuf>,
    /// For a container below them.
    cgroups_path: String,
    /// What makes the runtime start in them, as v2 wants it: no process may be moved by whoever
    /// cannot write to where both its cgroups are.
    enter: String,
}

impl Delegated {
    /// Where the container's are to be.
    fn to(c: &Container) -> Self {
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
                chown(&made, owner, owner).unwrap();
                for entry in fs::read_dir(&made).unwrap() {
                    chown(entry.unwrap().path(), owner, owner).unwrap();
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

/// They may be written by the container's root, who is the user: what keeps it from that is the
/// mount alone (CVE-2023-25809).
fn cgroups_that_are_the_users(t: &Sandbox) {
    for namespace in [true, false] {
        for hosts_sys in [true, false] {
            let mut c = container(t);
            let delegated = Delegated::to(&c);
            c.set("/linux/cgroupsPath", json!(delegated.cgroups_path));
            if namespace {
                c.push("/linux/namespaces", json!({"type": "cgroup"}));
            }
            if hosts_sys {
                let list = c.config["mounts"].as_array_mut().unwrap();
                list.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/sys"));
                let options = ["rbind", "rro", "nosuid", "nodev", "noexec"];
                c.mount("/sys", "bind", "/sys", &options);
            } else {
                c.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
            }
            c.script(&format!("cut -d: -f3 /proc/self/cgroup | sort -u; {WRITE}"));
            let bundle = c.bundle.to_str().unwrap().to_owned();
            let args = ["run", "-b", bundle.as_str(), &c.id];
            let out = tare(t, &c, PATH, &delegated.enter, &args).run().ok();
            let what =
                format!("cgroup namespace: {namespace}, the host's /sys: {hosts_sys}: {out}");
            let lines: Vec<&str> = out.text().lines().collect();
            let (last, cgroups) = lines.split_last().unwrap();
            assert_eq!(*last, "done", "{what}");
            assert!(cgroups.iter().all(|line| line.starts_with('/')), "{what}");
            // It is in the cgroups that it could write to.
            let is_there = |line: &&str| match namespace {
                true => *line == "/",
                false => *line == delegated.cgroups_path,
            };
            assert!(cgroups.iter().any(is_there), "{what}");
        }
    }
    t.assert_nothing_left();
}
