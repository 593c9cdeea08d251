//! `create`: from a bundle to a container that waits for `start`.

mod bring_up;

use crate::cgroups::{Claim, Manager};
use crate::cli::{self, NewContainer};
use crate::config::{self, Config, Document};
use crate::container::process::HostProcess;
use crate::container::{ContainerId, Directory, Record};
use crate::context::Context as Globals;
use crate::delete;
use crate::dry_run;
use crate::error::{Context, Result};
use crate::handover;
use crate::host_mounts;
use crate::image::overlay::Overlay;
use crate::intel_rdt::Groups;
use crate::launch::{HELD_BACK, Running};
use crate::notify;
use crate::plan::build::{self, Built, Request, hooks_of_kind};
use crate::stacked;
use crate::sys::signals::{self, SignalSet};
use crate::terminal::users_size;
use crate::timing;
use bring_up::bring_up;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A container that has been created.
#[derive(Debug)]
pub struct Created {
    /// Its state directory.
    pub directory: Directory,
    /// What is recorded of it.
    pub record: Record,
    /// Its init.
    pub init: Running,
}

/// Runs the command.
///
/// # Errors
/// See [`create`].
pub fn run(globals: &Globals, args: &cli::Create) -> Result<()> {
    let id = ContainerId::new(&args.id)?;
    let bundle = bundle_path(args.new.bundle.as_deref())?;
    let terminal = Terminal::HandedOver;
    if let Some(format) = args.new.dry_run {
        return dry_run(globals, &args.new, &id, &bundle, terminal, format);
    }
    create(globals, &args.new, &id, &bundle, Owner::Caller, terminal).map(drop)
}

/// Prints what [`create`] would do.
///
/// # Errors
/// As far as it can be told without doing anything, those of [`create`].
pub fn dry_run(
    globals: &Globals,
    args: &NewContainer,
    id: &ContainerId,
    bundle: &Path,
    terminal: Terminal,
    format: cli::DryRun,
) -> Result<()> {
    let config = config::load(&config_path(args, bundle))?;
    let overlay = stacked::Root::of(bundle, &config, globals)?;
    let wanted = Wanted {
        args,
        id,
        bundle,
        owner: Owner::Caller,
        overlay: overlay.as_ref().map(stacked::Root::overlay),
        config: &config,
        terminal,
    };
    check_terminal(&wanted)?;
    let inherited = Inherited::of_caller(args)?;
    let cgroups = cgroups(globals, &config, id)?;
    let state = globals.root.vacant(id)?;
    let built = build(&wanted, &inherited, &cgroups, &state)?;
    let planned = dry_run::Planned {
        id: id.as_str(),
        bundle,
        state: &state,
        config: &config,
        cgroups: &cgroups,
        plan: &built.plan,
    };
    dry_run::print(&planned, format)
}

/// Who takes the master of the container's terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// Whoever listens at `--console-socket`.
    HandedOver,
    /// This process.
    Kept,
}

/// Whose a bundle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The caller's.
    Caller,
    /// The container's, with which it goes.
    Container,
}

/// The bundle's directory, absolute; relative paths of the config are below it.
///
/// # Errors
/// Where there is no such directory.
pub fn bundle_path(given: Option<&Path>) -> Result<PathBuf> {
    let path = given.unwrap_or(Path::new("."));
    let absolute = path
        .canonicalize()
        .context(|| format!("opening the bundle {}", path.display()))?;
    // As runc: hooks of the runtime's namespace are run in the bundle.
    rustix::process::chdir(&absolute)
        .context(|| format!("entering the bundle {}", path.display()))?;
    Ok(absolute)
}

fn config_path(args: &NewContainer, bundle: &Path) -> PathBuf {
    let name = args.config.as_deref().unwrap_or(Path::new("config.json"));
    bundle.join(name)
}

/// Creates a container.
///
/// # Errors
/// What is wrong with the config, before anything is made; else what failed, when all that
/// was made is removed again.
pub fn create(
    globals: &Globals,
    args: &NewContainer,
    id: &ContainerId,
    bundle: &Path,
    owner: Owner,
    terminal: Terminal,
) -> Result<Created> {
    let document = Document::regular(&config_path(args, bundle))?;
    let config = config::checked(&document)?;
    timing::phase("reading and checking config.json");
    let overlay = stacked::Root::of(bundle, &config, globals)?;
    let wanted = Wanted {
        args,
        id,
        bundle,
        owner,
        overlay: overlay.as_ref().map(stacked::Root::overlay),
        config: &config,
        terminal,
    };
    check_terminal(&wanted)?;
    let inherited = Inherited::of_caller(args)?;
    let cgroups = cgroups(globals, &config, id)?;
    timing::phase("finding the cgroups");
    let (directory, lock) = globals.root.create(id)?;
    timing::phase("making the state directory");
    let (built, mut record) = directory
        .keep_config(document.text())
        .and_then(|()| plan(&wanted, &inherited, cgroups, &directory))
        .inspect_err(|_| remove_empty(&directory))?;
    timing::phase("making the plan and recording the intent");
    // From here on whoever interrupts us is heard only between two steps.
    signals::block(&SignalSet::of(HELD_BACK));
    // Kept until the container's process can be seen in its cgroup, or all is undone.
    let mut claim = Claim::none();
    match bring_up(&wanted, &directory, &lock, &mut record, built, &mut claim) {
        Ok(init) => Ok(Created {
            directory,
            record,
            init,
        }),
        Err(error) => {
            undo(&directory, &record);
            Err(error)
        }
    }
}

/// The manager of the cgroups that the config asks for.
fn cgroups(globals: &Globals, config: &Config, id: &ContainerId) -> Result<Manager> {
    let path = config.linux.cgroups_path.as_deref();
    globals
        .cgroups()?
        .manager(path, &config.annotations, id.as_str())
}

/// What is to be created.
struct Wanted<'a> {
    args: &'a NewContainer,
    id: &'a ContainerId,
    bundle: &'a Path,
    owner: Owner,
    /// What the root is stacked from, where it is no directory.
    overlay: Option<&'a Overlay>,
    config: &'a Config,
    terminal: Terminal,
}

/// What the container's process inherits of our caller besides the config.
struct Inherited {
    preserved_fds: u32,
    more_env: Vec<(String, String)>,
    notifies: bool,
}

impl Inherited {
    fn of_caller(args: &NewContainer) -> Result<Self> {
        let listen = handover::listen_fds();
        let preserved_fds = args.preserve_fds.saturating_add(listen.count);
        handover::check_preserved(preserved_fds)?;
        let notifies = notify::asked_for().is_some();
        let mut more_env = listen.environment();
        more_env.extend(notifies.then(notify::variable));
        Ok(Self {
            preserved_fds,
            more_env,
            notifies,
        })
    }
}

/// Makes the plan, and records what is about to be made.
fn plan(
    wanted: &Wanted<'_>,
    inherited: &Inherited,
    cgroups: Manager,
    directory: &Directory,
) -> Result<(Built, Record)> {
    let built = build(wanted, inherited, &cgroups, directory.path())?;
    if inherited.notifies {
        notify::make_directory(directory.path())?;
    }
    let record = intent(wanted, cgroups, &built)?;
    directory.write(&record)?;
    Ok((built, record))
}

/// Makes the plan.
fn build(
    wanted: &Wanted<'_>,
    inherited: &Inherited,
    cgroups: &Manager,
    state: &Path,
) -> Result<Built> {
    let notify_dir = inherited.notifies.then(|| notify::directory(state));
    let mut built = build::create(
        wanted.config,
        &Request {
            id: wanted.id.as_str(),
            bundle: wanted.bundle,
            cgroups,
            no_pivot: wanted.args.no_pivot,
            new_keyring: !wanted.args.no_new_keyring,
            preserved_fds: inherited.preserved_fds,
            more_env: &inherited.more_env,
            root_is_made: wanted.overlay.is_some(),
            notify_dir: notify_dir.as_deref(),
        },
    )?;
    if wanted.terminal == Terminal::Kept
        && let Some(size) = &mut built.plan.terminal
    {
        *size = users_size().unwrap_or(*size);
    }
    Ok(built)
}

fn check_terminal(wanted: &Wanted<'_>) -> Result<()> {
    let has_terminal = wanted.config.require_process()?.terminal;
    let handed_over = wanted.terminal == Terminal::HandedOver;
    let socket = wanted.args.console_socket.as_deref();
    handover::check_terminal(has_terminal, handed_over, socket)
}

/// What is about to be made.
fn intent(wanted: &Wanted<'_>, cgroups: Manager, built: &Built) -> Result<Record> {
    let config = wanted.config;
    let plan = &built.plan;
    let joined = plan
        .namespaces
        .join
        .iter()
        .fold(0, |bits, join| bits | join.kinds);
    Ok(Record {
        oci_version: config.oci_version.clone(),
        id: wanted.id.as_str().to_owned(),
        bundle: wanted.bundle.to_owned(),
        owns_bundle: wanted.owner == Owner::Container,
        rootfs: plan
            .rootfs
            .as_ref()
            .map(|rootfs| host_mounts::path_of(rootfs).to_owned())
            .unwrap_or_default(),
        created: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
        owner_uid: rustix::process::getuid().as_raw(),
        annotations: config.annotations.clone(),
        creator: HostProcess::current(rustix::process::getpid())?,
        process: None,
        mounts_before: host_mounts::before(plan)?,
        owns_cgroups: false,
        cgroups,
        intel_rdt: match &config.linux.intel_rdt {
            Some(rdt) => Some(Groups::planned(rdt, wanted.id.as_str())?),
            None => None,
        },
        namespaces: plan.namespaces.new | joined,
        setgroups: plan.namespaces.setgroups,
        keyring: plan.keyring.clone(),
        poststart: hooks_of_kind("poststart", &config.hooks.poststart)?,
        poststop: hooks_of_kind("poststop", &config.hooks.poststop)?,
    })
}

/// Removes a directory that speaks of nothing yet.
fn remove_empty(directory: &Directory) {
    if let Err(error) = directory.remove() {
        log::warn!("after a failed create: {error}");
    }
}

/// Removes all that a failed create has made. What cannot be removed stays recorded, for
/// `delete --force`.
fn undo(directory: &Directory, record: &Record) {
    if let Err(error) = delete::destroy(directory, record) {
        log::warn!(
            "after a failed create: {error} (try: delete --force {})",
            record.id
        );
    }
}
