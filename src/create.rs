//! `create`: from a bundle to a container that waits for `start`.

use crate::cli::{self, NewContainer};
use crate::config::{self, Config, Document};
use crate::container::process::HostProcess;
use crate::container::{ContainerId, Directory, Lock, Record, gate};
use crate::context::Context as Globals;
use crate::delete;
use crate::error::{Context, Result};
use crate::handover;
use crate::hooks::Status;
use crate::host_mounts;
use crate::launch::{self, HELD_BACK, Launch, Running, Runtime};
use crate::notify;
use crate::plan::build::{self, Built, Request, hooks_of_kind};
use crate::sys::signals::{self, SignalSet};
use crate::terminal::users_size;
use std::os::fd::AsFd;
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
    let created = create(globals, &args.new, &id, &bundle, Terminal::HandedOver)?;
    drop(created);
    Ok(())
}

/// Who takes the master of the container's terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// Whoever listens at `--console-socket`.
    HandedOver,
    /// This process.
    Kept,
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
    terminal: Terminal,
) -> Result<Created> {
    let document = Document::regular(&bundle.join("config.json"))?;
    let config = config::checked(&document)?;
    check_terminal(args, &config, terminal)?;
    let cgroups = globals
        .cgroups()?
        .manager(config.linux.cgroups_path.as_deref(), id.as_str())?;
    let listen = handover::listen_fds();
    let notifies = notify::asked_for().is_some();
    let mut more_env = listen.environment();
    more_env.extend(notifies.then(notify::variable));
    let preserved_fds = args.preserve_fds.saturating_add(listen.count);
    handover::check_preserved(preserved_fds)?;
    let (directory, lock) = globals.root.create(id)?;
    let built = build::create(
        &config,
        &Request {
            id: id.as_str(),
            bundle,
            cgroups: &cgroups,
            no_pivot: args.no_pivot,
            new_keyring: !args.no_new_keyring,
            preserved_fds,
            more_env: &more_env,
            notify_dir: notifies
                .then(|| notify::directory(directory.path()))
                .as_deref(),
        },
    );
    let made = built.and_then(|mut built| {
        if terminal == Terminal::Kept
            && let Some(size) = &mut built.plan.terminal
        {
            *size = users_size().unwrap_or(*size);
        }
        let record = intent(&config, id, bundle, cgroups, &built)?;
        directory.keep_config(document.text())?;
        if notifies {
            notify::make_directory(directory.path())?;
        }
        directory.write(&record)?;
        Ok((built, record))
    });
    let (built, mut record) = made.inspect_err(|_| remove_empty(&directory))?;
    // From here on whoever interrupts us is heard only between two steps.
    signals::block(&SignalSet::of(HELD_BACK));
    match bring_up(
        args,
        &config,
        &directory,
        &lock,
        &mut record,
        built,
        terminal,
    ) {
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

/// Makes all that outlives this process, of which the record tells already.
fn bring_up(
    args: &NewContainer,
    config: &Config,
    directory: &Directory,
    lock: &Lock,
    record: &mut Record,
    built: Built,
    terminal: Terminal,
) -> Result<Running> {
    let resources = config.linux.resources.clone().unwrap_or_default();
    // Until they are known to be ours, nobody in them is: of two creates with one cgroupsPath,
    // the one that comes second may have seen none.
    let existed = std::mem::replace(&mut record.cgroups_existed, true);
    record.cgroups.create(&resources)?;
    record.cgroups_existed = false;
    if existed {
        directory.write(record)?;
    }
    record.cgroups.apply(&resources)?;
    record.cgroups.apply_devices(&resources.devices)?;
    let gate = gate::make(directory.as_fd())?;
    let mut launched = launch::launch(Launch {
        built,
        cgroup_files: record.cgroups.attach_files()?,
        into_cgroup: record.cgroups.clone_target()?,
        gate: Some((gate, lock.as_fd())),
        runtime: Some(Runtime {
            config,
            prestart: hooks_of_kind("prestart", &config.hooks.prestart, None)?,
            create_runtime: hooks_of_kind("createRuntime", &config.hooks.create_runtime, None)?,
            state: record.state(Status::Creating),
        }),
    })?;
    if terminal == Terminal::HandedOver {
        handover::terminal(launched.terminal.take(), args.console_socket.as_deref())?;
    }
    handover::pidfd(&launched.pidfd, args.pidfd_socket.as_deref())?;
    record.process = Some(HostProcess::current(launched.pid)?);
    directory.write(record)?;
    handover::pid_file(launched.pid, args.pid_file.as_deref())?;
    launched.release()
}

fn check_terminal(args: &NewContainer, config: &Config, terminal: Terminal) -> Result<()> {
    let wants = config.require_process()?.terminal;
    let handed_over = terminal == Terminal::HandedOver;
    handover::check_terminal(wants, handed_over, args.console_socket.as_deref())
}

/// What is about to be made.
fn intent(
    config: &Config,
    id: &ContainerId,
    bundle: &Path,
    cgroups: crate::cgroups::Manager,
    built: &Built,
) -> Result<Record> {
    let plan = &built.plan;
    let joined = plan
        .namespaces
        .join
        .iter()
        .fold(0, |bits, join| bits | join.kinds);
    Ok(Record {
        oci_version: config.oci_version.clone(),
        id: id.as_str().to_owned(),
        bundle: bundle.to_owned(),
        rootfs: plan
            .rootfs
            .as_ref()
            .map(|rootfs| rootfs.path.clone())
            .unwrap_or_default(),
        created: humantime::format_rfc3339_nanos(SystemTime::now()).to_string(),
        owner_uid: rustix::process::getuid().as_raw(),
        annotations: config.annotations.clone(),
        creator: HostProcess::current(rustix::process::getpid())?,
        process: None,
        mounts_before: host_mounts::before(plan)?,
        cgroups_existed: cgroups.paths().first().is_some_and(|path| path.exists()),
        cgroups,
        namespaces: plan.namespaces.new | joined,
        setgroups: plan.namespaces.setgroups,
        keyring: plan.keyring.clone(),
        poststart: hooks_of_kind("poststart", &config.hooks.poststart, None)?,
        poststop: hooks_of_kind("poststop", &config.hooks.poststop, None)?,
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
