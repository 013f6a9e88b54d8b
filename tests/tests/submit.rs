//! What slurmctld makes of a job before it is one: `#K8S_` lines, refusals, and every way in.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::submit::{IN_POD, output, refused, sbatch, script};
use e2e::{ALICE, ROOT, accounting, image, in_image, scratch, until};

#[test]
fn the_guides_own_test_job_runs_in_the_pod() {
    // As section 6.2 has it, but for the image: alpine has no bash either.
    let job = format!(
        "#!/bin/bash\n#SBATCH --job-name=test\n#SBATCH --cpus-per-task=1\n#SBATCH --mem=1G\n#SBATCH --time=00:05:00\n\
         #SBATCH --output=/mnt/nas/results/test-%j.out\n#K8S_IMAGE={}\n\n\
         echo \"Test started at $(date)\"\nsleep 30\necho \"Test completed at $(date)\"\n",
        image("userland")
    );
    let folder = scratch("guide");
    let _ = ALICE.run_with(&["tee", &format!("{folder}/test_job.sh")], job.as_bytes()).ok();
    let line = format!("cd {folder} && sbatch test_job.sh | grep -oP '\\d+'");
    let id = ALICE.run(&["bash", "-c", &line]).ok().text();
    let selector = format!("job-id={id}");
    until("kubectl shows the job's Pod", || {
        let pods = ALICE.run(&["kubectl", "get", "pods", "-l", &selector, "--no-headers"]).ok().text();
        if pods.contains("Running") { Ok(()) } else { Err(pods) }
    });
    assert!(accounting(&id).starts_with(&format!("{id}|COMPLETED|0:0")));
    let text = ALICE.run(&["cat", &format!("/mnt/nas/results/test-{id}.out")]).ok().text();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("Test started at "), "{text}");
    assert!(lines[1].starts_with("Test completed at "), "{text}");
}

#[test]
fn each_refusal_names_the_line_and_the_mend() {
    for (lines, cause, hint) in [
        ("#K8S_WROKDIR=/data", "line 4: there is no #K8S_WROKDIR", "did you mean #K8S_WORKDIR?"),
        (
            "#K8S_WORKDIR=data",
            "line 4: #K8S_WORKDIR: \"data\" is not an absolute path",
            "write the whole path as the container has it, for example #K8S_WORKDIR=/data",
        ),
        (
            "#K8S_MOUNTS=/etc:/x",
            "line 4: #K8S_MOUNTS: /etc is not in a folder that this site lets users mount",
            "allowed: /home, /mnt/nas",
        ),
        (
            "#K8S_NAMESPACE=kube-system",
            "line 4: #K8S_NAMESPACE: kube-system is not among the namespaces that this site allows",
            "leave it out: no other namespace is allowed",
        ),
        (
            "#K8S_PRIORITY_CLASS=high",
            "line 4: #K8S_PRIORITY_CLASS: high is not among the classes that this site allows",
            "leave it out: no class is allowed",
        ),
        (
            "#K8S_NETWORK=host",
            "line 4: #K8S_NETWORK: this site does not allow the node's network",
            "leave #K8S_NETWORK=host out, or ask the site's admin for policy.host_network",
        ),
        (
            "#K8S_PROFILE=gpu1",
            "line 4: #K8S_PROFILE: there is no profile \"gpu1\" here",
            "leave it out: this site has no profiles",
        ),
    ] {
        refused(&sbatch(ALICE, &[], &script(lines)), "sbatch", cause, hint);
    }
    let bad = "#!/bin/bash\n#K8S_IMAGE=docker://busybox\ntrue\n";
    refused(
        &sbatch(ALICE, &[], bad),
        "sbatch",
        "line 2: #K8S_IMAGE: \"docker://busybox\" is not an image reference: Pyxis' spelling, with a scheme",
        "write busybox",
    );
    refused(
        &sbatch(ROOT, &[], &script("")),
        "sbatch",
        "root's jobs may not run in Pods here",
        "submit as an ordinary user, or have the admin set policy.root",
    );
    // An option that means nothing without an image, which the plugin in sbatch leaves to slurmctld.
    refused(
        &sbatch(ALICE, &["--k8s-io=direct"], "#!/bin/bash\ntrue\n"),
        "sbatch",
        "--k8s-io needs --k8s-image",
        "add --k8s-image=IMAGE, or leave --k8s-io out",
    );
}

#[test]
fn a_refusal_meets_every_way_in() {
    let cause = "line 3: #K8S_NETWORK: this site does not allow the node's network";
    let hint = "leave #K8S_NETWORK=host out, or ask the site's admin for policy.host_network";
    let bad = format!("#!/bin/bash\n#K8S_IMAGE={}\n#K8S_NETWORK=host\ntrue\n", image("busybox"));
    let file = format!("{}/job.sh", scratch("submit"));
    let _ = ALICE.run_with(&["tee", &file], bad.as_bytes()).ok();
    refused(&ALICE.run(&["sbatch", "--parsable", &file]), "sbatch", cause, hint);
    refused(&sbatch(ALICE, &["--array=1-3"], &bad), "sbatch", cause, hint);
    refused(&sbatch(ALICE, &["--export=NONE"], &bad), "sbatch", cause, hint);
    let ran = sbatch(ALICE, &["--test-only"], &bad);
    assert!(ran.code != Some(0) && ran.errors().contains(cause), "{}", ran.errors());
    // Slurm names the component in front of each line.
    let ran = sbatch(ALICE, &["-n1", ":", "-n1"], &bad);
    let line = format!("sbatch: error: 0: spank-k8s: {cause}");
    assert!(ran.code != Some(0) && ran.errors().lines().any(|said| said == line), "{}", ran.errors());
}

#[test]
fn every_way_in_takes_the_image_from_the_script() {
    assert_eq!(output(&[], &script("")), "in a Pod");
    assert_eq!(output(&["--export=NONE"], &script("")), "in a Pod");
    let file = format!("{}/out", scratch("submit"));
    let to = format!("--output={file}");
    let wrapped = format!("#K8S_IMAGE={}\n{IN_POD}", image("busybox"));
    let _ = ALICE.batch(&["sbatch", &to, "--wrap", &wrapped], "").ok();
    assert_eq!(ALICE.run(&["cat", &file]).ok().text(), "in a Pod");
    let folder = scratch("submit");
    let to = format!("--output={folder}/%a");
    let _ = ALICE.batch(&["sbatch", "--array=1-2", &to], &script("")).ok();
    assert_eq!(ALICE.run(&["sh", "-c", &format!("cat {folder}/1 {folder}/2")]).ok().text(), "in a Pod\nin a Pod");
    // Het: the batch script is the first component's, and the lines hold for the whole.
    assert_eq!(output(&["-n1", ":", "-n1"], &script("")), "in a Pod");
}

#[test]
fn command_line_beats_environment_beats_script() {
    let asks =
        "#!/bin/bash\n#K8S_IMAGE=nas-hub.local:5407/not-there:1\ntest -e /.slurm-k8s/agent; echo $? $SLURM_K8S_IMAGE\n";
    let good = image("userland");
    let expected = format!("0 {good}");
    assert_eq!(output(&[&format!("--k8s-image={good}")], asks), expected);
    let file = format!("{}/out", scratch("submit"));
    let (variable, to) = (format!("SLURM_K8S_IMAGE={good}"), format!("--output={file}"));
    let _ = ALICE.batch(&["env", &variable, "sbatch", &to], asks).ok();
    assert_eq!(ALICE.run(&["cat", &file]).ok().text(), expected);
    assert_eq!(output(&["--k8s-image=none"], asks), "1 none");
}

#[test]
fn the_steps_of_a_script_on_the_host_have_what_its_lines_say() {
    let image = image("busybox");
    let script = format!(
        "#!/bin/bash\n#K8S_IMAGE={image}\n#K8S_BATCH=host\n#K8S_WORKDIR=/bin\n\
         test -e /.slurm-k8s || echo on the node\nsrun -n1 sh -c '{IN_POD}; pwd'\n"
    );
    for export in ["--export=ALL", "--export=NONE"] {
        assert_eq!(output(&[export], &script), "on the node\nin a Pod\n/bin");
    }
}

#[test]
fn a_job_that_a_job_submits_is_a_job_of_its_own() {
    let folder = scratch("chain");
    let [outer, other] = ["userland", "busybox"].map(image);
    for (name, line) in [("plain", String::new()), ("other", format!("#K8S_IMAGE={other}"))] {
        let text = format!("#!/bin/sh\n{line}\n{IN_POD} || echo on the host\necho \"<$SLURM_K8S_IMAGE>\"\n");
        let _ = ALICE.run_with(&["tee", &format!("{folder}/{name}.sh")], text.as_bytes()).ok();
    }
    let run = |before: &[&str], options: &[&str], lines: &str| {
        let body = format!(
            "#!/bin/bash\n{lines}\ncd {folder}\n\
             for job in plain other; do sbatch --parsable --mem=100M -o $job $job.sh; done\n"
        );
        let to = format!("--output={folder}/jobs");
        let _ = ALICE.batch(&[before, &["sbatch", "--mem=100M", &to], options].concat(), &body).ok();
        let jobs = ALICE.run(&["cat", &format!("{folder}/jobs")]).ok().text();
        let ends: Vec<_> = jobs.lines().map(accounting).collect();
        assert!(ends.len() == 2 && ends.iter().all(|end| end.contains("COMPLETED")), "{jobs}\n{ends:?}");
        ALICE.run(&["sh", "-c", &format!("cat {folder}/plain {folder}/other")]).ok().text()
    };
    let apart = format!("on the host\n<>\nin a Pod\n<{other}>");
    let option = format!("--k8s-image={outer}");
    assert_eq!(run(&[], &[&option, "--k8s-batch=host"], ""), apart);
    assert_eq!(run(&[], &[], &format!("#K8S_IMAGE={outer}\n#K8S_BATCH=host")), apart);
    // The user's environment goes on, and what it says for all jobs holds for these.
    let variable = format!("SLURM_K8S_IMAGE={outer}");
    let both = format!("in a Pod\n<{outer}>\nin a Pod\n<{outer}>");
    assert_eq!(run(&["env", &variable], &["--k8s-batch=host"], ""), both);
}

#[test]
fn the_job_sees_its_script_as_it_was_written() {
    let own = format!("#!/bin/bash -e\n#K8S_IMAGE={}\n# \u{e9}\ncat \"$0\"\n", image("userland"));
    assert_eq!(output(&[], &own), own.trim());
    let host = own.replace("# \u{e9}", "#K8S_BATCH=host");
    assert_eq!(output(&[], &host), host.trim());
    // Who asks Slurm for it gets one that can be submitted again, with the option or without.
    let id = sbatch(ALICE, &["--hold", "--output=/dev/null"], &own).ok().text();
    let written = ALICE.run(&["scontrol", "write", "batch_script", &id, "-"]).ok().text();
    let _ = ALICE.run(&["scancel", &id]).ok();
    let mut lines = written.lines();
    let first = "#!/usr/libexec/slurm-k8s/slurm-k8s-agent script /bin/bash -e";
    assert_eq!(lines.next(), Some(first), "{written}");
    assert_eq!(lines.collect::<Vec<_>>(), own.lines().skip(1).collect::<Vec<_>>());
    assert_eq!(output(&[], &(written.clone() + "\n")), own.trim());
    assert_eq!(output(&["--k8s-image=none"], &(written + "\n")), own.trim());
}

#[test]
fn what_slurm_tells_of_a_job_is_what_its_user_wrote() {
    let image = in_image("userland");
    let script = "#!/bin/bash -e\n#SBATCH --mem=100M\necho \"$0\" \"$@\"\nhead -n1 \"$0\"\n";
    let told = |option: &str| {
        let folder = scratch("view");
        let _ = ALICE.run_with(&["tee", &format!("{folder}/train.sh")], script.as_bytes()).ok();
        let line = format!("cd {folder} && sbatch --parsable --output=out {option} train.sh --epochs 3");
        let id = ALICE.run(&["bash", "-c", &line]).ok().text();
        assert!(accounting(&id).starts_with(&format!("{id}|COMPLETED|0:0")));
        let line = format!(
            "cd {folder} && cat out && scontrol -o show job {id} | grep -oE '(JobName|Command)=\\S+' && \
             sacct -nPX -j {id} --format=JobName,SubmitLine && sacct --batch-script -j {id}"
        );
        // slurmdbd may have a job's end before its beginning, and its script later still.
        let mut text = String::new();
        until("sacct has the job's line and script", || {
            text = ALICE.run(&["bash", "-c", &line]).ok().text();
            let whole = text.contains("|sbatch ") && !text.ends_with("\nNONE");
            whole.then_some(()).ok_or_else(|| text.clone())
        });
        // slurmd's folder of a job has its number with zeros before it.
        text.replace(&id, "ID").replace(&folder, "FOLDER").replace(&format!("{option} "), "")
    };
    // The option comes last, so that a stored script is not taken for the other's.
    let plain = told("--comment=plain");
    let lines =
        ["train.sh|sbatch --parsable --output=out train.sh --epochs 3", "JobName=train.sh", "#SBATCH --mem=100M"];
    assert!(lines.iter().all(|line| plain.lines().any(|told| told == *line)), "{plain}");
    let (before, stored) = plain.split_once("Batch Script for").unwrap();
    let marked = stored.replacen("#!/bin/bash", "#!/usr/libexec/slurm-k8s/slurm-k8s-agent script /bin/bash", 1);
    assert_eq!(told(&image), format!("{before}Batch Script for{marked}"));
}

#[test]
fn a_job_without_a_word_for_us_is_as_plain_slurm_has_it() {
    let plain = "#!/bin/bash\n# no image\nenv | grep -c K8S; head -n1 \"$0\"\ntrue\n";
    assert_eq!(output(&[], plain), "0\n#!/bin/bash");
}
