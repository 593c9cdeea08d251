//! What a test stands on: a run-wide rootfs, a sandbox per test that fails the test when
//! the runtime left anything behind, and the containers made in it.

mod command;
mod container;
pub mod host;
mod leftovers;
pub mod limits;
pub mod program;
mod terminal;
pub mod user;

pub use command::{Command, Output, Running};
pub use container::Container;
pub use terminal::{DescriptorSocket, Terminal};

use leftovers::Leftovers;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Lists a module's tests; one that is not listed is dead code, and so a warning.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        pub fn tests() -> Vec<libtest_mimic::Trial> {
            vec![$(crate::harness::trial(module_path!(), stringify!($name), $name)),*]
        }
    };
}
pub(crate) use tests;

/// The binary under test.
pub fn runtime() -> &'static str {
    static RUNTIME: OnceLock<String> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        std::env::var("TARE_TEST_RUNTIME").unwrap_or_else(|_| env!("CARGO_BIN_EXE_tare").into())
    })
}

static BUSYBOX: OnceLock<PathBuf> = OnceLock::new();
static SANDBOXES: AtomicU32 = AtomicU32::new(0);

/// What all tests of one run share: a directory with a copy of busybox to link from.
struct Run {
    dir: PathBuf,
}

impl Run {
    /// Checks what the tests need of the machine, and makes the shared directory.
    fn begin() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("it needs root (try: sudo make test)".into());
        }
        // A container must be able to run it without a loader or libraries.
        let busybox = Path::new("/bin/busybox");
        if !busybox.exists() {
            return Err("no /bin/busybox (try: apt-get install busybox-static)".into());
        }
        // A panic is one test's failure, printed with it and not when it happens.
        panic::set_hook(Box::new(|info| PANIC.set(Some(info.to_string()))));
        let dir = std::env::temp_dir().join(format!("tare-suite-{}", std::process::id()));
        make_dir(&dir);
        fs::copy(busybox, dir.join("busybox")).map_err(|e| format!("copying busybox: {e}"))?;
        BUSYBOX.get_or_init(|| dir.join("busybox"));
        Ok(Self { dir })
    }
}

/// Runs the tests of the modules as the command line says: all that a suite's `main` does.
pub fn run(modules: impl IntoIterator<Item = Vec<Trial>>) -> ExitCode {
    let mut args = Arguments::from_args();
    // Containers mostly wait; more threads than this only make the timing tests noisy.
    args.test_threads.get_or_insert(4);
    let run = match Run::begin() {
        Ok(run) => run,
        Err(why) => {
            eprintln!("the suite cannot run here: {why}");
            return ExitCode::FAILURE;
        }
    };
    let trials = modules.into_iter().flatten().filter(is_wanted).collect();
    let conclusion = libtest_mimic::run(&args, trials);
    drop(run);
    conclusion.exit_code()
}

/// Whether a part of the test's name is in `TARE_TEST_NAMES`, where that is set: the command line
/// takes but one.
fn is_wanted(trial: &Trial) -> bool {
    std::env::var("TARE_TEST_NAMES").map_or(true, |names| {
        let mut names = names.split_whitespace();
        names.any(|name| trial.name().contains(name))
    })
}

impl Drop for Run {
    fn drop(&mut self) {
        // What a failed test kept mounted stays; it was reported there.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Makes a directory that the container's users can pass through, whatever our umask is.
pub fn make_dir(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Carries a skip's reason out of a test.
struct Skip(String);

/// Ends the test as ignored, for a reason that is printed and counted.
pub fn skip(why: &str) -> ! {
    panic::resume_unwind(Box::new(Skip(why.into())))
}

thread_local! {
    /// Where and why this thread panicked last.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A test with its sandbox around it.
pub fn trial(module: &str, name: &str, test: fn(&Sandbox)) -> Trial {
    let module = module.rsplit("::").next().unwrap_or(module);
    Trial::ignorable_test(format!("{module}::{name}"), move || {
        let sandbox = Sandbox::new();
        let result = panic::catch_unwind(AssertUnwindSafe(|| test(&sandbox)));
        let left = sandbox.clear();
        match result {
            Ok(()) if left.is_empty() => Ok(Completion::Completed),
            Ok(()) => Err(Failed::from(format!("the runtime left behind: {left}"))),
            Err(payload) => match payload.downcast::<Skip>() {
                Ok(skip) => Ok(Completion::ignored_with(skip.0)),
                Err(_) => {
                    let mut why = PANIC.take().unwrap_or_default();
                    if !left.is_empty() {
                        why += &format!("\nand the runtime left behind: {left}");
                    }
                    Err(Failed::from(why))
                }
            },
        }
    })
}

/// One test's world: its own directory, state root, ids and cgroup names, all of which
/// carry the sandbox's token, so that what is left over can be found and told apart.
pub struct Sandbox {
    token: String,
    dir: PathBuf,
    made: Cell<u32>,
}

impl Sandbox {
    fn new() -> Self {
        let number = SANDBOXES.fetch_add(1, Ordering::Relaxed);
        let token = format!("tt{}x{number}x", std::process::id());
        let dir = std::env::temp_dir().join(&token);
        make_dir(&dir);
        Self {
            token,
            dir,
            made: Cell::new(0),
        }
    }

    /// An id that no other test has.
    pub fn id(&self, name: &str) -> String {
        format!("{}{name}", self.token)
    }

    /// A path in the test's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file into the test's own directory.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Makes a directory in the test's own directory.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        make_dir(&path);
        path
    }

    /// The state directory.
    pub fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// A number that is new in this sandbox.
    pub fn number(&self) -> u32 {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }

    /// The runtime with these arguments behind `--root` and what else is global.
    pub fn tare<A: AsRef<str>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let root = self.root();
        self.command(runtime())
            .arg("--root")
            .arg(root.to_str().unwrap())
            .args(host::flags())
            .args(args)
    }

    /// The same for a shell's script.
    pub fn tare_words(&self) -> String {
        let flags = host::flags().join(" ");
        format!("{} --root {} {flags}", runtime(), self.root().display())
    }

    /// Any program, with its output in files of this sandbox.
    pub fn command(&self, program: &str) -> Command {
        Command::new(program, self.path(&format!("out{}", self.number())))
    }

    /// A container with the default config.json, as yet only on disk.
    pub fn container(&self) -> Container<'_> {
        let number = self.number();
        Container::new(self, self.id(&format!("c{number}")))
    }

    /// What exists on this machine because of this sandbox, once the dying have had time
    /// to die.
    pub fn leftovers(&self) -> Leftovers {
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let left = Leftovers::find(&self.token, &self.root());
            if !left.has_processes() || Instant::now() > deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Fails when anything of any container of this test is still there.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let left = self.leftovers();
        assert!(left.is_empty(), "left behind: {left}");
    }

    /// Has the runtime delete what the test left standing, then removes by force, and
    /// returns, what the runtime did not.
    fn clear(&self) -> Leftovers {
        let ids: Vec<_> = fs::read_dir(self.root())
            .map(|dir| dir.flatten().map(|entry| entry.file_name()).collect())
            .unwrap_or_default();
        for id in ids {
            let delete = self.tare(["delete", "--force", id.to_str().unwrap()]);
            // A failure shows in what is left.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| delete.run()));
        }
        let left = self.leftovers();
        left.remove();
        let _ = fs::remove_dir_all(&self.dir);
        left
    }
}

/// Waits until `done` is so, or fails the test naming what never came.
#[track_caller]
pub fn wait_for(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Which descriptors a process has, once it executes `sleep`.
#[track_caller]
pub fn descriptors(pid: impl std::fmt::Display) -> Vec<u32> {
    wait_for("the program", || {
        fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| line.starts_with("sleep"))
    });
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut found: Vec<u32> = entries
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect();
    found.sort_unstable();
    found
}
