//! linux.seccomp (class T8 of the known escapes), by real processes and their system calls.
//! What the filters mean in every detail is tested where they are compiled.

use crate::harness::{Container, Sandbox, tests};
use rustix::event::{PollFd, PollFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;

tests![
    errno,
    errno_of_default,
    allow_list,
    kill,
    kill_process,
    trap,
    unknown_names,
    privileged,
    user_without_no_new_privileges,
    exec_is_filtered,
    exec_is_filtered_privileged,
    exec_gains_no_capability,
    forbids_what_only_the_runtime_needs,
    forbids_even_to_exit,
    too_large,
    argument_that_is_not,
    notify_refused,
    agent_decides,
    agent_decides_for_exec,
    agent_decides_sendmsg,
    agent_is_not_there,
];

/// A profile that allows everything but this rule.
fn profile(rule: Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
}

fn with_profile(t: &Sandbox, profile: Value) -> Container<'_> {
    let mut c = t.container();
    c.set("/linux/seccomp", profile);
    c
}

const NO_MKDIR: &str = "mkdir /tmp/x";

fn no_mkdir(action: &str) -> Value {
    profile(json!({"names": ["mkdir", "mkdirat"], "action": action}))
}

fn errno(t: &Sandbox) {
    let mut c = with_profile(t, no_mkdir("SCMP_ACT_ERRNO"));
    c.writable().script(NO_MKDIR);
    c.run().exits(1).mentions("Operation not permitted");
    let rule = json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28});
    c.set("/linux/seccomp", profile(rule));
    c.run().exits(1).mentions("No space left on device");
}

fn errno_of_default(t: &Sandbox) {
    let mut c = with_profile(t, allow_all_but_mkdir(json!({"defaultErrnoRet": 28})));
    c.writable().script(NO_MKDIR);
    c.run().exits(1).mentions("No space left on device");
}

/// What a shell of busybox needs; `more` are further keys of the profile.
fn allow_all_but_mkdir(more: Value) -> Value {
    let mut profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"action": "SCMP_ACT_ALLOW", "names": [
            "access", "arch_prctl", "brk", "chdir", "clone", "close", "dup", "dup2", "dup3",
            "execve", "exit", "exit_group", "faccessat", "faccessat2", "fcntl", "fork", "fstat",
            "fstatat64", "getcwd", "getdents64", "getegid", "geteuid", "getgid", "getgroups",
            "getpgrp", "getpid", "getppid", "getrandom", "getuid", "ioctl", "lseek", "lstat",
            "mmap", "mprotect", "munmap", "newfstatat", "open", "openat", "pipe", "pipe2", "poll",
            "ppoll", "prctl", "prlimit64", "read", "readlink", "readlinkat", "restart_syscall",
            "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sendfile", "set_robust_list",
            "set_tid_address", "setgid", "setuid", "sigaltstack", "stat", "statx", "sysinfo",
            "tgkill", "umask", "uname", "vfork", "wait4", "write", "writev",
        ]}],
    });
    for (key, value) in more.as_object().unwrap() {
        profile[key] = value.clone();
    }
    profile
}

fn allow_list(t: &Sandbox) {
    let mut c = with_profile(t, allow_all_but_mkdir(json!({})));
    c.writable()
        .script("mkdir /tmp/x; test -d /tmp/x || echo none; cat /proc/self/status | grep Seccomp:");
    c.run().ok().prints("none\nSeccomp:\t2");
}

fn kill(t: &Sandbox) {
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD"] {
        let mut c = with_profile(t, no_mkdir(action));
        c.writable().args(["mkdir", "/tmp/x"]);
        c.run().exits(128 + 31);
    }
}

fn kill_process(t: &Sandbox) {
    let mut c = with_profile(t, no_mkdir("SCMP_ACT_KILL_PROCESS"));
    c.writable().args(["mkdir", "/tmp/x"]);
    c.run().exits(128 + 31);
}

fn trap(t: &Sandbox) {
    let mut c = with_profile(t, no_mkdir("SCMP_ACT_TRAP"));
    c.writable().script("mkdir /tmp/x; echo $?");
    c.run().ok().prints("159");
}

fn unknown_names(t: &Sandbox) {
    let rule = json!({"names": ["of_tomorrow", "mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"});
    let mut c = with_profile(t, profile(rule));
    c.writable().script(NO_MKDIR);
    let out = c.run().exits(1);
    assert!(!out.stderr.contains("of_tomorrow"), "{}", out.stderr);
}

/// Without no_new_privs attaching takes a privilege, which the program must not have after it.
fn privileged(t: &Sandbox) {
    let mut c = with_profile(t, no_mkdir("SCMP_ACT_ERRNO"));
    c.writable()
        .set("/process/noNewPrivileges", json!(false))
        .script("mkdir /tmp/x; cat /proc/self/status");
    let out = c.run().ok().mentions("Operation not permitted");
    assert!(out.stdout.contains("Seccomp:\t2"), "{}", out.stdout);
    assert!(out.stdout.contains("NoNewPrivs:\t0"), "{}", out.stdout);
    assert_no_sys_admin(&out.stdout);
}

fn assert_no_sys_admin(status: &str) {
    for line in status.lines().filter(|line| line.starts_with("Cap")) {
        let bits = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_eq!(bits & 1 << 21, 0, "{line}");
    }
}

fn user_without_no_new_privileges(t: &Sandbox) {
    let mut c = with_profile(t, no_mkdir("SCMP_ACT_ERRNO"));
    c.set("/process/noNewPrivileges", json!(false))
        .set("/process/user", json!({"uid": 1000, "gid": 1000}))
        .unset("/process/capabilities");
    c.args(["cat", "/proc/self/status"]);
    let out = c.run().ok();
    assert!(out.stdout.contains("Seccomp:\t2"), "{}", out.stdout);
    assert!(
        out.stdout.contains("CapPrm:\t0000000000000000"),
        "{}",
        out.stdout
    );
}

fn exec_is_filtered(t: &Sandbox) {
    let mut c = with_profile(t, no_mkdir("SCMP_ACT_ERRNO"));
    c.writable().run_sleeping();
    c.exec(&["mkdir", "/tmp/x"])
        .exits(1)
        .mentions("Operation not permitted");
}

fn exec_is_filtered_privileged(t: &Sandbox) {
    // The Docker profile's answer to clone3, whose flags cannot be filtered.
    let mut profile = no_mkdir("SCMP_ACT_ERRNO");
    profile["syscalls"]
        .as_array_mut()
        .unwrap()
        .push(json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}));
    let mut c = with_profile(t, profile);
    c.writable()
        .set("/process/noNewPrivileges", json!(false))
        .run_sleeping();
    c.exec(&["mkdir", "/tmp/x"])
        .exits(1)
        .mentions("Operation not permitted");
}

fn exec_gains_no_capability(t: &Sandbox) {
    let mut c = with_profile(t, no_mkdir("SCMP_ACT_ERRNO"));
    c.set("/process/noNewPrivileges", json!(false))
        .run_sleeping();
    let out = c.exec(&["cat", "/proc/self/status"]).ok();
    assert!(out.stdout.contains("Seccomp:\t2"), "{}", out.stdout);
    assert_no_sys_admin(&out.stdout);
}

/// A profile need not allow what creating a container takes, nor what starting it takes.
fn forbids_what_only_the_runtime_needs(t: &Sandbox) {
    let rule = json!({"action": "SCMP_ACT_KILL_PROCESS", "names": [
        "accept4", "capset", "clone3", "getcwd", "mount", "move_mount", "open_tree", "openat2",
        "pivot_root", "poll", "recvmsg", "sendmsg", "setgroups", "setresgid", "setresuid",
        "setsid", "signalfd4", "umount2",
    ]});
    for no_new_privileges in [true, false] {
        let mut c = with_profile(t, profile(rule.clone()));
        c.set("/process/noNewPrivileges", json!(no_new_privileges));
        c.args(["cat", "/proc/self/status"]);
        c.run().ok();
    }
}

/// Whatever is refused to it, an init stage that cannot go on ends.
fn forbids_even_to_exit(t: &Sandbox) {
    let mut c = t.container();
    c.set(
        "/linux/seccomp",
        json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38}),
    );
    c.args(["true"]).run().fails();
}

fn too_large(t: &Sandbox) {
    let rules: Vec<Value> = (0..2000)
        .map(|value| {
            json!({"names": ["personality"], "action": "SCMP_ACT_ERRNO",
                   "args": [{"index": 0, "value": value, "op": "SCMP_CMP_GT"}]})
        })
        .collect();
    let c = with_profile(
        t,
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}),
    );
    c.create().fails().says("4096");
    t.assert_nothing_left();
}

fn argument_that_is_not(t: &Sandbox) {
    let rule = json!({"names": ["kill"], "action": "SCMP_ACT_ERRNO",
                      "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]});
    let c = with_profile(t, profile(rule));
    c.create()
        .fails()
        .says("linux.seccomp.syscalls[0].args[0].index");
}

/// In these cases the runtime would wait for itself.
fn notify_refused(t: &Sandbox) {
    let c = with_profile(
        t,
        profile(json!({"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"})),
    );
    c.create().fails().says("write");
    let c = with_profile(t, json!({"defaultAction": "SCMP_ACT_NOTIFY"}));
    c.create().fails().says("default action");
}

/// An agent as the spec has it: gets the listener, and answers the system calls.
struct Agent {
    listener: UnixListener,
    path: String,
}

/// `struct seccomp_notif` and `struct seccomp_notif_resp` (include/uapi/linux/seccomp.h).
#[repr(C)]
#[derive(Default)]
struct Notification {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    arch: u32,
    instruction: u64,
    args: [u64; 6],
}

#[repr(C)]
struct Response {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

impl Agent {
    fn new(t: &Sandbox) -> Self {
        let path = t.path("agent");
        Self {
            listener: UnixListener::bind(&path).unwrap(),
            path: path.to_str().unwrap().into(),
        }
    }

    /// What the runtime tells of a process, and the descriptor of its calls.
    fn accept(&self) -> (Value, OwnedFd) {
        let (stream, _) = self.listener.accept().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut text = vec![0; 64 << 10];
        let mut slices = [IoSliceMut::new(&mut text)];
        let received = recvmsg(&stream, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC);
        let length = received.unwrap().bytes;
        let mut descriptors = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                descriptors.extend(fds);
            }
        }
        assert_eq!(descriptors.len(), 1);
        let state = serde_json::from_slice(&text[..length]).unwrap();
        (state, descriptors.remove(0))
    }

    /// Answers every call of the next process with an errno, until the process is gone.
    fn answer(&self, errno: i32) -> Value {
        /// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND`.
        const REQUESTS: (libc::Ioctl, libc::Ioctl) = (
            0xc050_2100_u32 as libc::Ioctl,
            0xc018_2101_u32 as libc::Ioctl,
        );
        let (state, listener) = self.accept();
        std::thread::spawn(move || {
            loop {
                let mut ready = [PollFd::new(&listener, PollFlags::IN)];
                rustix::event::poll(&mut ready, None).unwrap();
                if !ready[0].revents().contains(PollFlags::IN) {
                    break;
                }
                let mut notification = Notification::default();
                // SAFETY: the kernel fills a zeroed struct of the size that the request says.
                let got =
                    unsafe { libc::ioctl(listener.as_raw_fd(), REQUESTS.0, &raw mut notification) };
                if got < 0 {
                    continue;
                }
                let response = Response {
                    id: notification.id,
                    value: 0,
                    error: -errno,
                    flags: 0,
                };
                // SAFETY: the kernel reads a struct of the size that the request says.
                unsafe { libc::ioctl(listener.as_raw_fd(), REQUESTS.1, &raw const response) };
            }
        });
        state
    }
}

fn with_agent<'s>(t: &'s Sandbox, agent: &Agent, names: Value) -> Container<'s> {
    let mut profile = profile(json!({"names": names, "action": "SCMP_ACT_NOTIFY"}));
    profile["listenerPath"] = json!(agent.path);
    profile["listenerMetadata"] = json!("of the test");
    let mut c = with_profile(t, profile);
    c.writable().set("/annotations", json!({"a": "b"}));
    c
}

fn agent_decides(t: &Sandbox) {
    for no_new_privileges in [true, false] {
        let agent = Agent::new(t);
        let mut c = with_agent(t, &agent, json!(["mkdir", "mkdirat"]));
        c.set("/process/noNewPrivileges", json!(no_new_privileges));
        c.script("mkdir /tmp/x; cat /proc/self/status");
        let running = c.run_with(&[]).spawn();
        let state = agent.answer(28);
        let out = running.wait().ok().mentions("No space left on device");
        assert_no_sys_admin(&out.stdout);
        assert_eq!(state["fds"], json!(["seccompFd"]));
        assert_eq!(state["metadata"], "of the test");
        assert_eq!(state["ociVersion"], c.config["ociVersion"]);
        assert_eq!(state["state"]["id"], json!(c.id));
        assert_eq!(state["state"]["status"], "creating");
        assert_eq!(state["state"]["pid"], state["pid"]);
        assert_eq!(state["state"]["annotations"], json!({"a": "b"}));
        assert_eq!(state["state"]["bundle"], json!(c.bundle));
        std::fs::remove_file(&agent.path).unwrap();
    }
}

fn agent_decides_for_exec(t: &Sandbox) {
    for no_new_privileges in [true, false] {
        let agent = Agent::new(t);
        let mut c = with_agent(t, &agent, json!(["mkdir", "mkdirat"]));
        c.set("/process/noNewPrivileges", json!(no_new_privileges));
        c.args(["sleep", "1000"]);
        let running = c.run_with(&["--detach"]).spawn();
        agent.answer(1);
        running.wait().ok();
        let exec = c
            .exec_with(&[], &["sh", "-c", "mkdir /tmp/x; cat /proc/self/status"])
            .spawn();
        let state = agent.answer(28);
        let out = exec.wait().ok().mentions("No space left on device");
        assert_no_sys_admin(&out.stdout);
        assert_eq!(state["state"]["status"], "running");
        assert_eq!(state["state"]["pid"], json!(c.pid()));
        assert_ne!(state["pid"], json!(c.pid()));
        c.delete_force().ok();
        std::fs::remove_file(&agent.path).unwrap();
    }
}

/// The call by which descriptors are sent is one that agents like to see.
fn agent_decides_sendmsg(t: &Sandbox) {
    let agent = Agent::new(t);
    let mut c = with_agent(t, &agent, json!(["sendmsg", "recvmsg", "mkdir", "mkdirat"]));
    c.script("mkdir /tmp/x");
    let running = c.run_with(&[]).spawn();
    agent.answer(28);
    running.wait().exits(1).mentions("No space left on device");
}

fn agent_is_not_there(t: &Sandbox) {
    let agent = Agent::new(t);
    let mut c = with_agent(t, &agent, json!(["mkdir"]));
    c.set("/linux/seccomp/listenerPath", json!("/nobody/is/here"));
    c.create().fails().says("/nobody/is/here");
    c.unset("/linux/seccomp/listenerMetadata")
        .unset("/linux/seccomp/listenerPath");
    c.create().fails().says("listenerPath");
    t.assert_nothing_left();
}
