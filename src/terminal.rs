//! The user's terminal joined to the container's: bytes both ways, size, raw mode and back.

use crate::error::{Context, Error, Result};
use crate::plan;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::termios::{OptionalActions, OutputModes, Termios};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What is copied at once: a pipe that polls as writable takes this much without blocking.
const CHUNK: usize = 4096;

/// The two terminals. Dropping it gives the user's back as it was.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
    /// The modes of the user's terminal, where stdin is one.
    saved: Option<Termios>,
    input: Buffer,
    output: Buffer,
    input_ended: bool,
    output_ended: bool,
    /// Whether stdout took an error for an answer.
    output_lost: bool,
}

/// Bytes read and not yet written.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
}

/// The size of the user's terminal, where stdin is one: what the container's is to begin with,
/// so that its program never sees another.
pub fn users_size() -> Option<plan::Terminal> {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdin()).ok()?;
    Some(plan::Terminal {
        height: size.ws_row,
        width: size.ws_col,
    })
}

impl Terminal {
    /// Joins the user's terminal to the one that `master` is of.
    ///
    /// # Errors
    /// Those of termios(3).
    pub fn new(master: OwnedFd) -> Result<Self> {
        let doing = || "setting up the terminal";
        let flags = rustix::fs::fcntl_getfl(&master).context(doing)?;
        rustix::fs::fcntl_setfl(&master, flags | OFlags::NONBLOCK).context(doing)?;
        let stdin = rustix::stdio::stdin();
        let saved = rustix::termios::tcgetattr(stdin).ok();
        let terminal = Self {
            master,
            saved,
            input: Buffer::default(),
            output: Buffer::default(),
            input_ended: false,
            output_ended: false,
            output_lost: false,
        };
        if let Some(saved) = &terminal.saved {
            let mut raw = saved.clone();
            raw.make_raw();
            // The container's "\n" still becomes "\r\n" here: its own terminal does not do it.
            raw.output_modes |= OutputModes::OPOST;
            rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw).context(doing)?;
        }
        terminal.resize()?;
        Ok(terminal)
    }

    /// Gives the container's terminal the size of the user's, where there is one.
    ///
    /// # Errors
    /// Those of the ioctl on the container's.
    pub fn resize(&self) -> Result<()> {
        match rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
            Ok(size) => rustix::termios::tcsetwinsize(&self.master, size)
                .context(|| "resizing the terminal"),
            Err(_) => Ok(()),
        }
    }

    /// Adds what there is to wait for.
    pub fn poll_for<'a>(&'a self, polled: &mut Vec<PollFd<'a>>) {
        if !self.input_ended && self.input.bytes.is_empty() {
            polled.push(PollFd::from_borrowed_fd(
                rustix::stdio::stdin(),
                PollFlags::IN,
            ));
        }
        let mut master = PollFlags::empty();
        master.set(PollFlags::IN, self.output.bytes.is_empty());
        master.set(PollFlags::OUT, !self.input.bytes.is_empty());
        if !self.output_ended && !master.is_empty() {
            polled.push(PollFd::new(&self.master, master));
        }
        if !self.output.bytes.is_empty() {
            polled.push(PollFd::from_borrowed_fd(
                rustix::stdio::stdout(),
                PollFlags::OUT,
            ));
        }
    }

    /// Copies what can be copied without waiting.
    ///
    /// # Errors
    /// Those of read(2) and write(2).
    pub fn copy(&mut self) -> Result<()> {
        let stdin = rustix::stdio::stdin();
        if !self.input_ended && self.input.bytes.is_empty() && is_ready(stdin, PollFlags::IN, &NOW)?
        {
            self.input_ended = !self.input.fill(stdin).context(|| "reading stdin")?;
        }
        self.input
            .empty_into(self.master.as_fd())
            .context(|| "writing to the container's terminal")?;
        if !self.output_ended && self.output.bytes.is_empty() {
            self.output_ended = !self
                .output
                .fill(self.master.as_fd())
                .context(|| "reading the container's terminal")?;
        }
        let stdout = rustix::stdio::stdout();
        if !self.output.bytes.is_empty() && is_ready(stdout, PollFlags::OUT, &NOW)? {
            self.show();
        }
        Ok(())
    }

    /// Writes to stdout. That it cannot be written to (a full disk) is no reason for the
    /// container to end: its output is lost, which is said once.
    fn show(&mut self) {
        if let Err(errno) = self.output.empty_into(rustix::stdio::stdout()) {
            self.output.bytes.clear();
            if !std::mem::replace(&mut self.output_lost, true) {
                let error = Error::system("writing to stdout", errno);
                log::warn!("{error}: output of the container is lost");
            }
        }
    }

    /// Copies what the container has still written before it ended: to the end of its terminal,
    /// or where a stray process keeps that open, until it has been silent for a while.
    ///
    /// # Errors
    /// Those of read(2) and write(2).
    pub fn drain(&mut self) -> Result<()> {
        let silence = Timespec {
            tv_sec: 0,
            tv_nsec: 200_000_000,
        };
        loop {
            self.show();
            if self.output_ended || !is_ready(self.master.as_fd(), PollFlags::IN, &silence)? {
                return Ok(());
            }
            self.output_ended = !self
                .output
                .fill(self.master.as_fd())
                .context(|| "reading the container's terminal")?;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            // There is nothing to be done about a terminal that is gone.
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, saved);
        }
    }
}

const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

fn is_ready(fd: BorrowedFd<'_>, what: PollFlags, patience: &Timespec) -> Result<bool> {
    let mut polled = [PollFd::from_borrowed_fd(fd, what)];
    match rustix::event::poll(&mut polled, Some(patience)) {
        Err(Errno::INTR) => Ok(false),
        other => other
            .map(|count| count > 0)
            .context(|| "looking whether a descriptor is ready"),
    }
}

impl Buffer {
    /// Reads what is there; says whether more may come.
    fn fill(&mut self, from: BorrowedFd<'_>) -> rustix::io::Result<bool> {
        let mut chunk = [0; CHUNK];
        match rustix::io::read(from, &mut chunk) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.bytes.extend_from_slice(&chunk[..length]);
                Ok(true)
            }
            // A master reads as EIO when nobody has the slave open any more.
            Err(Errno::IO) => Ok(false),
            Err(Errno::AGAIN | Errno::INTR) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Writes as much as is taken. A reader that has gone takes all, silently.
    fn empty_into(&mut self, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
        while !self.bytes.is_empty() {
            match rustix::io::write(to, &self.bytes) {
                Ok(length) => drop(self.bytes.drain(..length)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::IO) => self.bytes.clear(),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
