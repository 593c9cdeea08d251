//! A netlink socket to the kernel's routing subsystem, in this network namespace or another.

use super::message::{self, Refusal, Request};
use crate::error::{Code, Context, Error, Result};
use crate::init::wire::Wire;
use crate::spawn;
use crate::sys::clone::{Clone, Forked, fork};
use crate::sys::{exec, namespace, network};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long the kernel may take to answer. It answers while it is asked; this is for the day
/// that it does not.
const PATIENCE: Duration = Duration::from_secs(10);

/// A socket that only the kernel can send to.
#[derive(Debug)]
pub struct Socket {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

/// What the kernel says of one thing it was asked about.
#[derive(Debug)]
pub struct Answer {
    /// `RTM_*`.
    pub kind: u16,
    /// The family's header and the attributes.
    pub payload: Vec<u8>,
}

impl Socket {
    /// A socket in the current network namespace.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn open() -> Result<Self> {
        let doing = || "opening a netlink socket";
        // No protocol is NETLINK_ROUTE.
        let (family, flags) = (AddressFamily::NETLINK, SocketFlags::CLOEXEC);
        let socket =
            rustix::net::socket_with(family, SocketType::RAW, flags, None).context(doing)?;
        network::explain_refusals(&socket);
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).context(doing)?;
        // Connected to port 0, the kernel, it takes nothing from other processes.
        rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0)).context(doing)?;
        Ok(Self::from(socket))
    }

    /// A socket in the network namespace behind `namespace`.
    ///
    /// A child goes there, opens it and hands it over: a socket stays in the namespace it was
    /// made in, and this process never leaves its own, so that no failure can strand it there.
    ///
    /// # Errors
    /// `EPERM` where we may not enter the namespace, `EINVAL` where it is of another kind.
    pub fn open_in(namespace: BorrowedFd<'_>) -> Result<Self> {
        let (ours, theirs) = Wire::pair()?;
        let pidfd = match fork(&Clone::default()).context(|| "making a process")? {
            Forked::Child => hand_over(namespace, &theirs),
            Forked::Parent { pidfd, .. } => pidfd,
        };
        drop(theirs);
        let ended = spawn::ended_within(pidfd.as_fd(), Some(PATIENCE));
        drop(spawn::Child::new(pidfd));
        if !ended? {
            return Err(timeout("entering the container's network namespace"));
        }
        let received = ours.receive::<Result<()>>()?;
        match received {
            Some((Ok(()), descriptors)) => descriptors.into_iter().next().map(Self::from),
            Some((Err(error), _)) => return Err(error),
            None => None,
        }
        .ok_or_else(|| Error::new(Code::Protocol, "the process that opens a socket died"))
    }

    /// Asks for something to be done, or to be told about one thing.
    ///
    /// # Errors
    /// The kernel's refusal, in its own words where it has some.
    pub fn ask(&self, doing: &str, request: Request) -> Result<Vec<Answer>> {
        self.transact(doing, request).map(|(answers, _)| answers)
    }

    /// Asks for all there is of a kind, again and again while it changes under the listing.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); [`Code::Timeout`] where it keeps changing.
    pub fn list(&self, doing: &str, request: impl Fn() -> Request) -> Result<Vec<Answer>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (answers, is_whole) = self.transact(doing, request())?;
            if is_whole {
                return Ok(answers);
            }
            if Instant::now() > deadline {
                return Err(timeout(doing));
            }
        }
    }

    /// The answers to a request, and whether nothing changed while they were listed.
    fn transact(&self, doing: &str, request: Request) -> Result<(Vec<Answer>, bool)> {
        let sequence = self.sequence.get().wrapping_add(1);
        self.sequence.set(sequence);
        let bytes = request.finish(sequence);
        rustix::io::retry_on_intr(|| rustix::net::send(&self.socket, &bytes, SendFlags::empty()))
            .context(|| doing)?;
        let deadline = Instant::now() + PATIENCE;
        let mut answers = Vec::new();
        let mut is_whole = true;
        while Instant::now() < deadline {
            let datagram = self.receive(doing)?;
            let replies = message::replies(&datagram).ok_or_else(|| malformed(doing))?;
            // Others answer a request whose answer was not waited for.
            for reply in replies.iter().filter(|reply| reply.sequence == sequence) {
                is_whole &= reply.flags & libc::NLM_F_DUMP_INTR as u16 == 0;
                match i32::from(reply.kind) {
                    libc::NLMSG_ERROR | libc::NLMSG_DONE => {
                        let outcome = reply.outcome().ok_or_else(|| malformed(doing))?;
                        return match outcome {
                            Ok(()) => Ok((answers, is_whole)),
                            Err(refusal) => Err(refused(doing, refusal)),
                        };
                    }
                    libc::NLMSG_NOOP => {}
                    _ => answers.push(Answer {
                        kind: reply.kind,
                        payload: reply.payload.to_vec(),
                    }),
                }
            }
        }
        Err(timeout(doing))
    }

    /// The next datagram, whatever its size: a look at it tells how much room it needs.
    fn receive(&self, doing: &str) -> Result<Vec<u8>> {
        let receive = |buffer: &mut [u8], flags| {
            let received =
                rustix::io::retry_on_intr(|| rustix::net::recv(&self.socket, &mut *buffer, flags));
            match received {
                Ok((_, length)) => Ok(length),
                Err(Errno::AGAIN) => Err(timeout(doing)),
                Err(error) => Err(Error::system(doing, error)),
            }
        };
        let length = receive(&mut [], RecvFlags::PEEK | RecvFlags::TRUNC)?;
        let mut datagram = vec![0; length];
        let length = receive(&mut datagram, RecvFlags::empty())?;
        datagram.truncate(length);
        Ok(datagram)
    }
}

impl From<OwnedFd> for Socket {
    fn from(socket: OwnedFd) -> Self {
        let sequence = Cell::new(0);
        Self { socket, sequence }
    }
}

/// The child's part of [`Socket::open_in`].
fn hand_over(namespace: BorrowedFd<'_>, wire: &Wire) -> ! {
    let opened = namespace::join(namespace, libc::CLONE_NEWNET as u64)
        .context(|| "entering the container's network namespace")
        .and_then(|()| Socket::open());
    let sent = match opened {
        Ok(socket) => wire.send(&Ok::<(), Error>(()), &[socket.socket.as_fd()]),
        Err(error) => wire.send(&Err::<(), Error>(error), &[]),
    };
    exec::exit_now(i32::from(sent.is_err()))
}

fn refused(doing: &str, refusal: Refusal) -> Error {
    let cause = io::Error::from_raw_os_error(refusal.errno);
    match refusal.explanation {
        Some(explanation) => Error::system(format_args!("{doing}: {explanation}"), cause),
        None => Error::system(doing, cause),
    }
}

fn malformed(doing: &str) -> Error {
    let message = format!("{doing}: the kernel's answer is malformed");
    Error::new(Code::Protocol, message)
}

fn timeout(doing: &str) -> Error {
    let seconds = PATIENCE.as_secs();
    let message = format!("{doing}: the kernel did not answer within {seconds} s");
    Error::new(Code::Timeout, message)
}
