//! `slurm-k8s validate` as a user has it on the login host: each finding has its place, its cause and its mend.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use e2e::{ALICE, Away, Changed, Fault, ROOT, Ran, alone, image, scratch, together};
use slurm_k8s_core::script::sbatch;

const CONFIG: &str = "/etc/slurm/k8s.toml";
const CLI: &str = "slurm-k8s";

/// Validates a script that comes by standard input, without Slurm.
fn validate(script: &str, options: &[&str]) -> Ran {
    let argv = [&[CLI, "validate", "--no-slurm"], options, &["-"]].concat();
    ALICE.run_with(&argv, script.as_bytes())
}

#[test]
fn findings_have_their_place_and_their_mend() {
    let _alone = alone();
    for (lines, expected) in [
        ("#K8S_IMAGE=nas-hub.local:5407/busybox:1 # fine\n#K8S_KEEP=yes\n#K8S_WORKDIR='/my dir'", &[][..]),
        ("#K8S_IMGAE=busybox", &["2:1: error: there is no #K8S_IMGAE", "hint: did you mean #K8S_IMAGE?"]),
        (
            "#K8S_IMAGE nas/busybox",
            &["2:11: error: #K8S_IMAGE has no '=' right before its value", "hint: write #K8S_IMAGE=nas/busybox"],
        ),
        (
            "#K8S_IMAGE=Busy:box",
            &[
                "2:12: error: #K8S_IMAGE: \"Busy:box\" is not an image reference: an image's path must be in lower case",
                "hint: write busy:box",
            ],
        ),
        (
            "#SBATCH -n1\n#K8S_IMAGE=busybox\n#K8S_WORKDIR=data",
            &[
                "4:14: error: #K8S_WORKDIR: \"data\" is not an absolute path",
                "hint: write the whole path as the container has it, for example #K8S_WORKDIR=/data",
            ],
        ),
        (
            "#K8S_IMAGE=busybox\n#K8S_MOUNTS=/etc:/x",
            &[
                "3:13: error: #K8S_MOUNTS: /etc is not in a folder that this site lets users mount",
                "hint: allowed: /home, /mnt/nas",
            ],
        ),
        (
            "#SBATCH --k8s-image=busybox --k8s-network=host",
            &[
                "2:29: error: --k8s-network: this site does not allow the node's network",
                "hint: leave --k8s-network=host out, or ask the site's admin for policy.host_network",
            ],
        ),
        (
            "#SBATCH --k8s-imgae=busybox",
            &["2:9: error: there is no option --k8s-imgae", "hint: did you mean --k8s-image?"],
        ),
        (
            "#K8S_IMAGE=busybox\n#SBATCH hetjob\n#K8S_IO=tee",
            &[
                "4:1: error: #K8S_ lines are for the whole job, not for one component",
                "hint: move it up, before the first #SBATCH hetjob",
            ],
        ),
        (
            "#K8S_WORKDIR=/x",
            &["2:14: error: #K8S_WORKDIR needs #K8S_IMAGE", "hint: add #K8S_IMAGE=IMAGE, or leave #K8S_WORKDIR out"],
        ),
    ] {
        let ran = validate(&format!("#!/bin/bash\n{lines}\n\necho\n"), &[]);
        let told: Vec<_> = ran.text().lines().map(|line| line.trim().replace("<stdin>:", "")).collect();
        assert_eq!(told, expected, "{lines}");
        assert_eq!(ran.code, Some(i32::from(!expected.is_empty())), "{lines}: {}", ran.errors());
    }
}

#[test]
fn warnings_refuse_nothing() {
    let _together = together();
    let script = "#!/bin/bash\n# K8S_IMAGE=busybox\necho\n#K8S_IMAGE=busybox\n";
    let told = validate(script, &[]).ended_with(0).text();
    assert!(told.contains("<stdin>:2:1: warning: # K8S_IMAGE is a comment"), "{told}");
    assert!(
        told.contains("<stdin>:4:1: warning: #K8S_IMAGE is not read: it stands after the first command, in line 3")
    );
}

#[test]
fn files_and_json_are_as_documented() {
    let _together = together();
    let folder = scratch("validate");
    let files = ["good.sh", "bad.sh"].map(|name| format!("{folder}/{name}"));
    let _ = ALICE.run_with(&["tee", &files[0]], b"#!/bin/sh\n#K8S_IMAGE=busybox\necho\n").ok();
    let _ = ALICE.run_with(&["tee", &files[1]], b"#!/bin/sh\r\n#K8S_IMAGE=a:b:c\r\necho\r\n").ok();
    let ran = ALICE.run(&[CLI, "validate", "--no-slurm", "--json", &files[0], &files[1]]).ended_with(1);
    let document: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(document["version"], 1);
    let [good, bad] = [0, 1].map(|at| document["files"][at].clone());
    let expected =
        serde_json::json!({"file": files[0], "images": ["busybox"], "errors": 0, "warnings": 0, "findings": []});
    assert_eq!(good, expected);
    assert_eq!(
        (&bad["file"], &bad["errors"], &bad["images"]),
        (&files[1].clone().into(), &2.into(), &serde_json::json!([]))
    );
    let rows = bad["findings"].as_array().unwrap();
    let told: Vec<_> = rows.iter().map(|row| (&row["kind"], &row["severity"], &row["line"], &row["column"])).collect();
    assert_eq!(told[0], (&"script".into(), &"error".into(), &1.into(), &10.into()));
    assert_eq!(told[1], (&"value".into(), &"error".into(), &2.into(), &12.into()));
    // What cannot be read is not a finding.
    let ran = ALICE.run(&[CLI, "validate", &format!("{folder}/none.sh")]).ended_with(2);
    assert!(ran.errors().contains("cannot read") && ran.stdout.is_empty(), "{}", ran.errors());
    let _ = ALICE.run(&[CLI, "validate"]).ended_with(2);
    let _ = ALICE.run(&["rm", "-r", &folder]).ok();
}

#[test]
fn without_the_sites_config_its_policy_is_not_known() {
    let _alone = alone();
    let script = "#!/bin/sh\n#K8S_IMAGE=busybox\n#K8S_NETWORK=host\necho\n";
    let _ = validate(script, &[]).ended_with(1);
    let _away = Away::take(ROOT, CONFIG);
    let told = validate(script, &[]).ended_with(0).text();
    assert!(told.starts_with("<stdin>: warning: the site's policy and profiles are not known: cannot read"), "{told}");
    let ran = validate(script, &["--config", CONFIG]).ended_with(2);
    assert!(ran.errors().contains(CONFIG), "{}", ran.errors());
}

#[test]
fn what_the_site_limits_and_requires_is_told() {
    let _alone = alone();
    let more = "[submit]\nrequire = ['time']\n[profiles.small]\nimage = 'busybox'\nmax_cpus = 1\n";
    let _changed = Changed::edit(ROOT, CONFIG, |text| text + more);
    let with = |options: &str| validate(&format!("#!/bin/sh\n#K8S_PROFILE=small\n#SBATCH {options}\necho\n"), &[]);
    let told = with("-c2").ended_with(1).text();
    assert!(told.contains("<stdin>:2:14: error: #K8S_PROFILE: small allows at most 1 cpu on a node"), "{told}");
    assert!(told.contains("<stdin>: error: the job has no --time, which this site asks for"), "{told}");
    let _ = with("-c1 -t5").ended_with(0);
}

#[test]
fn the_environment_counts_as_it_does_for_sbatch() {
    let _together = together();
    let script = b"#!/bin/sh\n#K8S_WORKDIR=/x\necho\n";
    let variables = ["SLURM_K8S_IMAGE=busybox", "SLURM_K8S_IO=fast"];
    let with = |variables: &[&str]| {
        ALICE.run_with(&[&["env"], variables, &[CLI, "validate", "--no-slurm", "-"]].concat(), script)
    };
    let _ = with(&variables[..1]).ended_with(0);
    let told = with(&variables).ended_with(1).text();
    assert!(told.contains("<stdin>: error: SLURM_K8S_IO: \"fast\" is not one of tee, direct"), "{told}");
}

#[test]
fn the_registry_is_asked_for_the_image() {
    let _alone = alone();
    let check = |reference: &str| validate(&format!("#!/bin/sh\n#K8S_IMAGE={reference}\necho\n"), &["--check-image"]);
    let busybox = image("busybox");
    assert_eq!(check(&busybox).ended_with(0).text(), "");
    let (repository, _) = busybox.rsplit_once(':').unwrap();
    for absent in [format!("{repository}:no-such-tag"), "nas-hub.local:5407/no/such/image:1".into()] {
        let told = check(&absent).ended_with(1).text();
        assert!(told.contains(&format!("<stdin>:2:12: error: there is no image {absent} in its registry")), "{told}");
    }
    // Nothing listens on port 1, and a host that no registry.plain_http names is asked with TLS.
    let told = check("nas-hub.local:1/a:1").ended_with(0).text();
    assert!(told.contains("warning: whether nas-hub.local:1 has the image nas-hub.local:1/a:1 is not known"), "{told}");
    let _changed = Changed::edit(ROOT, CONFIG, |text| text.replace("plain_http = [", "plain_http = [] # "));
    let told = check(&busybox).ended_with(0).text();
    assert!(told.contains("is not known") && told.contains("hint: it has no TLS: "), "{told}");
}

#[test]
fn a_registry_that_is_down_is_no_error_of_the_script() {
    let _alone = alone();
    let script = format!("#!/bin/sh\n#K8S_IMAGE={}\necho\n", image("busybox"));
    let _fault = Fault::start("registry");
    let told = validate(&script, &["--check-image"]).ended_with(0).text();
    assert!(told.contains("<stdin>:2:12: warning: whether nas-hub.local:5407 has the image"), "{told}");
}

#[test]
fn slurm_is_asked_for_the_resources() {
    let _together = together();
    let check = |lines: &str| {
        ALICE.run_with(&[CLI, "validate", "-"], format!("#!/bin/sh\n#K8S_IMAGE=busybox\n{lines}\necho\n").as_bytes())
    };
    assert_eq!(check("#SBATCH -n1 --mem=100M --time=00:05:00").ended_with(0).text(), "");
    for (lines, expected) in [
        ("#SBATCH -n1 -p cpus", "3:13: error: --partition: there is no partition \"cpus\""),
        ("#SBATCH --nodes=99", "3:9: error: --nodes=99 is more than cpu has"),
        ("#SBATCH --job-name=x --mem=900G", "3:22: error: Slurm would refuse this job: "),
    ] {
        let told = check(lines).ended_with(1).text();
        assert!(told.contains(expected), "{lines}: {told}");
    }
}

#[test]
fn without_slurm_a_note_says_so() {
    let _alone = alone();
    let _fault = Fault::start("slurmctld");
    let script = b"#!/bin/sh\n#K8S_IMAGE=busybox\n#SBATCH -p nowhere\necho\n";
    let ran = ALICE.run_with(&["env", "SLURM_CONF=/nowhere", CLI, "validate", "-"], script).ended_with(0);
    assert!(ran.text().contains("<stdin>: note: Slurm was not asked about the resources"), "{}", ran.text());
}

/// The words of our reader are those of the real sbatch, which tells them when it is asked to.
#[test]
fn lines_are_read_as_sbatch_reads_them() {
    let _together = together();
    for lines in [
        "#SBATCH --comment=a -n1 # --comment=b\n",
        "#SBATCH --comment='a b' --comment=\"c 'd'\"e\n",
        "#SBATCH --comment=a#b\n#SBATCH\t-n1\t--comment=a\\\\:b\n",
        "#SBATCH --comment='a\\'b' --comment=\\\"x\\\"\n",
        " #SBATCH -n2\n# SBATCH -n3\n##SBATCH -n4\n#SBATCH-n5\n",
        "\n\t\n  # text\n#SLURM --comment=a\n#SBATCH --comment=b\n : \n#SBATCH --comment=c\n",
        "#SBATCH --comment=\u{d55c}\u{ae00} --comment=a=b\n:\n",
        "#SBATCH -n1 '' --comment=x\n#SBATCH -n2\n",
        "#SBATCH   \n#SBATCH #\n#SBATCH --comment=x",
    ] {
        let script = format!("#!/bin/sh\n{lines}");
        let (ours, faults) = sbatch::arguments(script.as_bytes(), 0);
        assert_eq!(faults, [], "{lines:?}");
        let ours: Vec<_> = ours.iter().map(|word| String::from_utf8_lossy(&word.text).into_owned()).collect();
        let ran = ALICE.run_with(&["sbatch", "-vvv", "--test-only"], script.as_bytes());
        let told = ran.errors();
        let words =
            told.lines().filter_map(|line| line.split_once("Found in script, argument \"")?.1.strip_suffix('"'));
        assert_eq!(ours, words.collect::<Vec<_>>(), "{lines:?}: {told}");
    }
}
