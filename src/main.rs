//! tare: the program. From arguments to a command to an exit code.

use clap::{CommandFactory, FromArgMatches, Parser};
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;
use tare::cli::{Cli, Command, Global};
use tare::context::Context;
use tare::error::{Code, Result};
use tare::sys::signals;
use tare::{
    arguments, create, delete, events, exec, features, gc, image_command, kill, list, logger,
    pause, ps, run, spec, start, state, timing, unpack, update, validate, version,
};

fn main() -> ExitCode {
    let began = Instant::now();
    signals::keep_ended_children();
    let words = arguments::normalised(Cli::command, std::env::args_os().collect());
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &words),
    };
    if cli.global.version {
        return finish(version::run().map(|()| 0), 1, &cli.global);
    }
    if let Err(error) = logger::start(&cli.global) {
        eprintln!("{error}");
        return ExitCode::from(1);
    }
    let Some(command) = cli.command else {
        // As runc: no command is a wish for help.
        let _ = Cli::command().print_help();
        return ExitCode::SUCCESS;
    };
    // runc answers 255 for an exec that failed, and 1 for all else.
    let on_failure = if matches!(command, Command::Exec(_)) {
        exec::FAILED
    } else {
        1
    };
    timing::start(cli.global.timing, began);
    let result = execute(&Context::new(&cli.global), &command);
    timing::end();
    finish(result, on_failure, &cli.global)
}

fn execute(globals: &Context, command: &Command) -> Result<i32> {
    let done = match command {
        Command::Run(args) => return run::run(globals, args),
        Command::Exec(args) => return exec::run(globals, args),
        Command::Validate(args) => return validate::run(args),
        Command::Create(args) => create::run(globals, args),
        Command::Start(args) => start::run(globals, args),
        Command::State(args) => state::run(globals, args),
        Command::Kill(args) => kill::run(globals, args),
        Command::Delete(args) => delete::run(globals, args),
        Command::List(args) => list::run(globals, args),
        Command::Ps(args) => ps::run(globals, args),
        Command::Events(args) => events::run(globals, args),
        Command::Gc(args) => gc::run(globals, args),
        Command::Pause(args) => pause::pause(globals, args),
        Command::Resume(args) => pause::resume(globals, args),
        Command::Update(args) => update::run(globals, args),
        Command::Spec(args) => spec::run(
            &args
                .bundle
                .as_deref()
                .unwrap_or(".".as_ref())
                .join(&args.file),
            args.rootless,
        ),
        Command::Unpack(args) => unpack::run(args),
        Command::Image(command) => image_command::run(command),
        Command::Features => features::run(),
    };
    done.map(|()| 0)
}

fn finish(result: Result<i32>, on_failure: i32, flags: &Global) -> ExitCode {
    let code = result.unwrap_or_else(|error| {
        logger::failure(&error, flags);
        on_failure
    });
    // An exit status has eight bits.
    ExitCode::from((code & 0xff) as u8)
}

/// Help and errors of the command line; runc exits with 1 where clap would with 2.
fn usage(error: &clap::Error, words: &[OsString]) -> ExitCode {
    // Nothing can be done about a closed stdout.
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    // An engine reads the log alone, which is where as much of the line as is right says.
    let flags = Cli::command()
        .ignore_errors(true)
        .try_get_matches_from(words)
        .and_then(|matches| Global::from_arg_matches(&matches));
    if let Ok(flags) = flags
        && flags.log.is_some()
        && logger::start(&flags).is_ok()
    {
        let text = error.to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let first = first.strip_prefix("error: ").unwrap_or(first);
        let words: Vec<&str> = first.split_whitespace().collect();
        log::error!(target: Code::Usage.as_str(), "{}", words.join(" "));
    }
    ExitCode::from(1)
}
