//! The environment of the user's process: Slurm's, but the image's where the host's makes no sense in it.

use std::collections::BTreeMap;

/// Names whose host value is wrong in the image, each with its reason. The image's value holds; without one the name
/// is not set.
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
    ("XDG_RUNTIME_DIR", "a folder of the host"),
    ("DBUS_SESSION_BUS_ADDRESS", "a socket of the host"),
    ("SSL_CERT_FILE", "a file of the host"),
    ("SSL_CERT_DIR", "a folder of the host"),
    ("MODULEPATH", "the host's modules"),
    ("MODULESHOME", "the host's modules"),
    ("LOADEDMODULES", "the host's modules"),
    ("_LMFILES_", "the host's modules"),
    ("BASH_ENV", "a file of the host"),
    ("ENV", "a file of the host"),
];

/// The search path of an image that has none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

type Bytes = Vec<u8>;

/// `slurm` is `NAME=value` as Slurm gave it, `image` the container's own environment.
pub fn merge(slurm: &[serde_bytes::ByteBuf], image: &[(Bytes, Bytes)]) -> BTreeMap<Bytes, Bytes> {
    let from_image = |name: &[u8]| FROM_IMAGE.iter().any(|(denied, _)| denied.as_bytes() == name);
    // Kubernetes adds its own names to the image's.
    let kubernetes = |name: &[u8]| name.starts_with(b"KUBERNETES_") || name == b"HOSTNAME";
    let mut out: BTreeMap<Bytes, Bytes> =
        image.iter().filter(|(name, _)| !kubernetes(name)).cloned().collect();
    for entry in slurm {
        let Some(at) = entry.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = entry.split_at(at);
        if !from_image(name) {
            out.insert(name.to_vec(), value.get(1..).unwrap_or_default().to_vec());
        }
    }
    out.entry(b"PATH".to_vec()).or_insert_with(|| DEFAULT_PATH.into());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slurms_values_win_but_for_the_images_own() {
        let slurm: Vec<_> = ["A=slurm", "PATH=/host", "LD_PRELOAD=/x.so", "E=a=b", "EMPTY="]
            .map(|entry| serde_bytes::ByteBuf::from(entry.as_bytes()))
            .into();
        let image: Vec<_> = [("A", "image"), ("PATH", "/image"), ("CUDA", "12"), ("KUBERNETES_PORT", "1"), ("HOSTNAME", "p")]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
        let merged = merge(&slurm, &image);
        let text: Vec<_> = merged
            .iter()
            .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
            .collect();
        assert_eq!(text, ["A=slurm", "CUDA=12", "E=a=b", "EMPTY=", "PATH=/image"]);
        assert_eq!(merge(&[], &[]).len(), 1);
    }
}
