//! `manual DIRECTORY`: writes tare's man pages and shell completions, made from the command
//! line's own definitions, below DIRECTORY as below /usr/share.

use clap::{Command, CommandFactory};
use clap_complete::{Generator, Shell};
use std::fs;
use std::io::{Error, Result};
use std::path::Path;
use tare::cli::Cli;

fn main() -> Result<()> {
    let usage = || Error::other("usage: manual DIRECTORY");
    let share = std::env::args_os().nth(1).ok_or_else(usage)?;
    let share = Path::new(&share);
    man_pages(&share.join("man/man8"))?;
    for (shell, dir) in [
        (Shell::Bash, "bash-completion/completions"),
        (Shell::Zsh, "zsh/site-functions"),
        (Shell::Fish, "fish/vendor_completions.d"),
    ] {
        completions(shell, &share.join(dir))?;
    }
    Ok(())
}

/// tare.8, and a page for each command.
fn man_pages(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let mut tare = Cli::command()
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true);
    tare.build();
    for command in tare.get_subcommands() {
        page(command.clone(), dir)?;
    }
    page(tare, dir)
}

fn page(command: Command, dir: &Path) -> Result<()> {
    // "tare exec" after build(), tare-exec for man.
    let name = command.get_display_name().unwrap_or("tare").to_owned();
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .title(&name)
        .section("8")
        .source(concat!("tare ", env!("CARGO_PKG_VERSION")))
        .manual("tare")
        .render(&mut page)?;
    fs::write(dir.join(format!("{name}.8")), page)
}

fn completions(shell: Shell, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    let file = dir.join(match shell {
        Shell::Bash => "tare".into(),
        _ => shell.file_name("tare"),
    });
    let mut out = fs::File::create(file)?;
    clap_complete::generate(shell, &mut Cli::command(), "tare", &mut out);
    Ok(())
}
