//! Says what is being done and how long it took.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Does one step of bringing the testbed up: its name, then the seconds it took.
/// A long step shows that it lives: every second on a terminal, every 30 seconds in a log.
pub fn step<T, E>(text: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let terminal = std::io::stderr().is_terminal();
    let begin = Instant::now();
    let (done, ended) = channel::<()>();
    std::thread::scope(|scope| {
        let ticks = std::thread::Builder::new().spawn_scoped(scope, move || {
            let every = Duration::from_secs(if terminal { 1 } else { 30 });
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let seconds = begin.elapsed().as_secs();
                if terminal {
                    say(&format!("\r  {text} … {seconds} s"));
                } else {
                    say(&format!("  {text} … {seconds} s so far\n"));
                }
            }
        });
        if terminal {
            say(&format!("  {text} …"));
        }
        let result = work();
        drop(done);
        // The ticker must be silent before the last word; without a ticker there is nothing to wait for.
        if let Ok(ticker) = ticks {
            let _ = ticker.join();
        }
        let verdict = if result.is_ok() { "" } else { " FAILED" };
        let home = if terminal { "\r" } else { "" };
        say(&format!("{home}  {text}  {:.1} s{verdict}\n", begin.elapsed().as_secs_f32()));
        result
    })
}

/// Progress goes to standard error; a closed one must not end the work.
fn say(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
