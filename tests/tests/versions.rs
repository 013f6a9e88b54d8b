//! One plugin for several versions of Slurm: each takes it for its own, and any other refuses it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::Command;

use e2e::slurm::{Slurm, slurm};
use e2e::{ALICE, Job, NODE1, ROOT, accounting, alone, in_image, nodes_are_up, process, scratch, until};

/// libslurm's number (slurm.h: `SLURM_API_VERSION`), the Slurm that has it, and how Slurm writes the plugin's version.
const VERSIONS: &[(u8, Option<Slurm>, &str)] = &[
    (37, None, "0.00.0"),
    (38, Some(Slurm(22, 5)), "22.05.0"),
    (39, Some(Slurm(23, 2)), "23.02.0"),
    (40, Some(Slurm(23, 11)), "23.11.0"),
    (41, Some(Slurm(24, 5)), "24.05.0"),
    (42, Some(Slurm(24, 11)), "24.11.0"),
    (43, Some(Slurm(25, 5)), "25.05.0"),
    (44, Some(Slurm(25, 11)), "25.11.0"),
    (45, Some(Slurm(26, 5)), "26.05.0"),
    (46, None, "0.00.0"),
    (99, None, "0.00.0"),
];

/// The plugin takes libslurm for the one of another version.
const OTHER_LIBSLURM: &str = "#include <stdlib.h>
long slurm_api_version(void) { return atol(getenv(\"LIBSLURM\")) << 16; }
";

/// In slurmstepd the plugin's first question fails, which is that of its first hook. `S_CTX_REMOTE` is 2.
const NO_CONTEXT: &str = "#define _GNU_SOURCE
#include <dlfcn.h>
int spank_context(void) {
    static int asked;
    int (*real)(void) = (int (*)(void))dlsym(RTLD_NEXT, \"spank_context\");
    return real() == 2 && !asked++ ? 0 : real();
}
";

/// A library of this source, to be loaded before Slurm's: built on this machine and put where all hosts see it.
fn library(name: &str, source: &str) -> String {
    let folder = std::env::temp_dir().join(format!("{name}.{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("source.c"), source).unwrap();
    let cc = Command::new("cc").args(["-shared", "-fPIC", "-o", "library", "source.c"]).current_dir(&folder).output();
    let cc = cc.unwrap();
    assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
    let library = fs::read(folder.join("library")).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let path = format!("{}/library", scratch(name));
    let _ = ALICE.run_with(&["tee", &path], &library).ok();
    let _ = ALICE.run(&["chmod", "-R", "a+rX", path.trim_end_matches("/library")]).ok();
    path
}

/// The library in every program that node1 starts, for as long as it lives. Containers do not see it.
struct InNode1;

impl InNode1 {
    fn load(path: &str) -> Self {
        let _ = NODE1.run_with(&["tee", PRELOAD], path.as_bytes()).ok();
        Self
    }
}

impl Drop for InNode1 {
    fn drop(&mut self) {
        let _ = NODE1.run(&["rm", "-f", PRELOAD]);
    }
}

const PRELOAD: &str = "/etc/ld.so.preload";

#[test]
fn a_slurm_that_the_plugin_was_not_made_for_refuses_it() {
    let _alone = alone();
    let preload = format!("LD_PRELOAD={}", library("versions", OTHER_LIBSLURM));
    for (number, version, written) in VERSIONS {
        let other = format!("LIBSLURM={number}");
        let ran = ALICE.run(&["env", &preload, &other, "srun", "--mem=50M", &in_image("busybox"), "echo", "ran"]);
        if *version == Some(slurm()) {
            assert_eq!(ran.ok().text(), "ran", "libslurm {number}");
            continue;
        }
        let refused =
            format!("Incompatible Slurm plugin /usr/lib/x86_64-linux-gnu/slurm-wlm/spank_k8s.so version ({written})");
        assert_eq!(ran.code, Some(1), "libslurm {number}: {}", ran.errors());
        assert!(ran.errors().contains(&refused), "libslurm {number}: {}", ran.errors());
        assert_eq!(ran.text(), "", "libslurm {number}");
    }
}

#[test]
fn the_shim_is_in_front_of_the_command_or_where_slurm_cannot_in_its_place() {
    let _alone = alone();
    let job = Job::submit("node1", &[]).running();
    let line = fs::read(format!("/proc/{}/cmdline", process::shim(&job.id).pid)).unwrap();
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).count();
    // spank_prepend_task_argv came with 23.11.
    let expected = if slurm() >= Slurm(23, 11) { 2 } else { 1 };
    assert_eq!(words, expected, "{}", String::from_utf8_lossy(&line));
    job.ends_whole();
}

#[test]
fn a_plugin_that_cannot_begin_a_step_runs_nothing_on_the_host() {
    let _alone = alone();
    let loaded = InNode1::load(&library("begin", NO_CONTEXT));
    let folder = scratch("begin");
    let out = format!("--output={folder}/out");
    let argv =
        ["sbatch", "--parsable", "--no-requeue", "-w", "node1", &out, &in_image("busybox"), "--wrap", "echo ran"];
    let job = ALICE.run(&argv).ok().text();
    let ended = accounting(&job);
    drop(loaded);
    let log = NODE1.run(&["cat", "/var/log/slurm/slurmd.log"]).ok().text();
    assert!(log.contains("spank_k8s.so: init() failed with rc="), "{ended}");
    assert!(!ALICE.run(&["cat", &format!("{folder}/out")]).text().contains("ran"), "{ended}");
    if slurm() >= Slurm(25, 5) {
        assert!(ended.starts_with(&format!("{job}|FAILED|")), "{ended}");
    } else {
        // An older Slurm drains the node, whatever the plugin says.
        let state = || ALICE.run(&["sinfo", "-h", "-n", "node1", "-o", "%T"]).text();
        until("the node is drained", || state().starts_with("drain").then_some(()).ok_or_else(state));
        let _ = ROOT.run(&["scontrol", "update", "NodeName=node1", "State=resume"]).ok();
    }
    nodes_are_up();
}
