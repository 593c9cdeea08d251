//! T4, the attack on our own binary: a process of the container gets hold of the program of
//! what enters it, through /proc/PID/exe, and writes to it when it is no longer executed. What
//! it gets hold of must not be the host's file, nor lead to it.

use crate::harness::{Command, Container, Sandbox, program, runtime, skip, tests, wait_for};
use crate::inside;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

tests![
    cve_2019_5736_program_is_the_runtime,
    cve_2019_5736_interpreter_is_the_runtime,
    cve_2019_5736_runtime_is_overwritten_when_it_has_left,
    cve_2019_5736_runtime_is_overwritten_without_executable_memfd,
    cve_2019_5736_library_of_the_image_in_the_runtime,
];

/// A copy of the runtime to risk, and what it was like.
struct Copy {
    path: PathBuf,
    content: Vec<u8>,
    mode: u32,
}

impl Copy {
    fn new(t: &Sandbox) -> Self {
        let path = t.path("runtime");
        program::copy(runtime().as_ref(), &path);
        Self {
            content: fs::read(&path).unwrap(),
            mode: fs::metadata(&path).unwrap().mode(),
            path,
        }
    }

    fn command(&self, t: &Sandbox, args: &[&str]) -> Command {
        t.command(self.path.to_str().unwrap())
            .args(["--root", t.root().to_str().unwrap()])
            .args(args)
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert!(fs::read(&self.path).unwrap() == self.content, "overwritten");
        assert_eq!(fs::metadata(&self.path).unwrap().mode(), self.mode);
    }
}

/// A writable container with everything that writing might take.
fn powerful(t: &Sandbox) -> Container<'_> {
    let mut c = t.container();
    c.writable();
    c.capabilities(&[
        "CAP_DAC_OVERRIDE",
        "CAP_SYS_PTRACE",
        "CAP_SYS_ADMIN",
        "CAP_FOWNER",
        "CAP_KILL",
    ]);
    c
}

fn cve_2019_5736_program_is_the_runtime(t: &Sandbox) {
    let copy = Copy::new(t);
    let mut c = powerful(t);
    for args in [
        &["/proc/self/exe"][..],
        &["/proc/self/exe", "--version"],
        &["/proc/self/exe", "init"],
        &["/proc/self/exe", "init", "3", "0"],
        &["/proc/thread-self/exe", "features"],
    ] {
        c.args(args).save();
        // However it ends, it must end, and leave the binary be.
        copy.command(t, &["run", "-b", c.bundle.to_str().unwrap(), &c.id])
            .run();
        c.delete_force();
    }
    c.run_sleeping();
    copy.command(t, &["exec", &c.id, "/proc/self/exe", "--version"])
        .run();
    copy.assert_untouched();
}

fn cve_2019_5736_interpreter_is_the_runtime(t: &Sandbox) {
    let copy = Copy::new(t);
    let mut c = powerful(t);
    program::write(&c.rootfs("script"), "#!/proc/self/exe\n");
    c.args(["/script"]).save();
    copy.command(t, &["run", "-b", c.bundle.to_str().unwrap(), &c.id])
        .run();
    c.delete_force();
    c.run_sleeping();
    copy.command(t, &["exec", &c.id, "/script"]).run();
    copy.assert_untouched();
}

/// The published exploit, as quick as it can be made; `enter` prepares each exec.
fn overwritten(t: &Sandbox, enter: impl Fn(&Copy, &Container) -> Command) {
    let copy = Copy::new(t);
    let mut c = powerful(t);
    inside::run(&mut c, &["overwrite"]);
    c.save();
    let run = copy
        .command(t, &["run", "-d", "-b", c.bundle.to_str().unwrap(), &c.id])
        .run()
        .ok();
    wait_for("ready", || run.later().contains("ready"));
    for program in ["true", "/proc/self/exe"] {
        for _ in 0..150 {
            enter(&copy, &c).arg(program).run();
        }
    }
    let said = run.later();
    // Else nothing has been tried.
    assert!(said.contains("caught"), "{said}");
    assert!(
        !said.contains("written") && !said.contains("truncated"),
        "{said}"
    );
    copy.assert_untouched();
}

fn cve_2019_5736_runtime_is_overwritten_when_it_has_left(t: &Sandbox) {
    overwritten(t, |copy, c| copy.command(t, &["exec", &c.id]));
}

/// Where no file in memory may be executed, the program is on a read-only tmpfs of its own.
fn cve_2019_5736_runtime_is_overwritten_without_executable_memfd(t: &Sandbox) {
    let Ok(_) = fs::metadata("/usr/bin/python3") else {
        skip("no python3 to make a filter that forbids executable files in memory");
    };
    overwritten(t, |copy, c| {
        t.command("/usr/bin/python3").args([
            concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/hostile/without-executable-memfd.py"
            ),
            copy.path.to_str().unwrap(),
            "--root",
            t.root().to_str().unwrap(),
            "exec",
            &c.id,
        ])
    });
}

/// A library of the image's that is loaded into the runtime could do all that the runtime can:
/// ours loads none, whatever the environment says.
fn cve_2019_5736_library_of_the_image_in_the_runtime(t: &Sandbox) {
    let source = t.file(
        "evil.c",
        "#include <stdio.h>\n#include <stdlib.h>\n\
         __attribute__((constructor)) static void evil(void) { puts(\"loaded\"); exit(0); }\n",
    );
    let library = t.path("evil.so");
    let built = t
        .command("cc")
        .args(["-shared", "-fPIC", "-o", library.to_str().unwrap()])
        .arg(source.to_str().unwrap())
        .run();
    if built.status != 0 {
        skip("no C compiler for a hostile library");
    }
    let copy = Copy::new(t);
    let mut c = powerful(t);
    let evil = fs::read(&library).unwrap();
    for place in [
        "lib/x86_64-linux-gnu/libc.so.6",
        "lib/x86_64-linux-gnu/libseccomp.so.2",
        "lib64/ld-linux-x86-64.so.2",
        "evil.so",
    ] {
        program::write(&c.rootfs(place), &evil);
    }
    c.set(
        "/process/env",
        serde_json::json!([
            "LD_PRELOAD=/evil.so",
            "LD_LIBRARY_PATH=/lib/x86_64-linux-gnu",
            "LD_AUDIT=/evil.so",
            "GCONV_PATH=/lib",
            "PATH=/bin"
        ]),
    );
    c.args(["/proc/self/exe", "--version"]).save();
    let out = copy
        .command(t, &["run", "-b", c.bundle.to_str().unwrap(), &c.id])
        .run();
    assert!(!out.stdout.contains("loaded"), "{out}");
    c.delete_force();
    c.run_sleeping();
    for program in ["/proc/self/exe", "true"] {
        let out = copy.command(t, &["exec", &c.id, program]).run();
        assert!(!out.stdout.contains("loaded"), "{out}");
    }
    copy.assert_untouched();
}
