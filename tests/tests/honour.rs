//! A node that cannot make Pods never runs a job for one on the bare host: not without the plugin, not without the
//! package, not with a broken config; and it still runs all other jobs.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::thread;

use e2e::{
    ALICE, Away, Changed, Job, NODE2, Ran, accounting, alone, in_image, nodes_are_up, scratch, start_again, until,
};

const CONFIG: &str = "/etc/slurm/k8s.toml";
const PLUGIN: &str = "/etc/slurm/plugstack.conf.d/k8s.conf";
const AGENT: &str = "/usr/libexec/slurm-k8s/slurm-k8s-agent";
const NOT_LOADED: &str = "spank-k8s: the job is to run in a Pod, but Slurm on node2 has not loaded spank-k8s";

/// What keeps node2 from making Pods, for as long as it lives; and the exit code and words of a job that is not run.
struct Broken {
    code: i32,
    words: &'static str,
    _held: (Vec<Away>, Option<Changed>),
}

impl Broken {
    fn plugin() -> Self {
        Self { code: 120, words: NOT_LOADED, _held: (vec![Away::take(NODE2, PLUGIN)], None) }
    }

    /// The kernel has nothing to start, and Slurm names it.
    fn package() -> Self {
        let away = [PLUGIN, AGENT].map(|path| Away::take(NODE2, path));
        Self { code: 2, words: AGENT, _held: (away.into(), None) }
    }

    fn config() -> Self {
        let changed = Changed::edit(NODE2, CONFIG, |text| text + "[kubernetes]\nnamespce = 'x'\n");
        Self { code: 120, words: "there is no key kubernetes.namespce", _held: (Vec::new(), Some(changed)) }
    }
}

/// One of the ways that lead to node2. What runs leaves a file of the way's name, on the file system that all share.
struct Way {
    name: &'static str,
    /// How many processes it starts on node2.
    tasks: usize,
    /// Where they run if nothing is broken.
    place: &'static str,
    go: fn(&str) -> Ran,
}

const fn way(name: &'static str, tasks: usize, place: &'static str, go: fn(&str) -> Ran) -> Way {
    Way { name, tasks, place, go }
}

const WAYS: &[Way] = &[
    way("srun", 1, "pod", |trace| srun(&[], &["/bin/sh", "-c", trace])),
    way("export-none", 1, "pod", |trace| srun(&["--export=NONE"], &["/bin/sh", "-c", trace])),
    way("export-one", 1, "pod", |trace| srun(&["--export=A=1"], &["/bin/sh", "-c", trace])),
    way("multi-prog", 1, "pod", |trace| {
        // Slurm's reader of such files has no quotes for all of this.
        let [file, program] = ["programs", "program"].map(|name| format!("{}/{name}", scratch("honour")));
        let _ = ALICE.run_with(&["tee", &program], trace.as_bytes()).ok();
        let _ = ALICE.run_with(&["tee", &file], format!("* /bin/sh {program}\n").as_bytes()).ok();
        srun(&["--multi-prog"], &[&file])
    }),
    way("allocation", 1, "pod", |trace| {
        ALICE.run(&["salloc", "-Q", "--mem=100M", "-w", "node2", &in_image("userland"), "srun", "/bin/sh", "-c", trace])
    }),
    way("batch", 1, "pod", |trace| batch(&["-w", "node2"], trace)),
    way("array", 3, "pod", |trace| batch(&["-w", "node2", "--array=1-3"], trace)),
    way("batch-on-host", 1, "bare", |trace| batch(&["-w", "node2", "--k8s-batch=host"], trace)),
    // The script is on node1, which is as it should be.
    way("step-of-host", 1, "pod", |trace| {
        let step = format!("srun -N1 -n1 -w node2 /bin/sh -c '{trace}'");
        batch(&["-N2", "--ntasks-per-node=1", "--k8s-batch=host"], &step)
    }),
];

fn srun(options: &[&str], command: &[&str]) -> Ran {
    ALICE.run(&[&["srun", "-n1", "--mem=100M", "-w", "node2", &in_image("userland")], options, command].concat())
}

/// What it writes is given as its errors.
fn batch(options: &[&str], lines: &str) -> Ran {
    let out = format!("{}/out", scratch("honour"));
    let (to, image) = (format!("--output={out}"), in_image("userland"));
    let argv = [&["sbatch", "--no-requeue", "--mem=100M", "--open-mode=append", &to, &image], options].concat();
    let ran = ALICE.batch(&argv, &format!("#!/bin/bash\n{lines}\n"));
    assert!(!ran.stdout.is_empty(), "not submitted: {}", ran.errors());
    Ran { stderr: ALICE.run(&["cat", &out]).stdout, ..ran }
}

/// Goes all ways at once; `check` has each, how it ended and what it has left.
fn go(check: impl Fn(&Way, &Ran, &str) + Sync) {
    let folder = scratch("honour");
    thread::scope(|scope| {
        for way in WAYS {
            let file = format!("{folder}/{}", way.name);
            let check = &check;
            scope.spawn(move || {
                let trace = format!("test -e /.slurm-k8s/agent && echo pod >> {file} || echo bare >> {file}");
                let ran = (way.go)(&trace);
                check(way, &ran, &ALICE.run(&["cat", &file]).text());
            });
        }
    });
}

/// All of it in one broken state: that what it takes to come there is done once.
fn nothing_runs(broken: fn() -> Broken) {
    let _alone = alone();
    let line = "test -e /.slurm-k8s/agent && echo pod || echo bare; until test -e go; do sleep 0.1; done";
    let options = ["--requeue", "--open-mode=append"];
    let again = Job::of("node2", &options, &format!("#!/bin/bash\n{line}\n")).running();
    assert_eq!(String::from_utf8_lossy(&again.output()), "pod\n");
    let broken = broken();
    let Broken { code, words, .. } = broken;
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = ALICE.run(&["scontrol", "requeue", &again.id]).ok();
            start_again(&again.id);
            until("the second run says why it is none", || {
                let said = again.errors();
                if said.contains(words) { Ok(()) } else { Err(said) }
            });
            let state = accounting(&again.id);
            assert!(state.contains(&format!("FAILED|{code}:0")), "{state}");
            assert_eq!(String::from_utf8_lossy(&again.output()), "pod\n");
        });
        go(|way, ran, left| {
            let (name, errors) = (way.name, ran.errors());
            assert_eq!(ran.code, Some(code), "{name}: {errors}");
            assert!(errors.matches(words).count() >= way.tasks, "{name}: {errors}");
            assert_eq!(left, "", "{name} ran on the node");
        });
    });
    other_jobs_run();
    nodes_are_up();
}

fn other_jobs_run() {
    assert_eq!(ALICE.run(&["srun", "-w", "node2", "hostname"]).ok().text(), "node2");
    let to = format!("--output={}/out", scratch("honour"));
    let _ = ALICE.batch(&["sbatch", "-w", "node2", &to, "--wrap", "hostname; srun hostname"], "").ok();
    assert_eq!(ALICE.run(&["cat", to.trim_start_matches("--output=")]).ok().text(), "node2\nnode2");
    let none = ALICE.run(&["srun", "-w", "node2", "--k8s-image=none", "hostname"]);
    assert_eq!(none.text(), "node2", "{}", none.errors());
}

#[test]
fn a_node_whose_plugstack_lacks_us_runs_no_job_for_a_pod_and_says_why() {
    nothing_runs(Broken::plugin);
}

#[test]
fn a_node_without_our_package_runs_no_job_for_a_pod_and_says_why() {
    nothing_runs(Broken::package);
}

#[test]
fn a_node_with_a_broken_config_runs_no_job_for_a_pod_and_says_why() {
    nothing_runs(Broken::config);
}

#[test]
fn on_a_good_node_each_of_these_ways_ends_where_it_should() {
    let _alone = alone();
    go(|way, ran, left| {
        assert_eq!(ran.code, Some(0), "{}: {}", way.name, ran.errors());
        assert_eq!(left, vec![way.place; way.tasks].join("\n"), "{}", way.name);
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
    let interactive = ["salloc", "-Q", "-w", "node2", &image, "srun", "-Q", "--k8s-image=none", "/bin/echo", "bare"];
    assert_eq!(ALICE.run(&interactive).ok().text(), "bare");
}
