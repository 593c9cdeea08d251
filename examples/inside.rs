//! What a container sees of itself: the only program in the rootfs of `make run`.
//!
//! Static and without dependencies, it reads /proc and /sys and tries its limits out.

use std::fs;
use std::io;
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::thread;

/// Capabilities by number, as in linux/capability.h.
const CAPABILITIES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// Twice the memory and four times the processes that examples/demo/config.json allows.
const TOO_MUCH_MEMORY: usize = 64 << 20;
const TOO_MANY_PROCESSES: usize = 64;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("fill-memory") {
        return fill_memory();
    }
    let status = read("/proc/self/status");
    line("program", &program());
    line("user", &user(&status));
    line("host name", read("/proc/sys/kernel/hostname").trim());
    line("namespaces", &namespaces());
    line("capabilities", &capabilities(&status));
    line("network", &interfaces());
    line("devices", &names("/dev").join(" "));
    line("cgroup", &cgroup());
    line("memory", &memory());
    line("processes", &processes());
    line("root", &root());
    for (number, mount) in mounts().iter().enumerate() {
        line(if number == 0 { "mounts" } else { "" }, mount);
    }
    ExitCode::SUCCESS
}

fn line(label: &str, value: &str) {
    println!("  {label:<14}{value}");
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| format!("({path}: {error})"))
}

fn names(path: &str) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The value of `key` in /proc/self/status.
fn field<'a>(status: &'a str, key: &str) -> &'a str {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .map_or("?", str::trim)
}

fn program() -> String {
    let name = std::env::args().next().unwrap_or_default();
    let processes = names("/proc")
        .iter()
        .filter(|name| name.parse::<u32>().is_ok())
        .count();
    format!(
        "{name}, pid {}, processes in sight: {processes}",
        std::process::id()
    )
}

fn user(status: &str) -> String {
    let first = |key| field(status, key).split_whitespace().next().unwrap_or("?");
    let locked = match field(status, "NoNewPrivs") {
        "1" => "cannot gain privileges",
        _ => "can gain privileges",
    };
    format!("uid {}, gid {}, {locked}", first("Uid"), first("Gid"))
}

/// Compares with the host's namespaces, which scripts/demo leaves in a file.
fn namespaces() -> String {
    let host = read("/host-namespaces");
    let (mut own, mut shared) = (Vec::new(), Vec::new());
    for name in names("/proc/self/ns") {
        if name.ends_with("_for_children") {
            continue;
        }
        let id = fs::read_link(format!("/proc/self/ns/{name}")).unwrap_or_default();
        match host.lines().any(|line| *line == *id.to_string_lossy()) {
            true => shared.push(name),
            false => own.push(name),
        }
    }
    format!(
        "its own: {}; the host's: {}",
        own.join(" "),
        shared.join(" ")
    )
}

fn capabilities(status: &str) -> String {
    let set = u64::from_str_radix(field(status, "CapEff"), 16).unwrap_or_default();
    let held: Vec<_> = CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(number, _)| set >> number & 1 == 1)
        .map(|(_, name)| *name)
        .collect();
    format!(
        "{} ({} of {})",
        held.join(" "),
        held.len(),
        CAPABILITIES.len()
    )
}

fn interfaces() -> String {
    let devices = read("/proc/net/dev");
    let names: Vec<_> = devices
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect();
    names.join(" ")
}

/// The memberships that carry the limits: v2's one line, or v1's memory and pids.
fn cgroup() -> String {
    let all = read("/proc/self/cgroup");
    let shown: Vec<_> = all
        .lines()
        .filter_map(|line| line.split_once(':').map(|(_, rest)| rest))
        .filter(|rest| {
            rest.starts_with(':') || rest.starts_with("memory") || rest.starts_with("pids")
        })
        .map(|rest| match rest.strip_prefix(':') {
            Some(path) => format!("v2 {path}"),
            None => rest.replacen(':', " ", 1),
        })
        .collect();
    shown.join(", ")
}

/// The first of these files under /sys/fs/cgroup: v2's name, then v1's.
fn limit(v2: &str, v1: &str) -> Option<String> {
    [v2, v1]
        .iter()
        .find_map(|file| fs::read_to_string(format!("/sys/fs/cgroup/{file}")).ok())
        .map(|value| value.trim().to_owned())
}

fn memory() -> String {
    let limit = match limit("memory.max", "memory/memory.limit_in_bytes") {
        None => "unknown".to_owned(),
        Some(value) => match value.parse::<u64>() {
            Ok(bytes) if bytes < 1 << 50 => format!("{} MiB", bytes >> 20),
            _ => "none".to_owned(),
        },
    };
    let outcome = match Command::new("/proc/self/exe").arg("fill-memory").status() {
        Ok(status) if status.success() => "was let".to_owned(),
        Ok(status) => format!("was stopped ({status})"),
        Err(error) => format!("did not start ({error})"),
    };
    format!(
        "limit {limit}; a child that took {} MiB {outcome}",
        TOO_MUCH_MEMORY >> 20
    )
}

fn fill_memory() -> ExitCode {
    let filled = std::hint::black_box(vec![1u8; TOO_MUCH_MEMORY]);
    ExitCode::from(filled[TOO_MUCH_MEMORY - 1] - 1)
}

/// Starts threads, which the kernel counts as processes do, until it is refused one.
fn processes() -> String {
    let limit = limit("pids.max", "pids/pids.max").unwrap_or_else(|| "unknown".to_owned());
    let mut running = Vec::new();
    let mut refusal = None;
    while refusal.is_none() && running.len() < TOO_MANY_PROCESSES {
        match wait_in_thread() {
            Ok(stop) => running.push(stop),
            Err(error) => refusal = Some(error),
        }
    }
    let ran = running.len() + 1;
    match refusal {
        Some(error) => format!("limit {limit}; {ran} ran, one more was refused ({error})"),
        None => format!("limit {limit}; {ran} ran, none was refused"),
    }
}

/// A thread that lives until the sender returned is dropped.
fn wait_in_thread() -> io::Result<mpsc::Sender<()>> {
    let (stop, stopped) = mpsc::channel::<()>();
    thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(move || stopped.recv())
        .map(|_| stop)
}

fn root() -> String {
    let write = match fs::write("/written", "") {
        Ok(()) => "can be written to".to_owned(),
        Err(error) => format!("cannot be written to ({error})"),
    };
    format!("holds {}; {write}", names("/").join(" "))
}

/// Destination, type and the flags of each mount, aligned.
fn mounts() -> Vec<String> {
    let table = read("/proc/self/mountinfo");
    let rows: Vec<_> = table.lines().filter_map(mount).collect();
    let width = rows.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(path, rest)| format!("{path:<width$}  {rest}"))
        .collect()
}

/// One line of mountinfo; proc(5) has its fields.
fn mount(line: &str) -> Option<(&str, String)> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(4);
    let (path, flags) = (before.next()?, before.next()?);
    let kind = after.split(' ').next()?;
    Some((path, format!("{kind:<8} {flags}")))
}
