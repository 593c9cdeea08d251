//! The processes that are in a cgroup.

use super::{files, tree};
use crate::error::{Code, Error, Result};
use crate::sys::signals;
use rustix::io::Errno;
use rustix::process::Pid;
use std::path::Path;

/// Refuses a cgroup that somebody else uses, in runc's words.
pub(super) fn check_unused(dir: &Path, frozen: bool) -> Result<()> {
    if frozen {
        let message = "container's cgroup unexpectedly frozen";
        return Err(Error::new(Code::WrongState, message).hint(dir.display().to_string()));
    }
    match tree::processes(dir)?.as_slice() {
        [] => Ok(()),
        pids => {
            let count = pids.len();
            let message = format!("container's cgroup is not empty: {count} process(es) found");
            let who = format!("{} in {}", files::list(pids), dir.display());
            Err(Error::new(Code::WrongState, message).hint(who))
        }
    }
}

/// Signals each; one that is gone needs none.
pub(super) fn signal_each(pids: &[i32], number: i32) -> Result<()> {
    let mut result = Ok(());
    for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        match signals::send_by_pid(pid, number) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => {
                let doing = format!("sending signal {number} to {pid:?}");
                result = result.and(Err(Error::system(doing, errno)));
            }
        }
    }
    result
}
