//! What is only true of Pods: they appear, can be watched, and are gone afterwards.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Stdio;

use e2e::slurm::{V22_05, slurm};
use e2e::{ALICE, At, ROOT, accounting, image, in_image, no_pod_of, nodes_are_up, pods, until};

fn submit(script: &str, options: &[&str]) -> String {
    let mut argv = vec!["sbatch", "--parsable", "--output=/dev/null"];
    argv.extend(options);
    ALICE.run_with(&argv, script.as_bytes()).ok().text()
}

fn running_pod_of(job: &str) -> String {
    let mut name = String::new();
    until("the job's Pod runs", || {
        let label = format!("job-id={job}");
        let argv = ["kubectl", "get", "pods", "-l", &label, "--no-headers"];
        let line = ALICE.run(&argv).ok().text();
        line.split_whitespace().next().unwrap_or_default().clone_into(&mut name);
        line.contains("Running").then_some(()).ok_or(line)
    });
    name
}

#[test]
fn kubectl_shows_the_job_while_it_runs_and_its_logs() {
    let out = format!("--output=/mnt/nas/logs.{}", std::process::id());
    let script = "#!/bin/bash\necho first line\necho on stderr >&2\nsleep 60\n";
    let job = submit(script, &[&in_image("userland"), &out]);
    let pod = running_pod_of(&job);
    assert_eq!(pod, format!("slurm-job-{job}"));
    until("kubectl logs shows the output", || {
        let logs = ALICE.run(&["kubectl", "logs", &pod]).ok().text();
        (logs.contains("first line") && logs.contains("on stderr")).then_some(()).ok_or(logs)
    });
    let wide = ALICE.run(&["kubectl", "get", "pods", "-l", "app=slurm-job", "-o", "wide"]).ok().text();
    assert!(wide.contains(&pod), "{wide}");
    let _ = ALICE.run(&["scancel", &job]).ok();
    no_pod_of(&job);
    assert!(accounting(&job).contains("CANCELLED"));
    nodes_are_up();
}

#[test]
fn a_distroless_image_runs_its_program() {
    let ran = ALICE.run(&["srun", &in_image("distroless"), "/app", "exit", "7"]);
    assert_eq!(ran.code, Some(7), "{}", ran.errors());
    let ran = ALICE.run_with(&["srun", &in_image("distroless"), "/app", "cat"], b"through\0the Pod");
    assert_eq!(ran.stdout, b"through\0the Pod", "{}", ran.errors());
}

#[test]
fn a_gibibyte_of_output_is_complete() {
    let (bytes, zeros) = match slurm() {
        V22_05 => ("1073741824", "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14"),
        // Once is enough for the long way.
        _ => ("268435456", "a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484"),
    };
    let ran = ALICE.run(&[
        "bash",
        "-c",
        &format!("srun {} sh -c 'head -c {bytes} /dev/zero' | tee >(sha256sum >&2) | wc -c", in_image("busybox")),
    ]);
    assert_eq!(ran.text(), bytes, "{}", ran.errors());
    assert!(ran.errors().contains(zeros), "{}", ran.errors());
}

#[test]
fn a_step_in_an_allocation_and_one_in_a_plain_script_run_in_pods() {
    let image = in_image("busybox");
    let argv = ["salloc", "-Q", "srun", &image, "sh", "-c", "test -e /.slurm-k8s/agent && echo in a Pod"];
    assert_eq!(ALICE.run(&argv).ok().text(), "in a Pod");
    let out = format!("/mnt/nas/step.{}", std::process::id());
    let script = format!("#!/bin/bash\nsrun {image} ls -d /.slurm-k8s\nls -d /.slurm-k8s || echo on the host\n");
    let job = ALICE.batch(&["sbatch", &format!("--output={out}"), "--error=/dev/null"], &script).ok().text();
    let text = ALICE.run(&["cat", &out]).ok().text();
    assert_eq!(text, "/.slurm-k8s\non the host", "job {job}");
}

#[test]
fn scancel_and_its_signal_reach_the_process() {
    let out = format!("/mnt/nas/signal.{}", std::process::id());
    let script = "#!/bin/bash\ntrap 'echo usr1; exit 5' USR1\necho ready\nwhile :; do sleep 0.1; done\n";
    let job = submit(script, &[&in_image("userland"), &format!("--output={out}")]);
    until("the script is ready", || {
        let text = ALICE.run(&["cat", &out]).text();
        (text == "ready").then_some(()).ok_or(text)
    });
    let _ = ALICE.run(&["scancel", "--batch", "-s", "USR1", &job]).ok();
    let states = accounting(&job);
    assert!(states.contains("FAILED|5:0"), "{states}");
    // Where Slurm signals every process of a step (proctrack/linuxproc), bash also tells its child's end.
    let text = ALICE.run(&["cat", &out]).ok().text();
    assert!(text.starts_with("ready\n") && text.ends_with("usr1"), "{text}");
    no_pod_of(&job);
}

#[test]
fn interrupting_srun_ends_the_process_and_the_pod() {
    let name = format!("--job-name=interrupt{}", std::process::id());
    let mut command = ALICE.command(&["srun", &name, &in_image("busybox"), "sleep", "300"]);
    let mut srun = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut job = String::new();
    until("the job runs", || {
        let argv = ["squeue", "-h", "-t", "R", "-o", "%i %j", "--me"];
        let text = ALICE.run(&argv).ok().text();
        let wanted = name.trim_start_matches("--job-name=");
        text.lines()
            .find(|line| line.ends_with(wanted))
            .and_then(|line| line.split_whitespace().next())
            .unwrap_or_default()
            .clone_into(&mut job);
        (!job.is_empty()).then_some(()).ok_or(text)
    });
    running_pod_of(&job);
    // It ends by two within a second; on a busy machine these are further apart, or are one.
    until("srun ends", || {
        let _ = ALICE.run(&["pkill", "-INT", "-u", "alice", "-f", &format!("^srun {name}")]);
        srun.try_wait().unwrap().map(drop).ok_or_else(String::new)
    });
    let status = srun.wait().unwrap();
    assert!(!status.success());
    no_pod_of(&job);
    nodes_are_up();
}

#[test]
fn a_killed_slurmstepd_takes_the_pods_processes_with_it() {
    let job = submit("#!/bin/bash\nsleep 4242\n", &[&in_image("userland"), "-w", "node1", "--no-requeue"]);
    let pod = running_pod_of(&job);
    let node1 = At { user: "root", host: "node1" };
    let find = ["pgrep", "-f", "^sleep 4242"];
    until("the process runs", || (node1.run(&find).code == Some(0)).then_some(()).ok_or_else(String::new));
    let _ = node1.run(&["pkill", "-KILL", "-f", &format!("^slurmstepd: \\[{job}\\.")]).ok();
    until("no process of the Pod is left", || {
        let left = node1.run(&find);
        (left.code == Some(1)).then_some(()).ok_or_else(|| left.text())
    });
    // Nobody is left on the node to delete the Pod: `slurm-k8s gc` does.
    assert!(!pod.is_empty());
    no_pod_of(&job);
    let _ = ROOT.run(&["scancel", &job]);
    nodes_are_up();
}

#[test]
fn the_pod_has_the_users_identity_and_nothing_more() {
    let script = "grep -E 'NoNewPrivs|CapEff|Seccomp:' /proc/self/status | tr -d '\\t'; ls /var/run/secrets 2>&1; true";
    let text = ALICE.run(&["srun", &in_image("userland"), "bash", "-c", script]).ok().text();
    for expected in ["CapEff:0000000000000000", "NoNewPrivs:1", "Seccomp:2", "No such file"] {
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn jobs_without_the_option_get_no_pod() {
    let before = pods();
    let text = ALICE.run(&["srun", "sh", "-c", "env | grep -c SPANK_K8S; ls -d /.slurm-k8s 2>&1"]).text();
    assert!(text.starts_with('0'), "{text}");
    assert!(before.is_empty() || pods().len() <= before.len());
}

#[test]
fn a_command_is_the_images_even_if_the_host_has_it_elsewhere() {
    // The host has /usr/bin/awk; busybox has it in /bin only.
    let image = in_image("busybox");
    assert_eq!(ALICE.run(&["srun", &image, "awk", "BEGIN{print 6*7}"]).ok().text(), "42");
    assert!(image.contains(&self::image("busybox")));
}
