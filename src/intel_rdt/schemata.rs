//! Lines of a schemata file: "L3:0=7f0;1=1f", what a class of service gets of each cache.

use crate::config::linux::IntelRdt;
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;

/// What is to be written, one write after the other (config-linux.md, "IntelRdt"): first
/// `l3CacheSchema` with `memBwSchema`, which counts instead of such lines in the former; then
/// `schemata`.
pub fn wanted(rdt: &IntelRdt) -> Vec<String> {
    let l3 = rdt.l3_cache_schema.iter().flat_map(|schema| schema.lines());
    let mut lines: Vec<&str> = l3
        .filter(|line| rdt.mem_bw_schema.is_none() || !line.trim_start().starts_with("MB:"))
        .collect();
    lines.extend(rdt.mem_bw_schema.as_deref());
    let writes = [lines.join("\n"), rdt.schemata.join("\n")];
    writes
        .into_iter()
        .filter(|text| !text.trim().is_empty())
        .collect()
}

/// Whether a class with `current` has all that is `wanted`; it may have more.
pub fn check(wanted: &str, current: &str) -> Result<()> {
    let has = parse(current)?;
    for (resource, domains) in parse(wanted)? {
        for (domain, value) in domains {
            let current = has.get(&resource).and_then(|has| has.get(&domain));
            if current != Some(&value) {
                let current = current.map_or("nothing", String::as_str);
                let message = format!(
                    "the class of service is there, with {resource}:{domain}={current} and not \
                     {value}"
                );
                return Err(Error::new(Code::InvalidConfig, message)
                    .hint("name another closID, or leave the schema out"));
            }
        }
    }
    Ok(())
}

type Schemata = BTreeMap<String, BTreeMap<String, String>>;

fn parse(text: &str) -> Result<Schemata> {
    let mut schemata = Schemata::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let wrong = || {
            let message = format!("{line:?} is no line of a schemata file");
            Error::new(Code::InvalidConfig, message).hint("as \"L3:0=7f0;1=1f\"")
        };
        let (resource, domains) = line.split_once(':').ok_or_else(wrong)?;
        let resource = resource.trim();
        let entry = schemata.entry(resource.to_owned()).or_default();
        for part in domains.split(';').filter(|part| !part.trim().is_empty()) {
            let (domain, value) = part.split_once('=').ok_or_else(wrong)?;
            entry.insert(domain.trim().to_owned(), normal(resource, value.trim()));
        }
    }
    Ok(schemata)
}

/// A mask of cache ways without leading zeroes; bandwidth is decimal, and all else is text.
fn normal(resource: &str, value: &str) -> String {
    let is_mask = resource.starts_with('L');
    match u64::from_str_radix(value, 16) {
        Ok(mask) if is_mask => format!("{mask:x}"),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn wanted_by(rdt: Value) -> Vec<String> {
        wanted(&serde_json::from_value(rdt).unwrap())
    }

    #[test]
    fn the_old_fields_are_one_write_and_the_new_one_comes_last() {
        assert!(wanted_by(json!({"closID": "x", "enableMonitoring": true})).is_empty());
        assert_eq!(
            wanted_by(json!({"l3CacheSchema": "L3:0=f\nMB:0=9"})),
            ["L3:0=f\nMB:0=9"]
        );
        let all = json!({"l3CacheSchema": "L3:0=f\nMB:0=9", "memBwSchema": "MB:0=20",
            "schemata": ["L2:0=1", "L3:0=3"]});
        assert_eq!(wanted_by(all), ["L3:0=f\nMB:0=20", "L2:0=1\nL3:0=3"]);
    }

    #[test]
    fn a_class_must_have_what_is_wanted_of_it() {
        let current = "    L3:0=00fff;1=00fff\n    MB:0=100;1=100\n";
        let ok = |wanted: &str| check(wanted, current).is_ok();
        assert!(ok("L3:0=fff"));
        assert!(ok("MB:1=100;0=100\nL3: 1 = 0fff ;"));
        assert!(!ok("L3:0=ff"));
        assert!(!ok("L3:2=fff"));
        assert!(!ok("L2:0=fff"));
        assert!(!ok("MB:0=0100"));
        assert!(!ok("nonsense"));
        let message = check("L3:0=1", current).unwrap_err().to_string();
        assert!(message.contains("with L3:0=fff and not 1"), "{message}");
    }
}
