//! `run`: create, start, and unless detached wait for the end and delete.

use crate::cli;
use crate::container::ContainerId;
use crate::context::Context as Globals;
use crate::create::{self, Owner, Terminal, bundle_path, create};
use crate::delete;
use crate::error::{Code, Context, Error, Result};
use crate::foreground;
use crate::image::store::random_name;
use crate::notify::NotifySocket;
use crate::start;
use crate::temporary::TemporaryBundle;
use std::path::{Path, PathBuf};

/// Runs the command; returns the exit code of the container's process.
///
/// # Errors
/// What keeps the container from being created or started; it is deleted then.
pub fn run(globals: &Globals, args: &cli::Run) -> Result<i32> {
    let Some(image) = &args.image else {
        let (id, bundle) = id_and_bundle(args)?;
        return run_bundle(globals, args, &id, bundle.as_deref(), Owner::Caller);
    };
    let id = match &args.id {
        Some(id) => ContainerId::new(id)?,
        None => ContainerId::new(&format!("tare-{}", &random_name()?[..12]))?,
    };
    let bundle = TemporaryBundle::make(globals, args, image, &id)?;
    // Until it is told by the container's record, it is gone if we are.
    let owner = Owner::Container;
    let result = run_bundle(globals, args, &id, Some(bundle.path()), owner);
    bundle.release(globals, &id);
    result
}

fn run_bundle(
    globals: &Globals,
    args: &cli::Run,
    id: &ContainerId,
    bundle: Option<&Path>,
    owner: Owner,
) -> Result<i32> {
    let bundle = bundle_path(bundle)?;
    let terminal = match args.detach {
        true => Terminal::HandedOver,
        false => Terminal::Kept,
    };
    if let Some(format) = args.new.dry_run {
        return create::dry_run(globals, &args.new, id, &bundle, terminal, format).map(|()| 0);
    }
    if !args.detach {
        foreground::hold_signals();
        if !args.no_subreaper {
            // Its own pid stands for "yes" in rustix; any does.
            rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
                .context(|| "becoming the subreaper")?;
        }
    }
    let created = create(globals, &args.new, id, &bundle, owner, terminal)?;
    let ended = NotifySocket::listen(created.directory.path()).and_then(|notify| {
        let record = start::start(&created.directory)?;
        if !args.detach {
            return foreground::stand_in(created.init, notify).map(|status| status.exit_code());
        }
        if let Some(notify) = notify {
            notify.relay_until_ready(&record)?;
        }
        Ok(0)
    });
    if ended.is_err() || (!args.detach && !args.keep) {
        let deleted = delete::delete(&created.directory, id, true);
        // The first error is the one to tell.
        return ended.and_then(|code| deleted.map(|()| code));
    }
    ended
}

/// The id and the bundle that the one argument means. With a slash it is a bundle's path; so
/// it is where only that makes sense.
fn id_and_bundle(args: &cli::Run) -> Result<(ContainerId, Option<PathBuf>)> {
    let id = match (&args.id, args.args.as_slice()) {
        (Some(id), []) => id.as_str(),
        // As runc: `run -- ID`.
        (None, [id]) => id.as_str(),
        _ => {
            let message = "arguments for the program are for --image alone";
            return Err(Error::new(Code::Usage, message).hint("config.json has the others"));
        }
    };
    let given = Path::new(id);
    let has_config = |dir: &Path| dir.join("config.json").is_file();
    let is_path = id.contains('/')
        || matches!(id, "." | "..")
        || (has_config(given) && !has_config(Path::new(".")));
    if args.new.bundle.is_some() || !is_path {
        return Ok((ContainerId::new(id)?, args.new.bundle.clone()));
    }
    let bundle = given
        .canonicalize()
        .context(|| format!("opening the bundle {}", given.display()))?;
    let name = bundle.file_name().unwrap_or_default().to_string_lossy();
    let id = ContainerId::new(&name).map_err(|error| {
        Error::new(
            Code::Usage,
            format!("the bundle's name makes no id: {error}"),
        )
        .hint("give an id, and --bundle")
    })?;
    Ok((id, Some(bundle)))
}
