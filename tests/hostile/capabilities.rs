//! T5, the capability audit: the five sets of every kind of process over every kind of config,
//! compared with what capabilities(7) makes of it. Nothing is inheritable that the config does
//! not make so, and what it does not mention is not there.

use crate::harness::{Container, Output, Sandbox, tests};
use serde_json::{Value, json};

tests![
    cve_2016_8867_sets_of_a_user,
    cve_2022_24769_spec_has_nothing_inheritable,
    cve_2022_27650_exec_cap_is_not_inheritable,
    cve_2022_29162_exec_cap_over_all_configs,
    cve_2025_27612_exec_of_a_process_file,
    bounding_set_without_one_in_the_config,
    sets_of_run_over_all_configs,
    capability_unknown_is_a_warning,
];

/// The five sets in the order of /proc/PID/status: Inh, Prm, Eff, Bnd, Amb.
type Sets = [u64; 5];

#[track_caller]
fn sets(status: &str) -> Sets {
    let values: Vec<_> = status
        .lines()
        .filter(|line| line.starts_with("Cap"))
        .map(|line| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap())
        .collect();
    values.try_into().unwrap()
}

const STATUS: [&str; 2] = ["cat", "/proc/self/status"];
const CHOWN: u64 = 1;
const KILL: u64 = 1 << 5;
const SETUID: u64 = 1 << 7;
const NET_ADMIN: u64 = 1 << 12;

fn names(set: u64) -> Value {
    let all = [
        (CHOWN, "CAP_CHOWN"),
        (KILL, "CAP_KILL"),
        (SETUID, "CAP_SETUID"),
        (NET_ADMIN, "CAP_NET_ADMIN"),
    ];
    let names: Vec<_> = all
        .iter()
        .filter(|(bit, _)| set & bit != 0)
        .map(|(_, name)| name)
        .collect();
    json!(names)
}

/// What the config says of each set; `None` is a set that it does not mention.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    bounding: Option<u64>,
    permitted: Option<u64>,
    effective: Option<u64>,
    inheritable: Option<u64>,
    ambient: Option<u64>,
}

impl Wanted {
    /// Each set absent, empty, or with something in it that the others need not have.
    fn all() -> Vec<Self> {
        let choices = |full| [None, Some(0), Some(full)];
        let mut all = Vec::new();
        for bounding in choices(CHOWN | KILL | SETUID) {
            for permitted in choices(CHOWN | KILL) {
                for effective in choices(KILL) {
                    for inheritable in choices(KILL) {
                        for ambient in choices(KILL) {
                            all.push(Self {
                                bounding,
                                permitted,
                                effective,
                                inheritable,
                                ambient,
                            });
                        }
                    }
                }
            }
        }
        all
    }

    fn json(self) -> Value {
        let mut sets = json!({});
        for (key, set) in [
            ("bounding", self.bounding),
            ("permitted", self.permitted),
            ("effective", self.effective),
            ("inheritable", self.inheritable),
            ("ambient", self.ambient),
        ] {
            if let Some(set) = set {
                sets[key] = names(set);
            }
        }
        sets
    }

    /// With what `exec --cap` adds: to every set but the inheritable one, to the ambient one what
    /// is in that already.
    fn with(self, added: u64) -> Self {
        let add = |set: Option<u64>| Some(set.unwrap_or(0) | added);
        Self {
            bounding: add(self.bounding),
            permitted: add(self.permitted),
            effective: add(self.effective),
            ambient: Some(self.ambient.unwrap_or(0) | added & self.inheritable.unwrap_or(0)),
            ..self
        }
    }

    /// What the kernel makes of it at the execve of a program without capabilities of its own
    /// (capabilities(7), "Transformation of capabilities during execve()"); nothing where it
    /// refuses, as what is not in the bounding set cannot be made inheritable.
    fn expected(self, uid: u32, no_new_privileges: bool) -> Option<Sets> {
        let set = |set: Option<u64>| set.unwrap_or(0);
        let (bounding, inheritable) = (set(self.bounding), set(self.inheritable));
        if inheritable & !bounding != 0 {
            return None;
        }
        let ambient = set(self.ambient) & set(self.permitted) & inheritable;
        let gained = match (uid, no_new_privileges) {
            (0, true) => bounding & set(self.permitted) | ambient,
            (0, false) => bounding,
            _ => ambient,
        };
        Some([inheritable, gained, gained, bounding, ambient])
    }
}

fn container(t: &Sandbox, uid: u32, capabilities: Value, no_new_privileges: bool) -> Container<'_> {
    let mut c = t.container();
    c.set("/process/user", json!({"uid": uid, "gid": uid}));
    c.set("/process/capabilities", capabilities);
    c.set("/process/noNewPrivileges", json!(no_new_privileges));
    c
}

/// The same in every process, or none where the kernel refuses.
#[track_caller]
fn assert_sets(out: &Output, expected: Option<Sets>, case: &str) {
    match expected {
        Some(expected) => {
            assert_eq!(out.status, 0, "{case}: {out}");
            assert_eq!(sets(&out.stdout), expected, "{case}");
        }
        None => {
            assert_ne!(out.status, 0, "{case}: {out}");
            assert!(out.stderr.contains("process.capabilities"), "{case}: {out}");
        }
    }
}

const USERS: [(u32, bool); 4] = [(0, true), (0, false), (1000, true), (1000, false)];

fn sets_of_run_over_all_configs(t: &Sandbox) {
    for wanted in Wanted::all() {
        for (uid, no_new_privileges) in USERS {
            let mut c = container(t, uid, wanted.json(), no_new_privileges);
            let out = c.args(STATUS).run();
            let case = format!("{wanted:?}, uid {uid}, no_new_privs {no_new_privileges}");
            assert_sets(&out, wanted.expected(uid, no_new_privileges), &case);
        }
    }
}

fn cve_2022_29162_exec_cap_over_all_configs(t: &Sandbox) {
    for wanted in Wanted::all() {
        if wanted.expected(0, true).is_none() {
            continue;
        }
        let mut c = container(t, 0, wanted.json(), false);
        c.run_sleeping();
        for uid in ["0", "1000"] {
            let number = uid.parse().unwrap();
            let out = c.exec_with(&["--user", uid], &STATUS).run();
            assert_sets(
                &out,
                wanted.expected(number, false),
                &format!("{wanted:?}, {uid}"),
            );
            let with = wanted.with(NET_ADMIN);
            let options = ["--user", uid, "--cap", "CAP_NET_ADMIN"];
            let out = c.exec_with(&options, &STATUS).run();
            let case = format!("{wanted:?}, {uid}, --cap");
            assert_sets(&out, with.expected(number, false), &case);
        }
        c.delete_force().ok();
    }
}

/// crun's was the flag alone, and the config of `spec`.
fn cve_2022_27650_exec_cap_is_not_inheritable(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    for options in [
        &["--cap", "CAP_NET_ADMIN"][..],
        &["-c", "CAP_NET_ADMIN"],
        &["--cap", "CAP_NET_ADMIN", "--user", "1000"],
    ] {
        let [inheritable, _, _, bounding, _] =
            sets(&c.exec_with(options, &STATUS).run().ok().stdout);
        assert_eq!((inheritable, bounding & NET_ADMIN), (0, NET_ADMIN));
    }
}

/// The library that had the fault took a process's capabilities by themselves.
fn cve_2025_27612_exec_of_a_process_file(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    for wanted in Wanted::all() {
        let process = json!({
            "user": {"uid": 0, "gid": 0},
            "args": STATUS,
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": wanted.json(),
        });
        let file = t.file("process.json", &process.to_string());
        let out = t
            .tare(["exec", "--process", file.to_str().unwrap(), &c.id])
            .run();
        assert_sets(&out, wanted.expected(0, false), &format!("{wanted:?}"));
    }
}

/// The capabilities that made containers' users as powerful as their root.
fn cve_2016_8867_sets_of_a_user(t: &Sandbox) {
    let both = json!(["CAP_KILL", "CAP_CHOWN"]);
    let capabilities = json!({"bounding": both, "permitted": both, "effective": both});
    let mut c = container(t, 1000, capabilities, true);
    let found = sets(&c.args(STATUS).run().ok().stdout);
    assert_eq!(found, [0, 0, 0, KILL | CHOWN, 0]);
    c.set("/process/user", json!({"uid": 0, "gid": 0}))
        .run_sleeping();
    let found = sets(&c.exec_with(&["--user", "1000"], &STATUS).run().ok().stdout);
    assert_eq!(found, [0, 0, 0, KILL | CHOWN, 0]);
}

fn cve_2022_24769_spec_has_nothing_inheritable(t: &Sandbox) {
    for options in [&["spec"][..], &["spec", "--rootless"]] {
        let dir = t.dir(options.last().unwrap());
        t.tare(options).cwd(&dir).run().ok();
        let text = std::fs::read_to_string(dir.join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        let sets = config["process"]["capabilities"].as_object().unwrap();
        let inheritable = sets.get("inheritable").and_then(Value::as_array);
        assert!(inheritable.is_none_or(Vec::is_empty), "{text}");
    }
}

/// The fault that youki had (#3434): no bounding set in the config left the host's in place.
fn bounding_set_without_one_in_the_config(t: &Sandbox) {
    for uid in [0, 1000] {
        let mut c = container(t, uid, json!({}), true);
        assert_eq!(sets(&c.args(STATUS).run().ok().stdout), [0; 5]);
        c.unset("/process/capabilities");
        assert_eq!(sets(&c.run().ok().stdout), [0; 5]);
        c.run_sleeping();
        assert_eq!(sets(&c.exec(&STATUS).ok().stdout), [0; 5]);
    }
}

fn capability_unknown_is_a_warning(t: &Sandbox) {
    let mut c = t.container();
    c.push("/process/capabilities/bounding", json!("CAP_OF_TOMORROW"));
    c.args(["echo", "ran"]);
    c.run().ok().says("CAP_OF_TOMORROW").prints("ran");
}
