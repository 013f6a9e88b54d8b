//! The Pod's end: PID 1 of the container, as the job's user.
//!
//! It starts nothing before a shim asks. When the link ends, so does everything in the container.

use std::collections::BTreeMap;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use slurm_k8s_agent::link::message::{End, Failure, Message, Role, Scope, Stage, Start, Usage};
use slurm_k8s_agent::link::socket::{Link, LinkError};

use crate::output::Pumps;
use crate::spawn::spawn;
use crate::{shim, tree};

/// Where the run folder is; another one in tests.
const RUN_DIR: &str = "SPANK_K8S_AGENT_RUN_DIR";
const KILL: i32 = 9;
const CHLD: i32 = 17;
/// How long output may take to be delivered after the task's last process is gone.
const DRAIN: Duration = Duration::from_secs(3600);

struct Task {
    pid: i32,
    scope: Scope,
    pumps: Option<Pumps>,
    ended: Option<(End, Usage, Instant)>,
}

struct Agent {
    link: Link,
    tasks: BTreeMap<u32, Task>,
    notified: PipeReader,
    notify: PipeWriter,
    alone: bool,
}

pub fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |e| format!(": {e}"));
            eprintln!("slurm-k8s-agent: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), LinkError> {
    let signals = slurm_k8s_posix::take_signals()?;
    let run_dir = std::env::var_os(RUN_DIR).map_or_else(|| PathBuf::from("/.slurm-k8s"), PathBuf::from);
    let link = Link::connect(&run_dir.join("agent.sock"))?;
    link.send(&shim::hello(Role::Agent, 0, &run_dir)?, &[])?;
    let (notified, notify) = std::io::pipe()?;
    let alone = std::process::id() == 1;
    let mut agent = Agent { link, tasks: BTreeMap::new(), notified, notify, alone };
    let result = agent.serve(&signals);
    agent.kill_all();
    result
}

impl Agent {
    fn serve(&mut self, signals: &OwnedFd) -> Result<(), LinkError> {
        loop {
            while let Some((message, descriptors)) = self.link.ready() {
                if message == Message::Finish {
                    return Ok(());
                }
                self.handle(message, descriptors)?;
            }
            self.reap();
            self.report()?;
            let mut fds = [
                PollFd::new(&self.link, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
                PollFd::new(&self.notified, PollFlags::IN),
            ];
            let pause = Timespec { tv_sec: 1, tv_nsec: 0 };
            match poll(&mut fds, Some(&pause)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(std::io::Error::from(error).into()),
            }
            let [linked, signalled, notified] = fds.map(|fd| !fd.revents().is_empty());
            if notified {
                let _ = rustix::io::read(&self.notified, &mut [0_u8; 64]);
            }
            if signalled {
                while let Some(signo) = slurm_k8s_posix::next_signal(signals) {
                    // The kubelet's TERM: the job decides what it does with it.
                    if signo != CHLD {
                        self.signal_all(signo);
                    }
                }
            }
            if linked && !self.link.read()? {
                return Ok(());
            }
        }
    }

    fn handle(&mut self, message: Message, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        match message {
            Message::Start(start) => self.start(&start, descriptors)?,
            Message::Signal { task, signo } => {
                if let Some(task) = self.tasks.get(&task).filter(|task| task.ended.is_none()) {
                    send(task, signo);
                }
            }
            Message::Kill { task } => {
                if let Some(task) = self.tasks.get(&task) {
                    kill_tree(task.pid);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, start: &Start, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        let task = start.task;
        let spawned = match <[OwnedFd; 3]>::try_from(descriptors) {
            Ok(streams) if !self.tasks.contains_key(&task) => spawn(start, streams, &self.notify),
            _ => Err(Failure { stage: Stage::Spawn, what: b"the request".to_vec(), errno: 22 }),
        };
        match spawned {
            Ok(spawned) => {
                let state = Task { pid: spawned.pid, scope: start.scope, pumps: spawned.pumps, ended: None };
                self.tasks.insert(task, state);
                self.link.send(&Message::Started { task }, &[])
            }
            Err(failure) => self.link.send(&Message::NotStarted { task, failure }, &[]),
        }
    }

    /// As PID 1 it also reaps what others left behind.
    fn reap(&mut self) {
        while let Some((pid, status, (user_us, system_us, peak_kib))) = slurm_k8s_posix::wait(false) {
            let Some(task) = self.tasks.values_mut().find(|task| task.pid == pid && task.ended.is_none()) else {
                continue;
            };
            let end = match slurm_k8s_posix::ended(status) {
                Ok(code) => End::Code(code),
                Err(signo) => End::Signal(signo),
            };
            task.ended = Some((end, Usage { user_us, system_us, peak_kib }, Instant::now()));
            // Nothing of a task outlives its first process, and nothing may hold its output open.
            kill_tree(pid);
            if self.alone && self.tasks.values().all(|task| task.ended.is_some()) {
                let _ = slurm_k8s_posix::kill(-1, KILL);
            }
        }
    }

    /// Tells the ends of tasks whose output is complete.
    fn report(&mut self) -> Result<(), LinkError> {
        let complete = |task: &Task| {
            let (_, _, at) = task.ended?;
            let drained = task.pumps.as_ref().is_none_or(Pumps::done);
            (drained || at.elapsed() > DRAIN).then_some(())
        };
        let done: Vec<u32> =
            self.tasks.iter().filter(|(_, task)| complete(task).is_some()).map(|(id, _)| *id).collect();
        for id in done {
            let Some(Task { ended: Some((end, usage, _)), pumps, .. }) = self.tasks.remove(&id) else { continue };
            let bytes = pumps.map_or(0, |pumps| pumps.lost());
            if bytes > 0 {
                self.link.send(&Message::LogLost { task: id, bytes }, &[])?;
            }
            self.link.send(&Message::Exited { task: id, end, usage }, &[])?;
        }
        Ok(())
    }

    fn signal_all(&self, signo: i32) {
        for task in self.tasks.values().filter(|task| task.ended.is_none()) {
            send(task, signo);
        }
    }

    fn kill_all(&self) {
        for task in self.tasks.values() {
            kill_tree(task.pid);
        }
        if self.alone {
            let _ = slurm_k8s_posix::kill(-1, KILL);
        }
    }
}

fn send(task: &Task, signo: i32) {
    // A process that is gone needs no signal.
    match task.scope {
        Scope::Task => drop(slurm_k8s_posix::kill(task.pid, signo)),
        Scope::Tree => {
            for pid in tree::members(task.pid) {
                let _ = slurm_k8s_posix::kill(pid, signo);
            }
        }
    }
}

fn kill_tree(root: i32) {
    for pid in tree::members(root) {
        let _ = slurm_k8s_posix::kill(pid, KILL);
    }
    let _ = slurm_k8s_posix::kill(-root, KILL);
}
