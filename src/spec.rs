//! `tare spec`: a config.json to start from, the same as `runc spec` writes.

use crate::config::linux::{IdMapping, Linux, Namespace, NamespaceKind};
use crate::config::process::{Capabilities, Process, Rlimit, RlimitKind, User};
use crate::config::resources::{DeviceAccess, DeviceRule, Resources};
use crate::config::{Config, Hooks, Mount, Root};
use crate::error::{Code, Context, Error, Result};
use rustix::process::{getegid, geteuid};
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use std::collections::BTreeMap;
use std::fs::{File, remove_file};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The version of the runtime-spec that configs are written for.
const SPEC_VERSION: &str = "1.3.0";

/// Writes the default config.json to a path that has none.
pub fn run(path: &Path, rootless: bool) -> Result<()> {
    let doing = || format!("writing {}", path.display());
    let text = to_json(&default_config(rootless)).context(doing)?;
    let mut file = File::create_new(path).map_err(|cause| match cause.kind() {
        ErrorKind::AlreadyExists => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let message = format!("File {name} exists. Remove it first");
            Error::new(Code::Exists, message)
        }
        _ => Error::system(format!("creating {}", path.display()), cause),
    })?;
    file.write_all(&text).context(doing).inspect_err(|_| {
        // Half a config would only stand in the way of the next attempt.
        let _ = remove_file(path);
    })
}

/// runc's default config, as of 1.4. That of 1.1 differs in ociVersion and in a set of ambient
/// capabilities beside the others; inheritable ones there are none since CVE-2022-29162.
pub fn default_config(rootless: bool) -> Config {
    let mut config = Config {
        oci_version: SPEC_VERSION.to_owned(),
        process: Some(default_process()),
        root: Root {
            path: "rootfs".into(),
            readonly: true,
        },
        hostname: Some("runc".to_owned()),
        domainname: None,
        mounts: default_mounts(),
        hooks: Hooks::default(),
        annotations: BTreeMap::new(),
        linux: default_linux(),
        solaris: None,
        windows: None,
        vm: None,
        zos: None,
        freebsd: None,
    };
    if rootless {
        make_rootless(&mut config);
    }
    config
}

fn default_process() -> Process {
    let capabilities = strings(&["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    Process {
        terminal: true,
        console_size: None,
        user: User::default(),
        args: strings(&["sh"]),
        command_line: None,
        env: strings(&[
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM=xterm",
        ]),
        cwd: "/".into(),
        capabilities: Some(Capabilities {
            bounding: capabilities.clone(),
            effective: capabilities.clone(),
            permitted: capabilities,
            ..Capabilities::default()
        }),
        rlimits: vec![Rlimit {
            kind: RlimitKind::Nofile,
            hard: 1024,
            soft: 1024,
        }],
        no_new_privileges: true,
        apparmor_profile: None,
        oom_score_adj: None,
        scheduler: None,
        selinux_label: None,
        io_priority: None,
        exec_cpu_affinity: None,
    }
}

fn default_mounts() -> Vec<Mount> {
    let pts = [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
        "gid=5",
    ];
    vec![
        mount("/proc", "proc", "proc", &[]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount("/dev/pts", "devpts", "devpts", &pts),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ]
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: destination.into(),
        kind: Some(kind.to_owned()),
        source: Some(source.to_owned()),
        options: strings(options),
        uid_mappings: Vec::new(),
        gid_mappings: Vec::new(),
    }
}

fn default_linux() -> Linux {
    use NamespaceKind::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let deny_all_devices = DeviceRule {
        allow: false,
        kind: None,
        major: None,
        minor: None,
        access: Some(DeviceAccess::ALL),
    };
    let mut namespaces = [Pid, Network, Ipc, Uts, Mount].map(made).to_vec();
    if is_cgroup_v2() {
        namespaces.push(made(Cgroup));
    }
    Linux {
        resources: Some(Resources {
            devices: vec![deny_all_devices],
            ..Resources::default()
        }),
        namespaces,
        masked_paths: paths(&[
            "/proc/acpi",
            "/proc/asound",
            "/proc/kcore",
            "/proc/keys",
            "/proc/latency_stats",
            "/proc/timer_list",
            "/proc/timer_stats",
            "/proc/sched_debug",
            "/sys/firmware",
            "/proc/scsi",
        ]),
        readonly_paths: paths(&[
            "/proc/bus",
            "/proc/fs",
            "/proc/irq",
            "/proc/sys",
            "/proc/sysrq-trigger",
        ]),
        ..Linux::default()
    }
}

/// What a user without privileges needs otherwise: a user namespace with their own ids
/// alone, the host's network, and nothing of cgroups.
fn make_rootless(config: &mut Config) {
    let linux = &mut config.linux;
    linux
        .namespaces
        .retain(|namespace| namespace.kind != NamespaceKind::Network);
    linux.namespaces.push(made(NamespaceKind::User));
    linux.uid_mappings = vec![root_is(geteuid().as_raw())];
    linux.gid_mappings = vec![root_is(getegid().as_raw())];
    linux.resources = None;
    for entry in &mut config.mounts {
        // A new sysfs takes a network namespace of one's own.
        if entry.destination == Path::new("/sys") {
            *entry = mount(
                "/sys",
                "none",
                "/sys",
                &["rbind", "nosuid", "noexec", "nodev", "ro"],
            );
        }
        let is_owner = |option: &str| option.starts_with("uid=") || option.starts_with("gid=");
        entry.options.retain(|option| !is_owner(option));
    }
}

fn made(kind: NamespaceKind) -> Namespace {
    Namespace { kind, path: None }
}

fn root_is(host_id: u32) -> IdMapping {
    IdMapping {
        container_id: 0,
        host_id,
        size: 1,
    }
}

/// As runc tells: whether the hierarchies' place is one of v2.
fn is_cgroup_v2() -> bool {
    const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
    rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|stat| stat.f_type as u64 == CGROUP2_SUPER_MAGIC)
}

/// As runc lays it out, to the byte: tabs, and no newline at the end.
///
/// # Errors
/// None that a config can cause.
pub fn to_json(config: &Config) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let format = PrettyFormatter::with_indent(b"\t");
    config.serialize(&mut serde_json::Serializer::with_formatter(
        &mut text, format,
    ))?;
    Ok(text)
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

fn paths(list: &[&str]) -> Vec<PathBuf> {
    list.iter().map(PathBuf::from).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn json(rootless: bool) -> serde_json::Value {
        serde_json::to_value(default_config(rootless)).unwrap()
    }

    #[test]
    fn nothing_is_inheritable_or_ambient() {
        let capabilities = &json(false)["process"]["capabilities"];
        let sets: Vec<_> = capabilities.as_object().unwrap().keys().collect();
        assert_eq!(sets, ["bounding", "effective", "permitted"]);
    }

    #[test]
    fn rootless_has_a_user_namespace_and_none_of_what_takes_privileges() {
        let linux = &json(true)["linux"];
        let kinds: Vec<_> = linux["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["type"])
            .collect();
        assert!(kinds.iter().any(|kind| *kind == "user"));
        assert!(!kinds.iter().any(|kind| *kind == "network"));
        assert_eq!(linux["uidMappings"][0]["hostID"], geteuid().as_raw());
        assert_eq!(linux["resources"], serde_json::Value::Null);
        let text = json(true)["mounts"].to_string();
        assert!(!text.contains("gid=") && !text.contains("sysfs"));
    }

    #[test]
    fn it_is_written_with_tabs_and_never_over_another() {
        let bundle = std::env::temp_dir().join(format!("tare-spec-{}", std::process::id()));
        std::fs::create_dir(&bundle).unwrap();
        let file = bundle.join("config.json");
        let first = run(&file, false);
        let text = std::fs::read_to_string(&file).unwrap();
        let second = run(&file, true);
        std::fs::remove_dir_all(&bundle).unwrap();
        first.unwrap();
        assert!(text.starts_with(
            "{\n\t\"ociVersion\": \"1.3.0\",\n\t\"process\": {\n\t\t\"terminal\": true,"
        ));
        assert!(text.ends_with("\n\t}\n}"));
        let error = second.unwrap_err();
        assert_eq!(
            error.to_string(),
            "File config.json exists. Remove it first"
        );
        assert_eq!(error.code(), Code::Exists);
    }
}
