//! Running a program with a time limit, and saying what was expected of it.

use super::Sandbox;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// No command of the suite may take longer.
const LIMIT: Duration = Duration::from_secs(20);

/// A program about to be run. Its output goes to files and not to pipes: a container that
/// outlives the command keeps its standard streams open.
pub struct Command {
    program: String,
    args: Vec<String>,
    redirects: String,
    stdin: Option<Stdio>,
    cwd: Option<PathBuf>,
    env: Vec<(String, String)>,
    out: PathBuf,
}

impl Command {
    pub(super) fn new(program: &str, out: PathBuf) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            redirects: String::new(),
            stdin: None,
            cwd: None,
            env: Vec::new(),
            out,
        }
    }

    pub fn arg(mut self, arg: impl AsRef<str>) -> Self {
        self.args.push(arg.as_ref().into());
        self
    }

    pub fn args<A: AsRef<str>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn cwd(mut self, dir: &Path) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// A file or terminal for standard input, which is /dev/null otherwise.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = Some(stdin.into());
        self
    }

    /// Bytes for standard input.
    pub fn input(self, text: &str) -> Self {
        let path = self.out.with_extension("in");
        fs::write(&path, text).unwrap();
        self.stdin(File::open(path).unwrap())
    }

    /// The same command in a session of its own, with all streams on the terminal that is
    /// its standard input.
    pub(super) fn on_terminal(self, t: &Sandbox) -> Self {
        let mut args = vec![
            "--ctty".to_owned(),
            "--wait".to_owned(),
            self.program.clone(),
        ];
        args.extend(self.args);
        let mut command = t.command("setsid").args(args).redirect("1>&0 2>&0");
        command.env = self.env;
        command
    }

    /// Redirections in the shell's words ("3<file 2>&-"), made just before the program.
    pub fn redirect(mut self, words: &str) -> Self {
        self.redirects = words.into();
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Output {
        self.spawn().wait()
    }

    /// Starts it, in a process group of its own.
    #[track_caller]
    pub fn spawn(self) -> Running {
        let line = format!("{} {}", self.program, self.args.join(" "));
        let mut command = if self.redirects.is_empty() {
            std::process::Command::new(&self.program)
        } else {
            let mut shell = std::process::Command::new("/bin/bash");
            let script = format!("exec \"$0\" \"$@\" {}", self.redirects);
            shell.args(["-c", &script, &self.program]);
            shell
        };
        command
            .args(&self.args)
            .envs(self.env)
            .stdin(self.stdin.unwrap_or_else(Stdio::null))
            .stdout(File::create(self.out.with_extension("stdout")).unwrap())
            .stderr(File::create(self.out.with_extension("stderr")).unwrap())
            .process_group(0);
        if let Some(cwd) = &self.cwd {
            command.current_dir(cwd);
        }
        let child = command
            .spawn()
            .unwrap_or_else(|why| panic!("cannot start {line}: {why}"));
        Running {
            child,
            line,
            out: self.out,
            deadline: Instant::now() + LIMIT,
            reaped: false,
        }
    }
}

/// A program that is running; dropped, its process group is killed.
pub struct Running {
    child: Child,
    line: String,
    out: PathBuf,
    deadline: Instant,
    reaped: bool,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        read(&self.out.with_extension("stdout"))
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        read(&self.out.with_extension("stderr"))
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: Signal) {
        let _ = rustix::process::kill_process(pid(&self.child), signal);
    }

    /// Kills its whole process group.
    pub fn kill_group(&self) {
        let _ = kill_process_group(pid(&self.child), Signal::KILL);
    }

    /// Waits for its end; fails the test when that does not come in time.
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let pidfd = pidfd_open(pid(&self.child), PidfdFlags::empty()).unwrap();
        let timeout = Timespec::try_from(left).unwrap();
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        let ready = loop {
            match poll(&mut fds, Some(&timeout)) {
                Err(rustix::io::Errno::INTR) => continue,
                other => break other.unwrap(),
            }
        };
        if ready == 0 {
            self.kill_group();
            let stderr = self.stderr();
            panic!("did not end in time: {}\nstderr: {stderr}", self.line);
        }
        let status = self.child.wait().unwrap();
        self.reaped = true;
        Output {
            line: self.line.clone(),
            status: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: self.stdout(),
            stderr: self.stderr(),
            stdout_file: self.out.with_extension("stdout"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill_group();
            let _ = self.child.wait();
        }
    }
}

/// How a command ended. The checks return it again, so that they can be chained.
#[derive(Clone, Debug)]
pub struct Output {
    line: String,
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    stdout_file: PathBuf,
}

impl Output {
    /// It succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// It exited with this status.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert!(
            self.status == status,
            "exit status {} and not {status}: {self}",
            self.status
        );
        self
    }

    /// It failed.
    #[track_caller]
    pub fn fails(self) -> Self {
        assert!(self.status != 0, "did not fail: {self}");
        self
    }

    /// Its standard error holds these words.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(
            self.stderr.contains(words),
            "stderr lacks {words:?}: {self}"
        );
        self
    }

    /// Its standard error holds these words in whatever case.
    #[track_caller]
    pub fn mentions(self, words: &str) -> Self {
        let said = self.stderr.to_lowercase();
        assert!(
            said.contains(&words.to_lowercase()),
            "stderr does not mention {words:?}: {self}"
        );
        self
    }

    /// Its standard output, without space at the ends, is this.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.trim() == text, "stdout is not {text:?}: {self}");
        self
    }

    /// Standard output without space at the ends.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(why) => panic!("stdout is not JSON ({why}): {self}"),
        }
    }

    /// What is in the output file by now: a container that outlives its `create` goes on
    /// writing there.
    pub fn later(&self) -> String {
        read(&self.stdout_file)
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\nstatus: {}\nstdout: {}\nstderr: {}",
            self.line, self.status, self.stdout, self.stderr
        )
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
