//! The steps of a create, in the order in which `create` and the init stage take them.

use super::{By, Planned, Step};
use crate::config::Hook;
use crate::error::Result;
use crate::plan::mounts::{Attributes, Mount, Source};
use crate::plan::namespaces::Namespaces;
use crate::plan::process::Process;
use crate::plan::rootfs::{Device, Rootfs, Switch};
use rustix::thread::CapabilitySet;
use std::ffi::CString;
use std::path::Path;

/// namespaces(7): the bits and their names in config.json.
const NAMESPACES: [(i32, &str); 8] = [
    (libc::CLONE_NEWUSER, "user"),
    (libc::CLONE_NEWPID, "pid"),
    (libc::CLONE_NEWNS, "mount"),
    (libc::CLONE_NEWNET, "network"),
    (libc::CLONE_NEWIPC, "ipc"),
    (libc::CLONE_NEWUTS, "uts"),
    (libc::CLONE_NEWCGROUP, "cgroup"),
    (libc::CLONE_NEWTIME, "time"),
];

/// mount_setattr(2): the bits and the options that set them.
const ATTRIBUTES: [(u64, &str); 8] = [
    (libc::MOUNT_ATTR_RDONLY, "ro"),
    (libc::MOUNT_ATTR_NOSUID, "nosuid"),
    (libc::MOUNT_ATTR_NODEV, "nodev"),
    (libc::MOUNT_ATTR_NOEXEC, "noexec"),
    (libc::MOUNT_ATTR_NOATIME, "noatime"),
    (libc::MOUNT_ATTR_STRICTATIME, "strictatime"),
    (libc::MOUNT_ATTR_NODIRATIME, "nodiratime"),
    (libc::MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"),
];

/// All of them.
///
/// # Errors
/// What cannot be said to the cgroups of this host.
pub(super) fn of(planned: &Planned<'_>) -> Result<Vec<Step>> {
    let mut list = List(Vec::new());
    let Planned { config, plan, .. } = planned;
    list.create(
        format!("make the state directory {}", planned.state.display()),
        None,
    );
    cgroups(planned, &mut list)?;
    namespaces(&plan.namespaces, config, &mut list);
    names(planned, &mut list);
    if let Some(rootfs) = &plan.rootfs {
        root(rootfs, planned, &mut list);
    }
    privileges(&plan.process, &mut list);
    list.init("wait for start", None);
    start(planned, &mut list);
    list.hooks(By::Delete, "poststop", &config.hooks.poststop);
    Ok(list.0)
}

struct List(Vec<Step>);

impl List {
    fn add(&mut self, by: By, what: impl Into<String>, from: Option<&str>) {
        self.0.push(Step {
            by,
            what: what.into(),
            from: from.map(str::to_owned),
        });
    }

    fn create(&mut self, what: impl Into<String>, from: Option<&str>) {
        self.add(By::Create, what, from);
    }

    fn init(&mut self, what: impl Into<String>, from: Option<&str>) {
        self.add(By::Init, what, from);
    }

    fn hooks(&mut self, by: By, kind: &str, hooks: &[Hook]) {
        for (index, hook) in hooks.iter().enumerate() {
            let what = format!("run the hook {}", hook.path.display());
            self.add(by, what, Some(&format!("hooks.{kind}[{index}]")));
        }
    }
}

fn cgroups(planned: &Planned<'_>, list: &mut List) -> Result<()> {
    let linux = &planned.config.linux;
    for path in planned.cgroups.paths() {
        let what = match path.exists() {
            true => "take the cgroup, which has to be unused,",
            false => "make the cgroup",
        };
        list.create(
            format!("{what} {}", path.display()),
            Some("linux.cgroupsPath"),
        );
    }
    let resources = linux.resources.clone().unwrap_or_default();
    for limit in planned.cgroups.planned_limits(&resources)? {
        let what = format!("write {:?} to {}", limit.value, limit.file.display());
        list.create(what, Some(&limit.field));
    }
    for (index, rule) in resources.devices.iter().enumerate() {
        let rule = serde_json::to_string(rule).unwrap_or_default();
        let from = format!("linux.resources.devices[{index}]");
        list.create(format!("set the device rule {rule}"), Some(&from));
    }
    if linux.intel_rdt.is_some() {
        list.create("make its group in resctrl", Some("linux.intelRdt"));
    }
    Ok(())
}

fn namespaces(namespaces: &Namespaces, config: &crate::config::Config, list: &mut List) {
    let kinds = |bits: u64| -> Vec<&str> {
        let is_in = |(bit, _): &&(i32, &str)| bits & u64::from(bit.cast_unsigned()) != 0;
        NAMESPACES
            .iter()
            .filter(is_in)
            .map(|(_, name)| *name)
            .collect()
    };
    let new = match kinds(namespaces.new) {
        none if none.is_empty() => "start the init stage, in no namespace of its own".to_owned(),
        new => format!(
            "start the init stage with new namespaces: {}",
            new.join(", ")
        ),
    };
    list.create(new, Some("linux.namespaces"));
    for join in &namespaces.join {
        let kinds = kinds(join.kinds).join(", ");
        list.init(format!("join the {kinds} namespace of {}", join.what), None);
    }
    let maps = [
        ("linux.uidMappings", &config.linux.uid_mappings),
        ("linux.gidMappings", &config.linux.gid_mappings),
    ];
    for (from, mappings) in maps {
        for map in mappings {
            let what = format!(
                "map the {} ids from {} in the container to those from {} on the host",
                map.size, map.container_id, map.host_id
            );
            list.create(what, Some(from));
        }
    }
}

fn names(planned: &Planned<'_>, list: &mut List) {
    let plan = planned.plan;
    if let Some(name) = &plan.keyring {
        list.init(format!("join the session keyring {name}"), None);
    }
    if let Some(name) = &plan.hostname {
        list.init(format!("set the host name {name}"), Some("hostname"));
    }
    if let Some(name) = &plan.domainname {
        list.init(format!("set the domain name {name}"), Some("domainname"));
    }
    for sysctl in &plan.sysctls {
        let what = format!("write {:?} to /proc/sys/{}", sysctl.value, sysctl.path);
        list.init(what, Some("linux.sysctl"));
    }
}

fn root(rootfs: &Rootfs, planned: &Planned<'_>, list: &mut List) {
    let config = planned.config;
    list.init(
        format!("open the rootfs {}", rootfs.path.to_string_lossy()),
        Some("root.path"),
    );
    for one in &rootfs.mounts {
        list.init(mount(one), Some(&one.at));
    }
    for node in rootfs.devices.iter().flat_map(|devices| &devices.nodes) {
        let from = Some(node.at.as_str()).filter(|at| at.starts_with("linux."));
        list.init(device(node), from);
    }
    for name in config.linux.net_devices.keys() {
        list.create(
            format!("move the network device {name}"),
            Some("linux.netDevices"),
        );
    }
    list.hooks(By::Create, "prestart", &config.hooks.prestart);
    list.hooks(By::Create, "createRuntime", &config.hooks.create_runtime);
    list.hooks(By::Init, "createContainer", &config.hooks.create_container);
    if planned.plan.terminal.is_some() {
        list.init("make a terminal", Some("process.terminal"));
    }
    let paths = [
        ("hide", "linux.maskedPaths", &rootfs.masked_paths),
        (
            "make read-only",
            "linux.readonlyPaths",
            &rootfs.readonly_paths,
        ),
    ];
    for (what, from, paths) in paths {
        for (index, path) in paths.iter().enumerate() {
            list.init(format!("{what} {path}"), Some(&format!("{from}[{index}]")));
        }
    }
    if rootfs.readonly {
        list.init("make the rootfs read-only", Some("root.readonly"));
    }
    let how = match rootfs.switch {
        Switch::Pivot => "pivot_root",
        Switch::Move => "moving it over /",
        Switch::Chroot => "chroot",
    };
    list.init(format!("make the rootfs the root, by {how}"), None);
}

fn mount(mount: &Mount) -> String {
    let to = &mount.destination;
    let mut options = attributes(mount.attributes, "");
    options.extend(attributes(mount.recursive, "r"));
    let what = match &mount.source {
        Source::Bind {
            path, recursive, ..
        } => {
            let tree = if *recursive {
                " and what is mounted below"
            } else {
                ""
            };
            format!("bind {}{tree} to {to}", path.to_string_lossy())
        }
        Source::FileSystem(fs) => {
            options.extend(fs.options.iter().map(|option| match &option.value {
                Some(value) => format!("{}={value}", option.key),
                None => option.key.clone(),
            }));
            format!("mount {} {} at {to}", fs.kind, fs.source)
        }
        Source::Cgroups { .. } => format!("mount the container's cgroups at {to}"),
    };
    match options.is_empty() {
        true => what,
        false => format!("{what} ({})", options.join(",")),
    }
}

fn attributes(attributes: Attributes, prefix: &str) -> Vec<String> {
    let is_set = |(bit, _): &&(u64, &str)| attributes.set & bit == *bit;
    let set = ATTRIBUTES.iter().filter(is_set);
    set.map(|(_, name)| format!("{prefix}{name}")).collect()
}

fn device(node: &Device) -> String {
    let Device {
        path,
        major,
        minor,
        uid,
        gid,
        mode,
        ..
    } = node;
    let permissions = mode & 0o7777;
    format!("make the device {path}, {major}:{minor}, mode {permissions:04o}, of {uid}:{gid}")
}

fn privileges(process: &Process, list: &mut List) {
    for label in [&process.apparmor_profile, &process.selinux_label]
        .into_iter()
        .flatten()
    {
        list.init(format!("set the label for the program: {label}"), None);
    }
    let user = &process.user;
    let mut who = format!("become user {} and group {}", user.uid, user.gid);
    match user.additional_gids.as_deref() {
        None => who.push_str(", with the caller's groups"),
        Some([]) => {}
        Some(groups) => {
            let groups: Vec<_> = groups.iter().map(u32::to_string).collect();
            who.push_str(&format!(", with the groups {}", groups.join(", ")));
        }
    }
    list.init(who, Some("process.user"));
    let sets = &process.capabilities;
    for (name, bits) in [
        ("bounding", sets.bounding),
        ("effective", sets.effective),
        ("inheritable", sets.inheritable),
        ("permitted", sets.permitted),
        ("ambient", sets.ambient),
    ] {
        let from = format!("process.capabilities.{name}");
        list.init(
            format!("keep of the {name} capabilities: {}", capabilities(bits)),
            Some(&from),
        );
    }
    if process.no_new_privileges {
        list.init("set no_new_privs", Some("process.noNewPrivileges"));
    }
    if let Some(filter) = &process.seccomp {
        let count = filter.program.len();
        let what = format!("attach a seccomp filter of {count} instructions");
        list.init(what, Some("linux.seccomp"));
    }
}

fn capabilities(bits: u64) -> String {
    let set = CapabilitySet::from_bits_truncate(bits);
    if set.is_empty() {
        return "none".to_owned();
    }
    let names: Vec<_> = set
        .iter_names()
        .map(|(name, _)| format!("CAP_{name}"))
        .collect();
    names.join(", ")
}

fn start(planned: &Planned<'_>, list: &mut List) {
    let process = &planned.plan.process;
    let hooks = &planned.config.hooks;
    list.hooks(By::Start, "startContainer", &hooks.start_container);
    for limit in &process.rlimits {
        let amount = |n: u64| match n {
            u64::MAX => "unlimited".to_owned(),
            n => n.to_string(),
        };
        let (soft, hard) = (amount(limit.soft), amount(limit.hard));
        let what = format!("set {} to {soft}, at most {hard}", limit.name);
        list.add(By::Start, what, Some("process.rlimits"));
    }
    let quoted = |arg: &CString| format!("{:?}", arg.to_string_lossy());
    let args: Vec<_> = process.args.iter().map(quoted).collect();
    let cwd = process.cwd.to_string_lossy().into_owned();
    let what = format!(
        "execute {} in {}",
        args.join(" "),
        Path::new(&cwd).display()
    );
    list.add(By::Start, what, Some("process.args"));
    list.hooks(By::Start, "poststart", &hooks.poststart);
}
