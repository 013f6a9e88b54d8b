//! The environment of the user's process: Slurm's, but the image's where the host's makes no sense in it.

use serde_bytes::ByteBuf;
use slurm_k8s_agent::link::message::{Address, Meeting};
use slurm_k8s_core::rendezvous::{self, OWN_ADDRESS};

/// Names whose host value is wrong in the image, each with its reason; a name that ends with `*` stands for all that
/// begin so. The image's value holds; without one the name is not set.
pub const FROM_IMAGE: &[(&str, &str)] = &[
    ("PATH", "the image's folders"),
    ("LD_LIBRARY_PATH", "the image's libraries"),
    ("LD_PRELOAD", "a library of the host"),
    ("LD_AUDIT", "a library of the host"),
    ("LIBRARY_PATH", "the image's libraries"),
    ("CPATH", "the image's headers"),
    ("PKG_CONFIG_PATH", "the image's packages"),
    ("PYTHONHOME", "the host's python"),
    ("PERL5LIB", "the host's perl modules"),
    ("GCONV_PATH", "the host's C library"),
    ("LOCPATH", "the host's C library"),
    ("MANPATH", "the host's pages"),
    ("INFOPATH", "the host's pages"),
    ("XDG_DATA_DIRS", "the host's files"),
    ("XDG_CONFIG_DIRS", "the host's files"),
    ("XDG_RUNTIME_DIR", "a folder of the host"),
    ("DBUS_SESSION_BUS_ADDRESS", "a socket of the host"),
    ("SSH_AUTH_SOCK", "a socket of the login host"),
    ("SSL_CERT_FILE", "a file of the host"),
    ("SSL_CERT_DIR", "a folder of the host"),
    ("CURL_CA_BUNDLE", "a file of the host"),
    ("REQUESTS_CA_BUNDLE", "a file of the host"),
    ("MODULEPATH", "the host's modules"),
    ("MODULESHOME", "the host's modules"),
    ("MODULES_*", "the host's modules"),
    ("LOADEDMODULES", "the host's modules"),
    ("_LMFILES_", "the host's modules"),
    ("LMOD_*", "the host's modules"),
    ("__LMOD_*", "the host's modules"),
    ("_ModuleTable*", "the host's modules"),
    ("BASH_FUNC_module%%", "a shell function of the host's modules"),
    ("BASH_FUNC_ml%%", "a shell function of the host's modules"),
    ("BASH_FUNC__module_raw%%", "a shell function of the host's modules"),
    ("BASH_ENV", "a file of the host"),
    ("ENV", "a file of the host"),
    ("JAVA_HOME", "the host's java"),
    ("CUDA_HOME", "the host's CUDA"),
    ("CUDA_PATH", "the host's CUDA"),
    ("OPAL_PREFIX", "the host's MPI"),
    ("I_MPI_ROOT", "the host's MPI"),
    ("NVIDIA_VISIBLE_DEVICES", "the container's own GPUs"),
    ("AMD_VISIBLE_DEVICES", "the container's own GPUs"),
];

/// The image's names that come from Kubernetes and concern the Pod, or that are another host's.
const FROM_KUBERNETES: &[&str] = &["KUBERNETES_*", "HOSTNAME", OWN_ADDRESS];

/// The search path of an image that has none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A variable of the user's own: its name, and its value unless it is the one that Slurm gave.
pub type Own = (ByteBuf, Option<ByteBuf>);

/// `slurm` as Slurm gave it, in its order and with entries that have no `=`; then what only `image`, the container's
/// own environment, has. The user's `own` stand above both.
pub fn merge(slurm: &[ByteBuf], image: &[Vec<u8>], own: &[Own]) -> Vec<Vec<u8>> {
    let wanted = |name: &[u8]| own.iter().any(|(own, value)| own == name && value.is_none());
    let from_image = |name: &[u8]| !wanted(name) && FROM_IMAGE.iter().any(|(pattern, _)| fits(pattern, name));
    let kept = slurm.iter().filter(|entry| !from_image(name(entry)));
    let mut out: Vec<Vec<u8>> = kept.map(|entry| entry.to_vec()).collect();
    for entry in image {
        let name = name(entry);
        let ours = FROM_KUBERNETES.iter().any(|pattern| fits(pattern, name));
        if !ours && value(&out, name).is_none() {
            out.push(entry.clone());
        }
    }
    for (own, value) in own {
        let Some(value) = value else { continue };
        out.retain(|entry| name(entry) != own.as_slice());
        out.push([own.as_slice(), value].join(&b'='));
    }
    if value(&out, b"PATH").is_none() {
        out.push(format!("PATH={DEFAULT_PATH}").into_bytes());
    }
    out
}

/// Where the step's tasks meet, for a task that Slurm gave this environment; `container` is the container's own.
pub fn meeting(meeting: &Meeting, slurm: &[ByteBuf], container: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let own = || String::from_utf8(value(container, OWN_ADDRESS.as_bytes())?.to_vec()).ok();
    let address = match &meeting.address {
        Address::Own => own(),
        Address::Of(address) => Some(address.clone()),
        Address::Unknown => None,
    };
    let given = |name: &str| {
        slurm.iter().find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")).map(<[u8]>::to_vec)
    };
    rendezvous::entries(address.as_deref(), meeting.port, given)
}

/// Puts a folder behind all others in the search path.
pub fn append_to_path(env: &mut [Vec<u8>], folder: &[u8]) {
    if let Some(path) = env.iter_mut().find(|entry| entry.starts_with(b"PATH=")) {
        path.push(b':');
        path.extend_from_slice(folder);
    }
}

/// The first value of a name, as getenv(3).
pub fn value<'a>(env: &'a [Vec<u8>], name: &[u8]) -> Option<&'a [u8]> {
    env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
}

fn name(entry: &[u8]) -> &[u8] {
    entry.split(|byte| *byte == b'=').next().unwrap_or_default()
}

fn fits(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => pattern.as_bytes() == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(slurm: &[&str], image: &[&str]) -> Vec<String> {
        with_own(slurm, image, &[])
    }

    fn with_own(slurm: &[&str], image: &[&str], own: &[(&str, Option<&str>)]) -> Vec<String> {
        let bytes = |text: &str| ByteBuf::from(text.as_bytes());
        let slurm: Vec<_> = slurm.iter().map(|entry| bytes(entry)).collect();
        let image: Vec<_> = image.iter().map(|entry| entry.as_bytes().to_vec()).collect();
        let own: Vec<_> = own.iter().map(|(name, value)| (bytes(name), value.map(bytes))).collect();
        merge(&slurm, &image, &own).into_iter().map(|entry| String::from_utf8(entry).unwrap()).collect()
    }

    #[test]
    fn slurms_values_win_but_for_the_images_own() {
        let slurm = ["B=slurm", "PATH=/host", "LD_PRELOAD=/x.so", "E=a=b", "EMPTY=", "odd", "LMOD_CMD=/l"];
        let image = ["B=image", "PATH=/image", "CUDA=12", "KUBERNETES_PORT=1", "HOSTNAME=p"];
        let expected = ["B=slurm", "E=a=b", "EMPTY=", "odd", "PATH=/image", "CUDA=12"];
        assert_eq!(merged(&slurm, &image), expected);
    }

    #[test]
    fn the_users_own_stand_above_all() {
        let own = [("A", Some("mine")), ("PATH", None), ("NEW", Some("")), ("ABSENT", None)];
        let expected = ["PATH=/host", "A=mine", "NEW="];
        assert_eq!(with_own(&["A=slurm", "PATH=/host"], &["A=image", "PATH=/image"], &own), expected);
    }

    #[test]
    fn the_tasks_meet_at_the_pods_own_address_or_at_the_one_that_is_told() {
        let slurm = [ByteBuf::from("SLURM_PROCID=2"), ByteBuf::from("SLURM_NTASKS=4")];
        let container = [format!("{OWN_ADDRESS}=10.0.0.1").into_bytes()];
        let told = |address| {
            let entries = meeting(&Meeting { address, port: 20001 }, &slurm, &container);
            entries.into_iter().map(|entry| String::from_utf8(entry).unwrap()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told(Address::Own), "MASTER_ADDR=10.0.0.1 MASTER_PORT=20001 WORLD_SIZE=4 RANK=2");
        assert!(told(Address::Of("10.0.0.2".into())).starts_with("MASTER_ADDR=10.0.0.2 "));
        assert!(told(Address::Unknown).starts_with("MASTER_PORT="));
        assert_eq!(merged(&["RANK=mine"], &["RANK=0", &format!("{OWN_ADDRESS}=x")])[0], "RANK=mine");
    }

    #[test]
    fn there_is_always_a_search_path() {
        assert_eq!(merged(&["PATH=/host"], &[]), [format!("PATH={DEFAULT_PATH}")]);
    }
}
