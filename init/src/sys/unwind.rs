//! What `alloc`, which comes compiled for programs whose panics unwind, refers to. Ours end the
//! process in the panic handler, so that none of this is ever called.

/// Would go on with an unwinding.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    super::exec::exit_now(101)
}

/// Would find what an unwinding has to drop.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    super::exec::exit_now(101)
}
