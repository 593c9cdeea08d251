//! T1, the symlink matrix: for every path that the runtime touches before the program runs,
//! a rootfs that has there a link out of itself, a link to nothing, a fifo or a hard link, and a
//! whole life of a container in it: create, start, exec, delete. Nothing of the host may change,
//! and everything must end.
//!
//! 14 of runc's CVEs since 2017 are of this class: a path walked again after it was checked.

use crate::canary::{Attack, Canary, LEFT_OPEN, link, without_mounts};
use crate::harness::{Container, DescriptorSocket, Sandbox, tests};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

tests![
    cve_2019_18837_mount_destination_is_a_link,
    cve_2019_19921_proc_is_a_link_into_a_volume,
    cve_2023_27561_proc_is_a_link,
    cve_2023_28642_label_with_proc_as_a_link,
    cve_2025_24965_files_that_a_feature_adds,
    cve_2025_31133_dev_null_of_masks_is_a_link,
    cve_2025_52565_dev_console_is_a_link,
    cve_2025_54867_proc_or_sys_is_a_link,
    cve_2025_62161_dev_null_of_masks_is_another_device,
    cve_2026_41579_dev_is_a_link,
    cve_2026_47766_dev_is_a_link_and_has_a_mount,
    cve_2026_88264_dev_console_is_made_through_a_link,
    cve_2026_88265_dev_null_of_streams_is_a_link,
    dev_entries,
    dev_directories,
    cgroup_mount,
    mount_parents,
    mount_destination_leads_nowhere,
    tmpfs_that_copies_up,
    working_directory,
    working_directory_of_exec,
    links_to_descriptors,
    device_outside_dev,
    masked_and_readonly_paths,
    passwd,
    dev_turns_into_a_link_while_it_runs,
];

/// Creates, starts, executes in and deletes the container, whatever of it succeeds.
fn live(t: &Sandbox, c: &Container, canary: &Canary) {
    let careless = format!("{LEFT_OPEN}<{}", canary.path());
    let socket = DescriptorSocket::new(t);
    let on_terminal = ["--console-socket", socket.path()];
    let wants = c.config["process"]["terminal"] == true;
    let options = if wants { &on_terminal[..] } else { &[] };
    if c.create_with(options).redirect(&careless).run().status == 0 {
        c.verb(&["start"]).redirect(&careless).run();
        c.exec_with(&[], &["true"]).redirect(&careless).run();
        if wants {
            let options = ["--tty", "--detach", "--console-socket", socket.path()];
            c.exec_with(&options, &["true"]).redirect(&careless).run();
        }
    }
    c.delete_force().ok();
}

/// For each attack: a rootfs with it at `at`, leading to `below` of the canary; a config changed
/// by `edit`; a whole life.
#[track_caller]
fn matrix(t: &Sandbox, at: &str, below: &str, edit: impl Fn(&mut Container)) {
    let canary = Canary::new(t);
    for attack in Attack::ALL {
        for readonly in [true, false] {
            let mut c = t.container();
            c.set("/root/readonly", json!(readonly));
            c.script("sleep 0.1");
            edit(&mut c);
            attack.plant(t, &c, at, &canary, below);
            live(t, &c, &canary);
            canary.assert_untouched(&format!("{attack:?} at {at}, readonly: {readonly}"));
        }
    }
    // To look at all processes takes longer than a container's life; what one leaves stays.
    t.assert_nothing_left();
}

fn cve_2026_41579_dev_is_a_link(t: &Sandbox) {
    matrix(t, "dev", "", |c| without_mounts(c, "/dev"));
}

fn cve_2026_47766_dev_is_a_link_and_has_a_mount(t: &Sandbox) {
    matrix(t, "dev", "", |_| ());
}

fn dev_entries(t: &Sandbox) {
    let entries = [
        "null", "zero", "full", "random", "urandom", "tty", "ptmx", "fd", "stdin", "stdout",
        "stderr", "core",
    ];
    for entry in entries {
        let below = ["file", "new"][entry.len() % 2];
        matrix(t, &format!("dev/{entry}"), below, |c| {
            without_mounts(c, "/dev")
        });
    }
}

fn dev_directories(t: &Sandbox) {
    for name in ["pts", "shm", "mqueue"] {
        matrix(t, &format!("dev/{name}"), name, |c| {
            let list = c.config["mounts"].as_array_mut().unwrap();
            list.retain(|mount| mount["destination"] != "/dev");
            c.set("/process/terminal", json!(name == "pts"));
        });
    }
}

/// The mask is the host's null device, whatever the image has for one.
fn cve_2025_31133_dev_null_of_masks_is_a_link(t: &Sandbox) {
    matrix(t, "dev/null", "null", |c| {
        without_mounts(c, "/dev");
        c.push("/linux/maskedPaths", json!("/etc/passwd"));
    });
    let canary = Canary::new(t);
    for attack in Attack::ALL {
        let mut c = t.container();
        without_mounts(&mut c, "/dev");
        attack.plant(t, &c, "dev/null", &canary, "null");
        assert_masked(&mut c);
        canary.assert_untouched(&format!("{attack:?}"));
    }
    // A missing one must not silently leave things unmasked.
    let mut c = t.container();
    without_mounts(&mut c, "/dev");
    let _ = fs::remove_file(c.rootfs("dev/null"));
    assert_masked(&mut c);
}

/// Runs what tries to read a masked file and to write through it; it may as well not start.
#[track_caller]
fn assert_masked(c: &mut Container) {
    fs::write(c.rootfs("etc/secret"), "secret").unwrap();
    c.set(
        "/linux/maskedPaths",
        json!(["/etc/secret", "/proc/sysrq-trigger"]),
    );
    c.capabilities(&["CAP_DAC_OVERRIDE"]);
    c.script(
        "cat /etc/secret; stat -c %t:%T /etc/secret /proc/sysrq-trigger; \
         echo written >/etc/secret; echo '|/x' >/proc/sysrq-trigger",
    );
    let out = c.run();
    if out.status == 0 {
        out.prints("1:3\n1:3");
    }
    c.delete_force().ok();
    assert_eq!(
        fs::read_to_string(c.rootfs("etc/secret")).unwrap(),
        "secret"
    );
}

fn cve_2025_62161_dev_null_of_masks_is_another_device(t: &Sandbox) {
    for (major, minor) in [("1", "5"), ("1", "8"), ("5", "2")] {
        let mut c = t.container();
        without_mounts(&mut c, "/dev");
        let node = c.rootfs("dev/null");
        t.command("mknod")
            .args([node.to_str().unwrap(), "c", major, minor])
            .run()
            .ok();
        assert_masked(&mut c);
    }
}

/// stdio is attached to no file of the host's, and none changes its owner.
fn cve_2026_88265_dev_null_of_streams_is_a_link(t: &Sandbox) {
    let canary = Canary::new(t);
    for attack in Attack::ALL {
        let mut c = t.container();
        without_mounts(&mut c, "/dev");
        c.set("/process/user", json!({"uid": 1000, "gid": 1000}));
        c.set("/root/readonly", json!(false));
        attack.plant(t, &c, "dev/null", &canary, "null");
        c.script("echo written; echo written >&2; sleep 0.1");
        for streams in ["0<&- 1>&- 2>&-", "0</dev/null 1>/dev/null 2>/dev/null"] {
            let created = c.create_with(&[]).redirect(streams).run();
            if created.status == 0 {
                c.verb(&["start"]).redirect(streams).run();
                c.exec_with(&[], &["echo", "written"])
                    .redirect(streams)
                    .run();
            }
            c.delete_force().ok();
            canary.assert_untouched(&format!("{attack:?} with {streams}"));
        }
    }
}

fn console(c: &mut Container) {
    without_mounts(c, "/dev");
    c.mount(
        "/dev/pts",
        "devpts",
        "devpts",
        &["newinstance", "ptmxmode=0666"],
    );
    c.set("/process/terminal", json!(true));
}

fn cve_2025_52565_dev_console_is_a_link(t: &Sandbox) {
    matrix(t, "dev/console", "console", console);
    // What is there in the end is the terminal, and no mount of anything else.
    let canary = Canary::new(t);
    let mut c = t.container();
    console(&mut c);
    link(&c, "dev/console", &canary.below("console"));
    c.set("/root/readonly", json!(false));
    c.script("stat -c %t /dev/console; grep -c canary /proc/self/mountinfo");
    let socket = DescriptorSocket::new(t);
    c.run_with(&["--detach", "--console-socket", socket.path()])
        .run()
        .ok();
    // 136 is the major number of Unix 98 terminals.
    socket.receive_terminal().expect("88");
    canary.assert_untouched("dev/console");
}

fn cve_2026_88264_dev_console_is_made_through_a_link(t: &Sandbox) {
    matrix(t, "dev/console", "new", console);
}

/// Another container's volume is the place of the false procfs.
fn cve_2019_19921_proc_is_a_link_into_a_volume(t: &Sandbox) {
    let volume = t.dir("volume");
    fs::create_dir_all(volume.join("proc/self/attr")).unwrap();
    fs::write(volume.join("proc/self/attr/exec"), "untouched").unwrap();
    for first in [true, false] {
        let mut c = t.container();
        link(&c, "proc", "volume/proc");
        fs::create_dir(c.rootfs("volume")).unwrap();
        c.mount("/volume", "bind", volume.to_str().unwrap(), &["bind"]);
        if first {
            c.config["mounts"].as_array_mut().unwrap().rotate_right(1);
        }
        c.args(["true"]).run().fails().says("/proc");
        t.assert_nothing_left();
    }
    let decoy = fs::read_to_string(volume.join("proc/self/attr/exec")).unwrap();
    assert_eq!(decoy, "untouched");
}

fn cve_2023_27561_proc_is_a_link(t: &Sandbox) {
    matrix(t, "proc", "", |_| ());
    for target in [
        "/tmp",
        "../tmp",
        "tmp",
        "/tmp/none",
        "nested",
        "etc/../nested",
    ] {
        let mut c = t.container();
        symlink("/tmp", c.rootfs("nested")).unwrap();
        link(&c, "proc", target);
        c.args(["true"]).run().fails().says("/proc");
        t.assert_nothing_left();
    }
}

/// There is no start without the label that was asked for.
fn cve_2023_28642_label_with_proc_as_a_link(t: &Sandbox) {
    for key in ["apparmorProfile", "selinuxLabel"] {
        let mut c = t.container();
        fs::create_dir_all(c.rootfs("tmp/self/attr/apparmor")).unwrap();
        for decoy in ["attr/exec", "attr/apparmor/exec"] {
            fs::write(c.rootfs("tmp/self").join(decoy), "untouched").unwrap();
        }
        link(&c, "proc", "tmp");
        c.set(&format!("/process/{key}"), json!("unconfined"));
        c.set("/root/readonly", json!(false));
        c.args(["true"]).run().fails();
        for decoy in ["attr/exec", "attr/apparmor/exec"] {
            let decoy = fs::read_to_string(c.rootfs("tmp/self").join(decoy)).unwrap();
            assert_eq!(decoy, "untouched");
        }
        t.assert_nothing_left();
    }
}

fn cve_2025_54867_proc_or_sys_is_a_link(t: &Sandbox) {
    matrix(t, "sys", "", |_| ());
    for (at, target) in [("sys", "/tmp"), ("sys", "proc"), ("proc", "sys")] {
        let mut c = t.container();
        link(&c, at, target);
        c.args(["true"]).run().fails().says(&format!("/{at}"));
        t.assert_nothing_left();
    }
}

fn cgroup_mount(t: &Sandbox) {
    for at in ["sys/fs/cgroup", "sys/fs"] {
        matrix(t, at, "", |c| {
            let list = c.config["mounts"].as_array_mut().unwrap();
            list.retain(|mount| mount["destination"] != "/sys");
        });
    }
}

/// crun's handler wrote a file for a virtual machine; ours is a socket for systemd's messages.
fn cve_2025_24965_files_that_a_feature_adds(t: &Sandbox) {
    let notify = t.path("notify");
    let _listener = std::os::unix::net::UnixDatagram::bind(&notify).unwrap();
    let canary = Canary::new(t);
    for at in ["run", "run/notify", ".krun_config.json"] {
        for attack in Attack::ALL {
            let mut c = t.container();
            attack.plant(t, &c, at, &canary, "new");
            c.set("/root/readonly", json!(false)).args(["true"]);
            c.run_with(&["--detach"])
                .env("NOTIFY_SOCKET", notify.to_str().unwrap())
                .spawn()
                .wait();
            c.delete_force().ok();
            canary.assert_untouched(&format!("{attack:?} at {at}"));
        }
    }
}

fn cve_2019_18837_mount_destination_is_a_link(t: &Sandbox) {
    matrix(t, "link", "pts", |c| {
        c.mount("/link", "tmpfs", "tmpfs", &[]);
    });
    let source = t.file("source", "");
    for target in ["file", "new"] {
        matrix(t, "link", target, |c| {
            c.mount("/link", "bind", source.to_str().unwrap(), &["bind"]);
        });
    }
}

fn mount_parents(t: &Sandbox) {
    matrix(t, "link", "", |c| {
        c.mount("/link/made/up", "tmpfs", "tmpfs", &[]);
    });
    let source = t.file("source", "");
    matrix(t, "link", "", |c| {
        c.mount("/link/made/up", "bind", source.to_str().unwrap(), &["bind"]);
    });
}

fn mount_destination_leads_nowhere(t: &Sandbox) {
    let source = t.file("source", "");
    for target in ["/no/where", "no/where", "."] {
        let mut c = t.container();
        link(&c, "link", target);
        c.mount("/link", "bind", source.to_str().unwrap(), &["bind"]);
        c.args(["true"]).run();
        t.assert_nothing_left();
    }
    assert!(!Path::new("/no").exists());
}

/// What it copies must be the rootfs's: neither what a link leads to nor a fifo's.
fn tmpfs_that_copies_up(t: &Sandbox) {
    matrix(t, "copied", "", |c| {
        c.mount("/copied", "tmpfs", "tmpfs", &["tmpcopyup"]);
    });
    let canary = Canary::new(t);
    for attack in Attack::ALL {
        let mut c = t.container();
        attack.plant(t, &c, "copied/entry", &canary, "file");
        c.mount("/copied", "tmpfs", "tmpfs", &["tmpcopyup"]);
        c.script("test -p /copied/entry || cat /copied/entry");
        let out = c.run();
        let is_own = matches!(attack, Attack::HardLink);
        assert!(
            is_own || !out.stdout.contains("untouched"),
            "{attack:?}: {out}"
        );
        c.delete_force().ok();
        canary.assert_untouched(&format!("{attack:?}"));
    }
}

fn working_directory(t: &Sandbox) {
    matrix(t, "cwd", "made/up", |c| {
        c.set("/process/cwd", json!("/cwd"));
    });
    matrix(t, "cwd", "", |c| {
        c.set("/process/cwd", json!("/cwd/made/up"));
    });
}

fn working_directory_of_exec(t: &Sandbox) {
    let canary = Canary::new(t);
    let mut c = t.container();
    for (number, attack) in Attack::ALL.into_iter().enumerate() {
        attack.plant(t, &c, &format!("cwd{number}"), &canary, "");
    }
    c.run_sleeping();
    for number in 0..Attack::ALL.len() {
        for cwd in [format!("/cwd{number}"), format!("/cwd{number}/made/up")] {
            let out = c
                .exec_with(&["--cwd", &cwd], &["cat", "file"])
                .redirect(&format!("{LEFT_OPEN}<{}", canary.path()))
                .run();
            assert!(!out.stdout.contains("untouched"), "{cwd}: {out}");
        }
    }
    canary.assert_untouched("cwd of exec");
}

fn links_to_descriptors(t: &Sandbox) {
    for number in 3..20 {
        let mut c = t.container();
        link(&c, "cwd", &format!("/proc/self/fd/{number}"));
        c.set("/process/cwd", json!("/cwd"));
        c.script("ls -a; cat /cwd/../../../../etc/hostname");
        c.run().fails();
        t.assert_nothing_left();
    }
}

fn device_outside_dev(t: &Sandbox) {
    for target in ["file", "new"] {
        matrix(t, "etc/device", target, |c| {
            let device = json!({"path": "/etc/device", "type": "c", "major": 1, "minor": 3,
                                "fileMode": 0o666, "uid": 1000, "gid": 1000});
            c.push("/linux/devices", device);
        });
    }
    matrix(t, "link", "", |c| {
        let device = json!({"path": "/link/made/up", "type": "c", "major": 1, "minor": 3});
        c.push("/linux/devices", device);
    });
}

fn masked_and_readonly_paths(t: &Sandbox) {
    for list in ["/linux/maskedPaths", "/linux/readonlyPaths"] {
        for below in ["", "file"] {
            matrix(t, "etc/link", below, |c| {
                c.push(list, json!("/etc/link"));
            });
        }
    }
}

/// The home of the user is looked up in the container's own passwd, and that may take no time.
fn passwd(t: &Sandbox) {
    let canary = Canary::new(t);
    for at in ["etc/passwd", "etc"] {
        for attack in Attack::ALL {
            let mut c = t.container();
            attack.plant(t, &c, at, &canary, "file");
            c.script("echo $HOME").run();
            c.delete_force().ok();
            t.assert_nothing_left();
        }
    }
    let outside = t.file("passwd", "root:x:0:0:root:/out/of/the/host:/bin/sh\n");
    let up = "../".repeat(20);
    for way in ["", &up, "/proc/1/root"] {
        let mut c = t.container();
        let target = format!("{way}{}", outside.display());
        link(&c, "etc/passwd", &target);
        let out = c.script("echo $HOME").run();
        assert!(!out.stdout.contains("/out/of/the/host"), "{out}");
        c.delete_force().ok();
    }
}

fn dev_turns_into_a_link_while_it_runs(t: &Sandbox) {
    let canary = Canary::new(t);
    let mut c = t.container();
    c.writable();
    without_mounts(&mut c, "/dev");
    c.run_sleeping();
    let dev = c.rootfs("dev");
    let _ = fs::rename(&dev, c.rootfs("old"));
    symlink(canary.path(), &dev).unwrap();
    c.exec(&["true"]);
    let socket = DescriptorSocket::new(t);
    c.exec_with(
        &["--tty", "--detach", "--console-socket", socket.path()],
        &["true"],
    )
    .run();
    c.verb(&["pause"]).run().ok();
    c.verb(&["resume"]).run().ok();
    c.delete_force().ok();
    canary.assert_untouched("dev");
}
