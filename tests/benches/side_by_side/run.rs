//! Runs commands on the testbed's hosts with a deadline, timed by a clock on the host itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e::At;

/// No turn of a contestant takes longer.
pub const LIMIT: &str = "90";

/// The host's shell notes the time right before and after the command: the way there is not part of the figure.
const CLOCK: &str = r#"begin=$EPOCHREALTIME; "$@"; code=$?; printf '\n%s %s' $begin $EPOCHREALTIME; exit $code"#;

/// Whether the bench is to stop, and whether it has.
static STOP: AtomicBool = AtomicBool::new(false);
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Lets the present command be the last one. Waits for its end, at most ten seconds.
pub fn stop(meanwhile: impl FnOnce()) {
    STOP.store(true, Ordering::Release);
    meanwhile();
    for _ in 0..100 {
        if STOPPED.load(Ordering::Acquire) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum Missing {
    /// It took too long.
    #[error("`{command}` did not end within {LIMIT} s")]
    Late {
        /// The command.
        command: String,
    },
    /// It failed.
    #[error("`{command}` {end}: {errors}")]
    Failed {
        /// The command.
        command: String,
        /// How it ended.
        end: String,
        /// The last line of its stderr.
        errors: String,
    },
    /// It succeeded, but did not do the work.
    #[error("{what}")]
    Wrong {
        /// What is wrong.
        what: String,
    },
    /// The system refused.
    #[error("the job cannot be watched: {0}")]
    System(#[from] std::io::Error),
}

impl Missing {
    /// It succeeded, but did not do the work.
    pub fn wrong(what: impl Into<String>) -> Self {
        Self::Wrong { what: what.into() }
    }
}

/// A command that was timed.
#[derive(Debug)]
pub struct Timed {
    /// Seconds since 1970.
    pub begin: f64,
    /// Seconds since 1970.
    pub end: f64,
    /// Its standard output.
    pub output: String,
}

impl Timed {
    /// How long it took, in ms.
    pub fn ms(&self) -> f64 {
        (self.end - self.begin) * 1e3
    }
}

/// Runs a command and gives its standard output.
pub fn output(at: At, argv: &[&str]) -> Result<String, Missing> {
    run(at, &[], argv, b"")
}

/// The same with an input.
pub fn output_with(at: At, argv: &[&str], input: &[u8]) -> Result<String, Missing> {
    run(at, &[], argv, input)
}

/// Runs and times a command.
pub fn timed(at: At, argv: &[&str]) -> Result<Timed, Missing> {
    let text = run(at, &["bash", "-c", CLOCK, "bash"], argv, b"")?;
    let (output, clock) = text.rsplit_once('\n').unwrap_or(("", &text));
    let [begin, end] = figures(clock)?;
    Ok(Timed { begin, end, output: output.trim().to_owned() })
}

fn run(at: At, prefix: &[&str], argv: &[&str], input: &[u8]) -> Result<String, Missing> {
    while STOP.load(Ordering::Acquire) {
        STOPPED.store(true, Ordering::Release);
        std::thread::park();
    }
    let ran = at.run_with(&[&["timeout", LIMIT], prefix, argv].concat(), input);
    let command = short(&argv.join(" "));
    match ran.code {
        Some(0) => Ok(ran.text()),
        Some(124) => Err(Missing::Late { command }),
        code => {
            let errors = ran.errors().lines().last().unwrap_or_default().to_owned();
            let end = code.map_or_else(|| "was killed".to_owned(), |code| format!("ended with {code}"));
            Err(Missing::Failed { command, end, errors })
        }
    }
}

/// The figures in a text, which must be as many.
pub fn figures<const N: usize>(text: &str) -> Result<[f64; N], Missing> {
    let found: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    let found = found.ok().and_then(|found| found.try_into().ok());
    found.ok_or_else(|| Missing::wrong(format!("not {N} figures, but: {}", short(text))))
}

/// Tries until there is an answer, for at most ten seconds.
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>, Missing>) -> Result<T, Missing> {
    for _ in 0..50 {
        if let Some(found) = look()? {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(Missing::wrong(format!("{what}: not within 10 s")))
}

fn short(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(120).collect()
}
