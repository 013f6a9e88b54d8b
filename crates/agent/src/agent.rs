//! The Pod's end: PID 1 of the container, as the job's user.
//!
//! It starts nothing before a shim asks. When the link ends, so does everything in the container.

use std::collections::BTreeMap;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use slurm_k8s_agent::link::message::{End, Failure, Message, Role, Stage, Start, Usage};
use slurm_k8s_agent::link::socket::{Link, LinkError};

use crate::hello::hello;
use crate::spawn::spawn;
use crate::task::Task;
use crate::tree;

const KILL: i32 = 9;
const EINVAL: i32 = 22;
/// How often it is looked whether a process catches what is kept for it.
const NEXT_LOOK: Duration = Duration::from_millis(20);
/// How long the last words may take to be sent.
const LAST_WORDS: Duration = Duration::from_secs(5);

struct Agent {
    link: Link,
    signals: OwnedFd,
    tasks: BTreeMap<u32, Task>,
    notified: PipeReader,
    notify: PipeWriter,
    init: bool,
}

pub fn main(run_dir: &Path) -> ExitCode {
    match run(run_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |e| format!(": {e}"));
            eprintln!("slurm-k8s-agent: {error}{cause}");
            ExitCode::FAILURE
        }
    }
}

fn run(run_dir: &Path) -> Result<(), LinkError> {
    let signals = slurm_k8s_posix::take_signals()?;
    let init = std::process::id() == 1;
    if !init {
        // What the tasks leave behind comes to us, as it comes to PID 1.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(std::io::Error::from)?;
    }
    let mut link = Link::connect(&run_dir.join("agent.sock"))?;
    link.send(&hello(Role::Agent, 0, run_dir)?, Vec::new())?;
    let (notified, notify) = std::io::pipe()?;
    rustix::io::ioctl_fionbio(&notified, true).map_err(std::io::Error::from)?;
    let mut agent = Agent { link, signals, tasks: BTreeMap::new(), notified, notify, init };
    let result = agent.serve();
    agent.leave();
    result
}

impl Agent {
    /// Until the engine says that all is done, or the link ends.
    fn serve(&mut self) -> Result<(), LinkError> {
        loop {
            while let Some((message, descriptors)) = self.link.ready() {
                if message == Message::Finish {
                    return Ok(());
                }
                self.handle(message, descriptors)?;
            }
            self.settle()?;
            self.reap()?;
            self.report()?;
            let mut kept = false;
            self.tasks.values_mut().for_each(|task| kept |= task.deliver_kept());
            let (linked, signalled) = self.wait(kept.then_some(NEXT_LOOK))?;
            if signalled {
                self.take_signals()?;
            }
            if linked && !self.link.read()? {
                return Ok(());
            }
        }
    }

    /// The kubelet's TERM: the job decides what it does with it. The engine hears of it before it hears of ends.
    fn take_signals(&mut self) -> Result<(), LinkError> {
        while let Some(received) = slurm_k8s_posix::next_signal(&self.signals) {
            // Who is outside of a container's processes has no number in it (pid_namespaces(7)).
            if received.signo == TERM && received.sender == 0 {
                self.link.send(&Message::Leaving, Vec::new())?;
            }
            if forwarded(received.signo) {
                self.tasks.values().for_each(|task| task.signal(received.signo));
            }
        }
        Ok(())
    }

    /// Sleeps until something happens: on the link, or a signal.
    fn wait(&mut self, limit: Option<Duration>) -> Result<(bool, bool), LinkError> {
        let out = if self.link.pending() { PollFlags::OUT } else { PollFlags::empty() };
        let mut fds = vec![
            PollFd::new(&self.link, PollFlags::IN | out),
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.notified, PollFlags::IN),
        ];
        let results = self.tasks.values().filter_map(Task::result);
        fds.extend(results.map(|result| PollFd::new(result, PollFlags::IN)));
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        match poll(&mut fds, limit.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        let mut events = fds.iter().map(PollFd::revents);
        let (link, signals) = (events.next(), events.next());
        let linked = link.is_some_and(|link| link.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR));
        let signalled = signals.is_some_and(|signals| !signals.is_empty());
        self.link.flush()?;
        let _ = rustix::io::read(&self.notified, &mut [0_u8; 64]);
        Ok((linked, signalled))
    }

    fn handle(&mut self, message: Message, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        match message {
            Message::Start(start) => self.start(&start, descriptors)?,
            Message::Signal { task, signo } => {
                if let Some(task) = self.tasks.get(&task) {
                    task.signal(signo);
                }
            }
            Message::Pending { task, signals } => {
                if let Some(task) = self.tasks.get_mut(&task) {
                    task.keep(signals);
                }
            }
            Message::Kill { task } => {
                if let Some(task) = self.tasks.get(&task) {
                    task.kill();
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, start: &Start, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        let task = start.task;
        let spawned = match <[OwnedFd; 3]>::try_from(descriptors) {
            Ok(streams) if !self.tasks.contains_key(&task) => {
                spawn(start, streams, &self.notify).map_err(Failure::from)
            }
            _ => Err(Failure { stage: Stage::Spawn, what: b"a second time".to_vec(), errno: EINVAL }),
        };
        match spawned {
            Ok(spawned) => {
                self.tasks.insert(task, Task::new(task, start.scope, spawned));
                Ok(())
            }
            Err(failure) => self.link.send(&Message::NotStarted { task, failure }, Vec::new()),
        }
    }

    /// Tells which commands run by now, and which do not.
    fn settle(&mut self) -> Result<(), LinkError> {
        for task in self.tasks.values_mut() {
            if let Some(message) = task.settle() {
                self.link.send(&message, Vec::new())?;
            }
        }
        Ok(())
    }

    /// Reaps who has ended: first processes of tasks, and what others left behind.
    fn reap(&mut self) -> Result<(), LinkError> {
        while let Some(pid) = slurm_k8s_posix::ended_child() {
            let first = self.tasks.values_mut().find(|task| task.pid() == pid && task.runs());
            // Nothing of a task outlives its first process. Its number is not free before it is reaped.
            if let Some(task) = &first {
                task.kill();
            }
            let Some((_, status, (user_us, system_us, peak_kib))) = slurm_k8s_posix::wait_for(pid) else {
                return Ok(());
            };
            let Some(task) = first else { continue };
            if let Some(message) = task.settle() {
                self.link.send(&message, Vec::new())?;
            }
            let end = match slurm_k8s_posix::ended(status) {
                Ok(code) => End::Code(code),
                Err(signo) => End::Signal(signo),
            };
            task.end(end, Usage { user_us, system_us, peak_kib });
            if !self.tasks.values().any(Task::runs) {
                self.kill_all();
            }
        }
        Ok(())
    }

    /// Tells the ends of tasks whose output is complete. Asked once for each: it can become complete at any moment, and
    /// one that was not told must stay.
    fn report(&mut self) -> Result<(), LinkError> {
        for (_, task) in self.tasks.extract_if(.., |_, task| task.complete()) {
            for message in task.last_words() {
                self.link.send(&message, Vec::new())?;
            }
        }
        Ok(())
    }

    /// Kills everything but us.
    fn kill_all(&self) {
        if self.init {
            let _ = slurm_k8s_posix::kill(-1, KILL);
            return;
        }
        let me = i32::try_from(std::process::id()).unwrap_or(0);
        for pid in tree::members(me).into_iter().filter(|pid| *pid != me) {
            let _ = slurm_k8s_posix::kill(pid, KILL);
        }
    }

    fn leave(&mut self) {
        self.kill_all();
        let deadline = Instant::now() + LAST_WORDS;
        while self.link.pending() && Instant::now() < deadline {
            if let Err(error) = self.wait(Some(LAST_WORDS)) {
                let cause = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
                return eprintln!("slurm-k8s-agent: {error}: {cause}");
            }
        }
    }
}

const TERM: i32 = 15;

/// What someone outside the job wants of it; the rest concerns this process only.
fn forwarded(signo: i32) -> bool {
    const HUP: i32 = 1;
    const INT: i32 = 2;
    const QUIT: i32 = 3;
    const USR1: i32 = 10;
    const USR2: i32 = 12;
    matches!(signo, HUP | INT | QUIT | USR1 | USR2 | TERM)
}
