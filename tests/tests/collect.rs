//! `slurm-k8s collect`: what users find in their jobs' folders, and sites in their accounting.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use e2e::results::{FOLDER, Site, collect_once, collected, log, read, run, start_collector, submit};
use e2e::watch::{BOB, NAS, begin, processed};
use e2e::{ALICE, CTL, Fault, ROOT, accounting, image, in_image, no_pod_of, nodes_are_up, scratch, until};
use serde_json::Value;

fn state(summary: &Value) -> (&str, u64, u64) {
    let job = &summary["job"];
    (job["state"].as_str().unwrap(), job["code"].as_u64().unwrap(), job["signal"].as_u64().unwrap())
}

#[test]
fn a_file_that_is_copied_into_a_folder_becomes_checked_results() {
    let _site = Site::begin("");
    let _collector = start_collector();
    let folder = scratch("story");
    // The site's guide, sections 3.2.1 and 4.1, with one of the testbed's images.
    let guide = format!(
        "#!/bin/bash\n#SBATCH --job-name=train\n#SBATCH --cpus-per-task=1\n#SBATCH --mem=200M\n#SBATCH --time=00:05:00\n\n\
         # K8s metadata\n#K8S_IMAGE={}\n#K8S_WORKDIR=/tmp\n\necho \"epoch 1\"; echo \"no GPU\" >&2\n\
         head -c 3000000 /dev/zero > $K8S_OUTPUT_DIR/model.bin\nsleep 2\n{{}}\n",
        image("userland")
    );
    let _ = begin();
    let copy = |name: &str, end: &str| {
        let path = format!("{folder}/{name}");
        let _ = ALICE.run_with(&["tee", &path], guide.replace("{}", end).as_bytes()).ok();
        let _ = ALICE.run(&["cp", &path, &format!("{NAS}/submit/")]).ok();
    };
    copy("well.sh", "true");
    copy("fails.sh", "exit 3");
    copy("cancelled.sh", "sleep 600");
    let [well, fails, cancelled] =
        ["well.sh", "fails.sh", "cancelled.sh"].map(|name| processed(name)["job"].to_string());
    until("the third runs", || {
        let written = ALICE.run(&["cat", &format!("{FOLDER}/{cancelled}/stdout.log")]).text();
        (written == "epoch 1").then_some(()).ok_or(written)
    });
    let _ = ALICE.run(&["scancel", &cancelled]).ok();

    let summary = collected(&well);
    assert_eq!(state(&summary), ("COMPLETED", 0, 0));
    assert_eq!(summary["files"]["count"], 3);
    assert!(read(&format!("{well}/checksums.txt")).contains("  outputs/model.bin\n"));
    let text = read(&format!("{well}/job_summary.txt"));
    for line in
        ["Job          ", "(train)", "State        COMPLETED, exit code 0", "\nEnded        ", "\nPeak memory  "]
    {
        assert!(text.contains(line), "{text}");
    }
    // The image by its digest, the phases in their order, and what the job used.
    let digest = summary["images"][image("userland")].as_str().unwrap();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{summary:#}");
    let step = &summary["steps"][0];
    let times: Vec<_> =
        ["begun", "created", "container", "started", "ended"].map(|name| step["times"][name].as_f64().unwrap()).into();
    assert!(times.is_sorted(), "{step:#}");
    assert_eq!((step["step"].as_str(), step["ended"][0]["code"].as_u64()), (Some("batch"), Some(0)));
    assert!(
        summary["cpu_us"].as_u64().unwrap() > 1000 && summary["memory_peak"].as_u64().unwrap() > 3_000_000,
        "{summary:#}"
    );
    assert!(step["requests"]["POST"] == 1 && step["requests"]["DELETE"] == 1, "{step:#}");
    until("the accounting has what it used", || {
        let line = ROOT.run(&["sacct", "-n", "-X", "-P", "-j", &well, "--format=AdminComment"]).ok().text();
        let told = line.starts_with("spank-k8s:cpu=") && line.contains("s,mem=") && line.ends_with(digest);
        told.then_some(()).ok_or(line)
    });

    assert_eq!(state(&collected(&fails)), ("FAILED", 3, 0));
    let summary = collected(&cancelled);
    assert_eq!(state(&summary), ("CANCELLED", 0, 15));
    assert!(summary["steps"][0]["times"]["ended"].is_f64(), "{summary:#}");
    for job in [&well, &fails, &cancelled] {
        let owners = CTL.run(&["sh", "-c", "stat -c %U $0/*", &format!("{FOLDER}/{job}")]).ok().text();
        assert!(owners.lines().count() == 6 && owners.lines().all(|owner| owner == "alice"), "{owners}");
        no_pod_of(job);
    }
    nodes_are_up();
}

#[test]
fn a_job_at_its_time_limit_and_one_that_never_ran_are_collected() {
    let _site = Site::begin("");
    let _collector = start_collector();
    let late = submit(&["--time=5"], "echo begins; sleep 600");
    let out = || ALICE.run(&["cat", &format!("{FOLDER}/{late}/stdout.log")]).text();
    until("it runs", || (out() == "begins").then_some(()).ok_or_else(out));
    // As at its limit, in a second instead of a minute; slurmctld looks at limits twice a minute.
    let _ = ROOT.run(&["scontrol", "update", &format!("JobId={late}"), "EndTime=now+1"]).ok();
    let absent = ALICE.run_with(
        &["sbatch", "--parsable", "--mem=100M", "--k8s-image=nas-hub.local:5407/not-there:1"],
        b"#!/bin/bash\ntrue\n",
    );
    let absent = absent.ok().text();
    let summary = collected(&absent);
    assert_eq!(state(&summary), ("FAILED", 122, 0));
    let warnings = summary["warnings"].as_array().unwrap();
    assert!(warnings[0].as_str().unwrap().contains("nas-hub.local:5407/not-there:1"), "{warnings:?}");
    assert_eq!(summary["steps"][0]["refusal"]["code"], 122);
    let summary = collected(&late);
    assert_eq!(state(&summary).0, "TIMEOUT");
    assert_eq!(read(&format!("{late}/stdout.log")).lines().next(), Some("begins"));
}

#[test]
fn what_the_user_says_of_output_is_copied_and_every_task_and_run_has_its_summary() {
    let _site = Site::begin("");
    let _collector = start_collector();
    let folder = scratch("own");
    let both = run(&[&format!("--output={folder}/both")], "echo out; echo err >&2");
    let apart = run(&[&format!("--output={folder}/o"), &format!("--error={folder}/e")], "echo out; echo err >&2");
    let array = submit(&["--array=1-2", "--k8s-batch=host"], "srun -n1 true; exit $((SLURM_ARRAY_TASK_ID - 1))");
    let _ = collected(&both);
    assert_eq!(read(&format!("{both}/stdout.log")), "out\nerr");
    assert_eq!(ALICE.run(&["ls", &format!("{FOLDER}/{both}/stderr.log")]).code, Some(2));
    let _ = collected(&apart);
    assert_eq!([read(&format!("{apart}/stdout.log")), read(&format!("{apart}/stderr.log"))], ["out", "err"]);
    for task in 1..=2 {
        let summary = collected(&format!("{array}_{task}"));
        assert_eq!(state(&summary).1, task - 1);
        let steps: Vec<_> =
            summary["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
        assert_eq!(steps, ["0"], "{summary:#}");
    }
    // A job of srun alone has no output files.
    let ran =
        ALICE.run(&["srun", "-Q", "-N2", "--mem=50M", &in_image("busybox"), "sh", "-c", "echo $SLURM_JOB_ID"]).ok();
    let text = ran.text();
    let summary = collected(text.lines().next().unwrap());
    let nodes: Vec<_> =
        summary["steps"].as_array().unwrap().iter().map(|step| step["node"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["node1", "node2"]);
    // After another run the first one is still in it.
    let lines = "echo run $SLURM_RESTART_COUNT; [ -n \"$SLURM_RESTART_COUNT\" ] || sleep 600";
    let job = submit(&["--requeue"], lines);
    let out = || ALICE.run(&["cat", &format!("{FOLDER}/{job}/stdout.log")]).text();
    until("it runs", || (out() == "run").then_some(()).ok_or_else(out));
    let _ = ROOT.run(&["scontrol", "requeue", &job]).ok();
    e2e::start_again(&job);
    let summary = collected(&job);
    assert_eq!(summary["job"]["restarts"], 1);
    let runs: Vec<_> =
        summary["steps"].as_array().unwrap().iter().map(|step| step["restart"].as_u64().unwrap()).collect();
    assert_eq!(runs, [0, 1], "{summary:#}");
}

#[test]
fn the_sites_programs_are_run_and_change_nothing() {
    let folder = scratch("after");
    let _ = ROOT.run(&["chmod", "1777", &folder]).ok();
    let put = |name: &str, text: &str| {
        let path = format!("{folder}/{name}");
        let _ = ROOT.run_with(&["tee", &path], text.as_bytes()).ok();
        let _ = ROOT.run(&["chmod", "755", &path]).ok();
        path
    };
    let tells = put(
        "tells",
        &format!(
            "#!/bin/sh\nenv | grep ^SLURM_K8S > {folder}/$SLURM_K8S_JOB.env; id -un >> {folder}/$SLURM_K8S_JOB.env\n"
        ),
    );
    let (hangs, fails) = (
        put("hangs", "#!/bin/sh\nsetsid setsid sleep 6543 &\nsetsid -f sleep 6543\nsleep 6543\n"),
        put("fails", "#!/bin/sh\necho no archive >&2\nexit 4\n"),
    );
    for (user, name) in [("job", "alice"), ("service", "slurm")] {
        let keys = format!("[after_job]\nrun = ['{hangs}', '{fails}', '{tells}']\ntimeout = '1s'\nuser = '{user}'\n");
        let _site = Site::begin(&keys);
        let _collector = start_collector();
        let job = run(&["--job-name=a b"], "true");
        assert_eq!(state(&collected(&job)), ("COMPLETED", 0, 0));
        let file = format!("{folder}/{job}.env");
        until("the last one has run", || {
            let text = CTL.run(&["cat", &file]).text();
            text.ends_with(name).then_some(()).ok_or(text)
        });
        let text = CTL.run(&["cat", &file]).ok().text();
        for line in [
            format!("SLURM_K8S_RESULTS={FOLDER}/{job}"),
            "SLURM_K8S_STATE=COMPLETED".into(),
            "SLURM_K8S_JOB_NAME=a b".into(),
        ] {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        let log = log();
        assert!(log.contains(&format!("after      {job} {hangs} was killed after 1 s")), "{log}");
        // Nor is anything left that has a session of its own.
        assert_eq!(ROOT.run(&["pgrep", "-x", "-f", "sleep 6543"]).text(), "");
        assert!(log.contains(&format!("after      {job} {fails} failed: exit code 4: no archive")), "{log}");
        assert!(accounting(&job).contains("COMPLETED|0:0"));
    }
}

#[test]
fn collectors_that_are_killed_lose_no_job() {
    let _site = Site::begin("parallel = 4");
    start_collector().kill();
    let begun = std::time::Instant::now();
    let kills: u64 = std::env::var("SOAK_COLLECT_KILLS").map_or(20, |text| text.parse().expect("a number"));
    let script = "head -c 1000000 /dev/urandom > $K8S_OUTPUT_DIR/x";
    let jobs: Vec<String> = (0..kills * 3 / 5).map(|_| submit(&[], script)).collect();
    // The kernel's own numbers are as good as any for when to kill.
    for round in 0..kills {
        let collector = start_collector();
        std::thread::sleep(std::time::Duration::from_millis(round * 37 % 400));
        collector.kill();
    }
    let _collector = start_collector();
    for job in &jobs {
        assert_eq!(state(&collected(job)).0, "COMPLETED");
        assert_eq!(ALICE.run(&["ls", "-A", &format!("{FOLDER}/{job}")]).ok().text().lines().count(), 6);
    }
    println!("{kills} collectors killed, {} jobs collected in {} s", jobs.len(), begun.elapsed().as_secs());
    // A second one waits for the end of the first.
    let second = collect_once().ended_with(1);
    assert!(second.errors().contains("another collector works on"), "{}", second.errors());
}

#[test]
fn nobody_collects_for_others_and_what_is_away_is_waited_for() {
    let _site = Site::begin("");
    start_collector().kill();
    let queue = format!("{FOLDER}/.collect");
    // Bob guesses the number of alice's next job.
    let job = submit(&["--hold"], "true");
    let _ = BOB.run(&["sh", "-c", "touch $0/$1 && mkdir $0/$1.folder && ln -s /etc $0/link", &queue, &job]).ok();
    let _ = ALICE.run(&["scontrol", "release", &job]).ok();
    assert!(accounting(&job).contains("COMPLETED|0:0"));
    let _collector = start_collector();
    let _ = collected(&job);
    until("only what nobody can remove is left", || {
        let left = CTL.run(&["sh", "-c", "ls -A $0 $0/taken | grep -v lock", &queue]).ok().text();
        let left: Vec<_> =
            left.lines().filter(|line| line.contains(job.as_str()) || *line == "link").map(str::to_owned).collect();
        (left == [format!("{job}.folder")]).then_some(()).ok_or_else(|| format!("{left:?}"))
    });
    let _ = BOB.run(&["rmdir", &format!("{queue}/{job}.folder")]).ok();

    // The job's folder is full.
    let job = submit(&["--hold"], "echo x > $K8S_OUTPUT_DIR/x");
    let path = format!("{FOLDER}/{job}");
    let _ = ALICE.run(&["mkdir", &path]).ok();
    let line =
        "mount -t tmpfs -o size=8k,mode=0755,uid=1000,gid=1000 full $0 && head -c 8192 /dev/zero > $0/all || true";
    let _ = CTL.run(&["sh", "-c", line, &path]).ok();
    let _ = ALICE.run(&["scontrol", "release", &job]).ok();
    until("the log tells", || {
        let log = log();
        log.contains(&format!("waits      {job}: cannot write {path}/")).then_some(()).ok_or(log)
    });
    assert!(log().contains("No space left on device"), "{}", log());
    assert!(accounting(&job).contains("COMPLETED|0:0"));
    let _ = CTL.run(&["umount", &path]).ok();
    assert_eq!(state(&collected(&job)).0, "COMPLETED");

    // slurmctld is away when the job has ended.
    let job = submit(&[], "echo begins; sleep 5");
    let out = || ALICE.run(&["cat", &format!("{FOLDER}/{job}/stdout.log")]).text();
    until("it runs", || (out() == "begins").then_some(()).ok_or_else(out));
    {
        let _away = Fault::start("slurmctld");
        until("the log tells", || {
            let log = log();
            let last = log.lines().next_back().unwrap_or_default().to_owned();
            last.contains("Unable to contact slurm controller").then_some(()).ok_or(last)
        });
    }
    assert_eq!(state(&collected(&job)).0, "COMPLETED");
}
