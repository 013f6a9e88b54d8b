//! `slurm-k8s watch`: the site's own on the controller, as users have it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use e2e::watch::{BOB, NAS, begin, failed, processed, put, reason, site_log, submit, wait_for_job};
use e2e::{ALICE, CTL, Fault, ROOT, accounting, alone, image, no_pod_of, nodes_are_up, scratch, until};

#[test]
fn a_user_copies_the_guides_job_file_and_it_runs() {
    let _alone = alone();
    // As the site's guide has it, with one of the testbed's images and a shorter sleep.
    let script = format!(
        "#!/bin/bash\n#SBATCH --job-name=test\n#SBATCH --cpus-per-task=1\n#SBATCH --mem=1G\n#SBATCH --time=00:05:00\n\
         #SBATCH --output=/mnt/nas/results/test-%j.out\n#SBATCH --comment='my thesis'\n#K8S_IMAGE={}\n\n\
         echo \"Test started at $(date)\"\nsleep 1\ntest -e /.slurm-k8s/agent && echo \"Test completed at $(date)\"\n",
        image("userland")
    );
    let folder = scratch("watch");
    let _ = begin();
    let _ = ALICE.run_with(&["tee", &format!("{folder}/test_job.sh")], script.as_bytes()).ok();
    let _ = ALICE.run(&["cp", &format!("{folder}/test_job.sh"), &format!("{NAS}/submit/")]).ok();
    let record = processed("test_job.sh");
    let job = record["job"].to_string();
    assert!(accounting(&job).starts_with(&format!("{job}|COMPLETED|0:0")), "{}", accounting(&job));
    no_pod_of(&job);
    let output = ALICE.run(&["cat", &format!("/mnt/nas/results/test-{job}.out")]).ok().text();
    assert!(output.starts_with("Test started at ") && output.contains("\nTest completed at "), "{output}");

    let id = record["submission"].as_str().unwrap();
    assert_eq!((record["user"].as_str(), record["name"].as_str()), (Some("alice"), Some("test_job.sh")));
    let told = ROOT.run(&["scontrol", "show", "job", &job]).ok().text();
    assert!(told.contains(&format!("Comment=my thesis submit-folder:{id}")), "{told}");
    assert!(told.contains("JobName=test\n") && told.contains("UserId=alice(1000)"), "{told}");
    // Where the accounting has no comments, it has this.
    until("the accounting has the mark", || {
        let line = ROOT.run(&["sacct", "-n", "-X", "-P", "-j", &job, "--format=JobID,SubmitLine"]).ok().text();
        line.contains(&format!("submit-folder:{id}")).then_some(()).ok_or(line)
    });
    // The file itself is the user's as before.
    let owner = CTL.run(&["stat", "-c", "%U %a", &format!("{NAS}/processed/{job}-test_job.sh")]).ok().text();
    assert_eq!(owner, "alice 644");
    let log = site_log();
    assert!(log.contains(&format!("submitted  test_job.sh of alice: job {job} ({id})")), "{log}");
    until("the metrics tell", || {
        let text = CTL.run(&["cat", "/var/lib/node-exporter/watch.prom"]).ok().text();
        let counted =
            text.lines().any(|line| line.starts_with("slurm_k8s_watch_submitted_total ") && !line.ends_with(" 0"));
        counted.then_some(()).ok_or(text)
    });
    nodes_are_up();
}

#[test]
fn the_job_is_the_users_as_by_sbatch() {
    let _alone = alone();
    let line =
        "id -u; id -G; umask; pwd; ulimit -c; env | grep -vE '^(SLURM|_|PWD|SHLVL|TMPDIR|TERM|LANG|KUBECONFIG)' | sort";
    let script = |out: &str| format!("#!/bin/bash\n#SBATCH --output={out}\n{line}\n");
    let folder = scratch("watch");
    let (mine, theirs) = (format!("{folder}/mine"), format!("{folder}/theirs"));
    let _ = ALICE.run_with(&["sbatch", "--wait"], script(&theirs).as_bytes()).ok();
    // Nobody else can read it.
    put(ALICE, "who.sh", &script(&mine), 0o600);
    wait_for_job(&processed("who.sh")["job"].to_string());
    let text = |path: &str| ALICE.run(&["cat", path]).ok().text();
    let without_path = |text: String| {
        text.lines().filter(|line| !line.starts_with("PATH=")).map(|l| format!("{l}\n")).collect::<String>()
    };
    assert_eq!(without_path(text(&mine)), without_path(text(&theirs)));
    assert!(text(&mine).starts_with("1000\n1000 5001 5002\n0022\n/home/alice\n"), "{}", text(&mine));
    assert!(text(&mine).contains("\nPATH="), "{}", text(&mine));
}

#[test]
fn what_is_refused_has_a_reason_beside_it() {
    let _alone = alone();
    let head = format!("#!/bin/bash\n#SBATCH --mem=100M\n#K8S_IMAGE={}\n", image("userland"));
    for (name, script, expected) in [
        (
            "typo.sh",
            "#!/bin/bash\n#K8S_IMGAE=x\ntrue\n".to_owned(),
            "typo.sh:2:1: error: there is no #K8S_IMGAE\n  hint: did you mean #K8S_IMAGE?",
        ),
        ("policy.sh", format!("{head}#K8S_NETWORK=host\ntrue\n"), "this site does not allow the node's network"),
        (
            "partition.sh",
            format!("{head}#SBATCH --partition=none\ntrue\n"),
            "not submitted: sbatch refused it: Invalid partition name specified",
        ),
        (
            "option.sh",
            "#!/bin/bash\n#SBATCH --no-such-option\ntrue\n".to_owned(),
            "unrecognized option '--no-such-option'",
        ),
        (
            "test-only.sh",
            "#!/bin/bash\n#SBATCH --test-only\ntrue\n".to_owned(),
            "sbatch made no job of it, and said no error\nhint: is --test-only",
        ),
        ("dos.sh", "#!/bin/bash\r\ntrue\r\n".to_owned(), "dos.sh:1:"),
        ("no-shell", "true\n".to_owned(), "no-shell:1:1: error: "),
        (
            "large.sh",
            format!("#!/bin/bash\n{}", "#\n".repeat(3 << 20)),
            "it has 6291468 bytes, and scripts have at most 4 MiB",
        ),
    ] {
        put(ALICE, name, &script, 0o644);
        let text = reason(name);
        assert!(text.contains(expected), "{name}: {text}");
        assert!(failed().contains(&name.to_owned()), "{name}: {:?}", failed());
    }
    put(ALICE, "open.sh", "#!/bin/bash\ntrue\n", 0o666);
    assert!(reason("open.sh").contains("others may write it (mode 0666)"));
    put(ROOT, "root.sh", "#!/bin/bash\ntrue\n", 0o644);
    assert!(reason("root.sh").contains("it belongs to uid 0, and only uids from 1000 on may submit"));
    // A folder's reason is written once.
    let _ = CTL.run(&["rm", "-f", &format!("{NAS}/failed/folder.sh.reason.txt")]).ok();
    let line = "cd $0/submit && rm -rf folder.sh .other && ln -s /home/bob/job.sh link.sh && mkfifo fifo.sh && mkdir folder.sh && echo '#!/bin/sh' > linked.sh && \
                ln linked.sh .other";
    let _ = ALICE.run(&["bash", "-c", line, NAS]).ok();
    assert!(reason("link.sh").contains("it is a symbolic link, not a file"));
    assert!(reason("fifo.sh").contains("it is a FIFO, a socket or a device, not a file"));
    assert!(reason("linked.sh").contains("it has 2 names (hard links)"));
    assert!(reason("folder.sh").contains("it is a folder, not a file"));
    let _ = ALICE.run(&["bash", "-c", "cd $0/submit && rmdir folder.sh && rm .other", NAS]).ok();
    let log = site_log();
    let line = "refused    typo.sh of alice: the script has 1 error: line 2: there is no #K8S_IMGAE (";
    assert!(log.contains(line), "{log}");
    assert_eq!(submit().iter().filter(|name| !name.starts_with('.')).count(), 0, "{:?}", submit());
}

#[test]
fn names_of_every_kind_are_submitted() {
    let _alone = alone();
    let script = "#!/bin/bash\n#SBATCH --output=/dev/null\ntrue\n";
    let names = ["-x", "a b", "two\nlines", "$(id)", "--wrap=id", "일.sh", &"n".repeat(255)];
    for name in names {
        put(BOB, name, script, 0o644);
    }
    let _ = BOB.run(&["bash", "-c", r"printf '#!/bin/sh\ntrue\n' > $0/submit/$'\xff\xfe'", NAS]).ok();
    let user = |job: &str| ROOT.run(&["squeue", "-h", "-t", "all", "-o", "%u", "-j", job]).ok().text();
    for name in names {
        let job = processed(name)["job"].to_string();
        assert_eq!(user(&job), "bob", "{name:?}");
        wait_for_job(&job);
    }
    until("all are taken", || {
        let left = submit().into_iter().any(|name| !name.starts_with('.'));
        if left { Err(format!("{:?}", submit())) } else { Ok(()) }
    });
    let log = site_log();
    assert!(log.contains(r#"submitted  "two\nlines" of bob: job "#), "{log}");
    assert!(log.contains(r#"submitted  "\xff\xfe" of bob: job "#), "{log}");
}

#[test]
fn a_user_cannot_move_or_take_anothers_file() {
    let _alone = alone();
    put(ALICE, ".private.sh", "#!/bin/bash\ntrue\n", 0o644);
    for line in [
        "mv $0/submit/.private.sh $0/submit/mine.sh",
        "rm -f $0/submit/.private.sh",
        "touch $0/processed/x",
        "touch $0/failed/x",
        "ls $0/processing/*",
        "mkdir $0/processing/x",
    ] {
        assert_ne!(BOB.run(&["bash", "-c", line, NAS]).code, Some(0), "{line}");
    }
    let _ = ALICE.run(&["rm", &format!("{NAS}/submit/.private.sh")]).ok();
}

#[test]
fn without_slurmctld_files_wait_and_are_told_once() {
    let _alone = alone();
    let script = "#!/bin/bash\n#SBATCH --output=/dev/null\ntrue\n";
    let begin = site_log().lines().count();
    let names: Vec<_> = (0..6).map(|n| format!("away{n}.sh")).collect();
    {
        let _fault = Fault::start("slurmctld");
        names.iter().for_each(|name| put(ALICE, name, script, 0o644));
        put(ALICE, "wrong.sh", "#!/bin/bash\n#K8S_IMGAE=x\ntrue\n", 0o644);
        until("the log tells", || {
            let log = site_log();
            log.lines()
                .skip(begin)
                .any(|line| line.contains("waits      Slurm does not take jobs: "))
                .then_some(())
                .ok_or(log)
        });
        std::thread::sleep(std::time::Duration::from_secs(6));
    }
    for name in &names {
        wait_for_job(&processed(name)["job"].to_string());
    }
    assert!(reason("wrong.sh").contains("there is no #K8S_IMGAE"));
    let log: Vec<_> = site_log().lines().skip(begin).map(str::to_owned).collect();
    let count = |text: &str| log.iter().filter(|line| line.contains(text)).count();
    assert!((1..=3).contains(&count("  waits      ")), "{log:#?}");
    assert_eq!(count("  goes on    Slurm takes jobs again"), 1, "{log:#?}");
    for name in &names {
        assert_eq!(count(&format!("submitted  {name} of alice")), 1, "{log:#?}");
    }
}
