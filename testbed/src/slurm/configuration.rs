//! Slurm's configuration files: the scheduler as the site's guide sets it, the rest fit for tests.

use crate::host::CTL;
use crate::product;
use crate::site::Site;
use std::fmt::Write as _;
use std::path::Path;

/// The cluster's name.
pub const CLUSTER: &str = "testbed";

/// cgroup.conf.
pub const CGROUP: &str = "CgroupPlugin=autodetect
ConstrainCores=yes
ConstrainRAMSpace=yes
";

/// How many GPUs a node has, as Slurm and Kubernetes see it: there are none.
pub const GPUS: usize = 4;
/// Likewise its network cards.
pub const NICS: usize = 2;

/// What stands for a node's GPUs and network cards: links to a device that does nothing, since Slurm wants devices.
pub fn devices() -> impl Iterator<Item = String> {
    let gpus = (0..GPUS).map(|number| format!("{DEVICES}/gpu{number}"));
    gpus.chain((0..NICS).map(|number| format!("{DEVICES}/mlx5_{number}")))
}

const DEVICES: &str = "/var/lib/testbed/devices";

/// gres.conf.
pub fn gres() -> String {
    let [gpus, nics] = [GPUS, NICS].map(|count| count - 1);
    format!("AutoDetect=off\nName=gpu File={DEVICES}/gpu[0-{gpus}]\nName=nic File={DEVICES}/mlx5_[0-{nics}]\n")
}

/// slurmdbd.conf; the database lets the user slurm in by its socket.
pub const SLURMDBD: &str = "DbdHost=ctl
SlurmUser=slurm
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StorageLoc=slurm_acct_db
LogFile=/var/log/slurm/slurmdbd.log
PidFile=/run/slurmdbd.pid
";

/// How Slurm keeps track of a job's processes, and why so.
#[derive(Debug)]
pub struct Tracking {
    /// Whether by cgroups.
    pub cgroup: bool,
    /// Why.
    pub reason: &'static str,
}

impl Tracking {
    /// What this machine allows.
    pub fn of_this_machine() -> Self {
        let needed = ["freezer", "cpuset", "memory"];
        let (cgroup, reason) = if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            (false, "cgroup v2, where Slurm 22.05 needs a systemd on each host")
        } else if needed.iter().any(|name| !Path::new("/sys/fs/cgroup").join(name).join("cgroup.procs").exists()) {
            (false, "a cgroup v1 hierarchy of freezer, cpuset, memory is not mounted")
        } else if needed.iter().any(|name| !writable(&Path::new("/sys/fs/cgroup").join(name))) {
            (false, "the cgroup v1 hierarchies can't be written")
        } else {
            (true, "cgroup v1 hierarchies of freezer, cpuset and memory can be written")
        };
        Self { cgroup, reason }
    }

    /// The plugins, in a few words.
    pub fn plugins(&self) -> &'static str {
        if self.cgroup { "proctrack/cgroup, task/affinity,task/cgroup" } else { "proctrack/linuxproc, task/affinity" }
    }
}

fn writable(hierarchy: &Path) -> bool {
    use rustix::fs::{Access, access};
    access(hierarchy, Access::WRITE_OK).is_ok() && !read_only(hierarchy)
}

fn read_only(path: &Path) -> bool {
    rustix::fs::statvfs(path).is_ok_and(|fs| fs.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// slurm.conf.
pub fn slurm(site: &Site, tracking: &Tracking) -> String {
    let (proctrack, task) =
        if tracking.cgroup { ("cgroup", "task/affinity,task/cgroup") } else { ("linuxproc", "task/affinity") };
    let mut text = format!(
        "ClusterName={CLUSTER}
SlurmctldHost={controller}({address})
SlurmUser=slurm
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=/var/lib/slurm
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
SlurmctldDebug=info
SlurmdDebug=info
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
ProctrackType=proctrack/{proctrack}
TaskPlugin={task}
KillWait=5
InactiveLimit=60
# A number of no exit code's size: tests take a job's number out of what they compare.
FirstJobId=1001
SlurmdTimeout=60
SlurmctldTimeout=60
MessageTimeout=20
BatchStartTimeout=30

# As the site's guide has it.
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu,nic
SchedulerParameters=bf_max_job_test=100,bf_interval=30
PriorityType=priority/multifactor
PriorityWeightAge=1000
PriorityWeightFairshare=10000
PriorityWeightJobSize=1000
PreemptType=preempt/partition_prio
PreemptMode=CANCEL

JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=5
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={controller}
# So that `sacct --batch-script` has what slurmctld was given.
AccountingStoreFlags=job_script

DefMemPerCPU=500
",
        controller = CTL.name,
        address = CTL.ip,
    );
    for node in site.nodes() {
        let (name, ip) = (node.name, node.ip);
        let gres = format!("gpu:{GPUS},nic:{NICS}");
        let _ = writeln!(text, "NodeName={name} NodeAddr={ip} CPUs=2 RealMemory=8000 Gres={gres} State=UNKNOWN");
    }
    if product::has_submit_plugin() {
        text.push_str("JobSubmitPlugins=k8s\n");
    }
    let names: Vec<&str> = site.nodes().iter().map(|node| node.name).collect();
    let nodes = names.join(",");
    let _ = writeln!(
        text,
        "PartitionName=cpu Nodes={nodes} Default=YES MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF"
    );
    // Its jobs make room for those of the other.
    let _ = writeln!(text, "PartitionName=scavenge Nodes={nodes} MaxTime=INFINITE State=UP PriorityTier=1");
    text
}
