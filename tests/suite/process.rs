//! The `process` object of config.json: each field, as the program in the container sees it.

use crate::harness::{Container, Sandbox, skip, tests, wait_for};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

tests![
    environment_is_the_configs_alone,
    environment_last_one_wins,
    home_comes_from_passwd,
    home_in_the_config_wins,
    home_without_passwd,
    cwd,
    cwd_is_created,
    cwd_of_the_user,
    cwd_outside_of_reach,
    user_and_groups,
    groups_of_the_caller,
    groups_of_the_caller_that_nobody_maps,
    ids_up_to_the_highest,
    umask,
    umask_default,
    rlimits,
    rlimits_twice,
    rlimit_unknown,
    no_new_privileges,
    oom_score_adj,
    oom_score_adj_default,
    scheduler_batch,
    scheduler_unknown,
    io_priority,
    affinity_of_exec,
    affinity_of_the_caller,
    personality,
    memory_policy,
    session_keyring,
    seccomp_is_not_ignored,
    signals_are_at_their_defaults,
];

fn environment_is_the_configs_alone(t: &Sandbox) {
    let mut c = t.container();
    c.args(["/bin/env"]);
    c.set(
        "/process/env",
        json!(["ONE=1", "TWO=a b=c", "THREE=", "HOME=/x"]),
    );
    let out = c.run_with(&[]).env("LEAK", "yes").run().ok();
    let mut lines: Vec<_> = out.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["HOME=/x", "ONE=1", "THREE=", "TWO=a b=c"]);
}

fn environment_last_one_wins(t: &Sandbox) {
    let mut c = t.container();
    c.args(["env"]);
    c.set(
        "/process/env",
        json!(["PATH=/nowhere", "A=1", "PATH=/bin", "A=2", "HOME=/"]),
    );
    let out = c.run().ok();
    let values: Vec<_> = out.stdout.lines().filter(|l| l.starts_with("A=")).collect();
    assert_eq!(values, ["A=2"], "{out}");
}

fn home(c: &mut Container, uid: u32) -> String {
    c.set("/process/user", json!({"uid": uid, "gid": uid}));
    c.script("echo $HOME").run().ok().text().into()
}

fn home_comes_from_passwd(t: &Sandbox) {
    let mut c = t.container();
    assert_eq!(home(&mut c, 0), "/root");
    assert_eq!(home(&mut c, 1000), "/home/user");
    assert_eq!(
        home(&mut c, 4711),
        "/",
        "the default of a user whom passwd does not know"
    );
    c.push("/process/env", json!("HOME="));
    assert_eq!(
        home(&mut c, 1000),
        "/home/user",
        "empty is as good as not set"
    );
    c.set("/process/env", json!(["PATH=/bin", "HOME=/x", "HOME="]));
    assert_eq!(home(&mut c, 1000), "/home/user", "the last one counts");
}

fn home_in_the_config_wins(t: &Sandbox) {
    let mut c = t.container();
    c.push("/process/env", json!("HOME=/elsewhere"));
    assert_eq!(home(&mut c, 0), "/elsewhere");
}

fn home_without_passwd(t: &Sandbox) {
    let mut c = t.container();
    fs::remove_file(c.rootfs("etc/passwd")).unwrap();
    assert_eq!(home(&mut c, 0), "/");
}

fn cwd(t: &Sandbox) {
    let mut c = t.container();
    c.set("/process/cwd", json!("/proc/sys"));
    c.args(["pwd"]).run().ok().prints("/proc/sys");
}

fn cwd_is_created(t: &Sandbox) {
    let mut c = t.container();
    c.writable().set("/process/cwd", json!("/made/up/path"));
    c.args(["pwd"]).run().ok().prints("/made/up/path");
    assert!(c.rootfs("made/up/path").is_dir());
}

/// A directory that only the user may enter: the change of directory is made as the user,
/// who needs no capability for it.
fn cwd_of_the_user(t: &Sandbox) {
    let mut c = t.container();
    let dir = c.rootfs("private");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&dir, Some(1000), Some(1000)).unwrap();
    c.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    c.set("/process/cwd", json!("/private"));
    c.args(["pwd"]).run().ok().prints("/private");
}

fn cwd_outside_of_reach(t: &Sandbox) {
    let mut c = t.container();
    fs::write(c.rootfs("file"), "").unwrap();
    c.set("/process/cwd", json!("/file"));
    c.args(["pwd"]).run().fails().says("/file");
    t.assert_nothing_left();
}

fn user_and_groups(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/process/user",
        json!({"uid": 1000, "gid": 1001, "additionalGids": [5, 2147483647, 1234567]}),
    );
    c.script("grep -E '^(Uid|Gid|Groups)' /proc/self/status");
    let out = c.run().ok();
    let lines: Vec<Vec<_>> = out
        .stdout
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["Uid:", "1000", "1000", "1000", "1000"]);
    assert_eq!(lines[1], ["Gid:", "1001", "1001", "1001", "1001"]);
    assert_eq!(lines[2], ["Groups:", "5", "1234567", "2147483647"]);
    // The groups of whoever calls the runtime are not the container's.
    c.set("/process/user", json!({"uid": 0, "gid": 0}));
    let out = c.run().ok();
    let groups: Vec<_> = out
        .stdout
        .lines()
        .nth(2)
        .unwrap()
        .split_whitespace()
        .collect();
    assert!(groups[1..].iter().all(|group| *group == "0"), "{out}");
}

/// What `run` and then `exec` say of their groups to a caller who is in 7 and 8.
fn with_groups_of_the_caller(t: &Sandbox, c: &mut Container) -> [String; 2] {
    c.set("/annotations", json!({"run.oci.keep_original_groups": "1"}));
    c.set("/process/user/additionalGids", json!([9]));
    c.script("grep Groups /proc/self/status; exec sleep 1000");
    c.save();
    let call = |words: String| {
        let script = format!("setpriv --groups 7,8 {} {words}", t.tare_words());
        t.command("sh").args(["-c", &script]).run().ok()
    };
    let run = call(format!("run --detach -b {} {}", c.bundle.display(), c.id));
    wait_for("its groups", || run.later().ends_with('\n'));
    let exec = call(format!("exec {} grep Groups /proc/self/status", c.id));
    [run.later(), exec.stdout].map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// As Podman's `--group-add keep-groups` asks for it.
fn groups_of_the_caller(t: &Sandbox) {
    let mut c = t.container();
    assert_eq!(
        with_groups_of_the_caller(t, &mut c),
        ["Groups: 7 8", "Groups: 7 8"]
    );
}

/// They are there all the same, which is what they are kept for: access to files of the host.
fn groups_of_the_caller_that_nobody_maps(t: &Sandbox) {
    let mut c = t.container();
    crate::user_namespaces::map_users(&mut c, 100_000);
    assert_eq!(
        with_groups_of_the_caller(t, &mut c),
        ["Groups: 65534 65534", "Groups: 65534 65534"]
    );
}

fn ids_up_to_the_highest(t: &Sandbox) {
    let mut c = t.container();
    // 2^32-1 itself means "no id" to the kernel.
    let highest = u32::MAX - 1;
    c.set(
        "/process/user",
        json!({"uid": highest, "gid": highest, "additionalGids": [highest]}),
    );
    c.script("id -u; id -g; id -G");
    c.run().ok().prints("4294967294\n4294967294\n4294967294");
    c.set("/process/user", json!({"uid": u32::MAX, "gid": 0}));
    c.run().fails();
    t.assert_nothing_left();
}

fn umask(t: &Sandbox) {
    let mut c = t.container();
    c.set("/process/user/umask", json!(0o27));
    c.script("umask").run().ok().prints("0027");
    c.run_sleeping();
    c.exec(&["sh", "-c", "umask"]).ok().prints("0027");
}

fn umask_default(t: &Sandbox) {
    let mut c = t.container();
    c.script("umask").save();
    let line = format!(
        "umask 0077; exec {} run -b {} {}",
        t.tare_words(),
        c.bundle.display(),
        c.id
    );
    t.command("/bin/sh")
        .args(["-c", &line])
        .run()
        .ok()
        .prints("0022");
}

fn rlimits(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/process/rlimits",
        json!([
            {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            {"type": "RLIMIT_STACK", "soft": 1048576, "hard": u64::MAX},
        ]),
    );
    c.args(["cat", "/proc/self/limits"]);
    let out = c.run().ok();
    let limit = |name: &str| -> Vec<String> {
        let line = out
            .stdout
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap();
        line[name.len()..]
            .split_whitespace()
            .take(2)
            .map(Into::into)
            .collect()
    };
    assert_eq!(limit("Max open files"), ["100", "200"]);
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max stack size"), ["1048576", "unlimited"]);
    c.run_sleeping();
    let out = c.exec(&["sh", "-c", "ulimit -n; ulimit -H -n"]).ok();
    assert_eq!(out.text(), "100\n200");
}

fn rlimits_twice(t: &Sandbox) {
    let mut c = t.container();
    let one = json!({"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200});
    c.set("/process/rlimits", json!([one, one]));
    c.args(["true"])
        .run()
        .fails()
        .says("process.rlimits[1].type");
    t.assert_nothing_left();
}

fn rlimit_unknown(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/process/rlimits",
        json!([{"type": "RLIMIT_NONE", "soft": 1, "hard": 1}]),
    );
    c.args(["true"]).run().fails().says("RLIMIT_NONE");
    t.assert_nothing_left();
}

fn no_new_privileges(t: &Sandbox) {
    for value in [true, false] {
        let mut c = t.container();
        c.set("/process/noNewPrivileges", json!(value));
        c.args(["grep", "NoNewPrivs", "/proc/self/status"]);
        let expected = format!("NoNewPrivs:\t{}", u8::from(value));
        c.run().ok().prints(&expected);
        c.run_sleeping();
        c.exec(&["grep", "NoNewPrivs", "/proc/self/status"])
            .ok()
            .prints(&expected);
    }
}

fn oom_score_adj(t: &Sandbox) {
    let mut c = t.container();
    // Raised only: lowering takes CAP_SYS_RESOURCE, which the machine may not have.
    c.set("/process/oomScoreAdj", json!(123));
    c.args(["cat", "/proc/self/oom_score_adj"])
        .run()
        .ok()
        .prints("123");
}

fn oom_score_adj_default(t: &Sandbox) {
    let mut c = t.container();
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    c.args(["cat", "/proc/self/oom_score_adj"])
        .run()
        .ok()
        .prints(own.trim());
}

fn scheduler_batch(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/process/scheduler",
        json!({"policy": "SCHED_BATCH", "nice": 5}),
    );
    c.run_sleeping();
    let stat = fs::read_to_string(c.proc("stat")).unwrap();
    let fields: Vec<_> = stat
        .rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    // proc(5): field 19 is nice, 41 the policy; SCHED_BATCH is 3.
    assert_eq!((fields[16], fields[38]), ("5", "3"), "{stat}");
}

fn scheduler_unknown(t: &Sandbox) {
    let mut c = t.container();
    c.set("/process/scheduler", json!({"policy": "SCHED_NONE"}));
    c.args(["true"]).run().fails().says("SCHED_NONE");
    t.assert_nothing_left();
}

fn io_priority(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/process/ioPriority",
        json!({"class": "IOPRIO_CLASS_BE", "priority": 6}),
    );
    c.args(["busybox", "ionice"])
        .run()
        .ok()
        .prints("best-effort: prio 6");
    c.run_sleeping();
    c.exec(&["busybox", "ionice"])
        .ok()
        .prints("best-effort: prio 6");
    c.delete_force().ok();
    c.set(
        "/process/ioPriority",
        json!({"class": "IOPRIO_CLASS_NONE", "priority": 6}),
    );
    c.args(["true"]).run().fails();
}

fn affinity_of_exec(t: &Sandbox) {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        skip("needs two CPUs");
    }
    let mut c = t.container();
    c.set(
        "/process/execCPUAffinity",
        json!({"initial": "0", "final": "1"}),
    );
    c.run_sleeping();
    let out = c
        .exec(&["grep", "Cpus_allowed_list", "/proc/self/status"])
        .ok();
    assert!(out.text().ends_with("\t1"), "{out}");
    let init = fs::read_to_string(c.proc("status")).unwrap();
    assert!(
        !init.contains("Cpus_allowed_list:\t1\n"),
        "init is not an exec"
    );
}

/// What CPUs the caller keeps itself to is no limit of the container's.
fn affinity_of_the_caller(t: &Sandbox) {
    let allowed = |text: &str| {
        let line = text.lines().find(|l| l.starts_with("Cpus_allowed_list"));
        line.unwrap().to_owned()
    };
    let ours = allowed(&fs::read_to_string("/proc/self/status").unwrap());
    if std::thread::available_parallelism().unwrap().get() < 2 {
        skip("needs two CPUs");
    }
    let mut c = t.container();
    c.args(["sleep", "1000"]).save();
    let on_one = |command: String| {
        let script = format!("exec taskset -c 0 {} {command}", t.tare_words());
        t.command("sh").args(["-c", &script]).run().ok()
    };
    on_one(format!("run -d -b {} {}", c.bundle.display(), c.id));
    let init = fs::read_to_string(c.proc("status")).unwrap();
    assert_eq!(allowed(&init), ours);
    let out = on_one(format!("exec {} cat /proc/self/status", c.id));
    assert_eq!(allowed(&out.stdout), ours);
}

fn personality(t: &Sandbox) {
    if !cfg!(target_arch = "x86_64") {
        skip("uname names the 32-bit machine on x86_64");
    }
    if t.command("setarch")
        .args(["linux32", "uname", "-m"])
        .run()
        .text()
        != "i686"
    {
        skip("a kernel without 32-bit programs");
    }
    let mut c = t.container();
    c.args(["busybox", "uname", "-m"]);
    c.run().ok().prints("x86_64");
    c.set("/linux/personality", json!({"domain": "LINUX32"}));
    c.run().ok().prints("i686");
    c.run_sleeping();
    c.exec(&["busybox", "uname", "-m"]).ok().prints("i686");
}

fn memory_policy(t: &Sandbox) {
    if !fs::exists("/proc/self/numa_maps").unwrap() {
        skip("a kernel without NUMA");
    }
    let mut c = t.container();
    c.set(
        "/linux/memoryPolicy",
        json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"}),
    );
    c.args(["cat", "/proc/self/numa_maps"]);
    let out = c.run().ok();
    assert!(out.stdout.contains("interleave:0"), "{out}");
    for (mode, shown) in [("MPOL_DEFAULT", " default "), ("MPOL_LOCAL", " local ")] {
        c.set("/linux/memoryPolicy", json!({"mode": mode}));
        let out = c.run().ok();
        assert!(out.stdout.contains(shown), "{out}");
    }
}

/// Each container gets a session keyring of its own, unless it is told not to.
fn session_keyring(t: &Sandbox) {
    let mut c = t.container();
    c.unset("/linux/maskedPaths");
    c.args(["cat", "/proc/keys"]);
    if !fs::exists("/proc/keys").unwrap() {
        skip("a kernel without keyrings");
    }
    c.run_with(&["--no-new-keyring"]).run().ok();
    let out = c.run().ok();
    assert!(out.stdout.contains(&format!("_ses.{}", c.id)), "{out}");
}

/// Until profiles are compiled here, a container that should have one is refused.
fn seccomp_is_not_ignored(t: &Sandbox) {
    let mut c = t.container();
    let rule = json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"});
    c.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}),
    );
    c.mount("/tmp", "tmpfs", "tmpfs", &[]);
    c.script("mkdir /tmp/dir && echo made");
    let out = c.run().fails();
    assert_eq!(out.stdout, "", "{out}");
    t.assert_nothing_left();
}

fn signals_are_at_their_defaults(t: &Sandbox) {
    let masks = |status: &str| -> Vec<u64> {
        ["SigBlk:", "SigIgn:"]
            .map(|name| {
                status
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .unwrap()
                    .trim()
            })
            .map(|mask| u64::from_str_radix(mask, 16).unwrap())
            .into()
    };
    // What the caller ignores stays ignored, but Rust's own SIGPIPE, which ends at execve.
    let own = masks(&fs::read_to_string("/proc/self/status").unwrap());
    let inherited = own[1] & !(1 << 12);
    let mut c = t.container();
    c.args(["cat", "/proc/self/status"]);
    let by_run = c.run().ok();
    c.run_sleeping();
    let by_exec = c.exec(&["cat", "/proc/self/status"]).ok();
    for out in [by_run, by_exec] {
        let found = masks(&out.stdout);
        assert_eq!(found[0], 0, "blocked: {out}");
        assert_eq!(found[1] & !inherited, 0, "ignored: {out}");
    }
}
