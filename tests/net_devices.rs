//! Network devices moved into a namespace of their own, on the running kernel.
//!
//! Every test makes both namespaces: the one it moves to, the runtime's, and the container's.
//! With them goes all that is in them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::io::Errno;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::panic;
use std::process::{Command, ExitCode, Stdio};
use tare::config::linux::NetDevice;
use tare::error::{Error, Result};
use tare::net_devices::move_into;
use tare::sys::namespace;

const NEWNET: u64 = libc::CLONE_NEWNET as u64;

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        vec![$(trial(stringify!($name), $name)),*]
    };
}

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // Namespaces are a thread's own, and the library forks as tare does, with one thread.
    args.test_threads = Some(1);
    let tests = tests![
        a_device_moves_and_comes_up,
        a_device_is_renamed,
        addresses_move,
        addresses_keep_their_order,
        addresses_of_other_scopes_stay,
        addresses_that_expire_stay,
        other_devices_keep_their_addresses,
        mtu_and_hardware_address_are_kept,
        a_template_gets_the_lowest_free_number,
        two_templates_get_two_numbers,
        a_template_leaves_names_to_those_who_need_them,
        a_number_that_is_taken_is_no_obstacle,
        several_devices_move,
        a_namespace_of_another_user_namespace,
        a_missing_device,
        a_name_that_is_taken,
        a_device_that_may_not_move,
        all_devices_return_where_one_cannot_move,
        an_address_that_cannot_be_set_brings_the_device_back,
        our_own_namespace_is_no_container,
        a_descriptor_that_is_no_namespace,
        nothing_to_move_needs_no_namespace,
        we_stay_where_we_are,
    ];
    libtest_mimic::run(&args, tests).exit_code()
}

fn trial(name: &str, test: fn(&World)) -> Trial {
    Trial::ignorable_test(name, move || {
        let world = match World::new() {
            Ok(world) => world,
            Err(why) => return Ok(Completion::ignored_with(why)),
        };
        match panic::catch_unwind(panic::AssertUnwindSafe(|| test(&world))) {
            Ok(()) => Ok(Completion::Completed),
            Err(_) => Err(Failed::without_message()),
        }
    })
}

/// The two namespaces of a test, which is in the first.
struct World {
    runtime: File,
    container: File,
    /// A type of device that this kernel can make.
    kind: &'static str,
}

impl World {
    /// None, with the reason, if this machine cannot do it.
    fn new() -> std::result::Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("moving network devices needs root".into());
        }
        if Command::new("ip").arg("-V").output().is_err() {
            return Err("no ip (try: apt-get install iproute2)".into());
        }
        let fresh = || {
            namespace::unshare(NEWNET).map_err(|e| format!("no network namespaces: {e}"))?;
            Ok::<_, String>(File::open("/proc/self/ns/net").unwrap())
        };
        let (container, runtime) = (fresh()?, fresh()?);
        let can_be_made = |kind: &&str| {
            let made = Command::new("ip")
                .args(["link", "add", "probe", "type", kind])
                .output();
            made.is_ok_and(|output| output.status.success())
        };
        let kind = ["dummy", "ifb", "bridge"].into_iter().find(can_be_made);
        let kind = kind.ok_or("this kernel makes neither dummy, ifb nor bridge devices")?;
        ip("link delete probe");
        Ok(Self {
            runtime,
            container,
            kind,
        })
    }

    /// Makes a device in the runtime's namespace.
    fn add(&self, name: &str) {
        ip(&format!("link add {name} type {}", self.kind));
    }

    /// Does something in the container.
    fn inside<T>(&self, what: impl FnOnce() -> T) -> T {
        namespace::join(&self.container, NEWNET).unwrap();
        let result = panic::catch_unwind(panic::AssertUnwindSafe(what));
        namespace::join(&self.runtime, NEWNET).unwrap();
        result.unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    /// Moves devices, each with its name inside; an empty one is none given.
    fn carry(&self, devices: &[(&str, &str)]) -> Result<()> {
        move_into(&config(devices), self.container.as_fd())
    }
}

fn config(devices: &[(&str, &str)]) -> BTreeMap<String, NetDevice> {
    let named = |name: &str| Some(name.to_owned()).filter(|name| !name.is_empty());
    devices
        .iter()
        .map(|(outside, inside)| {
            let name = named(inside);
            ((*outside).to_owned(), NetDevice { name })
        })
        .collect()
}

/// Runs ip(8) in the current namespace, which must succeed, and returns its JSON.
fn ip(arguments: &str) -> Value {
    let output = Command::new("ip")
        .arg("-j")
        .args(arguments.split(' '))
        .output()
        .unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {why}");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// The devices of the current namespace but for those that every namespace has.
fn names() -> Vec<String> {
    let listed = ip("link show");
    let names = listed.as_array().unwrap().iter();
    let mut names: Vec<String> = names
        .map(|link| link["ifname"].as_str().unwrap().to_owned())
        .filter(|name| name != "lo" && name != "sit0" && name != "tunl0" && name != "ip6tnl0")
        .collect();
    names.sort();
    names
}

fn show(name: &str) -> Value {
    ip(&format!("address show dev {name}"))[0].take()
}

fn is_up(name: &str) -> bool {
    let flags = &show(name)["flags"];
    flags.as_array().unwrap().iter().any(|flag| flag == "UP")
}

/// The addresses that are not link-local: `10.0.0.1/24`.
fn addresses(name: &str) -> Vec<String> {
    let shown = show(name);
    let addresses = shown["addr_info"].as_array().unwrap().iter();
    addresses
        .filter(|address| address["scope"] != "link")
        .map(|address| {
            let local = address["local"].as_str().unwrap();
            format!("{local}/{}", address["prefixlen"])
        })
        .collect()
}

fn failure(result: Result<()>) -> Error {
    result.expect_err("it should have failed")
}

fn a_device_moves_and_comes_up(world: &World) {
    world.add("t0");
    world.carry(&[("t0", "")]).unwrap();
    assert!(names().is_empty());
    world.inside(|| {
        assert_eq!(names(), ["t0"]);
        assert!(is_up("t0"));
    });
}

fn a_device_is_renamed(world: &World) {
    world.add("t0");
    // A device that is up could not be renamed in place before Linux 6.2.
    ip("link set t0 up");
    world.carry(&[("t0", "fifteen-letters")]).unwrap();
    assert!(names().is_empty());
    world.inside(|| {
        assert_eq!(names(), ["fifteen-letters"]);
        assert!(is_up("fifteen-letters"));
    });
}

fn addresses_move(world: &World) {
    world.add("t0");
    ip("link set t0 up");
    ip("address add 10.0.0.1/24 broadcast 10.0.0.99 dev t0 metric 77");
    ip("address add 10.1.0.1 peer 10.1.0.9/32 dev t0 noprefixroute");
    ip("address add fd00::1/64 dev t0 nodad");
    let before = show("t0")["addr_info"].take();
    world.carry(&[("t0", "eth0")]).unwrap();
    let after = world.inside(|| show("eth0")["addr_info"].take());
    let described = |listed: Value| -> Vec<Value> {
        let listed = listed.as_array().unwrap().clone();
        let global = listed.into_iter().filter(|one| one["scope"] == "global");
        global
            .map(|mut one| {
                one.as_object_mut().unwrap().remove("label");
                one
            })
            .collect()
    };
    assert_eq!(described(after), described(before));
}

fn addresses_keep_their_order(world: &World) {
    world.add("t0");
    for address in ["10.0.0.1/24", "10.0.0.2/24", "10.0.0.3/24", "10.9.0.1/24"] {
        ip(&format!("address add {address} dev t0"));
    }
    for address in ["fd00::1/64", "fd00::2/64", "fd00::3/64"] {
        ip(&format!("address add {address} dev t0 nodad"));
    }
    let before = addresses("t0");
    assert_eq!(before.len(), 7);
    world.carry(&[("t0", "")]).unwrap();
    assert_eq!(world.inside(|| addresses("t0")), before);
}

fn addresses_of_other_scopes_stay(world: &World) {
    world.add("t0");
    ip("address add 10.0.0.1/24 dev t0");
    ip("address add 10.0.1.1/24 dev t0 scope host");
    ip("address add 10.0.2.1/24 dev t0 scope link");
    ip("address add fe80::77/64 dev t0 nodad");
    world.carry(&[("t0", "")]).unwrap();
    world.inside(|| {
        assert_eq!(addresses("t0"), ["10.0.0.1/24"]);
        assert!(!show("t0").to_string().contains("fe80::77"));
    });
}

fn addresses_that_expire_stay(world: &World) {
    world.add("t0");
    ip("address add 10.0.0.1/24 dev t0");
    ip("address add 10.0.1.1/24 dev t0 valid_lft 600 preferred_lft 600");
    ip("address add fd00::1/64 dev t0 valid_lft 600 preferred_lft 600");
    world.carry(&[("t0", "")]).unwrap();
    assert_eq!(world.inside(|| addresses("t0")), ["10.0.0.1/24"]);
}

fn other_devices_keep_their_addresses(world: &World) {
    world.add("t0");
    world.add("t1");
    ip("address add 10.0.0.1/24 dev t0");
    ip("address add 10.1.0.1/24 dev t1");
    world.carry(&[("t0", "")]).unwrap();
    assert_eq!(addresses("t1"), ["10.1.0.1/24"]);
    assert_eq!(world.inside(|| addresses("t0")), ["10.0.0.1/24"]);
}

fn mtu_and_hardware_address_are_kept(world: &World) {
    // Not every type of device lets its hardware address be set.
    ip("link add t0 type veth peer name peer");
    ip("link set t0 mtu 1400 address 02:11:22:33:44:55");
    world.carry(&[("t0", "eth0")]).unwrap();
    let shown = world.inside(|| show("eth0"));
    assert_eq!(shown["mtu"], 1400);
    assert_eq!(shown["address"], "02:11:22:33:44:55");
}

fn a_template_gets_the_lowest_free_number(world: &World) {
    world.add("t0");
    world.inside(|| {
        world.add("net0");
        world.add("net2");
        // The device's own name, too: the kernel by itself would give number 3.
        world.add("t0");
    });
    world.carry(&[("t0", "net%d")]).unwrap();
    world.inside(|| {
        assert_eq!(names(), ["net0", "net1", "net2", "t0"]);
        assert!(is_up("net1"));
        assert!(!is_up("t0"));
    });
}

fn two_templates_get_two_numbers(world: &World) {
    world.add("t0");
    world.add("t1");
    ip("address add 10.0.0.1/24 dev t0");
    ip("address add 10.1.0.1/24 dev t1");
    world.carry(&[("t0", "e%dx"), ("t1", "e%dx")]).unwrap();
    world.inside(|| {
        assert_eq!(addresses("e0x"), ["10.0.0.1/24"]);
        assert_eq!(addresses("e1x"), ["10.1.0.1/24"]);
    });
}

fn a_template_leaves_names_to_those_who_need_them(world: &World) {
    world.add("t0");
    world.add("t1");
    ip("address add 10.0.0.1/24 dev t0");
    world.carry(&[("t0", "eth%d"), ("t1", "eth0")]).unwrap();
    world.inside(|| {
        assert_eq!(names(), ["eth0", "eth1"]);
        assert_eq!(addresses("eth1"), ["10.0.0.1/24"]);
    });
}

/// A device's number is its own only within its namespace.
fn a_number_that_is_taken_is_no_obstacle(world: &World) {
    world.add("t0");
    ip("address add 10.0.0.1/24 dev t0");
    let index = show("t0")["ifindex"].clone();
    world.inside(|| ip(&format!("link add other index {index} type {}", world.kind)));
    world.carry(&[("t0", "")]).unwrap();
    world.inside(|| {
        assert_eq!(addresses("t0"), ["10.0.0.1/24"]);
        assert!(addresses("other").is_empty());
        assert!(!is_up("other"));
    });
}

fn several_devices_move(world: &World) {
    for name in ["t0", "t1", "t2"] {
        world.add(name);
    }
    // Each takes the name of another.
    world
        .carry(&[("t0", "t1"), ("t1", "t2"), ("t2", "t0")])
        .unwrap();
    assert!(names().is_empty());
    world.inside(|| assert_eq!(names(), ["t0", "t1", "t2"]));
}

fn a_namespace_of_another_user_namespace(world: &World) {
    world.add("t0");
    ip("address add 10.0.0.1/24 dev t0");
    let script = "echo made; exec sleep 60";
    let mut container = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let made = container.stdout.take().unwrap().read_exact(&mut [0; 4]);
    let moved = made.map_err(|_| "unshare made none").map(|()| {
        let namespace = File::open(format!("/proc/{}/ns/net", container.id())).unwrap();
        let moved = move_into(&config(&[("t0", "eth0")]), namespace.as_fd());
        namespace::join(&namespace, NEWNET).unwrap();
        let there = moved.is_ok().then(|| (is_up("eth0"), addresses("eth0")));
        namespace::join(&world.runtime, NEWNET).unwrap();
        (moved, there)
    });
    container.kill().unwrap();
    container.wait().unwrap();
    let (moved, there) = moved.unwrap();
    moved.unwrap();
    assert_eq!(there, Some((true, vec!["10.0.0.1/24".to_owned()])));
}

fn a_missing_device(world: &World) {
    world.add("t0");
    let error = failure(world.carry(&[("t0", ""), ("t1", "")]));
    assert_eq!(error.errno(), Some(Errno::NODEV));
    assert_eq!(
        error.to_string(),
        "linux.netDevices.t1: moving network device \"t1\" into the container: \
         looking for it: no such device"
    );
    assert_eq!(names(), ["t0"]);
}

fn a_name_that_is_taken(world: &World) {
    world.add("t0");
    ip("link set t0 up");
    ip("address add fd00::1/64 dev t0 nodad");
    world.inside(|| world.add("eth0"));
    let error = failure(world.carry(&[("t0", "eth0")]));
    assert_eq!(error.errno(), Some(Errno::EXIST));
    let start = "linux.netDevices.t0: moving network device \"t0\" into the container: \
                 naming it \"eth0\": file exists (";
    assert!(error.to_string().starts_with(start), "{error}");
    // Nothing has happened to it.
    assert!(is_up("t0"));
    assert_eq!(addresses("t0"), ["fd00::1/64"]);
    world.inside(|| assert_eq!(names(), ["eth0"]));
}

fn a_device_that_may_not_move(world: &World) {
    let error = failure(world.carry(&[("lo", "lo1")]));
    assert_eq!(error.errno(), Some(Errno::INVAL));
    let start = "linux.netDevices.lo: moving network device \"lo\" into the container: \
                 moving it, as \"lo1\": ";
    assert!(error.to_string().starts_with(start), "{error}");
    assert!(error.to_string().ends_with("invalid argument"), "{error}");
}

fn all_devices_return_where_one_cannot_move(world: &World) {
    world.add("a0");
    world.add("a1");
    ip("link set a0 up");
    ip("address add 10.0.0.1/24 dev a0");
    ip("address add fd00::1/64 dev a0 nodad");
    let error = failure(world.carry(&[("a0", "x0"), ("a1", "x1"), ("lo", "lo1")]));
    assert_eq!(error.errno(), Some(Errno::INVAL));
    assert_eq!(names(), ["a0", "a1"]);
    assert!(is_up("a0"));
    assert!(!is_up("a1"));
    assert_eq!(addresses("a0"), ["10.0.0.1/24", "fd00::1/64"]);
    world.inside(|| assert!(names().is_empty()));
}

fn an_address_that_cannot_be_set_brings_the_device_back(world: &World) {
    world.add("t0");
    ip("address add 10.0.0.1/24 dev t0");
    ip("address add fd00::1/64 dev t0 nodad");
    // New devices of the namespace have no IPv6.
    world.inside(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
    });
    let error = failure(world.carry(&[("t0", "eth0")]));
    let text = error.to_string();
    assert!(
        text.contains("giving it the address fd00::1/64: "),
        "{text}"
    );
    assert_eq!(names(), ["t0"]);
    assert!(!is_up("t0"));
    assert_eq!(addresses("t0"), ["10.0.0.1/24", "fd00::1/64"]);
    world.inside(|| assert!(names().is_empty()));
}

fn our_own_namespace_is_no_container(world: &World) {
    world.add("t0");
    let devices = config(&[("t0", "eth0")]);
    let error = failure(move_into(&devices, world.runtime.as_fd()));
    assert!(
        error.to_string().contains("own network namespace"),
        "{error}"
    );
    assert_eq!(names(), ["t0"]);
}

fn a_descriptor_that_is_no_namespace(world: &World) {
    world.add("t0");
    let file = File::open("/proc/self/ns/uts").unwrap();
    let error = failure(move_into(&config(&[("t0", "")]), file.as_fd()));
    assert_eq!(error.errno(), Some(Errno::INVAL));
    assert_eq!(names(), ["t0"]);
}

fn nothing_to_move_needs_no_namespace(_: &World) {
    let file = File::open("/dev/null").unwrap();
    move_into(&BTreeMap::new(), file.as_fd()).unwrap();
}

fn we_stay_where_we_are(world: &World) {
    let here = || std::fs::read_link("/proc/self/ns/net").unwrap();
    let before = here();
    world.add("t0");
    world.carry(&[("t0", "")]).unwrap();
    assert_eq!(here(), before);
}
