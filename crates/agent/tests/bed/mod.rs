//! A stand-in for the engine: it listens where shim and agent connect and passes messages on, as the real one does.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use slurm_k8s_agent::link::message::Message;
use slurm_k8s_agent::link::socket::Link;

/// No wait of a test is longer.
pub const LIMIT: Duration = Duration::from_secs(40);
pub const BINARY: &str = env!("CARGO_BIN_EXE_slurm-k8s-agent");

/// A Pod's run folder with both sockets.
pub struct Bed {
    pub dir: tempfile::TempDir,
    shims: UnixListener,
    agents: UnixListener,
    started: AtomicUsize,
}

impl Bed {
    pub fn new() -> Self {
        // A shell ignores INT for what it runs in the background, perhaps these tests. PIPE is Rust's own.
        slurm_k8s_posix::ignore_only(1 << (13 - 1));
        let dir = tempfile::tempdir().unwrap();
        let listen = |name: &str| UnixListener::bind(dir.path().join(name)).unwrap();
        let (shims, agents) = (listen("shim.sock"), listen("agent.sock"));
        std::fs::write(dir.path().join("token"), "secret\n").unwrap();
        Self { dir, shims, agents, started: AtomicUsize::new(0) }
    }

    /// A shim for this command, with its streams closed or piped as the test sets them.
    pub fn shim(&self, task: u32, argv: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(argv)
            .env("SPANK_K8S_SHIM_RUN_DIR", self.dir.path())
            .env("SPANK_K8S_SHIM_TASK", task.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The agent; its stdout and stderr are the container's log. `SPANK_K8S_TEST_AGENT` names a program that runs it
    /// otherwise, say in a container.
    pub fn agent(&self) -> Command {
        let mut command = match std::env::var_os("SPANK_K8S_TEST_AGENT") {
            Some(program) => Command::new(program),
            None => Command::new(BINARY),
        };
        command.arg("agent").arg(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub fn accept_shim(&self) -> Link {
        Link::new(self.accept_raw())
    }

    pub fn accept_agent(&self) -> Link {
        Link::new(self.accept_raw_agent())
    }

    pub fn accept_raw(&self) -> UnixStream {
        accept(&self.shims)
    }

    pub fn accept_raw_agent(&self) -> UnixStream {
        accept(&self.agents)
    }

    /// Waits until a shim was told that its command runs.
    pub fn until_started(&self) {
        until("a task starts", || self.started.load(Ordering::Acquire) > 0);
    }

    /// Passes messages on between this many shims and the agent until all have ended; returns the agent's.
    pub fn relay(&self, shims: usize) -> Vec<Message> {
        let mut agent = self.accept_agent();
        let mut links: Vec<_> = (0..shims).map(|_| Some(self.accept_shim())).collect();
        let mut tasks = vec![u32::MAX; shims];
        let mut seen = Vec::new();
        let (mut ended, deadline) = (0, Instant::now() + LIMIT);
        loop {
            assert!(Instant::now() < deadline, "no end after {LIMIT:?}; so far: {seen:?}");
            for at in 0..shims {
                let Some(link) = &mut links[at] else { continue };
                let (messages, open) = now(link);
                for (message, descriptors) in messages {
                    match &message {
                        Message::Hello(hello) => tasks[at] = hello.task,
                        _ => agent.send(&message, descriptors).unwrap(),
                    }
                }
                if !open {
                    links[at] = None;
                    agent.send(&Message::Kill { task: tasks[at] }, Vec::new()).unwrap();
                }
            }
            let (messages, open) = now(&mut agent);
            for (message, _) in messages {
                let task = task(&message);
                ended += usize::from(matches!(message, Message::Exited { .. } | Message::NotStarted { .. }));
                let at = tasks.iter().position(|known| Some(*known) == task);
                if let Some(Some(link)) = at.map(|at| &mut links[at]) {
                    link.send(&message, Vec::new()).unwrap();
                    if matches!(message, Message::Started { .. }) {
                        self.started.fetch_add(1, Ordering::AcqRel);
                    }
                }
                seen.push(message);
                if ended == shims {
                    agent.send(&Message::Finish, Vec::new()).unwrap();
                }
            }
            if !open {
                return seen;
            }
            let all: Vec<_> = links.iter().flatten().chain([&agent]).collect();
            wait(&all, Duration::from_secs(1));
        }
    }
}

fn task(message: &Message) -> Option<u32> {
    match message {
        Message::Started { task }
        | Message::Exited { task, .. }
        | Message::NotStarted { task, .. }
        | Message::Notice { task, .. }
        | Message::LogLost { task, .. } => Some(*task),
        _ => None,
    }
}

fn accept(listener: &UnixListener) -> UnixStream {
    assert!(readable(&[listener], LIMIT), "nobody connected");
    listener.accept().unwrap().0
}

/// What has come on a link, and whether it is still open.
fn now(link: &mut Link) -> (Vec<(Message, Vec<OwnedFd>)>, bool) {
    link.flush().unwrap();
    let mut open = true;
    if readable(&[&*link], Duration::ZERO) {
        open = link.read().unwrap();
    }
    (std::iter::from_fn(|| link.ready()).collect(), open)
}

/// The next message on a link; none at its end.
pub fn next(link: &mut Link) -> Option<(Message, Vec<OwnedFd>)> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(message) = link.ready() {
            return Some(message);
        }
        assert!(Instant::now() < deadline, "nothing came");
        wait(&[&*link], Duration::from_secs(1));
        if !link.read().unwrap() {
            return link.ready();
        }
    }
}

fn wait(links: &[&Link], limit: Duration) {
    let flags = |link: &&Link| {
        if link.pending() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN }
    };
    let mut fds: Vec<_> = links.iter().map(|link| PollFd::new(*link, flags(link))).collect();
    let _ = poll(&mut fds, Some(&Timespec::try_from(limit).unwrap()));
}

fn readable(fds: &[&impl std::os::fd::AsFd], limit: Duration) -> bool {
    let mut fds: Vec<_> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
    poll(&mut fds, Some(&Timespec::try_from(limit).unwrap())).unwrap() > 0
}

/// Polls a condition.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not after {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits for a child, but not for ever.
pub fn end(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("a process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// What a command in the Pod left behind.
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub messages: Vec<Message>,
}

/// Runs one command from shim to agent and back.
pub fn run(prepare: impl FnOnce(&Path, &mut Command), argv: &[&str]) -> Ran {
    let bed = Bed::new();
    let mut command = bed.shim(0, argv);
    prepare(bed.dir.path(), &mut command);
    run_in(&bed, command)
}

/// The same with a prepared shim.
pub fn run_in(bed: &Bed, mut shim: Command) -> Ran {
    let mut agent = bed.agent().spawn().unwrap();
    let (output, messages) = std::thread::scope(|scope| {
        let output = scope.spawn(move || shim.spawn().unwrap().wait_with_output().unwrap());
        let messages = bed.relay(1);
        (output.join().unwrap(), messages)
    });
    end(&mut agent);
    Ran {
        status: output.status,
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        messages,
    }
}

pub fn direct(command: &mut Command) {
    command.env("SPANK_K8S_SHIM_IO", "direct");
}
