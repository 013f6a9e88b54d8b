//! A node that cannot make Pods never runs a job for one on the bare host: not without the plugin, not without the
//! package, not with a broken config; and it still runs all other jobs.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{
    ALICE, Away, Changed, Job, NODE1, Ran, accounting, alone, in_image, nodes_are_up, scratch, start_again, until,
};

const CONFIG: &str = "/etc/slurm/k8s.toml";
const PLUGIN: &str = "/etc/slurm/plugstack.conf.d/k8s.conf";
const AGENT: &str = "/usr/libexec/slurm-k8s/slurm-k8s-agent";
const NOT_LOADED: &str = "spank-k8s: the job is to run in a Pod, but Slurm on node1 has not loaded spank-k8s";

/// What keeps node1 from making Pods, for as long as it lives; and the exit code and words of a job that is not run.
struct Broken {
    code: i32,
    words: &'static str,
    _held: (Vec<Away>, Option<Changed>),
}

impl Broken {
    fn plugin() -> Self {
        Self { code: 120, words: NOT_LOADED, _held: (vec![Away::take(NODE1, PLUGIN)], None) }
    }

    /// The kernel has nothing to start, and Slurm names it.
    fn package() -> Self {
        let away = [PLUGIN, AGENT].map(|path| Away::take(NODE1, path));
        Self { code: 2, words: AGENT, _held: (away.into(), None) }
    }

    fn config() -> Self {
        let changed = Changed::edit(NODE1, CONFIG, |text| text + "[kubernetes]\nnamespce = 'x'\n");
        Self { code: 120, words: "there is no key kubernetes.namespce", _held: (Vec::new(), Some(changed)) }
    }
}

/// Leaves a trace on the shared file system, wherever it runs.
fn trace(folder: &str) -> String {
    format!("touch {folder}/ran")
}

fn nothing_ran(folder: &str) {
    let found = ALICE.run(&["ls", folder]).ok().text();
    assert!(!found.lines().any(|name| name == "ran"), "it ran on the bare node: {found}");
    nodes_are_up();
}

fn batch(folder: &str, options: &[&str], script: &str) -> (Ran, String) {
    let to = format!("--output={folder}/out");
    let image = in_image("userland");
    let argv = [&["sbatch", "--no-requeue", "-w", "node1", &to, &image], options].concat();
    let ran = ALICE.batch(&argv, script);
    (ran, ALICE.run(&["cat", &format!("{folder}/out")]).text())
}

fn each(mut test: impl FnMut(&Broken)) {
    for broken in [Broken::plugin, Broken::package, Broken::config] {
        test(&broken());
    }
}

#[test]
fn a_batch_script_is_not_run_and_says_why() {
    let _alone = alone();
    each(|broken| {
        let Broken { code, words, .. } = *broken;
        for place in ["--k8s-batch=pod", "--k8s-batch=host"] {
            let folder = scratch("honour");
            let (ran, said) = batch(&folder, &[place], &format!("#!/bin/bash\n{}\n", trace(&folder)));
            assert_eq!(ran.code, Some(code), "{place}: {}\n{said}", ran.errors());
            assert!(said.contains(words), "{place}: {said}");
            nothing_ran(&folder);
        }
    });
}

#[test]
fn a_step_of_srun_is_not_run_and_says_why() {
    let _alone = alone();
    each(|broken| {
        let Broken { code, words, .. } = *broken;
        let folder = scratch("honour");
        for more in [&["--export=ALL"][..], &["--export=NONE"], &["--export=A=1"]] {
            let (image, trace) = (in_image("userland"), trace(&folder));
            let argv = [&["srun", "-w", "node1", &image], more, &["/bin/sh", "-c", &trace]].concat();
            let ran = ALICE.run(&argv);
            assert_eq!(ran.code, Some(code), "{}", ran.errors());
            assert!(ran.errors().contains(words), "{}", ran.errors());
        }
        nothing_ran(&folder);
    });
}

#[test]
fn programs_of_multi_prog_are_not_run() {
    let _alone = alone();
    each(|broken| {
        let folder = scratch("honour");
        let file = format!("{folder}/programs");
        let _ = ALICE.run_with(&["tee", &file], format!("* /bin/touch {folder}/ran\n").as_bytes()).ok();
        let ran = ALICE.run(&["srun", "-w", "node1", &in_image("userland"), "--multi-prog", &file]);
        assert_eq!(ran.code, Some(broken.code), "{}", ran.errors());
        assert!(ran.errors().contains(broken.words), "{}", ran.errors());
        nothing_ran(&folder);
    });
}

#[test]
fn a_step_in_an_allocation_is_not_run() {
    let _alone = alone();
    each(|broken| {
        let Broken { code, words, .. } = *broken;
        let folder = scratch("honour");
        let argv = ["salloc", "-Q", "-w", "node1", &in_image("userland"), "srun", "/bin/sh", "-c", &trace(&folder)];
        let ran = ALICE.run(&argv);
        assert_eq!(ran.code, Some(code), "{}", ran.errors());
        assert!(ran.errors().contains(words), "{}", ran.errors());
        nothing_ran(&folder);
    });
}

#[test]
fn no_task_of_an_array_is_run() {
    let _alone = alone();
    let broken = Broken::plugin();
    let folder = scratch("honour");
    let to = format!("--output={folder}/out-%a");
    let image = in_image("userland");
    let argv = ["sbatch", "--no-requeue", "-w", "node1", "--mem=100M", "--array=1-3", &to, &image];
    let ran = ALICE.batch(&argv, &format!("#!/bin/bash\n{}\n", trace(&folder)));
    assert_eq!(ran.code, Some(broken.code), "{}", ran.errors());
    for task in 1..=3 {
        let said = ALICE.run(&["cat", &format!("{folder}/out-{task}")]).ok().text();
        assert!(said.contains(NOT_LOADED), "{said}");
    }
    nothing_ran(&folder);
}

#[test]
fn a_job_that_comes_back_is_not_run_either() {
    let _alone = alone();
    let job = Job::of(
        "node1",
        &["--requeue", "--open-mode=append"],
        "#!/bin/bash\ntest -e /.slurm-k8s/agent && echo in a Pod || echo bare\nuntil test -e go; do sleep 0.1; done\n",
    )
    .running();
    assert_eq!(String::from_utf8_lossy(&job.output()), "in a Pod\n");
    let broken = Broken::plugin();
    let _ = ALICE.run(&["scontrol", "requeue", &job.id]).ok();
    start_again(&job.id);
    until("the second run says why it is none", || {
        let said = job.errors();
        if said.contains(NOT_LOADED) { Ok(()) } else { Err(said) }
    });
    let state = accounting(&job.id);
    assert!(state.contains(&format!("FAILED|{}:0", broken.code)), "{state}");
    assert_eq!(String::from_utf8_lossy(&job.output()), "in a Pod\n");
    nodes_are_up();
}

#[test]
fn other_jobs_run_there_as_always() {
    let _alone = alone();
    each(|_| {
        assert_eq!(ALICE.run(&["srun", "-w", "node1", "hostname"]).ok().text(), "node1");
        let folder = scratch("honour");
        let to = format!("--output={folder}/out");
        let argv = ["sbatch", "-w", "node1", &to, "--wrap", "hostname; srun hostname"];
        let _ = ALICE.batch(&argv, "").ok();
        assert_eq!(ALICE.run(&["cat", &format!("{folder}/out")]).ok().text(), "node1\nnode1");
        let none = ALICE.run(&["srun", "-w", "node1", "--k8s-image=none", "hostname"]);
        assert_eq!(none.text(), "node1", "{}", none.errors());
    });
}

#[test]
fn a_command_is_called_as_it_was_typed_and_has_no_variable_of_ours() {
    // The shim stood in its place on the way.
    let _alone = alone();
    let image = in_image("userland");
    let line = "tr '\\0' ' ' < /proc/self/cmdline; echo; env | grep -c -e SLURM_SPANK_K8S -e K8S_SHIM";
    let ran = ALICE.run(&["srun", "-Q", &image, "bash", "-c", line]);
    let text = ran.text();
    assert!(text.ends_with("\n0"), "{text}\n{}", ran.errors());
    let plain = ALICE.run(&["srun", "-Q", "sh", "-c", "env | grep -c K8S"]);
    assert_eq!(plain.text(), "0");
    // An allocation's own shell on the node is put back, too.
    let interactive = ["salloc", "-Q", "-w", "node1", &image, "srun", "-Q", "--k8s-image=none", "/bin/echo", "bare"];
    assert_eq!(ALICE.run(&interactive).ok().text(), "bare");
}
