//! Device rules: `linux.resources.devices` with the runtime's own, as one policy.
//!
//! The rules are folded into a default and its exceptions, which both kinds of cgroup can
//! express, so that the last word of the list is what holds, and rules that v1 would accept
//! and silently not apply are refused.

use crate::config::resources::{DeviceAccess, DeviceKind, DeviceRule};
use crate::error::{Code, Error, Result};
use std::fmt;

/// What happens to devices of which no exception speaks, and the exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub allow: bool,
    /// In the order they were first named; each of a device and not empty.
    pub exceptions: Vec<Exception>,
}

/// Access to some devices that is against the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub devices: Devices,
    pub access: DeviceAccess,
}

/// One device or all with a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Devices {
    /// Block, or else character.
    pub block: bool,
    pub major: Option<u32>,
    pub minor: Option<u32>,
}

/// What runc allows every container after its own rules (specconv, AllowedDevices): making
/// any node, and using null, random, full, tty, zero, urandom, terminals and ptmx.
const DEFAULT: [(bool, Option<u32>, Option<u32>, DeviceAccess); 10] = [
    (false, None, None, DeviceAccess::MKNOD),
    (true, None, None, DeviceAccess::MKNOD),
    (false, Some(1), Some(3), DeviceAccess::ALL),
    (false, Some(1), Some(8), DeviceAccess::ALL),
    (false, Some(1), Some(7), DeviceAccess::ALL),
    (false, Some(5), Some(0), DeviceAccess::ALL),
    (false, Some(1), Some(5), DeviceAccess::ALL),
    (false, Some(1), Some(9), DeviceAccess::ALL),
    (false, Some(136), None, DeviceAccess::ALL),
    (false, Some(5), Some(2), DeviceAccess::ALL),
];

impl Policy {
    /// Everything denied: what the config's rules start from.
    const DENY: Self = Self {
        allow: false,
        exceptions: Vec::new(),
    };

    /// The config's rules, then the defaults.
    pub fn new(rules: &[DeviceRule]) -> Result<Self> {
        let mut policy = Self::DENY;
        for (index, rule) in rules.iter().enumerate() {
            policy
                .apply(rule)
                .map_err(|error| error.context(format!("linux.resources.devices[{index}]")))?;
        }
        for (block, major, minor, access) in DEFAULT {
            let devices = Devices {
                block,
                major,
                minor,
            };
            policy.set(true, Exception { devices, access })?;
        }
        Ok(policy)
    }

    fn apply(&mut self, rule: &DeviceRule) -> Result<()> {
        let access = rule.access.ok_or_else(|| {
            Error::new(Code::InvalidConfig, "access is missing")
                .hint("give letters of \"rwm\": read, write, mknod")
        })?;
        let major = number("major", rule.major)?;
        let minor = number("minor", rule.minor)?;
        let blocks: &[bool] = match rule.kind.unwrap_or(DeviceKind::All) {
            DeviceKind::All
                if major.is_none() && minor.is_none() && access == DeviceAccess::ALL =>
            {
                *self = Self::DENY;
                self.allow = rule.allow;
                return Ok(());
            }
            DeviceKind::All => &[false, true],
            DeviceKind::Char => &[false],
            DeviceKind::Block => &[true],
        };
        blocks.iter().try_for_each(|&block| {
            let devices = Devices {
                block,
                major,
                minor,
            };
            self.set(rule.allow, Exception { devices, access })
        })
    }

    fn set(&mut self, allow: bool, exception: Exception) -> Result<()> {
        match allow == self.allow {
            false => self.add(exception),
            true => self.take(exception)?,
        }
        Ok(())
    }

    fn add(&mut self, new: Exception) {
        let same = |old: &&mut Exception| old.devices == new.devices;
        match self.exceptions.iter_mut().find(same) {
            Some(old) => old.access = union(old.access, new.access),
            None => self.exceptions.push(new),
        }
    }

    fn take(&mut self, gone: Exception) -> Result<()> {
        let wider = |old: &&Exception| {
            old.devices != gone.devices
                && old.devices.covers(&gone.devices)
                && common(old.access, gone.access)
        };
        if let Some(wider) = self.exceptions.iter().find(wider) {
            // v1 accepts this and does nothing; v2 could do it, but then the same config
            // would mean different things. runc's words.
            let message = format!(
                "requested rule [{gone}] not supported by devices cgroupv1 \
                 (cannot punch hole in existing wildcard rule [{wider}])"
            );
            return Err(Error::new(Code::Unsupported, message));
        }
        self.exceptions = (self.exceptions.iter())
            .filter_map(|old| match gone.devices.covers(&old.devices) {
                true => {
                    difference(old.access, gone.access).map(|access| Exception { access, ..*old })
                }
                false => Some(*old),
            })
            .collect();
        Ok(())
    }

    /// What v1's devices.list says. A list that starts with "a" is of a cgroup that allows
    /// by default; what it denies the kernel does not tell.
    fn from_list(list: &str) -> Option<Self> {
        let mut policy = Self::DENY;
        for line in list.lines() {
            if line.starts_with('a') {
                return None;
            }
            policy.add(Exception::parse(line)?);
        }
        Some(policy)
    }

    /// The writes to devices.allow (true) and devices.deny (false) that lead from a cgroup
    /// with `list` in devices.list to this policy, never taking away in between what a
    /// running container has before and after.
    pub fn v1_writes(&self, list: &str) -> Vec<(bool, String)> {
        let mut writes = Vec::new();
        let current = Self::from_list(list).filter(|_| !self.allow);
        let current = current.unwrap_or_else(|| {
            writes.push((self.allow, "a".to_owned()));
            Self::DENY
        });
        for old in &current.exceptions {
            if let Some(gone) = minus(old, &self.exceptions) {
                writes.push((self.allow, gone.to_string()));
            }
        }
        for new in &self.exceptions {
            if let Some(gained) = minus(new, &current.exceptions) {
                writes.push((!self.allow, gained.to_string()));
            }
        }
        writes
    }
}

/// What of `exception` is not in `others`.
fn minus(exception: &Exception, others: &[Exception]) -> Option<Exception> {
    let other = others.iter().find(|o| o.devices == exception.devices);
    let access = match other {
        Some(other) => difference(exception.access, other.access)?,
        None => exception.access,
    };
    Some(Exception {
        access,
        ..*exception
    })
}

/// A device number of a rule; -1, as absent, is all of them.
fn number(name: &str, value: Option<i64>) -> Result<Option<u32>> {
    match value {
        None | Some(-1) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| {
            let message = format!("{name} {value} is not a device number");
            Error::new(Code::InvalidConfig, message)
        }),
    }
}

impl Devices {
    /// Whether `other` is among these.
    fn covers(&self, other: &Self) -> bool {
        let part = |mine: Option<u32>, its: Option<u32>| mine.is_none() || mine == its;
        self.block == other.block && part(self.major, other.major) && part(self.minor, other.minor)
    }
}

impl Exception {
    /// A line of devices.list: "c 1:3 rwm".
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split([' ', ':']);
        let block = match fields.next()? {
            "b" => true,
            "c" => false,
            _ => return None,
        };
        let mut number = || match fields.next()? {
            "*" => Some(None),
            number => Some(Some(number.parse().ok()?)),
        };
        let (major, minor) = (number()?, number()?);
        Some(Self {
            devices: Devices {
                block,
                major,
                minor,
            },
            access: DeviceAccess::parse(fields.next()?)?,
        })
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        let kind = if self.devices.block { 'b' } else { 'c' };
        let (major, minor) = (number(self.devices.major), number(self.devices.minor));
        write!(f, "{kind} {major}:{minor} {}", self.access)
    }
}

fn union(a: DeviceAccess, b: DeviceAccess) -> DeviceAccess {
    DeviceAccess {
        read: a.read || b.read,
        write: a.write || b.write,
        mknod: a.mknod || b.mknod,
    }
}

fn common(a: DeviceAccess, b: DeviceAccess) -> bool {
    (a.read && b.read) || (a.write && b.write) || (a.mknod && b.mknod)
}

fn difference(a: DeviceAccess, b: DeviceAccess) -> Option<DeviceAccess> {
    let rest = DeviceAccess {
        read: a.read && !b.read,
        write: a.write && !b.write,
        mknod: a.mknod && !b.mknod,
    };
    (rest.read || rest.write || rest.mknod).then_some(rest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn policy(json: &str) -> Result<Policy> {
        Policy::new(&serde_json::from_str::<Vec<DeviceRule>>(json).unwrap())
    }

    fn writes(json: &str, list: &str) -> Vec<(bool, String)> {
        policy(json).unwrap().v1_writes(list)
    }

    fn write(allow: bool, rule: &str) -> (bool, String) {
        (allow, rule.to_owned())
    }

    const FRESH: &str = "a *:* rwm\n";
    const DENY_ALL: &str = r#"[{"allow":false,"access":"rwm"}]"#;

    #[test]
    fn without_rules_only_the_defaults_are_allowed() {
        let writes = writes("[]", FRESH);
        assert_eq!(writes[0], write(false, "a"));
        assert_eq!(writes[1], write(true, "c *:* m"));
        assert_eq!(writes[3], write(true, "c 1:3 rwm"));
        assert_eq!(writes.len(), 11);
        assert_eq!(writes, super::tests::writes(DENY_ALL, FRESH));
    }

    #[test]
    fn allowing_all_is_one_write() {
        let all = r#"[{"allow":true,"access":"rwm"}]"#;
        assert_eq!(writes(all, FRESH), [write(true, "a")]);
        let later = r#"[{"allow":false,"access":"rwm"},{"allow":true,"type":"a","access":"rwm"}]"#;
        assert_eq!(writes(later, "c 1:3 rwm\n"), [write(true, "a")]);
    }

    #[test]
    fn the_last_rule_holds() {
        let rules = r#"[{"allow":false,"access":"rwm"},
            {"allow":true,"type":"c","major":10,"minor":229,"access":"rw"},
            {"allow":true,"type":"b","major":8,"minor":0,"access":"rw"},
            {"allow":false,"type":"b","major":8,"minor":0,"access":"w"}]"#;
        let writes = writes(rules, FRESH);
        assert_eq!(writes[1], write(true, "c 10:229 rw"));
        assert_eq!(writes[2], write(true, "b 8:0 r"));
    }

    #[test]
    fn a_running_container_never_loses_what_it_keeps() {
        let list = "c *:* m\nb *:* m\nc 1:3 rwm\nc 1:8 rwm\nc 1:7 rwm\nc 5:0 rwm\nc 1:5 rwm\n\
                    c 1:9 rwm\nc 136:* rwm\nc 5:2 rwm\nc 10:229 rwm\n";
        let rules = r#"[{"allow":true,"type":"c","major":10,"minor":229,"access":"r"},
            {"allow":true,"type":"b","major":8,"minor":0,"access":"r"}]"#;
        let expected = [write(false, "c 10:229 wm"), write(true, "b 8:0 r")];
        assert_eq!(writes(rules, list), expected);
        assert!(writes("[]", &list.replace("c 10:229 rwm\n", "")).is_empty());
    }

    #[test]
    fn holes_in_wildcards_are_refused_since_the_kernel_would_not_make_them() {
        let rules = r#"[{"allow":true,"type":"c","major":1,"access":"rwm"},
            {"allow":false,"type":"c","major":1,"minor":3,"access":"w"}]"#;
        let error = policy(rules).unwrap_err().to_string();
        assert!(error.starts_with("linux.resources.devices[1]: requested rule [c 1:3 w]"));
    }

    #[test]
    fn a_wildcard_takes_away_what_it_covers() {
        let rules = r#"[{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"},
            {"allow":false,"type":"c","major":10,"access":"w"}]"#;
        assert_eq!(writes(rules, FRESH)[1], write(true, "c 10:229 r"));
    }

    #[test]
    fn all_with_a_number_means_both_kinds() {
        let rules = r#"[{"allow":true,"type":"a","major":7,"access":"r"}]"#;
        let writes = writes(rules, FRESH);
        assert_eq!(writes[1], write(true, "c 7:* r"));
        assert_eq!(writes[2], write(true, "b 7:* r"));
    }

    #[test]
    fn bad_rules_are_named() {
        let error = policy(r#"[{"allow":true,"type":"c"}]"#).unwrap_err();
        assert!(error.to_string().contains("devices[0]: access is missing"));
        assert!(policy(r#"[{"allow":true,"major":-2,"access":"r"}]"#).is_err());
    }
}
