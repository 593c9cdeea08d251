//! What would be written to a container's cgroups, for who only wants to see it.

use super::{Manager, limits};
use crate::config::resources::Resources;
use crate::error::Result;
use std::path::PathBuf;

/// One limit that would be set.
#[derive(Debug)]
pub struct PlannedLimit {
    /// Where in the config it comes from.
    pub field: String,
    /// The file.
    pub file: PathBuf,
    /// What would be written.
    pub value: String,
}

impl Manager {
    /// The limits of a new container, all but the device rules.
    ///
    /// # Errors
    /// What cannot be said to the cgroups of this host.
    pub fn planned_limits(&self, resources: &Resources) -> Result<Vec<PlannedLimit>> {
        let before = Resources::default();
        let mut planned = Vec::new();
        let groups = match self {
            Self::V1(v1) => v1.limits(resources, &before)?,
            Self::V2(v2) => match v2.path() {
                Some(dir) => limits::v2::groups(resources, &before, dir)?,
                None => Vec::new(),
            },
            Self::Systemd(unit) => return unit.files.planned_limits(resources),
        };
        for write in groups.iter().flat_map(|group| &group.0) {
            let dir = match self {
                Self::V1(v1) => v1.directory_for(write)?.to_owned(),
                _ => self.paths().first().map(PathBuf::from).unwrap_or_default(),
            };
            if let Some((file, value)) = write.files.first() {
                planned.push(PlannedLimit {
                    field: write.field.clone(),
                    file: dir.join(file),
                    value: value.clone(),
                });
            }
        }
        Ok(planned)
    }
}
