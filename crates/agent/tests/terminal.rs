//! `srun --pty`: a pty stands for Slurm's terminal, and the test types on its other side.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod bed;

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use bed::{Bed, LIMIT, end, until};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Winsize, tcgetattr, tcsetattr, tcsetwinsize};

/// The user's side of Slurm's terminal, and that terminal.
struct Screen {
    user: OwnedFd,
    slurms: Option<OwnedFd>,
    seen: Vec<u8>,
}

impl Screen {
    fn new() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let user = openpt(flags).unwrap();
        unlockpt(&user).unwrap();
        let slurms = ioctl_tiocgptpeer(&user, flags).unwrap();
        let screen = Self { user, slurms: Some(slurms), seen: Vec::new() };
        screen.resize(24, 80);
        screen
    }

    fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.user, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    }

    fn types(&self, text: &str) {
        let mut bytes = text.as_bytes();
        while !bytes.is_empty() {
            bytes = &bytes[rustix::io::write(&self.user, bytes).unwrap()..];
        }
    }

    /// Reads what is shown until it has this text; returns all up to its end.
    fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let found = self.seen.windows(text.len()).position(|part| part == text.as_bytes());
            if let Some(at) = found {
                let shown = self.seen.drain(..at + text.len()).collect();
                return String::from_utf8(shown).unwrap();
            }
            let open = self.read();
            assert!(open && Instant::now() < deadline, "no {text:?} in {:?}", String::from_utf8_lossy(&self.seen));
        }
    }

    /// Everything that is still shown, once nobody has Slurm's terminal any more.
    fn rest(mut self) -> String {
        self.slurms = None;
        while self.read() {}
        String::from_utf8(self.seen).unwrap()
    }

    /// Reads once; false at the end.
    fn read(&mut self) -> bool {
        let mut fds = [PollFd::new(&self.user, PollFlags::IN)];
        let limit = Timespec::try_from(LIMIT).unwrap();
        assert!(poll(&mut fds, Some(&limit)).unwrap() > 0, "nothing is shown; last: {:?}", self.seen);
        let mut buffer = [0; 4096];
        let count = rustix::io::read(&self.user, &mut buffer).unwrap_or(0);
        self.seen.extend(&buffer[..count]);
        count > 0
    }

    /// Slurm's terminal.
    fn slurms(&self) -> OwnedFd {
        self.slurms.as_ref().unwrap().try_clone().unwrap()
    }

    /// Waits until the shim has changed Slurm's terminal.
    fn until_held(&self) {
        let echoes = || tcgetattr(self.slurms()).unwrap().local_modes.contains(LocalModes::ECHO);
        until("the shim waits", || !echoes());
    }
}

/// A shim on that terminal, as the leader of its session.
fn shim(bed: &Bed, screen: &Screen, argv: &[&str]) -> Child {
    shim_with(bed, screen, argv, screen.slurms().into()).spawn().unwrap()
}

fn shim_with(bed: &Bed, screen: &Screen, argv: &[&str], stdout: Stdio) -> Command {
    let inner = bed.shim(0, argv);
    let mut shim = Command::new("setsid");
    shim.arg("--ctty").arg(inner.get_program()).args(inner.get_args());
    shim.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shim.stdin(screen.slurms()).stdout(stdout).stderr(screen.slurms());
    shim
}

/// Runs a command on a terminal while `user` sits at it.
fn run(argv: &[&str], user: impl FnOnce(&mut Screen, &Bed)) -> (ExitStatus, String) {
    let mut screen = Screen::new();
    let status = run_on(&mut screen, argv, user);
    (status, screen.rest())
}

fn run_on(screen: &mut Screen, argv: &[&str], user: impl FnOnce(&mut Screen, &Bed)) -> ExitStatus {
    let bed = Bed::new();
    let mut shim = shim(&bed, screen, argv);
    let mut agent = bed.agent().spawn().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| bed.relay(1));
        user(screen, &bed);
    });
    end(&mut agent);
    end(&mut shim)
}

#[test]
fn the_command_has_a_terminal_with_a_name_that_controls_its_session() {
    let script = "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && tty; echo yes > /dev/tty; ps -o tty=,stat= -p $$; exit 3";
    let (status, shown) = run(&["sh", "-c", script], |_, _| {});
    let lines: Vec<_> = shown.split("\r\n").collect();
    assert!(lines[0].starts_with("/dev/pts/"), "{shown:?}");
    assert_eq!(lines[1], "yes");
    assert!(lines[2].starts_with(&lines[0]["/dev/".len()..]), "{shown:?}");
    // Perhaps the tests have another priority.
    assert!(lines[2].replace(['N', '<'], "").ends_with("Ss+"), "{shown:?}");
    assert_eq!((lines.len(), status.code()), (4, Some(3)), "{shown:?}");
}

#[test]
fn lines_are_echoed_once_and_ctrl_d_ends_them() {
    let (status, shown) = run(&["cat"], |screen, bed| {
        bed.until_started();
        screen.types("hello\r");
        screen.expect("hello\r\nhello\r\n");
        screen.types("\x04");
    });
    assert_eq!((status.code(), shown.as_str()), (Some(0), ""));
}

#[test]
fn what_was_typed_before_the_start_is_there_and_echoed_once() {
    let bed = Bed::new();
    let mut screen = Screen::new();
    screen.types("first\rsec");
    screen.expect("first\r\nsec");
    let script = "read -r a; read -r b; read -r c; echo \"<$a $b $c>\"; cat";
    let mut shim = shim(&bed, &screen, &["sh", "-c", script]);
    screen.until_held();
    screen.types("ond\reaX\x7frly\r\x04");
    let mut agent = bed.agent().spawn().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| bed.relay(1));
        assert_eq!(screen.expect(">\r\n"), "ond\r\neaX\x08 \x08rly\r\n<first second early>\r\n");
    });
    assert!(end(&mut shim).success());
    end(&mut agent);
    assert_eq!(screen.rest(), "");
}

#[test]
fn ctrl_c_ends_the_wait_for_the_start() {
    let bed = Bed::new();
    let screen = Screen::new();
    let mut shim = shim(&bed, &screen, &["cat"]);
    screen.until_held();
    screen.types("\x03");
    assert_eq!(end(&mut shim).signal(), Some(2));
}

#[test]
fn ctrl_c_and_ctrl_backslash_are_signals() {
    for (key, signo) in [("\x03", 2), ("\x1c", 3)] {
        let (status, _) = run(&["sh", "-c", "echo ready; exec sleep 1000"], |screen, _| {
            screen.expect("ready\r\n");
            screen.types(key);
        });
        assert_eq!(status.signal(), Some(signo));
    }
}

#[test]
fn jobs_stop_and_go_on() {
    let job = r#"sh -c 'trap "echo o""n" CONT; trap "exit 9" INT; echo i""n; while :; do :; done'"#;
    let (status, _) = run(&["bash", "--norc", "--noprofile", "-i"], |screen, _| {
        screen.types(&format!("{job}\r"));
        screen.expect("in\r\n");
        screen.types("\x1a");
        screen.expect("Stopped");
        screen.types("bg\r");
        screen.expect("on\r\n");
        screen.types("kill -STOP %1; wait %1; fg\r");
        screen.expect("on\r\n");
        screen.types("\x03");
        screen.types("echo code=$?\r");
        screen.expect("code=9\r\n");
        screen.types("exit 5\r");
    });
    assert_eq!(status.code(), Some(5));
}

#[test]
fn the_size_is_the_users_at_the_start_and_after_a_change() {
    let script = "trap 'stty size; exit 6' WINCH; stty size; while :; do sleep 0.01; done";
    let (status, _) = run(&["sh", "-c", script], |screen, bed| {
        screen.expect("24 80\r\n");
        bed.until_started();
        screen.resize(50, 132);
        screen.expect("50 132\r\n");
    });
    assert_eq!(status.code(), Some(6));
}

#[test]
fn the_settings_are_slurms_and_slurms_are_given_back() {
    let mut screen = Screen::new();
    let mut settings = tcgetattr(screen.slurms()).unwrap();
    settings.local_modes.remove(LocalModes::ECHOCTL | LocalModes::ECHO);
    settings.special_codes[SpecialCodeIndex::VINTR] = b'\x0b';
    tcsetattr(screen.slurms(), OptionalActions::Now, &settings).unwrap();
    let status = run_on(&mut screen, &["stty", "-a"], |_, _| {});
    assert_eq!(format!("{:?}", tcgetattr(screen.slurms()).unwrap()), format!("{settings:?}"));
    let shown = screen.rest();
    assert_eq!(status.code(), Some(0));
    for setting in ["intr = ^K;", " icanon ", " -echo ", "-echoctl "] {
        assert!(shown.contains(setting), "{shown}");
    }
}

#[test]
fn output_of_a_full_screen_program_is_not_changed() {
    let script = "stty raw -echo; printf 'a\\nb\\r\\n\\033[2J\\tc'; head -c 300000 /dev/zero | tr '\\0' x; printf end";
    let (status, shown) = run(&["sh", "-c", script], |screen, _| {
        let shown = screen.expect("end");
        assert_eq!(shown, format!("a\nb\r\n\x1b[2J\tc{}end", "x".repeat(300_000)));
    });
    assert_eq!((status.code(), shown.as_str()), (Some(0), ""));
}

#[test]
fn a_large_paste_arrives_whole_while_the_program_writes() {
    let (status, _) = run(&["sh", "-c", "echo ready; exec cat"], |screen, _| {
        screen.expect("ready\r\n");
        for number in 0..4000 {
            screen.types(&format!("line {number}\r"));
            // Echo and output, in the order that they come in.
            screen.expect(&format!("line {number}\r\n"));
        }
        screen.types("\x04\x04");
    });
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_program_that_does_not_read_can_still_be_interrupted_and_does_not_hold_up_its_end() {
    let (status, _) = run(&["sh", "-c", "echo ready; stty raw -echo; sleep 1; exit 8"], |screen, _| {
        screen.expect("ready\r\n");
        let mut flags = rustix::fs::fcntl_getfl(&screen.user).unwrap();
        flags.insert(rustix::fs::OFlags::NONBLOCK);
        rustix::fs::fcntl_setfl(&screen.user, flags).unwrap();
        while rustix::io::write(&screen.user, &[b'x'; 4096]).is_ok() {}
    });
    assert_eq!(status.code(), Some(8));
}

#[test]
fn what_is_left_behind_does_not_hold_up_the_end_and_all_output_is_there() {
    let begin = Instant::now();
    for stray in ["sleep 1000 &", "setsid --fork sleep 1000;", "(trap '' HUP TERM; exec sleep 1000) &"] {
        let (status, shown) = run(&["bash", "-mc", &format!("{stray} seq 20000; exit 4")], |screen, _| {
            screen.expect("19999\r\n20000\r\n");
        });
        assert_eq!((status.code(), shown.as_str()), (Some(4), ""));
    }
    assert!(begin.elapsed() < LIMIT);
}

#[test]
fn a_program_may_close_its_terminal_and_open_it_again() {
    let script = "exec 0<&- 1>&- 2>&-; sleep 0.2; echo again > /dev/tty; exit 2";
    let (status, shown) = run(&["sh", "-c", script], |_, _| {});
    assert_eq!((status.code(), shown.as_str()), (Some(2), "again\r\n"));
}

#[test]
fn a_killed_program_ends_the_shim_by_its_signal() {
    let (status, shown) = run(&["sh", "-c", "printf last; kill -9 $$"], |_, _| {});
    assert_eq!((status.signal(), shown.as_str()), (Some(9), "last"));
}

#[test]
fn when_the_user_goes_away_the_program_is_told() {
    let bed = Bed::new();
    let mut screen = Screen::new();
    let told = bed.dir.path().join("told");
    let script = format!("trap 'echo HUP > {}; exit 9' HUP; echo ready; while :; do sleep 0.01; done", told.display());
    let mut shim = shim(&bed, &screen, &["sh", "-c", &script]);
    let mut agent = bed.agent().spawn().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| bed.relay(1));
        screen.expect("ready\r\n");
        bed.until_started();
        drop(screen);
    });
    assert_eq!(end(&mut shim).code(), Some(9));
    assert_eq!(std::fs::read_to_string(told).unwrap(), "HUP\n");
    end(&mut agent);
}

#[test]
fn a_command_that_cannot_run_is_told_on_the_terminal_as_it_was() {
    let (status, shown) = run(&["no-such-command"], |_, _| {});
    let line = "spank-k8s: cannot run `no-such-command': No such file or directory\r\n";
    assert_eq!((status.code(), shown.as_str()), (Some(2), line));
}

#[test]
fn streams_that_are_no_terminal_stay_what_they_are() {
    let bed = Bed::new();
    let mut screen = Screen::new();
    let script = "[ -t 0 ] && tty >&2; [ -t 2 ] && echo terminal >&2; [ -t 1 ] || echo pipe";
    let shim = shim_with(&bed, &screen, &["sh", "-c", script], Stdio::piped()).spawn().unwrap();
    let mut agent = bed.agent().spawn().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(|| bed.relay(1));
        screen.expect("terminal\r\n");
        shim.wait_with_output().unwrap()
    });
    assert_eq!(output.stdout, b"pipe\n");
    end(&mut agent);
}
