//! What `slurm-k8s collect` does when something is wrong around it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use e2e::results::{FOLDER, Site, collected, log, read, run, script, start_collector, start_collector_of, submit};
use e2e::watch::BOB;
use e2e::{ALICE, CTL, ROOT, accounting, scratch, until};

/// A file on the controller that anybody may run.
fn program(path: &str, text: &str) {
    let _ = ROOT.run_with(&["tee", path], text.as_bytes()).ok();
    let _ = ROOT.run(&["chmod", "755", path]).ok();
}

#[test]
fn a_jobs_name_makes_no_line() {
    let _site = Site::begin("");
    let _collector = start_collector();
    let name = "--job-name=x\nState        COMPLETED\nJobState=COMPLETED ExitCode=0:0";
    let batch = ALICE.batch(&["sbatch", name], &script("exit 3"));
    assert_eq!(batch.code, Some(3), "{}", batch.errors());
    let lines = ROOT.run(&["squeue", "-h", "--states=FAILED", "-u", "alice", "--sort=-i", "-o", "%i"]).ok().text();
    let job = lines.lines().next().unwrap();
    let summary = collected(job);
    assert_eq!((summary["job"]["state"].as_str(), summary["job"]["code"].as_u64()), (Some("FAILED"), Some(3)));
    let text = read(&format!("{job}/job_summary.txt"));
    let states: Vec<_> = text.lines().filter(|line| line.starts_with("State")).collect();
    assert_eq!(states, ["State        FAILED, exit code 3"]);
    let log = log();
    let told: Vec<_> = log.lines().filter(|line| line.contains(job) || line.contains("JobState")).collect();
    assert!(told.iter().all(|line| line.contains(&format!("collected  {job}: FAILED of alice"))), "{told:?}");
}

#[test]
fn a_users_huge_results_hold_up_nobody_else() {
    let _site = Site::begin("parallel = 2");
    start_collector().kill();
    // Of zeros that are nowhere: only reading them takes long.
    let huge = || run(&[], "truncate -s 900G $K8S_OUTPUT_DIR/huge");
    let jobs = [huge(), huge()];
    let _collector = start_collector();
    let readers = || ROOT.run(&["pgrep", "-u", "alice", "-f", "collect-job"]).text();
    until("one of them is read", || (!readers().is_empty()).then_some(()).ok_or_else(log));
    let small = BOB.batch(&["sbatch"], &script("true")).ok().text();
    let summary = collected(&small);
    assert_eq!(summary["job"]["user"], "bob");
    assert_eq!(readers().lines().count(), 1);
    for job in &jobs {
        assert_eq!(ALICE.run(&["test", "-e", &format!("{FOLDER}/{job}/checksums.txt")]).code, Some(1));
        let _ = ALICE.run(&["truncate", "-s", "1M", &format!("{FOLDER}/{job}/outputs/huge")]).ok();
    }
    jobs.iter().for_each(|job| drop(collected(job)));
}

#[test]
fn a_collector_whose_file_is_replaced_goes_on() {
    let _site = Site::begin("");
    let folder = scratch("upgrade");
    let path = format!("{folder}/slurm-k8s");
    let _ = ROOT.run(&["chmod", "1777", &folder]).ok();
    let _ = CTL.run(&["sh", "-c", "cp $(command -v slurm-k8s) $0", &path]).ok();
    let _collector = start_collector_of(&[&path]);
    program(&format!("{path}.new"), "#!/bin/sh\nexit 9\n");
    let _ = ROOT.run(&["mv", &format!("{path}.new"), &path]).ok();
    let job = run(&[], "true");
    assert_eq!(collected(&job)["job"]["state"], "COMPLETED");
}

#[test]
fn the_sites_programs_need_no_accounting() {
    let folder = scratch("unaccounted");
    let _ = ROOT.run(&["chmod", "1777", &folder]).ok();
    let (tells, conf) = (format!("{folder}/tells"), format!("{folder}/slurm.conf"));
    program(&tells, &format!("#!/bin/sh\necho ran >> {folder}/$SLURM_K8S_JOB\n"));
    // The accounting of this collector's Slurm is where nobody listens.
    let line = "sed 's/^AccountingStorageHost=.*/AccountingStorageHost=ctl\\nAccountingStoragePort=9/' /etc/slurm/slurm.conf > $0";
    let _ = CTL.run(&["sh", "-c", line, &conf]).ok();
    let _site = Site::begin(&format!("[after_job]\nrun = ['{tells}']\n"));
    let collector = start_collector_of(&["env", &format!("SLURM_CONF={conf}"), "slurm-k8s"]);
    let job = run(&[], "true");
    let ran = || CTL.run(&["cat", &format!("{folder}/{job}")]).text();
    until("the program has run", || (ran() == "ran").then_some(()).ok_or_else(log));
    let failure = format!("waits      {job}: what it used cannot be written into the accounting");
    until("the log tells", || log().contains(&failure).then_some(()).ok_or_else(log));
    collector.kill();
    // The next one has it, and may run the programs once more.
    let _collector = start_collector();
    assert_eq!(collected(&job)["job"]["state"], "COMPLETED");
    assert!(accounting(&job).contains("COMPLETED|0:0"));
}

#[test]
fn two_collectors_without_a_lock_do_no_harm() {
    let _site = Site::begin("parallel = 4");
    start_collector().kill();
    let jobs: Vec<_> = (0..8).map(|_| submit(&[], "head -c 1000000 /dev/urandom > $K8S_OUTPUT_DIR/x")).collect();
    let _first = start_collector();
    let lock = format!("{FOLDER}/.collect/taken/.lock");
    until("the first has it", || {
        let tried = CTL.run(&["flock", "--nonblock", "--conflict-exit-code", "7", &lock, "true"]);
        (tried.code == Some(7)).then_some(()).ok_or_else(|| format!("{:?}", tried.code))
    });
    // As after a file server's restart that has forgotten its locks.
    let _ = CTL.run(&["rm", &lock]).ok();
    let _second = start_collector();
    for job in &jobs {
        // Its checksums hold.
        let summary = collected(job);
        assert_eq!(
            (summary["job"]["state"].as_str(), summary["files"]["count"].as_u64()),
            (Some("COMPLETED"), Some(3))
        );
        assert_eq!(summary["steps"].as_array().unwrap().len(), 1);
    }
    until("no name is left", || {
        let left = CTL.run(&["sh", "-c", "ls $0 $0/taken", &format!("{FOLDER}/.collect")]).ok().text();
        let left: Vec<_> = left.lines().filter(|line| jobs.iter().any(|job| job == line)).map(str::to_owned).collect();
        left.is_empty().then_some(()).ok_or_else(|| format!("{left:?}"))
    });
}
