//! Memory without a C library: an allocator for a process that lives for a moment.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// Hands out memory from front to back, and takes back only what it handed out last: all that
/// the init stage allocates is little, and gone with the execve.
pub struct Bump(UnsafeCell<Free>);

/// What is left, by address.
struct Free {
    next: usize,
    end: usize,
}

/// What is asked of the kernel at once. Pages of it that are never used cost nothing.
const CHUNK: usize = 256 * 1024;

// SAFETY: the program has one thread.
unsafe impl Sync for Bump {}

impl Bump {
    /// An allocator that has nothing yet.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Free { next: 0, end: 0 }))
    }
}

impl Default for Bump {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: blocks do not overlap, as `next` only passes over what is handed out and goes back
// only over what was given back; they are aligned and within a mapping.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and this borrow ends before the function does.
        let free = unsafe { &mut *self.0.get() };
        if let Some(at) = free.take(layout) {
            return at;
        }
        match free.refill(layout) {
            true => free.take(layout).unwrap_or(ptr::null_mut()),
            false => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        let free = unsafe { &mut *self.0.get() };
        if at.addr() + layout.size() == free.next {
            free.next = at.addr();
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in `alloc`.
        let free = unsafe { &mut *self.0.get() };
        let is_last = at.addr() + layout.size() == free.next;
        if is_last && size <= free.end - at.addr() {
            free.next = at.addr() + size;
            return at;
        }
        // SAFETY: the caller's promises for `size` and `layout` are those of `GlobalAlloc`.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(at, moved, layout.size().min(size));
            }
            moved
        }
    }
}

impl Free {
    fn take(&mut self, layout: Layout) -> Option<*mut u8> {
        let at = self.next.checked_next_multiple_of(layout.align())?;
        let next = at.checked_add(layout.size())?;
        if next > self.end {
            return None;
        }
        self.next = next;
        Some(ptr::with_exposed_provenance_mut(at))
    }

    /// Gets a new mapping that has room for `layout`; what is left of the old one is forgotten.
    fn refill(&mut self, layout: Layout) -> bool {
        let Some(size) = layout.size().max(1).checked_next_multiple_of(CHUNK) else {
            return false;
        };
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a mapping of its own, at an address of the kernel's choice.
        match unsafe { mmap_anonymous(ptr::null_mut(), size, access, MapFlags::PRIVATE) } {
            Ok(at) => {
                self.next = at.expose_provenance();
                self.end = self.next + size;
                true
            }
            Err(_) => false,
        }
    }
}
