//! The config as it is after an update: what the update says, put into the old text.

use super::resources::Resources;
use crate::error::{Code, Error, Result};
use serde_json::Value;

/// What makes an element of a list the same as another, of which only one can be in force.
/// Device rules, whose order counts, have no such keys: their list is replaced.
const IDENTITY: [&str; 4] = ["major", "minor", "pageSize", "name"];

/// `text`, a config.json, with what `change` says of the same keys and all else as it was.
///
/// # Errors
/// Where the text is no JSON.
pub fn merged(text: &[u8], change: Value) -> Result<Vec<u8>> {
    let not_json = |error: serde_json::Error| {
        let message = format!("putting an update into the config: {error}");
        Error::new(Code::System, message)
    };
    let mut config: Value = serde_json::from_slice(text).map_err(not_json)?;
    merge(&mut config, change);
    serde_json::to_vec(&config).map_err(not_json)
}

impl Resources {
    /// Without what is zero or empty where that means "not set": Docker and the CRI send
    /// it so, and it must not hide what was asked for before.
    #[must_use]
    pub fn without_unset(mut self) -> Self {
        if let Some(memory) = &mut self.memory {
            let limits = [
                &mut memory.limit,
                &mut memory.reservation,
                &mut memory.swap,
                &mut memory.kernel,
                &mut memory.kernel_tcp,
            ];
            limits.into_iter().for_each(drop_zero);
        }
        if let Some(cpu) = &mut self.cpu {
            drop_zero(&mut cpu.shares);
            drop_zero(&mut cpu.quota);
            drop_zero(&mut cpu.period);
            drop_zero(&mut cpu.realtime_runtime);
            drop_zero(&mut cpu.realtime_period);
            cpu.cpus.take_if(|list| list.is_empty());
            cpu.mems.take_if(|list| list.is_empty());
        }
        if let Some(block_io) = &mut self.block_io {
            drop_zero(&mut block_io.weight);
            drop_zero(&mut block_io.leaf_weight);
        }
        if let Some(network) = &mut self.network {
            drop_zero(&mut network.class_id);
        }
        self
    }
}

fn drop_zero<N: Default + PartialEq>(number: &mut Option<N>) {
    number.take_if(|number| *number == N::default());
}

fn merge(old: &mut Value, change: Value) {
    match (old, change) {
        (Value::Object(old), Value::Object(change)) => {
            for (key, value) in change {
                merge(old.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(old), Value::Array(change)) => merge_lists(old, change),
        (old, change) => *old = change,
    }
}

fn merge_lists(old: &mut Vec<Value>, change: Vec<Value>) {
    if !change.iter().all(has_identity) {
        *old = change;
        return;
    }
    for element in change {
        match old.iter_mut().find(|other| is_same(other, &element)) {
            Some(other) => merge(other, element),
            None => old.push(element),
        }
    }
}

/// Device rules have "allow" besides a device's number.
fn has_identity(element: &Value) -> bool {
    element.get("allow").is_none() && IDENTITY.iter().any(|key| element.get(key).is_some())
}

fn is_same(one: &Value, other: &Value) -> bool {
    IDENTITY.iter().all(|key| one.get(key) == other.get(key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn after(old: Value, change: Value) -> Value {
        let text = serde_json::to_vec(&old).unwrap();
        serde_json::from_slice(&merged(&text, change).unwrap()).unwrap()
    }

    #[test]
    fn what_the_change_leaves_out_stays() {
        assert_eq!(
            after(
                json!({"a": 1, "memory": {"limit": 5, "swap": 7}, "more": {"x": [1]}}),
                json!({"memory": {"limit": 6}, "pids": {"limit": 3}, "more": {"x": [2]}}),
            ),
            json!({"a": 1, "memory": {"limit": 6, "swap": 7}, "pids": {"limit": 3},
                   "more": {"x": [2]}})
        );
        assert_eq!(
            after(json!({"x": null}), json!({"x": {"y": 1}})),
            json!({"x": {"y": 1}})
        );
    }

    #[test]
    fn what_is_set_for_devices_and_sizes_is_told_apart() {
        let disk = |minor: u64, rate: u64| json!({"major": 8, "minor": minor, "rate": rate});
        assert_eq!(
            after(
                json!({"bps": [disk(0, 1), disk(16, 2)], "huge": [{"pageSize": "2MB", "limit": 1}]}),
                json!({"bps": [disk(16, 3), disk(32, 4)], "huge": [{"pageSize": "1GB", "limit": 2}]}),
            ),
            json!({"bps": [disk(0, 1), disk(16, 3), disk(32, 4)],
                   "huge": [{"pageSize": "2MB", "limit": 1}, {"pageSize": "1GB", "limit": 2}]})
        );
    }

    #[test]
    fn what_docker_sends_for_unchanged_limits_is_dropped() {
        let resources: Resources = serde_json::from_value(json!({
            "memory": {"limit": 0, "swap": -1, "kernel": 0, "swappiness": 0},
            "cpu": {"shares": 0, "quota": 0, "period": 5, "burst": 0, "idle": 0, "cpus": ""},
            "blockIO": {"weight": 0}, "pids": {"limit": 0}, "network": {"classID": 0},
        }))
        .unwrap();
        assert_eq!(
            serde_json::to_value(resources.without_unset()).unwrap(),
            json!({"memory": {"swap": -1, "swappiness": 0},
                   "cpu": {"period": 5, "burst": 0, "idle": 0},
                   "blockIO": {}, "pids": {"limit": 0}, "network": {}})
        );
    }

    #[test]
    fn device_rules_are_replaced_as_a_whole() {
        let rule = |major: u64| json!({"allow": true, "type": "c", "major": major, "minor": 0});
        let new = json!({"devices": [rule(5)]});
        assert_eq!(
            after(json!({"devices": [rule(1), rule(5)]}), new.clone()),
            new
        );
    }
}
