//! The systemd driver: units, what they are told, and that none stays.

use crate::harness::limits::check;
use crate::harness::{Container, Sandbox, host, program, runtime, skip, tests, wait_for};
use crate::limits::update;
use crate::update::hole;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

tests![
    needs_a_host_with_systemd,
    limits_are_properties,
    updates_are_properties,
    defaults_are_properties_again,
    unit_is_a_delegated_scope,
    slices_are_nested,
    a_slice_as_the_unit,
    annotations_are_properties,
    annotations_that_execute_are_refused,
    no_unit_is_left,
    no_unit_is_left_of_a_failure,
    failed_unit_is_reset,
    unit_of_somebody_else_is_spared,
    daemon_reload_keeps_devices,
    by_the_system_bus,
    user_with_a_systemd_of_its_own,
    user_in_a_session,
    user_without_one,
];

/// A container under systemd; skips the test where that is not to be used.
fn container(t: &Sandbox) -> Container<'_> {
    if !host::systemd() {
        skip("not with systemd (TARE_TEST_SYSTEMD=1 on a host that has it)");
    }
    t.container()
}

fn unit(c: &Container) -> String {
    format!("tt-{}.scope", c.id)
}

/// A property of a unit, as systemctl shows it.
fn show(t: &Sandbox, unit: &str, property: &str) -> String {
    let args = ["show", "--value", "--property", property, unit];
    t.command("systemctl").args(args).run().ok().text().into()
}

#[track_caller]
fn assert_no_unit(t: &Sandbox, unit: &str) {
    assert_eq!(show(t, unit, "LoadState"), "not-found", "{unit}");
    assert_eq!(show(t, unit, "ActiveState"), "inactive", "{unit}");
}

fn needs_a_host_with_systemd(t: &Sandbox) {
    let c = t.container();
    c.save();
    let hidden = "mount -t tmpfs tmpfs /run && exec \"$@\"";
    let bundle = c.bundle.to_str().unwrap();
    let root = t.root();
    t.command("unshare")
        .args(["--mount", "sh", "-c", hidden, "sh", runtime()])
        .args(["--root", root.to_str().unwrap(), "--systemd-cgroup"])
        .args(["run", "--bundle", bundle, &c.id])
        .run()
        .fails()
        .says("systemd not running on this host, cannot use systemd cgroups manager");
    t.assert_nothing_left();
}

fn limits_are_properties(t: &Sandbox) {
    let mut c = container(t);
    c.set(
        "/linux/resources",
        json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 77},
               "cpu": {"shares": 512, "quota": 50_500, "period": 100_000, "cpus": "0"}}),
    );
    if host::hierarchy("cpuset").is_none() {
        c.unset("/linux/resources/cpu/cpus");
    }
    c.run_sleeping();
    let show = |property| show(t, &unit(&c), property);
    assert_eq!(show("TasksMax"), "77");
    // Rounded up to whole percents. The file has it exactly, until a daemon-reload, which
    // another test may cause.
    assert_eq!(show("CPUQuotaPerSecUSec"), "510ms");
    assert_eq!(show("CPUQuotaPeriodUSec"), "100ms");
    if host::hierarchy("cpuset").is_some() {
        assert_eq!(show("AllowedCPUs"), "0");
    }
    let read = |controller, file| fs::read_to_string(c.cgroup(controller).join(file)).unwrap();
    if host::is_v2() {
        assert_eq!(show("MemoryMax"), "67108864");
        assert_eq!(show("CPUWeight"), "59");
        assert_eq!(read("memory", "memory.max"), "67108864\n");
        assert_eq!(read("cpu", "cpu.weight"), "59\n");
        let quota = read("cpu", "cpu.max");
        assert!(
            quota == "50500 100000\n" || quota == "51000 100000\n",
            "{quota}"
        );
    } else {
        assert_eq!(show("MemoryLimit"), "67108864");
        assert_eq!(show("CPUShares"), "512");
        assert_eq!(read("memory", "memory.limit_in_bytes"), "67108864\n");
        assert_eq!(read("cpu", "cpu.shares"), "512\n");
        let quota = read("cpu", "cpu.cfs_quota_us");
        assert!(quota == "50500\n" || quota == "51000\n", "{quota}");
    }
}

/// An update tells systemd too; one that is refused leaves unit and files as they were.
fn updates_are_properties(t: &Sandbox) {
    let mut c = container(t);
    c.set("/linux/resources/pids", json!({"limit": 77}));
    c.run_sleeping();
    let show = |property| show(t, &unit(&c), property);
    update(&c, json!({"pids": {"limit": 66}, "cpu": {"quota": 50_000}})).ok();
    assert_eq!(show("TasksMax"), "66");
    assert_eq!(show("CPUQuotaPerSecUSec"), "500ms");
    check(&c, ("pids/pids.max", 66), ("pids.max", 66));
    check(
        &c,
        ("cpu/cpu.cfs_quota_us", 50_000),
        ("cpu.max", "50000 100000"),
    );
    // Beyond any kernel's: a second at most.
    update(
        &c,
        json!({"pids": {"limit": 55}, "cpu": {"quota": 1, "period": 5_000_000}}),
    )
    .fails();
    assert_eq!(show("TasksMax"), "66");
    check(&c, ("pids/pids.max", 66), ("pids.max", 66));
    check(
        &c,
        ("cpu/cpu.cfs_quota_us", 50_000),
        ("cpu.max", "50000 100000"),
    );
    t.command("systemctl").arg("daemon-reload").run().ok();
    check(&c, ("pids/pids.max", 66), ("pids.max", 66));
}

/// What was changed to the default, or is back at it because a change was refused.
fn defaults_are_properties_again(t: &Sandbox) {
    let mut c = container(t);
    if !host::is_v2() {
        skip("v1's systemd has shares, and no idleness");
    }
    c.set("/linux/resources/cpu", json!({"shares": 512}));
    c.run_sleeping();
    let show = |property| show(t, &unit(&c), property);
    // Some kernels have but BFQ's weight, or none.
    let has_io = fs::exists(c.cgroup("io").join("io.weight")).unwrap();
    let weights = |io: &str, idle: u8| {
        let io = has_io.then(|| json!({"io.weight": io}));
        json!({"unified": io.unwrap_or(json!({})), "cpu": {"idle": idle}})
    };
    let assert_shown = |io: &str, cpu: &str| {
        assert_eq!(show("CPUWeight"), cpu);
        assert!(!has_io || show("IOWeight") == io, "{}", show("IOWeight"));
    };
    let mut refused = weights("default 50", 1);
    refused["devices"] = hole();
    update(&c, refused).fails().says("devices[2]");
    assert_shown("100", "59");
    update(&c, weights("default 50", 1)).ok();
    assert_shown("50", "idle");
    update(&c, weights("100", 0)).ok();
    assert_shown("100", "100");
    t.command("systemctl").arg("daemon-reload").run().ok();
    check(&c, ("", ""), ("cpu.weight", 100));
    check(&c, ("", ""), ("cpu.idle", 0));
}

fn unit_is_a_delegated_scope(t: &Sandbox) {
    let mut c = container(t);
    c.run_sleeping();
    let show = |property| show(t, &unit(&c), property);
    assert_eq!(show("ActiveState"), "active");
    assert_eq!(show("Delegate"), "yes");
    assert_eq!(show("Slice"), "system.slice");
    assert_eq!(show("DefaultDependencies"), "no");
    assert_eq!(show("CollectMode"), "inactive-or-failed");
    assert_eq!(show("DevicePolicy"), "strict");
    assert_eq!(show("ControlGroup"), host::cgroup(&c.id));
    assert!(show("Description").contains(&c.id));
}

fn slices_are_nested(t: &Sandbox) {
    let mut c = container(t);
    let slice = t.id("a");
    let path = format!("{slice}-b.slice:tt:{}", c.id);
    c.set("/linux/cgroupsPath", json!(path)).run_sleeping();
    let expected = format!("/{slice}.slice/{slice}-b.slice/{}", unit(&c));
    let placed = fs::read_to_string(c.proc("cgroup")).unwrap();
    assert!(placed.lines().all(|l| l.ends_with(&expected)), "{placed}");
    assert_eq!(show(t, &unit(&c), "ControlGroup"), expected);
    c.delete_force().ok();
    assert_no_unit(t, &unit(&c));
    remove_slice(t, &slice);
}

/// Slices stay while they may be of use; in those hierarchies that systemd does not know of,
/// nobody removes the directories of the names.
fn remove_slice(t: &Sandbox, slice: &str) {
    let stop = t.command("systemctl").args(["stop"]);
    stop.arg(format!("{slice}.slice")).run();
    let root = Path::new("/sys/fs/cgroup");
    let mounts = fs::read_dir(root).unwrap().flatten().map(|e| e.path());
    for mount in mounts.chain([root.to_owned()]) {
        let top = mount.join(format!("{slice}.slice"));
        let _ = fs::remove_dir(top.join(format!("{slice}-b.slice")));
        let _ = fs::remove_dir(top);
    }
}

fn a_slice_as_the_unit(t: &Sandbox) {
    let mut c = container(t);
    let slice = format!("{}.slice", t.id("own"));
    c.set("/linux/cgroupsPath", json!(format!("::{slice}")));
    c.set("/linux/resources/pids", json!({"limit": 33}));
    c.run_sleeping();
    let placed = fs::read_to_string(c.proc("cgroup")).unwrap();
    let expected = format!("/{slice}");
    assert!(placed.lines().all(|l| l.ends_with(&expected)), "{placed}");
    assert_eq!(show(t, &slice, "TasksMax"), "33");
    c.exec(&["echo", "in"]).ok().prints("in");
    c.delete_force().ok();
    // Any slice can be had for the asking: it is always "loaded".
    assert_eq!(show(t, &slice, "ActiveState"), "inactive");
    t.assert_nothing_left();
}

fn annotate(c: &mut Container, name: &str, value: &str) {
    let key = format!("org.systemd.property.{name}");
    c.config["annotations"][key] = json!(value);
}

fn annotations_are_properties(t: &Sandbox) {
    let mut c = container(t);
    annotate(&mut c, "TimeoutStopUSec", "uint64 123000000");
    let pages = "['http://a.example', \"http://b.example\"]";
    annotate(&mut c, "Documentation", pages);
    annotate(&mut c, "CollectMode", "'inactive'");
    annotate(&mut c, "RuntimeMaxSec", "3600.5");
    annotate(&mut c, "SendSIGHUP", "true");
    c.run_sleeping();
    let show = |property| show(t, &unit(&c), property);
    assert_eq!(show("TimeoutStopUSec"), "2min 3s");
    assert_eq!(show("Documentation"), "http://a.example http://b.example");
    assert_eq!(show("CollectMode"), "inactive");
    assert_eq!(show("RuntimeMaxUSec"), "1h 500ms");
    assert_eq!(show("SendSIGHUP"), "yes");
}

fn annotations_that_execute_are_refused(t: &Sandbox) {
    for name in ["ExecStartPre", "SuccessAction", "OnFailure", "Wants"] {
        let mut c = container(t);
        annotate(&mut c, name, "'poweroff'");
        c.args(["true"]).run().fails().says(name);
    }
    let mut c = container(t);
    annotate(&mut c, "TimeoutStopUSec", "uint64 many");
    c.args(["true"])
        .run()
        .fails()
        .says("annotations[")
        .says("uint64 many");
    t.assert_nothing_left();
}

fn no_unit_is_left(t: &Sandbox) {
    let mut c = container(t);
    c.args(["true"]).run().ok();
    assert_no_unit(t, &unit(&c));
    c.create().ok();
    assert_eq!(show(t, &unit(&c), "ActiveState"), "active");
    c.start().ok();
    c.wait_for_status("stopped");
    c.delete().ok();
    assert_no_unit(t, &unit(&c));
    c.run_sleeping();
    c.delete_force().ok();
    assert_no_unit(t, &unit(&c));
    t.assert_nothing_left();
}

fn no_unit_is_left_of_a_failure(t: &Sandbox) {
    let mut c = container(t);
    c.args(["/no/such/program"]).run().fails();
    assert_no_unit(t, &unit(&c));
    c.args(["true"]);
    c.push("/hooks/prestart", json!({"path": "/bin/false"}));
    c.run().fails();
    assert_no_unit(t, &unit(&c));
    t.assert_nothing_left();
}

fn failed_unit_is_reset(t: &Sandbox) {
    let mut c = container(t);
    let unit = unit(&c);
    t.command("systemd-run")
        .args(["--scope", "--quiet", "--unit", &unit])
        .args(["-p", "RuntimeMaxSec=100ms", "sleep", "100"])
        .run()
        .fails();
    wait_for("the unit to fail", || {
        show(t, &unit, "ActiveState") == "failed"
    });
    c.args(["echo", "in"]).run().ok().prints("in");
    assert_no_unit(t, &unit);
    t.assert_nothing_left();
}

/// In another slice, so that the cgroup's path does not tell.
fn unit_of_somebody_else_is_spared(t: &Sandbox) {
    let mut c = container(t);
    let unit = unit(&c);
    let other = t
        .command("systemd-run")
        .args(["--scope", "--quiet", "--slice=user.slice", "--unit", &unit])
        .args(["sleep", "1000"])
        .spawn();
    wait_for("the unit", || show(t, &unit, "ActiveState") == "active");
    c.args(["true"]).run().fails().says(&unit).says("already");
    assert_eq!(show(t, &unit, "ActiveState"), "active");
    other.kill_group();
    other.wait();
    wait_for("its end", || show(t, &unit, "ActiveState") == "inactive");
    t.assert_nothing_left();
}

fn daemon_reload_keeps_devices(t: &Sandbox) {
    let mut c = container(t);
    // /dev/fuse and /dev/net/tun have this major number, which no default rule allows.
    let device = json!({"path": "/dev/some", "type": "c", "major": 10, "minor": 237});
    c.push("/linux/devices", device);
    c.capabilities(&["CAP_MKNOD"]);
    let rule = |major: i64| json!({"allow": true, "type": "c", "major": major, "access": "rwm"});
    c.push("/linux/resources/devices", rule(10));
    c.run_sleeping();
    // Allowed by the cgroup: whether there is such a device is another question.
    let opens = |node: &str| {
        let script = format!("busybox dd if={node} of=/dev/null bs=1 count=0");
        let out = c.exec(&["sh", "-c", &script]);
        !out.stderr.contains("not permitted")
    };
    let check = |when: &str| {
        assert!(opens("/dev/some"), "{when}: the device is denied");
        assert!(opens("/dev/zero"), "{when}: /dev/zero is denied");
        let list = c.exec(&["sh", "-c", "echo x >/dev/null"]);
        assert_eq!(list.status, 0, "{when}: {list}");
    };
    check("before");
    t.command("systemctl").arg("daemon-reload").run().ok();
    check("after daemon-reload");
    t.command("systemctl")
        .args(["set-property", "--runtime", &unit(&c), "TasksMax=500"])
        .run()
        .ok();
    check("after set-property");
}

fn by_the_system_bus(t: &Sandbox) {
    let mut c = container(t);
    c.args(["sleep", "1000"]).save();
    let hidden = "mount --bind /dev/null /run/systemd/private && exec \"$@\"";
    let tare = |args: &[&str]| {
        let root = t.root();
        t.command("unshare")
            .args([
                "--mount",
                "sh",
                "-c",
                hidden,
                "sh",
                runtime(),
                "--systemd-cgroup",
            ])
            .args(["--root", root.to_str().unwrap()])
            .args(args)
            .run()
    };
    let bundle = c.bundle.to_str().unwrap();
    tare(&["run", "--detach", "--bundle", bundle, &c.id]).ok();
    assert_eq!(show(t, &unit(&c), "ActiveState"), "active");
    tare(&["delete", "--force", &c.id]).ok();
    assert_no_unit(t, &unit(&c));
    t.assert_nothing_left();
}

/// A bundle that an ordinary user can run, with the runtime beside it.
fn users_bundle(t: &Sandbox, resources: Value, path: Value) -> Container<'_> {
    let mut c = container(t);
    if !Path::new("/usr/local/bin/as-user").exists() || !host::is_v2() {
        skip("this host has no user with a systemd and cgroup v2 of its own");
    }
    program::copy(runtime().as_ref(), &t.path("tare"));
    let spec = t
        .command(runtime())
        .args(["spec", "--rootless", "--bundle"]);
    fs::remove_file(c.bundle.join("config.json")).ok();
    spec.arg(c.bundle.to_str().unwrap()).run().ok();
    let text = fs::read_to_string(c.bundle.join("config.json")).unwrap();
    c.config = serde_json::from_str(&text).unwrap();
    c.set("/process/terminal", json!(false));
    for (key, host_id) in [("uidMappings", 1000), ("gidMappings", 1000)] {
        let mapping = json!([{"containerID": 0, "hostID": host_id, "size": 1}]);
        c.set(&format!("/linux/{key}"), mapping);
    }
    c.set("/linux/resources", resources);
    c.set("/linux/cgroupsPath", path);
    fs::set_permissions(t.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    c
}

/// What the user runs: the runtime with a state directory of its own.
fn as_user(t: &Sandbox, before: &[&str], args: &[&str]) -> crate::harness::Output {
    let root = t.path("users-root");
    t.command(before[0])
        .args(&before[1..])
        .args([t.path("tare").to_str().unwrap(), "--systemd-cgroup"])
        .args(["--root", root.to_str().unwrap()])
        .args(args)
        .run()
}

fn user_with_a_systemd_of_its_own(t: &Sandbox) {
    let resources = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 44}});
    let id = t.id("u");
    let mut c = users_bundle(t, resources, json!(format!("user.slice:tt:{id}")));
    c.args(["sleep", "1000"]).save();
    let bundle = c.bundle.to_str().unwrap();
    let user = &["as-user"];
    as_user(t, user, &["run", "--detach", "--bundle", bundle, &id]).ok();
    let base = Path::new("/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service");
    let cgroup = base.join(format!("user.slice/tt-{id}.scope"));
    let read = |file: &str| fs::read_to_string(cgroup.join(file)).unwrap();
    assert_eq!(read("memory.max"), "67108864\n");
    assert_eq!(read("pids.max"), "44\n");
    let exec = as_user(t, user, &["exec", &id, "cat", "/proc/self/cgroup"]);
    exec.ok();
    as_user(t, user, &["pause", &id]).ok();
    as_user(t, user, &["resume", &id]).ok();
    as_user(t, user, &["delete", "--force", &id]).ok();
    assert!(!cgroup.exists());
    t.assert_nothing_left();
}

/// A session is not below the user's systemd: only that can take a process over.
fn user_in_a_session(t: &Sandbox) {
    let id = t.id("s");
    let mut c = users_bundle(t, json!({}), json!(format!("user.slice:tt:{id}")));
    c.args(["sleep", "1000"]).save();
    // Sees to it that there is one.
    t.command("as-user").arg("true").run().ok();
    let session = &without_session("XDG_RUNTIME_DIR=/run/user/1000");
    let bundle = c.bundle.to_str().unwrap();
    as_user(t, session, &["run", "--detach", "--bundle", bundle, &id]).ok();
    let cgroup = format!(
        "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/user.slice/tt-{id}.scope"
    );
    let count = || {
        let procs = fs::read_to_string(format!("{cgroup}/cgroup.procs")).unwrap();
        procs.lines().count()
    };
    assert_eq!(count(), 1);
    as_user(t, session, &["exec", "--detach", &id, "sleep", "1000"]).ok();
    assert_eq!(count(), 2);
    as_user(t, session, &["delete", "--force", &id]).ok();
    t.assert_nothing_left();
}

/// Makes a program that user's, in our cgroup, with nothing but `runtime_dir` in its environment.
fn without_session(runtime_dir: &str) -> [&str; 7] {
    [
        "setpriv",
        "--reuid=1000",
        "--regid=1000",
        "--clear-groups",
        "env",
        "-i",
        runtime_dir,
    ]
}

fn user_without_one(t: &Sandbox) {
    let mut c = users_bundle(t, json!({}), json!(""));
    c.args(["echo", "in"]).save();
    let bundle = c.bundle.to_str().unwrap().to_owned();
    // In a cgroup that is root's, and where no systemd of the user's can be found.
    let nobody = &without_session("XDG_RUNTIME_DIR=/nonexistent");
    as_user(t, nobody, &["run", "--bundle", &bundle, "x1"])
        .ok()
        .prints("in");
    c.set("/linux/resources", json!({"pids": {"limit": 44}}))
        .save();
    as_user(t, nobody, &["run", "--bundle", &bundle, "x2"])
        .fails()
        .says("pids.limit")
        .says("loginctl enable-linger");
    t.assert_nothing_left();
}
