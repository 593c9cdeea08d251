//! What `events` tells of a container in resctrl: runc's JSON, field by field.

use super::{Groups, read};
use crate::error::{Context, Result};
use serde::Serialize;
use std::path::Path;

/// What there is, what the container was given of it, and what it used.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Stats {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub l3_cache_info: Option<CacheInfo>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub l3_cache_schema_root: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub l3_cache_schema: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mem_bw_info: Option<BandwidthInfo>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mem_bw_schema_root: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mem_bw_schema: String,
    /// One for each L3 cache.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mbm_stats: Vec<Bandwidth>,
    /// One for each L3 cache.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmt_stats: Vec<Occupancy>,
}

/// `info/L3`
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct CacheInfo {
    pub cbm_mask: String,
    pub min_cbm_bits: u64,
    pub num_closids: u64,
}

/// `info/MB`
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct BandwidthInfo {
    pub bandwidth_gran: u64,
    pub delay_linear: u64,
    pub min_bandwidth: u64,
    pub num_closids: u64,
}

/// Memory bandwidth used, in bytes ever since.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Bandwidth {
    pub mbm_total_bytes: u64,
    pub mbm_local_bytes: u64,
}

/// Cache used, in bytes.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Occupancy {
    pub llc_occupancy: u64,
}

impl Groups {
    /// Reads everything. What this machine has not is left out.
    ///
    /// # Errors
    /// Where the container's class is gone.
    pub fn stats(&self) -> Result<Stats> {
        let root = read(&self.root.join("schemata"))?;
        let class = read(&self.class.join("schemata"))?;
        let mut stats = Stats::default();
        let cache = self.root.join("info/L3");
        if cache.exists() {
            stats.l3_cache_info = Some(CacheInfo {
                cbm_mask: read(&cache.join("cbm_mask"))?.trim().to_owned(),
                min_cbm_bits: number(&cache, "min_cbm_bits"),
                num_closids: number(&cache, "num_closids"),
            });
            stats.l3_cache_schema_root = line_of(&root, "L3");
            stats.l3_cache_schema = line_of(&class, "L3");
        }
        let bandwidth = self.root.join("info/MB");
        if bandwidth.exists() {
            stats.mem_bw_info = Some(BandwidthInfo {
                bandwidth_gran: number(&bandwidth, "bandwidth_gran"),
                delay_linear: number(&bandwidth, "delay_linear"),
                min_bandwidth: number(&bandwidth, "min_bandwidth"),
                num_closids: number(&bandwidth, "num_closids"),
            });
            stats.mem_bw_schema_root = line_of(&root, "MB");
            stats.mem_bw_schema = line_of(&class, "MB");
        }
        if let Some(monitoring) = &self.monitoring {
            self.watch(&monitoring.join("mon_data"), &mut stats)?;
        }
        Ok(stats)
    }

    /// "mon_L3_00/llc_occupancy" and the like, as far as `info/L3_MON/mon_features` has them.
    fn watch(&self, data: &Path, stats: &mut Stats) -> Result<()> {
        let features = read(&self.root.join("info/L3_MON/mon_features"))?;
        let has = |feature: &str| features.lines().any(|line| line == feature);
        let listing = || format!("listing {}", data.display());
        let mut caches = Vec::new();
        for entry in std::fs::read_dir(data).context(listing)? {
            caches.push(entry.context(listing)?.path());
        }
        caches.sort();
        for cache in caches {
            if has("mbm_total_bytes") || has("mbm_local_bytes") {
                stats.mbm_stats.push(Bandwidth {
                    mbm_total_bytes: number(&cache, "mbm_total_bytes"),
                    mbm_local_bytes: number(&cache, "mbm_local_bytes"),
                });
            }
            if has("llc_occupancy") {
                stats.cmt_stats.push(Occupancy {
                    llc_occupancy: number(&cache, "llc_occupancy"),
                });
            }
        }
        Ok(())
    }
}

/// The line of one resource, as in "L3:0=ff;1=c0".
fn line_of(schemata: &str, resource: &str) -> String {
    let mut lines = schemata.lines().map(str::trim);
    let found = lines.find(|line| line.split(':').next() == Some(resource));
    found.unwrap_or_default().to_owned()
}

/// 0 for what is not there, or cannot be told now ("Unavailable").
fn number(dir: &Path, file: &str) -> u64 {
    let text = std::fs::read_to_string(dir.join(file)).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}
