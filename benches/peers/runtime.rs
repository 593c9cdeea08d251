//! A runtime under measurement: how it is found, run, timed and asked for its version.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tare::error::{Code, Context, Error, Result};
use tare::sys::usage::{self, Usage};

/// No command measured here takes a tenth of this.
const DEADLINE: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// A runtime with a state directory of its own.
pub struct Runtime {
    pub name: String,
    pub version: String,
    path: PathBuf,
    root: PathBuf,
    by_systemd: bool,
    /// What its commands wrote to stderr.
    log: PathBuf,
}

/// What one command cost.
#[derive(Clone, Copy)]
pub struct Cost {
    pub wall: Duration,
    pub usage: Usage,
}

impl Runtime {
    /// The runtime at `path`, keeping its state below `directory`.
    pub fn new(name: &str, path: &Path, directory: &Path, by_systemd: bool) -> Result<Self> {
        let root = directory.join(name);
        fs::create_dir_all(&root).context(|| format!("making {}", root.display()))?;
        Ok(Self {
            name: name.to_owned(),
            version: version(path),
            path: path.to_owned(),
            log: directory.join(format!("{name}.log")),
            root,
            by_systemd,
        })
    }

    /// The words that run `args` by this runtime.
    pub fn words<'a>(&'a self, args: &'a [&'a str]) -> Vec<&'a std::ffi::OsStr> {
        let mut words = vec![self.path.as_os_str(), "--root".as_ref(), self.root.as_ref()];
        if self.by_systemd {
            words.push("--systemd-cgroup".as_ref());
        }
        words.extend(args.iter().map(std::ffi::OsStr::new));
        words
    }

    /// Runs `args` and tells what it cost; a status other than 0 is an error.
    pub fn time(&self, args: &[&str]) -> Result<Cost> {
        let (status, cost) = self.attempt(args)?;
        if status.success() {
            return Ok(cost);
        }
        let command = format!("{} {}", self.name, args.join(" "));
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last = log.trim_end().lines().next_back().unwrap_or_default();
        Err(Error::new(
            Code::System,
            format!("{command}: {status}: {last}"),
        ))
    }

    /// Runs `args` and tells how it ended and what it cost.
    pub fn attempt(&self, args: &[&str]) -> Result<(ExitStatus, Cost)> {
        let words = self.words(args);
        let log = File::options()
            .append(true)
            .create(true)
            .open(&self.log)
            .context(|| format!("opening {}", self.log.display()))?;
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let start = Instant::now();
        let child = command
            .spawn()
            .context(|| format!("running {}", self.path.display()))?;
        let (status, usage) = wait(child)?;
        let wall = start.elapsed();
        Ok((status, Cost { wall, usage }))
    }

    /// Creates a container and returns with what that cost the pid of its init.
    pub fn create(&self, bundle: &Path, id: &str) -> Result<(Cost, Pid)> {
        let pid_file = self.root.with_extension(format!("{id}.pid"));
        let cost = self.time(&[
            "create",
            "--bundle",
            &bundle.to_string_lossy(),
            "--pid-file",
            &pid_file.to_string_lossy(),
            id,
        ])?;
        let pid = fs::read_to_string(&pid_file).context(|| "reading a pid file")?;
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| Error::new(Code::System, "a pid file without a pid"))?;
        Ok((cost, pid))
    }

    /// Removes a container, whatever its state; what cannot be removed is not there.
    pub fn remove(&self, id: &str) {
        if let Err(error) = self.attempt(&["delete", "--force", id]) {
            eprintln!("{}: {error}", self.name);
        }
    }
}

/// Waits for a child, which is killed at the deadline.
fn wait(mut child: Child) -> Result<(ExitStatus, Usage)> {
    let pid = Pid::from_child(&child);
    if !has_ended(pid)? {
        child.kill().context(|| "killing a command")?;
    }
    usage::wait(child).context(|| "waiting for a command")
}

/// Waits for a process to end, and tells whether it did before the deadline.
pub fn has_ended(pid: Pid) -> Result<bool> {
    let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(rustix::io::Errno::SRCH) => return Ok(true),
        other => other.context(|| "opening a pidfd")?,
    };
    let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
    Ok(poll(&mut ended, Some(&DEADLINE)).context(|| "waiting for a process")? > 0)
}

/// The first line of `--version`, without the name.
fn version(path: &Path) -> String {
    let output = Command::new(path).arg("--version").output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let first = text.lines().next().unwrap_or_default();
    first.rsplit(' ').next().unwrap_or_default().to_owned()
}

/// The program of that name on PATH, or where Debian keeps root's programs.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}
