//! What is said, and to whom.

use std::ffi::CString;

use slurm_spank::{LogLevel, spank_log};

/// One line for the user: on the client's or the task's stderr, or in slurmd's log where Slurm has no user yet.
pub fn line(text: &str) {
    for line in text.lines() {
        slurm_spank::slurm_spank_log(&clean(&format!("spank-k8s: {line}")));
    }
}

/// A message with its hint.
pub fn message(text: &str, hint: Option<&str>) {
    line(text);
    if let Some(hint) = hint {
        line(&format!("hint: {hint}"));
    }
}

/// A C string cannot hold NUL, and a terminal should not be told more than text.
fn clean(text: &str) -> String {
    let kept = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let text: String = text.chars().map(kept).collect();
    CString::new(text.as_str()).map_or_else(|_| String::new(), |_| text)
}

/// Slurm's log, from one of its processes.
struct SlurmLog {
    /// slurmstepd prints its errors on the job's stderr too, where the admin's matters do not belong.
    step: bool,
}

static OF_SLURMD: SlurmLog = SlurmLog { step: false };
static OF_STEP: SlurmLog = SlurmLog { step: true };

impl log::Log for SlurmLog {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.target().starts_with("slurm_k8s") || metadata.target().starts_with("spank_k8s")
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            let level = match record.level() {
                log::Level::Error if !self.step => LogLevel::Error,
                log::Level::Error | log::Level::Warn | log::Level::Info => LogLevel::Info,
                log::Level::Debug => LogLevel::Debug,
                log::Level::Trace => LogLevel::Debug2,
            };
            spank_log(level, &clean(&format!("spank-k8s: {}", record.args())));
        }
    }

    fn flush(&self) {}
}

/// Sends the `log` records of our crates to slurmd's log; `step`: from slurmstepd.
pub fn log_to_slurm(step: bool) {
    if log::set_logger(if step { &OF_STEP } else { &OF_SLURMD }).is_ok() {
        log::set_max_level(log::LevelFilter::Debug);
    }
}
