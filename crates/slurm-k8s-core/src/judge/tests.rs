use super::*;
use crate::script::sbatch;

/// A site with everything that can be asked for.
const SITE: &str = "pod.mounts = ['/home']\n[policy]\nimages = ['nas:5407/*']\nnamespaces = ['team']\n\
                    [profiles.gpu1]\nimage = 'nas:5407/gpu'\n";

fn judged(script: &str, environment: &[(&str, &str)]) -> Judgement {
    let variable = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
    let (given, _) = sbatch::options(&sbatch::arguments(script.as_bytes(), 0).0);
    let config = Config::parse(SITE).unwrap();
    let script = script.as_bytes();
    judge(&Submission { script, component: 0, given: &given, variable: &variable, config: Some(&config), uid: 1000 })
}

fn told(judgement: &Judgement) -> Vec<String> {
    let findings = judgement.findings.iter();
    findings
        .map(|finding| {
            let column = finding.place.map_or(String::new(), |place| format!("{} ", place.column));
            format!("{column}{} {finding} | {}", finding.kind.id, finding.hint.as_deref().unwrap_or_default())
        })
        .collect()
}

#[test]
fn all_that_is_wrong_is_told_at_once_and_in_order() {
    let script = "#!/bin/bash\n#SBATCH --mem=1G\n#K8S_IMAGE=nas:5407/Tool\n#K8S_WROKDIR=/x\n#K8S_WORKDIR=data\n\
                  #K8S_NAMESPACE=kube-system\n#K8S_MOUNTS=/etc:/a,/opt:/b\n#K8S_IO=tee\n#K8S_IO=direct\n# K8S_KEEP=yes\necho\n";
    let judgement = judged(script, &[]);
    assert_eq!(
        told(&judgement),
        [
            "12 value line 3: #K8S_IMAGE: \"nas:5407/Tool\" is not an image reference: an image's path must be in lower \
             case | write nas:5407/tool",
            "1 line line 4: there is no #K8S_WROKDIR | did you mean #K8S_WORKDIR?",
            "14 value line 5: #K8S_WORKDIR: \"data\" is not an absolute path | write the whole path as the container has it, \
             for example #K8S_WORKDIR=/data",
            "9 conflict line 9: #K8S_IO is given twice, and the second value \"direct\" is not the first one | give #K8S_IO \
             once",
            "1 comment line 10: # K8S_KEEP is a comment: a directive begins with #K8S_ at the beginning of the line | if it \
             is meant, write #K8S_KEEP=…; if not, write ##K8S_KEEP",
        ]
    );
    assert_eq!(judgement.refusal(), judgement.findings.first());
}

#[test]
fn the_site_has_its_say_with_the_line() {
    let script = "#!/bin/bash\n#SBATCH --k8s-network=host\n#K8S_IMAGE=other/tool\n#K8S_MOUNTS=/etc:/a,/opt:/b,/home/x:/c\n\
                  #K8S_PROFILE=gpu\necho\n";
    assert_eq!(
        told(&judged(script, &[("SLURM_K8S_NAMESPACE", "kube-system")])),
        [
            "9 policy line 2: --k8s-network: this site does not allow the node's network | leave --k8s-network=host out, or \
             ask the site's admin for policy.host_network",
            "12 policy line 3: #K8S_IMAGE: other/tool is not among the images that this site allows | allowed: nas:5407/*",
            "13 policy line 4: #K8S_MOUNTS: /etc is not in a folder that this site lets users mount | allowed: /home",
            "13 policy line 4: #K8S_MOUNTS: /opt is not in a folder that this site lets users mount | allowed: /home",
            "14 profile line 5: #K8S_PROFILE: there is no profile \"gpu\" here | did you mean #K8S_PROFILE=gpu1?",
            "policy SLURM_K8S_NAMESPACE: kube-system is not among the namespaces that this site allows | allowed: team",
        ]
    );
}

#[test]
fn command_line_beats_environment_beats_script() {
    let held = |script: &str, environment: &[(&str, &str)]| {
        let judgement = judged(script, environment);
        assert_eq!(judgement.refusal(), None, "{script}");
        let values = judgement.options.values();
        values.map(|(spec, value)| format!("{}={}", spec.name, value.written().display())).collect::<Vec<_>>().join(" ")
    };
    let script = "#!/bin/sh\n#K8S_IMAGE=nas:5407/a\n#K8S_IO=tee\n#K8S_KEEP=on\necho\n";
    assert_eq!(held(script, &[]), "k8s-image=nas:5407/a k8s-io=tee k8s-keep=yes");
    let environment = [("SLURM_K8S_IO", "direct"), ("SLURM_K8S_KEEP", "no")];
    assert_eq!(held(script, &environment), "k8s-image=nas:5407/a k8s-io=direct k8s-keep=no");
    let given = "#!/bin/sh\n#SBATCH --k8s-image=nas:5407/b --k8s-keep\n#K8S_IO=tee\necho\n";
    assert_eq!(held(given, &environment), "k8s-image=nas:5407/b k8s-io=direct k8s-keep=yes");
    // Without an image the environment lies idle, right or wrong.
    assert_eq!(held("#!/bin/sh\necho\n", &[("SLURM_K8S_IO", "fast")]), "");
    assert_eq!(
        held("#!/bin/sh\n#K8S_PROFILE=gpu1\necho\n", &environment),
        "k8s-profile=gpu1 k8s-io=direct k8s-keep=no"
    );
}

#[test]
fn options_without_an_image_are_told_once() {
    let one = |script: &str| told(&judged(script, &[]));
    let needs =
        "14 without-image line 2: #K8S_WORKDIR needs #K8S_IMAGE | add #K8S_IMAGE=IMAGE, or leave #K8S_WORKDIR out";
    assert_eq!(one("#!/bin/sh\n#K8S_WORKDIR=/x\n#K8S_IO=tee\necho\n"), [needs]);
    let needs = "9 without-image line 2: --k8s-io needs --k8s-image | add --k8s-image=IMAGE, or leave --k8s-io out";
    assert_eq!(one("#!/bin/sh\n#SBATCH --k8s-io=tee\necho\n"), [needs]);
    let wrong = one("#!/bin/sh\n#K8S_IMAGE=a:b:c\n#K8S_IO=tee\necho\n");
    assert!(wrong.len() == 1 && wrong[0].starts_with("12 value line 2: #K8S_IMAGE"), "{wrong:?}");
}

#[test]
fn an_image_of_none_lets_the_script_lie() {
    let script = "#!/bin/sh\n#K8S_IMAGE=Bad:\n#K8S_OTHER=x\necho\n";
    let judgement = judged(script, &[("SLURM_K8S_IMAGE", "none")]);
    assert_eq!((judgement.refusal(), judgement.options.wants_pod()), (None, false));
    assert_eq!(judgement.findings.len(), 2);
}

#[test]
fn what_is_only_odd_refuses_nothing() {
    let judgement = judged("#!/bin/sh\n#SBATCH --k8s-image=nas:5407/b\n#K8S_IMAGE=nas:5407/a\n#K8S_KEEP=no\n", &[]);
    assert_eq!(
        told(&judgement),
        [
            "1 overridden line 3: #K8S_IMAGE does not hold: --k8s-image in line 2 says something else | leave one of them out",
            "no-command there is no command in the script | lines that begin with '#' are comments",
        ]
    );
    assert_eq!(judgement.refusal(), None);
    assert_eq!(told(&judged("#!/bin/sh\necho\n", &[])), Vec::<String>::new());
}
