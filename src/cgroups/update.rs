//! Changing the limits of a container that is there already: all of them, or none.

use super::Manager;
use super::limits::Journal;
use crate::config::resources::{DeviceRule, Resources};
use crate::error::{Error, Result};

/// What was changed, for as long as it may have to be taken back.
#[derive(Debug)]
#[must_use = "whoever fails later has to take it back"]
pub struct Changes<'a> {
    manager: &'a Manager,
    limits: Journal,
    /// The rules that were in force before those of the change.
    devices: Option<&'a [DeviceRule]>,
}

impl Manager {
    /// Changes the limits that `change` speaks of, or none where one of them is refused.
    /// `before` is all that was asked for until now: some limits mean something only together.
    ///
    /// Device rules are replaced as a whole, but only by others: engines send those of the
    /// config along with every change, and what plug-ins have allowed besides must stay.
    pub fn update<'a>(&'a self, before: &'a Resources, change: &Resources) -> Result<Changes<'a>> {
        let mut changes = Changes {
            manager: self,
            limits: Journal::keeping(),
            devices: None,
        };
        if let Err(error) = self.set(change, before, &mut changes.limits) {
            return Err(changes.roll_back(error));
        }
        if !change.devices.is_empty() && change.devices != before.devices {
            changes.devices = Some(&before.devices);
            if let Err(error) = self.apply_devices(&change.devices) {
                return Err(changes.roll_back(error));
            }
        }
        Ok(changes)
    }
}

impl Changes<'_> {
    /// Sets again what was set before, because of `error`, which then also says what could not
    /// be.
    pub fn roll_back(self, error: Error) -> Error {
        let mut failures = Vec::new();
        if let Some(rules) = self.devices {
            failures.extend(self.manager.apply_devices(rules).err());
        }
        // Also where it was asked and did not answer: it may have done it, or do it yet.
        if let Manager::Systemd(unit) = self.manager {
            failures.extend(unit.take_back(&self.limits).err());
        }
        failures.extend(self.limits.undo());
        failures.into_iter().fold(error, |error, failure| {
            error.followed_by(format!(
                "and taking back what was changed failed: {failure}"
            ))
        })
    }
}
