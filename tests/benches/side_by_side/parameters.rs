//! How much is measured: little by default, more by environment variables. `BENCH_PAGE` says where the page goes.

use std::path::PathBuf;

/// A number: (variable, default, what).
pub const NUMBERS: [(&str, u32, &str); 8] = [
    ("BENCH_ROUNDS", 5, "turns of each contestant for one command"),
    ("BENCH_STREAM_ROUNDS", 3, "turns for output"),
    ("BENCH_FILE_MIB", 1024, "MiB of output to a file in each turn"),
    ("BENCH_SRUN_MIB", 16, "MiB of output through `srun` in each turn"),
    ("BENCH_PLAIN_STEPS", 60, "turns of a plain step with and without the plugin"),
    ("BENCH_MEMORY_ROUNDS", 3, "turns for slurmstepd's threads and memory"),
    ("BENCH_RATE_ROUNDS", 1, "turns for jobs back to back"),
    ("BENCH_RATE_JOBS", 10, "jobs and steps back to back"),
];

/// What was asked for.
#[derive(Debug)]
pub struct Parameters {
    pub rounds: u32,
    pub stream_rounds: u32,
    pub file_mib: u32,
    pub srun_mib: u32,
    pub plain_steps: u32,
    pub memory_rounds: u32,
    pub rate_rounds: u32,
    pub rate_jobs: u32,
    pub page: PathBuf,
}

/// A variable whose value is no number.
#[derive(Debug, thiserror::Error)]
#[error("{name}={value} is not a number from 1 on")]
pub struct ParameterError {
    name: &'static str,
    value: String,
}

impl Parameters {
    /// From the environment.
    pub fn from_environment() -> Result<Self, ParameterError> {
        let mut numbers = [0; NUMBERS.len()];
        for (number, (name, default, _)) in numbers.iter_mut().zip(NUMBERS) {
            *number = match std::env::var(name) {
                Ok(value) => {
                    let given = value.parse().ok().filter(|number| *number > 0);
                    given.ok_or(ParameterError { name, value })?
                }
                Err(_) => default,
            };
        }
        let [rounds, stream_rounds, file_mib, srun_mib, plain_steps, memory_rounds, rate_rounds, rate_jobs] = numbers;
        let page = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/performance.md");
        let page = std::env::var_os("BENCH_PAGE").map_or_else(page, PathBuf::from);
        Ok(Self { rounds, stream_rounds, file_mib, srun_mib, plain_steps, memory_rounds, rate_rounds, rate_jobs, page })
    }

    /// The numbers, in the order of [`NUMBERS`].
    pub fn numbers(&self) -> [u32; NUMBERS.len()] {
        [
            self.rounds,
            self.stream_rounds,
            self.file_mib,
            self.srun_mib,
            self.plain_steps,
            self.memory_rounds,
            self.rate_rounds,
            self.rate_jobs,
        ]
    }
}
