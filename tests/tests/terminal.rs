//! `srun --pty` on a real terminal: what the user sees is what plain `srun --pty` shows.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use e2e::slurm::{V22_05, slurm};
use e2e::{ALICE, alone, in_image, together, until};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

const LIMIT: Duration = Duration::from_mins(1);

/// A user's terminal with a command on it.
struct Screen {
    user: OwnedFd,
    command: Child,
    shown: String,
    looked: usize,
}

impl Screen {
    fn new(argv: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let user = openpt(flags).unwrap();
        unlockpt(&user).unwrap();
        let terminal = ioctl_tiocgptpeer(&user, flags).unwrap();
        let inner = ALICE.command(argv);
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(inner.get_program()).args(inner.get_args());
        let copy = || terminal.try_clone().unwrap();
        command.stdin(copy()).stdout(copy()).stderr(copy());
        resize(&user, 24, 80);
        Self { user, command: command.spawn().unwrap(), shown: String::new(), looked: 0 }
    }

    fn types(&self, text: &str) {
        let count = rustix::io::write(&self.user, text.as_bytes()).unwrap();
        assert_eq!(count, text.len());
    }

    /// Waits until this is shown, behind what was waited for before.
    fn expect(&mut self, text: &str) {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(at) = self.shown.get(self.looked..).and_then(|rest| rest.find(text)) {
                self.looked += at + text.len();
                return;
            }
            assert!(self.read() && Instant::now() < deadline, "no {text:?} in {:?}", self.shown);
        }
    }

    /// Waits for the end; all that was shown, and the exit code.
    fn end(mut self) -> (String, Option<i32>) {
        while self.read() {}
        (std::mem::take(&mut self.shown), self.command.wait().unwrap().code())
    }

    /// Reads once; false at the end.
    fn read(&mut self) -> bool {
        let mut fds = [PollFd::new(&self.user, PollFlags::IN)];
        let ready = poll(&mut fds, Some(&Timespec::try_from(LIMIT).unwrap())).unwrap();
        assert!(ready > 0, "nothing more is shown; so far: {:?}", self.shown);
        let mut buffer = [0; 4096];
        // EIO: nobody has the terminal any more.
        let count = rustix::io::read(&self.user, &mut buffer).unwrap_or(0);
        self.shown.push_str(&String::from_utf8_lossy(buffer.get(..count).unwrap()));
        count > 0
    }

    /// Waits until srun reads the terminal.
    fn until_raw(&self) {
        until("srun has its terminal", || {
            let raw = tcgetattr(&self.user).is_ok_and(|now| !now.local_modes.contains(LocalModes::ECHO));
            raw.then_some(()).ok_or_else(String::new)
        });
    }
}

fn resize(user: &OwnedFd, rows: u16, columns: u16) {
    tcsetwinsize(user, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

/// What the terminal showed without srun's own lines, and these: srun prints them in the middle of what else comes.
fn by_speaker(shown: &str) -> (String, Vec<String>) {
    let (mut rest, mut lines) = (shown.to_owned(), Vec::new());
    while let Some(at) = rest.find("srun: error: ") {
        let end = rest[at..].find('\n').map_or(rest.len(), |length| at + length + 1);
        lines.push(rest.drain(at..end).collect());
    }
    (rest, lines)
}

/// The image is of Debian 12, as are the hosts of Slurm 22.05; later hosts' bash has other columns in its job table.
fn fit(shown: &str) -> String {
    if slurm() == V22_05 {
        return shown.to_owned();
    }
    let mut shown = shown.to_owned();
    while shown.contains("  ") {
        shown = shown.replace("  ", " ");
    }
    shown
}

/// Runs the same without and with the option, on one node; both show the same and end alike.
fn both(argv: &[&str], user: impl Fn(&mut Screen)) -> (String, Option<i32>) {
    let image = in_image("userland");
    let run = |options: &[&str]| {
        let mut screen = Screen::new(&[&["srun", "--quiet", "--nodelist=node1", "--pty"], options, argv].concat());
        user(&mut screen);
        screen.end()
    };
    let (plain, pod) = (run(&[]), run(&[&image]));
    if (by_speaker(&fit(&plain.0)), plain.1) != (by_speaker(&fit(&pod.0)), pod.1) {
        let same = plain.0.bytes().zip(pod.0.bytes()).take_while(|(one, other)| one == other).count();
        let rest = |shown: &str| String::from_utf8_lossy(shown.as_bytes().get(same..).unwrap()).into_owned();
        let (one, other) = (rest(&plain.0), rest(&pod.0));
        panic!("after {same} bytes, plain: {one:.500?} {:?}, pod: {other:.500?} {:?}", plain.1, pod.1);
    }
    pod
}

#[test]
fn a_shell_is_a_shell() {
    let _together = together();
    let shell = ["env", "PS1=> ", "TERM=xterm", "bash", "--norc", "--noprofile"];
    let (shown, code) = both(&shell, |screen| {
        screen.expect("> ");
        for command in ["tty | grep -c /dev/pts/", "stty -a", "stty size", "echo $((6 * 7)); (exit 3)", "echo $?"] {
            screen.types(&format!("{command}\r"));
            screen.expect("\n");
            screen.expect("> ");
        }
        // What is typed before the shell gives the terminal away comes to cat without the end of its line.
        screen.types("echo begun; cat\r");
        screen.expect("begun\r\n");
        screen.types("one\r");
        screen.expect("one\r\none\r\n");
        screen.types("\x1a");
        screen.expect("Stopped");
        screen.expect("> ");
        screen.types("fg\r");
        screen.expect("cat\r\n");
        screen.types("two\r");
        screen.expect("two\r\ntwo\r\n");
        screen.types("\x03");
        screen.expect("> ");
        screen.types("exit 7\r");
    });
    assert_eq!(code, Some(7), "{shown}");
}

#[test]
fn lines_are_echoed_once_also_those_that_come_before_the_start() {
    let _together = together();
    let (shown, code) = both(&["cat"], |screen| {
        screen.until_raw();
        screen.types("early\r");
        screen.expect("early\r\nearly\r\n");
        screen.types("late\r");
        screen.expect("late\r\nlate\r\n");
        screen.types("\x04");
    });
    assert_eq!((shown.as_str(), code), ("early\r\nearly\r\nlate\r\nlate\r\n", Some(0)));
}

#[test]
fn a_new_size_of_the_window_is_told() {
    let _together = together();
    let script = "trap 'stty size; exit 6' WINCH; stty size; while :; do sleep 0.05; done";
    let (shown, code) = both(&["sh", "-c", script], |screen| {
        screen.expect("24 80\r\n");
        // The trap is set, but Slurm's own thread for the window may be late.
        std::thread::sleep(Duration::from_millis(500));
        resize(&screen.user, 50, 132);
        screen.expect("50 132\r\n");
    });
    assert_eq!(code, Some(6), "{shown}");
}

#[test]
fn keys_are_signals() {
    let _together = together();
    for key in ["\x03", "\x1c"] {
        let script = "ulimit -c 0; echo ready; exec sleep 1000";
        let (shown, code) = both(&["sh", "-c", script], |screen| {
            screen.expect("ready\r\n");
            screen.types(key);
        });
        assert!(code.is_some_and(|code| code != 0), "{shown}");
    }
}

#[test]
fn all_output_is_there_and_a_process_left_behind_does_not_hold_up_the_end() {
    let _together = together();
    let plain = both(&["sh", "-c", "seq 50000"], |_| {});
    assert!(plain.0.ends_with("\r\n49999\r\n50000\r\n"));
    assert_eq!(plain.1, Some(0));
    // Plain srun waits for such a process for a while.
    let script = "setsid sleep 1000 & seq 50000";
    let image = in_image("userland");
    let pod = Screen::new(&["srun", "--quiet", "--pty", &image, "sh", "-c", script]).end();
    assert!(plain == pod, "{} of {} bytes, {:?}", pod.0.len(), plain.0.len(), pod.1);
}

#[test]
fn only_the_first_task_has_the_terminal() {
    let _together = together();
    let script = "tty | grep -c pts; echo $SLURM_PROCID";
    assert_eq!(both(&["-n2", "sh", "-c", script], |_| {}), ("1\r\n0\r\n".into(), Some(0)));
}

#[test]
fn a_full_screen_editor_works() {
    let _together = together();
    let image = in_image("busybox");
    let script = "vi /tmp/text; echo \"<$(cat /tmp/text)>\"";
    let mut screen = Screen::new(&["srun", "--pty", &image, "sh", "-c", script]);
    screen.expect("/tmp/text");
    screen.types("ihello\x1b");
    screen.expect("hello");
    screen.types(":wq\r");
    screen.expect("<hello>\r\n");
    assert_eq!(screen.end().1, Some(0));
}

#[test]
fn scancel_still_reaches_the_program() {
    let _together = together();
    let script = "trap 'echo got; exit 5' USR1; echo job=$SLURM_JOB_ID.; while :; do sleep 0.05; done";
    let mut screen = Screen::new(&["srun", "--pty", &in_image("userland"), "sh", "-c", script]);
    screen.expect("job=");
    let from = screen.looked;
    screen.expect(".");
    let job = screen.shown.get(from..screen.looked - 1).unwrap();
    let _ = ALICE.run(&["scancel", "--signal=USR1", &format!("{job}.0")]).ok();
    screen.expect("got\r\n");
    assert_eq!(screen.end().1, Some(5));
}

#[test]
fn beside_the_batch_pod_of_the_whole_node() {
    let _alone = alone();
    let image = in_image("userland");
    let submit = ["sbatch", "--parsable", "--exclusive", "--mem=0", "-w", "node2", "--output=/dev/null", &image];
    let job = ALICE.run_with(&submit, b"#!/bin/bash\nsleep 100\n").ok().text();
    until("the job's Pod runs", || {
        let path = "jsonpath={.status.phase}";
        let phase = ALICE.run(&["kubectl", "get", "pod", &format!("slurm-job-{job}"), "-o", path]).text();
        (phase == "Running").then_some(()).ok_or(phase)
    });
    let jobid = format!("--jobid={job}");
    let mut screen = Screen::new(&["srun", "-Q", "--overlap", &jobid, "--pty", &image, "bash", "--norc"]);
    screen.types("echo on=$SLURMD_NODENAME cores=$(nproc) $(tty)\r");
    screen.expect("on=node2 cores=2 /dev/pts/");
    screen.types("exit 7\r");
    let (shown, code) = screen.end();
    let _ = ALICE.run(&["scancel", &job]).ok();
    assert_eq!(code, Some(7), "{shown}");
}

#[test]
fn inside_salloc() {
    let _together = together();
    let image = in_image("userland");
    let mut screen = Screen::new(&["salloc", "--quiet", "srun", "--pty", &image, "sh", "-c", "tty; cat; exit 9"]);
    screen.expect("/dev/pts/");
    screen.types("hello\r");
    screen.expect("hello\r\nhello\r\n");
    screen.types("\x04");
    assert_eq!(screen.end().1, Some(9));
}
