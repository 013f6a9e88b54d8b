//! The engine's side of a link without Slurm and Kubernetes: real sockets, a real run folder, and peers that say what a
//! test has them say.

use std::io::{IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::process::{Pid, getppid};
use slurm_k8s_agent::link::message::{Hello, Ids, Message, Role, Start, VERSION};
use slurm_k8s_agent::link::socket::Link;

use crate::door::{Door, listen};
use crate::hub::Hub;
use crate::journal::Journal;
use crate::record::Recorder;
use crate::rundir::RunDir;

/// No wait of a test is longer.
const LIMIT: Duration = Duration::from_mins(5);
const TOKEN: &str = "secret";
const PEER: &str = "SPANK_K8S_TEST_PEER";

/// One step's engine.
pub struct Bed {
    dir: tempfile::TempDir,
    run: PathBuf,
    engine: JoinHandle<()>,
}

/// An agent's process and its connection.
pub struct Agent {
    pub process: Child,
    pub raw: UnixStream,
    pub link: Link,
    _meeting: Link,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ids() -> Ids {
    Ids { uid: rustix::process::getuid().as_raw(), gid: rustix::process::getgid().as_raw(), groups: vec![] }
}

impl Bed {
    /// An engine for this many tasks, whose shims are this process.
    pub fn new(tasks: u32) -> Self {
        Self::with_parent(tasks, getppid().unwrap())
    }

    /// An engine whose shims are forked by `parent`.
    pub fn with_parent(tasks: u32, parent: Pid) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owner = (ids().uid, ids().gid);
        let (folder, sockets) = RunDir::make(dir.path(), "p", "n", "ns", owner, TOKEN.as_bytes()).unwrap();
        let run = folder.path().to_owned();
        let (log, of_engine) = (dir.path().to_owned(), run.clone());
        let engine = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async {
                let journal = Journal::open(&log, 1 << 30, 0, "1.0", "p", Recorder::default());
                let door = Door { token: TOKEN.into(), ids: ids(), tasks, parent, container: None };
                let mut hub = Hub::new(&journal, &of_engine, door.clone(), None, LIMIT);
                let (events, inbox) = tokio::sync::mpsc::channel(256);
                let listener = |socket: UnixListener| {
                    socket.set_nonblocking(true).unwrap();
                    tokio::net::UnixListener::from_std(socket).unwrap()
                };
                listen(listener(sockets.shim), listener(sockets.agent), &door, &events);
                hub.serve(inbox, tokio::time::sleep(LIMIT)).await;
            });
        });
        Self { dir, run, engine }
    }

    /// A connection that has said nothing yet.
    pub fn connect(&self, role: Role) -> UnixStream {
        UnixStream::connect(self.socket(role)).unwrap()
    }

    fn socket(&self, role: Role) -> PathBuf {
        self.run.join(if role == Role::Shim { "shim.sock" } else { "agent.sock" })
    }

    /// A task's shim that has said hello.
    pub fn shim(&self, task: u32) -> Link {
        let mut link = Link::new(self.connect(Role::Shim));
        link.send(&hello(Role::Shim, task, TOKEN), Vec::new()).unwrap();
        link
    }

    /// An agent that has said hello; its process can be killed without ending the test.
    pub fn agent(&self) -> Agent {
        let meeting = self.dir.path().join("meeting");
        let listener = UnixListener::bind(&meeting).unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hostile::bed::connects_for_another_process", "--nocapture"])
            .env(PEER, self.socket(Role::Agent))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut meeting_link = Link::new(listener.accept().unwrap().0);
        let Some((_, fds)) = next(&mut meeting_link) else { panic!("no connection") };
        let stream = UnixStream::from(fds.into_iter().next().unwrap());
        std::fs::remove_file(meeting).unwrap();
        let mut link = Link::new(stream.try_clone().unwrap());
        link.send(&hello(Role::Agent, 0, TOKEN), Vec::new()).unwrap();
        Agent { process, raw: stream, link, _meeting: meeting_link }
    }

    /// The engine's log of this step.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("engine.log")).unwrap()
    }

    /// Waits until the step is over; gives the log.
    pub fn ends(self) -> String {
        until("the step is over", || self.engine.is_finished());
        self.log()
    }
}

/// Not a test: run by [`Bed::agent`] in a process of its own, which the kernel then names as the one that connected.
#[test]
fn connects_for_another_process() {
    let Some(socket) = std::env::var_os(PEER) else { return };
    let socket = Path::new(&socket);
    let stream = UnixStream::connect(socket).unwrap();
    let meeting = socket.ancestors().nth(3).unwrap().join("meeting");
    let mut link = Link::connect(&meeting).unwrap();
    let fds: Vec<OwnedFd> = vec![stream.into(), null(), null()];
    link.send(&start(0, 0), fds).unwrap();
    // Until it is killed, or the test has ended.
    while link.read().unwrap_or(false) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A greeting.
pub fn hello(role: Role, task: u32, token: &str) -> Message {
    Message::Hello(Hello { version: VERSION, role, task, token: token.into(), ids: ids() })
}

/// A start with a word of this many bytes.
pub fn start(task: u32, bytes: usize) -> Message {
    Message::Start(Box::new(Start { task, ..Start::plain([vec![b'x'; bytes]]) }))
}

pub fn null() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}

/// The descriptors of a start.
pub fn streams() -> Vec<OwnedFd> {
    vec![null(), null(), null()]
}

/// The next message; none at the end of the link.
pub fn next(link: &mut Link) -> Option<(Message, Vec<OwnedFd>)> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(message) = link.ready() {
            return Some(message);
        }
        assert!(Instant::now() < deadline, "nothing came");
        link.flush().unwrap();
        let flags = if link.pending() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let _ = poll(&mut [PollFd::new(&*link, flags)], Some(&Timespec { tv_sec: 1, tv_nsec: 0 }));
        if !link.read().unwrap() {
            return link.ready();
        }
    }
}

/// Writes what the engine takes; it may hang up at any byte.
pub fn write_some(stream: &UnixStream, bytes: &[u8]) {
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let _ = (&*stream).write_all(bytes);
}

/// Sends bytes, with descriptors at the first of them.
pub fn send_with(stream: &UnixStream, bytes: &[u8], fds: &[OwnedFd]) -> rustix::io::Result<usize> {
    let borrowed: Vec<_> = fds.iter().map(OwnedFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&borrowed));
    sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

/// Polls a condition.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not after {LIMIT:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The most memory that this process has had, in MiB.
pub fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Runs the test again in a process of its own, whose memory is no other test's: true there, false when that has passed.
pub fn alone(test: &str) -> bool {
    const MARK: &str = "SPANK_K8S_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let mut own = std::process::Command::new(std::env::current_exe().unwrap());
    let ran = own.args(["--exact", test, "--nocapture"]).env(MARK, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    false
}
