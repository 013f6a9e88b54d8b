//! What the ends of the link say to each other.
//!
//! ```text
//! shim (one per task) ⇄ engine (in slurmstepd) ⇄ agent (PID 1 of the container)
//! ```
//! The engine relays and keeps order; it trusts neither end, since the user can trace both.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
pub use slurm_k8s_core::message::Refusal;

/// Raised with every change that an older end would not understand.
pub const VERSION: u16 = 6;

/// Arguments or variables: execve(2) takes 6 MiB with a pointer of 8 bytes for each, so no command has more. An empty
/// word is one byte in a message and fifty in memory.
const MOST_WORDS: usize = (6 << 20) / 9;
/// Limits or cores.
const MOST_NUMBERS: usize = 1 << 16;

/// A list of at most `MOST` items: its length is the sender's word.
fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>, const MOST: usize>(from: D) -> Result<Vec<T>, D::Error> {
    struct Few<T, const MOST: usize>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Few<T, MOST> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MOST} items")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::with_capacity(items.size_hint().unwrap_or(0).min(64));
            while let Some(item) = items.next_element()? {
                if list.len() == MOST {
                    return Err(A::Error::invalid_length(MOST + 1, &self));
                }
                list.push(item);
            }
            Ok(list)
        }
    }
    from.deserialize_seq(Few::<T, MOST>(PhantomData))
}

/// Which end speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// The task process that Slurm sees.
    Shim,
    /// The first process of the container.
    Agent,
}

/// One message; [`Message::Start`] carries three descriptors (stdin, stdout, stderr), the others none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Shim and agent → engine, first.
    Hello(Hello),
    /// Shim → engine → agent: start this task.
    Start(Box<Start>),
    /// Shim → engine → agent: deliver this signal to the task.
    Signal {
        /// The local task.
        task: u32,
        /// The signal's number.
        signo: i32,
    },
    /// Shim → engine → agent, when the task's first process runs: deliver these signals as soon as it catches them, signal
    /// n as bit n - 1. They came before it was there.
    Pending {
        /// The local task.
        task: u32,
        /// The signals.
        signals: u64,
    },
    /// Engine → agent: kill this task's processes (its shim is gone).
    Kill {
        /// The local task.
        task: u32,
    },
    /// Engine → agent: every task has ended; leave.
    Finish,
    /// Agent → engine → shim: the task's first process runs.
    Started {
        /// The local task.
        task: u32,
    },
    /// Agent → engine → shim: the task ended, its output is complete.
    Exited {
        /// The local task.
        task: u32,
        /// How it ended.
        end: End,
        /// What it used.
        usage: Usage,
    },
    /// Agent → engine → shim: the task never ran.
    NotStarted {
        /// The local task.
        task: u32,
        /// Why.
        failure: Failure,
    },
    /// Engine → shim: print this and end with that code.
    Refused(Refusal),
    /// Agent or engine → shim: print this line on the task's stderr.
    Notice {
        /// The local task.
        task: u32,
        /// One line, without `spank-k8s: `.
        text: String,
    },
    /// Agent → engine: from outside of the container it was told to end (SIGTERM); so are the tasks.
    Leaving,
    /// Agent → engine: bytes that `kubectl logs` could not take, per task, at the end.
    LogLost {
        /// The local task.
        task: u32,
        /// Bytes.
        bytes: u64,
    },
}

/// The first message of shim and agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the speaker.
    pub version: u16,
    /// Which end.
    pub role: Role,
    /// The shim's local task; 0 from the agent.
    pub task: u32,
    /// What the token file holds.
    #[serde(with = "serde_bytes")]
    pub token: Vec<u8>,
    /// The speaker's real uid, gid and supplementary groups, sorted; the agent's are compared with Slurm's.
    pub ids: Ids,
}

/// A process's identity.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// Real user id.
    pub uid: u32,
    /// Real group id.
    pub gid: u32,
    /// Supplementary groups, sorted.
    pub groups: Vec<u32>,
}

/// All that makes the user's process what Slurm's task would have been.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The local task.
    pub task: u32,
    /// The command and its arguments; bytes, not text.
    #[serde(deserialize_with = "few::<_, _, MOST_WORDS>")]
    pub argv: Vec<serde_bytes::ByteBuf>,
    /// The first word is a file that its interpreter is to run, executable or not.
    pub interpreted: bool,
    /// `NAME=value` as Slurm gave it to the shim, without the shim's own.
    #[serde(deserialize_with = "few::<_, _, MOST_WORDS>")]
    pub env: Vec<serde_bytes::ByteBuf>,
    /// The user's own variables: name, and value unless it is the one in `env`. They stand above all others.
    #[serde(deserialize_with = "few::<_, _, MOST_WORDS>")]
    pub variables: Vec<(serde_bytes::ByteBuf, Option<serde_bytes::ByteBuf>)>,
    /// The working directory.
    pub workdir: Workdir,
    /// The file mode creation mask.
    pub umask: u32,
    /// Limits by number (`RLIMIT_*`): soft and hard, `u64::MAX` for unlimited.
    #[serde(deserialize_with = "few::<_, _, MOST_NUMBERS>")]
    pub rlimits: Vec<(u32, u64, u64)>,
    /// The cores the task may run on.
    #[serde(deserialize_with = "few::<_, _, MOST_NUMBERS>")]
    pub cpus: Vec<u32>,
    /// The nice value.
    pub nice: i32,
    /// The signals it ignores, signal n as bit n - 1.
    pub ignored: u64,
    /// Slurm's terminal, if that is its stdin.
    pub terminal: Option<Terminal>,
    /// How output is carried.
    pub io: Io,
    /// Whom signals go to.
    pub scope: Scope,
    /// Where the step's tasks meet; the engine's to say.
    pub meeting: Option<Meeting>,
}

impl Start {
    /// The first task with this command, and nothing else asked for.
    #[must_use]
    pub fn plain<W: Into<Vec<u8>>>(argv: impl IntoIterator<Item = W>) -> Self {
        let bytes = |word: W| serde_bytes::ByteBuf::from(word.into());
        Self {
            task: 0,
            argv: argv.into_iter().map(bytes).collect(),
            interpreted: false,
            env: Vec::new(),
            variables: Vec::new(),
            workdir: Workdir::Inherited(serde_bytes::ByteBuf::from("/")),
            umask: 0o22,
            rlimits: Vec::new(),
            cpus: Vec::new(),
            nice: 0,
            ignored: 0,
            terminal: None,
            io: Io::Tee,
            scope: Scope::Tree,
            meeting: None,
        }
    }
}

/// Where the step's tasks meet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    /// The first task's Pod.
    pub address: Address,
    /// The port there.
    pub port: u16,
}

/// The address of a Pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// This Pod's own.
    Own,
    /// Another's.
    Of(String),
    /// It is not known, or not needed.
    Unknown,
}

/// What the shim has changed of Slurm's terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// The local modes that it had (termios(3)).
    pub modes: u32,
    /// Bytes that were typed, and echoed, before that.
    pub typed: u32,
}

/// The working directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Workdir {
    /// The job's own: if it isn't in the Pod, /tmp with a notice, as Slurm does.
    Inherited(serde_bytes::ByteBuf),
    /// `--k8s-workdir`: if it isn't in the Pod, the task fails.
    Explicit(serde_bytes::ByteBuf),
}

/// How output is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Io {
    /// The process has Slurm's own descriptors.
    Direct,
    /// The agent copies to Slurm's descriptor and to the container's log.
    Tee,
}

/// Whom a signal goes to, as the site's `ProctrackType` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// The task's first process only (`proctrack/cgroup`).
    Task,
    /// Every process of the task (`proctrack/linuxproc`, `pgid`).
    Tree,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It called exit.
    Code(u8),
    /// A signal killed it.
    Signal(i32),
}

/// What a task used, from wait4(2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// User time in microseconds.
    pub user_us: u64,
    /// System time in microseconds.
    pub system_us: u64,
    /// Peak resident size in KiB.
    pub peak_kib: u64,
}

/// Why a task never ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The failed step.
    pub stage: Stage,
    /// What it was tried on: the command, the folder.
    #[serde(with = "serde_bytes")]
    pub what: Vec<u8>,
    /// The kernel's error number.
    pub errno: i32,
}

/// A step between the start message and the user's first instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Changing to `--k8s-workdir`.
    Workdir,
    /// Setting limits, mask, cores or nice value.
    Limits,
    /// Starting a process or its pipes.
    Spawn,
    /// execve of the command.
    Exec,
}
