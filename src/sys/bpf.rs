//! bpf(2), as far as device filters of cgroups need it: loading, attaching, replacing.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// One instruction; linux/bpf.h, `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What to do.
    pub code: u8,
    /// The destination register in the low half, the source in the high one.
    pub registers: u8,
    /// Of memory or of a jump.
    pub offset: i16,
    /// A constant.
    pub immediate: i32,
}

/// A loaded program.
#[derive(Debug)]
pub struct Program(OwnedFd);

// linux/bpf.h, enum bpf_cmd, bpf_prog_type, bpf_attach_type.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const PROG_QUERY: libc::c_int = 16;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;
const REPLACE: u32 = 1 << 2;
/// Most programs a cgroup can have (BPF_CGROUP_MAX_PROGS).
const MAX_PROGRAMS: usize = 64;

#[repr(C)]
struct LoadAttributes {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

#[repr(C)]
struct QueryAttributes {
    target: u32,
    kind: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    padding: u32,
}

#[repr(C)]
struct IdAttributes {
    id: u32,
    next: u32,
    flags: u32,
}

#[repr(C)]
struct InfoAttributes {
    program: u32,
    length: u32,
    info: u64,
}

/// The beginning of `struct bpf_prog_info`: up to the name.
#[repr(C)]
struct Info {
    before_name: [u8; 64],
    name: [u8; 16],
}

/// # Safety
/// Addresses within `attributes` are of memory as the command reads or writes it.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> io::Result<RawFd> {
    let size = size_of::<T>();
    // SAFETY: the kernel reads and writes no more than `size` bytes of `attributes`, which
    // is borrowed for as long; what it points to is the caller's promise.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    match result {
        -1 => Err(io::Error::last_os_error()),
        result => RawFd::try_from(result).map_err(io::Error::other),
    }
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

fn name_field(name: &CStr) -> [u8; 16] {
    let mut field = [0; 16];
    let bytes = name.to_bytes();
    let length = bytes.len().min(15);
    field[..length].copy_from_slice(&bytes[..length]);
    field
}

impl Program {
    /// Loads a device filter. `name` has at most 15 letters, digits and underscores.
    pub fn load_device_filter(instructions: &[Instruction], name: &CStr) -> io::Result<Self> {
        let mut attributes = LoadAttributes {
            kind: TYPE_CGROUP_DEVICE,
            instruction_count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
            instructions: instructions.as_ptr() as u64,
            license: c"Apache-2.0".as_ptr() as u64,
            log_level: 0,
            log_size: 0,
            log_buffer: 0,
            kernel_version: 0,
            flags: 0,
            name: name_field(name),
        };
        // SAFETY: the addresses are of a slice of as many instructions and of a static
        // string, both only read.
        let fd = unsafe { bpf(PROG_LOAD, &mut attributes)? };
        // SAFETY: a successful load returns a descriptor of which nobody else knows.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The device filters attached to the cgroup itself; none of those we may not look at.
    pub fn attached_to(cgroup: BorrowedFd<'_>) -> io::Result<Vec<Self>> {
        let mut ids = [0_u32; MAX_PROGRAMS];
        let mut attributes = QueryAttributes {
            target: raw(cgroup),
            kind: ATTACH_CGROUP_DEVICE,
            query_flags: 0,
            attach_flags: 0,
            ids: ids.as_mut_ptr() as u64,
            count: MAX_PROGRAMS as u32,
            padding: 0,
        };
        // SAFETY: the address is of `ids`, which has room for `count` of them.
        unsafe { bpf(PROG_QUERY, &mut attributes)? };
        let count = usize::try_from(attributes.count).unwrap_or(0);
        let mut programs = Vec::new();
        for id in ids.iter().take(count) {
            match Self::from_id(*id) {
                Ok(program) => programs.push(program),
                Err(error) => match error.raw_os_error() {
                    // Gone since, or hidden from us by a security module.
                    Some(libc::ENOENT | libc::EACCES | libc::EPERM) => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(programs)
    }

    fn from_id(id: u32) -> io::Result<Self> {
        let mut attributes = IdAttributes {
            id,
            next: 0,
            flags: 0,
        };
        // SAFETY: there are no addresses in it.
        let fd = unsafe { bpf(PROG_GET_FD_BY_ID, &mut attributes)? };
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Whether it was loaded under this name.
    pub fn is_named(&self, name: &CStr) -> io::Result<bool> {
        let mut info = Info {
            before_name: [0; 64],
            name: [0; 16],
        };
        let mut attributes = InfoAttributes {
            program: self.0.as_raw_fd().unsigned_abs(),
            length: size_of::<Info>() as u32,
            info: std::ptr::from_mut(&mut info) as u64,
        };
        // SAFETY: the address is of `info`, of which the kernel writes `length` bytes. The
        // part before the name is zero, so that the kernel takes no address from it.
        unsafe { bpf(OBJ_GET_INFO_BY_FD, &mut attributes)? };
        Ok(info.name == name_field(name))
    }

    /// Attaches it to the cgroup, in the place of `replaced` if there is one (Linux 5.6).
    pub fn attach(&self, cgroup: BorrowedFd<'_>, replaced: Option<&Self>) -> io::Result<()> {
        let mut attributes = AttachAttributes {
            target: raw(cgroup),
            program: self.0.as_raw_fd().unsigned_abs(),
            kind: ATTACH_CGROUP_DEVICE,
            flags: ALLOW_MULTI | replaced.map_or(0, |_| REPLACE),
            replaced: replaced.map_or(0, |program| program.0.as_raw_fd().unsigned_abs()),
        };
        // SAFETY: there are no addresses in it.
        unsafe { bpf(PROG_ATTACH, &mut attributes) }.map(drop)
    }

    /// Takes it off the cgroup.
    pub fn detach(&self, cgroup: BorrowedFd<'_>) -> io::Result<()> {
        let mut attributes = AttachAttributes {
            target: raw(cgroup),
            program: self.0.as_raw_fd().unsigned_abs(),
            kind: ATTACH_CGROUP_DEVICE,
            flags: 0,
            replaced: 0,
        };
        // SAFETY: there are no addresses in it.
        unsafe { bpf(PROG_DETACH, &mut attributes) }.map(drop)
    }
}
