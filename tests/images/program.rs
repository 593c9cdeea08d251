//! The program, as a user runs it.

use crate::unpack::Place;
use rustix::fs::MemfdFlags;
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No command may take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A place with a store in it.
pub struct Shop {
    pub place: Place,
}

impl Shop {
    pub fn new() -> Self {
        Self {
            place: Place::new(),
        }
    }

    /// An id that no other test's container has: cgroups are the machine's.
    pub fn id(&self, name: &str) -> String {
        let place = self.place.path.file_name().unwrap().to_string_lossy();
        format!("tare-test-{place}-{name}")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path.join(name)
    }

    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tare"));
        command
            .arg("--root")
            .arg(self.path("root"))
            .args(args)
            .current_dir(&self.place.path)
            .env("TARE_STORE", self.store())
            .stdin(Stdio::null());
        command
    }

    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(&mut self.command(args))
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        self.start(args).finish()
    }

    /// Runs what must succeed, and returns what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let outcome = self.run(args);
        assert_eq!(outcome.code, Some(0), "{args:?}: {outcome:?}");
        outcome.stdout
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// Runs what must fail, in one line that has all of `words`.
    pub fn fails(&self, args: &[&str], words: &[&str]) {
        let outcome = self.run(args);
        assert_eq!(outcome.code, Some(1), "{args:?}: {outcome:?}");
        let said = outcome.stderr.replace("\\\"", "\"");
        let errors = outcome
            .stderr
            .lines()
            .filter(|line| line.contains("level=error"));
        assert_eq!(errors.count(), 1, "{args:?}: {}", outcome.stderr);
        for word in words {
            assert!(said.contains(word), "{args:?}: no {word:?} in {said}");
        }
    }

    /// What an image is, according to `image inspect`.
    pub fn inspect(&self, image: &str, more: &[&str]) -> Value {
        self.json(&[&["image", "inspect", "--json", image], more].concat())
    }

    /// An image that must be refused, by `inspect` and by `unpack` alike, which leaves nothing.
    pub fn refused(&self, image: &str, words: &[&str]) {
        self.fails(&["image", "inspect", image], words);
        for mode in ["flat", "overlay"] {
            self.fails(&["unpack", "--mode", mode, image, "refused"], words);
            self.nothing_is_left();
        }
    }

    /// No such bundle, and nothing half made.
    pub fn nothing_is_left_of(&self, bundle: &str) {
        let here = names(&self.place.path);
        let left = here
            .iter()
            .find(|name| name.starts_with('.') || *name == bundle);
        assert_eq!(left, None);
        let staging = self.store().join("staging");
        assert!(!staging.exists() || names(&staging).is_empty());
    }

    /// No bundle, nothing half made, and nothing in the store.
    pub fn nothing_is_left(&self) {
        self.nothing_is_left_of("refused");
        for directory in ["layers", "images", "bundles", "run"] {
            let path = self.store().join(directory);
            assert!(
                !path.exists() || names(&path).is_empty(),
                "{}",
                path.display()
            );
        }
    }
}

/// The names in a directory, in order.
pub fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// A command that runs. Its output goes to files and not to pipes: a container that outlives it
/// keeps its standard streams open.
pub struct Running {
    pub child: Child,
    out: File,
    err: File,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let [out, err] = ["out", "err"]
            .map(|name| File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC).unwrap()));
        let handed = [&out, &err].map(|file| file.try_clone().unwrap());
        let [handed_out, handed_err] = handed;
        let child = command
            .stdout(handed_out)
            .stderr(handed_err)
            .spawn()
            .unwrap();
        Self { child, out, err }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Outcome {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("it did not end within {LIMIT:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Outcome {
            code: status.code(),
            stdout: text(self.out),
            stderr: text(self.err),
        }
    }
}

fn text(mut file: File) -> String {
    let mut text = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}
