//! Flags of update.

use crate::amount;
use clap::Args;
use std::path::PathBuf;

/// `update`
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct Update {
    /// Take the limits from a JSON file, as linux.resources has them, or with - from stdin; the
    /// flags of other limits do not count then
    #[arg(short, long, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    /// Weight of block I/O, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
    /// CPU time: the period of the quota, in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_period: Option<u64>,
    /// CPU time per period, in microseconds; -1 for unlimited
    #[arg(long, value_name = "US")]
    pub cpu_quota: Option<i64>,
    /// CPU time saved up that may exceed the quota, in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_burst: Option<u64>,
    /// CPU time in relation to other containers', 2 to 262144
    #[arg(long, value_name = "SHARES")]
    pub cpu_share: Option<u64>,
    /// Realtime scheduling: the period, in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_rt_period: Option<u64>,
    /// Realtime scheduling: time per period, in microseconds
    #[arg(long, value_name = "US")]
    pub cpu_rt_runtime: Option<i64>,
    /// CPUs to run on, as 0-3,7
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// 1 to run only when nobody else does, 0 for the default
    #[arg(long, value_name = "0|1")]
    pub cpu_idle: Option<i64>,
    /// Memory in bytes, or as 512M; -1 for unlimited, swap included
    #[arg(long, value_name = "BYTES", value_parser = amount::parse)]
    pub memory: Option<i64>,
    /// Memory that is left when others need some
    #[arg(long, value_name = "BYTES", value_parser = amount::parse)]
    pub memory_reservation: Option<i64>,
    /// Memory and swap together; -1 for unlimited swap
    #[arg(long, value_name = "BYTES", value_parser = amount::parse)]
    pub memory_swap: Option<i64>,
    /// Accepted for runc's sake, without effect
    #[arg(long, hide = true, value_name = "BYTES")]
    pub kernel_memory: Option<String>,
    /// Accepted for runc's sake, without effect
    #[arg(long, hide = true, value_name = "BYTES")]
    pub kernel_memory_tcp: Option<String>,
    /// Most processes and threads at a time; -1 for unlimited
    #[arg(long, value_name = "NUMBER")]
    pub pids_limit: Option<i64>,
    /// L3 cache, as in linux.intelRdt.l3CacheSchema
    #[arg(long, value_name = "SCHEMA")]
    pub l3_cache_schema: Option<String>,
    /// Memory bandwidth, as in linux.intelRdt.memBwSchema
    #[arg(long, value_name = "SCHEMA")]
    pub mem_bw_schema: Option<String>,
    /// The container's id
    #[arg(value_name = "CONTAINER-ID")]
    pub id: String,
}
