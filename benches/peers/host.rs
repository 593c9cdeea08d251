//! What the figures depend on and a reader must know: kernel, processors, cgroups.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

/// Whether /sys/fs/cgroup is v2 alone.
pub fn has_unified_cgroups() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// The host in one line.
pub fn describe(by_systemd: bool) -> String {
    let kernel = rustix::system::uname();
    let cgroups = match (
        has_unified_cgroups(),
        Path::new("/sys/fs/cgroup/unified").exists(),
    ) {
        (true, _) => "v2",
        (false, true) => "v1 (hybrid)",
        (false, false) => "v1",
    };
    let driver = if by_systemd { " by systemd" } else { "" };
    format!(
        "Linux {} {}, {} x {}, cgroup {cgroups}{driver}",
        kernel.release().to_string_lossy(),
        kernel.machine().to_string_lossy(),
        available_parallelism().map_or(0, usize::from),
        processor()
    )
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1))
        .map_or_else(|| "processor".to_owned(), |name| name.trim().to_owned())
}
