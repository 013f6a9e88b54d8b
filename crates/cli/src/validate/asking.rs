//! What Slurm says of the resources: its partitions' limits, with the line that asks for more, and then its own judgement.

mod place;

use std::process::Stdio;
use std::time::Duration;

use slurm_k8s_core::finding::{self, Finding};
use slurm_k8s_core::partition::{self, Partition};
use slurm_k8s_core::script::request::Request;
use slurm_k8s_core::script::{self, sbatch};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// For one command.
const LIMIT: Duration = Duration::from_secs(15);
/// What Slurm's commands put in front of what they say.
const PREFIXES: [&str; 4] = ["sbatch: ", "error: ", "fatal: ", "allocation failure: "];
/// What they say when slurmctld is not there.
const ABSENT: [&str; 3] = ["Unable to contact slurm controller", "Connection refused", "Connection timed out"];

/// Slurm, as far as it was asked.
pub struct Slurm {
    enabled: bool,
    partitions: Option<Result<Vec<Partition>, String>>,
}

/// What a command of Slurm's left behind.
struct Said {
    success: bool,
    stdout: String,
    stderr: String,
}

impl Slurm {
    /// Asks nothing yet; nothing at all unless `enabled`.
    pub fn new(enabled: bool) -> Self {
        Self { enabled, partitions: None }
    }

    /// What is wrong with the resources. A script with errors is not shown to Slurm: it would say the same again.
    pub async fn check(&mut self, script: &[u8], has_error: bool) -> Vec<Finding> {
        if !self.enabled {
            return Vec::new();
        }
        if self.partitions.is_none() {
            self.partitions = Some(partitions().await);
        }
        let partitions = match &self.partitions {
            Some(Ok(partitions)) => partitions,
            Some(Err(why)) => return vec![not_asked(why)],
            None => return Vec::new(),
        };
        let mut found: Vec<_> = (0..script::components(script))
            .flat_map(|component| {
                let (arguments, _) = sbatch::arguments(script, component);
                partition::check(&Request::of(&arguments, &|name| std::env::var_os(name)), partitions)
            })
            .collect();
        if !has_error && !found.iter().any(Finding::is_error) {
            found.extend(refused(script).await);
        }
        found
    }
}

async fn partitions() -> Result<Vec<Partition>, String> {
    let said = run("scontrol", &["show", "partition", "--oneliner"], b"").await?;
    if !said.success {
        return Err(reason(&said.stderr));
    }
    Ok(said.stdout.lines().filter_map(Partition::parse).collect())
}

/// Slurm's own judgement: sbatch reads the script as it does when it submits it, and slurmctld looks for nodes.
async fn refused(script: &[u8]) -> Option<Finding> {
    let said = match run("sbatch", &["--test-only"], script).await {
        Ok(said) => said,
        Err(why) => return Some(not_asked(&why)),
    };
    if said.success {
        return None;
    }
    let why = reason(&said.stderr);
    if ABSENT.iter().any(|absent| said.stderr.contains(absent)) {
        return Some(not_asked(&why));
    }
    let cause = format!("Slurm would refuse this job: {why}");
    let hint = said.stderr.lines().find_map(|line| bare(line).strip_prefix("hint: ").map(str::to_owned));
    let hint = hint.unwrap_or_else(|| "`sbatch --test-only` says the same; `sinfo` shows what there is".into());
    let arguments: Vec<_> =
        (0..script::components(script)).flat_map(|component| sbatch::arguments(script, component).0).collect();
    let place = place::of(&said.stderr, &arguments);
    Some(Finding { kind: finding::RESOURCES, place, cause, hint: Some(hint) })
}

fn not_asked(why: &str) -> Finding {
    let cause = format!("Slurm was not asked about the resources: {why}");
    Finding { kind: finding::NO_SLURM, place: None, cause, hint: None }
}

/// Runs a command with the user's environment, as the user would.
async fn run(program: &str, arguments: &[&str], input: &[u8]) -> Result<Said, String> {
    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cannot run {program}: {error}"))?;
    let stdin = child.stdin.take();
    let running = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // One that does not read to the end has its reasons, and says them.
                let _ = stdin.write_all(input).await;
            }
        };
        let ((), output) = tokio::join!(write, child.wait_with_output());
        output
    };
    let output = match tokio::time::timeout(LIMIT, running).await {
        Ok(output) => output.map_err(|error| format!("cannot run {program}: {error}"))?,
        Err(_) => return Err(format!("{program} did not end within {} s", LIMIT.as_secs())),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said { success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}

/// What a command said: our own plugin's line if it has one, else the last line; before that there are warnings.
fn reason(stderr: &str) -> String {
    let mut lines = stderr.lines().map(bare).filter(|line| !line.is_empty() && !line.starts_with("hint: "));
    let own = lines.clone().find(|line| line.starts_with("spank-k8s: "));
    let line = own.or_else(|| lines.next_back()).unwrap_or_else(|| "it does not say why".to_owned());
    line.chars().filter(|c| !c.is_control()).collect()
}

fn bare(line: &str) -> String {
    let mut line = line.trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| line.strip_prefix(prefix)) {
        line = rest;
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slurm_says_is_shown_without_its_prefixes() {
        for (said, shown) in [
            (
                "allocation failure: Requested node configuration is not available\n",
                "Requested node configuration is not available",
            ),
            ("sbatch: error: Memory specification can not be satisfied\nallocation failure: No\n", "No"),
            ("spank-k8s: no\nhint: yes\nsbatch: error: Plugin stack failed\n", "spank-k8s: no"),
            ("", "it does not say why"),
        ] {
            assert_eq!(reason(said), shown, "{said}");
        }
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_named() {
        let error = run("slurm-k8s-no-such-command", &[], b"").await.err();
        assert!(error.is_some_and(|error| error.starts_with("cannot run slurm-k8s-no-such-command: ")));
    }

    #[tokio::test]
    async fn a_command_that_does_not_read_its_input_ends_all_the_same() {
        let said = run("true", &[], &vec![b'#'; 1 << 20]).await;
        assert!(said.is_ok_and(|said| said.success));
    }
}
