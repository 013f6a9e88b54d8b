//! What `slurm-k8s doctor` finds: one table, which its output and the reference page have.

use crate::exit_code::{CLUSTER, NOT_STARTED, SITE};
use crate::finding::Severity;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Diagnosis {
    /// Its name; it does not change from version to version.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What jobs in Pods end with, if they do.
    pub exit_code: Option<u8>,
    /// When it is found; markdown.
    pub meaning: &'static str,
    /// What mends it; plain text.
    pub mend: &'static str,
}

macro_rules! diagnoses {
    ($($name:ident = $id:literal, $severity:ident, $exit_code:expr, $meaning:literal, $mend:literal;)+) => {
        $(
            #[doc = concat!("`", $id, "`: ", $meaning)]
            pub const $name: Diagnosis = Diagnosis {
                id: $id,
                severity: Severity::$severity,
                exit_code: $exit_code,
                meaning: $meaning,
                mend: $mend,
            };
        )+

        /// The table.
        pub const DIAGNOSES: &[Diagnosis] = &[$($name),+];
    };
}

diagnoses! {
    CONFIG = "config", Error, Some(SITE), "`/etc/slurm/k8s.toml` is not there, or wrong.", "correct the line; docs/reference/config.md has every key";
    SLURM = "slurm", Error, None, "Slurm cannot be asked: what depends on slurm.conf is not checked.", "run this where scontrol works";
    PLUGSTACK = "plugstack", Error, Some(SITE), "No line of plugstack.conf loads `spank_k8s.so`. On a login host `--k8s-image` is unknown then; on a node, jobs of Pods fail.", "put plugstack.conf.d/k8s.conf in place, and `include` its folder in plugstack.conf";
    OPTIONAL = "optional", Error, None, "The line says `optional`: Slurm would ignore the plugin's errors, and run a job that asked for a Pod on the bare node.", "write `required`";
    PLUGIN = "plugin", Error, None, "The file that the line names is not there, or others than root can write it. With `required`, Slurm's commands do not start without it.", "install spank_k8s.so there, owner root, mode 0644";
    TRACKING = "tracking", Warning, None, "`ProctrackType` or `TaskPlugin` in slurm.conf is without cgroups: tasks, and their Pods, are not held to their cores and memory.", "ProctrackType=proctrack/cgroup and TaskPlugin=task/affinity,task/cgroup";
    JOB_SUBMIT = "job-submit", Warning, None, "slurmctld does not load `job_submit_k8s.so`: nothing reads `#K8S_` lines, and nothing is refused at submit.", "JobSubmitPlugins=k8s in slurm.conf, after the file is in PluginDir";
    PROGRAM = "program", Error, Some(SITE), "The agent or the runtime wrapper is not there, cannot be executed, or can be written by others than root.", "install it again: owner root, mode 0755";
    VERSION = "version", Error, Some(SITE), "The agent is of another version than this command.", "install all of one package on this host";
    NEXT_RUNTIME = "next-runtime", Error, Some(NOT_STARTED), "`/etc/slurm/k8s-next-runtime` names a program that is not there.", "name an OCI runtime, or remove the file for runc";
    HANDLER = "handler", Error, Some(SITE), "No runtime of containerd's config is `slurm-k8s-runtime`.", "append deploy/containerd/version-*.toml to /etc/containerd/config.toml and restart containerd";
    ANNOTATIONS = "annotations", Error, Some(NOT_STARTED), "containerd does not pass our annotations on: no grant is found.", "pod_annotations = [\"spank-k8s.io/*\"] for that runtime";
    RUN_FOLDER = "run-folder", Error, Some(SITE), "The run folder is not there, not root's, or open for others to list or write.", "an fstab line as in deploy/README.md, and mount it: mode 0711";
    RUN_FULL = "run-full", Error, Some(SITE), "The run folder is nearly full.", "see who fills it; what jobs left there is told as leftover";
    RUN_SHARED = "run-shared", Warning, None, "The run folder is no file system of its own: what else fills that one stops jobs.", "an fstab line as in deploy/README.md, and mount it";
    MOUNT = "mount", Error, Some(SITE), "A folder of `pod.mounts` is not there.", "mount it, or take it out of pod.mounts";
    TEMPLATE = "template", Error, Some(SITE), "A Pod template cannot be read, or is wrong.", "correct the file; `pod.template` and `template` of profiles name it";
    LEFTOVER = "leftover", Warning, None, "What a job left on this node that Slurm does not run any more.", "the next step on the node removes it";
    KUBECONFIG = "kubeconfig", Error, Some(SITE), "The node's kubeconfig is not there, or cannot be used.", "make it as in deploy/README.md";
    READABLE = "readable", Error, None, "Others than root can read the node's kubeconfig: they can make and delete Pods of this node.", "chown root and chmod 0600; and a new certificate, since the old one may be known";
    CERTIFICATE = "certificate", Warning, Some(CLUSTER), "The node's client certificate ends within 30 days, or has ended.", "make a new one as in deploy/README.md; running jobs use it, too";
    API = "api", Error, Some(CLUSTER), "The API server does not answer this node.", "see the address in the kubeconfig, the network, and the API server's log";
    IDENTITY = "identity", Error, Some(CLUSTER), "The API server takes the node for somebody else than `slurm-k8s:node:NAME` of the group `slurm-k8s:nodes`.", "CN and O of the certificate as in deploy/README.md, or kubernetes.node_name";
    RIGHTS = "rights", Error, Some(CLUSTER), "The node's identity lacks a right.", "kubectl apply --kustomize deploy; for further namespaces, the role and its binding there";
    TOO_MUCH = "too-much", Warning, None, "The node's identity may do more than it needs: whoever is root on one node has that.", "take the other roles from slurm-k8s:nodes";
    REFUSED = "refused", Error, Some(CLUSTER), "A Pod as jobs have it is refused by the API server, which says why.", "kubectl apply --kustomize deploy; then what the answer names";
    POLICY = "policy", Error, None, "The API server lets this node make Pods for another node: the admission policy is not there, or not enforced.", "kubectl apply --filename deploy/node-policy.yaml";
    CLOCK = "clock", Warning, None, "The clock differs from the API server's by more than 5 seconds.", "chrony or another NTP client on both";
    NODE_ABSENT = "node-absent", Error, Some(NOT_STARTED), "A node of Slurm's is none of Kubernetes'.", "join it, or name it in kubernetes.node_name on that node";
    NODE_NOT_READY = "node-not-ready", Error, Some(NOT_STARTED), "Kubernetes does not find the node ready.", "kubectl describe node";
    NODE_MEMORY = "node-memory", Warning, None, "Slurm gives out more memory of the node than the kubelet has for Pods.", "RealMemory below the node's allocatable memory";
    NODE_PODS = "node-pods", Warning, None, "The kubelet takes fewer Pods than Slurm has cores to give to steps.", "a larger maxPods in the kubelet's config";
    NODE_TAINT = "node-taint", Error, Some(NOT_STARTED), "A taint `NoExecute` that jobs' Pods do not tolerate.", "another effect, or a toleration by pod.template";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::EXIT_CODES;

    #[test]
    fn names_are_different_and_exit_codes_are_ours() {
        for (at, one) in DIAGNOSES.iter().enumerate() {
            assert!(DIAGNOSES.iter().skip(at + 1).all(|other| other.id != one.id), "{}", one.id);
            assert!(one.exit_code.is_none_or(|code| EXIT_CODES.iter().any(|row| row.code == code)), "{}", one.id);
            assert!(!one.mend.contains('`') || one.mend.matches('`').count() % 2 == 0, "{}", one.id);
        }
    }
}
