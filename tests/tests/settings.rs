//! Settings of Slurm that sites have and the testbed does not: an extern step, an interactive one, steps by slurmstepd.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::slurm::{Slurm, slurm};
use e2e::{
    ALICE, At, CTL, Changed, NODE1, NODE2, ROOT, accounting, alone, in_image, no_pod_of, nodes_are_up, scratch, until,
};

const HOSTS: &[At] = &[ROOT, CTL, NODE1, NODE2];

/// Lines more in slurm.conf on all hosts, for as long as it lives.
struct Settings(Vec<Changed>);

impl Settings {
    fn with(lines: &str) -> Self {
        let edit = |host: &At| Changed::edit(*host, "/etc/slurm/slurm.conf", |text| format!("{text}\n{lines}\n"));
        let settings = Self(HOSTS.iter().map(edit).collect());
        reconfigure();
        settings
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        self.0.clear();
        reconfigure();
    }
}

fn reconfigure() {
    // From 24.11 on slurmctld starts itself anew: a node's word that a job is over may be lost, and comes again a minute later.
    until("no job is about to end", || {
        let ending = ROOT.run(&["squeue", "-h", "-t", "CG"]).ok().text();
        ending.is_empty().then_some(()).ok_or(ending)
    });
    let _ = CTL.run(&["scontrol", "reconfigure"]);
    until("Slurm takes jobs", || {
        let ran = ALICE.run(&["srun", "-Q", "-N2", "--mem=50M", "true"]);
        (ran.code == Some(0)).then_some(()).ok_or_else(|| ran.errors())
    });
}

/// The job's steps, as sacct names them.
fn steps(job: &str) -> Vec<String> {
    let text = accounting(job);
    text.lines().filter_map(|line| Some(line.split('|').next()?.rsplit_once('.')?.1.to_owned())).collect()
}

fn sbatch(folder: &str, options: &[&str], script: &str) -> (String, String) {
    let out = format!("--output={folder}/out");
    let argv = ["sbatch", "--mem=100M", &out, &in_image("userland")];
    let job = ALICE.batch(&[&argv[..], options].concat(), script).ok().text();
    (job, ALICE.run(&["cat", &format!("{folder}/out")]).ok().text())
}

#[test]
fn an_extern_step_and_an_interactive_one_get_no_pod() {
    let _alone = alone();
    let _settings = Settings::with("PrologFlags=Contain\nLaunchParameters=use_interactive_step");
    let image = in_image("busybox");
    let ran = ALICE.run(&["srun", "-Q", "-N2", "--mem=100M", &image, "hostname"]).ok();
    assert!(ran.text().lines().all(|line| line.starts_with("slurm-job-")), "{}", ran.text());
    let (job, text) = sbatch(&scratch("contain"), &[], "#!/bin/bash\nhostname\n");
    assert_eq!(text, format!("slurm-job-{job}"));
    assert_eq!(steps(&job), ["batch", "extern"]);
    // A shell on the node, whose steps have the allocation's image.
    let typed = b"echo id=$SLURM_JOB_ID shell=$(hostname) step=$(srun hostname); exit\n";
    let salloc = format!("salloc -Q -w node1 --mem=100M {image}");
    let shown = ALICE.run_with(&["script", "-qec", &salloc, "/dev/null"], typed).ok().text();
    let id = shown.split("id=").find_map(|rest| rest.split_whitespace().next()?.parse::<u32>().ok());
    let job = id.unwrap_or_else(|| panic!("{shown}")).to_string();
    assert!(shown.contains(&format!("shell=node1 step=slurm-job-{job}-0-0")), "{shown}");
    assert_eq!(steps(&job), ["interactive", "extern", "0"]);
    no_pod_of(&job);
    nodes_are_up();
}

#[test]
fn steps_that_slurmstepd_makes_run_in_pods() {
    let _alone = alone();
    // --stepmgr came with 24.05.
    if slurm() < Slurm(24, 5) {
        let ran = ALICE.run(&["sbatch", "--stepmgr", "--wrap", "true"]);
        assert!(ran.errors().contains("unrecognized option '--stepmgr'"), "{}", ran.errors());
        return;
    }
    let _settings = Settings::with("PrologFlags=Contain\nSlurmctldParameters=enable_stepmgr");
    let script = "#!/bin/bash\nscontrol show job $SLURM_JOB_ID | grep -o StepMgrEnabled=Yes\nhostname\n\
                  srun hostname | sort\nsrun -n1 -N1 bash -c 'exit 3'\necho $?\n";
    let options = ["--stepmgr", "-N2", "--k8s-batch=host", "--error=/dev/null"];
    let (job, text) = sbatch(&scratch("stepmgr"), &options, script);
    assert_eq!(text, format!("StepMgrEnabled=Yes\nnode1\nslurm-job-{job}-0-0\nslurm-job-{job}-0-1\n3"));
    no_pod_of(&job);
    nodes_are_up();
}
