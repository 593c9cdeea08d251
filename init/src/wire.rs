//! The wire between the parent (the command) and the init stage.
//!
//! One SOCK_SEQPACKET pair, one enum per direction, descriptors by SCM_RIGHTS. Either side
//! sees the other's death as the end of the stream. What happens, from left to right:
//!
//! ```text
//! parent                                  init stage
//!   Plan (+ plan, cgroup, namespace fds) ->
//!                                        <- Unshared         only with a new user namespace
//!   Continue (mappings written)          ->
//!                                        <- Forked (+ pidfd) only where the plan forks;
//!   Continue (to the new process)        ->                   in exec it comes last
//!                                        <- RootMount        only where the parent makes it
//!   Descriptor (+ fd)                    ->
//!                                        <- MountSource      for each source the parent opens
//!   Descriptor (+ fd)                    ->
//!                                        <- RuntimeHooks     only with hooks or network devices
//!   Continue (they succeeded)            ->
//!                                        <- Console (+ pty)  only with a terminal
//!                                        <- SeccompListener  only with an agent (+ it, or its
//!   Continue (the agent has it)          ->                     number, for pidfd_getfd(2))
//!                                        <- Ready
//!   Continue (state.json is written)     ->
//!                                           create: waits for `start` (see `init::gate`)
//!                                        <- Executing        to `start`, or exec; the wire ends
//! ```
//!
//! `Failed` may come instead of any message of the init stage, and ends it.

use crate::error::{Code, Context, Error, Result};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The most descriptors in one frame: the kernel's own limit (`SCM_MAX_FD`).
const MAX_DESCRIPTORS: usize = 253;

/// What one side says. The plan travels in a file of its own.
pub trait Message: Serialize + DeserializeOwned {
    /// The longest frame, in bytes: what the receiver needs memory for.
    const LONGEST: usize;
}

impl Message for FromParent {
    const LONGEST: usize = 64;
}

impl Message for FromInit {
    /// Far above what an error needs, and below what every kernel's default socket buffer takes.
    const LONGEST: usize = 32 * 1024;
}

/// What a process that was made for one thing has come to.
impl<T: Serialize + DeserializeOwned> Message for Result<T> {
    const LONGEST: usize = FromInit::LONGEST;
}

/// What the parent says.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromParent {
    /// The plan, and how many descriptors of each kind come with it, in this order: the file
    /// that holds the plan, the cgroup files to write "0" to, the namespaces to join; then,
    /// where there is a gate, its listener, its lock, and the container's own lock, which the
    /// init stage keeps until it is known by state.json.
    Plan {
        /// The length of the plan, in bytes.
        length: u32,
        /// Files of the cgroups to enter at once.
        cgroups: u32,
        /// Whether there is one more, of the memory controller, to enter last.
        memory: bool,
        /// Namespaces, or pidfds, to join.
        namespaces: u32,
        /// Whether there is a gate to wait at.
        gate: bool,
    },
    /// What was asked for has been done.
    Continue,
    /// The descriptor that was asked for.
    Descriptor,
}

/// What the init stage says.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromInit {
    /// It is in a new user namespace, and needs its mappings.
    Unshared,
    /// The process that will be the container's, as a pidfd.
    Forked,
    /// It needs the mount that is to be its root.
    RootMount,
    /// It needs the source of `mounts[index]` of the plan.
    MountSource {
        /// Into the plan's list.
        index: u32,
    },
    /// The namespaces and mounts are made: the hooks of the runtime's namespace are due.
    RuntimeHooks,
    /// The master side of the container's terminal.
    Console,
    /// It is under its seccomp filter; the agent is to have this.
    SeccompListener {
        /// Its number in this process, where it does not come with the message.
        number: Option<i32>,
    },
    /// All is set up, and what can be dropped is dropped.
    Ready,
    /// It executes the program now: if the wire just ends, that has been done.
    Executing,
    /// It cannot go on.
    Failed(Error),
}

impl FromParent {
    fn name(&self) -> &'static str {
        match self {
            Self::Plan { .. } => "Plan",
            Self::Continue => "Continue",
            Self::Descriptor => "Descriptor",
        }
    }
}

impl FromInit {
    /// For errors about a message that came out of turn.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unshared => "Unshared",
            Self::Forked => "Forked",
            Self::RootMount => "RootMount",
            Self::MountSource { .. } => "MountSource",
            Self::RuntimeHooks => "RuntimeHooks",
            Self::Console => "Console",
            Self::SeccompListener { .. } => "SeccompListener",
            Self::Ready => "Ready",
            Self::Executing => "Executing",
            Self::Failed(_) => "Failed",
        }
    }
}

/// One end of the wire.
#[derive(Debug)]
pub struct Wire {
    socket: OwnedFd,
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Wire {
    /// A new wire's two ends, both close-on-exec.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> Result<(Self, Self)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .context(|| "making the wire to the init stage")?;
        Ok((Self { socket: one }, Self { socket: other }))
    }

    /// The end that `socket` is.
    pub fn from_socket(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends one message with descriptors.
    ///
    /// # Errors
    /// `EPIPE` where the peer is gone.
    pub fn send<M: Message>(&self, message: &M, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let frame = postcard::to_allocvec(message)
            .map_err(|e| protocol(format!("encoding a message: {e}")))?;
        if frame.len() > M::LONGEST || descriptors.len() > MAX_DESCRIPTORS {
            return Err(protocol(format!(
                "a message of {} bytes and {} descriptors does not fit a frame",
                frame.len(),
                descriptors.len()
            )));
        }
        let doing = || "writing to the wire";
        if descriptors.is_empty() {
            // Not sendmsg(2): the init stage may be under its filter already, and a profile that
            // lets a container start under runc allows write(2). SIGPIPE is ignored.
            return rustix::io::retry_on_intr(|| rustix::io::write(&self.socket, &frame))
                .map(drop)
                .context(doing);
        }
        let mut space =
            vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(descriptors).size()];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(descriptors));
        rustix::io::retry_on_intr(|| {
            rustix::net::sendmsg(
                &self.socket,
                &[IoSlice::new(&frame)],
                &mut control,
                SendFlags::NOSIGNAL,
            )
        })
        .map(drop)
        .context(doing)
    }

    /// Sends a failure, cut to what a frame takes. A peer that is gone cannot be told.
    pub fn send_failure(&self, error: &Error) {
        let fits = error.clone().truncated(FromInit::LONGEST / 2);
        let _ = self.send(&FromInit::Failed(fits), &[]);
    }

    /// The next message and its descriptors, close-on-exec; `None` at the end of the stream.
    ///
    /// # Errors
    /// A frame that is too long, or is not a message.
    pub fn receive<M: Message>(&self) -> Result<Option<(M, Vec<OwnedFd>)>> {
        let mut frame = vec![0; M::LONGEST];
        let mut space =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            rustix::net::recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut frame)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )
        });
        let received = match received {
            // The peer died with a message of ours unread: the end, all the same.
            Err(Errno::CONNRESET) => return Ok(None),
            other => other.context(|| "reading from the wire")?,
        };
        let descriptors = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        if received
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
        {
            return Err(protocol("a message on the wire was cut short".into())
                .hint("is the limit on open files (ulimit -n) too low?"));
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        let message = decode(&frame[..received.bytes])?;
        Ok(Some((message, descriptors)))
    }

    /// Waits for the parent's next message, which must be `Continue`.
    ///
    /// # Errors
    /// Another message, or the parent's death.
    pub fn await_continue(&self) -> Result<()> {
        let mut frame = [0; FromParent::LONGEST];
        // Not recvmsg(2): see `send`.
        let read = rustix::io::retry_on_intr(|| rustix::io::read(&self.socket, &mut frame));
        let length = match read {
            Err(Errno::CONNRESET) => 0,
            other => other.context(|| "reading from the wire")?,
        };
        if length == 0 {
            return Err(protocol("the runtime went away".into()));
        }
        match decode(&frame[..length])? {
            FromParent::Continue => Ok(()),
            other => Err(out_of_turn(other.name(), "Continue")),
        }
    }

    /// Waits until the init stage has executed the program.
    ///
    /// # Errors
    /// What kept it from that, its death among it.
    pub fn await_execution(&self) -> Result<()> {
        let mut executing = false;
        loop {
            match self.receive::<FromInit>()? {
                Some((FromInit::Executing, _)) => executing = true,
                Some((FromInit::Failed(error), _)) => return Err(error),
                Some((other, _)) => return Err(out_of_turn(other.name(), "the end of the wire")),
                None if executing => return Ok(()),
                None => {
                    return Err(Error::new(
                        Code::System,
                        "the container's process was killed before it executed its program",
                    ));
                }
            }
        }
    }

    /// Waits for the one descriptor that was asked for.
    ///
    /// # Errors
    /// Another message, or the parent's death.
    pub fn await_descriptor(&self) -> Result<OwnedFd> {
        match self.receive::<FromParent>()? {
            Some((FromParent::Descriptor, fds)) => fds
                .into_iter()
                .next()
                .ok_or_else(|| protocol("Descriptor came without one".into())),
            Some((other, _)) => Err(out_of_turn(other.name(), "Descriptor")),
            None => Err(protocol("the runtime went away".into())),
        }
    }
}

/// Reads a frame.
///
/// # Errors
/// One that is not a message.
pub fn decode<M: Message>(frame: &[u8]) -> Result<M> {
    postcard::from_bytes(frame).map_err(|e| {
        protocol(format!(
            "a frame of {} bytes is no message: {e}",
            frame.len()
        ))
    })
}

/// The error for a message that came where another was due.
pub fn out_of_turn(came: &str, due: &str) -> Error {
    protocol(format!("the message {came} came where {due} was due"))
}

fn protocol(message: String) -> Error {
    Error::new(Code::Protocol, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_descriptors_arrive_as_sent() {
        let (parent, init) = Wire::pair().unwrap();
        let file = std::fs::File::open("/proc/self/stat").unwrap();
        init.send(&FromInit::Forked, &[file.as_fd(), file.as_fd()])
            .unwrap();
        let (message, fds) = parent.receive::<FromInit>().unwrap().unwrap();
        assert!(matches!(message, FromInit::Forked));
        assert_eq!(fds.len(), 2);
        drop(init);
        assert!(parent.receive::<FromInit>().unwrap().is_none());
    }

    #[test]
    fn an_unexpected_message_names_both() {
        let (parent, init) = Wire::pair().unwrap();
        parent.send(&FromParent::Descriptor, &[]).unwrap();
        let error = init.await_continue().unwrap_err().to_string();
        assert!(
            error.contains("Descriptor") && error.contains("Continue"),
            "{error}"
        );
    }

    #[test]
    fn a_frame_that_is_no_message_is_refused() {
        let (parent, init) = Wire::pair().unwrap();
        rustix::net::send(&parent, &[0xff; 40], SendFlags::empty()).unwrap();
        assert_eq!(init.await_continue().unwrap_err().code(), Code::Protocol);
    }

    #[test]
    fn a_huge_failure_still_arrives() {
        let (parent, init) = Wire::pair().unwrap();
        init.send_failure(&Error::new(Code::Hook, "é".repeat(100_000)));
        let (message, _) = parent.receive::<FromInit>().unwrap().unwrap();
        assert!(matches!(message, FromInit::Failed(_)));
    }
}
