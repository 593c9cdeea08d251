//! Security labels: what the config asks for is in force, or there is no container. Most need a
//! kernel with AppArmor, or with SELinux and a policy (selinux.conf will do), and say so where
//! there is none.

use crate::harness::{Container, Sandbox, runtime, skip, tests};
use crate::inside;
use serde_json::json;
use std::fs;
use std::path::Path;

tests![
    label_that_cannot_be_set_is_refused,
    apparmor_profile_is_in_force,
    apparmor_profile_of_exec,
    apparmor_profile_on_top_of_the_runtimes_own,
    selinux_label_of_process_and_keyring,
    selinux_label_of_mounts,
];

fn label_that_cannot_be_set_is_refused(t: &Sandbox) {
    // Before it has a policy, SELinux takes every label.
    let has_policy = !Path::new("/sys/fs/selinux").exists()
        || fs::read_to_string("/proc/self/attr/current").is_ok_and(|own| own.contains(':'));
    for (key, label) in [
        ("apparmorProfile", "no-such-profile"),
        ("selinuxLabel", "no_u:no_r:no_such_t:s0"),
    ] {
        if key == "selinuxLabel" && !has_policy {
            skip("SELinux has no policy yet (see selinux.conf)");
        }
        let mut c = t.container();
        c.set(&format!("/process/{key}"), json!(label))
            .args(["true"]);
        c.run().fails().says(key);
        t.assert_nothing_left();
    }
}

/// Profiles of AppArmor by names of this test's own, unloaded at the end.
struct Profiles<'s> {
    sandbox: &'s Sandbox,
    file: String,
}

impl<'s> Profiles<'s> {
    /// Loads these: a name, and rules beside those that allow everything.
    fn load(sandbox: &'s Sandbox, profiles: &[(&str, &str)]) -> Self {
        let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
        if !enabled.is_ok_and(|text| text.trim() == "Y")
            || !Path::new("/sbin/apparmor_parser").exists()
        {
            skip("no AppArmor, or no apparmor_parser");
        }
        let text: String = profiles
            .iter()
            .map(|(name, rules)| {
                let name = sandbox.id(name);
                format!(
                    "profile {name} flags=(attach_disconnected,mediate_deleted) {{\n\
                     file, capability, network, mount, umount, remount, pivot_root, signal, \
                     ptrace, unix, dbus, change_profile,\n{rules}\n}}\n"
                )
            })
            .collect();
        let file = sandbox.file("profiles", &text).to_str().unwrap().to_owned();
        let loaded = Self { sandbox, file };
        loaded.parser("--replace");
        loaded
    }

    #[track_caller]
    fn parser(&self, what: &str) {
        let args = [what, "--skip-cache", &self.file];
        self.sandbox
            .command("/sbin/apparmor_parser")
            .args(args)
            .run()
            .ok();
    }
}

impl Drop for Profiles<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.parser("--remove");
        }
    }
}

const CURRENT: [&str; 2] = ["cat", "/proc/self/attr/current"];

const DENIES: (&str, &str) = ("denies", "deny /etc/secret rw,");
const ALLOWS: (&str, &str) = ("allows", "");

/// A container under the profile that denies it a file.
fn confined(t: &Sandbox) -> Container<'_> {
    let mut c = t.container();
    c.writable()
        .set("/process/apparmorProfile", json!(t.id(DENIES.0)));
    fs::write(c.rootfs("etc/secret"), "secret").unwrap();
    c
}

/// How the kernel shows a profile.
fn enforced(t: &Sandbox, (name, _): (&str, &str)) -> String {
    format!("{} (enforce)", t.id(name))
}

fn apparmor_profile_is_in_force(t: &Sandbox) {
    let _profiles = Profiles::load(t, &[DENIES]);
    let mut c = confined(t);
    for no_new_privileges in [true, false] {
        c.set("/process/noNewPrivileges", json!(no_new_privileges));
        c.args(CURRENT).run().ok().prints(&enforced(t, DENIES));
        c.args(["cat", "/etc/secret"]);
        c.run().fails().mentions("permission denied");
    }
    c.set("/process/apparmorProfile", json!(t.id("none")));
    c.run().fails().says(&t.id("none"));
    t.assert_nothing_left();
}

fn apparmor_profile_of_exec(t: &Sandbox) {
    let _profiles = Profiles::load(t, &[DENIES, ALLOWS]);
    let mut c = confined(t);
    c.run_sleeping();
    c.exec(&CURRENT).ok().prints(&enforced(t, DENIES));
    c.exec(&["cat", "/etc/secret"]).fails();
    let with = |name: &str, args: &[&str]| c.exec_with(&["--apparmor", &t.id(name)], args).run();
    with(ALLOWS.0, &CURRENT).ok().prints(&enforced(t, ALLOWS));
    with(ALLOWS.0, &["cat", "/etc/secret"])
        .ok()
        .prints("secret");
    with("none", &["true"]).fails().says(&t.id("none"));
    c.delete_force().ok();
}

/// Under no_new_privs the kernel lets nobody out of a profile, and into another in addition.
fn apparmor_profile_on_top_of_the_runtimes_own(t: &Sandbox) {
    let _profiles = Profiles::load(t, &[DENIES, ALLOWS]);
    let mut c = confined(t);
    let (outer, root) = (t.id(ALLOWS.0), t.root());
    let tare = |args: &[&str]| {
        let words = [
            "-p",
            &outer,
            "--",
            runtime(),
            "--root",
            root.to_str().unwrap(),
        ];
        t.command("aa-exec").args(words).args(args).run()
    };
    let bundle = c.bundle.to_str().unwrap().to_owned();
    let is_stacked = |label: &str| {
        let mut names: Vec<_> = label.trim_end_matches(" (enforce)").split("//&").collect();
        names.sort_unstable();
        names == [t.id(ALLOWS.0), t.id(DENIES.0)]
    };
    c.args(CURRENT).save();
    let out = tare(&["run", "-b", &bundle, &c.id]).ok();
    assert!(is_stacked(out.text()), "{out}");
    c.args(["cat", "/etc/secret"]).save();
    tare(&["run", "-b", &bundle, &c.id])
        .fails()
        .mentions("permission denied");
    c.run_sleeping();
    let out = tare(&["exec", &c.id, CURRENT[0], CURRENT[1]]).ok();
    assert!(is_stacked(out.text()), "{out}");
    c.delete_force().ok();
    // Free to gain privileges, it is free to change its profile.
    c.set("/process/noNewPrivileges", json!(false))
        .args(CURRENT)
        .save();
    tare(&["run", "-b", &bundle, &c.id])
        .ok()
        .prints(&enforced(t, DENIES));
}

/// A label for the container: that of containers in the policies that there are, with a level of its own.
fn selinux_label() -> String {
    let Ok(own) = fs::read_to_string("/sys/fs/selinux/enforce")
        .and_then(|_| fs::read_to_string("/proc/self/attr/current"))
    else {
        skip("no SELinux");
    };
    if !own.contains(':') {
        skip("SELinux has no policy yet (see selinux.conf)");
    }
    "system_u:system_r:container_t:s0:c1,c2".into()
}

fn selinux_label_of_process_and_keyring(t: &Sandbox) {
    let label = selinux_label();
    let mut c = t.container();
    c.set("/process/selinuxLabel", json!(label));
    inside::run(&mut c, &["labels"]);
    let both = format!("{label}\n{label}");
    c.run().ok().prints(&both);
    c.args(["sleep", "1000"]).run_sleeping();
    c.exec(&[inside::PATH, "inside", "labels"])
        .ok()
        .prints(&both);
}

fn selinux_label_of_mounts(t: &Sandbox) {
    let label = selinux_label();
    let mut c = t.container();
    c.set("/linux/mountLabel", json!(label));
    c.script("grep ' /dev tmpfs' /proc/self/mounts; grep ' /dev/shm ' /proc/self/mounts");
    let out = c.run().ok();
    let context = format!("context=\"{label}\"");
    assert_eq!(out.stdout.matches(&context).count(), 2, "{out}");
}
