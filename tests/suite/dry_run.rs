//! `create --dry-run`: says what would be done, does none of it, and is right.

use crate::harness::{Container, Sandbox, tests};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

tests![
    nothing_is_made,
    steps_as_text,
    steps_as_json,
    limits_are_those_that_create_sets,
    refuses_what_create_refuses,
    of_run,
];

fn steps(c: &Container) -> Vec<Value> {
    let out = c.create_with(&["--dry-run=json"]).run().ok().json();
    assert_eq!(out["id"], c.id.as_str());
    assert_eq!(out["bundle"], c.bundle.to_str().unwrap());
    out["steps"].as_array().unwrap().clone()
}

fn nothing_is_made(t: &Sandbox) {
    let mut c = t.container();
    let touched = t.path("touched");
    let hook = json!([{"path": "/usr/bin/touch", "args": ["touch", touched]}]);
    for kind in ["prestart", "createRuntime", "createContainer", "poststop"] {
        c.set(&format!("/hooks/{kind}"), hook.clone());
    }
    c.set("/linux/resources/memory", json!({"limit": 64 << 20}));
    let pid_file = t.path("pid");
    c.create_with(&["--dry-run", "--pid-file", pid_file.to_str().unwrap()])
        .run()
        .ok();
    assert!(!t.root().exists() && !touched.exists() && !pid_file.exists());
    t.assert_nothing_left();
}

fn steps_as_text(t: &Sandbox) {
    let mut c = t.container();
    c.args(["echo", "two words"]);
    let out = c.create_with(&["--dry-run"]).run().ok();
    let first = format!("container {} of {}", c.id, c.bundle.display());
    assert_eq!(out.stdout.lines().next(), Some(first.as_str()));
    let mut rest = out.stdout.as_str();
    // In this order.
    for step in [
        "create  make the state directory",
        "create  start the init stage with new namespaces: pid, mount, network, ipc, uts  [linux.namespaces]",
        "init    set the host name tare  [hostname]",
        "init    open the rootfs",
        "init    mount proc proc at /proc  [mounts[0]]",
        "init    mount tmpfs tmpfs at /dev (nosuid,strictatime,mode=755,size=65536k)  [mounts[1]]",
        "init    make the device /dev/null, 1:3, mode 0666, of 0:0\n",
        "init    hide /proc/acpi  [linux.maskedPaths[0]]",
        "init    make the rootfs the root, by pivot_root",
        "init    become user 0 and group 0  [process.user]",
        "init    set no_new_privs  [process.noNewPrivileges]",
        "init    wait for start",
        "start   set RLIMIT_NOFILE to 1024, at most 1024  [process.rlimits]",
        "start   execute \"echo\" \"two words\" in /  [process.args]",
    ] {
        let at = rest
            .find(step)
            .unwrap_or_else(|| panic!("no {step:?} after that in {out}"));
        rest = &rest[at..];
    }
}

fn steps_as_json(t: &Sandbox) {
    let mut c = t.container();
    c.mount(
        "/data",
        "none",
        t.dir("data").to_str().unwrap(),
        &["rbind", "ro"],
    );
    c.set("/hooks/poststop", json!([{"path": "/bin/true"}]));
    let mounts = c.config["mounts"].as_array().unwrap().len();
    let steps = steps(&c);
    for index in 0..mounts {
        let from = format!("mounts[{index}]");
        let of_it = steps.iter().filter(|step| step["from"] == from.as_str());
        assert_eq!(of_it.count(), 1, "{from} in {steps:?}");
    }
    let bind = format!(
        "bind {} and what is mounted below to /data (ro)",
        t.path("data").display()
    );
    assert!(
        steps.iter().any(|step| step["what"] == bind.as_str()),
        "{steps:?}"
    );
    let last = steps.last().unwrap();
    assert_eq!(
        *last,
        json!({"by": "delete", "what": "run the hook /bin/true", "from": "hooks.poststop[0]"})
    );
    let by: Vec<_> = steps
        .iter()
        .map(|step| step["by"].as_str().unwrap())
        .collect();
    assert!(
        by.iter()
            .all(|by| ["create", "init", "start", "delete"].contains(by))
    );
}

fn limits_are_those_that_create_sets(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/resources",
        json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 77},
               "cpu": {"shares": 2048, "quota": 50_000, "period": 200_000}}),
    );
    let writes: Vec<(String, String)> = steps(&c)
        .iter()
        .filter_map(|step| {
            let (value, file) = step["what"]
                .as_str()?
                .strip_prefix("write \"")?
                .split_once("\" to ")?;
            assert!(
                step["from"]
                    .as_str()
                    .unwrap()
                    .starts_with("linux.resources.")
            );
            Some((value.to_owned(), file.to_owned()))
        })
        .collect();
    assert!(writes.len() >= 3, "{writes:?}");
    assert!(writes.iter().all(|(_, file)| !Path::new(file).exists()));
    c.create().ok();
    for (value, file) in writes {
        let text = fs::read_to_string(&file).unwrap();
        assert_eq!(text.trim(), value, "{file}");
    }
}

fn refuses_what_create_refuses(t: &Sandbox) {
    let wrong: [(&str, Value, &str); 4] = [
        ("/process/cwd", json!("rel"), "process.cwd"),
        ("/root/path", json!("nowhere"), "root.path"),
        (
            "/linux/namespaces/1",
            json!({"type": "network", "path": "/nowhere"}),
            "/nowhere",
        ),
        (
            "/linux/resources",
            json!({"unified": {"a/b": "c"}}),
            "linux.resources.unified",
        ),
    ];
    for (pointer, value, words) in wrong {
        let mut c = t.container();
        c.set(pointer, value);
        c.create_with(&["--dry-run"])
            .run()
            .exits(1)
            .says(words)
            .prints("");
    }
    let c = t.container();
    c.create().ok();
    c.create_with(&["--dry-run"])
        .run()
        .exits(1)
        .says("already exists");
}

fn of_run(t: &Sandbox) {
    let mut c = t.container();
    c.set("/process/terminal", json!(true)).args(["true"]);
    let out = c.run_with(&["--dry-run=text"]).run().ok();
    assert!(
        out.stdout.contains("make a terminal  [process.terminal]"),
        "{out}"
    );
    // As create would: nobody would take the terminal.
    c.create_with(&["--dry-run"])
        .run()
        .exits(1)
        .says("console socket");
    assert!(!t.root().exists());
}
