//! What Slurm gave a step on a node of its generic resources, and what GPUs are called in its container.
//!
//! slurmstepd itself sets, and otherwise unsets, what is read here, before it starts any plugin (`_step_setup`), as long
//! as `GresTypes` has the resource. It does so for GPUs and network cards only: decisions/0011.

/// Slurm's variable with the GPUs of a step; for a batch script it is [`OF_JOB`].
const OF_STEP: &str = "SLURM_STEP_GPUS";
/// As [`OF_STEP`].
const OF_JOB: &str = "SLURM_JOB_GPUS";
/// The network cards of a step, by name; for a batch script it is [`NICS_OF_JOB`].
const NICS_OF_STEP: &str = "SLURM_STEP_NICS";
/// As [`NICS_OF_STEP`].
const NICS_OF_JOB: &str = "SLURM_JOB_NICS";
/// How many there are, also if Slurm cannot tell which.
const COUNT: &str = "SLURM_GPUS_ON_NODE";
/// What tells the nodes' GPUs by their own names, for parts of one (MIG).
const BY_NAME: &str = "CUDA_VISIBLE_DEVICES";
/// What programs read: numbers within the container.
pub const IN_CONTAINER: &[&str] =
    &["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK"];
/// What GPU runtimes take for no GPU, whatever the image says.
pub const NONE: &str = "void";

/// How many GPUs a job asks for in one of slurmctld's lists: `gres:gpu:2`, `gres/gpu:a100:2,gres/gpu:h100`.
#[must_use]
pub fn asked(list: &[u8]) -> u64 {
    let list = String::from_utf8_lossy(list);
    let count = |item: &str| {
        let item = item.trim();
        let item = item.strip_prefix("gres:").or_else(|| item.strip_prefix("gres/")).unwrap_or(item);
        let mut parts = item.split([':', '=']);
        let gpu = parts.next() == Some("gpu");
        gpu.then(|| parts.next_back().and_then(|last| last.parse().ok()).unwrap_or(1))
    };
    list.split([',', ';']).filter_map(count).fold(0, u64::saturating_add)
}

/// The GPUs of a step on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpus {
    /// Whether it is a batch script.
    batch: bool,
    /// How many.
    count: usize,
    /// By their numbers on the node.
    numbers: Vec<u32>,
    /// By their names, if Slurm knows such.
    names: Option<Vec<String>>,
}

impl Gpus {
    /// Reads them from a step's environment, or from a batch script's.
    pub fn of(batch: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let numbers = numbers(&variable(source(batch)).unwrap_or_default());
        let names: Vec<_> = variable(BY_NAME).unwrap_or_default().split(',').map(str::to_owned).collect();
        let by_name = names.len() == numbers.len() && names.iter().all(|name| is_name(name));
        let counted = variable(COUNT).and_then(|count| count.parse().ok()).unwrap_or(0);
        Self {
            batch,
            count: if numbers.is_empty() { counted } else { numbers.len() },
            names: (by_name && !numbers.is_empty()).then_some(names),
            numbers,
        }
    }

    /// Slurm's variable with a task's own.
    #[must_use]
    pub fn variable(&self) -> &'static str {
        source(self.batch)
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether Slurm says how many, but not which: gres.conf has no devices for them.
    #[must_use]
    pub fn nameless(&self) -> bool {
        self.count > 0 && self.numbers.is_empty()
    }

    /// What the GPU runtime is told.
    #[must_use]
    pub fn for_runtime(&self) -> String {
        match &self.names {
            _ if self.numbers.is_empty() => NONE.to_owned(),
            Some(names) => names.join(","),
            None => list(self.numbers.iter()),
        }
    }

    /// A task's own GPUs (`--gpu-bind`) by their numbers in the container, which has only the step's; none where Slurm
    /// uses names, which hold everywhere.
    #[must_use]
    pub fn in_container(&self, of_task: &str) -> Option<String> {
        if self.names.is_some() || self.numbers.is_empty() {
            return None;
        }
        let own = numbers(of_task);
        Some(list((0..).zip(&self.numbers).filter(|(_, number)| own.contains(number)).map(|(at, _)| at)))
    }
}

fn source(batch: bool) -> &'static str {
    if batch { OF_JOB } else { OF_STEP }
}

fn list(numbers: impl Iterator<Item = impl std::fmt::Display>) -> String {
    numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

/// `0,2`, also `0-2`.
/// The numbers of a list such as `0-3,8`.
#[must_use]
pub fn numbers(text: &str) -> Vec<u32> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.parse::<u32>(), to.parse::<u32>())
            && to.saturating_sub(from) < 1024
        {
            all.extend(from..=to);
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// How many network cards a step has, or a batch script's job.
pub fn nics(batch: bool, variable: impl Fn(&str) -> Option<String>) -> usize {
    let names = variable(if batch { NICS_OF_JOB } else { NICS_OF_STEP }).unwrap_or_default();
    names.split(',').filter(|name| name.bytes().any(|byte| byte.is_ascii_digit())).count()
}

/// NVML's name of a GPU or a part of one.
fn is_name(text: &str) -> bool {
    (text.starts_with("MIG-") || text.starts_with("GPU-"))
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/'))
}

/// Whether Slurm itself looks after this resource: `GresTypes` in slurm.conf. Without it a user could set the variables.
#[must_use]
pub fn is_slurms(kind: &str, slurm_conf: &str) -> bool {
    let values = slurm_conf.lines().filter_map(|line| line.split('#').next()?.split_once('='));
    let types = values.filter(|(key, _)| key.trim().eq_ignore_ascii_case("GresTypes"));
    types.flat_map(|(_, types)| types.split(',')).any(|name| name.trim() == kind)
}

/// The files that a slurm.conf includes.
pub fn includes(slurm_conf: &str) -> impl Iterator<Item = &str> {
    slurm_conf.lines().filter_map(|line| {
        let (word, file) = line.split('#').next()?.trim().split_once(char::is_whitespace)?;
        word.eq_ignore_ascii_case("include").then(|| file.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_that_are_asked_for() {
        for (list, expected) in [
            ("", 0),
            ("gres:gpu:2", 2),
            ("gres/gpu:a100:2", 2),
            ("gres/gpu=4", 4),
            ("gpu", 1),
            ("gpu:a100", 1),
            ("gres:gpu:a100:1,gres:gpu:h100:2;gres:fpga:8", 3),
            ("gres:gpux:2", 0),
        ] {
            assert_eq!(asked(list.as_bytes()), expected, "{list}");
        }
    }

    fn gpus(batch: bool, given: &[(&str, &str)]) -> Gpus {
        Gpus::of(batch, |name| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn a_step_has_its_own_and_a_script_the_jobs() {
        let given = [(OF_JOB, "0,1,2"), (OF_STEP, "1,2"), (BY_NAME, "1,2")];
        assert_eq!(gpus(false, &given).for_runtime(), "1,2");
        assert_eq!(gpus(true, &given).for_runtime(), "0,1,2");
        assert_eq!(gpus(false, &[(OF_JOB, "0")]).for_runtime(), NONE);
        assert_eq!(gpus(false, &[(OF_STEP, "all")]).for_runtime(), NONE);
    }

    #[test]
    fn a_task_sees_its_own_among_the_containers() {
        let step = gpus(false, &[(OF_STEP, "1,3,5")]);
        assert_eq!(step.in_container("1,3,5").as_deref(), Some("0,1,2"));
        assert_eq!(step.in_container("5").as_deref(), Some("2"));
        assert_eq!(step.in_container("0").as_deref(), Some(""));
        assert_eq!(Gpus::default().in_container("0"), None);
    }

    #[test]
    fn parts_of_gpus_keep_their_names() {
        let step = gpus(false, &[(OF_STEP, "0,1"), (BY_NAME, "MIG-1a/2/0,MIG-3b")]);
        assert_eq!(step.for_runtime(), "MIG-1a/2/0,MIG-3b");
        assert_eq!(step.in_container("0"), None);
        assert_eq!(gpus(false, &[(OF_STEP, "0"), (BY_NAME, "MIG-a,MIG-b")]).for_runtime(), "0");
        assert_eq!(gpus(false, &[(OF_STEP, "0"), (BY_NAME, "MIG-a;rm")]).for_runtime(), "0");
    }

    #[test]
    fn slurm_conf_tells_what_slurm_looks_after() {
        assert!(is_slurms("gpu", "ClusterName=a\ngrestypes = nic, gpu # x\n"));
        assert!(!is_slurms("gpu", "#GresTypes=gpu\nGresTypes=nic\n"));
        let files: Vec<_> =
            includes("Include  /etc/slurm/a.conf # x\n#include b\ninclude c.conf\nIncluded=1\n").collect();
        assert_eq!(files, ["/etc/slurm/a.conf", "c.conf"]);
    }

    #[test]
    fn network_cards_are_counted_by_their_names() {
        let given = |name: &str| match name {
            NICS_OF_STEP => Some("mlx4_0,mlx4_3".to_owned()),
            NICS_OF_JOB => Some("mlx4_0,mlx4_1,mlx4_3".to_owned()),
            _ => None,
        };
        assert_eq!((nics(false, given), nics(true, given)), (2, 3));
        assert_eq!((nics(false, |_| None), nics(false, |_| Some("NoDevFiles".into()))), (0, 0));
    }

    #[test]
    fn slurm_may_know_the_number_only() {
        let step = gpus(false, &[(COUNT, "2")]);
        assert_eq!((step.count(), step.nameless(), step.for_runtime().as_str()), (2, true, NONE));
        assert!(!gpus(false, &[(COUNT, "2"), (OF_STEP, "0,1")]).nameless());
    }
}
