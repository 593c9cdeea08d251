//! Device nodes of the plan.

use crate::config::Config;
use crate::config::linux::DeviceKind;
use crate::plan::rootfs::{ContainerPath, Device, Devices};

/// The devices of every container (config-linux.md, "Default Devices"): name and number.
const DEFAULT: &[(&str, u32, u32)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// The default devices and the config's, one per path, the config's counting; none where the
/// container's /dev is a bind mount of a directory that has its own.
pub fn plan(config: &Config, bind: bool) -> Option<Devices> {
    let is_dev = |mount: &&crate::config::Mount| {
        mount.is_bind()
            && ContainerPath::new(&mount.destination.to_string_lossy()).as_str() == "/dev"
    };
    if config.mounts.iter().any(|mount| is_dev(&mount)) {
        return None;
    }
    let asked: Vec<Device> = config
        .linux
        .devices
        .iter()
        .enumerate()
        .map(|(i, device)| asked(i, device))
        .collect();
    let defaults = DEFAULT
        .iter()
        .map(default)
        .filter(|d| asked.iter().all(|other| other.path != d.path));
    Some(Devices {
        nodes: defaults.chain(asked.iter().cloned()).collect(),
        bind,
    })
}

fn default(&(name, major, minor): &(&str, u32, u32)) -> Device {
    Device {
        path: ContainerPath::new(&format!("/dev/{name}")),
        mode: libc::S_IFCHR | 0o666,
        major,
        minor,
        uid: 0,
        gid: 0,
        at: "default devices".into(),
    }
}

fn asked(index: usize, device: &crate::config::linux::Device) -> Device {
    let kind = match device.kind {
        DeviceKind::Char | DeviceKind::Unbuffered => libc::S_IFCHR,
        DeviceKind::Block => libc::S_IFBLK,
        DeviceKind::Fifo => libc::S_IFIFO,
    };
    Device {
        path: ContainerPath::new(&device.path.to_string_lossy()),
        mode: kind | (device.file_mode.unwrap_or(0o666) & 0o7777),
        major: device.major.unwrap_or(0),
        minor: device.minor.unwrap_or(0),
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
        at: format!("linux.devices[{index}]"),
    }
}
