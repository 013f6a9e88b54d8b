//! Shim and agent together: what goes in and comes out is what plain Slurm would give.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod bed;

use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use bed::{Bed, LIMIT, direct, end, next, run, run_in, until};
use slurm_k8s_agent::link::message::Message;

#[test]
fn exit_codes_are_the_commands_own() {
    for code in [0, 1, 2, 42, 125, 255] {
        let ran = run(|_, _| {}, &["sh", "-c", &format!("exit {code}")]);
        assert_eq!(ran.status.code(), Some(code));
        assert!(ran.messages.contains(&Message::Started { task: 0 }));
    }
}

#[test]
fn a_command_killed_by_a_signal_ends_the_shim_by_that_signal_without_a_core() {
    for signo in [1, 6, 9, 11, 15, 37, 64] {
        let ran = run(|_, _| {}, &["sh", "-c", &format!("kill -{signo} $$")]);
        assert_eq!(ran.status.signal(), Some(signo));
        assert!(!ran.status.core_dumped());
    }
}

#[test]
fn signals_reach_the_command() {
    for (signo, name) in [(10, "USR1"), (15, "TERM"), (18, "CONT"), (40, "40"), (28, "WINCH")] {
        let bed = Bed::new();
        let script = format!("trap 'echo got; exit 7' {name}; echo ready; while :; do sleep 0.01; done");
        let mut shim = bed.shim(0, &["sh", "-c", &script]).spawn().unwrap();
        let mut agent = bed.agent().spawn().unwrap();
        let mut out = shim.stdout.take().unwrap();
        let pid = i32::try_from(shim.id()).unwrap();
        let text = std::thread::scope(|scope| {
            scope.spawn(|| bed.relay(1));
            let mut ready = [0; 6];
            out.read_exact(&mut ready).unwrap();
            bed.until_started();
            slurm_k8s_posix::kill(pid, signo).unwrap();
            let mut text = String::new();
            out.read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!((text.as_str(), end(&mut shim).code()), ("got\n", Some(7)), "{name}");
        end(&mut agent);
    }
}

#[test]
fn a_signal_before_the_start_waits_for_the_commands_trap() {
    let before_start = |signo, script: &str| {
        let bed = Bed::new();
        let mut shim = bed.shim(0, &["sh", "-c", script]).spawn().unwrap();
        let pid = shim.id();
        until("the shim takes signals", || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            status.lines().any(|line| line.starts_with("SigBlk:\tffff"))
        });
        for _ in 0..2 {
            slurm_k8s_posix::kill(i32::try_from(pid).unwrap(), signo).unwrap();
        }
        let mut agent = bed.agent().spawn().unwrap();
        bed.relay(1);
        end(&mut agent);
        let status = end(&mut shim);
        let mut text = String::new();
        shim.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        (status, text)
    };
    let trap = "sleep 0.2; trap 'echo got' USR1; i=0; while [ $i -lt 50 ]; do sleep 0.01; i=$((i + 1)); done";
    let (status, text) = before_start(10, trap);
    assert_eq!((status.code(), text.as_str()), (Some(0), "got\n"));
    for signo in [10, 12, 40] {
        assert_eq!(before_start(signo, "exec sleep 1000").0.signal(), Some(signo));
    }
    assert_eq!(before_start(10, "trap '' USR1; sleep 0.1; exit 3").0.code(), Some(3));
}

#[test]
fn a_signal_that_is_read_together_with_the_start_waits_too() {
    const TRAP: &str = "trap 'echo got' USR1; i=0; while [ $i -lt 50 ]; do sleep 0.01; i=$((i + 1)); done";
    let bed = Bed::new();
    let mut shim = bed.shim(0, &["sh", "-c", &format!("sleep 0.3; {TRAP}")]).spawn().unwrap();
    let pid = i32::try_from(shim.id()).unwrap();
    let mut agent = bed.agent().spawn().unwrap();
    let (mut to_agent, mut to_shim) = (bed.accept_agent(), bed.accept_shim());
    let awaited = |link: &mut _, wanted: fn(&Message) -> bool| loop {
        let message = next(link).unwrap();
        if wanted(&message.0) {
            return message;
        }
    };
    let start = awaited(&mut to_shim, |message| matches!(message, Message::Start(_)));
    slurm_k8s_posix::kill(pid, 19).unwrap();
    until("the shim stands still", || {
        std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap().contains("State:\tT")
    });
    slurm_k8s_posix::kill(pid, 10).unwrap();
    to_agent.send(&start.0, start.1).unwrap();
    let started = awaited(&mut to_agent, |message| matches!(message, Message::Started { .. }));
    to_shim.send(&started.0, started.1).unwrap();
    slurm_k8s_posix::kill(pid, 18).unwrap();
    let pending = awaited(&mut to_shim, |message| matches!(message, Message::Pending { .. }));
    assert_eq!(pending.0, Message::Pending { task: 0, signals: 1 << (10 - 1) });
    to_agent.send(&pending.0, pending.1).unwrap();
    let ended = awaited(&mut to_agent, |message| matches!(message, Message::Exited { .. }));
    to_agent.send(&Message::Finish, Vec::new()).unwrap();
    to_shim.send(&ended.0, ended.1).unwrap();
    let mut text = String::new();
    shim.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!((end(&mut shim).code(), text.as_str()), (Some(0), "got\n"));
    end(&mut agent);
}

#[test]
fn a_signal_for_the_tree_reaches_grandchildren() {
    let bed = Bed::new();
    let inner = "trap 'echo inner' USR1; echo ready; while :; do sleep 0.01; done";
    let script = format!("trap : USR1; sh -c \"{inner}\" & wait; wait; wait");
    let mut shim = bed.shim(0, &["sh", "-c", &script]);
    shim.env("SPANK_K8S_SHIM_SCOPE", "tree");
    let mut shim = shim.spawn().unwrap();
    let mut agent = bed.agent().spawn().unwrap();
    let mut out = shim.stdout.take().unwrap();
    let pid = i32::try_from(shim.id()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| bed.relay(1));
        let mut text = [0; 6];
        out.read_exact(&mut text).unwrap();
        bed.until_started();
        slurm_k8s_posix::kill(pid, 10).unwrap();
        out.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"inner\n");
        // The shim dies, and so does everything in the Pod.
        slurm_k8s_posix::kill(pid, 9).unwrap();
    });
    assert_eq!(end(&mut shim).signal(), Some(9));
    end(&mut agent);
}

#[test]
fn standard_input_arrives_whole() {
    for io in ["tee", "direct"] {
        let bed = Bed::new();
        let mut shim = bed.shim(0, &["cat"]);
        shim.env("SPANK_K8S_SHIM_IO", io).stdin(Stdio::piped());
        let mut shim = shim.spawn().unwrap();
        let mut agent = bed.agent().spawn().unwrap();
        let data: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        let (mut stdin, mut out) = (shim.stdin.take().unwrap(), shim.stdout.take().unwrap());
        let mut got = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| bed.relay(1));
            scope.spawn(|| {
                stdin.write_all(&data).unwrap();
                drop(stdin);
            });
            out.read_to_end(&mut got).unwrap();
        });
        assert!(got == data, "{} of {} bytes", got.len(), data.len());
        assert!(end(&mut shim).success());
        end(&mut agent);
    }
}

#[test]
fn what_the_command_leaves_behind_does_not_hold_it_up() {
    let begin = std::time::Instant::now();
    for script in ["sleep 1000 & echo hi", "setsid sleep 1000 & echo hi", "trap '' TERM HUP; sleep 1000 & echo hi"] {
        for io in ["tee", "direct"] {
            let ran = run(|_, shim| _ = shim.env("SPANK_K8S_SHIM_IO", io), &["sh", "-c", script]);
            assert_eq!((ran.stdout.as_slice(), ran.status.code()), (b"hi\n".as_slice(), Some(0)));
        }
    }
    assert!(begin.elapsed() < LIMIT);
}

#[test]
fn one_task_ends_while_another_goes_on_and_a_stray_holds_its_output() {
    let bed = Bed::new();
    let flag = bed.dir.path().join("flag");
    let waits = format!("while ! [ -e {} ]; do sleep 0.01; done; exit 4", flag.display());
    let mut first = bed.shim(0, &["sh", "-c", "setsid sleep 1000 & exit 3"]).spawn().unwrap();
    let mut second = bed.shim(1, &["sh", "-c", &waits]).spawn().unwrap();
    let mut agent = bed.agent().spawn().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| bed.relay(2));
        assert_eq!(end(&mut first).code(), Some(3));
        assert!(second.try_wait().unwrap().is_none());
        std::fs::write(&flag, "").unwrap();
        assert_eq!(end(&mut second).code(), Some(4));
    });
    end(&mut agent);
}

#[test]
fn arguments_are_bytes() {
    let odd = std::ffi::OsString::from_vec(b"\xff\xfe \n'\"$(x)$$".to_vec());
    let bed = Bed::new();
    let mut shim = bed.shim(0, &["printf", "%s|"]);
    shim.args([odd.as_os_str(), "".as_ref(), "exec".as_ref(), "--version".as_ref()]);
    let ran = run_in(&bed, shim);
    assert_eq!(ran.stdout, b"\xff\xfe \n'\"$(x)$$||exec|--version|");
}

#[test]
fn the_command_gets_slurms_environment_mask_limits_and_signals() {
    let script = r#"
        env | grep -c SPANK_K8S; echo "$FOO"; umask; ulimit -Sn; grep -E 'SigBlk|SigIgn' /proc/self/status; pwd; echo "$0"
    "#;
    let prepare = |dir: &std::path::Path, shim: &mut std::process::Command| {
        let line = format!("trap '' USR2; umask 027; ulimit -Sn 777; cd {}; exec \"$@\"", dir.display());
        let old = std::mem::replace(shim, std::process::Command::new("sh"));
        shim.args(["-c", &line, "sh"]).arg(old.get_program()).args(old.get_args());
        shim.envs(old.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shim.env("FOO", "two\nlines").stdout(Stdio::piped()).stderr(Stdio::piped());
    };
    let mut folder = None;
    let ran = run(
        |dir, shim| {
            prepare(dir, shim);
            folder = Some(dir.to_owned());
        },
        &["sh", "-c", script],
    );
    let text = String::from_utf8(ran.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let folder = folder.unwrap();
    assert_eq!(lines[..5], ["0", "two", "lines", "0027", "777"], "{}", ran.stderr);
    let line = "trap '' USR2; exec grep SigIgn /proc/self/status";
    let plain = std::process::Command::new("sh").args(["-c", line]).output().unwrap();
    let plain = String::from_utf8(plain.stdout).unwrap();
    let mask = |line: &str| u64::from_str_radix(line.trim().rsplit('\t').next().unwrap(), 16).unwrap();
    // Whoever runs the tests may ignore more.
    assert_eq!((mask(lines[5]), mask(lines[6])), (0, mask(&plain)));
    assert_ne!(mask(&plain) & 1 << (12 - 1), 0);
    assert_eq!(lines[7], folder.to_str().unwrap());
    assert!(lines[8].ends_with("/sh"), "as Slurm has it, $0 is the whole path: {text}");
}

#[test]
fn a_first_word_in_a_variable_takes_the_shims_place() {
    let ran = run(|_, shim| _ = shim.env("SPANK_K8S_SHIM_ARGV0", "echo"), &["one", "two"]);
    assert_eq!(ran.stdout, b"one two\n");
}

#[test]
fn a_command_that_cannot_run_is_told_with_its_errno() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let cases = [
        ("no-such-command".to_owned(), 2, "No such file or directory"),
        (path("plain", "#!/bin/sh\n", 0o644), 13, "Permission denied"),
        (path("no-interpreter", "#!/no/such/shell\n", 0o755), 2, "No such file or directory"),
        (path("no-shebang", "echo hi\n", 0o755), 8, "Exec format error"),
        (dir.path().to_str().unwrap().to_owned(), 13, "Permission denied"),
    ];
    for (command, code, why) in cases {
        let ran = run(|_, _| {}, &[&command]);
        assert_eq!(ran.status.code(), Some(code), "{command}");
        let hint = "spank-k8s: hint: a script must name its interpreter in its first line: #!/bin/bash\n";
        let hint = if code == 8 { hint } else { "" };
        assert_eq!(ran.stderr, format!("spank-k8s: cannot run `{command}': {why}\n{hint}"));
    }
}

#[test]
fn a_missing_folder_is_as_slurm_has_it_unless_it_was_asked_for() {
    let script = "d=$(mktemp -d); cd $d; rmdir $d; exec \"$@\"";
    let bed = Bed::new();
    let inner = bed.shim(0, &["pwd"]);
    let mut shim = std::process::Command::new("sh");
    shim.args(["-c", script, "sh"]).arg(inner.get_program()).args(inner.get_args());
    shim.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shim.env("PWD", "/no/such/folder").stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = run_in(&bed, shim);
    assert_eq!(ran.stdout, b"/tmp\n", "{}", ran.stderr);
    assert!(ran.stderr.contains(": No such file or directory: going to /tmp instead"), "{}", ran.stderr);

    let ran = run(|_, shim| _ = shim.env("SPANK_K8S_SHIM_WORKDIR", "/no/such"), &["pwd"]);
    assert_eq!(ran.status.code(), Some(124));
    assert!(ran.stderr.contains("/no/such"), "{}", ran.stderr);
}

#[test]
fn a_file_is_run_by_its_interpreter_in_place_of_the_script_that_has_no_commands() {
    let folder = tempfile::tempdir().unwrap();
    let run_file = |text: &str| {
        let file = folder.path().join("train");
        std::fs::write(&file, text).unwrap();
        run(|_, shim| _ = shim.env("SPANK_K8S_SHIM_FILE", &file), &["/spool/slurm_script", "one", "two"])
    };
    let ran = run_file("#!/bin/sh -e\necho \"${0##*/} $@\"; false; echo not me");
    assert_eq!((ran.stdout.as_slice(), ran.status.code()), (b"train one two\n".as_slice(), Some(1)), "{}", ran.stderr);

    let ran = run_file("echo by whom?");
    assert_eq!(ran.status.code(), Some(8));
    assert!(ran.stderr.contains("Exec format error\nspank-k8s: hint: a script must"), "{}", ran.stderr);
}

#[test]
fn closed_streams_are_dev_null() {
    for io in ["tee", "direct"] {
        let bed = Bed::new();
        let seen = bed.dir.path().join("seen");
        let script = format!("cat; echo out; echo err >&2; echo done > {}", seen.display());
        let inner = bed.shim(0, &["sh", "-c", &script]);
        let mut shim = std::process::Command::new("sh");
        shim.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).arg(inner.get_program()).args(inner.get_args());
        shim.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shim.env("SPANK_K8S_SHIM_IO", io);
        assert_eq!(run_in(&bed, shim).status.code(), Some(0));
        assert_eq!(std::fs::read_to_string(seen).unwrap(), "done\n");
    }
}

#[test]
fn the_agent_leaves_no_process_behind() {
    let bed = Bed::new();
    let pids = bed.dir.path().join("pids");
    let script =
        format!("(setsid sh -c 'echo $$ > {}; sleep 1000' &); while ! [ -s {0} ]; do sleep 0.01; done", pids.display());
    let mut shim = bed.shim(0, &["sh", "-c", &script]);
    direct(&mut shim);
    assert_eq!(run_in(&bed, shim).status.code(), Some(0));
    let pid: i32 = std::fs::read_to_string(&pids).unwrap().trim().parse().unwrap();
    until("the stray is gone", || slurm_k8s_posix::kill(pid, 0).is_err());
}
