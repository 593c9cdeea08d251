//! The rule behind T1 and T2, seen in the system calls themselves: once the root is open, no
//! path string of the container's is looked up but by openat2(2) confined to that root, and no
//! name is looked up that has a directory before it. A test of every path there is would prove
//! less: the next path that is added must keep to the rule too.

use crate::harness::{Container, DescriptorSocket, Sandbox, runtime, skip, tests, wait_for};
use crate::ids::map_users;
use serde_json::json;
use std::fs;
use std::path::Path;

tests![
    the_rule_can_be_broken,
    nothing_is_looked_up_by_path_in_create,
    nothing_is_looked_up_by_path_in_create_with_a_user_namespace,
    nothing_is_looked_up_by_path_in_exec,
];

/// A system call as strace has it.
#[derive(Debug, PartialEq, Eq)]
struct Call<'a> {
    pid: &'a str,
    name: &'a str,
    args: &'a str,
}

impl<'a> Call<'a> {
    /// Reads `123 openat(AT_FDCWD, "/x", O_RDONLY) = 3`; what tells of signals, and how a call
    /// that was interrupted goes on, is none.
    fn parse(line: &'a str) -> Option<Self> {
        let (pid, rest) = line.split_once(' ')?;
        let (name, args) = rest.trim_start().split_once('(')?;
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        name.chars()
            .all(is_name)
            .then_some(Self { pid, name, args })
    }

    /// Its arguments that are strings.
    fn strings(&self) -> Vec<&'a str> {
        let strings = self.args.split('"').skip(1).step_by(2).collect();
        match self.name {
            // What a link leads to is not looked up by making it.
            "symlinkat" => Vec::from(&Vec::<&str>::as_slice(&strings)[1..]),
            _ => strings,
        }
    }

    /// Why it breaks the rule; `host` are the paths that lead to no place in the rootfs.
    fn complaint(&self, host: &[&str]) -> Option<String> {
        let confined = self.name == "openat2"
            && self.args.starts_with(|first: char| first.is_ascii_digit())
            && ["RESOLVE_IN_ROOT", "RESOLVE_NO_MAGICLINKS"]
                .iter()
                .all(|flag| self.args.contains(flag));
        let strings = self.strings();
        let is_bad = |path: &&&str| (path.contains('/') || **path == "..") && !host.contains(path);
        match strings.iter().find(is_bad) {
            Some(path) if !confined => Some(format!("{path:?} in {self:?}")),
            _ => None,
        }
    }
}

/// The calls of the runtime and its processes that look something up, while it does `args` and
/// what follows `until` it is over.
fn trace(t: &Sandbox, args: &[&str], until: impl Fn()) -> String {
    if !Path::new("/usr/bin/strace").exists() {
        skip("no strace (try: apt-get install strace)");
    }
    let file = t.path("trace");
    let traced = t
        .command("strace")
        .args(["-f", "-s", "4096", "-e", "trace=%file,setns", "-o"])
        .args([
            file.to_str().unwrap(),
            runtime(),
            "--root",
            t.root().to_str().unwrap(),
        ])
        .args(args)
        .spawn();
    until();
    traced.wait().ok();
    fs::read_to_string(file).unwrap()
}

#[track_caller]
fn assert_kept<'a>(calls: impl Iterator<Item = &'a Call<'a>>, host: &[&str]) {
    let calls: Vec<_> = calls.collect();
    let confined = calls.iter().filter(|call| call.name == "openat2").count();
    assert!(confined > 0, "no file was opened in the rootfs: {calls:?}");
    let complaints: Vec<_> = calls
        .iter()
        .filter_map(|call| call.complaint(host))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

/// What the host has, and the container cannot change: the root that is left, the null device
/// that hides files (looked at, and with no link followed), a name to see whether it is there.
const HOST: &[&str] = &["/", "/dev/null", "/proc/kcore"];

/// Creates it, and looks at what was done between the opening of the root and the switch to it.
#[track_caller]
fn assert_kept_by_create(t: &Sandbox, c: &mut Container, sources: &[&str]) {
    c.args(["true"]).save();
    let socket = DescriptorSocket::new(t);
    let bundle = c.bundle.to_str().unwrap();
    let id = c.id.clone();
    let options = [
        "create",
        "--console-socket",
        socket.path(),
        "-b",
        bundle,
        &id,
    ];
    let trace = trace(t, &options, || {
        let state = || t.tare(["state", &id]).run();
        wait_for("its creation", || {
            state().stdout.contains(r#""status": "created""#)
        });
        c.delete_force().ok();
    });
    let calls: Vec<_> = trace.lines().filter_map(Call::parse).collect();
    let switch = calls.iter().rposition(|call| call.name == "pivot_root");
    let switch = switch.expect("no pivot_root");
    let pid = calls[switch].pid;
    let rootfs = format!("\"{bundle}/rootfs\"");
    let of_init = || calls[..switch].iter().filter(|call| call.pid == pid);
    let after = of_init()
        .position(|call| call.args.contains(&rootfs))
        .expect("the rootfs was never opened");
    // The directories above it are the host's, up to here.
    let opened = of_init()
        .skip(after)
        .position(|call| call.name == "open_tree");
    let opened = after + opened.expect("no open_tree of the rootfs");
    let host: Vec<&str> = HOST.iter().chain(sources).copied().collect();
    assert_kept(of_init().skip(opened), &host);
}

/// All that is made in a rootfs.
fn with_everything<'s>(t: &'s Sandbox, source: &str) -> Container<'s> {
    let mut c = t.container();
    c.set("/root/readonly", json!(false));
    c.mount("/made/up", "bind", source, &["bind", "ro"]);
    c.mount("/made/tmpfs", "tmpfs", "tmpfs", &["tmpcopyup"]);
    c.set("/process/terminal", json!(true));
    c.set("/process/cwd", json!("/made/cwd"));
    c.push("/linux/maskedPaths", json!("/etc/passwd"));
    c.push("/linux/readonlyPaths", json!("/etc"));
    c.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    c
}

fn nothing_is_looked_up_by_path_in_create(t: &Sandbox) {
    let source = t.dir("source");
    let mut c = with_everything(t, source.to_str().unwrap());
    let device = json!({"path": "/made/device", "type": "c", "major": 1, "minor": 3});
    c.push("/linux/devices", device);
    // What is mounted comes from the host, by the config's own word.
    let cgroups: Vec<String> = cgroup_directories(&c.id);
    let mut sources = vec![source.to_str().unwrap()];
    sources.extend(cgroups.iter().map(String::as_str));
    assert_kept_by_create(t, &mut c, &sources);
}

fn nothing_is_looked_up_by_path_in_create_with_a_user_namespace(t: &Sandbox) {
    let source = t.dir("source");
    let mut c = with_everything(t, source.to_str().unwrap());
    map_users(&mut c, 100_000);
    let cgroups: Vec<String> = cgroup_directories(&c.id);
    let devices =
        ["null", "zero", "full", "random", "urandom", "tty"].map(|name| format!("/dev/{name}"));
    let mut sources = vec![source.to_str().unwrap()];
    sources.extend(cgroups.iter().chain(&devices).map(String::as_str));
    assert_kept_by_create(t, &mut c, &sources);
}

/// Of a container on cgroup v1, whose mount of type cgroup shows them.
fn cgroup_directories(id: &str) -> Vec<String> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    hierarchies
        .map(|entry| format!("{}/{id}", entry.path().display()))
        .collect()
}

/// After it has joined the container's mounts, all paths are the container's own.
fn nothing_is_looked_up_by_path_in_exec(t: &Sandbox) {
    let mut c = t.container();
    c.run_sleeping();
    let id = c.id.clone();
    let args = ["exec", "--user", "1000", "--cwd", "/tmp", &id, "/bin/true"];
    let trace = trace(t, &args, || ());
    let calls: Vec<_> = trace.lines().filter_map(Call::parse).collect();
    let joined = calls.iter().position(|call| call.name == "setns");
    let joined = &calls[joined.expect("no setns")..];
    let pid = joined[0].pid;
    let until = joined
        .iter()
        .position(|call| call.name == "execve")
        .expect("no execve");
    // Where it goes and what it executes is for the kernel to find, as the user.
    let own = ["/", "/tmp", "/bin/true"];
    assert_kept(joined[..until].iter().filter(|call| call.pid == pid), &own);
}

/// A test that could not fail would prove nothing.
fn the_rule_can_be_broken(_: &Sandbox) {
    for bad in [
        "1 mount(\"proc\", \"/b/rootfs/proc\", \"proc\", 0, NULL) = 0",
        "1 openat(AT_FDCWD, \"/b/rootfs/dev\", O_PATH) = 3",
        "1 mknodat(4, \"dev/null\", S_IFCHR|0666, makedev(0x1, 0x3)) = 0",
        "1 openat(4, \"..\", O_PATH) = 5",
        "1 openat2(4, \"/etc/passwd\", {flags=O_RDONLY, resolve=RESOLVE_NO_MAGICLINKS}, 24) = 5",
        "1 openat2(AT_FDCWD, \"/x\", {resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}, 24) = 5",
        "1 open(\"/proc/self/fd/4/x\", O_RDONLY <unfinished ...>",
        "1 symlinkat(\"x\", 5, \"dev/fd\") = 0",
    ] {
        let call = Call::parse(bad).unwrap();
        assert!(call.complaint(HOST).is_some(), "{bad}");
    }
    for good in [
        "1 openat2(4, \"/etc\", {resolve=RESOLVE_NO_MAGICLINKS|RESOLVE_IN_ROOT}, 24) = 5",
        "1 mknodat(4, \"null\", S_IFCHR|0666, makedev(0x1, 0x3)) = 0",
        "1 symlinkat(\"/proc/self/fd\", 5, \"fd\") = 0",
        "1 move_mount(5, \"\", 6, \"\", MOVE_MOUNT_F_EMPTY_PATH) = 0",
        "1 open(\"/\", O_RDONLY) = 5",
    ] {
        let call = Call::parse(good).unwrap();
        assert_eq!(call.complaint(HOST), None, "{good}");
    }
    assert_eq!(Call::parse("1 <... openat resumed>) = 4"), None);
    assert_eq!(Call::parse("1 +++ exited with 0 +++"), None);
}
