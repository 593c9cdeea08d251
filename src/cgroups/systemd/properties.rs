//! Limits as unit properties (systemd.resource-control(5)), so that systemd, when it next
//! writes a cgroup's files, writes the same again.
//!
//! They are made of the very writes that are done to the files, so that nothing is converted
//! twice. What systemd has no property for stays in the files alone, which are written after.

use super::value::Value;
use crate::cgroups::files;
use crate::config::ranges::RangeList;
use std::path::Path;

/// A property's name and value.
pub(super) type Property = (String, Value);

/// No limit.
const INFINITY: u64 = u64::MAX;
/// The kernel's default, in microseconds.
const PERIOD: u64 = 100_000;

pub(super) fn property(name: &str, value: Value) -> Property {
    (name.to_owned(), value)
}

/// The properties for values of the files of `dir`, which may not be there yet. A value that
/// systemd would not take has none: the kernel, which will not take it either, refuses it by
/// the name of its field.
pub(super) fn of_files<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
    dir: &Path,
) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut bandwidth = Bandwidth::default();
    let mut is_weighed = false;
    let mut no_longer_idle = false;
    for (file, value) in files {
        let value = value.trim();
        is_weighed |= ["cpu.weight", "cpu.shares"].contains(&file);
        no_longer_idle |= file == "cpu.idle" && value == "0";
        if !bandwidth.note(file, value)
            && let Some((name, value)) = of_file(file, value)
        {
            // Of two files for one thing, which one there is the kernel decides.
            properties.retain(|(known, _)| known != name);
            properties.push(property(name, value));
        }
    }
    if no_longer_idle && !is_weighed {
        properties.extend(weight_now(dir));
    }
    properties.extend(bandwidth.properties(dir));
    properties
}

/// The weight that the kernel gives to what is idle no longer.
fn weight_now(dir: &Path) -> Option<Property> {
    ["cpu.weight", "cpu.shares"].into_iter().find_map(|file| {
        let (name, value) = of_file(file, files::read(&dir.join(file)).ok()?.trim())?;
        Some(property(name, value))
    })
}

fn of_file(file: &str, value: &str) -> Option<(&'static str, Value)> {
    // As the file is read: "default 100", before the lines of single devices.
    let value = value.strip_prefix("default ").unwrap_or(value);
    let within = |range: std::ops::RangeInclusive<u64>| -> Option<Value> {
        let number = value.parse().ok().filter(|number| range.contains(number))?;
        Some(Value::U64(number))
    };
    let limit_from = |least: u64| match value {
        "max" | "-1" => Some(Value::U64(INFINITY)),
        _ => within(least..=INFINITY),
    };
    let (name, value) = match file {
        "memory.max" => ("MemoryMax", limit_from(1)),
        "memory.high" => ("MemoryHigh", limit_from(1)),
        "memory.low" => ("MemoryLow", limit_from(0)),
        "memory.min" => ("MemoryMin", limit_from(0)),
        "memory.swap.max" => ("MemorySwapMax", limit_from(0)),
        "memory.limit_in_bytes" => ("MemoryLimit", limit_from(1)),
        "pids.max" => ("TasksMax", limit_from(1)),
        "cpu.weight" => ("CPUWeight", within(1..=10_000)),
        // How systemd says SCHED_IDLE; another weight turns that off.
        "cpu.idle" => ("CPUWeight", (value == "1").then_some(Value::U64(0))),
        "cpu.shares" => ("CPUShares", within(2..=262_144)),
        "io.weight" => ("IOWeight", within(1..=10_000)),
        "io.bfq.weight" => ("IOWeight", of_bfq(value)),
        "blkio.weight" | "blkio.bfq.weight" => ("BlockIOWeight", within(10..=1000)),
        "cpuset.cpus" => ("AllowedCPUs", set(value)),
        "cpuset.mems" => ("AllowedMemoryNodes", set(value)),
        _ => return None,
    };
    Some((name, value?))
}

/// What systemd makes this weight of when it writes BFQ's file, which goes from 1 to 1000: both
/// have 100 as their default.
fn of_bfq(weight: &str) -> Option<Value> {
    match weight.parse().ok()? {
        weight @ 1..=100 => Some(Value::U64(weight)),
        weight @ 101..=1000 => Some(Value::U64(100 + (weight - 100) * 11)),
        _ => None,
    }
}

/// As bytes, of which bit n is number n. None is the parent's, for systemd as for the kernel.
fn set(list: &str) -> Option<Value> {
    if list.is_empty() {
        return Some(Value::bytes([]));
    }
    let mask = RangeList::parse(list).ok()?.to_mask();
    let mut bytes: Vec<u8> = mask.into_iter().flat_map(u64::to_le_bytes).collect();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Some(Value::bytes(bytes))
}

/// CPU time: one file in v2, two in v1, and in systemd two others.
#[derive(Default)]
struct Bandwidth {
    /// Microseconds per period, of which [`INFINITY`] is no limit.
    quota: Option<u64>,
    period: Option<u64>,
}

impl Bandwidth {
    /// Takes a write that is about this.
    fn note(&mut self, file: &str, value: &str) -> bool {
        match file {
            "cpu.max" => {
                let mut fields = value.split_whitespace();
                self.quota = fields.next().and_then(quota).or(self.quota);
                self.period = fields.next().and_then(|p| p.parse().ok()).or(self.period);
            }
            "cpu.cfs_quota_us" => self.quota = quota(value),
            "cpu.cfs_period_us" => self.period = value.trim().parse().ok(),
            _ => return false,
        }
        true
    }

    /// Both properties, the one that is not given as it is now.
    fn properties(self, dir: &Path) -> Vec<Property> {
        if self.quota.is_none() && self.period.is_none() {
            return Vec::new();
        }
        let mut now = Self::default();
        for file in ["cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"] {
            if let Ok(value) = files::read(&dir.join(file)) {
                now.note(file, &value);
            }
        }
        let quota = self.quota.or(now.quota).unwrap_or(INFINITY);
        let period = self.period.or(now.period).unwrap_or(PERIOD).max(1);
        let mut properties = vec![property("CPUQuotaPerSecUSec", per_second(quota, period))];
        if let Some(period) = self.period {
            properties.push(property("CPUQuotaPeriodUSec", Value::U64(period)));
        }
        properties
    }
}

fn quota(text: &str) -> Option<u64> {
    match text.trim() {
        "max" | "-1" => Some(INFINITY),
        number => number.parse().ok(),
    }
}

/// systemd reckons in percents of a CPU: rounded up, as in runc, so that what the files are
/// given next still fits.
fn per_second(quota: u64, period: u64) -> Value {
    const PERCENT: u128 = 10_000;
    if quota == INFINITY {
        return Value::U64(INFINITY);
    }
    let exact = u128::from(quota) * 1_000_000 / u128::from(period);
    let rounded = exact.div_ceil(PERCENT) * PERCENT;
    Value::U64(u64::try_from(rounded).unwrap_or(INFINITY))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cgroups::limits;
    use crate::config::resources::Resources;

    const NOWHERE: &str = "/nonexistent";

    fn show(writes: Vec<limits::Group>) -> Vec<String> {
        let files = writes.iter().flat_map(|group| &group.0);
        let files = files.flat_map(|write| &write.files);
        let files = files.map(|(file, value)| (file.as_str(), value.as_str()));
        let all = of_files(files, Path::new(NOWHERE));
        let show = |(name, value): Property| match value {
            Value::U64(INFINITY) => format!("{name}=infinity"),
            Value::U64(number) => format!("{name}={number}"),
            other => format!("{name}={other:?}"),
        };
        all.into_iter().map(show).collect()
    }

    fn v1(json: &str) -> Vec<String> {
        let resources = serde_json::from_str(json).unwrap();
        let before = Resources::default();
        show(limits::v1::groups(&resources, &before, "limit_in_bytes").unwrap())
    }

    fn v2(json: &str) -> Vec<String> {
        let resources = serde_json::from_str(json).unwrap();
        let before = Resources::default();
        show(limits::v2::groups(&resources, &before, Path::new(NOWHERE)).unwrap())
    }

    #[test]
    fn limits_of_v2() {
        let json = r#"{"memory":{"limit":4096,"swap":8192,"reservation":1024},
            "cpu":{"shares":1024,"quota":50500,"period":100000},
            "pids":{"limit":-1},"blockIO":{"weight":10}}"#;
        assert_eq!(
            v2(json),
            [
                "TasksMax=infinity",
                "IOWeight=1",
                "CPUWeight=100",
                "MemorySwapMax=4096",
                "MemoryMax=4096",
                "MemoryLow=1024",
                "CPUQuotaPerSecUSec=510000",
                "CPUQuotaPeriodUSec=100000"
            ]
        );
    }

    #[test]
    fn limits_of_v1() {
        let json = r#"{"memory":{"limit":4096,"swap":-1},"cpu":{"shares":512,"quota":-1},
            "pids":{"limit":7},"blockIO":{"weight":500}}"#;
        assert_eq!(
            v1(json),
            [
                "MemoryLimit=4096",
                "CPUShares=512",
                "TasksMax=7",
                "BlockIOWeight=500",
                "CPUQuotaPerSecUSec=infinity"
            ]
        );
    }

    #[test]
    fn files_by_name_are_limits_too() {
        let json = r#"{"unified":{"memory.high":"5","pids.max":"max","cpu.max":"max 1000",
            "cpu.idle":"1","memory.oom.group":"1","pids.max":"0"}}"#;
        assert_eq!(
            v2(json),
            [
                "CPUWeight=0",
                "MemoryHigh=5",
                "CPUQuotaPerSecUSec=infinity",
                "CPUQuotaPeriodUSec=1000"
            ]
        );
    }

    /// As they are before anything is set, and so are what a change is taken back to.
    #[test]
    fn defaults_are_properties_too() {
        let of_file = |file, value| of_files([(file, value)], Path::new(NOWHERE));
        let none = Value::bytes([]);
        for (file, value, expected) in [
            ("cpuset.cpus", "\n", property("AllowedCPUs", none.clone())),
            ("cpuset.mems", "\n", property("AllowedMemoryNodes", none)),
            (
                "io.weight",
                "default 100",
                property("IOWeight", Value::U64(100)),
            ),
            ("io.weight", "100", property("IOWeight", Value::U64(100))),
            (
                "io.bfq.weight",
                "default 100",
                property("IOWeight", Value::U64(100)),
            ),
            (
                "io.bfq.weight",
                "1000",
                property("IOWeight", Value::U64(10_000)),
            ),
            (
                "blkio.bfq.weight",
                "100",
                property("BlockIOWeight", Value::U64(100)),
            ),
        ] {
            assert_eq!(of_file(file, value), [expected], "{file} {value:?}");
        }
        // One device's.
        assert_eq!(of_file("io.weight", "8:0 100"), []);
    }

    #[test]
    fn what_is_idle_no_longer_has_a_weight() {
        let name = format!("tare-properties-{}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("cpu.weight"), "100\n").unwrap();
        let given = of_files([("cpu.weight", "59"), ("cpu.idle", "0")], &dir);
        let kernels = of_files([("cpu.idle", "0")], &dir);
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(given, [property("CPUWeight", Value::U64(59))]);
        assert_eq!(kernels, [property("CPUWeight", Value::U64(100))]);
        assert_eq!(of_files([("cpu.idle", "0")], &dir), []);
    }

    #[test]
    fn sets_are_bits() {
        assert_eq!(set("0-2,9"), Some(Value::bytes([7, 2])));
        assert_eq!(set("x"), None);
    }
}
