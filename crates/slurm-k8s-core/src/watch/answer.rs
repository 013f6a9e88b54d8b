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
    /// Slurm is not in a state to take the job: the file waits.
    Away {
        /// Its words.
        why: String,
        /// Whether it is not there at all, so that no other file could be submitted either.
        down: bool,
    },
    /// There may be a job.
    Doubtful(String),
}

/// What Slurm's commands put in front of what they say.
const PREFIXES: [&str; 4] = ["sbatch: ", "error: ", "fatal: ", FAILED];
/// What sbatch puts in front of slurmctld's word.
const FAILED: &str = "Batch job submission failed: ";

/// How a line begins that says that slurmctld is not there.
const DOWN: &[&str] = &["Unable to contact slurm controller"];

/// How lines begin that say something else that is not the file's fault.
const SITE: &[&str] = &[
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
    "Slurm temporarily unable to accept job",
    "Slurm job queue full",
    "Job creation temporarily disabled",
    "Slurm backup controller in standby mode",
    "Controller is in standby mode",
    "Could not establish a configuration source",
    "Unable to process configuration file",
    "Incompatible versions of client and server",
    "Failed to initialize plugin stack",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
    "Too many open files",
    "No space left on device",
];

/// More are not shown: a script may ask for sbatch's own messages (`--verbose`).
const MOST_LINES: usize = 100;

/// Reads it. A number counts also when sbatch then failed: the job is there.
#[must_use]
pub fn read(end: End, stdout: &[u8], stderr: &[u8]) -> Answer {
    if let Some(job) = Job::parse(stdout) {
        return Answer::Job(job);
    }
    let lines = lines(stderr);
    let ours = lines.iter().any(|line| line.starts_with("spank-k8s: "));
    let site = site(stderr).filter(|_| !ours);
    match (end, site) {
        // Also one that was still trying at its deadline.
        (End::Killed | End::Code(1..), Some((why, down))) => Answer::Away { why, down },
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

/// An error that is not the file's fault, and whether Slurm is away. It has to begin so: what a script names is in errors, too,
/// and no user may stop all others' files.
fn site(stderr: &[u8]) -> Option<(String, bool)> {
    let text = String::from_utf8_lossy(stderr);
    let is_error = |line: &str| ["error: ", "fatal: "].iter().any(|kind| line.starts_with(kind));
    let errors = text.lines().filter_map(|line| line.strip_prefix("sbatch: ")).filter(|line| is_error(line));
    let begins = |line: &str, texts: &[&str]| texts.iter().any(|text| line.starts_with(text));
    errors.map(bare).find_map(|line| {
        let down = begins(line, DOWN);
        (down || begins(line, SITE)).then(|| (line.chars().filter(|c| !c.is_control()).collect(), down))
    })
}

/// Its last lines without prefixes; nothing in them can do anything to a terminal.
fn lines(stderr: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stderr);
    let plain = text.lines().map(|line| bare(line).chars().filter(|c| !c.is_control()).collect::<String>());
    let mut lines: Vec<_> = plain.filter(|line| !line.is_empty()).collect();
    lines.split_off(lines.len().saturating_sub(MOST_LINES))
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
        assert!(matches!(read(away), Answer::Away { why, down: true } if why.ends_with("(connect failure)")));
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
        assert!(matches!(super::read(End::Killed, b"", full), Answer::Away { down: false, .. }));
        // What a script names is no reason to wait for Slurm.
        for forged in [
            "sbatch: error: invalid partition specified: Unable to contact slurm controller\n",
            "sbatch: debug:  auth/munge: init: Unable to contact slurm controller\nsbatch: error: Invalid qos\n",
            "Unable to contact slurm controller\n",
        ] {
            assert!(matches!(read(forged), Answer::Refused(_)), "{forged}");
        }
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
