//! What exec gives its process: user, groups, capabilities, environment, and a process.json.

use crate::harness::{Container, Output, Sandbox, tests};
use serde_json::{Value, json};
use std::fs;

tests![
    cwd,
    cwd_that_is_missing,
    environment,
    home_of_the_user,
    additional_gids,
    cap_unknown,
    no_new_privs,
    process_file,
    process_file_that_is_missing,
    process_file_that_is_wrong,
    process_file_with_its_own_limits,
    scheduling_that_bars_a_fork,
    uid_is_set_before_the_cwd,
];

fn running(t: &Sandbox) -> Container<'_> {
    let mut c = t.container();
    c.run_sleeping();
    c
}

fn cwd(t: &Sandbox) {
    let c = running(t);
    c.exec(&["pwd"]).ok().prints("/");
    c.exec_with(&["--cwd", "/proc/sys"], &["pwd"])
        .run()
        .ok()
        .prints("/proc/sys");
}

fn cwd_that_is_missing(t: &Sandbox) {
    let c = running(t);
    c.exec_with(&["--cwd", "/no/such"], &["pwd"])
        .run()
        .fails()
        .says("/no/such");
    c.exec_with(&["--cwd", "relative"], &["pwd"]).run().fails();
    assert_eq!(c.status(), "running");
}

fn environment(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/process/env",
        json!(["PATH=/bin", "ONE=config", "TWO=config", "HOME=/x"]),
    );
    c.run_sleeping();
    let options = ["--env", "ONE=exec", "-e", "THREE=a b", "--env=EMPTY="];
    let out = c
        .exec_with(&options, &["env"])
        .env("LEAK", "yes")
        .run()
        .ok();
    let mut lines: Vec<_> = out.stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "EMPTY=",
            "HOME=/x",
            "ONE=exec",
            "PATH=/bin",
            "THREE=a b",
            "TWO=config"
        ]
    );
}

fn home_of_the_user(t: &Sandbox) {
    let c = running(t);
    c.exec(&["sh", "-c", "echo $HOME"]).ok().prints("/root");
    c.exec_with(&["--user", "1000"], &["sh", "-c", "echo $HOME"])
        .run()
        .ok()
        .prints("/home/user");
}

fn additional_gids(t: &Sandbox) {
    let c = running(t);
    let out = c
        .exec_with(
            &["--user", "1000:1000", "--additional-gids", "5", "-g", "6"],
            &["id", "-G"],
        )
        .run()
        .ok();
    let mut groups: Vec<_> = out.stdout.split_whitespace().collect();
    groups.sort_unstable();
    assert_eq!(groups, ["1000", "5", "6"]);
}

fn cap_unknown(t: &Sandbox) {
    let c = running(t);
    let out = c.exec_with(&["--cap", "CAP_NONSENSE"], &["true"]).run();
    assert!(out.stderr.contains("CAP_NONSENSE"), "{out}");
}

fn no_new_privs(t: &Sandbox) {
    for containers in [false, true] {
        let mut c = t.container();
        c.set("/process/noNewPrivileges", json!(containers))
            .run_sleeping();
        let prints = |flags: &[&str], set: bool| {
            let args = ["grep", "NoNewPrivs", "/proc/self/status"];
            let expected = format!("NoNewPrivs:\t{}", u8::from(set));
            c.exec_with(flags, &args).run().ok().prints(&expected);
        };
        prints(&[], containers);
        prints(&["--no-new-privs"], true);
        prints(&["-no-new-privs=T"], true);
        prints(&["--no-new-privs=false"], false);
    }
}

fn process_with(t: &Sandbox, c: &Container, edit: impl FnOnce(&mut Value)) -> Output {
    let mut process = json!({
        "user": {"uid": 1000, "gid": 1001, "additionalGids": [5]},
        "args": ["sh", "-c", "id -u; id -g; pwd; echo $ONLY-$TERM"],
        "env": ["PATH=/bin", "ONLY=this"],
        "cwd": "/tmp",
    });
    edit(&mut process);
    let file = t.file("process.json", &process.to_string());
    t.tare(["exec", "--process", file.to_str().unwrap(), &c.id])
        .run()
}

fn process_file(t: &Sandbox) {
    let c = running(t);
    process_with(t, &c, |_| ())
        .ok()
        .prints("1000\n1001\n/tmp\nthis-");
    let file = t.path("process.json");
    let out = t
        .tare(["exec", "-p", file.to_str().unwrap(), &c.id])
        .run()
        .ok();
    assert_eq!(out.text(), "1000\n1001\n/tmp\nthis-");
}

/// Only a bundle without config.json has words of its own.
fn process_file_that_is_missing(t: &Sandbox) {
    let c = running(t);
    t.tare(["exec", "--process", "/no/such.json", &c.id])
        .run()
        .exits(255)
        .says("/no/such.json: no such file or directory");
}

fn process_file_that_is_wrong(t: &Sandbox) {
    let c = running(t);
    process_with(t, &c, |p| p["cwd"] = json!("relative"))
        .fails()
        .mentions("cwd");
    process_with(t, &c, |p| p["args"] = json!([]))
        .fails()
        .mentions("args");
    process_with(t, &c, |p| p["user"]["uid"] = json!("0"))
        .fails()
        .mentions("uid");
    process_with(t, &c, |p| p["user"]["uid"] = json!(-1))
        .fails()
        .mentions("uid");
    let file = t.path("none.json");
    t.tare(["exec", "-p", file.to_str().unwrap(), &c.id])
        .run()
        .fails()
        .says("none.json");
}

fn process_file_with_its_own_limits(t: &Sandbox) {
    let c = running(t);
    let out = process_with(t, &c, |p| {
        p["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]);
        p["noNewPrivileges"] = json!(true);
        p["oomScoreAdj"] = json!(321);
        p["capabilities"] = json!({"bounding": ["CAP_KILL"]});
        p["user"]["umask"] = json!(0o70);
        let script = "ulimit -n; cat /proc/self/oom_score_adj; umask; \
                      grep -E 'CapBnd|NoNewPrivs' /proc/self/status | tr -d '\\t'";
        p["args"] = json!(["sh", "-c", script]);
    });
    out.ok()
        .prints("77\n321\n0070\nCapBnd:0000000000000020\nNoNewPrivs:1");
}

/// exec branches the process off last of all, and that would not do under it, or undo it.
fn scheduling_that_bars_a_fork(t: &Sandbox) {
    let c = running(t);
    let policy = |scheduler: Value| {
        let out = process_with(t, &c, |p| {
            p["scheduler"] = scheduler;
            p["args"] = json!(["cat", "/proc/self/stat"]);
        });
        // proc(5): field 41, counted from what follows the name.
        let field = out.stdout.rsplit(')').next().unwrap_or_default();
        let field = field.split_whitespace().nth(38).map(str::to_owned);
        (field, out)
    };
    let (batch, out) =
        policy(json!({"policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_RESET_ON_FORK"]}));
    assert_eq!(batch.as_deref(), Some("3"), "{out}");
    let (deadline, out) = policy(json!({"policy": "SCHED_DEADLINE", "runtime": 10_000_000,
                                        "deadline": 100_000_000, "period": 100_000_000}));
    // What the kernel may have against it is not the fork.
    let is_refused = out.stderr.contains("process.scheduler");
    assert!(deadline.as_deref() == Some("6") || is_refused, "{out}");
}

fn uid_is_set_before_the_cwd(t: &Sandbox) {
    use std::os::unix::fs::PermissionsExt;
    let mut c = t.container();
    let dir = c.rootfs("private");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&dir, Some(1000), Some(1000)).unwrap();
    c.run_sleeping();
    c.exec_with(&["--user", "1000:1000", "--cwd", "/private"], &["pwd"])
        .run()
        .ok()
        .prints("/private");
}
