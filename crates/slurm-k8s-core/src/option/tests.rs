use super::*;

fn set(given: &[(&str, &str)]) -> Result<JobOptions, OptionError> {
    let mut options = JobOptions::default();
    for (name, value) in given {
        options.set(Origin::CommandLine, name, Some(value.as_bytes()))?;
    }
    Ok(options)
}

#[test]
fn all_options_are_taken() {
    let options = set(&[
        ("k8s-image", "r.example/tool:1"),
        ("k8s-workdir", "/data/run 1"),
        ("k8s-io", "direct"),
        ("k8s-pull", "always"),
        ("k8s-batch", "host"),
    ])
    .unwrap();
    assert_eq!(options.image.as_ref().map(ImageRef::as_str), Some("r.example/tool:1"));
    assert_eq!(options.workdir, Some("/data/run 1".into()));
    assert_eq!((options.io, options.pull), (Some(Io::Direct), Some(Pull::Always)));
    assert_eq!(options.batch, Some(Batch::Host));
    assert!(options.wants_pod());
    assert_eq!(options.validate(), Ok(()));
}

#[test]
fn every_row_of_the_table_can_be_set() {
    for spec in OPTIONS {
        let value = match spec.name {
            IMAGE => "busybox",
            WORKDIR => "/",
            _ => spec.value.and_then(|words| words.split('|').next()).unwrap(),
        };
        assert!(set(&[(spec.name, value)]).is_ok(), "{}", spec.name);
        assert_eq!(spec.env, format!("SLURM_{}", spec.name.to_uppercase().replace('-', "_")));
        assert!(spec.usage.len() <= 70, "{}", spec.name);
    }
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
            "write the folder as the container has it, for example --k8s-workdir=/data",
        ),
        ("k8s-io", "Direct", "--k8s-io: \"Direct\" is not one of tee, direct", "did you mean --k8s-io=direct?"),
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
fn none_switches_an_inherited_image_off() {
    let inherited = set(&[("k8s-image", "a"), ("k8s-io", "direct")]).unwrap();
    let off = set(&[("k8s-image", "none")]).unwrap().over(inherited.clone());
    assert!(!off.wants_pod());
    assert_eq!(off.validate(), Ok(()));
    let other = set(&[("k8s-image", "b")]).unwrap().over(inherited.clone());
    assert_eq!(other.image.as_ref().map(ImageRef::as_str), Some("b"));
    assert_eq!(other.io, Some(Io::Direct));
    assert_eq!(JobOptions::default().over(inherited.clone()), inherited);
}

#[test]
fn options_without_an_image_are_refused() {
    for (name, value) in [("k8s-workdir", "/"), ("k8s-io", "tee"), ("k8s-pull", "never"), ("k8s-batch", "pod")] {
        let error = set(&[(name, value)]).unwrap().validate().unwrap_err();
        assert_eq!(error.to_string(), format!("--{name} needs --k8s-image"));
    }
}

fn layered(
    given: &[(&str, &str)],
    inherited: &[(&str, &str)],
    environment: &[(&str, &str)],
) -> Result<JobOptions, OptionError> {
    let variable = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
    JobOptions::layered(&set(given)?, set(inherited)?, variable)
}

#[test]
fn command_line_beats_environment_beats_what_is_inherited() {
    let image = |options: JobOptions| options.image.map(|image| image.to_string());
    let environment = [("SLURM_K8S_IMAGE", "c"), ("SLURM_K8S_IO", "direct"), ("SLURM_K8S_PULL", "")];
    let options = layered(&[], &[], &environment).unwrap();
    assert_eq!((image(options.clone()), options.io, options.pull), (Some("c".into()), Some(Io::Direct), None));
    assert_eq!(image(layered(&[], &[("k8s-image", "b")], &environment).unwrap()), Some("c".into()));
    assert_eq!(image(layered(&[], &[("k8s-image", "b")], &[]).unwrap()), Some("b".into()));
    let all = layered(&[("k8s-image", "a"), ("k8s-io", "tee")], &[("k8s-image", "b")], &environment).unwrap();
    assert_eq!((image(all.clone()), all.io), (Some("a".into()), Some(Io::Tee)));
    assert!(!layered(&[("k8s-image", "none")], &[("k8s-image", "b")], &environment).unwrap().wants_pod());
    assert!(!layered(&[], &[], &[("SLURM_K8S_IMAGE", "none")]).unwrap().wants_pod());
}

#[test]
fn errors_in_the_environment_name_the_variable() {
    let error = layered(&[("k8s-image", "a")], &[], &[("SLURM_K8S_IO", "fast")]).unwrap_err();
    assert_eq!(error.to_string(), "SLURM_K8S_IO: \"fast\" is not one of tee, direct");
    let error = layered(&[("k8s-image", "a")], &[], &[("SLURM_K8S_WORKDIR", "x")]).unwrap_err();
    let hint = "write the folder as the container has it, for example SLURM_K8S_WORKDIR=/data";
    assert_eq!(error.hint().as_deref(), Some(hint));
    assert!(layered(&[], &[], &[("SLURM_K8S_IMAGE", "Bad:")]).is_err());
}

#[test]
fn an_environment_without_an_image_touches_no_job() {
    assert_eq!(layered(&[], &[], &[("SLURM_K8S_IO", "fast")]), Ok(JobOptions::default()));
    assert!(layered(&[("k8s-image", "none")], &[], &[("SLURM_K8S_IMAGE", "Bad:")]).is_ok());
    assert!(layered(&[("k8s-io", "tee")], &[], &[]).is_err());
}

#[test]
fn every_option_has_its_value() {
    let all =
        [("k8s-image", "a"), ("k8s-workdir", "/w"), ("k8s-io", "tee"), ("k8s-pull", "never"), ("k8s-batch", "host")];
    let values = set(&all).unwrap().values();
    let values: Vec<_> = values.iter().map(|(spec, value)| (spec.name, value.to_str().unwrap())).collect();
    assert_eq!(values, all);
    assert_eq!(values.len(), OPTIONS.len());
    assert_eq!(set(&[("k8s-image", "none")]).unwrap().values()[0].1, "none");
}

#[test]
fn a_folder_need_not_be_text() {
    let mut options = JobOptions::default();
    options.set(Origin::CommandLine, WORKDIR, Some(b"/data/\xff")).unwrap();
    assert!(options.workdir.is_some());
}
