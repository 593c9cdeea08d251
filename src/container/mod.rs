//! A container as the host knows it: its id, its directory below `--root`, what is recorded
//! there, and what that says of its status.
//!
//! ```text
//! <root>/<id>/
//!     lock                locked by whoever changes the container
//!     state.json          the intent, then the facts; replaced whole, never edited
//!     config.json         what was asked for: at the create, and by updates
//!     gate.sock           where init waits for start
//!     gate.lock           locked by init until it has executed the program
//!     notify/             the socket that stands in for NOTIFY_SOCKET
//! ```

pub mod directory;
pub mod gate;
pub mod id;
pub mod process;
pub mod record;

pub use directory::{Directory, Lock, Root};
pub use id::ContainerId;
pub use record::Record;
