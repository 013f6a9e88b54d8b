//! What the admin puts together: profiles for `--k8s-profile`, and a template below every Pod.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::submit::Unasked;
use e2e::{ALICE, Changed, NODE1, ROOT, Ran, alone, image, in_image};

const CONFIG: &str = "/etc/slurm/k8s.toml";
const TEMPLATE: &str = "/etc/slurm/k8s-pod.yaml";

/// The config on the login host and on the first node as changed; slurmctld leaves it to them.
fn site(change: impl Fn(String) -> String) -> (Unasked, Changed, Changed) {
    let edit = |at| Changed::edit(at, CONFIG, &change);
    (Unasked::start(), edit(ROOT), edit(NODE1))
}

#[allow(clippy::needless_pass_by_value, reason = "as `Changed::edit` gives it")]
fn with_template(text: String) -> String {
    assert!(text.contains("[pod]\n"), "{text}");
    text.replacen("[pod]\n", &format!("[pod]\ntemplate = '{TEMPLATE}'\n"), 1)
}

fn on_node1(options: &[&str], line: &str) -> Ran {
    ALICE.run(&[&["srun", "-Q", "-w", "node1", "--mem=100M"][..], options, &["sh", "-c", line]].concat())
}

/// A template on the login host and on the first node, for as long as it lives.
struct Template;

impl Template {
    fn of(text: &str) -> Self {
        for at in [ROOT, NODE1] {
            let _ = at.run_with(&["tee", TEMPLATE], text.as_bytes()).ok();
        }
        Self
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        for at in [ROOT, NODE1] {
            let _ = at.run(&["rm", "-f", TEMPLATE]);
        }
    }
}

#[test]
fn a_profile_gives_what_the_user_does_not() {
    let _alone = alone();
    let small = format!(
        "[profiles.small]\nimage = '{}'\nshm_size = '5M'\nreadonly = true\nenv = 'FROM=profile'\n",
        image("userland")
    );
    let _site = site(|text| text + &small);
    let line = "df --output=size -B1M /dev/shm | tail -n1; touch /etc/x 2>/dev/null && echo writable; echo $FROM";
    assert_eq!(on_node1(&["--k8s-profile=small"], line).ok().text(), "5\nprofile");
    let over = ["--k8s-profile=small", "--k8s-shm-size=7M", "--k8s-env=FROM=me"];
    assert_eq!(on_node1(&over, line).ok().text(), "7\nme");
    let environment = "SLURM_K8S_PROFILE=small SLURM_K8S_ENV=FROM=there srun -Q -w node1 --mem=100M sh -c 'echo $FROM'";
    assert_eq!(ALICE.run(&["sh", "-c", environment]).ok().text(), "there");
}

#[test]
fn a_profile_needs_no_permission_and_its_user_does() {
    let _alone = alone();
    let _site = site(|text| text + "[profiles.data]\nmounts = '/usr/share:/site:ro'\n");
    let image = in_image("busybox");
    assert_eq!(on_node1(&[&image, "--k8s-profile=data"], "test -d /site/doc && echo there").ok().text(), "there");
    on_node1(&[&image, "--k8s-profile=data", "--k8s-mounts=/usr/lib:/x"], "true").fails(1, "/usr/lib");
}

#[test]
fn a_profile_that_is_not_there_is_refused_on_both_sides() {
    let _alone = alone();
    let image = in_image("busybox");
    on_node1(&[&image, "--k8s-profile=small"], "true").fails(1, "hint: leave it out: this site has no profiles");
    let _unasked = Unasked::start();
    let _login = Changed::edit(ROOT, CONFIG, |text| text + "[profiles.small]\npull = 'missing'\n");
    on_node1(&[&image, "--k8s-profile=smal"], "true").fails(1, "did you mean --k8s-profile=small?");
    on_node1(&["--k8s-profile=small"], "true").fails(1, "--k8s-image");
    on_node1(&[&image, "--k8s-profile=small"], "true").fails(124, "no profile \"small\"");
}

#[test]
fn the_sites_template_is_in_every_pod_below_ours() {
    let _alone = alone();
    let _template = Template::of(
        "metadata:\n  labels: {site: here, app: other}\nspec:\n  restartPolicy: Always\n  \
         tolerations: [{key: site, operator: Exists}]\n  containers:\n  - name: job\n    env: [{name: SITE, value: here}]\n",
    );
    let _site = site(with_template);
    let ran = on_node1(&[&in_image("busybox"), "--k8s-keep"], "echo $SLURM_JOB_ID $SITE").ok().text();
    let job = ran.strip_suffix(" here").unwrap();
    let select = format!("app=slurm-job,site=here,job-id={job}");
    let path = "jsonpath={.items[*].spec.restartPolicy} {.items[*].spec.tolerations[*].key}";
    let text = ALICE.run(&["kubectl", "get", "pods", "-l", &select, "-o", path]).ok().text();
    let _ = ROOT.run(&["kubectl", "delete", "pods", "-l", &select, "--wait=false"]).ok();
    assert!(text.starts_with("Never ") && text.ends_with(" site") && text.contains(" slurm-k8s "), "{text}");
}

#[test]
fn a_bad_template_is_named_with_its_line() {
    let _alone = alone();
    let _template = Template::of("spec:\n  tolerations: []\n  priorityClas: high\n");
    let _site = site(with_template);
    let named = format!("{TEMPLATE} cannot be used: line 3: a Pod has no field spec.priorityClas");
    let image = in_image("busybox");
    on_node1(&[&image], "true").fails(1, &named);
    // A login host without the file leaves it to the node.
    let _ = ROOT.run(&["rm", TEMPLATE]).ok();
    on_node1(&[&image], "true").fails(120, &named);
}
