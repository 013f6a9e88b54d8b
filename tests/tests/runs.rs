//! The ways a job can run: many tasks, many nodes, arrays, steps side by side. Plain `srun` is the reference.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use e2e::{ALICE, NODE1, NODE2, ROOT, Ran, accounting, in_image, no_pod_of, scratch, start_again, until};

/// Lines of many tasks come in any order.
fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Runs it plain and in a Pod; both must end alike and say the same lines.
fn alike(options: &[&str], command: &[&str]) -> Ran {
    let image = in_image("userland");
    let srun = ["srun", "-Q", "--mem=100M"];
    let plain = ALICE.run(&[&srun[..], options, command].concat());
    let pod = ALICE.run(&[&srun[..], options, &[&image], command].concat());
    assert_eq!(sorted(&pod.text()), sorted(&plain.text()), "{options:?}: {}", pod.errors());
    assert_eq!(pod.code, plain.code, "{options:?}: {}", pod.errors());
    pod
}

#[test]
fn tasks_and_nodes_are_numbered_and_labelled_alike() {
    let line = "echo $SLURM_PROCID $SLURM_LOCALID $SLURM_NODEID $SLURM_NTASKS $SLURM_NNODES $SLURMD_NODENAME";
    alike(&["-N2", "-n4", "--label"], &["bash", "-c", line]);
    alike(&["-N2", "-n2", "--distribution=cyclic", "--unbuffered"], &["bash", "-c", line]);
    alike(&["-n2", "--label"], &["bash", "-c", "echo out; echo err >&2; exit $((SLURM_PROCID * 3))"]);
    alike(&["-N2", "-n2", "--kill-on-bad-exit=1"], &["bash", "-c", "[ $SLURM_PROCID = 0 ] && exit 9; sleep 60"]);
}

#[test]
fn standard_streams_follow_slurms_patterns() {
    let mut texts = Vec::new();
    for image in [None, Some(in_image("userland"))] {
        let folder = scratch("patterns");
        let _ = ALICE.run_with(&["tee", &format!("{folder}/in")], b"first\nsecond\n").ok();
        let (out, err, input) =
            (format!("-o{folder}/out.%t.%n"), format!("-e{folder}/err.%t"), format!("-i{folder}/in"));
        let mut argv = vec!["srun", "-Q", "-N2", "-n2", "--mem=100M", &out, &err, &input];
        argv.extend(image.as_deref());
        argv.extend(["bash", "-c", "read line; echo $SLURM_PROCID $line; echo e$SLURM_PROCID >&2"]);
        let _ = ALICE.run(&argv).ok();
        texts.push(ALICE.run(&["sh", "-c", &format!("cd {folder}; tail -n 5 out.* err.*")]).ok().text());
    }
    assert_eq!(texts[0], texts[1]);
    assert!(texts[1].contains("0 first"), "{}", texts[1]);
}

#[test]
fn a_step_has_one_pod_on_each_node() {
    let name = format!("pods{}", std::process::id());
    let script = format!("#!/bin/bash\nsrun -N2 -n4 --mem=100M {} sleep 30\n", in_image("busybox"));
    let argv = ["sbatch", "--parsable", "-N2", "-n4", "--mem=200M", "--output=/dev/null", "--job-name", &name];
    let job = ALICE.run_with(&argv, script.as_bytes()).ok().text();
    let label = format!("job-id={job}");
    let get = [
        "kubectl",
        "get",
        "pods",
        "-l",
        &label,
        "-o",
        "jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.status.phase}{\"\\n\"}{end}",
    ];
    until("both Pods run", || {
        let text = ALICE.run(&get).ok().text();
        let expected = [format!("slurm-job-{job}-0-0 node1 Running"), format!("slurm-job-{job}-0-1 node2 Running")];
        (sorted(&text) == expected).then_some(()).ok_or(text)
    });
    let _ = ALICE.run(&["scancel", &job]).ok();
    no_pod_of(&job);
}

#[test]
fn tasks_of_one_node_share_processes_and_memory() {
    let line = "if [ $SLURM_LOCALID = 0 ]; then echo shared > /dev/shm/x; exec -a first sleep 5; fi; \
                for i in $(seq 50); do [ -e /dev/shm/x ] && pgrep -f ^first >/dev/null && break; sleep 0.1; done; cat /dev/shm/x";
    let ran = ALICE.run(&["srun", "-Q", "-N1", "-n2", "--mem=100M", &in_image("userland"), "bash", "-c", line]);
    assert_eq!(ran.ok().text(), "shared");
}

#[test]
fn a_program_that_srun_sends_along_runs_in_the_pod() {
    let folder = scratch("bcast");
    let program = format!("{folder}/program");
    let script = b"#!/bin/sh\ntest -e /.slurm-k8s/agent && echo $0 $1\nexit 4\n";
    let _ = ALICE.run_with(&["tee", &program], script).ok();
    let _ = ALICE.run(&["chmod", "+x", &program]).ok();
    let (image, sent) = (in_image("busybox"), format!("{folder}/sent"));
    let argv = ["srun", "-Q", "--mem=100M", &format!("--bcast={sent}"), &image, &program, "word"];
    assert_eq!(ALICE.run(&argv).ended_with(4).text(), format!("{sent} word"));
    // The Pod has its own /tmp.
    let argv = ["srun", "-Q", "--mem=100M", "--bcast=/tmp/sent", &image, &program];
    ALICE.run(&argv).fails(2, "cannot run `/tmp/sent'");
}

#[test]
fn each_task_of_an_array_has_its_own_pod() {
    let folder = scratch("array");
    let script = "#!/bin/bash\necho $SLURM_ARRAY_JOB_ID $SLURM_ARRAY_TASK_ID $(hostname)\n";
    let out = format!("--output={folder}/%A_%a");
    let argv = ["sbatch", "--array=1-3", "--mem=100M", &out, &in_image("userland")];
    let job = ALICE.batch(&argv, script).ok().text();
    let texts =
        ALICE.run(&["sh", "-c", &format!("cat {folder}/{job}_1 {folder}/{job}_2 {folder}/{job}_3")]).ok().text();
    let mut hosts = Vec::new();
    for (line, task) in texts.lines().zip(1..) {
        let host = line.strip_prefix(&format!("{job} {task} ")).unwrap_or_else(|| panic!("{texts}"));
        assert!(host.starts_with("slurm-job-"), "{texts}");
        hosts.push(host.to_owned());
    }
    hosts.dedup();
    assert_eq!(hosts.len(), 3, "{texts}");
}

#[test]
fn pods_of_an_array_are_labelled_with_job_and_task() {
    let script = "#!/bin/sh\nsleep 100\n";
    let argv = ["sbatch", "--parsable", "--array=3,5", "-n1", "--mem=100M", "-o", "/dev/null", &in_image("busybox")];
    let job = ALICE.run_with(&argv, script.as_bytes()).ok().text();
    let label = format!("array-job-id={job}");
    let path = "jsonpath={range .items[*]}{.metadata.labels.array-task-id} {.metadata.labels.job-id} {.metadata.name}{\"\\n\"}{end}";
    let get = ["kubectl", "get", "pods", "-l", &label, "-o", path];
    let id = |task: &str| ALICE.run(&["squeue", "-h", "-o", "%A", "-j", &format!("{job}_{task}")]).text();
    until("each task has its Pod", || {
        let text = ALICE.run(&get).ok().text();
        let expected = ["3", "5"].map(|task| format!("{task} {0} slurm-job-{0}", id(task)));
        (sorted(&text) == expected).then_some(()).ok_or(text)
    });
    let _ = ALICE.run(&["scancel", &job]).ok();
    until("no Pod is left", || {
        let text = ALICE.run(&get).ok().text();
        text.is_empty().then_some(()).ok_or(text)
    });
}

#[test]
fn components_of_a_heterogeneous_job_have_pods_and_codes_of_their_own() {
    let image = in_image("userland");
    let line = "echo $SLURM_PROCID/$SLURM_NTASKS $SLURMD_NODENAME $SLURM_HET_SIZE $SLURM_HET_GROUP_ID; \
                test -e /.slurm-k8s && hostname >&2; exit $((SLURM_PROCID * 3))";
    let step = |image: Option<&str>| {
        let on = |node: &'static str| {
            [&["-w", node, "-n1", "--mem=60M"][..], image.as_slice(), &["bash", "-c", line]].concat()
        };
        ALICE.run(&[&["srun", "-Q"][..], &on("node1"), &[":"], &on("node2")].concat())
    };
    // At the same time: Slurm looks for room for such jobs every half a minute only.
    let (plain, pod) = std::thread::scope(|scope| {
        let plain = scope.spawn(|| step(None));
        let pod = step(Some(&image));
        (plain.join().unwrap(), pod)
    });
    assert_eq!(sorted(&pod.text()), sorted(&plain.text()), "{}", pod.errors());
    assert_eq!((pod.code, plain.code), (Some(3), Some(3)), "{}", pod.errors());
    let errors = pod.errors();
    let hosts: BTreeSet<_> = errors.lines().filter(|line| line.starts_with("slurm-job-")).collect();
    assert_eq!(hosts.len(), 2, "{errors}");
}

#[test]
fn steps_run_side_by_side_in_one_allocation() {
    let image = in_image("busybox");
    let step = |n: u32| format!("srun -Q -n1 --exact --mem=60M {image} sh -c 'echo step {n}; exit {n}' & p{n}=$!");
    let script = format!("{}\n{}\nwait $p1; a=$?; wait $p2; echo $a $?", step(1), step(2));
    let ran = ALICE.run(&["salloc", "-Q", "-n2", "--mem=150M", "-w", "node1", "sh", "-c", &script]).ok();
    assert_eq!(sorted(&ran.text()), ["1 2", "step 1", "step 2"]);
    let overlap = format!("srun -Q --overlap {image} sleep 3 & sleep 1; srun -Q --overlap {image} echo beside; wait");
    let ran = ALICE.run(&["salloc", "-Q", "-n1", "--mem=150M", "sh", "-c", &overlap]).ok();
    assert_eq!(ran.text(), "beside");
}

#[test]
fn steps_have_names_and_cores_of_their_own() {
    let image = in_image("userland");
    let folder = scratch("steps");
    // Each waits for the other: they run at the same time, or not at all.
    let step = |name: &str, other: &str| {
        format!(
            "srun -Q -J {name} -n1 --exclusive --mem=60M {image} bash -c 'touch {folder}/{name}; \
             until test -e {folder}/{other}; do sleep 0.1; done; taskset -cp $$ | sed \"s/.*:/$SLURM_JOB_NAME/\"' & "
        )
    };
    let script = format!("{}{}wait; echo job $SLURM_JOB_ID", step("prepare", "train"), step("train", "prepare"));
    let text = ALICE.run(&["salloc", "-Q", "-n2", "--mem=150M", "-w", "node1", "bash", "-c", &script]).ok().text();
    let lines = sorted(&text);
    let [job, prepare, train] = lines.as_slice() else { panic!("{text}") };
    let [job, prepare, train] = [job, prepare, train].map(|line| line.split_once(' ').unwrap_or_default());
    assert_eq!((prepare.0, train.0), ("prepare", "train"), "{text}");
    assert!(prepare.1 != train.1 && !prepare.1.contains([',', '-']), "{text}");
    until("sacct knows the steps' names", || {
        let names = ALICE.run(&["sacct", "-n", "-P", "-j", job.1, "--format=JobName,State"]).ok().text();
        let ended = ["prepare", "train"].iter().all(|name| names.contains(&format!("{name}|COMPLETED")));
        ended.then_some(()).ok_or(names)
    });
}

#[test]
fn a_batch_script_on_the_host_runs_its_steps_on_two_nodes() {
    let folder = scratch("hpc");
    let script =
        "#!/bin/bash\nhostname\nsrun --label python3 -c 'import os; print(os.environ[\"SLURM_NODEID\"])' | sort\n";
    let out = format!("--output={folder}/out");
    let argv = ["sbatch", "-N2", "-n2", "--mem=100M", &out, "--k8s-batch=host", &in_image("userland")];
    let job = ALICE.batch(&argv, script).ok().text();
    assert_eq!(ALICE.run(&["cat", &format!("{folder}/out")]).ok().text(), "node1\n0: 0\n1: 1", "job {job}");
}

#[test]
fn a_script_without_commands_runs_the_file_that_it_names() {
    let folder = scratch("file");
    let file = |name: &str, text: &str| {
        let path = format!("{folder}/{name}");
        let _ = ALICE.run_with(&["tee", &path], text.as_bytes()).ok();
        path
    };
    // Neither needs an x bit; Python's needs no `#!` line.
    let python = file("train.py", "import os, sys\nprint(os.environ['K8S_SCRIPT'], sys.argv[1:])\nsys.exit(3)\n");
    let shell = file("train", "#!/bin/sh -e\necho \"$0 $@\"; cat /etc/hostname\n");
    let nothing = file("nothing", "echo by whom?\n");
    let options = |program: &str, batch: &str| [in_image("userland"), format!("--k8s-script={program}"), batch.into()];
    let output = format!("--output={folder}/out");
    let said = |ran: Ran| (ran.code, ALICE.run(&["cat", &format!("{folder}/out")]).text());
    let by_options = |program: &str, batch: &str, script: &str| {
        let [image, program, batch] = options(program, batch);
        let job = file("job", script);
        said(ALICE.batch(&["sbatch", "--mem=100M", &output, &batch, &image, &program, &job, "a b", "c"], ""))
    };
    // As the site's guide has it: `#K8S_IMAGE=…`, `#K8S_SCRIPT=…`.
    let by_lines = |program: &str, batch: &str, script: &str| {
        let line = |option: &String| {
            let (name, value) = option.trim_start_matches("--").split_once('=').unwrap();
            format!("#{}={value}\n", name.replace('-', "_").to_uppercase())
        };
        let lines: String = options(program, batch).iter().map(line).collect();
        let job = file("job", &script.replacen('\n', &format!("\n{lines}"), 1));
        said(ALICE.batch(&["sbatch", "--mem=100M", &output, &job, "a b", "c"], ""))
    };
    let empty = "#!/bin/bash\n#SBATCH -n1\n\n  # nothing to do here\n";
    for (lines, batch) in
        [false, true].into_iter().flat_map(|way| [(way, "--k8s-batch=pod"), (way, "--k8s-batch=host")])
    {
        let run = |program: &str, batch: &str, script: &str| {
            if lines { by_lines(program, batch, script) } else { by_options(program, batch, script) }
        };
        assert_eq!(run(&python, batch, empty), (Some(3), format!("{python} ['a b', 'c']")), "{batch}");
        let (code, text) = run(&shell, batch, empty);
        assert!(code == Some(0) && text.starts_with(&format!("{shell} a b c\nslurm-job-")), "{text}");
        // With commands, it is theirs to run; those of the host and their steps know it too.
        let script = "#!/bin/bash\n[ -d /.slurm-k8s ] && here=pod || here=host\necho $here $K8S_SCRIPT $1\n";
        let here = batch.trim_start_matches("--k8s-batch=");
        assert_eq!(run(&shell, batch, script), (Some(0), format!("{here} {shell} a b")), "{batch}");
    }
    let (code, text) = by_lines(&nothing, "--k8s-batch=pod", empty);
    assert_eq!(code, Some(8), "{text}");
    assert!(text.contains("a script must name its interpreter"), "{text}");
    let option = format!("--k8s-script={shell}");
    let srun = ALICE.run(&["srun", "-Q", "-n1", &in_image("busybox"), &option, "sh", "-c", "echo $K8S_SCRIPT"]).ok();
    assert_eq!(srun.text(), shell);
}

#[test]
fn srun_in_a_script_in_a_pod_says_what_helps() {
    let folder = scratch("nested");
    let script = "#!/bin/bash\nsrun hostname\n";
    let out = format!("--output={folder}/out");
    let argv = ["sbatch", "--mem=100M", &out, &in_image("userland")];
    let ran = ALICE.batch(&argv, script);
    let text = ALICE.run(&["cat", &format!("{folder}/out")]).ok().text();
    assert_eq!(ran.code, Some(127), "{text}");
    assert!(text.contains("--k8s-batch=host"), "{text}");
}

#[test]
fn a_requeued_job_runs_again_in_a_new_pod() {
    let folder = scratch("requeue");
    let script = format!(
        "#!/bin/bash\necho run $SLURM_RESTART_COUNT >> {folder}/log\n[ -n \"$SLURM_RESTART_COUNT\" ] || sleep 60\n"
    );
    let argv = ["sbatch", "--parsable", "--requeue", "--mem=100M", "--output=/dev/null", &in_image("userland")];
    let job = ALICE.run_with(&argv, script.as_bytes()).ok().text();
    let log = || ALICE.run(&["cat", &format!("{folder}/log")]).text();
    until("the first run", || (log() == "run").then_some(()).ok_or_else(log));
    let _ = ALICE.run(&["scontrol", "requeue", &job]).ok();
    let _ = ROOT.run(&["scontrol", "release", &job]);
    start_again(&job);
    until("the second run", || (log() == "run\nrun 1").then_some(()).ok_or_else(log));
    assert!(accounting(&job).contains("COMPLETED"));
    no_pod_of(&job);
}

#[test]
fn a_suspended_job_stands_still_and_goes_on() {
    let folder = scratch("suspend");
    let script = format!("#!/bin/bash\nwhile :; do echo tick >> {folder}/log; sleep 0.1; done\n");
    let argv = ["sbatch", "--parsable", "--mem=100M", "--output=/dev/null", &in_image("userland")];
    let job = ALICE.run_with(&argv, script.as_bytes()).ok().text();
    let size = || ALICE.run(&["sh", "-c", &format!("wc -l < {folder}/log")]).text().parse::<u32>().unwrap_or(0);
    let goes_on =
        |from: u32| until("the job goes on", || (size() > from + 3).then_some(()).ok_or_else(|| size().to_string()));
    goes_on(0);
    let _ = ROOT.run(&["scontrol", "suspend", &job]).ok();
    until("the job stands still", || {
        let before = size();
        std::thread::sleep(std::time::Duration::from_secs(1));
        (size() == before).then_some(()).ok_or_else(|| before.to_string())
    });
    let stopped = size();
    let _ = ROOT.run(&["scontrol", "resume", &job]).ok();
    goes_on(stopped);
    // The same by a signal that no process can catch.
    let _ = ALICE.run(&["scancel", "--batch", "-s", "STOP", &job]).ok();
    until("the script stands still", || {
        let before = size();
        std::thread::sleep(std::time::Duration::from_secs(1));
        (size() == before).then_some(()).ok_or_else(|| before.to_string())
    });
    let stopped = size();
    let _ = ALICE.run(&["scancel", "--batch", "-s", "CONT", &job]).ok();
    goes_on(stopped);
    let _ = ALICE.run(&["scancel", &job]).ok();
    no_pod_of(&job);
}

#[test]
fn a_job_that_takes_more_memory_than_its_share_is_told_so() {
    let line = "b = bytearray(); \nwhile True: b.extend(bytes(1 << 20))";
    let ran = ALICE.run(&["srun", "-Q", "--mem=64M", &in_image("userland"), "python3", "-c", line]);
    let killed = ALICE.run(&["srun", "-Q", "--mem=64M", &in_image("userland"), "bash", "-c", "kill -9 $$"]);
    assert!(!killed.errors().contains("out of memory"), "{}", killed.errors());
    ran.fails(137, "out of memory");
    let errors = ran.errors();
    let peak =
        errors.split("(limit: 67108864 bytes, peak: ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    // As near to the limit as a page of memory for the kernel's own use lets it.
    assert!(peak.is_some_and(|peak: u64| (60 << 20..=64 << 20).contains(&peak)), "{errors}");
    let script = format!("python3 -c '{line}'; exit 7");
    let survived = ALICE.run(&["srun", "-Q", "--mem=64M", &in_image("userland"), "bash", "-c", &script]);
    survived.fails(7, "out of memory");
    for node in [NODE1, NODE2] {
        assert_eq!(node.run(&["pgrep", "-c", "-f", "bytearray"]).text(), "0");
    }
}
