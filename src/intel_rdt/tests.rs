//! On a made-up tree. What the kernel does by itself, such as files that appear in new
//! directories and vanish with them, is done here by hand.

#![allow(clippy::unwrap_used)]

use super::*;
use serde_json::{Value, json};
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

struct Tree(PathBuf);

impl Tree {
    /// With a class "gold" and its default one.
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tare-resctrl-{}-{count}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(root.join("info")).unwrap();
        fs::create_dir_all(root.join("gold/mon_groups")).unwrap();
        fs::write(root.join("gold/schemata"), "L3:0=ff;1=ff\nMB:0=50;1=50\n").unwrap();
        fs::write(root.join("info/last_cmd_status"), "ok\n").unwrap();
        Self(root)
    }

    fn plan(&self, rdt: Value) -> Result<(Groups, IntelRdt)> {
        let rdt = serde_json::from_value(rdt).unwrap();
        Groups::planned_in(self.0.clone(), &rdt, "id1").map(|groups| (groups, rdt))
    }

    fn make(&self, rdt: Value) -> Result<Groups> {
        let (groups, rdt) = self.plan(rdt)?;
        groups.make(&rdt).map(|()| groups)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    /// What a class's directory takes with it when it is removed.
    fn empty(&self, class: &str) {
        for file in ["schemata", "tasks"] {
            let _ = fs::remove_file(self.0.join(class).join(file));
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn without_a_name_the_class_is_the_containers() {
    let tree = Tree::new();
    let groups = tree
        .make(json!({"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20"}))
        .unwrap();
    assert_eq!(tree.read("id1/schemata"), "L3:0=f\nMB:0=20\n");
    groups.add(4711).unwrap();
    assert_eq!(tree.read("id1/tasks"), "4711\n");
    let stored: Groups = serde_json::from_str(&serde_json::to_string(&groups).unwrap()).unwrap();
    assert_eq!(stored, groups);
    tree.empty("id1");
    stored.remove().unwrap();
    assert!(!tree.has("id1"));
    stored.remove().unwrap();
}

#[test]
fn an_empty_object_is_a_class_with_nothing_written_to_it() {
    let tree = Tree::new();
    let groups = tree.make(json!({})).unwrap();
    assert!(tree.has("id1") && !tree.has("id1/schemata"));
    groups.add(4711).unwrap();
    assert_eq!(tree.read("id1/tasks"), "4711\n");
}

#[test]
fn a_named_class_is_used_as_it_is_and_stays() {
    let tree = Tree::new();
    let groups = tree.make(json!({"closID": "gold"})).unwrap();
    groups.add(4711).unwrap();
    assert_eq!(tree.read("gold/tasks"), "4711\n");
    groups.remove().unwrap();
    assert!(tree.has("gold"));
    let error = tree
        .plan(json!({"closID": "silver"}))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("linux.intelRdt.closID: there is no"),
        "{error}"
    );
}

#[test]
fn a_named_class_that_is_there_must_match() {
    let tree = Tree::new();
    let with = |schema: &str| tree.make(json!({"closID": "gold", "l3CacheSchema": schema}));
    with("L3:0=0ff").unwrap();
    let error = with("L3:0=f").unwrap_err().to_string();
    assert!(error.contains("with L3:0=ff and not f"), "{error}");
    let schemata = json!({"closID": "gold", "schemata": ["MB:0=50", "L3:1=1"]});
    assert!(
        tree.make(schemata)
            .unwrap_err()
            .to_string()
            .contains("L3:1=ff")
    );
    assert_eq!(tree.read("gold/schemata"), "L3:0=ff;1=ff\nMB:0=50;1=50\n");
}

#[test]
fn a_named_class_that_was_made_goes_when_nobody_is_in_it() {
    let tree = Tree::new();
    let groups = tree
        .make(json!({"closID": "silver", "schemata": ["L3:0=3"]}))
        .unwrap();
    assert_eq!(tree.read("silver/schemata"), "L3:0=3\n");
    fs::write(tree.0.join("silver/tasks"), "17\n").unwrap();
    groups.remove().unwrap();
    assert!(tree.has("silver"));
    fs::write(tree.0.join("silver/tasks"), "").unwrap();
    // Here the files keep the directory, which the kernel's do not.
    let error = groups.remove().unwrap_err();
    assert_eq!(error.errno(), Some(Errno::NOTEMPTY.raw_os_error()));
}

#[test]
fn the_default_class_is_the_root() {
    let tree = Tree::new();
    let groups = tree.make(json!({"closID": "/"})).unwrap();
    groups.add(4711).unwrap();
    assert_eq!(tree.read("tasks"), "4711\n");
    groups.remove().unwrap();
    assert!(tree.has("gold"));
}

#[test]
fn monitoring_is_a_group_of_its_own() {
    let tree = Tree::new();
    let groups = tree
        .make(json!({"closID": "gold", "enableMonitoring": true}))
        .unwrap();
    groups.add(4711).unwrap();
    assert_eq!(tree.read("gold/tasks"), "4711\n");
    assert_eq!(tree.read("gold/mon_groups/id1/tasks"), "4711\n");
    tree.empty("gold/mon_groups/id1");
    groups.remove().unwrap();
    assert!(tree.has("gold/mon_groups") && !tree.has("gold/mon_groups/id1"));
}

#[test]
fn updates_are_written_and_taken_back() {
    let tree = Tree::new();
    let groups = tree.make(json!({"closID": "gold"})).unwrap();
    let change = serde_json::from_value(json!({"l3CacheSchema": "L3:0=7"})).unwrap();
    let before = groups.update(&change).unwrap();
    assert_eq!(tree.read("gold/schemata"), "L3:0=7\n");
    groups.restore(&before).unwrap();
    assert_eq!(tree.read("gold/schemata"), "L3:0=ff;1=ff\nMB:0=50;1=50\n");
}

#[test]
fn all_threads_of_those_that_run_are_added() {
    let tree = Tree::new();
    let groups = tree.make(json!({"closID": "gold"})).unwrap();
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let looks = AtomicU32::new(0);
    let processes = || {
        looks.fetch_add(1, Ordering::Relaxed);
        Ok(vec![own])
    };
    groups.add_running(processes).unwrap();
    assert!(looks.into_inner() >= 2);
    let last: i32 = tree.read("gold/tasks").trim().parse().unwrap();
    assert!(threads(own).contains(&last) || last > 0);
}

#[test]
fn a_refusal_says_what_the_kernel_says() {
    let tree = Tree::new();
    fs::create_dir_all(tree.0.join("id1/schemata")).unwrap();
    let error = tree
        .make(json!({"l3CacheSchema": "L3:0=0"}))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("linux.intelRdt: writing \"L3:0=0\" to"),
        "{error}"
    );
    fs::write(tree.0.join("info/last_cmd_status"), "Mask out of range\n").unwrap();
    let error = explained(&tree.0, Error::new(Code::System, "writing")).to_string();
    assert_eq!(error, "writing (Mask out of range)");
}
