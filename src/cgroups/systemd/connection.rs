//! A connection to systemd: to its private socket, or to a message bus it is on.
//!
//! What needs no answer to go on is not waited for: each wait is a turn in systemd's and the
//! bus's event loops, which on a busy node are slow.

use super::message::{Body, Call, Incoming};
use super::value::write_text;
use crate::error::{Code, Context, Error, Result};
use crate::spawn::HELD_BACK;
use crate::sys::signals::{self, SignalSet};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// The mechanism EXTERNAL without saying who we are: the socket tells, and a user namespace
/// has another number for it than the other side. In one write, as sd-bus does it; but a call
/// in the same write is one that systemd may overlook until the next comes.
const GREETING: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";

/// Which systemd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Instance {
    /// Process 1.
    System,
    /// The user's own.
    User,
}

/// A place where it may be listening.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    /// A path, or the name of an abstract socket after an `@`.
    socket: String,
    /// Others are there too, and messages are forwarded.
    is_bus: bool,
}

/// A connection, made for one purpose and with one deadline for all of it.
#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    /// Those that ask for an orderly end, where they are held back.
    signals: OwnedFd,
    address: Address,
    purpose: String,
    limit: Duration,
    deadline: Instant,
    received: Vec<u8>,
    serial: u32,
    /// Jobs that ended, by object path, and how.
    ended: Vec<(String, String)>,
}

/// What became of a call.
#[derive(Debug)]
pub(super) enum Answer {
    Done(Body),
    Refused { name: String, why: String },
}

impl Connection {
    /// Connects for `purpose` ("starting unit x.scope"), which shall take no longer than `limit`.
    pub fn open(instance: Instance, purpose: String, limit: Duration) -> Result<Self> {
        let mut tried = Vec::new();
        for address in addresses(instance) {
            match connect(&address.socket, limit) {
                Ok(socket) => return Self::on(socket, address, purpose, limit),
                Err(errno) => tried.push(format!(
                    "{}: {}",
                    address.socket,
                    std::io::Error::from(errno).kind()
                )),
            }
        }
        let error = Error::new(
            Code::Unsupported,
            format!("{purpose}: cannot reach systemd ({})", tried.join(", ")),
        );
        Err(match instance {
            Instance::System => error,
            Instance::User => error.hint(NO_USER_MANAGER),
        })
    }

    fn on(socket: OwnedFd, address: Address, purpose: String, limit: Duration) -> Result<Self> {
        let mut connection = Self {
            socket,
            signals: signals::descriptor(&SignalSet::of(HELD_BACK))
                .context(|| "watching for signals")?,
            address,
            purpose,
            limit,
            deadline: Instant::now() + limit,
            received: Vec::new(),
            serial: 0,
            ended: Vec::new(),
        };
        connection.send(GREETING)?;
        connection.be_let_in()?;
        if connection.address.is_bus {
            let mut bytes = Vec::new();
            for call in [bus_call("Hello", None), bus_call("AddMatch", Some(JOBS))] {
                connection.serial += 1;
                call.write(connection.serial, &mut bytes);
            }
            connection.send(&bytes)?;
        }
        Ok(connection)
    }

    /// Calls a method of systemd's manager.
    pub fn call(&mut self, member: &str, signature: &str, body: Vec<u8>) -> Result<Answer> {
        self.call_on(MANAGER, member, signature, body)
    }

    /// A property of systemd's manager that is a string.
    pub fn property(&mut self, name: &str) -> Result<String> {
        let mut body = Vec::new();
        write_text(&mut body, MANAGER);
        write_text(&mut body, name);
        let interface = "org.freedesktop.DBus.Properties";
        match self.call_on(interface, "Get", "ss", body)? {
            Answer::Done(mut body) => body.variant_text(),
            Answer::Refused { why, .. } => Err(self.failed(&why)),
        }
    }

    fn call_on(
        &mut self,
        interface: &str,
        member: &str,
        signature: &str,
        body: Vec<u8>,
    ) -> Result<Answer> {
        let call = Call {
            destination: SYSTEMD,
            path: OBJECT,
            interface,
            member,
            signature,
            body,
            wants_reply: true,
        };
        self.serial += 1;
        let serial = self.serial;
        let mut bytes = Vec::new();
        call.write(serial, &mut bytes);
        self.send(&bytes)?;
        loop {
            match self.next(member)? {
                Incoming::Return { to, body } if to == serial => return Ok(Answer::Done(body)),
                Incoming::Refusal { to, name, mut body } if to == serial => {
                    let why = body.text().unwrap_or_else(|_| name.clone());
                    return Ok(Answer::Refused { name, why });
                }
                other => self.note(other)?,
            }
        }
    }

    /// Waits for the end of a job; returns its result.
    pub fn job(&mut self, path: &str) -> Result<String> {
        loop {
            if let Some((_, result)) = self.ended.iter().find(|(job, _)| job == path) {
                return Ok(result.clone());
            }
            let number = path.rsplit('/').next().unwrap_or(path);
            let message = self.next(&format!("the end of job {number}"))?;
            self.note(message)?;
        }
    }

    /// An error of this connection's purpose.
    pub fn failed(&self, why: &str) -> Error {
        Error::new(Code::System, format!("{}: systemd: {why}", self.purpose))
    }

    /// Remembers a job's end: it may come before the answer that names the job.
    fn note(&mut self, message: Incoming) -> Result<()> {
        if let Incoming::Signal { member, mut body } = message
            && member == "JobRemoved"
        {
            body.u32()?;
            let job = body.text()?;
            body.text()?;
            let result = body.text()?;
            self.ended.push((job, result));
        }
        Ok(())
    }

    fn send(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            // The socket's own time limit ends this.
            match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(self.too_late("room for a message")),
                Err(errno) => return Err(self.broken(errno)),
            }
        }
        Ok(())
    }

    /// The next message; `awaited` is what for.
    fn next(&mut self, awaited: &str) -> Result<Incoming> {
        loop {
            if let Some((message, length)) = Incoming::read(&self.received)? {
                self.received.drain(..length);
                return Ok(message);
            }
            self.receive(awaited)?;
        }
    }

    /// Reads the answers to the greeting, which are lines.
    fn be_let_in(&mut self) -> Result<()> {
        loop {
            while let Some(end) = self.received.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.received.drain(..end + 2).collect();
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                if line.starts_with("OK") {
                    return Ok(());
                }
                if !line.starts_with("DATA") {
                    return Err(self.failed(&format!("does not let us in ({line})")));
                }
            }
            self.receive("authentication")?;
        }
    }

    fn receive(&mut self, awaited: &str) -> Result<()> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(|_| self.too_late(awaited))?;
            let mut ready = [
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            match rustix::event::poll(&mut ready, Some(&timeout)) {
                Ok(0) => return Err(self.too_late(awaited)),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(self.broken(errno)),
            }
            if let Some(signal) = signals::next(&self.signals).context(|| "reading a signal")? {
                let message = format!("{}: interrupted by signal {}", self.purpose, signal.number);
                return Err(Error::new(Code::System, message));
            }
            let mut buffer = [0; 4096];
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) => return Err(self.failed("it closed the connection")),
                Ok(count) => {
                    self.received.extend_from_slice(&buffer[..count]);
                    return Ok(());
                }
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(self.broken(errno)),
            }
        }
    }

    fn broken(&self, errno: Errno) -> Error {
        Error::system(
            format!("{}: talking to {}", self.purpose, self.address.socket),
            errno,
        )
    }

    fn too_late(&self, awaited: &str) -> Error {
        let message = format!(
            "{}: systemd ({}) did not answer within {:.1?}: waited for {awaited}",
            self.purpose, self.address.socket, self.limit
        );
        Error::new(Code::Timeout, message).hint("is it overloaded? see: systemctl list-jobs")
    }
}

/// What one needs to have a systemd of one's own.
pub(in crate::cgroups) const NO_USER_MANAGER: &str = "a systemd of the user's own is needed: log in through PAM, \
     or have root run `loginctl enable-linger`, and set XDG_RUNTIME_DIR";

const JOBS: &str = "type='signal',sender='org.freedesktop.systemd1',\
     interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

fn bus_call<'a>(member: &'a str, argument: Option<&str>) -> Call<'a> {
    let mut body = Vec::new();
    if let Some(argument) = argument {
        write_text(&mut body, argument);
    }
    Call {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member,
        signature: if body.is_empty() { "" } else { "s" },
        body,
        wants_reply: argument.is_none(),
    }
}

/// Where to look for it. The private sockets come first, as for systemctl: no bus in between
/// that could be slow or absent. Connecting to the system's is for root alone.
fn addresses(instance: Instance) -> Vec<Address> {
    let private = |socket: String| Address {
        socket,
        is_bus: false,
    };
    let bus = |socket: String| Address {
        socket,
        is_bus: true,
    };
    let named = |variable: &str| bus_sockets(&std::env::var(variable).unwrap_or_default());
    match instance {
        Instance::System => {
            let mut all = vec![private("/run/systemd/private".into())];
            all.extend(named("DBUS_SYSTEM_BUS_ADDRESS").into_iter().map(bus));
            all.push(bus("/run/dbus/system_bus_socket".into()));
            all
        }
        Instance::User => {
            let runtime = runtime_directory();
            let below = |name: &str| runtime.join(name).to_string_lossy().into_owned();
            let mut all = vec![private(below("systemd/private"))];
            all.extend(named("DBUS_SESSION_BUS_ADDRESS").into_iter().map(bus));
            all.push(bus(below("bus")));
            all
        }
    }
}

fn runtime_directory() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
        Some(dir) => dir.into(),
        None => format!("/run/user/{}", rustix::process::geteuid().as_raw()).into(),
    }
}

/// The Unix sockets of a bus address: "unix:path=/run/user/0/bus,guid=1;unix:abstract=x".
fn bus_sockets(address: &str) -> Vec<String> {
    let keys = |address: &str| -> Option<String> {
        let mut keys = address.strip_prefix("unix:")?.split(',');
        keys.find_map(|key| match key.split_once('=')? {
            ("path", path) => Some(unescape(path)),
            ("abstract", name) => Some(format!("@{}", unescape(name))),
            _ => None,
        })
    };
    address.split(';').filter_map(keys).collect()
}

/// "%20" and the like (D-Bus specification, "Server Addresses").
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = |range| std::str::from_utf8(tail.get(range)?).ok();
        match hex(0..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn connect(socket: &str, limit: Duration) -> rustix::io::Result<OwnedFd> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        None => SocketAddrUnix::new(socket)?,
    };
    let kind = (AddressFamily::UNIX, SocketType::STREAM);
    let fd = rustix::net::socket_with(kind.0, kind.1, SocketFlags::CLOEXEC, None)?;
    // Also for connecting, which waits where too many do.
    set_socket_timeout(&fd, Timeout::Send, Some(limit))?;
    rustix::net::connect(&fd, &address)?;
    Ok(fd)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    const LIMIT: Duration = Duration::from_millis(200);
    const WELCOME: &str = "DATA\r\nOK 0123\r\n";

    /// A connection to what greets with `greeting`, and the other side of it.
    fn connect_to(greeting: &str) -> (Result<Connection>, UnixStream) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(greeting.as_bytes()).unwrap();
        let address = Address {
            socket: "/run/test".into(),
            is_bus: false,
        };
        let purpose = "starting unit x.scope".to_owned();
        let connection = Connection::on(ours.into(), address, purpose, LIMIT);
        (connection, theirs)
    }

    #[test]
    fn silence_ends_at_the_deadline_which_is_named() {
        let start = Instant::now();
        let (connection, _theirs) = connect_to("");
        assert!(start.elapsed() >= LIMIT);
        assert_eq!(connection.unwrap_err().code(), Code::Timeout);
        let (connection, _theirs) = connect_to(WELCOME);
        let error = connection.unwrap().call("StopUnit", "", Vec::new());
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
        let text = error.to_string();
        for words in ["starting unit x.scope", "StopUnit", "200.0ms", "/run/test"] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_job_that_never_ends_is_named() {
        let (connection, _theirs) = connect_to(WELCOME);
        let error = connection.unwrap().job("/org/freedesktop/systemd1/job/42");
        let error = error.unwrap_err();
        assert_eq!(error.code(), Code::Timeout);
        assert!(error.to_string().contains("the end of job 42"), "{error}");
    }

    #[test]
    fn hanging_up_and_refusing_are_errors() {
        let (connection, theirs) = connect_to(WELCOME);
        drop(theirs);
        assert!(
            connection
                .unwrap()
                .call("StopUnit", "", Vec::new())
                .is_err()
        );
        let (connection, _theirs) = connect_to("REJECTED EXTERNAL\r\n");
        let error = connection.unwrap_err();
        assert!(error.to_string().contains("REJECTED"), "{error}");
    }

    #[test]
    fn addresses_of_buses() {
        assert_eq!(
            bus_sockets("unix:path=/run/user/0/b%20s,guid=1;tcp:host=h;unix:abstract=/tmp/x"),
            ["/run/user/0/b s", "@/tmp/x"]
        );
        assert!(bus_sockets("").is_empty());
        assert_eq!(unescape("100%"), "100%");
    }
}
