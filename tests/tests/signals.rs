//! Every signal that Slurm sends, when it sends it, beside the same job on the bare node.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{
    ALICE, Changed, Fault, NODE1, NODE2, accounting, alone, in_image, no_pod_of, nodes_are_up, scratch, together, until,
};

/// Submits the script plain and in a Pod; gives the jobs, the plain one first.
fn both(script: &str, options: &[&str]) -> [String; 2] {
    let image = in_image("userland");
    [None, Some(image.as_str())].map(|image| {
        let argv = [&["sbatch", "--parsable", "--mem=100M", "--output=/dev/null"][..], options, image.as_slice()];
        ALICE.run_with(&argv.concat(), script.as_bytes()).ok().text()
    })
}

fn text(path: &str) -> String {
    ALICE.run(&["cat", path]).text()
}

fn wait_for(path: &str, wanted: &str) {
    until(&format!("{path} is as expected"), || {
        let seen = text(path);
        (seen == wanted).then_some(()).ok_or(seen)
    });
}

/// sacct's lines without the ids.
fn states(job: &str) -> Vec<String> {
    let all = accounting(job);
    all.lines().map(|line| line.split_once('|').map_or(line, |(_, rest)| rest).to_owned()).collect()
}

#[test]
fn the_time_limit_warns_then_terminates_then_kills() {
    let _together = together();
    let folder = scratch("time-limit");
    // The loop outlives TERM, so that only KILL ends it; KillWait is 5 s here.
    let script = format!(
        "#!/bin/bash\nlog={folder}/$SLURM_JOB_ID\ntrap 'echo usr1 >> $log' USR1\ntrap 'echo term >> $log' TERM\n\
         echo ready > $log\nwhile :; do sleep 0.2; done\n"
    );
    // slurmctld may send it half a minute early (sbatch(1), `--signal`): with 45 s, before the script has its trap.
    let jobs = both(&script, &["--time=1", "--signal=B:USR1@20"]);
    let [plain, pod] = jobs.each_ref().map(|job| {
        // Slurm looks at limits twice a minute: the end is later than one wait.
        wait_for_end(job);
        (text(&format!("{folder}/{job}")), states(job))
    });
    assert_eq!(pod, plain);
    assert_eq!(pod.0, "ready\nusr1\nterm");
    assert!(pod.1.iter().any(|line| line.starts_with("TIMEOUT")), "{pod:?}");
    no_pod_of(&jobs[1]);
}

fn wait_for_end(job: &str) {
    for _ in 0..3 {
        let argv = ["timeout", "50", "bash", "-c", "while squeue -h -j \"$0\" | grep -q .; do sleep 0.5; done", job];
        if ALICE.run(&argv).code == Some(0) {
            return;
        }
    }
    panic!("job {job} does not end");
}

#[test]
fn a_signal_for_a_step_reaches_all_its_tasks_and_nobody_else() {
    let _together = together();
    let folder = scratch("step-signal");
    let task = "trap 'echo usr2 >> $0.$SLURM_PROCID; exit 3' USR2; echo ready >> $0.$SLURM_PROCID; while :; do sleep 0.1; done";
    let script = format!(
        "#!/bin/bash\ntrap 'echo batch >> {folder}/log.batch' USR2\nsrun -Q -N2 -n2 --mem=50M bash -c \"{}\" {folder}/log\necho $? > {folder}/code\n",
        task.replace('$', "\\$")
    );
    let argv = ["sbatch", "--parsable", "-N2", "-n2", "--mem=100M", "--output=/dev/null", "--k8s-batch=host"];
    let job = ALICE.run_with(&[&argv[..], &[&in_image("userland")]].concat(), script.as_bytes()).ok().text();
    for task in ["0", "1"] {
        wait_for(&format!("{folder}/log.{task}"), "ready");
    }
    let _ = ALICE.run(&["scancel", "-s", "USR2", &format!("{job}.0")]).ok();
    for task in ["0", "1"] {
        wait_for(&format!("{folder}/log.{task}"), "ready\nusr2");
    }
    wait_for(&format!("{folder}/code"), "3");
    assert_ne!(ALICE.run(&["ls", &format!("{folder}/log.batch")]).code, Some(0));
    no_pod_of(&job);
}

#[test]
fn a_preempted_job_is_told_and_makes_room() {
    let _together = together();
    let folder = scratch("preempted");
    let script = format!(
        "#!/bin/bash\nlog={folder}/$SLURM_JOB_ID\ntrap 'echo term >> $log; exit 0' TERM\necho ready > $log\n\
         while :; do sleep 0.1; done\n"
    );
    let image = in_image("userland");
    let [plain, pod] = [None, Some(image.as_str())].map(|image| {
        let low = ["sbatch", "--parsable", "--no-requeue", "-p", "scavenge", "-w", "node2", "--exclusive"];
        let argv = [&low[..], &["--output=/dev/null"], image.as_slice()].concat();
        let job = ALICE.run_with(&argv, script.as_bytes()).ok().text();
        wait_for(&format!("{folder}/{job}"), "ready");
        // Room is made for a job of the partition above.
        let argv =
            [&["srun", "-Q", "-p", "cpu", "-w", "node2", "--mem=100M"][..], image.as_slice(), &["true"]].concat();
        let _ = ALICE.run(&argv).ok();
        no_pod_of(&job);
        (text(&format!("{folder}/{job}")), states(&job))
    });
    assert_eq!(pod, plain);
    assert!(pod.1.iter().any(|line| line.starts_with("PREEMPTED")), "{pod:?}");
}

#[test]
fn a_process_that_ignores_term_is_killed_with_its_children() {
    let _together = together();
    let script =
        "#!/bin/bash\ntrap '' TERM\n(trap '' TERM; exec -a stubborn sleep 4444) &\nexec -a stubborn sleep 4444\n";
    let [plain, pod] = both(script, &["--exclusive"]);
    for job in [&plain, &pod] {
        until("the script runs", || {
            let count = |node: e2e::At| node.run(&["pgrep", "-c", "-f", "^stubborn 4444"]).text();
            let seen = [count(NODE1), count(NODE2)];
            seen.iter().any(|count| count == "2").then_some(()).ok_or_else(|| seen.join(" "))
        });
        let _ = ALICE.run(&["scancel", job]).ok();
        wait_for_end(job);
    }
    assert_eq!(states(&pod), states(&plain));
    no_pod_of(&pod);
    for node in [NODE1, NODE2] {
        assert_eq!(node.run(&["pgrep", "-f", "^stubborn 4444"]).code, Some(1));
    }
}

#[test]
fn a_signal_during_the_pull_waits_for_the_script() {
    let _alone = alone();
    let _changed = Changed::edit(NODE2, "/etc/slurm/k8s.toml", |text| text + "[kubernetes]\npull_timeout = \"5m\"\n");
    let folder = scratch("early");
    let trap = format!("#!/bin/bash\ntrap 'echo usr1 >> {folder}/log; exit 5' USR1\nwhile :; do sleep 0.1; done\n");
    let none = &format!("#!/bin/bash\ntouch {folder}/$SLURM_JOB_ID\nwhile :; do sleep 0.1; done\n");
    let submit = |script: &str, options: &[&str]| {
        let argv = ["sbatch", "--parsable", "--no-requeue", "-w", "node2", "--mem=100M", "--output=/dev/null"];
        ALICE.run_with(&[&argv[..], options].concat(), script.as_bytes()).ok().text()
    };
    let signal = |job: &str| drop(ALICE.run(&["scancel", "--batch", "-s", "USR1", job]).ok());
    let plain = submit(none, &[]);
    // Slurm calls a job running before its script is, and loses what comes between.
    until("the plain script runs", || {
        let files = ALICE.run(&["ls", &folder]).ok().text();
        files.lines().any(|file| file == plain).then_some(()).ok_or(files)
    });
    signal(&plain);
    let plain = states(&plain);
    let jobs = {
        let _fault = Fault::start("registry");
        let options = ["--k8s-pull=always", &in_image("userland")];
        let jobs = [submit(&trap, &options), submit(none, &options)];
        for job in &jobs {
            let entry = format!("\"job\":\"{job}.batch\".*\"phase\":\"waiting\"");
            until("the image is waited for", || {
                let found = NODE2.run(&["grep", &entry, "/var/log/slurm-k8s/engine.log"]);
                (found.code == Some(0)).then_some(()).ok_or_else(|| found.text())
            });
            signal(job);
        }
        jobs
    };
    jobs.iter().for_each(|job| wait_for_end(job));
    assert_eq!(text(&format!("{folder}/log")), "usr1");
    let [trapped, ended] = jobs.each_ref().map(|job| states(job));
    assert!(trapped.iter().all(|line| line.starts_with("FAILED|5:0")), "{trapped:?}");
    assert_eq!(ended, plain);
    assert!(plain[0].starts_with("FAILED|0:10"), "{plain:?}");
    jobs.iter().for_each(|job| no_pod_of(job));
    nodes_are_up();
}
