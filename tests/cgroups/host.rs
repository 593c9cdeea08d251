//! Cgroups and processes for tests.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tare::cgroups::{Driver, Manager};
use tare::config::resources::Resources;
use tare::error::Result;

/// A cgroup of one test.
pub struct Cgroup {
    pub manager: Manager,
    pub parent: String,
}

impl Cgroup {
    /// Not made yet. None, if we are not root.
    pub fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: making cgroups needs root");
            return None;
        }
        let driver = Driver::detect(false, false).unwrap();
        let parent = format!("tare-test-{}-{test}", std::process::id());
        let path = format!("/{parent}/box");
        let manager = driver
            .manager(Some(&path), &BTreeMap::new(), "unused")
            .unwrap();
        Some(Self { manager, parent })
    }

    /// The same; none also where this machine has no v1 hierarchies.
    pub fn new_v1(test: &str) -> Option<Self> {
        Self::new(test).filter(|cgroup| cgroup.is("v1"))
    }

    /// The same; none also where it has not v2 alone.
    pub fn new_v2(test: &str) -> Option<Self> {
        Self::new(test).filter(|cgroup| cgroup.is("v2"))
    }

    fn is(&self, version: &str) -> bool {
        let is = version
            == if matches!(self.manager, Manager::V2(_)) {
                "v2"
            } else {
                "v1"
            };
        if !is {
            eprintln!("skipped: this machine has no cgroup {version}");
        }
        is
    }

    pub fn made(test: &str) -> Option<Self> {
        Self::new(test).map(Self::make)
    }

    pub fn made_v1(test: &str) -> Option<Self> {
        Self::new_v1(test).map(Self::make)
    }

    pub fn made_v2(test: &str) -> Option<Self> {
        Self::new_v2(test).map(Self::make)
    }

    fn make(mut self) -> Self {
        self.create(&Resources::default()).unwrap();
        self
    }

    /// Makes it, and lets go of the claim; which is also held, for a moment, by whatever another
    /// thread forks in between.
    pub fn create(&mut self, resources: &Resources) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match self.manager.create(resources) {
                Err(error)
                    if error.to_string().contains("cgroup is not free")
                        && Instant::now() < deadline =>
                {
                    std::thread::sleep(Duration::from_millis(2));
                }
                other => return other.map(drop),
            }
        }
    }

    /// The directory in v1's hierarchy of `controller`, or in v2's for "".
    pub fn dir(&self, controller: &str) -> PathBuf {
        let root = Path::new("/sys/fs/cgroup").join(controller);
        let mut paths = self.manager.paths().into_iter();
        let found = paths.find(|path| path.starts_with(&root));
        found
            .unwrap_or_else(|| panic!("no {controller}"))
            .to_owned()
    }

    pub fn read(&self, controller: &str, file: &str) -> String {
        let path = self.dir(controller).join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        text.trim().to_owned()
    }

    /// A process in it that does `script`.
    pub fn spawn(&self, script: &str) -> Process {
        self.spawn_after(":", script)
    }

    /// The same, of which `first` is done when this returns.
    pub fn spawn_after(&self, first: &str, script: &str) -> Process {
        let v2 = match &self.manager {
            Manager::V1(_) if !Path::new("/sys/fs/cgroup/unified").exists() => None,
            Manager::V1(_) => Some(self.dir("unified")),
            _ => Some(self.dir("")),
        };
        let join = v2.map_or(":".to_owned(), |dir| {
            format!("echo 0 >{}/cgroup.procs || exit 9", dir.display())
        });
        self.spawn_in_v1(&format!("{join}; {first}"), script)
    }

    /// The same, but on a hybrid host not in the v2 hierarchy.
    pub fn spawn_in_v1(&self, first: &str, script: &str) -> Process {
        let files = self.manager.attach_files().unwrap();
        let attach = "for fd in \"$@\"; do echo 0 >&\"$fd\" || exit 9; done";
        let mut command = Command::new("bash");
        let script = format!("{attach}; {first}; echo in; {script}");
        command.args(["-c", &script, "bash"]);
        for file in files.first.iter().chain(&files.memory) {
            rustix::io::fcntl_setfd(file, rustix::io::FdFlags::empty()).unwrap();
            command.arg(file.as_raw_fd().to_string());
        }
        let mut process = Process(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut line = [0; 3];
        let mut output = process.0.stdout.take().unwrap();
        output.read_exact(&mut line).unwrap();
        process
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = self.manager.signal_all(libc::SIGKILL);
        let _ = self.manager.remove();
        for path in self.manager.paths() {
            let parent = path.parent().unwrap();
            assert!(parent.ends_with(&self.parent));
            let _ = fs::remove_dir(parent);
        }
    }
}

/// A child that does not outlive its test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn resources(value: serde_json::Value) -> Resources {
    serde_json::from_value(value).unwrap()
}
