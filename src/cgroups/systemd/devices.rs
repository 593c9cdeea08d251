//! The device policy as unit properties: what systemd makes of the cgroup when it next
//! touches it, as at a daemon-reload, must not be less than what the container has.

use super::properties::{Property, property};
use super::value::Value;
use crate::cgroups::devices::{Devices, Exception, Policy};

/// The properties, which first forget what was there before. systemd can only allow: where
/// devices are denied one by one, all are left to the runtime's own filter.
pub(super) fn properties(policy: &Policy, is_v2: bool) -> Vec<Property> {
    let rules: Vec<Option<Value>> = policy.exceptions.iter().map(rule).collect();
    // v2 asks systemd's filter and the runtime's, and both must allow: better none than one
    // that lacks a device. v1 has one list, which must not be opened for want of a rule.
    let is_told = !policy.allow && (!is_v2 || rules.iter().all(Option::is_some));
    let (name, rules) = match is_told {
        true => ("strict", rules.into_iter().flatten().collect()),
        false => ("auto", Vec::new()),
    };
    let none = property("DeviceAllow", list(Vec::new()));
    let mut properties = vec![property("DevicePolicy", Value::text(name)), none];
    if !rules.is_empty() {
        properties.push(property("DeviceAllow", list(rules)));
    }
    properties
}

fn list(elements: Vec<Value>) -> Value {
    Value::Array {
        of: "(ss)".to_owned(),
        elements,
    }
}

/// A rule in systemd's words; it has none for one minor number of all majors. A number after
/// "char-" is a major one, whether or not a driver has it by now.
fn rule(exception: &Exception) -> Option<Value> {
    let Devices {
        block,
        major,
        minor,
    } = exception.devices;
    let kind = if block { "block" } else { "char" };
    let devices = match (major, minor) {
        (Some(major), Some(minor)) => format!("/dev/{kind}/{major}:{minor}"),
        (Some(major), None) => format!("{kind}-{major}"),
        (None, None) => format!("{kind}-*"),
        (None, Some(_)) => return None,
    };
    let access = Value::text(exception.access.to_string());
    Some(Value::Tuple(vec![Value::text(devices), access]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn show(rules: &str, is_v2: bool) -> String {
        let policy = Policy::new(&serde_json::from_str::<Vec<_>>(rules).unwrap()).unwrap();
        format!("{:?}", properties(&policy, is_v2))
    }

    #[test]
    fn allowed_devices_are_listed() {
        let rules = r#"[{"allow":false,"access":"rwm"},
            {"allow":true,"type":"c","major":195,"access":"rw"},
            {"allow":true,"type":"b","major":8,"minor":1,"access":"r"}]"#;
        for is_v2 in [false, true] {
            let text = show(rules, is_v2);
            for words in [
                "strict",
                "char-195",
                "/dev/block/8:1",
                "char-*",
                "/dev/char/1:3",
            ] {
                assert!(text.contains(words), "{text}");
            }
        }
    }

    #[test]
    fn what_systemd_cannot_say_is_left_to_the_filter() {
        let all = r#"[{"allow":true,"access":"rwm"}]"#;
        assert!(show(all, true).contains("auto"));
        let minor = r#"[{"allow":true,"type":"c","minor":5,"access":"r"}]"#;
        assert!(show(minor, true).contains("auto"));
        assert!(show(minor, false).contains("strict"));
    }
}
