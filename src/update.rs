//! `update`: changes the limits of a container that is created, running or paused.
//!
//! All that is asked for is in force afterwards and recorded, or nothing of it.

use crate::cli;
use crate::config::linux::IntelRdt;
use crate::config::resources::{BlockIo, Cpu, Memory, Pids, Resources};
use crate::config::{self, Document};
use crate::container::{ContainerId, Directory, Record, directory};
use crate::context::Context as Globals;
use crate::error::{Code, Error, Result};
use crate::hooks::Status;
use crate::intel_rdt::Groups;
use crate::spawn::HELD_BACK;
use crate::sys::signals::{self, SignalSet};
use rustix::process::Pid;
use serde_json::{Value, json};
use std::os::fd::AsFd;
use std::path::Path;

/// Runs the command.
///
/// # Errors
/// Where the container does not run, or a limit is refused: no limit is changed then.
pub fn run(globals: &Globals, args: &cli::Update) -> Result<()> {
    let directory = globals.root.open(&ContainerId::new(&args.id)?)?;
    let change = Change {
        resources: resources(args)?,
        rdt: IntelRdt {
            l3_cache_schema: args.l3_cache_schema.clone().filter(|text| !text.is_empty()),
            mem_bw_schema: args.mem_bw_schema.clone().filter(|text| !text.is_empty()),
            ..IntelRdt::default()
        },
    };
    let _lock = directory.lock(directory::PATIENCE)?;
    let record = directory.read()?;
    check_status(&directory, &record)?;
    // Interrupted, it would leave the half of it.
    signals::block(&SignalSet::of(HELD_BACK));
    change.make(&directory, record)
}

/// What is to be changed.
struct Change {
    resources: Resources,
    rdt: IntelRdt,
}

impl Change {
    /// Makes all of it, step by step; the step that fails takes those before it back.
    fn make(&self, directory: &Directory, mut record: Record) -> Result<()> {
        let document = Document::regular(&directory.config_path())?;
        let linux = config::checked(&document)?.linux;
        let before = linux.resources.unwrap_or_default();
        let after = config::merged(document.text(), self.as_config())?;
        if self.changes_schemata() {
            make_groups(directory, &mut record)?;
        }
        let groups = record
            .intel_rdt
            .as_ref()
            .filter(|_| self.changes_schemata());
        let limits = record.cgroups.update(&before, &self.resources)?;
        let schemata = match groups.map(|groups| groups.update(&self.rdt)).transpose() {
            Ok(schemata) => schemata,
            Err(error) => return Err(limits.roll_back(error)),
        };
        directory.replace_config(&after).map_err(|error| {
            let error = limits.roll_back(error);
            match groups
                .zip(schemata)
                .map(|(groups, old)| groups.restore(&old))
            {
                Some(Err(failure)) => error.followed_by(failure),
                _ => error,
            }
        })
    }

    /// The part of config.json that this sets.
    fn as_config(&self) -> Value {
        let mut linux = json!({"resources": self.resources});
        if self.changes_schemata() {
            linux["intelRdt"] = json!(self.rdt);
        }
        json!({"linux": linux})
    }

    fn changes_schemata(&self) -> bool {
        self.rdt != IntelRdt::default()
    }
}

/// Gives a container that is in no groups of resctrl its own, with all that runs in it. What is
/// recorded may be what an update that failed was about to make.
fn make_groups(directory: &Directory, record: &mut Record) -> Result<()> {
    let groups = match &record.intel_rdt {
        Some(groups) => groups.clone(),
        None => {
            let groups = Groups::planned(&IntelRdt::default(), &record.id)?;
            record.intel_rdt = Some(groups.clone());
            directory.write(record)?;
            groups
        }
    };
    groups.complete(|| {
        let processes = record.cgroups.processes()?;
        let number = |pid: Pid| pid.as_raw_nonzero().get();
        Ok(processes.into_iter().map(number).collect())
    })
}

fn check_status(directory: &Directory, record: &Record) -> Result<()> {
    match directory.status(record)? {
        Status::Created | Status::Running | Status::Paused => Ok(()),
        // Engines match these words.
        Status::Creating | Status::Stopped => {
            Err(Error::new(Code::WrongState, "container not running"))
        }
    }
}

/// What is to be changed: of the file, or of the flags, which do not count beside a file.
fn resources(args: &cli::Update) -> Result<Resources> {
    let given = match &args.resources {
        Some(path) => of_file(path)?,
        None => of_flags(args),
    };
    let mut resources = given.without_unset();
    // As runc: memory cannot be unlimited while it is limited together with swap.
    if let Some(memory) = &mut resources.memory
        && memory.limit == Some(-1)
    {
        memory.swap.get_or_insert(-1);
    }
    Ok(resources)
}

fn of_file(path: &Path) -> Result<Resources> {
    let document = if path.as_os_str() == "-" {
        Document::from_fd(Path::new("standard input"), std::io::stdin().as_fd())?
    } else {
        Document::any(path)?
    };
    document.parse()
}

fn of_flags(args: &cli::Update) -> Resources {
    for (flag, value) in [
        ("kernel-memory", &args.kernel_memory),
        ("kernel-memory-tcp", &args.kernel_memory_tcp),
    ] {
        if value.is_some() {
            log::warn!(
                "--{flag} has no effect: kernels do not limit this memory by itself any more"
            );
        }
    }
    Resources {
        memory: Some(Memory {
            limit: args.memory,
            reservation: args.memory_reservation,
            swap: args.memory_swap,
            ..Memory::default()
        }),
        cpu: Some(Cpu {
            shares: args.cpu_share,
            quota: args.cpu_quota,
            burst: args.cpu_burst,
            period: args.cpu_period,
            realtime_runtime: args.cpu_rt_runtime,
            realtime_period: args.cpu_rt_period,
            cpus: args.cpuset_cpus.clone(),
            mems: args.cpuset_mems.clone(),
            idle: args.cpu_idle,
        }),
        block_io: Some(BlockIo {
            weight: args.blkio_weight,
            ..BlockIo::default()
        }),
        pids: Some(Pids {
            limit: args.pids_limit,
        }),
        ..Resources::default()
    }
}
