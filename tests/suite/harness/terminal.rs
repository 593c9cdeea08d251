//! A terminal: the suite's own for the runtime to run on, or the master end of a
//! container's, received over a console socket.

use super::{Command, Sandbox};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcgetwinsize, tcsetwinsize};
use std::cell::RefCell;
use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The master end of a pseudoterminal, and all that was read from it.
pub struct Terminal {
    master: OwnedFd,
    seen: RefCell<String>,
}

impl Terminal {
    /// A new terminal of this size.
    pub fn new(rows: u16, columns: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let terminal = Self::from_master(master);
        terminal.resize(rows, columns);
        terminal
    }

    fn from_master(master: OwnedFd) -> Self {
        Self {
            master,
            seen: RefCell::default(),
        }
    }

    /// The end that programs run on.
    pub fn slave(&self) -> File {
        let name = ptsname(&self.master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        File::from(rustix::fs::open(name, flags, Mode::empty()).unwrap())
    }

    /// Has a command run on this terminal, as its session's controlling one.
    pub fn run(&self, t: &Sandbox, command: Command) -> Command {
        command.on_terminal(t).stdin(self.slave())
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.master, size).unwrap();
    }

    /// Rows and columns.
    pub fn size(&self) -> (u16, u16) {
        let size = tcgetwinsize(&self.master).unwrap();
        (size.ws_row, size.ws_col)
    }

    pub fn attributes(&self) -> Termios {
        tcgetattr(&self.master).unwrap()
    }

    /// Types.
    pub fn write(&self, text: &str) {
        rustix::io::write(&self.master, text.as_bytes()).unwrap();
    }

    /// Reads until this has been seen, and returns all that was read ever.
    #[track_caller]
    pub fn expect(&self, text: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.seen.borrow().contains(text) {
            let seen = self.seen.borrow().clone();
            assert!(Instant::now() < deadline, "never read {text:?} in {seen:?}");
            assert!(self.read(100), "closed before {text:?} in {seen:?}");
        }
        self.seen.borrow().clone()
    }

    /// Reads once, waiting so long for something; false at the end.
    fn read(&self, milliseconds: u64) -> bool {
        let timeout = Timespec::try_from(Duration::from_millis(milliseconds)).unwrap();
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut fds, Some(&timeout)).unwrap_or(0) == 0 {
            return true;
        }
        let mut buffer = [0; 4096];
        match rustix::io::read(&self.master, &mut buffer[..]) {
            // EIO says that no one has the slave end open.
            Ok(0) | Err(_) => false,
            Ok(count) => {
                let text = String::from_utf8_lossy(&buffer[..count]);
                self.seen.borrow_mut().push_str(&text);
                true
            }
        }
    }
}

/// What `--console-socket` and `--pidfd-socket` name: receives one descriptor.
pub struct DescriptorSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl DescriptorSocket {
    pub fn new(t: &Sandbox) -> Self {
        let path = t.path(&format!("socket{}", t.number()));
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, path }
    }

    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// The terminal whose master end was sent.
    #[track_caller]
    pub fn receive_terminal(&self) -> Terminal {
        Terminal::from_master(self.receive())
    }

    /// The descriptor that was sent.
    #[track_caller]
    pub fn receive(&self) -> OwnedFd {
        let (stream, _) = self.listener.accept().expect("nothing connected");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 256];
        let mut slices = [IoSliceMut::new(&mut name)];
        recvmsg(&stream, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
        let mut received = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                received.extend(fds);
            }
        }
        assert_eq!(received.len(), 1, "one descriptor is to be sent");
        received.remove(0)
    }
}
