use super::*;

/// One good value of each option.
const GOOD: &[(&str, &str)] = &[
    ("k8s-image", "r.example/tool:1"),
    ("k8s-profile", "gpu1"),
    ("k8s-batch", "host"),
    ("k8s-workdir", "/data/run 1"),
    ("k8s-script", "/mnt/nas/train.py"),
    ("k8s-mounts", "/data:/mnt/data:ro,/a\\:b:/c"),
    ("k8s-mount-home", "no"),
    ("k8s-env", "A=1,B"),
    ("k8s-entrypoint", "yes"),
    ("k8s-pull", "always"),
    ("k8s-namespace", "team"),
    ("k8s-priority-class", "high"),
    ("k8s-shm-size", "8G"),
    ("k8s-network", "host"),
    ("k8s-readonly", "1"),
    ("k8s-io", "direct"),
    ("k8s-keep", "off"),
];

fn set(given: &[(&str, &str)]) -> Result<JobOptions, OptionError> {
    let mut options = JobOptions::default();
    for (name, value) in given {
        options.set(Origin::CommandLine, name, Some(value.as_bytes()))?;
    }
    Ok(options)
}

fn layered(
    given: &[(&str, &str)],
    inherited: &[(&str, &str)],
    environment: &[(&str, &str)],
) -> Result<JobOptions, OptionError> {
    let variable = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
    JobOptions::layered(&set(given)?, set(inherited)?, variable)
}

fn image(options: &JobOptions) -> Option<&str> {
    options.image().map(ImageRef::as_str)
}

#[test]
fn every_row_of_the_table_is_taken_and_written() {
    let rows: Vec<_> = OPTIONS.iter().map(|spec| spec.name).collect();
    assert_eq!(rows, GOOD.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for (spec, (name, value)) in OPTIONS.iter().zip(GOOD) {
        let mut options = JobOptions::default();
        options.set(Origin::Environment, name, Some(value.as_bytes())).unwrap();
        let written = options.values().next().unwrap().1.written();
        let mut again = JobOptions::default();
        again.set(Origin::Environment, name, Some(written.as_bytes())).unwrap();
        assert_eq!(again, options);
        assert_eq!(spec.env, format!("SLURM_{}", name.to_uppercase().replace('-', "_")));
        assert!(spec.usage.len() <= 70, "{name}");
        assert_eq!(spec.value.is_none(), spec.kind == Kind::Switch, "{name}");
    }
}

#[test]
fn values_have_their_types() {
    let mut options = JobOptions::default();
    for (name, value) in GOOD {
        options.set(Origin::Environment, name, Some(value.as_bytes())).unwrap();
    }
    assert_eq!(image(&options), Some("r.example/tool:1"));
    assert_eq!((options.batch(), options.io()), (Some(Batch::Host), Some(Io::Direct)));
    assert_eq!((options.pull(), options.network()), (Some(Pull::Always), Some(Network::Host)));
    assert_eq!(options.workdir(), Some(Path::new("/data/run 1")));
    assert_eq!((options.mounts().len(), options.variables().len()), (2, 2));
    assert_eq!((options.mount_home(), options.entrypoint()), (Some(false), Some(true)));
    assert_eq!((options.readonly(), options.keep()), (Some(true), Some(false)));
    assert_eq!((options.namespace(), options.priority_class()), (Some("team"), Some("high")));
    assert_eq!(options.shm_bytes(), Some(8 << 30));
}

#[test]
fn a_switch_has_a_twin_on_the_command_line() {
    let mut options = JobOptions::default();
    options.set(Origin::CommandLine, "k8s-readonly", None).unwrap();
    options.set(Origin::CommandLine, "no-k8s-keep", None).unwrap();
    assert_eq!((options.readonly(), options.keep()), (Some(true), Some(false)));
    let error = options.set(Origin::CommandLine, "no-k8s-readonly", None).unwrap_err();
    assert!(matches!(error, OptionError::Conflict { .. }), "{error}");
    assert!(JobOptions::default().set(Origin::CommandLine, "no-k8s-io", None).is_err());
}

#[test]
fn errors_name_option_value_and_mend() {
    for (name, value, message, hint) in [
        (
            "k8s-image",
            "foo bar",
            "--k8s-image: \"foo bar\" is not an image reference: \"foo bar\" is not valid in an image's path",
            "write [HOST[:PORT]/]PATH[:TAG], for example registry.example/team/tool:1.2",
        ),
        (
            "k8s-image",
            "docker://ubuntu",
            "--k8s-image: \"docker://ubuntu\" is not an image reference: Pyxis' spelling, with a scheme",
            "write ubuntu",
        ),
        (
            "k8s-image",
            "busybox\nfoo",
            "--k8s-image: \"busybox\\nfoo\" has a control character",
            "remove it; is a quote missing in the script?",
        ),
        ("k8s-image", "", "--k8s-image: IMAGE is missing", "write --k8s-image=IMAGE"),
        (
            "k8s-workdir",
            "data",
            "--k8s-workdir: \"data\" is not an absolute path",
            "write the whole path as the container has it, for example --k8s-workdir=/data",
        ),
        ("k8s-io", "Direct", "--k8s-io: \"Direct\" is not one of tee, direct", "did you mean --k8s-io=direct?"),
        (
            "k8s-mounts",
            "/a:b",
            "--k8s-mounts: \"/a:b\" is not a list of mounts: \"b\" is not an absolute path without '.' and '..'",
            "write --k8s-mounts=SRC:DST or SRC:DST:ro, more of them with commas; \\: and \\, stand for themselves",
        ),
        (
            "k8s-env",
            "1=a",
            "--k8s-env: \"1=a\" is not a list of variables: \"1\" is not a variable's name",
            "write --k8s-env=NAME or NAME=VALUE, more of them with commas; \\, stands for a comma",
        ),
        (
            "k8s-shm-size",
            "8GB",
            "--k8s-shm-size: \"8GB\" is not a size",
            "write a number with K, M, G or T, for example --k8s-shm-size=8G",
        ),
        (
            "k8s-namespace",
            "A",
            "--k8s-namespace: \"A\" is not a name in Kubernetes",
            "a name has at most 63 of a-z, 0-9 and '-'",
        ),
        ("k8s-imgae", "x", "there is no option --k8s-imgae", "did you mean --k8s-image?"),
    ] {
        let error = set(&[(name, value)]).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.hint().as_deref(), Some(hint), "{message}");
    }
}

#[test]
fn a_repeat_must_be_equal() {
    assert!(set(&[("k8s-io", "tee"), ("k8s-io", "tee")]).is_ok());
    assert!(set(&[("k8s-image", "none"), ("k8s-image", "none")]).is_ok());
    for (first, second) in [("a", "b"), ("none", "a"), ("a", "none")] {
        let error = set(&[("k8s-image", first), ("k8s-image", second)]).unwrap_err();
        assert!(matches!(&error, OptionError::Conflict { given, .. } if given.option.name == IMAGE), "{error}");
    }
}

#[test]
fn command_line_beats_environment_beats_what_is_inherited() {
    let environment = [("SLURM_K8S_IMAGE", "c"), ("SLURM_K8S_IO", "direct"), ("SLURM_K8S_PULL", "")];
    let options = layered(&[], &[], &environment).unwrap();
    assert_eq!((image(&options), options.io(), options.pull()), (Some("c"), Some(Io::Direct), None));
    assert_eq!(image(&layered(&[], &[("k8s-image", "b")], &environment).unwrap()), Some("c"));
    assert_eq!(image(&layered(&[], &[("k8s-image", "b")], &[]).unwrap()), Some("b"));
    let all = layered(&[("k8s-image", "a"), ("k8s-io", "tee")], &[("k8s-image", "b")], &environment).unwrap();
    assert_eq!((image(&all), all.io()), (Some("a"), Some(Io::Tee)));
    assert!(!layered(&[("k8s-image", "none")], &[("k8s-image", "b")], &environment).unwrap().wants_pod());
    assert!(!layered(&[], &[("k8s-image", "b")], &[("SLURM_K8S_IMAGE", "none")]).unwrap().wants_pod());
}

#[test]
fn errors_in_the_environment_name_the_variable() {
    let error = layered(&[("k8s-image", "a")], &[], &[("SLURM_K8S_IO", "fast")]).unwrap_err();
    assert_eq!(error.to_string(), "SLURM_K8S_IO: \"fast\" is not one of tee, direct");
    let error = layered(&[("k8s-image", "a")], &[], &[("SLURM_K8S_WORKDIR", "x")]).unwrap_err();
    let hint = "write the whole path as the container has it, for example SLURM_K8S_WORKDIR=/data";
    assert_eq!(error.hint().as_deref(), Some(hint));
    let error = layered(&[("k8s-image", "a")], &[], &[("SLURM_K8S_KEEP", "maybe")]).unwrap_err();
    assert_eq!(error.to_string(), "SLURM_K8S_KEEP: \"maybe\" is not one of yes, no");
    assert!(layered(&[], &[], &[("SLURM_K8S_IMAGE", "Bad:")]).is_err());
}

#[test]
fn an_environment_without_an_image_touches_no_job() {
    assert_eq!(layered(&[], &[], &[("SLURM_K8S_IO", "fast")]), Ok(JobOptions::default()));
    assert!(layered(&[("k8s-image", "none")], &[], &[("SLURM_K8S_IMAGE", "Bad:")]).is_ok());
    assert!(layered(&[("k8s-io", "tee")], &[], &[]).is_err());
}

#[test]
fn options_without_an_image_are_refused() {
    // A profile perhaps has one.
    for (name, value) in GOOD.iter().filter(|(name, _)| ![IMAGE, PROFILE].contains(name)) {
        let error = layered(&[(name, value)], &[], &[]).unwrap_err();
        assert_eq!(error.to_string(), format!("--{name} needs --k8s-image"));
    }
    assert!(layered(&[("k8s-image", "none"), ("k8s-io", "tee")], &[], &[]).is_ok());
    assert!(layered(&[("k8s-profile", "a"), ("k8s-io", "tee")], &[], &[]).unwrap().wants_pod());
    assert!(!layered(&[("k8s-image", "none")], &[("k8s-profile", "a")], &[]).unwrap().wants_pod());
}

#[test]
fn a_folder_need_not_be_text() {
    let mut options = JobOptions::default();
    options.set(Origin::CommandLine, WORKDIR, Some(b"/data/\xff")).unwrap();
    assert!(options.workdir().is_some());
}
