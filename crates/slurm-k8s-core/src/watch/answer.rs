//! What sbatch said, and what it means for the file.

use super::reason::Refusal;

/// A job, on this cluster or on another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: u32,
    /// The cluster, if sbatch names it.
    pub cluster: Option<String>,
}

impl Job {
    /// The first line of `sbatch --parsable`; none if the line is not whole.
    #[must_use]
    pub fn parse(stdout: &[u8]) -> Option<Self> {
        let line = stdout.split_inclusive(|byte| *byte == b'\n').next()?.strip_suffix(b"\n")?;
        let line = std::str::from_utf8(line).ok()?;
        let (id, cluster) = line.split_once(';').map_or((line, None), |(id, cluster)| (id, Some(cluster)));
        let id = id.parse().ok().filter(|id| *id > 0)?;
        Some(Self { id, cluster: cluster.filter(|name| !name.is_empty()).map(str::to_owned) })
    }
}

impl std::fmt::Display for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cluster {
            Some(cluster) => write!(f, "{} on {cluster}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Code(i32),
    /// Killed: by its deadline, or by somebody.
    Killed,
}

/// What it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// There is a job.
    Job(Job),
    /// There is none, and it is the file's fault.
    Refused(Refusal),
    /// Slurm is not there, or not in a state to take jobs: the file waits.
    Away(String),
    /// There may be a job.
    Doubtful(String),
}

/// What Slurm's commands put in front of what they say.
const PREFIXES: [&str; 4] = ["sbatch: ", "error: ", "fatal: ", "Batch job submission failed: "];

/// Said when it is not the file's fault.
const SITE: &[&str] = &[
    "Unable to contact slurm controller",
    "Connection refused",
    "Connection reset",
    "Connection timed out",
    "Socket timed out",
    "Zero Bytes were transmitted",
    "Insane message length",
    "No route to host",
    "Network is unreachable",
    "Protocol authentication error",
    "Invalid authentication credential",
    "authentication plugin",
    "munge",
    "Munge",
    "temporarily unable to accept job",
    "job queue full",
    "Job creation temporarily disabled",
    "standby mode",
    "state recovery",
    "Could not establish a configuration source",
    "Unable to process configuration file",
    "Incompatible versions of client and server",
    "Failed to initialize plugin stack",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
    "Too many open files",
    "No space left on device",
];

/// Reads it. A number counts also when sbatch then failed: the job is there.
#[must_use]
pub fn read(end: End, stdout: &[u8], stderr: &[u8]) -> Answer {
    if let Some(job) = Job::parse(stdout) {
        return Answer::Job(job);
    }
    let lines = lines(stderr);
    let ours = lines.iter().any(|line| line.starts_with("spank-k8s: "));
    let site = lines.iter().find(|line| SITE.iter().any(|text| line.contains(text))).filter(|_| !ours);
    match (end, site) {
        // Also one that was still trying at its deadline.
        (End::Killed | End::Code(1..), Some(line)) => Answer::Away(line.clone()),
        (End::Killed, None) => Answer::Doubtful("sbatch was killed before it had said a job's number".into()),
        // Its number may not have got into the file, for example on a full disk.
        (End::Code(0), _) => Answer::Doubtful(said(&lines)),
        (End::Code(_), _) => Answer::Refused(Refusal::Sbatch { first: main(&lines), text: lines.join("\n") }),
    }
}

/// What sbatch said when it made no job without an error.
fn said(lines: &[String]) -> String {
    if lines.is_empty() { "sbatch said nothing".to_owned() } else { lines.join("\n") }
}

/// Its lines without prefixes; nothing in them can do anything to a terminal.
fn lines(stderr: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stderr);
    let plain = text.lines().map(|line| bare(line).chars().filter(|c| !c.is_control()).collect::<String>());
    plain.filter(|line| !line.is_empty()).take(100).collect()
}

/// Our own line if there is one, else the last: before that there are warnings.
fn main(lines: &[String]) -> String {
    let own = lines.iter().find_map(|line| line.strip_prefix("spank-k8s: ").filter(|line| !line.starts_with("hint: ")));
    let last = || lines.iter().map(String::as_str).rfind(|line| !line.starts_with("Try \"sbatch --help\""));
    own.or_else(last).unwrap_or("it does not say why").to_owned()
}

fn bare(line: &str) -> &str {
    let mut line = line.trim();
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| line.strip_prefix(prefix)) {
        line = rest;
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_is_a_job_whatever_else() {
        for (stdout, id, cluster) in [
            ("17\n", 17, None),
            ("17;other\n", 17, Some("other")),
            ("17\nmore", 17, None),
            ("4294967295\n", u32::MAX, None),
        ] {
            let job = Job { id, cluster: cluster.map(str::to_owned) };
            assert_eq!(read(End::Code(1), stdout.as_bytes(), b"x"), Answer::Job(job));
        }
        for bad in ["", "17", "x\n", "0\n", "-1\n", "\n17\n", "Submitted batch job 17\n"] {
            assert_eq!(Job::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn whose_fault_it_is() {
        let read = |text: &str| read(End::Code(1), b"", text.as_bytes());
        let away = "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)\n";
        assert!(matches!(read(away), Answer::Away(why) if why.ends_with("(connect failure)")));
        let refused = "sbatch: error: invalid partition specified: x\n\
                       sbatch: error: Batch job submission failed: Invalid partition name specified\n";
        let Answer::Refused(Refusal::Sbatch { first, text }) = read(refused) else { panic!() };
        assert_eq!(first, "Invalid partition name specified");
        assert_eq!(text.lines().next(), Some("invalid partition specified: x"));
        let option = "sbatch: unrecognized option '--x'\nTry \"sbatch --help\" for more information\n";
        let told = "sbatch refused it: unrecognized option '--x'";
        assert!(matches!(read(option), Answer::Refused(refusal) if refusal.to_string() == told));
        let ours = "sbatch: error: spank-k8s: line 3: no\nsbatch: error: spank-k8s: hint: yes\nsbatch: error: Batch job \
                    submission failed: Unspecified error\n";
        assert!(
            matches!(read(ours), Answer::Refused(refusal) if refusal.to_string() == "sbatch refused it: line 3: no")
        );
        assert!(matches!(super::read(End::Killed, b"17", b""), Answer::Doubtful(_)));
        let full = b"sbatch: error: Slurm job queue full, sleeping and retrying.";
        assert!(matches!(super::read(End::Killed, b"", full), Answer::Away(_)));
        assert!(matches!(super::read(End::Code(0), b"", b"sbatch: Job 5 to start at"), Answer::Doubtful(_)));
    }

    proptest! {
        #[test]
        fn whatever_it_says_is_read(stdout: Vec<u8>, stderr: Vec<u8>, code: i32) {
            let answer = read(End::Code(code), &stdout, &stderr);
            prop_assert_eq!(matches!(answer, Answer::Job(_)), Job::parse(&stdout).is_some());
        }
    }
}
