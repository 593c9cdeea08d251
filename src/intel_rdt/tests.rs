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
    groups.add_further(4712).unwrap();
    assert_eq!(tree.read("gold/tasks"), "4712\n");
    fs::remove_dir_all(tree.0.join("gold")).unwrap();
    groups.add_further(4713).unwrap();
    assert!(!tree.has("gold"));
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
    assert_eq!(error.errno(), Some(Errno::NOTEMPTY));
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
fn who_comes_from_elsewhere_all_the_time_is_an_error() {
    let tree = Tree::new();
    let groups = tree.make(json!({})).unwrap();
    let children = std::cell::RefCell::new(Vec::new());
    let processes = || {
        let child = std::process::Command::new("sleep").arg("60").spawn();
        children.borrow_mut().push(child.unwrap());
        let children = children.borrow();
        Ok(children.iter().map(|child| child.id() as i32).collect())
    };
    let error = groups.add_running(processes).unwrap_err();
    for mut child in children.into_inner() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(error.code(), Code::Timeout);
}

#[test]
fn who_is_in_is_not_added_again() {
    let tree = Tree::new();
    let groups = tree.make(json!({})).unwrap();
    let all: String = threads(1).iter().map(|id| format!("{id}\n")).collect();
    let all = format!("{all}0\n");
    fs::write(tree.0.join("id1/tasks"), &all).unwrap();
    groups.add_running(|| Ok(vec![1])).unwrap();
    assert_eq!(tree.read("id1/tasks"), all);
}

#[test]
fn what_an_update_left_out_is_made_up_for() {
    let tree = Tree::new();
    let (groups, _) = tree.plan(json!({})).unwrap();
    let own = std::process::id() as i32;
    // Recorded, and not made; then made, with nobody in it.
    for _ in 0..2 {
        groups.complete(|| Ok(vec![own])).unwrap();
        assert!(!tree.read("id1/tasks").is_empty());
        fs::write(tree.0.join("id1/tasks"), "").unwrap();
    }
    let (named, _) = tree.plan(json!({"closID": "gold"})).unwrap();
    named.complete(|| Ok(vec![own])).unwrap();
    assert!(!tree.has("gold/tasks"));
}

#[test]
fn a_class_of_the_containers_name_is_not_its_own() {
    let tree = Tree::new();
    let (groups, none) = tree.plan(json!({})).unwrap();
    fs::create_dir(tree.0.join("id1")).unwrap();
    let refused = tree.plan(json!({"l3CacheSchema": "L3:0=f"})).unwrap_err();
    assert_eq!(refused.code(), Code::Exists);
    // One that came in the meantime.
    assert_eq!(groups.make(&none).unwrap_err().code(), Code::Exists);
    assert!(!tree.has("id1/schemata"));
    tree.make(json!({"closID": "id1"})).unwrap();
}

#[test]
fn a_refusal_says_what_the_kernel_says() {
    let tree = Tree::new();
    let groups = tree.make(json!({"closID": "gold"})).unwrap();
    fs::remove_file(tree.0.join("gold/schemata")).unwrap();
    fs::create_dir(tree.0.join("gold/schemata")).unwrap();
    let error = groups.restore("L3:0=0").unwrap_err().to_string();
    assert!(
        error.starts_with("linux.intelRdt: writing \"L3:0=0\" to"),
        "{error}"
    );
    fs::write(tree.0.join("info/last_cmd_status"), "Mask out of range\n").unwrap();
    let error = explained(&tree.0, Error::new(Code::System, "writing")).to_string();
    assert_eq!(error, "writing (Mask out of range)");
}

#[test]
fn statistics_are_runcs() {
    let tree = Tree::new();
    let write = |path: &str, text: &str| {
        let path = tree.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("schemata", "    L3:0=fffff;1=fffff\n    MB:0=100;1=100\n");
    write("info/L3/cbm_mask", "fffff\n");
    write("info/L3/min_cbm_bits", "1\n");
    write("info/L3/num_closids", "16\n");
    write(
        "info/L3_MON/mon_features",
        "llc_occupancy\nmbm_total_bytes\n",
    );
    for (cache, used, bytes) in [
        ("mon_L3_00", "4096\n", "7\n"),
        ("mon_L3_01", "Unavailable\n", "8\n"),
    ] {
        let dir = format!("gold/mon_groups/id1/mon_data/{cache}");
        write(&format!("{dir}/llc_occupancy"), used);
        write(&format!("{dir}/mbm_total_bytes"), bytes);
    }
    let (groups, _) = tree
        .plan(json!({"closID": "gold", "enableMonitoring": true}))
        .unwrap();
    // No MB: this machine does not allot bandwidth.
    assert_eq!(
        serde_json::to_value(groups.stats().unwrap()).unwrap(),
        json!({
            "l3_cache_info": {"cbm_mask": "fffff", "min_cbm_bits": 1, "num_closids": 16},
            "l3_cache_schema_root": "L3:0=fffff;1=fffff",
            "l3_cache_schema": "L3:0=ff;1=ff",
            "mbm_stats": [{"mbm_total_bytes": 7, "mbm_local_bytes": 0},
                          {"mbm_total_bytes": 8, "mbm_local_bytes": 0}],
            "cmt_stats": [{"llc_occupancy": 4096}, {"llc_occupancy": 0}],
        })
    );
    let (unwatched, _) = tree.plan(json!({"closID": "gold"})).unwrap();
    assert_eq!(unwatched.stats().unwrap().cmt_stats, []);
}
