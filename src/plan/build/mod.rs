//! From config to plan: every decision that the init stage must not have to make.

mod devices;
mod hooks;
mod idmap;
mod mounts;
mod namespaces;
mod process;
mod rootfs;

pub use hooks::of_kind as hooks_of_kind;
pub use idmap::{IdMaps, Mapping, Mappings};
pub use namespaces::needs_helper;

use super::{Hooks, Plan, Sysctl, Terminal};
use crate::cgroups::Manager;
use crate::config::check::proc_sys_path;
use crate::config::{self, Config};
use crate::error::{Code, Context, Error, Result};
use crate::hooks::{State, Status};
use crate::plan::namespaces::{Join, Namespaces};
use crate::sys::namespace;
use crate::sys::schedule::SchedAttr;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What `create` knows besides config.json.
#[derive(Debug)]
pub struct Request<'a> {
    /// The container's id.
    pub id: &'a str,
    /// Absolute.
    pub bundle: &'a Path,
    /// Its cgroups.
    pub cgroups: &'a Manager,
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// Not `--no-new-keyring`.
    pub new_keyring: bool,
    /// `--preserve-fds`, with those of socket activation.
    pub preserved_fds: u32,
    /// Variables that the runtime adds to the process's environment.
    pub more_env: &'a [(String, String)],
    /// The parent makes the root's mount.
    pub root_is_made: bool,
    /// A host directory bound into the container besides the config's mounts.
    pub notify_dir: Option<&'a Path>,
}

/// A plan and the descriptors it refers to.
#[derive(Debug)]
pub struct Built {
    /// The plan.
    pub plan: Plan,
    /// For each of `plan.namespaces.join`.
    pub namespaces: Vec<OwnedFd>,
    /// Whose ids the parent maps when it opens their sources.
    pub idmaps: IdMaps,
    /// What the parent sets when the init stage is ready, as that could not branch off under it.
    pub late_scheduler: Option<SchedAttr>,
}

/// The plan of a new container.
///
/// # Errors
/// What the system cannot do for this config: a namespace path of the wrong kind, a missing
/// rootfs.
pub fn create(config: &Config, request: &Request<'_>) -> Result<Built> {
    let (mut namespaces, descriptors) = namespaces::plan(&config.linux)?;
    namespaces.setgroups &= !config.keeps_groups();
    let process = config.require_process()?;
    let mut env = process.env.clone();
    env.extend(
        request
            .more_env
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    let in_user_namespace = namespaces.makes(libc::CLONE_NEWUSER as u64)
        || namespaces.joins(libc::CLONE_NEWUSER as u64);
    let plan_process = process::plan(process, config, &env, in_user_namespace)?;
    let (rootfs, idmaps) = rootfs::plan(config, request, &namespaces)?;
    let plan = Plan {
        rootfs: Some(rootfs),
        keyring: request.new_keyring.then(|| format!("_ses.{}", request.id)),
        hostname: config.hostname.clone(),
        domainname: config.domainname.clone(),
        sysctls: sysctls(config, || joins_our_network(&namespaces, &descriptors))?,
        terminal: terminal(process),
        hooks: init_hooks(config, request)?,
        process: plan_process,
        preserved_fds: request.preserved_fds,
        namespaces,
    };
    Ok(Built {
        plan,
        namespaces: descriptors,
        idmaps,
        late_scheduler: None,
    })
}

/// What `exec` knows besides its process.
#[derive(Debug)]
pub struct ExecRequest {
    /// The container's process, as a pidfd.
    pub container: OwnedFd,
    /// The container's id, for its session keyring.
    pub keyring: Option<String>,
    /// `CLONE_NEW*` bits of the namespaces that the container does not share with us.
    pub namespaces: u64,
    /// Whether setgroups(2) may be called in it.
    pub setgroups: bool,
    /// `--preserve-fds`, with those of socket activation.
    pub preserved_fds: u32,
}

/// The plan of one more process in a container.
///
/// # Errors
/// As [`create`].
pub fn exec(process: &config::Process, config: &Config, request: ExecRequest) -> Result<Built> {
    let in_user_namespace = request.namespaces & libc::CLONE_NEWUSER as u64 != 0;
    let mut planned = process::plan(process, config, &process.env, in_user_namespace)?;
    planned.affinity = process::affinity(process);
    let late_scheduler = planned.scheduler.take_if(|attr| attr.bars_fork());
    let (namespaces, descriptors) =
        namespaces::join_container(request.container, request.namespaces, request.setgroups);
    let plan = Plan {
        namespaces,
        keyring: request.keyring,
        hostname: None,
        domainname: None,
        rootfs: None,
        sysctls: Vec::new(),
        terminal: terminal(process),
        hooks: Hooks::default(),
        process: planned,
        preserved_fds: request.preserved_fds,
    };
    Ok(Built {
        plan,
        namespaces: descriptors,
        idmaps: IdMaps::new(),
        late_scheduler,
    })
}

fn terminal(process: &config::Process) -> Option<Terminal> {
    let size = process.console_size;
    let characters = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
    process.terminal.then(|| Terminal {
        height: size.map_or(0, |size| characters(size.height)),
        width: size.map_or(0, |size| characters(size.width)),
    })
}

fn sysctls(config: &Config, on_our_network: impl Fn() -> Result<bool>) -> Result<Vec<Sysctl>> {
    let parameters = config.linux.sysctl.iter();
    parameters
        .map(|(name, value)| {
            let path = proc_sys_path(name).ok_or_else(|| {
                let message = format!("linux.sysctl: {name:?} is not a kernel parameter's name");
                Error::new(Code::InvalidConfig, message)
            })?;
            if path.starts_with("net/") && on_our_network()? {
                let message = format!("sysctl {name:?} not allowed in host network namespace");
                return Err(Error::new(Code::InvalidConfig, message)
                    .hint("it would change the host; set it there"));
            }
            Ok(Sysctl {
                path,
                value: value.clone(),
            })
        })
        .collect()
}

/// Whether the container joins the network that we are in ourselves, by whatever path: Docker
/// has the host's bound somewhere, and names that.
fn joins_our_network(plan: &Namespaces, descriptors: &[OwnedFd]) -> Result<bool> {
    let is_network = |(join, _): &(&Join, &OwnedFd)| join.kinds == libc::CLONE_NEWNET as u64;
    let mut joined = plan.join.iter().zip(descriptors);
    joined.find(is_network).map_or(Ok(false), |(join, fd)| {
        namespace::is_ours(fd, "net").context(|| format!("looking at {}", join.what))
    })
}

fn init_hooks(config: &Config, request: &Request<'_>) -> Result<Hooks> {
    let create_container = hooks::of_kind("createContainer", &config.hooks.create_container)?;
    let start_container = hooks::of_kind("startContainer", &config.hooks.start_container)?;
    let wants_state = !create_container.is_empty() || !start_container.is_empty();
    Ok(Hooks {
        in_runtime: !config.hooks.prestart.is_empty()
            || !config.hooks.create_runtime.is_empty()
            || !config.linux.net_devices.is_empty(),
        create_container,
        start_container,
        state: wants_state.then(|| State {
            oci_version: config.oci_version.clone(),
            id: request.id.to_owned(),
            status: Status::Creating,
            pid: 0,
            bundle: request.bundle.to_string_lossy().into_owned(),
            annotations: config.annotations.clone(),
        }),
    })
}

/// A path for the kernel.
///
/// # Errors
/// Where it holds a NUL.
fn kernel_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| Error::new(Code::InvalidConfig, format!("{path:?} holds a NUL")))
}

/// A string for the kernel.
///
/// # Errors
/// Where it holds a NUL.
fn kernel_string(text: &str, at: &str) -> Result<CString> {
    CString::new(text)
        .map_err(|_| Error::new(Code::InvalidConfig, format!("{at}: {text:?} holds a NUL")))
}
