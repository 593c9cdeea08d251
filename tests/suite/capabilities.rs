//! The five capability sets (class T5 of the known escapes), as /proc/PID/status shows them.

use crate::harness::{Sandbox, tests};
use serde_json::json;

tests![
    capabilities_of_root,
    capabilities_of_user,
    capabilities_of_user_ambient,
    capabilities_absent,
    capability_unknown_is_a_warning,
];

/// The five sets in the order of /proc/PID/status: Inh, Prm, Eff, Bnd, Amb.
fn sets(out: &str) -> [u64; 5] {
    let values: Vec<_> = out
        .lines()
        .filter(|line| line.starts_with("Cap"))
        .map(|line| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap())
        .collect();
    values.try_into().unwrap()
}

const KILL: u64 = 1 << 5;

const SETUID: u64 = 1 << 7;

const CHOWN: u64 = 1;

fn with_sets(t: &Sandbox, uid: u32, capabilities: serde_json::Value) -> [u64; 5] {
    let mut c = t.container();
    c.set("/process/user", json!({"uid": uid, "gid": uid}));
    c.set("/process/capabilities", capabilities);
    c.args(["cat", "/proc/self/status"]);
    sets(&c.run().ok().stdout)
}

fn capabilities_of_root(t: &Sandbox) {
    let names = json!(["CAP_KILL", "CAP_CHOWN"]);
    let found = with_sets(
        t,
        0,
        json!({"bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID"], "permitted": names,
               "effective": names, "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}),
    );
    let both = KILL | CHOWN;
    // Executing as root would give all of the bounding set, but for no_new_privs.
    assert_eq!(found, [KILL, both, both, both | SETUID, KILL]);
}

/// CVE-2016-8867: nothing of the permitted set survives the execution as a user.
fn capabilities_of_user(t: &Sandbox) {
    let names = json!(["CAP_KILL", "CAP_CHOWN"]);
    let found = with_sets(
        t,
        1000,
        json!({"bounding": names, "permitted": names, "effective": names}),
    );
    assert_eq!(found, [0, 0, 0, KILL | CHOWN, 0]);
}

fn capabilities_of_user_ambient(t: &Sandbox) {
    let names = json!(["CAP_KILL", "CAP_CHOWN"]);
    let found = with_sets(
        t,
        1000,
        json!({"bounding": names, "permitted": names, "effective": names,
               "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL"]}),
    );
    assert_eq!(found, [KILL, KILL, KILL, KILL | CHOWN, KILL]);
}

/// The fault that youki had: no bounding set in the config left the host's in place.
fn capabilities_absent(t: &Sandbox) {
    for uid in [0, 1000] {
        assert_eq!(with_sets(t, uid, json!({})), [0; 5]);
        let empty = json!({"bounding": [], "effective": [], "permitted": []});
        assert_eq!(with_sets(t, uid, empty), [0; 5]);
    }
    let mut c = t.container();
    c.unset("/process/capabilities")
        .args(["cat", "/proc/self/status"]);
    assert_eq!(sets(&c.run().ok().stdout), [0; 5]);
}

fn capability_unknown_is_a_warning(t: &Sandbox) {
    let mut c = t.container();
    c.push("/process/capabilities/bounding", json!("CAP_OF_TOMORROW"));
    c.args(["echo", "ran"]);
    c.run().ok().says("CAP_OF_TOMORROW").prints("ran");
}
