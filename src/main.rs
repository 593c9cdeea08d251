//! tare: the program. The init stage when it was executed to be one; else a command.

use clap::{CommandFactory, Parser};
use std::process::ExitCode;
use tare::cli::{Cli, Command, Global};
use tare::context::Context;
use tare::error::Result;
use tare::sys::signals;
use tare::{
    create, delete, exec, features, init, kill, list, logger, pause, ps, run, spec, start, state,
    version,
};

fn main() -> ExitCode {
    // Before anything else: the init stage counts against the container's limits.
    if let Some(invocation) = init::requested() {
        init::run(invocation);
    }
    signals::keep_ended_children();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
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
    let result = execute(&Context::new(&cli.global), &command);
    finish(result, on_failure, &cli.global)
}

fn execute(globals: &Context, command: &Command) -> Result<i32> {
    let done = match command {
        Command::Run(args) => return run::run(globals, args),
        Command::Exec(args) => return exec::run(globals, args),
        Command::Create(args) => create::run(globals, args),
        Command::Start(args) => start::run(globals, args),
        Command::State(args) => state::run(globals, args),
        Command::Kill(args) => kill::run(globals, args),
        Command::Delete(args) => delete::run(globals, args),
        Command::List(args) => list::run(globals, args),
        Command::Ps(args) => ps::run(globals, args),
        Command::Pause(args) => pause::pause(globals, args),
        Command::Resume(args) => pause::resume(globals, args),
        Command::Spec(args) => spec::run(
            args.bundle.as_deref().unwrap_or(".".as_ref()),
            args.rootless,
        ),
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
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing can be done about a closed stdout.
    let _ = error.print();
    ExitCode::from(u8::from(error.use_stderr()))
}
