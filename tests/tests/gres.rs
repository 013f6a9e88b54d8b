//! GPUs: exactly those that Slurm chose, by identity or by number, and none for who asked for none. There are no GPUs
//! here: Slurm counts links to /dev/null, Kubernetes an extended resource, and the variables are what a GPU runtime reads.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::{ALICE, Changed, Job, NODE1, Ran, alone, in_image, no_pod_of, scratch, together, until};

const CONFIG: &str = "/etc/slurm/k8s.toml";
/// What the container was started with: the GPU runtime's word.
const RUNTIME: &str = "tr '\\0' '\\n' < /proc/1/environ | grep ^NVIDIA_VISIBLE_DEVICES= || echo not set";

fn on_node1(options: &[&str], line: &str) -> Ran {
    let srun = ["srun", "-Q", "-w", "node1", "-N1", "--mem=100M", &in_image("userland")];
    ALICE.run(&[&srun[..], options, &["bash", "-c", line]].concat())
}

/// A job that has node1's GPU 0.
struct First(String);

impl First {
    fn takes_gpu_0() -> Self {
        let argv = ["sbatch", "--parsable", "-w", "node1", "-n1", "--mem=50M", "--gres=gpu:1", "--output=/dev/null"];
        let job = Self(ALICE.run(&[&argv[..], &["--wrap", "sleep 100"]].concat()).ok().text());
        until("the first GPU is taken", || {
            let state = ALICE.run(&["squeue", "-h", "-j", &job.0, "-o", "%T"]).text();
            (state == "RUNNING").then_some(()).ok_or(state)
        });
        job
    }
}

impl Drop for First {
    fn drop(&mut self) {
        let _ = ALICE.run(&["scancel", &self.0]);
    }
}

#[test]
fn the_container_gets_the_gpus_that_slurm_chose() {
    let _alone = alone();
    let _first = First::takes_gpu_0();
    let line = format!("{RUNTIME}; echo $SLURM_STEP_GPUS $CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES");
    let ran = on_node1(&["--gres=gpu:2"], &line).ok();
    assert_eq!(ran.text(), "NVIDIA_VISIBLE_DEVICES=1,2\n1,2 0,1 1,2");
}

#[test]
fn each_task_sees_its_own_by_the_containers_numbers() {
    let _alone = alone();
    let line = "echo $SLURM_PROCID $SLURM_STEP_GPUS $CUDA_VISIBLE_DEVICES";
    let tasks = |options: &[&str]| {
        let mut lines: Vec<_> = on_node1(options, line).ok().text().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let first = First::takes_gpu_0();
    let masks = ["-n2", "--overcommit", "--gres=gpu:3", "--gpu-bind=mask_gpu:0x8,0x6"];
    assert_eq!(tasks(&masks), ["0 3 2", "1 1,2 0,1"]);
    drop(first);
    assert_eq!(tasks(&["-n2", "--gpus-per-task=1"]), ["0 0 0", "1 1 1"]);
    assert_eq!(tasks(&["-n2", "--gres=gpu:2", "--gpu-bind=map_gpu:1,0"]), ["0 1 1", "1 0 0"]);
}

#[test]
fn a_batch_script_has_its_jobs_gpus() {
    let _alone = alone();
    let out = format!("{}/out", scratch("gpus"));
    let argv = ["sbatch", "-w", "node1", "--mem=100M", "--gres=gpu:2", "-o", &out, &in_image("userland")];
    let script = format!("#!/bin/bash\n{RUNTIME}\necho $CUDA_VISIBLE_DEVICES\n");
    let _ = ALICE.batch(&argv, &script).ok();
    assert_eq!(ALICE.run(&["cat", &out]).ok().text(), "NVIDIA_VISIBLE_DEVICES=0,1\n0,1");
}

#[test]
fn who_asks_for_none_gets_none() {
    let _together = together();
    assert_eq!(on_node1(&[], RUNTIME).ok().text(), "NVIDIA_VISIBLE_DEVICES=void");
    assert_eq!(on_node1(&["--k8s-env=NVIDIA_VISIBLE_DEVICES=all"], RUNTIME).ok().text(), "NVIDIA_VISIBLE_DEVICES=void");
    let forged = format!(
        "SLURM_STEP_GPUS=0,1 SLURM_JOB_GPUS=0 CUDA_VISIBLE_DEVICES=GPU-1 NVIDIA_VISIBLE_DEVICES=all \
         srun -Q -w node1 --mem=100M {} bash -c \"{RUNTIME}\"",
        in_image("userland")
    );
    assert_eq!(ALICE.run(&["bash", "-c", &forged]).ok().text(), "NVIDIA_VISIBLE_DEVICES=void");
    // This image's own says "all".
    let ran = ALICE.run(&["srun", "-Q", &in_image("distroless"), "/app", "env"]).ok();
    assert!(ran.text().lines().any(|line| line == "NVIDIA_VISIBLE_DEVICES=void"), "{}", ran.text());
}

/// What the container of a script with these options was started with, and its Pod's limits and requests of a resource.
fn booked(options: &[&str], resource: &str) -> (String, [String; 2]) {
    let script = format!("#!/bin/bash\n{RUNTIME}\nuntil [ -e go ]; do sleep 0.1; done\n");
    let job = Job::of("node1", options, &script).running();
    let resource = resource.replace('.', "\\.");
    let booked = ["limits", "requests"].map(|kind| {
        let path = format!("jsonpath={{.spec.containers[0].resources.{kind}['{resource}']}}");
        ALICE.run(&["kubectl", "get", "pod", &format!("slurm-job-{}", job.id), "-o", &path]).ok().text()
    });
    job.release();
    no_pod_of(&job.id);
    (String::from_utf8(job.output()).unwrap().trim().to_owned(), booked)
}

#[test]
fn a_device_plugin_gets_the_number() {
    let _alone = alone();
    let _changed = Changed::edit(NODE1, CONFIG, |text| text + "[gres]\ngpu = 'nvidia.com/gpu'\n");
    let (runtime, counts) = booked(&["--gres=gpu:3"], "nvidia.com/gpu");
    // The plugin's to set.
    assert_eq!((runtime.as_str(), counts.each_ref().map(String::as_str)), ("not set", ["3", "3"]));
    assert_eq!(on_node1(&[], RUNTIME).ok().text(), "NVIDIA_VISIBLE_DEVICES=void");
}

#[test]
fn network_cards_are_asked_for_by_number() {
    let _alone = alone();
    let _changed = Changed::edit(NODE1, CONFIG, |text| text + "[gres]\nnic = 'example.com/nic'\n");
    for (options, count) in
        [(&["--gres=nic:2"][..], "2"), (&["--gres=gpu:1,nic:1"], "1"), (&["--export=ALL,SLURM_JOB_NICS=mlx5_0"], "")]
    {
        assert_eq!(booked(options, "example.com/nic").1, [count, count], "{options:?}");
    }
}

#[test]
fn another_runtime_behind_ours_reads_the_gpus() {
    const NEXT: &str = "/etc/slurm/k8s-next-runtime";
    const PROGRAM: &str = "/usr/local/bin/stand-in-runtime";
    const CALLS: &str = "/run/stand-in-runtime.calls";
    struct Gone;
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = NODE1.run(&["rm", "-f", NEXT, PROGRAM, CALLS]);
        }
    }
    let _alone = alone();
    let _gone = Gone;
    // As nvidia-container-runtime does it: on `create` it reads the container's environment, then runc has its turn.
    let program = format!(
        "#!/bin/sh\nfor word; do [ \"$last\" = --bundle ] && grep -o '\"NVIDIA_VISIBLE_DEVICES=[^\"]*\"' \"$word/config.json\" >> {CALLS}; last=$word; done\nexec runc \"$@\"\n"
    );
    let _ = NODE1.run_with(&["tee", PROGRAM], program.as_bytes()).ok();
    let _ = NODE1.run(&["chmod", "755", PROGRAM]).ok();
    let _ = NODE1.run_with(&["tee", NEXT], format!("{PROGRAM}\n").as_bytes()).ok();
    let ran = on_node1(&["--gres=gpu:1"], "echo $CUDA_VISIBLE_DEVICES");
    assert_eq!(ran.ok().text(), "0");
    assert_eq!(NODE1.run(&["cat", CALLS]).text(), "\"NVIDIA_VISIBLE_DEVICES=0\"");
}
