//! A program that keeps running on a host after the command that started it.

use crate::host::Host;
use crate::paths;
use crate::process::{self, Process};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

/// The variable by which a daemon without a record is found: `<host>/<name>`.
const SIGN: &str = "SPANK_K8S_TESTBED_DAEMON";

/// One daemon on one host: how it is started, and by its record which process it is.
#[derive(Debug, Clone)]
pub struct Daemon {
    host: Host,
    name: String,
    argv: Vec<String>,
    env: Vec<(String, String)>,
}

/// What `STATE/run/<host>/<name>.json` keeps: enough to find it and to start it again.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    process: Option<Process>,
    argv: Vec<String>,
    env: Vec<(String, String)>,
}

/// Why a daemon could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The host has no living keeper process.
    #[error("{name} can't run: host {host} is not up")]
    HostDown {
        /// The daemon.
        name: String,
        /// Its host.
        host: &'static str,
    },
    /// Nobody ever started a daemon with this name on this host.
    #[error("there is no daemon {name} on {host}")]
    Unknown {
        /// The daemon.
        name: String,
        /// The host.
        host: &'static str,
    },
    /// A file of its record or log could not be written.
    #[error("could not write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The program could not be started.
    #[error("could not start {name} on {host}")]
    Start {
        /// The daemon.
        name: String,
        /// Its host.
        host: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It did not end, not even by SIGKILL.
    #[error("{name} on {host} does not end (pid {pid})")]
    Immortal {
        /// The daemon.
        name: String,
        /// Its host.
        host: &'static str,
        /// Its process id.
        pid: i32,
    },
}

impl Daemon {
    /// A daemon `name` on `host`, run as root with this command line.
    pub fn new<I, S>(host: Host, name: &str, argv: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let argv = argv.into_iter().map(Into::into).collect();
        Self { host, name: name.to_owned(), argv, env: Vec::new() }
    }

    /// The daemon with this name that was started on this host before.
    pub fn known(host: Host, name: &str) -> Result<Self, DaemonError> {
        let unknown = || DaemonError::Unknown { name: name.to_owned(), host: host.name };
        let mut daemon = Self::new(host, name, Vec::<String>::new());
        let record = daemon.record().ok_or_else(unknown)?;
        daemon.argv = record.argv;
        daemon.env = record.env;
        Ok(daemon)
    }

    /// Adds a variable to its environment, which else has only PATH, HOME and LANG.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file with its standard output and error, on the base machine.
    pub fn log(&self) -> PathBuf {
        paths::state("log").join(self.host.name).join(format!("{}.log", self.name))
    }

    /// Starts it if it does not run. A daemon that runs with another command line or environment is
    /// restarted. It is not waited for: use [`crate::wait::until`] with what shows that it is ready.
    /// True when it was started.
    pub fn start(&self) -> Result<bool, DaemonError> {
        if self.host.keeper().is_none() {
            return Err(DaemonError::HostDown { name: self.name.clone(), host: self.host.name });
        }
        if self.running() {
            let same = self.record().is_some_and(|record| record.argv == self.argv && record.env == self.env);
            if same {
                return Ok(false);
            }
            self.stop(Duration::from_secs(10))?;
        }
        self.end_strays();
        let log = self.open_log()?;
        let failed = |source| DaemonError::Start { name: self.name.clone(), host: self.host.name, source };
        let output = log.try_clone().map_err(failed)?;
        let child = self
            .host
            .command("setsid", &self.argv)
            .envs(self.env.iter().cloned())
            .env(SIGN, self.sign())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let process = i32::try_from(child.id()).ok().and_then(Process::find);
        self.write_record(process)?;
        Ok(true)
    }

    /// Whether the process that was started last still runs.
    pub fn running(&self) -> bool {
        self.process().is_some()
    }

    /// The process that was started last, if it still runs.
    pub fn process(&self) -> Option<Process> {
        self.record()?.process.filter(|process| process.alive())
    }

    /// Asks it to end (SIGTERM), kills it after `patience`. Its children are its own business.
    pub fn stop(&self, patience: Duration) -> Result<(), DaemonError> {
        match self.process() {
            Some(process) if !process.end(patience) => {
                Err(DaemonError::Immortal { name: self.name.clone(), host: self.host.name, pid: process.pid })
            }
            _ => Ok(()),
        }
    }

    fn sign(&self) -> String {
        format!("{}/{}", self.host.name, self.name)
    }

    /// Ends what a run of this program started and was killed before it could write the record.
    /// The daemon's children have its environment too, but are other programs.
    fn end_strays(&self) {
        let sign = format!("{SIGN}={}", self.sign());
        for pid in process::all() {
            let fields = |file: &str| {
                let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                String::from_utf8_lossy(&text).into_owned()
            };
            let program = fields("cmdline").split('\0').next().unwrap_or_default().to_owned();
            if self.argv.contains(&program)
                && fields("environ").split('\0').any(|variable| variable == sign)
                && let Some(stray) = Process::find(pid)
            {
                stray.end(Duration::from_secs(10));
            }
        }
    }

    fn record_path(&self) -> PathBuf {
        paths::state("run").join(self.host.name).join(format!("{}.json", self.name))
    }

    fn record(&self) -> Option<Record> {
        serde_json::from_slice(&std::fs::read(self.record_path()).ok()?).ok()
    }

    fn write_record(&self, process: Option<Process>) -> Result<(), DaemonError> {
        let record = Record { process, argv: self.argv.clone(), env: self.env.clone() };
        let path = self.record_path();
        let failed = |source| DaemonError::File { path: path.clone(), source };
        let text = serde_json::to_vec(&record).map_err(std::io::Error::other).map_err(failed)?;
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        let new = path.with_extension("new");
        std::fs::write(&new, text).map_err(failed)?;
        std::fs::rename(&new, &path).map_err(failed)
    }

    fn open_log(&self) -> Result<File, DaemonError> {
        let path = self.log();
        let open = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let mut log = OpenOptions::new().create(true).append(true).open(&path)?;
            writeln!(log, "--- testbed: start of {}", self.argv.join(" "))?;
            Ok(log)
        };
        open().map_err(|source| DaemonError::File { path: self.log(), source })
    }
}
