//! From an image's config to a bundle's (image-spec, conversion.md), on the config that
//! `tare spec` writes.

pub mod users;

use super::document::{Config as ImageConfig, Execution, Labels};
use crate::config::linux::IdMapping;
use crate::config::{Config, Mount};
use crate::error::{Code, Error, Result};
use crate::plan::rootfs::ContainerPath;
use crate::spec;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

/// Annotations by which an image would change what the container may do on the host: runtimes
/// obey them, and an image is not to be trusted with that.
const UNSAFE: &[&str] = &[
    "org.systemd.property.",
    "run.oci.",
    "org.criu.",
    "io.katacontainers.",
    "dev.gvisor.",
    "module.wasm.",
];

/// Where volumes would take the place of the default mounts, and have the host's pseudo file
/// systems copied into them.
const RESERVED: [&str; 3] = ["/proc", "/sys", "/dev"];

/// What the user wants otherwise than the image.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// In place of `Config.User`.
    pub user: Option<String>,
    /// In place of `Config.WorkingDir`.
    pub cwd: Option<String>,
    /// In place of `Config.Entrypoint`, and `Config.Cmd` goes with it.
    pub entrypoint: Option<String>,
    /// In place of `Config.Cmd`.
    pub args: Vec<String>,
    /// `NAME=VALUE`, over `Config.Env`.
    pub env: Vec<String>,
    /// Capabilities more.
    pub capabilities: Vec<String>,
    /// `root.readonly`.
    pub read_only: bool,
    /// `process.terminal`.
    pub terminal: bool,
    /// With an ordinary user's mappings: these.
    pub rootless: Option<(Vec<IdMapping>, Vec<IdMapping>)>,
}

/// The config of a bundle with the image. `rootfs` is asked for where a user has to be looked up
/// in it.
///
/// # Errors
/// A user that the image does not know; a wish that cannot be.
pub fn config(
    image: &ImageConfig,
    wishes: &Wishes,
    rootfs: impl FnOnce() -> Result<OwnedFd>,
) -> Result<Config> {
    let execution = &image.config;
    let mut config = spec::default_config(wishes.rootless.is_some());
    if let Some((uids, gids)) = &wishes.rootless {
        config.linux.uid_mappings.clone_from(uids);
        config.linux.gid_mappings.clone_from(gids);
    }
    config.root.readonly = wishes.read_only;
    config.annotations = annotations(image);
    config.mounts.extend(volumes(execution));
    let Some(process) = &mut config.process else {
        return Ok(config);
    };
    process.terminal = wishes.terminal;
    process.args = args(execution, wishes).unwrap_or_else(|| std::mem::take(&mut process.args));
    process.env = env(execution, wishes, &process.env)?;
    let cwd = wishes.cwd.as_deref().unwrap_or(&execution.working_dir);
    // "" is "/", and so relative ones are below it.
    process.cwd = ContainerPath::new(cwd).as_str().into();
    let user = wishes.user.as_deref().unwrap_or(&execution.user);
    process.user = match users::numeric(user) {
        Some(user) => user,
        None => users::resolve(user, rootfs()?.as_fd())?,
    };
    process.add_capabilities(&wishes.capabilities);
    Ok(config)
}

/// What is to be executed, where the image or the user says.
fn args(execution: &Execution, wishes: &Wishes) -> Option<Vec<String>> {
    let mut args = match &wishes.entrypoint {
        Some(entrypoint) => vec![entrypoint.clone()],
        None => execution.entrypoint.clone(),
    };
    if !wishes.args.is_empty() {
        args.extend_from_slice(&wishes.args);
    } else if wishes.entrypoint.is_none() {
        args.extend_from_slice(&execution.cmd);
    }
    (!args.is_empty()).then_some(args)
}

/// The image's environment, the user's over it, and of the defaults what neither has.
fn env(execution: &Execution, wishes: &Wishes, defaults: &[String]) -> Result<Vec<String>> {
    fn name(variable: &str) -> &str {
        variable.split_once('=').map_or(variable, |(name, _)| name)
    }
    if let Some(wrong) = wishes
        .env
        .iter()
        .find(|variable| name(variable).is_empty() || !variable.contains('='))
    {
        return Err(Error::new(
            Code::Usage,
            format!("--env {wrong:?} is not NAME=VALUE"),
        ));
    }
    let mut env: Vec<String> = Vec::new();
    // What is no assignment, as some images have it, means nothing to anybody.
    let of_image = execution
        .env
        .iter()
        .filter(|variable| variable.contains('='));
    for variable in of_image.chain(&wishes.env) {
        match env.iter_mut().find(|known| name(known) == name(variable)) {
            Some(known) => known.clone_from(variable),
            None => env.push(variable.clone()),
        }
    }
    let missing = |default: &&String| env.iter().all(|known| name(known) != name(default));
    let missing: Vec<String> = defaults.iter().filter(missing).cloned().collect();
    Ok([missing, env].concat())
}

/// conversion.md, "Annotation Fields": a label of the same name wins.
fn annotations(image: &ImageConfig) -> Labels {
    let execution = &image.config;
    let platform = &image.platform;
    let features = platform.os_features.join(",");
    let ports: Vec<&str> = execution.exposed_ports.keys().map(String::as_str).collect();
    let ports = ports.join(",");
    let implied = [
        ("os", &platform.os),
        ("architecture", &platform.architecture),
        ("variant", &platform.variant),
        ("os.version", &platform.os_version),
        ("os.features", &features),
        ("author", &image.author),
        ("created", &image.created),
        ("stopSignal", &execution.stop_signal),
        ("exposedPorts", &ports),
    ];
    let mut annotations: BTreeMap<String, String> = implied
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value.clone()))
        .collect();
    for (name, value) in &execution.labels {
        if UNSAFE.iter().any(|prefix| name.starts_with(prefix)) {
            log::warn!("the image's label {name:?} is left out: runtimes would obey it");
        } else {
            annotations.insert(name.clone(), value.clone());
        }
    }
    annotations
}

/// A tmpfs for each volume, with what the image has there: data is kept out of the rootfs.
fn volumes(execution: &Execution) -> Vec<Mount> {
    let destinations = execution
        .volumes
        .keys()
        .map(|path| ContainerPath::new(path));
    let destinations = destinations.filter(|path| path.names().next().is_some());
    let is_reserved = |path: &ContainerPath| {
        let reserved = RESERVED.iter().find(|reserved| {
            let rest = path.as_str().strip_prefix(**reserved);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if let Some(reserved) = reserved {
            log::warn!(
                "the image's volume {} is left out: {reserved} is the runtime's",
                path.as_str()
            );
        }
        reserved.is_some()
    };
    let destinations = destinations.filter(|path| !is_reserved(path));
    destinations
        .map(|destination| Mount {
            destination: destination.as_str().into(),
            kind: Some("tmpfs".into()),
            source: Some("tmpfs".into()),
            options: ["rw", "nosuid", "nodev", "tmpcopyup"]
                .map(str::to_owned)
                .to_vec(),
            uid_mappings: Vec::new(),
            gid_mappings: Vec::new(),
        })
        .collect()
}
