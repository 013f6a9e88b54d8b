//! One plugin for several versions of Slurm: each takes it for its own, and any other refuses it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::Command;

use e2e::slurm::{Slurm, slurm};
use e2e::{ALICE, Job, Ran, in_image, process, scratch};

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

/// To be loaded before libslurm: the plugin takes it for the one of another version.
const OTHER_LIBSLURM: &str = "#include <stdlib.h>
long slurm_api_version(void) { return atol(getenv(\"LIBSLURM\")) << 16; }
";

/// srun with that library, built on this machine and put where all hosts see it.
struct Pretence(String);

impl Pretence {
    fn new() -> Self {
        let (source, built) = ("libslurm.c", "libslurm.so");
        let folder = std::env::temp_dir().join(format!("other-libslurm.{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(source), OTHER_LIBSLURM).unwrap();
        let cc =
            Command::new("cc").args(["-shared", "-fPIC", "-o", built, source]).current_dir(&folder).output().unwrap();
        assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
        let library = fs::read(folder.join(built)).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let path = format!("{}/{built}", scratch("versions"));
        let _ = ALICE.run_with(&["tee", &path], &library).ok();
        Self(path)
    }

    fn srun(&self, number: u8) -> Ran {
        let (preload, number) = (format!("LD_PRELOAD={}", self.0), format!("LIBSLURM={number}"));
        ALICE.run(&["env", &preload, &number, "srun", "--mem=50M", &in_image("busybox"), "echo", "ran"])
    }
}

#[test]
fn a_slurm_that_the_plugin_was_not_made_for_refuses_it() {
    let pretence = Pretence::new();
    for (number, version, written) in VERSIONS {
        let ran = pretence.srun(*number);
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
    let job = Job::submit("node1", &[]).running();
    let line = fs::read(format!("/proc/{}/cmdline", process::shim(&job.id).pid)).unwrap();
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty()).count();
    // spank_prepend_task_argv came with 23.11.
    let expected = if slurm() >= Slurm(23, 11) { 2 } else { 1 };
    assert_eq!(words, expected, "{}", String::from_utf8_lossy(&line));
    job.ends_whole();
}
