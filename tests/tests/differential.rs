//! The heart of the suite: what plain `srun` and `sbatch` do, the same in a Pod.
//!
//! Each command of the tables runs twice, without and with `--k8s-image`; stdout, stderr, exit status and sacct's `State`,
//! `ExitCode` and `DerivedExitCode` must be equal. `differs` names what may differ, and why.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::{ALICE, ROOT, Ran, accounting, in_image, nodes_are_up, pods, until};

/// What may differ, with its reason beside each use.
#[derive(Clone, Copy, PartialEq)]
enum Differs {
    Nothing,
    /// The text on stderr: the same fact in other words.
    Stderr,
}
use Differs::{Nothing, Stderr};

struct Case {
    name: &'static str,
    argv: &'static [&'static str],
    input: &'static [u8],
    differs: Differs,
}

const fn case(name: &'static str, argv: &'static [&'static str]) -> Case {
    Case { name, argv, input: b"", differs: Nothing }
}

const fn sh(name: &'static str, argv: &'static [&'static str]) -> Case {
    case(name, argv)
}

const fn fed(name: &'static str, argv: &'static [&'static str], input: &'static [u8]) -> Case {
    Case { name, argv, input, differs: Nothing }
}

const SRUN: &[Case] = &[
    case("true", &["true"]),
    case("false", &["false"]),
    sh("exit 2", &["bash", "-c", "exit 2"]),
    sh("exit 13", &["bash", "-c", "exit 13"]),
    sh("exit 125", &["bash", "-c", "exit 125"]),
    sh("exit 126", &["bash", "-c", "exit 126"]),
    sh("exit 127", &["bash", "-c", "exit 127"]),
    sh("exit 128", &["bash", "-c", "exit 128"]),
    sh("exit 137", &["bash", "-c", "exit 137"]),
    sh("exit 255", &["bash", "-c", "exit 255"]),
    sh("killed by KILL", &["bash", "-c", "kill -9 $$"]),
    sh("killed by TERM", &["bash", "-c", "kill -TERM $$"]),
    sh("killed by USR1", &["bash", "-c", "kill -USR1 $$"]),
    sh("killed by INT", &["bash", "-c", "kill -INT $$"]),
    sh("killed by PIPE", &["bash", "-c", "kill -PIPE $$"]),
    sh("TERM caught", &["bash", "-c", "trap 'echo caught; exit 7' TERM; kill -TERM $$; sleep 1"]),
    case("echo", &["echo", "hello", "world"]),
    case("no final newline", &["printf", "no newline"]),
    case("nothing at all", &["printf", ""]),
    sh("both streams", &["bash", "-c", "echo out; echo err >&2; echo out2; echo err2 >&2"]),
    sh("stderr only", &["bash", "-c", "echo err >&2"]),
    sh("stdout closed", &["bash", "-c", "exec >&-; echo err >&2; exit 3"]),
    sh("stderr closed", &["bash", "-c", "exec 2>&-; echo out; exit 4"]),
    sh("binary", &["perl", "-e", "binmode STDOUT; print map { chr } 0..255"]),
    sh("NUL bytes", &["perl", "-e", "print qq(a\\0b\\0) x 1000"]),
    sh("one line of 1 MiB", &["perl", "-e", "print 'x' x 1048576, qq(\\n)"]),
    sh("100000 lines", &["seq", "1", "100000"]),
    sh("8 MiB of noise", &["perl", "-e", "srand(1); print pack('N', rand(2**32)) for 1..2097152"]),
    sh("much on stderr", &["bash", "-c", "seq 1 20000 >&2"]),
    sh("background child ends first", &["bash", "-c", "(sleep 0.2; echo late) & wait; echo done"]),
    sh("background child is left", &["bash", "-c", "sleep 300 & echo parent"]),
    sh("background child ignores TERM", &["bash", "-c", "(trap '' TERM; sleep 300) & echo parent"]),
    sh("double fork", &["bash", "-c", "(setsid sleep 300 &) ; echo parent"]),
    fed("stdin to stdout", &["cat"], b"one\ntwo\nthree"),
    fed("stdin empty", &["cat"], b""),
    fed("stdin not read", &["echo", "x"], b"ignored\n"),
    fed("stdin read in part", &["head", "-n", "1"], b"first\nsecond\nthird\n"),
    fed("stdin counted", &["wc", "-c"], &[b'z'; 300_000]),
    fed("stdin as a script", &["bash"], b"echo from stdin\nexit 5\n"),
    case("empty argument", &["printf", "[%s]", "", "a", ""]),
    case(
        "odd arguments",
        &["printf", "[%s]\\n", "a b", "$HOME", "$(id)", "`id`", "'", "\"", "\\", "*", "$$", "$(X)", "é", "--", "-n"],
    ),
    case("arguments with newlines", &["printf", "[%s]", "a\nb", "\t"]),
    sh("exit in a pipe", &["bash", "-c", "set -o pipefail; false | true"]),
    sh("SIGPIPE is the default", &["bash", "-c", "yes | head -n 1; echo ${PIPESTATUS[0]}"]),
    sh("umask", &["bash", "-c", "umask; umask 077; umask"]),
    sh("ids", &["bash", "-c", "id -u; id -g; id -G | tr ' ' '\\n' | sort -n"]),
    sh("names", &["bash", "-c", "id -un; id -gn; echo $HOME; cd ~ && pwd"]),
    sh("working directory", &["pwd"]),
    sh("soft limits", &["bash", "-c", "for l in c d f l n s t u v; do ulimit -S -$l; done"]),
    sh("hard limits", &["bash", "-c", "for l in c d f l n s t u v; do ulimit -H -$l; done"]),
    // Which ones depends on what else runs: resources.rs compares the mask on a whole node.
    sh("number of cores", &["bash", "-c", "grep -c Cpus_allowed_list /proc/self/status; nproc"]),
    sh("signals blocked and ignored", &["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"]),
    sh("nice", &["nice"]),
    sh("ranks", &["bash", "-c", "echo $SLURM_PROCID $SLURM_LOCALID $SLURM_NTASKS $SLURM_NODEID $SLURMD_NODENAME"]),
    sh(
        "files in the home",
        &["bash", "-c", "echo data > ~/differential.$SLURM_PROCID && cat ~/differential.0 && rm ~/differential.0"],
    ),
    sh("python", &["python3", "-c", "import sys; print(sys.version_info.major); sys.exit(9)"]),
    sh("perl", &["perl", "-e", "print qq(perl\\n); exit 8"]),
    Case {
        // Slurm's words name execve and slurmstepd, ours name the image.
        differs: Stderr,
        ..case("no such command", &["no-such-command-anywhere"])
    },
    Case {
        // As above.
        differs: Stderr,
        ..case("not executable", &["/etc/passwd"])
    },
    Case {
        // As above.
        differs: Stderr,
        ..case("a directory as command", &["/tmp"])
    },
];

/// Batch scripts; each runs with the arguments `one "two three"`.
const SBATCH: &[(&str, &str)] = &[
    ("plain", "#!/bin/bash\necho hello\necho err >&2\n"),
    ("exit 3", "#!/bin/bash\nexit 3\n"),
    ("killed", "#!/bin/bash\nkill -9 $$\n"),
    ("arguments", "#!/bin/bash\nprintf '[%s]' \"$#\" \"$@\"\n"),
    ("sh", "#!/bin/sh\necho sh $0 | sed 's/job[0-9]*/job/'\n"),
    ("python", "#!/usr/bin/python3\nimport sys\nprint(sys.argv[1:])\nsys.exit(4)\n"),
    ("env python", "#!/usr/bin/env python3\nprint('env')\n"),
    ("perl with an option", "#!/usr/bin/perl -w\nprint \"perl @ARGV\\n\"; exit 6;\n"),
    ("no newline at the end", "#!/bin/bash\nprintf x"),
    ("order of the two streams", "#!/bin/bash\nfor i in 1 2 3 4 5 6 7 8 9; do echo out $i; echo err $i >&2; done\n"),
    ("directives", "#!/bin/bash\n#SBATCH --job-name=directive\necho $SLURM_JOB_NAME\n"),
    ("background", "#!/bin/bash\nsleep 300 &\necho left\n"),
    ("stdin is empty", "#!/bin/bash\ncat; echo end\n"),
];

fn srun(case: &Case, options: &[&str], name: &str) -> Ran {
    let name = format!("--job-name={name}");
    let argv = [&["srun", "--quiet", "-w", "node1", "--mem=256M", &name][..], options, case.argv].concat();
    let begin = Instant::now();
    let ran = ALICE.run_with(&argv, case.input);
    // Slurm itself waits for a minute where a process that is left behind holds the output.
    assert!(begin.elapsed() < Duration::from_secs(40), "{} took {:?}", case.name, begin.elapsed());
    ran
}

/// sacct's lines for all jobs of that name prefix, once as many ended as were run.
fn ended(prefix: &str, count: usize) -> BTreeMap<String, String> {
    let mut jobs = BTreeMap::new();
    until("sacct knows every job's end", || {
        let fields = "--format=JobName%60,State,ExitCode,DerivedExitCode";
        let text = ALICE.run(&["sacct", "-n", "-P", "-X", "-S", "now-1hour", fields]).text();
        jobs = text
            .lines()
            .filter(|line| line.starts_with(prefix))
            .filter(|line| !["RUNNING", "PENDING", "COMPLETING"].iter().any(|s| line.contains(s)))
            .filter_map(|line| line.split_once('|'))
            .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
            .collect();
        (jobs.len() == count).then_some(()).ok_or_else(|| format!("{} of {count}", jobs.len()))
    });
    jobs
}

/// `State|ExitCode|DerivedExitCode`. The last one is 0:0 whenever srun told the job's end before slurmstepd told the
/// step's: plain runs of one command differ in it among themselves, so 0:0 fits any.
fn same_end(plain: &str, pod: &str) -> bool {
    let split = |text: &str| text.rsplit_once('|').map(|(end, derived)| (end.to_owned(), derived.to_owned()));
    let (Some((plain_end, plain_derived)), Some((pod_end, pod_derived))) = (split(plain), split(pod)) else {
        return plain == pod;
    };
    let derived = plain_derived == pod_derived || [plain_derived, pod_derived].iter().any(|code| code == "0:0");
    plain_end == pod_end && derived
}

/// Runs `work` for 0..count on two threads: both cores, and jobs of both kinds side by side.
fn on_two_threads(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    work(at);
                }
            });
        }
    });
}

/// srun's own lines and the task's: their order between each other is not fixed, and a step's number is its own.
fn by_speaker(stderr: &[u8]) -> (Vec<String>, Vec<String>) {
    let text = String::from_utf8_lossy(stderr);
    let unnumbered = |line: &str| match line.split_once("StepId=") {
        Some((before, _)) => format!("{before}StepId"),
        None => line.to_owned(),
    };
    text.split('\n').map(unnumbered).partition(|line| line.starts_with("srun: "))
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let short: String = text.chars().take(400).collect();
    format!("{} bytes: {short:?}", bytes.len())
}

/// What differs, a line each.
fn compare(case: &Case, plain: &Ran, pod: &Ran) -> Vec<String> {
    let mut different = Vec::new();
    if plain.code != pod.code {
        different.push(format!("exit: plain {:?}, Pod {:?}", plain.code, pod.code));
    }
    if plain.stdout != pod.stdout {
        different.push(format!("stdout: plain {}, Pod {}", shown(&plain.stdout), shown(&pod.stdout)));
    }
    if case.differs != Stderr && by_speaker(&plain.stderr) != by_speaker(&pod.stderr) {
        different.push(format!("stderr: plain {}, Pod {}", shown(&plain.stderr), shown(&pod.stderr)));
    } else if plain.code != pod.code {
        different.push(format!("stderr of the Pod: {}", shown(&pod.stderr)));
    }
    different
}

#[test]
fn srun_in_a_pod_is_srun() {
    let image = in_image("userland");
    let prefix = format!("diff{}", std::process::id());
    let failures = Mutex::new(Vec::new());
    on_two_threads(SRUN.len(), |at| {
        let case = &SRUN[at];
        let plain = srun(case, &[], &format!("{prefix}-{at:02}-plain"));
        let pod = srun(case, &[&image], &format!("{prefix}-{at:02}-pod"));
        // By the other way of output as well; that every third does is enough.
        let direct = (at % 3 == 0).then(|| srun(case, &[&image, "--k8s-io=direct"], "direct"));
        for (pod, io) in [(Some(pod), "tee"), (direct, "direct")].into_iter().filter_map(|(pod, io)| Some((pod?, io))) {
            let mut different = compare(case, &plain, &pod);
            // Plain srun is not always like itself: 22.05 can lose a task's last bytes. Ours may be like any of its ways.
            for _ in 0..5 {
                if different.is_empty() || compare(case, &srun(case, &[], "again"), &pod).is_empty() {
                    different.clear();
                    break;
                }
            }
            if !different.is_empty() {
                failures.lock().unwrap().push(format!("{} ({io}):\n    {}", case.name, different.join("\n    ")));
            }
        }
    });
    let mut failures = failures.into_inner().unwrap();
    let jobs = ended(&prefix, SRUN.len() * 2);
    for (at, case) in SRUN.iter().enumerate() {
        let plain = &jobs[&format!("{prefix}-{at:02}-plain")];
        let pod = &jobs[&format!("{prefix}-{at:02}-pod")];
        if !same_end(plain, pod) {
            failures.push(format!("{}:\n    sacct: plain {plain}, Pod {pod}", case.name));
        }
    }
    println!("{} commands compared", SRUN.len());
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    until("no Pod is left", || {
        let left = pods();
        left.is_empty().then_some(()).ok_or(left)
    });
    nodes_are_up();
}

fn sbatch(script: &str, image: Option<&str>) -> (String, String, String) {
    let folder = ROOT.run(&["mktemp", "-d", "/mnt/nas/batch.XXXXXX"]).ok().text();
    let _ = ROOT.run(&["chmod", "0777", &folder]).ok();
    let path = format!("{folder}/job.sh");
    let _ = ALICE.run_with(&["tee", &path], script.as_bytes()).ok();
    let out = format!("--output={folder}/out");
    let mut argv = vec!["sbatch", "-w", "node2", "--mem=256M", &out];
    argv.extend(image);
    argv.extend([path.as_str(), "one", "two three"]);
    let job = ALICE.batch(&argv, "").text();
    let mut output = String::new();
    until("the job's output file exists", || {
        let read = ALICE.run(&["cat", &format!("{folder}/out")]);
        output = String::from_utf8_lossy(&read.stdout).into_owned();
        (read.code == Some(0)).then_some(()).ok_or_else(|| read.errors())
    });
    let states = accounting(&job);
    let _ = ROOT.run(&["rm", "-r", &folder]).ok();
    // The folder's name is random, the job's number its own.
    (job.clone(), output.replace(&folder, "FOLDER").replace(&job, "JOB"), states.replace(&job, "JOB"))
}

#[test]
fn sbatch_in_a_pod_is_sbatch() {
    let image = in_image("userland");
    let failures = Mutex::new(Vec::new());
    on_two_threads(SBATCH.len(), |at| {
        let (name, script) = SBATCH[at];
        let (_, plain, plain_states) = sbatch(script, None);
        let (job, pod, pod_states) = sbatch(script, Some(&image));
        if plain != pod || plain_states != pod_states {
            failures.lock().unwrap().push(format!(
                "{name} (job {job}):\n    output: plain {plain:?}, Pod {pod:?}\n    sacct: plain {plain_states:?}, Pod {pod_states:?}"
            ));
        }
    });
    let failures = failures.into_inner().unwrap();
    println!("{} scripts compared", SBATCH.len());
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    nodes_are_up();
}
