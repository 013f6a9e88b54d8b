//! Runs a program to its end and keeps what it said.

use std::process::{Command, Stdio};

/// Why a program that the testbed needs did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started at all.
    #[error("could not start {program}")]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("{command} ended with {status}:\n{output}")]
    Failed {
        /// The command line.
        command: String,
        /// The exit status.
        status: std::process::ExitStatus,
        /// The end of what it printed.
        output: String,
    },
}

/// The environment of everything the testbed starts: nothing of the caller's or of cargo's.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command with a clean environment (root's) and no input.
pub fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs([("PATH", PATH), ("HOME", "/root"), ("LANG", "C.UTF-8")]).stdin(Stdio::null());
    command
}

/// Runs it and gives its standard output; on failure the error carries both outputs.
pub fn run(mut command: Command) -> Result<String, CommandError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|source| CommandError::Start { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(CommandError::Failed {
        command: shown(&command),
        status: output.status,
        output: tail(&format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    })
}

/// Runs it and says only whether it succeeded.
pub fn succeeds(mut command: Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}
