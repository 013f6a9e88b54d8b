//! What users and admins write, and what an image has in its files.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path};

use slurm_k8s_core::config::Config;
use slurm_k8s_core::image::ImageRef;
use slurm_k8s_core::judge::{Submission, judge};
use slurm_k8s_core::option::{JobOptions, OPTIONS, Origin, Value, mount, variable};
use slurm_k8s_core::partition::{Partition, check};
use slurm_k8s_core::script::request::Request;
use slurm_k8s_core::script::{MOST_DIRECTIVES, form, has_body, late, sbatch};
use slurm_k8s_core::{Place, account, grant::Grant, label, multi_prog as programs, policy};

/// Options, one a line, `name=value`: what is taken is read back from what is passed on to the node, and can be judged.
pub fn options(data: &[u8]) {
    let mut options = JobOptions::default();
    for line in data.split(|byte| *byte == b'\n') {
        let (name, value) = match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        };
        let name = String::from_utf8_lossy(name);
        if let Err(error) = options.set(Origin::CommandLine, &name, value) {
            assert!(error.to_string().lines().count() <= 1, "{error}");
        }
    }
    for (spec, value) in options.values() {
        let written = value.written();
        let again = Value::parse(spec.kind, written.as_bytes());
        assert!(again.as_ref().is_ok_and(|again| again == value), "--{}: {value:?}", spec.name);
    }
    let _ = policy::check(&Config::default(), &options, 1000);
    for spec in OPTIONS {
        if let Ok(value) = Value::parse(spec.kind, data) {
            assert!(Value::parse(spec.kind, value.written().as_bytes()).is_ok_and(|again| again == value));
        }
    }
}

/// A batch script: each finding is one line of text and has its place in the script, there are not too many, and what is
/// taken goes on to the node.
pub fn script(data: &[u8]) {
    let (arguments, _) = sbatch::arguments(data, 0);
    let (given, _) = sbatch::options(&arguments);
    let request = Request::of(&arguments, &|_| None);
    let partition = Partition::parse("PartitionName=cpu Default=YES MaxTime=60 MaxNodes=2 State=UP");
    assert!(check(&request, partition.as_slice()).len() < 100);
    let config = Config::parse("policy.images = ['a*']").expect("a config");
    let nothing = |_: &str| None;
    let submission =
        Submission { script: data, component: 0, given: &given, variable: &nothing, config: Some(&config), uid: 1000 };
    let judgement = judge(&submission);
    let lines: Vec<_> = data.split(|byte| *byte == b'\n').collect();
    let inside = |place: Place| place.column as usize <= lines[place.line as usize - 1].len() + 1;
    for finding in &judgement.findings {
        let text = finding.to_string() + finding.hint.as_deref().unwrap_or_default();
        assert!(!text.contains(char::is_control), "{text:?}");
        assert!(finding.place.is_none_or(inside), "{finding:?}");
    }
    assert!(judgement.findings.len() < 2 * MOST_DIRECTIVES + 100);
    if judgement.refusal().is_none() {
        for (spec, value) in judgement.options.values() {
            assert!(Value::parse(spec.kind, value.written().as_bytes()).is_ok_and(|again| again == *value));
        }
    }
    assert!(late(data).is_empty() || has_body(data));
    assert!(form::check(data).into_iter().all(|(place, _)| inside(place)));
}

/// `--k8s-mounts`.
pub fn mounts(data: &[u8]) {
    let Ok(mounts) = mount::parse(data) else { return };
    let plain = |path: &Path| {
        path.is_absolute() && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
    };
    for mount in &mounts {
        assert!(plain(&mount.source) && plain(&mount.target), "{mount:?}");
        let own = ["/proc", "/sys", "/dev", "/.slurm-k8s"].iter().any(|own| mount.target.starts_with(own));
        assert!(!own && mount.target != Path::new("/"), "{mount:?}");
        assert_eq!(mounts.iter().filter(|other| mount.target.starts_with(&other.target)).count(), 1, "{mounts:?}");
    }
    assert_eq!(mount::parse(mount::written(&mounts).as_bytes()).as_ref(), Ok(&mounts));
}

/// `--k8s-env`.
pub fn variables(data: &[u8]) {
    let Ok(variables) = variable::parse(data) else { return };
    for variable in &variables {
        assert!(!variable.name.is_empty() && !variable.name.contains(['=', '\0', '\n']), "{variable:?}");
        assert!(!variable.name.starts_with("SLURM_") && !variable.name.starts_with("SPANK_"), "{variable:?}");
    }
    assert_eq!(variable::parse(variable::written(&variables).as_bytes()).as_ref(), Ok(&variables));
}

/// `k8s.toml`.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Err(error) = Config::parse(&text) {
        assert!(!error.to_string().contains('\u{1b}'), "{error:?}");
        let _ = error.hint();
    }
}

/// An image's reference: it goes into the Pod and into an annotation.
pub fn image(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(image) = text.parse::<ImageRef>() else { return };
    let shown = image.to_string();
    assert!(shown.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'`$\\;&|<>(){}*?!".contains(&byte)), "{shown}");
    assert_eq!(shown.parse::<ImageRef>().map(|again| again.to_string()), Ok(shown));
    assert!(!image.repository().is_empty());
}

/// A configuration of `--multi-prog`, and any text as a label.
pub fn multi_prog(data: &[u8]) {
    let out = programs::through_shim(b"/usr/libexec/slurm-k8s/slurm-k8s-agent", data);
    assert!(programs::is_through_shim(&out));
    let value = label::value(&String::from_utf8_lossy(data));
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    assert!(value.len() <= 63 && edge(value.chars().next()) && edge(value.chars().next_back()), "{value}");
    assert!(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{value}");
}

/// A grant.
pub fn grant(data: &[u8]) {
    let Ok(grant) = serde_json::from_slice::<Grant>(data) else { return };
    let text = serde_json::to_vec(&grant).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<Grant>(&text).ok(), Some(grant));
}

/// An image's passwd: no line of it has the user's name or number.
pub fn accounts(data: &[u8]) {
    let ours = ["alice:x:1000:1000:alice:/home/alice:/bin/bash".to_owned()];
    let merged = account::merged(data, &ours);
    let mut lines = merged.split(|byte| *byte == b'\n');
    assert_eq!(lines.next(), Some(ours[0].as_bytes()));
    for line in lines {
        let mut fields = line.split(|byte| *byte == b':');
        assert!(fields.next() != Some(b"alice") && fields.nth(1) != Some(b"1000"), "{line:?}");
    }
}
