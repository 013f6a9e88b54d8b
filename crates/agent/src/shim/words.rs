//! What the shim itself says, on the task's stderr.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use slurm_k8s_core::message::Refusal;

/// How often, and how far apart, it is looked whether our words were read.
const WORDS_TRIES: u32 = 10;
const WORDS_PAUSE: Duration = Duration::from_millis(50);

pub fn fail(refusal: &Refusal) -> ExitCode {
    say(&refusal.message);
    if let Some(hint) = &refusal.hint {
        say(&format!("hint: {hint}"));
    }
    ExitCode::from(refusal.code)
}

/// One line, in one write. The other ends' words must not move the user's cursor.
pub fn say(text: &str) {
    use std::io::Write as _;
    SAID.store(true, Ordering::Relaxed);
    let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let _ = std::io::stderr().write_all(format!("spank-k8s: {text}\n").as_bytes());
}

static SAID: AtomicBool = AtomicBool::new(false);

/// Slurm loses what a task writes right before a signal kills it, now and then also without us (22.05): our own words
/// get the time to be read.
pub fn settle() {
    if !SAID.load(Ordering::Relaxed) {
        return;
    }
    for _ in 0..WORDS_TRIES {
        let waiting = rustix::io::ioctl_fionread(rustix::stdio::stderr()).unwrap_or(0);
        std::thread::sleep(WORDS_PAUSE);
        if waiting == 0 {
            return;
        }
    }
}
