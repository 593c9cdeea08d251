//! What the commands print: tables, JSON, logs and errors.

use crate::harness::{Container, Sandbox, host, tests, wait_for};
use serde_json::{Value, json};
use std::fs;

tests![
    list_table,
    list_json,
    list_quiet,
    list_empty,
    list_of_more_than_can_be_open,
    ps_table,
    ps_json,
    ps_with_arguments_of_ps,
    ps_sees_every_process,
    error_is_printed_once,
    error_goes_to_the_log_and_to_stderr,
    log_json,
    log_text,
    log_is_appended_to,
    log_that_cannot_be_opened,
    debug_says_more,
    unknown_command_and_flag,
    misuse_is_in_the_log,
    flags_in_gos_forms,
    missing_argument,
    help_of_every_command,
    version_has_runcs_lines,
    spec_writes_a_config_that_runs,
    spec_does_not_overwrite,
    spec_rootless,
    features_is_json,
    timing,
    timing_by_environment,
    empty_values_of_flags,
];

fn list_table(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let out = t.tare(["list"]).run().ok();
    let lines: Vec<Vec<_>> = out
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    );
    let (pid, bundle) = (c.pid().to_string(), c.bundle.to_str().unwrap());
    assert_eq!(lines[1][..4], [c.id.as_str(), &pid, "running", bundle]);
    assert_eq!(lines[1][5], "root");
    assert_eq!(lines.len(), 2);
}

fn list_json(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    for args in [["list", "--format", "json"], ["list", "-f", "json"]] {
        let out = t.tare(args).run().ok().json();
        assert_eq!(out.as_array().unwrap().len(), 1);
        assert_eq!(out[0]["id"], c.id.as_str());
        assert_eq!(out[0]["pid"], c.pid());
        assert_eq!(out[0]["status"], "running");
        assert_eq!(out[0]["bundle"], c.bundle.to_str().unwrap());
        assert_eq!(out[0]["owner"], "root");
        for key in ["ociVersion", "rootfs", "created"] {
            assert!(out[0][key].is_string(), "no {key} in {out}");
        }
    }
    t.tare(["list", "--format", "xml"]).run().fails();
}

fn list_quiet(t: &Sandbox) {
    let (one, two) = (t.container(), t.container());
    one.create().ok();
    two.create().ok();
    for option in ["--quiet", "-q"] {
        let out = t.tare(["list", option]).run().ok();
        let mut ids: Vec<_> = out.stdout.lines().collect();
        ids.sort_unstable();
        assert_eq!(ids, [&one.id, &two.id]);
    }
}

fn list_empty(t: &Sandbox) {
    // One that was asked for must be there.
    let out = t.tare(["list"]).run().fails();
    assert!(out.stderr.contains("no such file or directory"), "{out}");
    t.dir("root");
    let out = t.tare(["list"]).run().ok();
    assert_eq!(out.stdout.lines().count(), 1);
    t.tare(["list", "-q"]).run().ok().prints("");
    t.tare(["list", "-f", "json"]).run().ok().prints("null");
}

/// None is left out for want of a descriptor.
fn list_of_more_than_can_be_open(t: &Sandbox) {
    let containers: Vec<_> = (0..24).map(|_| t.container()).collect();
    for c in &containers {
        c.create().ok();
    }
    let list = format!("ulimit -n 16; {} list -q", t.tare_words());
    let out = t.command("sh").args(["-c", &list]).run().ok();
    let mut ids: Vec<_> = containers.iter().map(|c| c.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(out.stdout.lines().collect::<Vec<_>>(), ids);
}

/// A container of three processes.
fn three(t: &Sandbox) -> Container<'_> {
    let mut c = t.container();
    c.script("sleep 1001 & sleep 1002 & echo ready; wait");
    let run = c.run_with(&["--detach"]).run().ok();
    wait_for("ready", || run.later().contains("ready"));
    c
}

fn ps_table(t: &Sandbox) {
    let c = three(t);
    let out = c.verb(&["ps"]).run().ok();
    let mut lines = out.stdout.lines();
    let head: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        head,
        ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    );
    assert!(out.stdout.contains(&format!(" {} ", c.pid())), "{out}");
    assert_eq!(lines.count(), 3, "{out}");
}

fn ps_json(t: &Sandbox) {
    let c = three(t);
    let out = c.verb(&["ps", "--format", "json"]).run().ok().json();
    let pids: Vec<_> = out.as_array().unwrap().iter().map(Value::as_i64).collect();
    assert_eq!(pids.len(), 3);
    assert!(pids.contains(&Some(c.pid().into())));
}

fn ps_with_arguments_of_ps(t: &Sandbox) {
    let c = three(t);
    let out = t.tare(["ps", &c.id, "-o", "pid,args"]).run().ok();
    assert!(out.stdout.contains("sleep 1002"), "{out}");
    let out = t.tare(["ps", &c.id, "-e", "-x"]).run().ok();
    assert_eq!(out.stdout.lines().count(), 4, "{out}");
}

fn ps_sees_every_process(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    c.exec_with(&["--detach"], &["sleep", "1003"]).run().ok();
    let out = c.verb(&["ps", "-f", "json"]).run().ok().json();
    assert_eq!(out.as_array().unwrap().len(), 2);
}

fn error_is_printed_once(t: &Sandbox) {
    let out = t.tare(["state", &t.id("nobody")]).run().exits(1);
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
    assert_eq!(out.stdout, "", "{out}");
    let mut c = t.container();
    c.args(["no-such-program"]);
    let out = c.run().fails();
    assert_eq!(out.stderr.lines().count(), 1, "{out}");
}

fn error_goes_to_the_log_and_to_stderr(t: &Sandbox) {
    let log = t.path("log");
    t.tare(["--log", log.to_str().unwrap(), "state", &t.id("nobody")])
        .run()
        .exits(1)
        .says("does not exist");
    assert!(fs::read_to_string(&log).unwrap().contains("does not exist"));
}

fn log_json(t: &Sandbox) {
    let log = t.path("log");
    t.tare(["--log", log.to_str().unwrap(), "--log-format", "json"])
        .args(["state", &t.id("nobody")])
        .run()
        .fails();
    let text = fs::read_to_string(log).unwrap();
    assert_eq!(text.lines().count(), 1);
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("does not exist"));
    let time = line["time"].as_str().unwrap();
    assert!(time.starts_with("20") && time.contains('T'), "{time}");
    // What runc does not have: a code that stays when the words change.
    assert_eq!(line["code"], "not-found");
}

fn log_text(t: &Sandbox) {
    let log = t.path("log");
    t.tare(["--log", log.to_str().unwrap(), "--log-format=text"])
        .args(["state", &t.id("nobody")])
        .run()
        .fails();
    let text = fs::read_to_string(log).unwrap();
    for part in ["time=\"20", "level=error", "msg=\""] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    t.tare(["--log-format", "xml", "list"]).run().fails();
}

fn log_is_appended_to(t: &Sandbox) {
    let log = t.file("log", "what was there\n");
    for _ in 0..2 {
        t.tare(["--log", log.to_str().unwrap(), "state", &t.id("nobody")])
            .run()
            .fails();
    }
    let text = fs::read_to_string(log).unwrap();
    assert!(text.starts_with("what was there\n"));
    assert_eq!(text.lines().count(), 3);
}

fn log_that_cannot_be_opened(t: &Sandbox) {
    let log = t.path("nowhere/log");
    t.tare(["--log", log.to_str().unwrap(), "list"])
        .run()
        .fails()
        .says("nowhere/log");
}

fn debug_says_more(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]).save();
    let log = t.path("log");
    t.tare(["--debug", "--log", log.to_str().unwrap(), "run", "-b"])
        .args([c.bundle.to_str().unwrap(), &c.id])
        .run()
        .ok();
    assert!(fs::read_to_string(log).unwrap().contains("level=debug"));
    assert_eq!(c.run().ok().stderr, "", "and says nothing without it");
}

fn unknown_command_and_flag(t: &Sandbox) {
    t.tare(["no-such-command"]).run().fails();
    let out = t.tare(["state", "--no-such-flag", "x"]).run().fails();
    assert!(format!("{out}").contains("no-such-flag"), "{out}");
}

fn misuse_is_in_the_log(t: &Sandbox) {
    let log = t.path("log");
    t.tare(["--log", log.to_str().unwrap(), "--log-format", "json"])
        .args(["state", "--no-such-flag", "x"])
        .run()
        .exits(1)
        .says("no-such-flag");
    let line: Value = serde_json::from_str(&fs::read_to_string(log).unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert!(line["msg"].as_str().unwrap().contains("no-such-flag"));
}

/// What Go's flag package takes: one dash, a switch's value, the last of two.
fn flags_in_gos_forms(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    t.tare(["-debug=false", "list", "-format", "json"])
        .run()
        .ok()
        .json();
    for rootless in ["false", "auto", "FALSE", "0"] {
        t.tare(["--rootless", rootless, "list"]).run().ok();
    }
    t.tare(["--root", t.root().to_str().unwrap(), "list", "-q"])
        .run()
        .ok()
        .prints(&c.id);
    let env = ["-env", "A=1", "-e", "B=2", "--tty=false"];
    c.exec_with(&env, &["sh", "-c", "echo $A$B"])
        .run()
        .ok()
        .prints("12");
}

fn missing_argument(t: &Sandbox) {
    for verb in [
        "create", "start", "state", "kill", "delete", "exec", "pause", "ps",
    ] {
        t.tare([verb]).run().fails();
    }
    t.tare(["state", "one", "two"]).run().fails();
}

fn help_of_every_command(t: &Sandbox) {
    let verbs = [
        "create", "start", "state", "run", "exec", "kill", "delete", "list", "ps", "pause",
        "resume", "spec", "features",
    ];
    let all = t.tare(["--help"]).run().ok();
    for verb in verbs {
        assert!(all.stdout.contains(verb), "no {verb} in {all}");
        let help = t.tare([verb, "--help"]).run().ok();
        assert!(help.stdout.contains(verb), "{help}");
    }
}

fn version_has_runcs_lines(t: &Sandbox) {
    for option in ["--version", "-v"] {
        let out = t.tare([option]).run().ok();
        assert!(out.stdout.contains(" version "), "{out}");
        // containerd and Docker read the line that begins with this word.
        assert!(
            out.stdout.lines().any(|line| line.starts_with("spec: 1.")),
            "{out}"
        );
    }
}

fn spec_writes_a_config_that_runs(t: &Sandbox) {
    let mut c = t.container();
    fs::remove_file(c.bundle.join("config.json")).ok();
    t.tare(["spec", "--bundle", c.bundle.to_str().unwrap()])
        .run()
        .ok();
    let text = fs::read_to_string(c.bundle.join("config.json")).unwrap();
    c.config = serde_json::from_str(&text).unwrap();
    assert_eq!(c.config["process"]["args"], json!(["sh"]));
    assert_eq!(c.config["process"]["terminal"], true);
    let path = host::cgroups_path(&c.id);
    c.set("/process/terminal", json!(false))
        .set("/linux/cgroupsPath", json!(path));
    c.script("hostname; test -c /dev/null && test -d /proc/1 && echo fine");
    let out = c.run().ok();
    assert!(out.stdout.ends_with("\nfine\n"), "{out}");
    assert_eq!(out.stderr, "");
}

fn spec_does_not_overwrite(t: &Sandbox) {
    let dir = t.dir("bundle");
    t.tare(["spec"]).cwd(&dir).run().ok();
    t.tare(["spec"]).cwd(&dir).run().fails().says("exists");
}

fn spec_rootless(t: &Sandbox) {
    let dir = t.dir("bundle");
    t.tare(["spec", "--rootless", "-b", dir.to_str().unwrap()])
        .run()
        .ok();
    let text = fs::read_to_string(dir.join("config.json")).unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["linux"]["uidMappings"][0]["containerID"], 0);
    let kinds: Vec<_> = config["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|namespace| namespace["type"].as_str().unwrap())
        .collect();
    assert!(
        kinds.contains(&"user") && !kinds.contains(&"network"),
        "{kinds:?}"
    );
}

fn features_is_json(t: &Sandbox) {
    let features = t.tare(["features"]).run().ok().json();
    assert_eq!(features["ociVersionMin"], "1.0.0");
    assert!(
        features["ociVersionMax"]
            .as_str()
            .unwrap()
            .starts_with("1.3")
    );
    for hook in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
        "poststop",
    ] {
        assert!(features["hooks"].as_array().unwrap().contains(&json!(hook)));
    }
    let linux = &features["linux"];
    for kind in [
        "cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts",
    ] {
        assert!(
            linux["namespaces"]
                .as_array()
                .unwrap()
                .contains(&json!(kind))
        );
    }
    assert!(
        linux["capabilities"]
            .as_array()
            .unwrap()
            .contains(&json!("CAP_SYS_ADMIN"))
    );
    assert_eq!(linux["cgroup"]["v1"], true);
    for option in ["rro", "tmpcopyup", "rbind", "nosymfollow"] {
        assert!(
            features["mountOptions"]
                .as_array()
                .unwrap()
                .contains(&json!(option)),
            "{option}"
        );
    }
}

/// The phases that a log tells of, and how long each took, in milliseconds.
fn phases(log: &str) -> Vec<(String, f64)> {
    let lines = log.lines().filter_map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        let (name, time) = record["msg"]
            .as_str()?
            .strip_prefix("timing: ")?
            .rsplit_once(": ")?;
        Some((name.to_owned(), time.strip_suffix(" ms")?.parse().unwrap()))
    });
    lines.collect()
}

fn timing(t: &Sandbox) {
    let mut c = t.container();
    c.script("sleep 0.5").save();
    let log = t.path("log");
    let (log_path, bundle) = (log.to_str().unwrap(), c.bundle.to_str().unwrap());
    let flags = ["--timing", "--log-format", "json", "--log", log_path];
    let run = t.tare(flags).args(["run", "--bundle", bundle, &c.id]);
    run.run().ok().prints("");
    let phases = phases(&fs::read_to_string(&log).unwrap());
    let (last, rest) = phases.split_last().unwrap();
    assert_eq!(last.0, "all of it");
    assert!(rest.len() > 10, "{phases:?}");
    for name in [
        "reading and checking config.json",
        "making the cgroups",
        "executing the program",
    ] {
        assert!(rest.iter().any(|(phase, _)| phase == name), "{phases:?}");
    }
    let waited = rest
        .iter()
        .find(|(name, _)| name == "waiting for the process to end");
    // Some of the time may have gone by before it was seen that the program is executed.
    assert!(waited.unwrap().1 >= 250.0, "{phases:?}");
    let sum: f64 = rest.iter().map(|(_, time)| time).sum();
    assert!(sum <= last.1 && sum > 0.5 * last.1, "{phases:?}");
}

fn timing_by_environment(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let exec = || c.exec_with(&[], &["true"]);
    assert_eq!(exec().run().ok().stderr, "");
    let out = exec().env("TARE_TIMING", "1").run().ok();
    assert!(
        out.stderr.contains("timing: executing the program: "),
        "{out}"
    );
    assert_eq!(exec().env("TARE_TIMING", "").run().ok().stderr, "");
}

/// An empty value is none: scripts pass variables that may not be set.
fn empty_values_of_flags(t: &Sandbox) {
    let mut c = t.container();
    c.args(["true"]);
    c.run_with(&["--pid-file", "", "--console-socket=", "--pidfd-socket", ""])
        .run()
        .ok();
    t.tare(["--log", "", "list"]).run().ok();
    t.tare(["list", "--format", ""]).run().exits(1);
}
