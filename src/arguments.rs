//! The command line as Go's flag package reads it, and so runc: `-pid-file` is `--pid-file`, and
//! `--detach=true` is `--detach`. clap knows neither, and would read `-env` as `-e nv`. An empty
//! value is none to runc, and scripts rely on that: `--pid-file "$FILE"`.

use clap::{Arg, ArgAction, Command};
use std::ffi::OsString;

/// Brings arguments, the program's name first, into clap's forms. What needs none of that, as
/// every line that an engine writes, is returned as it is.
pub fn normalised(command: impl FnOnce() -> Command, given: Vec<OsString>) -> Vec<OsString> {
    let is_gos =
        |arg: &OsString| arg.is_empty() || Flag::parse(arg).is_some_and(|flag| flag.is_gos());
    if !given.iter().any(is_gos) {
        return given;
    }
    let mut tool = command();
    tool.build();
    let mut current = &tool;
    let mut words = Vec::with_capacity(given.len());
    let mut given = given.into_iter();
    words.extend(given.next());
    while let Some(word) = given.next() {
        if let Some(flag) = Flag::parse(&word) {
            let Some(arg) = flag.find(current) else {
                words.push(word);
                continue;
            };
            let waits_for_value = arg.get_action().takes_values()
                && !arg.is_require_equals_set()
                && flag.value.is_none();
            let value = if waits_for_value { given.next() } else { None };
            let given = flag.value.map(str::is_empty);
            let is_empty = given.or(value.as_ref().map(|value| value.is_empty()));
            if is_empty != Some(true) || !may_be_unset(arg) {
                words.extend(flag.rewritten(arg));
                words.extend(value);
            }
            continue;
        }
        let is_end = word == "--";
        let subcommand = word.to_str().and_then(|name| current.find_subcommand(name));
        words.push(word);
        match subcommand {
            Some(subcommand) => current = subcommand,
            // The rest is another program's.
            None if is_end || takes_another_program(current) => break,
            None => {}
        }
    }
    words.extend(given);
    words
}

/// Whether a flag with an empty value is as good as none: where it takes one text, and has no
/// default that is one of some words or a number.
fn may_be_unset(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set) && arg.get_default_values().is_empty()
}

fn takes_another_program(command: &Command) -> bool {
    command.get_arguments().any(Arg::is_trailing_var_arg_set)
}

/// One word that is a flag.
struct Flag<'a> {
    word: &'a str,
    has_two_dashes: bool,
    name: &'a str,
    value: Option<&'a str>,
}

impl<'a> Flag<'a> {
    fn parse(word: &'a OsString) -> Option<Self> {
        let word = word.to_str()?;
        let one = word.strip_prefix('-')?;
        let two = one.strip_prefix('-');
        let text = two.unwrap_or(one);
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        (!name.is_empty()).then_some(Self {
            word,
            has_two_dashes: two.is_some(),
            name,
            value,
        })
    }

    /// Whether clap may read it otherwise than Go does.
    fn is_gos(&self) -> bool {
        (!self.has_two_dashes && self.name.len() > 1)
            || self
                .value
                .is_some_and(|v| v.is_empty() || truth(v).is_some())
    }

    fn find<'c>(&self, command: &'c Command) -> Option<&'c Arg> {
        let mut args = command.get_arguments();
        let mut letters = self.name.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => args.find(|arg| arg.get_short() == Some(letter)),
            _ => args.find(|arg| arg.get_long() == Some(self.name)),
        }
    }

    /// In clap's form; nothing for a switch that is off.
    fn rewritten(&self, arg: &Arg) -> Option<OsString> {
        let dashes = if self.name.len() == 1 { "-" } else { "--" };
        let switch = format!("{dashes}{}", self.name).into();
        match self.value {
            None => Some(switch),
            Some(value) if arg.get_action().takes_values() => {
                Some(format!("{dashes}{}={value}", self.name).into())
            }
            Some(value) => match truth(value) {
                Some(true) => Some(switch),
                Some(false) => None,
                None => Some(self.word.into()),
            },
        }
    }
}

/// A truth value, as strconv.ParseBool has it.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn check(given: &str, expected: &str) {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let result = normalised(Cli::command, words(given));
        assert_eq!(result, words(expected), "{given}");
    }

    #[test]
    fn gos_forms_become_claps() {
        for (given, expected) in [
            ("tare -root /r -debug list", "tare --root /r --debug list"),
            (
                "tare -log=/l list -format json",
                "tare --log=/l list --format json",
            ),
            ("tare --systemd-cgroup=false list", "tare list"),
            (
                "tare create -pid-file -x -b=d id",
                "tare create --pid-file -x -b=d id",
            ),
            ("tare delete -force=1 id", "tare delete --force id"),
            (
                "tare exec -env A=true -t=T id ls",
                "tare exec --env A=true -t id ls",
            ),
            (
                "tare exec --tty=maybe id ls -la",
                "tare exec --tty=maybe id ls -la",
            ),
        ] {
            check(given, expected);
        }
    }

    #[test]
    fn empty_values_are_none() {
        for (given, expected) in [
            ("tare --log= list", "tare list"),
            (
                "tare create --pid-file  --bundle b id",
                "tare create --bundle b id",
            ),
            ("tare create -b= id", "tare create id"),
            ("tare exec --env= id ls", "tare exec --env= id ls"),
            ("tare list --format=", "tare list --format="),
            ("tare exec id ls --x= ", "tare exec id ls --x= "),
        ] {
            check(given, expected);
        }
    }

    #[test]
    fn what_is_another_programs_stays() {
        for line in [
            "tare exec id ls -env --detach=true",
            "tare ps id -format",
            "tare exec -- id -env",
            "tare exec -e -env=true id ls",
            "tare -bogus list",
            "tare exec -td id ls",
        ] {
            check(line, line);
        }
    }
}
