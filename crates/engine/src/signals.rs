//! Signals belong to slurmstepd: the engine's thread takes none.

use nix::sys::signal::SigSet;

/// Blocks every signal on this thread.
pub fn block_all() {
    if let Err(error) = SigSet::all().thread_block() {
        log::warn!("cannot block signals on the engine's thread: {error}");
    }
}
