//! Where jobs leave their output and their files, if the site says so.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::results::{FOLDER, HEAD, Site, read, run, script, submit};
use e2e::watch::BOB;
use e2e::{ALICE, ROOT, in_image, no_pod_of, nodes_are_up, scratch, until};

/// Owner and permissions.
fn look(path: &str) -> String {
    ROOT.run(&["stat", "--format=%U %a", &format!("{FOLDER}/{path}")]).ok().text()
}

#[test]
fn a_job_finds_its_folder_and_leaves_both_streams_there() {
    let _site = Site::begin("");
    let lines = "echo out; echo err >&2; echo $K8S_OUTPUT_DIR; echo made > $K8S_OUTPUT_DIR/file; hostname";
    let job = run(&[], lines);
    assert_eq!(read(&format!("{job}/stdout.log")), format!("out\n{FOLDER}/{job}/outputs\nslurm-job-{job}"));
    assert_eq!(read(&format!("{job}/stderr.log")), "err");
    assert_eq!(read(&format!("{job}/outputs/file")), "made");
    assert_eq!(look(&job), "alice 755");
    // The same of a script on the node, and of its steps.
    let lines = "echo $K8S_OUTPUT_DIR; srun -n1 sh -c 'echo step > $K8S_OUTPUT_DIR/file; hostname'";
    let job = run(&["--k8s-batch=host"], lines);
    assert_eq!(read(&format!("{job}/stdout.log")), format!("{FOLDER}/{job}/outputs\nslurm-job-{job}-0-0"));
    assert_eq!(read(&format!("{job}/outputs/file")), "step");
    // And of a command without a script, whose output is its terminal's.
    let ran = ALICE.run(&[
        "srun",
        "-Q",
        "-N2",
        "--mem=50M",
        &in_image("busybox"),
        "sh",
        "-c",
        "echo $K8S_OUTPUT_DIR; ls -d $K8S_OUTPUT_DIR",
    ]);
    let text = ran.ok().text();
    assert!(text.lines().count() == 4 && text.lines().all(|line| line.starts_with(FOLDER)), "{text}");
    // Its folder is there again when the job is.
    let lines = "echo run $SLURM_RESTART_COUNT >> $K8S_OUTPUT_DIR/runs; [ -n \"$SLURM_RESTART_COUNT\" ] || sleep 600";
    let job = submit(&["--requeue"], lines);
    let runs = || ALICE.run(&["cat", &format!("{FOLDER}/{job}/outputs/runs")]).text();
    until("it runs", || (runs() == "run").then_some(()).ok_or_else(runs));
    let _ = ROOT.run(&["scontrol", "requeue", &job]).ok();
    e2e::start_again(&job);
    until("it has run again", || (runs() == "run\nrun 1").then_some(()).ok_or_else(runs));
    no_pod_of(&job);
    nodes_are_up();
}

#[test]
fn tasks_of_an_array_have_their_own() {
    let _site = Site::begin("");
    let job = run(&["--array=1-2"], "echo task $SLURM_ARRAY_TASK_ID; touch $K8S_OUTPUT_DIR/$SLURM_ARRAY_TASK_ID");
    for task in 1..=2 {
        assert_eq!(read(&format!("{job}_{task}/stdout.log")), format!("task {task}"));
        let files = ALICE.run(&["ls", &format!("{FOLDER}/{job}_{task}/outputs")]).ok().text();
        assert_eq!(files, task.to_string());
    }
    let job = run(
        &["-n1", ":", "-n1"],
        "#K8S_BATCH=host\necho both; srun --het-group=0,1 sh -c 'echo $K8S_OUTPUT_DIR' | sort -u",
    );
    assert_eq!(read(&format!("{job}/stdout.log")), format!("both\n{FOLDER}/{job}/outputs"));
}

#[test]
fn what_the_user_says_of_output_holds() {
    let _site = Site::begin("");
    let folder = scratch("own");
    let job = run(&[&format!("--output={folder}/both")], "echo out; echo err >&2; ls -d $K8S_OUTPUT_DIR");
    let text = ALICE.run(&["cat", &format!("{folder}/both")]).ok().text();
    assert_eq!(text, format!("out\nerr\n{FOLDER}/{job}/outputs"));
    let files = ALICE.run(&["ls", &format!("{FOLDER}/{job}")]).ok().text();
    assert_eq!(files, "outputs");
    let job = run(&[&format!("--error={folder}/err")], "echo out; echo err >&2");
    assert_eq!(read(&format!("{job}/stdout.log")), "out");
    assert_eq!(ALICE.run(&["cat", &format!("{folder}/err")]).ok().text(), "err");
    // A job without a Pod is Slurm's alone.
    let plain = format!("{HEAD}cd {folder}; pwd; echo \"<$K8S_OUTPUT_DIR>\"\n");
    let job = ALICE.batch(&["sbatch", &format!("--chdir={folder}")], &plain).ok().text();
    assert_eq!(ALICE.run(&["cat", &format!("{folder}/slurm-{job}.out")]).ok().text(), format!("{folder}\n<>"));
    assert_ne!(ALICE.run(&["ls", "-d", &format!("{FOLDER}/{job}")]).code, Some(0));
    // As private as the user's files are.
    let argv = ["sh", "-c", "umask 077; exec sbatch --parsable"];
    let job = ALICE.run_with(&argv, script("touch $K8S_OUTPUT_DIR/file").as_bytes()).ok().text();
    assert!(e2e::accounting(&job).contains("COMPLETED|0:0"));
    let all = [&job, &format!("{job}/stdout.log"), &format!("{job}/outputs"), &format!("{job}/outputs/file")]
        .map(|path| look(path));
    assert_eq!(all, ["alice 700", "alice 600", "alice 700", "alice 600"]);
}

#[test]
fn a_folder_that_is_somebody_elses_is_not_used_and_told() {
    let _site = Site::begin("");
    let out = format!("{}/out", scratch("foreign"));
    let job = submit(&["--hold", &format!("--output={out}")], "echo \"<$K8S_OUTPUT_DIR>\"; exit 3");
    let _ = BOB.run(&["mkdir", "-m", "0777", &format!("{FOLDER}/{job}")]).ok();
    let _ = ALICE.run(&["scontrol", "release", &job]).ok();
    assert!(e2e::accounting(&job).contains("FAILED|3:0"));
    let text = ALICE.run(&["cat", &out]).ok().text();
    let told = format!("spank-k8s: the folder for results {FOLDER}/{job} belongs to user 1001, not to the job's\n<>");
    assert!(text.ends_with(&told), "{text}");
    assert_eq!(ROOT.run(&["ls", &format!("{FOLDER}/{job}")]).ok().text(), "");
    nodes_are_up();
}
