//! The one table of these messages: a function for each, by exit code.

use std::fmt::Display;

use super::{Message, Refusal};
use crate::exit_code::{CLUSTER, IMAGE, LOST, NO_PROGRAM, NOT_EXECUTABLE, NOT_FOUND, NOT_STARTED, OPTION, QUOTA, SITE};

macro_rules! hint {
    () => {
        None
    };
    ($hint:literal) => {
        Some($hint)
    };
}

macro_rules! filled {
    () => {
        None
    };
    ($hint:literal) => {
        Some(format!($hint))
    };
}

/// `/// when` · `CODE name(values) "text" hint "hint"`
macro_rules! messages {
    ($($(#[doc = $when:literal])+ $code:ident $name:ident($($value:ident),*) $text:literal $(hint $hint:literal)?;)+) => {
        $(
            $(#[doc = $when])+
            #[must_use]
            pub fn $name($($value: impl Display),*) -> Refusal {
                let hint: Option<String> = filled!($($hint)?);
                Refusal::new($code, &format!($text), hint.as_deref())
            }
        )+

        /// The table.
        pub const MESSAGES: &[Message] = &[
            $(Message { code: $code, when: concat!($($when),+), text: $text, hint: hint!($($hint)?) }),+
        ];
    };
}

messages! {
    /// The command, or the interpreter of the script, is not in the image.
    NOT_FOUND not_found(command, cause)
        "cannot run `{command}': {cause}";

    /// The kernel does not take the command for a program; the exit code is the kernel's error, as under plain Slurm.
    NO_PROGRAM no_program(command, cause)
        "cannot run `{command}': {cause}"
        hint "a script must name its interpreter in its first line: #!/bin/bash";

    /// The command is in the image, but the user may not execute it.
    NOT_EXECUTABLE not_executable(command, cause)
        "cannot run `{command}': {cause}";

    /// The Pod would exceed a `ResourceQuota` of its namespace.
    QUOTA over_quota(cause)
        "cannot create the Pod: {cause}"
        hint "the quota of this namespace is used up: wait for other jobs to end, or ask the site's admin for more";

    /// A program of spank-k8s is not there, or cannot be executed.
    SITE program(what, path, cause)
        "{what} {path} cannot be used on this node: {cause}"
        hint "ask the site's admin to install spank-k8s on the node";
    /// The site's config is missing, unreadable or wrong ([errors.md](errors.md)).
    SITE config(cause)
        "{cause}";
    /// `pod.template`, or a profile's, is unreadable or no Pod template.
    SITE template(path, cause)
        "the Pod template {path} cannot be used: {cause}"
        hint "ask the site's admin to mend it";
    /// A folder, a file or a socket of the Pod cannot be made on the node.
    SITE node(cause)
        "{cause}"
        hint "ask the site's admin: this node cannot prepare Pods";
    /// slurmstepd gets no thread or event queue.
    SITE engine(cause)
        "the plugin cannot work in slurmstepd: {cause}"
        hint "the node is out of processes, files or memory";
    /// The node cannot mount what the user may mount.
    SITE mount(cause)
        "{cause}"
        hint "ask the site's admin: this node cannot mount";
    /// A source of `--k8s-mounts` hangs.
    SITE mount_silent(cause)
        "{cause}"
        hint "a shared file system hangs on this node; ask the site's admin";
    /// The kubeconfig is missing, unreadable or wrong.
    SITE kubeconfig(cause)
        "cannot create the Pod: {cause}"
        hint "ask the site's admin: this node cannot use Kubernetes";
    /// Slurm allocated GPUs by number only, and the GPU runtime needs to know which.
    SITE nameless_gpus(count)
        "Slurm gave the step {count} GPUs here, but does not tell which"
        hint "ask the site's admin: gres.conf needs File= for them, or k8s.toml gres.gpu";
    /// The plugin and the programs beside it are of two releases.
    SITE version(theirs, ours)
        "this node's slurm-k8s-agent speaks version {theirs} of the link, its plugin version {ours}"
        hint "install one release of spank-k8s on the node";
    /// containerd does not know the handler of our `RuntimeClass`.
    SITE no_handler(cause)
        "containerd on this node does not have the runtime of our RuntimeClass: {cause}"
        hint "ask the site's admin to add deploy/containerd's handler to containerd's config and to restart it";
    /// containerd cannot start slurm-k8s-runtime.
    SITE wrapper(cause)
        "the OCI runtime wrapper cannot be used on this node: {cause}"
        hint "ask the site's admin to install spank-k8s on the node";
    /// The container was made without the wrapper.
    SITE no_agent(cause)
        "the agent did not get into the container: {cause}"
        hint "kubernetes.runtime_class must be the one that runs slurm-k8s-runtime; ask the site's admin";
    /// slurmstepd does not answer the plugin.
    SITE slurm(what)
        "Slurm does not tell the step's {what}"
        hint "the plugin and this node's Slurm do not fit; ask the site's admin";
    /// slurmstepd does not take a variable of the plugin's.
    SITE variable(name, cause)
        "the step cannot be given ${name}: {cause}"
        hint "the plugin and this node's Slurm do not fit; ask the site's admin";

    /// Slurm on the node has started the shim, and no plugin has prepared anything for it.
    SITE not_loaded(node)
        "the job is to run in a Pod, but Slurm on {node} has not loaded spank-k8s"
        hint "ask the site's admin to mend plugstack.conf there; nothing of the job was run";
    /// The mark of slurmctld cannot be taken out of the batch script.
    SITE script(cause)
        "cannot put the batch script back as it was: {cause}"
        hint "slurmd's spool folder on this node is perhaps full; ask the site's admin";

    /// The API server is down or does not answer, for `kubernetes.api_timeout`.
    CLUSTER api_down(cause)
        "cannot create the Pod: {cause}"
        hint "the cluster is down; submit the job again later";
    /// The API server refuses the node's identity, or a policy refuses the Pod.
    CLUSTER denied(cause)
        "cannot create the Pod: {cause}"
        hint "the node's identity or role is wrong, or a policy forbids this Pod; ask the site's admin";
    /// The Pod's namespace does not exist.
    CLUSTER no_namespace(cause)
        "cannot create the Pod: {cause}"
        hint "ask the site's admin to make it: slurm-k8s namespace ensure USER";
    /// The API server does not say, for `kubernetes.api_timeout`, where the step's first node is, and the tasks want to know.
    CLUSTER cannot_look(pod, cause)
        "cannot look for the Pod {pod} on the step's first node: {cause}"
        hint "the cluster is down, or the node's identity or role is wrong; ask the site's admin";
    /// Pods of other jobs have all the names that this one could have.
    CLUSTER name_taken(cause)
        "{cause}"
        hint "another Slurm cluster uses the namespace; ask the site's admin to give each one a `cluster` or a namespace of its own";
    /// The API server refuses the Pod for another reason.
    CLUSTER not_created(cause)
        "cannot create the Pod: {cause}"
        hint "ask the site's admin: the API server does not take this Pod";

    /// The registry says that there is no such image.
    IMAGE no_image(image)
        "the image {image} does not exist in its registry"
        hint "check its name and tag; without a host, the node's default registry is asked";
    /// The image is for other processors.
    IMAGE no_variant(image)
        "the image {image} has no variant for this node's architecture"
        hint "build it for this architecture";
    /// The registry refuses the pull; some do so for images that do not exist.
    IMAGE login(image, cause)
        "the image {image} does not exist, or its registry wants a login: {cause}"
        hint "check its name; for a private image ask the cluster's admin for pull credentials";
    /// The registry's certificate is of no known authority.
    IMAGE untrusted(image, cause)
        "the image {image} cannot be pulled: the node does not trust its registry: {cause}"
        hint "ask the cluster's admin to give containerd the registry's certificate";
    /// containerd expects TLS of this registry.
    IMAGE plain_http(image)
        "the image {image} cannot be pulled: its registry speaks plain http"
        hint "ask the cluster's admin to allow that for this registry in containerd";
    /// The registry's host is in no name service.
    IMAGE no_host(image, cause)
        "the image {image} cannot be pulled: its registry's name is unknown: {cause}"
        hint "check the host in the image's name";
    /// A layer is damaged.
    IMAGE broken(image, cause)
        "the image {image} is broken: {cause}"
        hint "build and push it again";
    /// The registry could not be reached, or failed, for `kubernetes.pull_timeout`.
    IMAGE not_pulled(cause)
        "{cause}"
        hint "the registry cannot be reached from the node, or refuses it; try again later";
    /// `--k8s-pull=never`, and the node does not have the image.
    IMAGE not_on_node(image)
        "the image {image} is not on this node"
        hint "leave --k8s-pull=never out, or have the image put there";
    /// Kubernetes takes the name, containerd does not.
    IMAGE bad_name(image)
        "the image {image} has a name that the node's container runtime does not accept"
        hint "check its name";
    /// The cluster runs signed images only.
    IMAGE unsigned(image, cause)
        "the image {image} is not signed as the cluster's policy wants: {cause}"
        hint "ask the cluster's admin";

    /// The Pod does not run within `kubernetes.start_timeout`.
    NOT_STARTED start_timeout(cause)
        "the Pod did not start in time: {cause}"
        hint "`kubectl get events` in the Pod's namespace tells what it waits for; the limit is start_timeout in k8s.toml";
    /// The tasks want to know where the first one is, and its Pod has no address within `kubernetes.start_timeout`.
    NOT_STARTED no_meeting(pod)
        "the Pod {pod} on the step's first node has got no address in time; the tasks cannot meet there"
        hint "look at the tasks on that node; the limit is start_timeout in k8s.toml";
    /// The agent is not who Slurm's task would be.
    NOT_STARTED identity(container, slurm)
        "the container runs as {container}, but Slurm's job as {slurm}"
        hint "with kubernetes.way = \"runtime\", the RuntimeClass must use slurm-k8s-runtime on this node; with \"host-path\", the image's /etc/group may have no more groups for the user";
    /// The wrapper has no grant for the Pod: something else than the plugin made it, or two run folders are in use.
    NOT_STARTED no_grant(cause)
        "the node has no grant for this Pod: {cause}"
        hint "slurmstepd and the container runtime must be on the same node, with one paths.run; ask the site's admin";
    /// The container runtime fails.
    NOT_STARTED start_error(cause)
        "the container runtime could not start the container: {cause}"
        hint "ask the cluster's admin";
    /// The kubelet fails to make the container.
    NOT_STARTED no_container(cause)
        "the node cannot make the container: {cause}"
        hint "ask the cluster's admin";
    /// The kubelet has no room for the Pod: others have booked it.
    NOT_STARTED no_room(reason, cause)
        "the kubelet refused the Pod: {reason}: {cause}"
        hint "Kubernetes has booked the node for other Pods; ask the cluster's admin to keep them off Slurm's nodes, or raise the kubelet's maxPods";
    /// The kubelet does not take the Pod.
    NOT_STARTED refused(reason, cause)
        "the kubelet refused the Pod: {reason}: {cause}"
        hint "the kubelet's settings or the node's state forbid this Pod; ask the cluster's admin";
    /// A limit, mask or priority of Slurm's cannot be had in the container.
    NOT_STARTED limits(what, cause)
        "cannot set {what} in the Pod: {cause}"
        hint "the container has less rights than Slurm's task; ask the site's admin";
    /// The agent cannot start a process.
    NOT_STARTED no_process(what, cause)
        "cannot start a process in the Pod: {what}: {cause}"
        hint "the Pod is perhaps out of memory or processes";

    /// `--k8s-workdir` is not in the Pod, or the user may not enter it.
    OPTION workdir(folder, cause)
        "--k8s-workdir: cannot change to `{folder}' in the Pod: {cause}"
        hint "name a folder that the image has, or one of the site's mounts";
    /// A place of `--k8s-mounts` where users could put a symbolic link.
    OPTION mount_place(cause)
        "{cause}"
        hint "mount it at a path outside of the site's shared file systems";
    /// A place of `--k8s-mounts` that is not there.
    OPTION mount_no_place(cause)
        "{cause}"
        hint "make it first, or mount somewhere else";
    /// A source of `--k8s-mounts` that the user cannot reach, or that leads out of the allowed folders.
    OPTION mount_source(cause)
        "{cause}"
        hint "name a folder or file that you can reach on the node yourself";
    /// What an option's own check says ([errors.md](errors.md)), where the submitting side did not check.
    OPTION option(cause)
        "{cause}";

    /// The link ended, and no status of the Pod tells more.
    LOST lost()
        "the link to the Pod ended without a status; how the command ended is not known"
        hint "`kubectl describe pod` and the kubelet's log may tell; the job can be submitted again";
    /// The agent or the whole container was killed.
    LOST agent_ended(code)
        "the Pod's first process ended (exit code {code}) without reporting how the command ended"
        hint "`kubectl describe pod` and the kubelet's log may tell why";
    /// The kernel killed the whole container.
    LOST out_of_memory(limit)
        "out of memory: the kernel killed the Pod's processes (limit: {limit})"
        hint "ask Slurm for more with --mem, or let the program use less";
    /// Somebody deleted or evicted the Pod.
    LOST left(cause)
        "{cause}"
        hint "somebody or something else than Slurm ended it; `kubectl get events` may tell";
    /// The kubelet ended the Pod: the node is short of something.
    LOST evicted(reason, cause)
        "the kubelet ended the Pod: {reason}: {cause}"
        hint "the node ran out of what the message names; ask the cluster's admin";
    /// The kubelet ended the Pod for another reason.
    LOST ended(reason, cause)
        "the kubelet ended the Pod: {reason}: {cause}"
        hint "the node is perhaps going away; submit the job again";
    /// A process that is not the Pod's, or without the token, came to the link.
    LOST door()
        "the link refused this process"
        hint "slurmd.log on the node says why";
    /// One of the user's own ends of the link does not keep to it.
    LOST protocol(end)
        "{end} has broken the protocol of the link; how the command ended is not known"
        hint "a process of the job has changed it, or the node has parts of two releases; slurmd.log says more";
    /// The shim fails.
    LOST shim(cause)
        "{cause}"
        hint "the node's slurmd.log may say more";
}
