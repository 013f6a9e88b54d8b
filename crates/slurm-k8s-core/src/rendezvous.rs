//! Where the tasks of a step meet: the variables that `PyTorch`, and programs like it, start a step's processes with.
//!
//! Slurm has no such names of its own; a value that the user gave stays. Only a task of `srun` has them: a batch script is
//! one process that starts others as it likes.

/// Where the first task's Pod can be reached.
pub const MASTER_ADDR: &str = "MASTER_ADDR";
/// The port that the first task may listen on.
pub const MASTER_PORT: &str = "MASTER_PORT";
/// The number of tasks.
pub const WORLD_SIZE: &str = "WORLD_SIZE";
/// The task.
pub const RANK: &str = "RANK";
/// The task on its node.
pub const LOCAL_RANK: &str = "LOCAL_RANK";

/// The container's variable with the Pod's own address, which the kubelet fills in. The user's processes don't have it.
pub const OWN_ADDRESS: &str = "SPANK_K8S_ADDRESS";

/// The ports: below those that Linux, Slurm and Kubernetes give to whoever asks for any (32768, 60001 and 30000).
pub const PORTS: std::ops::Range<u32> = 20000..30000;

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Slurm's variable that it is a copy of; none for where to meet.
    pub slurm: Option<&'static str>,
    /// What it says; markdown.
    pub doc: &'static str,
}

/// The table.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: MASTER_ADDR,
        slurm: None,
        doc: "The address of the Pod on the step's first node; with `--k8s-network=host` that node's address.",
    },
    Variable {
        name: MASTER_PORT,
        slurm: None,
        doc: "A port for the first task to listen on, 20000 to 29999: `20000 + (job + 1009 × step) mod 10000`.",
    },
    Variable { name: WORLD_SIZE, slurm: Some("SLURM_NTASKS"), doc: "The number of tasks: `SLURM_NTASKS`." },
    Variable { name: RANK, slurm: Some("SLURM_PROCID"), doc: "The task's number in the step: `SLURM_PROCID`." },
    Variable { name: LOCAL_RANK, slurm: Some("SLURM_LOCALID"), doc: "The task's number on its node: `SLURM_LOCALID`." },
];

/// The step's port: steps of one job, and jobs that follow each other, have different ones.
#[must_use]
pub fn port(job_id: u32, step_id: u32) -> u16 {
    let size = u64::from(PORTS.end - PORTS.start);
    let offset = (u64::from(job_id) + 1009 * u64::from(step_id)) % size;
    u16::try_from(u64::from(PORTS.start) + offset).unwrap_or(u16::MAX)
}

/// The variables of a task as `NAME=value`. `slurm` tells what Slurm gave it; a value that is not known is left out.
pub fn entries(address: Option<&str>, port: u16, slurm: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let value = |variable: &Variable| match (variable.slurm, variable.name) {
        (Some(name), _) => slurm(name),
        (None, MASTER_PORT) => Some(port.to_string().into_bytes()),
        (None, _) => address.map(|address| address.as_bytes().to_vec()),
    };
    let entry = |variable: &Variable| Some([variable.name.as_bytes(), b"=", &value(variable)?].concat());
    VARIABLES.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_in_the_range_and_neighbours_differ() {
        assert_eq!(port(4711, 0), 24711);
        assert_ne!(port(4711, 0), port(4711, 1));
        assert_ne!(port(4711, 0), port(4712, 0));
        assert!(PORTS.contains(&port(u32::MAX, u32::MAX).into()));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let slurm = |name: &str| (name == "SLURM_PROCID").then(|| b"3".to_vec());
        let text = |entries: Vec<Vec<u8>>| {
            entries.into_iter().map(|entry| String::from_utf8(entry).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(
            text(entries(Some("10.0.0.1"), 20001, slurm)),
            ["MASTER_ADDR=10.0.0.1", "MASTER_PORT=20001", "RANK=3"]
        );
        assert_eq!(text(entries(None, 20001, slurm)), ["MASTER_PORT=20001", "RANK=3"]);
    }
}
