//! Jobs that come by Slurm's REST interface: no plugin on the way, an environment that the caller makes up.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use e2e::slurm::{V22_05, slurm};
use e2e::{ALICE, accounting, image, scratch};

/// What slurmrestd answers alice, who has started it for this one request.
fn post(script: &str, output: &str) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"));
    // The one that Slurm 22.05 has, and one that 24.11 and 26.05 both have.
    let (api, environment) = match slurm() {
        V22_05 => ("v0.0.38", "{\"PATH\": \"/bin:/usr/bin\"}"),
        _ => ("v0.0.42", "[\"PATH=/bin:/usr/bin\"]"),
    };
    let body = format!(
        "{{\"job\": {{\"name\": \"rest\", \"current_working_directory\": \"/tmp\", \"memory_per_node\": 100, \
         \"standard_output\": {}, \"environment\": {environment}}}, \"script\": {}}}",
        quoted(output),
        quoted(script)
    );
    let request = format!(
        "POST /slurm/{api}/job/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    // It lets in whom its pipe belongs to.
    let ran = ALICE.run_with(&["bash", "-c", "cat | slurmrestd -a rest_auth/local"], request.as_bytes());
    format!("{}\n{}", ran.text(), ran.errors())
}

/// The job that it tells of.
fn job(answer: &str) -> Option<String> {
    let (_, rest) = answer.split_once("\"job_id\":")?;
    let id: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    (id != "0").then_some(id)
}

#[test]
fn a_job_by_rest_runs_in_the_pod_that_its_script_asks_for() {
    let file = format!("{}/out", scratch("rest"));
    let script = format!(
        "#!/bin/bash\n#K8S_IMAGE={}\ntest -e /.slurm-k8s/agent && echo in a Pod; echo \"$SLURM_K8S_IMAGE\"\n",
        image("userland")
    );
    let answer = post(&script, &file);
    let id = job(&answer).unwrap_or_else(|| panic!("{answer}"));
    assert!(accounting(&id).starts_with(&format!("{id}|COMPLETED|0:0")), "{answer}");
    assert_eq!(ALICE.run(&["cat", &file]).ok().text(), format!("in a Pod\n{}", image("userland")));
}

#[test]
fn a_job_by_rest_is_refused_like_any_other() {
    let script = format!("#!/bin/bash\n#K8S_IMAGE={}\n#K8S_NETWORK=host\ntrue\n", image("userland"));
    let answer = post(&script, "/dev/null");
    assert_eq!(job(&answer), None, "{answer}");
    assert!(answer.contains("Invalid argument"), "{answer}");
}
